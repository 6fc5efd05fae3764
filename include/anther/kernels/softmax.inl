// The bodies of softmax.hpp.

// How many rows each of a softmax's three passes takes at once: a row's sum is waited for, while
// there is work left in the others.
constexpr std::int64_t softmax_block = 8;

// Fewer columns than a vector has lanes.
template <class T>
void softmax_short_row(T* y, const T* x, std::int64_t columns, T scale) {
  T value[Vec<T>::lanes];
  T greatest = x[0];
  for (std::int64_t c = 1; c < columns; ++c) greatest = greatest < x[c] ? x[c] : greatest;
  const Vec<T> below = Vec<T>::load_partial(x, columns) - Vec<T>::broadcast(greatest);
  exp2(below, Vec<T>::broadcast(scale * log2_e<T>)).store(value);
  T total = T(0);
  for (std::int64_t c = 0; c < columns; ++c) total += value[c];
  for (std::int64_t c = 0; c < columns; ++c) y[c] = value[c] / total;
}

// A row of more columns ends with a vector that shares `lanes - tail` lanes with the one before it,
// or, with no tail, is it.

template <class T>
ANTHER_INLINE T softmax_greatest(const T* x, std::int64_t columns) {
  constexpr std::int64_t lanes = Vec<T>::lanes;
  const std::int64_t whole = columns / lanes * lanes;
  Vec<T> most0 = Vec<T>::load(x + columns - lanes), most1 = most0;
  std::int64_t c = 0;
  for (; c + 2 * lanes <= whole; c += 2 * lanes) {
    most0 = max(most0, Vec<T>::load(x + c));
    most1 = max(most1, Vec<T>::load(x + c + lanes));
  }
  if (c < whole) most0 = max(most0, Vec<T>::load(x + c));
  return max_lane(max(most0, most1));
}

// y = e^(scale (x - greatest)); returns its sum. The last vector is read before anything is
// written, so that y may be x; of what it shares it is the same. fetched: what stands stream_ahead
// elements further on in x is fetched.
template <class T, bool fetched>
ANTHER_INLINE T softmax_powers(T* y, const T* x, std::int64_t columns, T scale, T greatest_x) {
  constexpr std::int64_t lanes = Vec<T>::lanes;
  const std::int64_t whole = columns / lanes * lanes, tail = columns - whole;
  const Vec<T> factor = Vec<T>::broadcast(scale * log2_e<T>);
  const Vec<T> greatest = Vec<T>::broadcast(greatest_x);
  const Vec<T> last = Vec<T>::load(x + columns - lanes);
  Vec<T> total = Vec<T>::zero();
  for (std::int64_t c = 0; c < whole; c += lanes) {
    const Vec<T> power = exp2(Vec<T>::load(x + c) - greatest, factor);
    power.store(y + c);
    total = total + power;
    if (fetched) __builtin_prefetch(x + c + stream_ahead);
  }
  if (tail != 0) {
    Vec<T> number;
    ANTHER_UNROLL for (int i = 0; i < lanes; ++i) number.raw[i] = static_cast<T>(i);
    const Vec<T> power = exp2(last - greatest, factor);
    total = total + select_less(number, Vec<T>::broadcast(static_cast<T>(lanes - tail)),
                                Vec<T>::zero(), power);
    power.store(y + columns - lanes);
  }
  return sum(total);
}

template <class T>
ANTHER_INLINE void softmax_shares(T* y, std::int64_t columns, T total) {
  constexpr std::int64_t lanes = Vec<T>::lanes;
  const std::int64_t whole = columns / lanes * lanes;
  const Vec<T> share = Vec<T>::broadcast(T(1) / total);
  const Vec<T> last = Vec<T>::load(y + columns - lanes) * share;
  for (std::int64_t c = 0; c < whole; c += lanes) (Vec<T>::load(y + c) * share).store(y + c);
  last.store(y + columns - lanes);
}

// y = softmax(scale x) over each row; y may be x. scale > 0.
template <class T>
void softmax_forward(T* y, const T* x, const SoftmaxDims& d) {
  const std::int64_t columns = d.columns, y_stride = d.y_stride, x_stride = d.x_stride;
  const T scale = static_cast<T>(d.scale);
  std::int64_t rows = d.rows;
  if (columns < Vec<T>::lanes) {
    for (std::int64_t row = 0; row < rows; ++row)
      softmax_short_row(y + row * y_stride, x + row * x_stride, columns, scale);
    return;
  }
  T greatest[softmax_block], total[softmax_block];
  for (; rows > 0; rows -= softmax_block) {
    const std::int64_t here = rows < softmax_block ? rows : softmax_block;
    for (std::int64_t i = 0; i < here; ++i)
      greatest[i] = softmax_greatest(x + i * x_stride, columns);
    for (std::int64_t i = 0; i < here; ++i)
      total[i] =
          softmax_powers<T, false>(y + i * y_stride, x + i * x_stride, columns, scale, greatest[i]);
    for (std::int64_t i = 0; i < here; ++i) softmax_shares(y + i * y_stride, columns, total[i]);
    y += here * y_stride;
    x += here * x_stride;
  }
}

// first in the first `count` lanes, rest in the others.
template <class T>
ANTHER_INLINE Vec<T> first_and_rest(std::int64_t count, const Vec<T>& first, const Vec<T>& rest) {
  Vec<T> number;
  ANTHER_UNROLL for (int i = 0; i < Vec<T>::lanes; ++i) number.raw[i] = static_cast<T>(i);
  return select_less(number, Vec<T>::broadcast(static_cast<T>(count)), first, rest);
}

// The same for dense rows of at least as many columns as a vector has lanes, whose y is stored past
// the caches, as vectors side by side. Powers go to a ring of `ring` rows, at least two, which are
// whole lines. A row is stored when the next one's powers are computed: so stores are spread
// evenly, and no sum is waited for.
template <class T>
void softmax_forward_streamed(T* y, const T* x, T* powers, std::int64_t rows, std::int64_t columns,
                              std::int64_t ring, T scale) {
  constexpr std::int64_t lanes = Vec<T>::lanes;
  T share = T(0);
  std::int64_t in_ring = 0;  // the row's number there
  std::int64_t at = 0;       // what is stored next, there
  for (std::int64_t row = 0; row <= rows; ++row) {
    T next_share = T(0);
    if (row < rows) {
      next_share = T(1) / softmax_powers<T, true>(powers + in_ring * columns, x, columns, scale,
                                                  softmax_greatest(x, columns));
      x += columns;
    }
    if (row > 0) {
      const Vec<T> factor = Vec<T>::broadcast(share);
      const std::int64_t end = (in_ring == 0 ? ring : in_ring) * columns;
      for (; at + lanes <= end; at += lanes, y += lanes)
        stream_vector(Vec<T>::load(powers + at) * factor, y);
      if (at < end && row == rows) {
        store_first(Vec<T>::load(powers + at) * factor, y, end - at);
      } else if (at < end) {  // it ends one row and begins the next
        const Vec<T> factors = first_and_rest(end - at, factor, Vec<T>::broadcast(next_share));
        stream_vector(Vec<T>::load(powers + at) * factors, y);
        at += lanes;
        y += lanes;
      }
      if (in_ring == 0) at = 0;
    }
    share = next_share;
    in_ring = in_ring + 1 == ring ? 0 : in_ring + 1;
  }
  stream_fence();
}

// sum(dy y) of a row.
template <class T>
ANTHER_INLINE T softmax_dot(const T* dy, const T* y, std::int64_t columns) {
  constexpr std::int64_t lanes = Vec<T>::lanes;
  Vec<T> sum0 = Vec<T>::zero(), sum1 = Vec<T>::zero();
  std::int64_t c = 0;
  for (; c + 2 * lanes <= columns; c += 2 * lanes) {
    sum0 = fma(Vec<T>::load(dy + c), Vec<T>::load(y + c), sum0);
    sum1 = fma(Vec<T>::load(dy + c + lanes), Vec<T>::load(y + c + lanes), sum1);
  }
  if (c + lanes <= columns) {
    sum0 = fma(Vec<T>::load(dy + c), Vec<T>::load(y + c), sum0);
    c += lanes;
  }
  if (c < columns)
    sum1 = fma(Vec<T>::load_partial(dy + c, columns - c), Vec<T>::load_partial(y + c, columns - c),
               sum1);
  return sum(sum0 + sum1);
}

// One vector of dx = dx_add + scale y (dy - dot), or `count` elements of it.
template <class T, bool whole>
ANTHER_INLINE Vec<T> softmax_dx(const T* dx_add, const T* dy, const T* y, const Vec<T>& dot,
                                const Vec<T>& scale, std::int64_t count) {
  const Vec<T> share = whole ? Vec<T>::load(y) : Vec<T>::load_partial(y, count);
  const Vec<T> gradient = whole ? Vec<T>::load(dy) : Vec<T>::load_partial(dy, count);
  const Vec<T> scaled = scale * share, difference = gradient - dot;
  if (!dx_add) return scaled * difference;
  return fma(scaled, difference,
             whole ? Vec<T>::load(dx_add) : Vec<T>::load_partial(dx_add, count));
}

// dx = dx_add + scale y (dy - sum(dy y)) over each row; dx may be dy or dx_add.
template <class T>
void softmax_backward(T* dx, const T* dx_add, const T* dy, const T* y, const SoftmaxDims& d) {
  constexpr std::int64_t lanes = Vec<T>::lanes;
  const std::int64_t columns = d.columns, dx_stride = d.x_stride, y_stride = d.y_stride;
  const Vec<T> factor = Vec<T>::broadcast(static_cast<T>(d.scale));
  for (std::int64_t rows = d.rows; rows > 0; --rows) {
    const Vec<T> dot = Vec<T>::broadcast(softmax_dot(dy, y, columns));
    std::int64_t c = 0;
    for (; c + lanes <= columns; c += lanes)
      softmax_dx<T, true>(dx_add ? dx_add + c : nullptr, dy + c, y + c, dot, factor, lanes)
          .store(dx + c);
    if (c < columns)
      store_first(softmax_dx<T, false>(dx_add ? dx_add + c : nullptr, dy + c, y + c, dot, factor,
                                       columns - c),
                  dx + c, columns - c);
    dx += dx_stride;
    if (dx_add) dx_add += dx_stride;
    dy += y_stride;
    y += y_stride;
  }
}

// One vector, stored past the caches; what is read later is fetched.
template <class T>
ANTHER_INLINE void softmax_dx_streamed(T* dx, const T* dx_add, const T* dy, const T* y,
                                       const Vec<T>& dot, const Vec<T>& scale) {
  __builtin_prefetch(dy + stream_ahead);
  __builtin_prefetch(y + stream_ahead);
  if (dx_add) __builtin_prefetch(dx_add + stream_ahead);
  stream_vector(softmax_dx<T, true>(dx_add, dy, y, dot, scale, Vec<T>::lanes), dx);
}

// The same for dense rows of at least as many columns as a vector has lanes, whose dx is stored
// past the caches, as vectors side by side: `block` rows at a time, which are whole lines.
template <class T>
void softmax_backward_streamed(T* dx, const T* dx_add, const T* dy, const T* y, std::int64_t rows,
                               std::int64_t columns, std::int64_t block, T scale) {
  constexpr std::int64_t lanes = Vec<T>::lanes;
  const Vec<T> factor = Vec<T>::broadcast(scale);
  T dots[softmax_most_block];
  for (; rows > 0; rows -= block) {
    const std::int64_t here = rows < block ? rows : block;
    for (std::int64_t i = 0; i < here; ++i)
      dots[i] = softmax_dot(dy + i * columns, y + i * columns, columns);
    std::int64_t at = 0;
    for (std::int64_t i = 0; i < here; ++i) {
      const Vec<T> dot = Vec<T>::broadcast(dots[i]);
      const std::int64_t end = (i + 1) * columns;
      for (; at + lanes <= end; at += lanes)
        softmax_dx_streamed(dx + at, dx_add ? dx_add + at : nullptr, dy + at, y + at, dot, factor);
      if (at < end && i + 1 < here) {  // it ends one row and begins the next
        const Vec<T> both = first_and_rest(end - at, dot, Vec<T>::broadcast(dots[i + 1]));
        softmax_dx_streamed(dx + at, dx_add ? dx_add + at : nullptr, dy + at, y + at, both, factor);
        at += lanes;
      } else if (at < end) {
        store_first(softmax_dx<T, false>(dx_add ? dx_add + at : nullptr, dy + at, y + at, dot,
                                         factor, end - at),
                    dx + at, end - at);
      }
    }
    dx += here * columns;
    if (dx_add) dx_add += here * columns;
    dy += here * columns;
    y += here * columns;
  }
  stream_fence();
}
