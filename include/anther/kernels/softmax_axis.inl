// The bodies of softmax_axis.hpp: `count` elements side by side, or one row; serially.

// y = softmax(x), or its logarithm. Lanes past `count` compute with zeros.
template <class T>
void softmax_axis_forward(T* y, const T* x, const SoftmaxAxisDims& d, std::int64_t count,
                          bool logarithm) {
  constexpr std::int64_t lanes = Vec<T>::lanes;
  const std::int64_t extent = d.extent, stride = d.inner;
  const Vec<T> log2 = Vec<T>::broadcast(log2_e<T>);
  for (std::int64_t c = 0; c < count; c += lanes) {
    const std::int64_t left = count - c;
    Vec<T> greatest = Vec<T>::load_partial(x + c, left);
    for (std::int64_t k = 1; k < extent; ++k)
      greatest = max(greatest, Vec<T>::load_partial(x + k * stride + c, left));
    Vec<T> total = Vec<T>::zero();
    for (std::int64_t k = 0; k < extent; ++k) {
      const Vec<T> below = Vec<T>::load_partial(x + k * stride + c, left) - greatest;
      const Vec<T> power = exp2(below, log2);
      total = total + power;
      (logarithm ? below : power).store_partial(y + k * stride + c, left);
    }
    if (logarithm) {
      const Vec<T> log_total = log(total);
      for (std::int64_t k = 0; k < extent; ++k) {
        T* const at = y + k * stride + c;
        (Vec<T>::load_partial(at, left) - log_total).store_partial(at, left);
      }
    } else {
      const Vec<T> share = Vec<T>::broadcast(T(1)) / total;
      for (std::int64_t k = 0; k < extent; ++k) {
        T* const at = y + k * stride + c;
        (Vec<T>::load_partial(at, left) * share).store_partial(at, left);
      }
    }
  }
}

template <class T>
void softmax_axis_backward(T* dx, const T* dx_add, const T* dy, const T* y,
                           const SoftmaxAxisDims& d, std::int64_t count) {
  constexpr std::int64_t lanes = Vec<T>::lanes;
  const std::int64_t end = d.extent * d.inner;
  for (std::int64_t c = 0; c < count; c += lanes) {
    const std::int64_t left = count - c;
    Vec<T> dot = Vec<T>::zero();
    for (std::int64_t at = c; at < end; at += d.inner)
      dot = fma(Vec<T>::load_partial(dy + at, left), Vec<T>::load_partial(y + at, left), dot);
    for (std::int64_t at = c; at < end; at += d.inner) {
      const Vec<T> gradient = Vec<T>::load_partial(dy + at, left) - dot;
      Vec<T> value = Vec<T>::load_partial(y + at, left) * gradient;
      if (dx_add) value = Vec<T>::load_partial(dx_add + at, left) + value;
      value.store_partial(dx + at, left);
    }
  }
}

// dx = dx_add + dy - e^y total, one vector.
template <class T>
ANTHER_INLINE void log_softmax_dx(T* dx, const T* dx_add, const T* dy, const T* y,
                                  const Vec<T>& total, std::int64_t left) {
  const Vec<T> power = exp2(Vec<T>::load_partial(y, left), Vec<T>::broadcast(log2_e<T>));
  Vec<T> value = fma(Vec<T>::zero() - total, power, Vec<T>::load_partial(dy, left));
  if (dx_add) value = Vec<T>::load_partial(dx_add, left) + value;
  value.store_partial(dx, left);
}

template <class T>
void log_softmax_axis_backward(T* dx, const T* dx_add, const T* dy, const T* y,
                               const SoftmaxAxisDims& d, std::int64_t count) {
  constexpr std::int64_t lanes = Vec<T>::lanes;
  const std::int64_t end = d.extent * d.inner;
  for (std::int64_t c = 0; c < count; c += lanes) {
    Vec<T> total = Vec<T>::zero();
    for (std::int64_t at = c; at < end; at += d.inner)
      total = total + Vec<T>::load_partial(dy + at, count - c);
    for (std::int64_t at = c; at < end; at += d.inner)
      log_softmax_dx(dx + at, dx_add ? dx_add + at : nullptr, dy + at, y + at, total, count - c);
  }
}

template <class T>
void log_softmax_forward_row(T* y, const T* x, std::int64_t columns) {
  T greatest, log_sum, sum_below;
  log_sum_exp_row(&greatest, &log_sum, &sum_below, x, columns);
  const Vec<T> most = Vec<T>::broadcast(greatest), log_total = Vec<T>::broadcast(log_sum);
  for (std::int64_t c = 0; c < columns; c += Vec<T>::lanes) {
    const Vec<T> below = Vec<T>::load_partial(x + c, columns - c) - most;
    (below - log_total).store_partial(y + c, columns - c);
  }
}

template <class T>
void log_softmax_backward_row(T* dx, const T* dx_add, const T* dy, const T* y,
                              std::int64_t columns) {
  Vec<T> part = Vec<T>::zero();
  for (std::int64_t c = 0; c < columns; c += Vec<T>::lanes)
    part = part + Vec<T>::load_partial(dy + c, columns - c);
  const Vec<T> total = Vec<T>::broadcast(sum(part));
  for (std::int64_t c = 0; c < columns; c += Vec<T>::lanes)
    log_softmax_dx(dx + c, dx_add ? dx_add + c : nullptr, dy + c, y + c, total, columns - c);
}
