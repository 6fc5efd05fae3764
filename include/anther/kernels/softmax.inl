// The bodies of softmax.hpp: one row, serially.

// y = softmax(scale x) over `columns` elements; y may be x. scale > 0.
template <class T>
void softmax_row(T* y, const T* x, std::int64_t columns, T scale) {
  constexpr std::int64_t lanes = Vec<T>::lanes;
  const Vec<T> factor = Vec<T>::broadcast(scale);
  if (columns < lanes) {
    T value[lanes];
    T greatest = x[0];
    for (std::int64_t c = 1; c < columns; ++c) greatest = greatest < x[c] ? x[c] : greatest;
    exp(factor * (Vec<T>::load_partial(x, columns) - Vec<T>::broadcast(greatest))).store(value);
    T total = T(0);
    for (std::int64_t c = 0; c < columns; ++c) total += value[c];
    for (std::int64_t c = 0; c < columns; ++c) y[c] = value[c] / total;
    return;
  }
  // The last vector starts where it ends with the row; it shares `lanes - tail` lanes with the one
  // before it. So that y may be x, it is read before anything is written, and it is written last.
  const std::int64_t whole = columns / lanes * lanes, tail = columns - whole;
  const Vec<T> last = Vec<T>::load(x + columns - lanes);
  Vec<T> most0 = last, most1 = last;
  std::int64_t c = 0;
  for (; c + 2 * lanes <= whole; c += 2 * lanes) {
    most0 = max(most0, Vec<T>::load(x + c));
    most1 = max(most1, Vec<T>::load(x + c + lanes));
  }
  if (c < whole) most0 = max(most0, Vec<T>::load(x + c));
  const Vec<T> greatest = Vec<T>::broadcast(max_lane(max(most0, most1)));

  Vec<T> total = Vec<T>::zero();
  for (c = 0; c < whole; c += lanes) {
    const Vec<T> power = exp(factor * (Vec<T>::load(x + c) - greatest));
    power.store(y + c);
    total = total + power;
  }
  Vec<T> last_power = Vec<T>::zero();
  if (tail != 0) {
    Vec<T> number;
    ANTHER_UNROLL for (int i = 0; i < lanes; ++i) number.raw[i] = static_cast<T>(i);
    last_power = exp(factor * (last - greatest));
    total = total + select_less(number, Vec<T>::broadcast(static_cast<T>(lanes - tail)),
                                Vec<T>::zero(), last_power);
  }
  const Vec<T> share = Vec<T>::broadcast(T(1) / sum(total));
  for (c = 0; c < whole; c += lanes) (Vec<T>::load(y + c) * share).store(y + c);
  if (tail != 0) (last_power * share).store(y + columns - lanes);
}

// dx = dx_add + scale y (dy - sum(dy y)); dx may be dy or dx_add.
template <class T>
void softmax_backward_row(T* dx, const T* dx_add, const T* dy, const T* y, std::int64_t columns,
                          T scale) {
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
  }
  if (c == columns) return;
  const std::int64_t left = columns - c;
  Vec<T> value =
      factor * Vec<T>::load_partial(y + c, left) * (Vec<T>::load_partial(dy + c, left) - dot);
  if (dx_add) value = Vec<T>::load_partial(dx_add + c, left) + value;
  store_first(value, dx + c, left);
}

// The same without dx_add.
template <class T>
ANTHER_INLINE void softmax_backward_row(T* dx, const T* dy, const T* y, std::int64_t columns,
                                        T scale) {
  softmax_backward_row(dx, static_cast<const T*>(nullptr), dy, y, columns, scale);
}

template <class T>
void softmax_forward(T* y, const T* x, std::int64_t rows, std::int64_t columns,
                     std::int64_t y_stride, std::int64_t x_stride, T scale) {
  for (std::int64_t row = 0; row < rows; ++row)
    softmax_row(y + row * y_stride, x + row * x_stride, columns, scale);
}

template <class T>
void softmax_backward(T* dx, const T* dx_add, const T* dy, const T* y, std::int64_t rows,
                      std::int64_t columns, std::int64_t dx_stride, std::int64_t y_stride,
                      T scale) {
  for (std::int64_t row = 0; row < rows; ++row)
    softmax_backward_row(dx + row * dx_stride, dx_add ? dx_add + row * dx_stride : nullptr,
                         dy + row * y_stride, y + row * y_stride, columns, scale);
}
