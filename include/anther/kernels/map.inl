// map: the loop of the element-wise kernels. See map.hpp.

// y[i] = add[i] + op(a[i], b[i]) for i < count; add may be null. Each of add, a and b may be y.
// Op is a struct whose operator() maps two vectors to one.
template <class T, class Op>
ANTHER_INLINE void map(T* y, const T* add, const T* a, const T* b, std::int64_t count,
                       const Op& op) {
  constexpr std::int64_t lanes = Vec<T>::lanes;
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    Vec<T> value = op(Vec<T>::load(a + i), Vec<T>::load(b + i));
    if (add) value = Vec<T>::load(add + i) + value;
    value.store(y + i);
  }
  if (i == count) return;
  const std::int64_t left = count - i;
  Vec<T> value = op(Vec<T>::load_partial(a + i, left), Vec<T>::load_partial(b + i, left));
  if (add) value = Vec<T>::load_partial(add + i, left) + value;
  value.store_partial(y + i, left);
}
