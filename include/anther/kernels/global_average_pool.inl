// The global average's bodies, for one image. See global_average_pool.hpp.

// y (C) = the mean over the rows of x (HW, C).
template <class T>
void global_average_pool_forward_image(T* y, const T* x, std::int64_t rows, std::int64_t channels) {
  const Vec<T> scale = Vec<T>::broadcast(T(1) / static_cast<T>(rows));
  for (std::int64_t c = 0; c < channels; c += Vec<T>::lanes) {
    const std::int64_t count = channels - c;
    Vec<T> sum[4] = {Vec<T>::zero(), Vec<T>::zero(), Vec<T>::zero(), Vec<T>::zero()};
    std::int64_t row = 0;
    for (; row + 4 <= rows; row += 4) ANTHER_UNROLL for (int i = 0; i < 4; ++i) {
        sum[i] = sum[i] + Vec<T>::load_partial(x + (row + i) * channels + c, count);
      }
    for (; row < rows; ++row) sum[0] = sum[0] + Vec<T>::load_partial(x + row * channels + c, count);
    const Vec<T> mean = ((sum[0] + sum[1]) + (sum[2] + sum[3])) * scale;
    if (count >= Vec<T>::lanes)
      mean.store(y + c);
    else
      mean.store_partial(y + c, count);
  }
}

// dx (HW, C) = add + dy / HW in every row.
template <class T>
void global_average_pool_backward_image(T* dx, const T* add, const T* dy, std::int64_t rows,
                                        std::int64_t channels) {
  const Vec<T> scale = Vec<T>::broadcast(T(1) / static_cast<T>(rows));
  for (std::int64_t c = 0; c < channels; c += Vec<T>::lanes) {
    const std::int64_t count = channels - c;
    const Vec<T> slope = Vec<T>::load_partial(dy + c, count);
    for (std::int64_t at = c; at < rows * channels; at += channels) {
      const Vec<T> start = add ? Vec<T>::load_partial(add + at, count) : Vec<T>::zero();
      const Vec<T> value = fma(slope, scale, start);
      if (count >= Vec<T>::lanes)
        value.store(dx + at);
      else
        value.store_partial(dx + at, count);
    }
  }
}
