// The bodies of softmax.hpp.

// How many rows each of a softmax's three passes takes at once: a row's sum is waited for, while
// there is work left in the others.
constexpr std::int64_t softmax_block = 8;

template <class T>
constexpr T log2_e = T(1.44269504088896340736);

// Fewer columns than a vector has lanes.
template <class T>
void softmax_short_row(T* y, const T* x, std::int64_t columns, T scale) {
  T value[Vec<T>::lanes];
  T greatest = x[0];
  for (std::int64_t c = 1; c < columns; ++c) greatest = greatest < x[c] ? x[c] : greatest;
  const Vec<T> below = Vec<T>::load_partial(x, columns) - Vec<T>::broadcast(greatest);
  exp2(Vec<T>::broadcast(scale * log2_e<T>) * below).store(value);
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
// written, so that y may be x; of what it shares it is the same.
template <class T>
ANTHER_INLINE T softmax_powers(T* y, const T* x, std::int64_t columns, T scale, T greatest_x,
                               StreamedPiece<T>& before) {
  constexpr std::int64_t lanes = Vec<T>::lanes;
  const std::int64_t whole = columns / lanes * lanes, tail = columns - whole;
  const Vec<T> factor = Vec<T>::broadcast(scale * log2_e<T>);
  const Vec<T> greatest = Vec<T>::broadcast(greatest_x);
  const Vec<T> last = Vec<T>::load(x + columns - lanes);
  Vec<T> total = Vec<T>::zero();
  for (std::int64_t c = 0; c < whole; c += lanes) {
    const Vec<T> power = exp2(factor * (Vec<T>::load(x + c) - greatest));
    power.store(y + c);
    total = total + power;
    stream_lines<1>(before);
  }
  if (tail != 0) {
    Vec<T> number;
    ANTHER_UNROLL for (int i = 0; i < lanes; ++i) number.raw[i] = static_cast<T>(i);
    const Vec<T> power = exp2(factor * (last - greatest));
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

// y = softmax(scale x) over each row; y may be x. scale > 0. before: see stream_pieces.
template <class T>
void softmax_forward(T* y, const T* x, std::int64_t rows, std::int64_t columns,
                     std::int64_t y_stride, std::int64_t x_stride, T scale,
                     StreamedPiece<T>& before) {
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
          softmax_powers(y + i * y_stride, x + i * x_stride, columns, scale, greatest[i], before);
    for (std::int64_t i = 0; i < here; ++i) softmax_shares(y + i * y_stride, columns, total[i]);
    y += here * y_stride;
    x += here * x_stride;
  }
}

// dx = dx_add + scale y (dy - sum(dy y)); dx may be dy or dx_add.
template <class T>
ANTHER_INLINE void softmax_backward_row(T* dx, const T* dx_add, const T* dy, const T* y,
                                        std::int64_t columns, T scale, StreamedPiece<T>& before) {
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
  const Vec<T> dot = Vec<T>::broadcast(sum(sum0 + sum1));
  const Vec<T> factor = Vec<T>::broadcast(scale);
  for (c = 0; c + lanes <= columns; c += lanes) {
    Vec<T> value = factor * Vec<T>::load(y + c) * (Vec<T>::load(dy + c) - dot);
    if (dx_add) value = Vec<T>::load(dx_add + c) + value;
    value.store(dx + c);
    stream_lines<1>(before);
  }
  if (c == columns) return;
  const std::int64_t left = columns - c;
  Vec<T> value =
      factor * Vec<T>::load_partial(y + c, left) * (Vec<T>::load_partial(dy + c, left) - dot);
  if (dx_add) value = Vec<T>::load_partial(dx_add + c, left) + value;
  store_first(value, dx + c, left);
}

template <class T>
void softmax_backward(T* dx, const T* dx_add, const T* dy, const T* y, std::int64_t rows,
                      std::int64_t columns, std::int64_t dx_stride, std::int64_t y_stride, T scale,
                      StreamedPiece<T>& before) {
  for (std::int64_t row = 0; row < rows; ++row)
    softmax_backward_row(dx + row * dx_stride, dx_add ? dx_add + row * dx_stride : nullptr,
                         dy + row * y_stride, y + row * y_stride, columns, scale, before);
}
