// The bodies of pool2d.hpp.

// In each lane, yes where value is larger than largest, or NaN; else no.
template <class T>
ANTHER_INLINE Vec<T> pool_select(const Vec<T>& largest, const Vec<T>& value, const Vec<T>& yes,
                                 const Vec<T>& no) {
  return {((largest.raw < value.raw) | (value.raw != value.raw)) ? yes.raw : no.raw};
}

// The largest of a window, and in `tap` the number of its pixel. x points at channels of the map.
template <class T>
ANTHER_INLINE Vec<T> pool_largest(const T* x, const MaxPool2dDims& d, const PoolRange& rows,
                                  const PoolRange& columns, std::int64_t channels, Vec<T>& tap) {
  Vec<T> largest = Vec<T>::broadcast(-std::numeric_limits<T>::infinity());
  Vec<T> number = Vec<T>::zero();
  const Vec<T> one = Vec<T>::broadcast(T(1));
  tap = Vec<T>::zero();
  for (std::int64_t row = rows.first; row < rows.last; row += rows.step)
    for (std::int64_t column = columns.first; column < columns.last; column += columns.step) {
      const Vec<T> value =
          Vec<T>::load_partial(x + (row * d.width + column) * d.channels, channels);
      tap = pool_select(largest, value, number, tap);
      largest = pool_select(largest, value, value, largest);
      number = number + one;
    }
  return largest;
}

// Line i of one image's y.
template <class T>
void max_pool2d_forward_line(T* y, const T* x, const MaxPool2dDims& d, std::int64_t i) {
  constexpr std::int64_t lanes = Vec<T>::lanes;
  const PoolRange rows = d.rows(i);
  for (std::int64_t j = 0; j < d.out_width; ++j, y += d.channels) {
    const PoolRange columns = d.columns(j);
    for (std::int64_t c = 0; c < d.channels; c += lanes) {
      Vec<T> tap;
      const Vec<T> largest = pool_largest(x + c, d, rows, columns, d.channels - c, tap);
      if (c + lanes <= d.channels)
        largest.store(y + c);
      else
        largest.store_partial(y + c, d.channels - c);
    }
  }
}

// dx = add, or 0, in rows first to last - 1 of an image.
template <class T, class Dims>
ANTHER_INLINE void pool_start_rows(T* dx, const T* add, const Dims& d, std::int64_t first,
                                   std::int64_t last, std::int64_t channels) {
  if (add == dx) return;
  for (std::int64_t pixel = first * d.width; pixel < last * d.width; ++pixel)
    for (std::int64_t c = 0; c < channels; c += Vec<T>::lanes) {
      const std::int64_t at = pixel * d.channels + c;
      const Vec<T> start = add ? Vec<T>::load_partial(add + at, channels - c) : Vec<T>::zero();
      start.store_partial(dx + at, channels - c);
    }
}

// The first `channels` channels of one image's dx.
template <class T>
void max_pool2d_backward_image(T* dx, const T* add, const T* dy, const T* x, const MaxPool2dDims& d,
                               std::int64_t channels) {
  constexpr std::int64_t lanes = Vec<T>::lanes;
  std::int64_t started = 0;  // rows of dx that hold add
  for (std::int64_t i = 0; i < d.out_height; ++i) {
    const PoolRange rows = d.rows(i);
    if (started < rows.last) {
      pool_start_rows(dx, add, d, started, rows.last, channels);
      started = rows.last;
    }
    for (std::int64_t j = 0; j < d.out_width; ++j, dy += d.channels) {
      const PoolRange columns = d.columns(j);
      for (std::int64_t c = 0; c < channels; c += lanes) {
        const std::int64_t left = channels - c;
        const Vec<T> gradient = Vec<T>::load_partial(dy + c, left);
        Vec<T> tap;
        pool_largest(x + c, d, rows, columns, left, tap);
        Vec<T> number = Vec<T>::zero();
        for (std::int64_t row = rows.first; row < rows.last; row += rows.step)
          for (std::int64_t column = columns.first; column < columns.last; column += columns.step) {
            T* const to = dx + (row * d.width + column) * d.channels + c;
            const Vec<T> here = {tap.raw == number.raw ? gradient.raw : Vec<T>::zero().raw};
            (Vec<T>::load_partial(to, left) + here).store_partial(to, left);
            number = number + Vec<T>::broadcast(T(1));
          }
      }
    }
  }
  pool_start_rows(dx, add, d, started, d.height, channels);
}

// Line i of one image's y.
template <class T>
void avg_pool2d_forward_line(T* y, const T* x, const AvgPool2dDims& d, std::int64_t i) {
  constexpr std::int64_t lanes = Vec<T>::lanes;
  const PoolRange rows = d.rows(i);
  for (std::int64_t j = 0; j < d.out_width; ++j, y += d.channels) {
    const PoolRange columns = d.columns(j);
    const std::int64_t divisor = d.divisor(i, j);
    const Vec<T> divide_by = Vec<T>::broadcast(static_cast<T>(divisor > 0 ? divisor : 1));
    for (std::int64_t c = 0; c < d.channels; c += lanes) {
      Vec<T> sum = Vec<T>::zero();
      for (std::int64_t row = rows.first; row < rows.last; ++row)
        for (std::int64_t column = columns.first; column < columns.last; ++column)
          sum = sum +
                Vec<T>::load_partial(x + (row * d.width + column) * d.channels + c, d.channels - c);
      const Vec<T> mean = sum / divide_by;
      if (c + lanes <= d.channels)
        mean.store(y + c);
      else
        mean.store_partial(y + c, d.channels - c);
    }
  }
}

// The first `channels` channels of one image's dx.
template <class T>
void avg_pool2d_backward_image(T* dx, const T* add, const T* dy, const AvgPool2dDims& d,
                               std::int64_t channels) {
  constexpr std::int64_t lanes = Vec<T>::lanes;
  std::int64_t started = 0;  // rows of dx that hold add
  for (std::int64_t i = 0; i < d.out_height; ++i) {
    const PoolRange rows = d.rows(i);
    if (started < rows.last) {
      pool_start_rows(dx, add, d, started, rows.last, channels);
      started = rows.last;
    }
    for (std::int64_t j = 0; j < d.out_width; ++j, dy += d.channels) {
      const PoolRange columns = d.columns(j);
      const std::int64_t divisor = d.divisor(i, j);
      const Vec<T> divide_by = Vec<T>::broadcast(static_cast<T>(divisor > 0 ? divisor : 1));
      for (std::int64_t c = 0; c < channels; c += lanes) {
        const std::int64_t left = channels - c;
        const Vec<T> gradient = Vec<T>::load_partial(dy + c, left) / divide_by;
        for (std::int64_t row = rows.first; row < rows.last; ++row)
          for (std::int64_t column = columns.first; column < columns.last; ++column) {
            T* const to = dx + (row * d.width + column) * d.channels + c;
            (Vec<T>::load_partial(to, left) + gradient).store_partial(to, left);
          }
      }
    }
  }
  pool_start_rows(dx, add, d, started, d.height, channels);
}
