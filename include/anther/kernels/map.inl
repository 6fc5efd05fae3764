// map: the loop of the element-wise kernels. See map.hpp.

template <class T, bool streamed, class Op>
ANTHER_INLINE std::int64_t map_whole(T* y, const T* add, const T* a, const T* b, std::int64_t count,
                                     const Op& op) {
  constexpr std::int64_t lanes = Vec<T>::lanes;
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    if (streamed) {
      __builtin_prefetch(a + i + stream_ahead);
      if (b != a) __builtin_prefetch(b + i + stream_ahead);
    }
    Vec<T> value = op(Vec<T>::load(a + i), Vec<T>::load(b + i));
    if (add) value = Vec<T>::load(add + i) + value;
    if (streamed)
      stream_vector(value, y + i);
    else
      value.store(y + i);
  }
  if (streamed) stream_fence();
  return i;
}

// y[i] = add[i] + op(a[i], b[i]) for i < count; add may be null. Each of add, a and b may be y.
// Op is a struct whose operator() maps two vectors to one. streamed: y is stored past the caches.
template <class T, class Op>
ANTHER_INLINE void map(T* y, const T* add, const T* a, const T* b, std::int64_t count, const Op& op,
                       bool streamed = false) {
  const bool is_aligned = reinterpret_cast<std::uintptr_t>(y) % sizeof(Vec<T>) == 0;
  const std::int64_t i = streamed && is_aligned ? map_whole<T, true>(y, add, a, b, count, op)
                                                : map_whole<T, false>(y, add, a, b, count, op);
  if (i == count) return;
  const std::int64_t left = count - i;
  Vec<T> value = op(Vec<T>::load_partial(a + i, left), Vec<T>::load_partial(b + i, left));
  if (add) value = Vec<T>::load_partial(add + i, left) + value;
  value.store_partial(y + i, left);
}
