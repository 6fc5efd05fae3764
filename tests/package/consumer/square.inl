// y = x^2 and dx = dx_add + 2 x dy, compiled for each instruction set.

template <class T>
void square_forward(T* y, const T* x, std::int64_t count) {
  for (std::int64_t i = 0; i < count; i += Vec<T>::lanes) {
    const Vec<T> value = Vec<T>::load_partial(x + i, count - i);
    (value * value).store_partial(y + i, count - i);
  }
}

template <class T>
void square_backward(T* dx, const T* dx_add, const T* dy, const T* x, std::int64_t count) {
  for (std::int64_t i = 0; i < count; i += Vec<T>::lanes) {
    const Vec<T> value = Vec<T>::load_partial(x + i, count - i);
    Vec<T> gradient = (value + value) * Vec<T>::load_partial(dy + i, count - i);
    if (dx_add) gradient = gradient + Vec<T>::load_partial(dx_add + i, count - i);
    gradient.store_partial(dx + i, count - i);
  }
}
