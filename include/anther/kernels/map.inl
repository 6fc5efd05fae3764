// map: the loop of the element-wise kernels. See map.hpp.

// y[i] = add[i] + op(a[i], b[i]) for i < count; add may be null. Each of add, a and b may be y.
// Op is a struct whose operator() maps two vectors to one. streamed: y is stored past the caches.
template <class T, class Op>
ANTHER_INLINE void map(T* y, const T* add, const T* a, const T* b, std::int64_t count, const Op& op,
                       bool streamed = false) {
  constexpr std::int64_t lanes = Vec<T>::lanes;
  streamed = streamed && reinterpret_cast<std::uintptr_t>(y) % sizeof(Vec<T>) == 0;
  for (std::int64_t i = 0; i < count; i += lanes) {
    const std::int64_t left = count - i;
    const bool whole = left >= lanes;
    Vec<T> first, second;
    if (whole) {
      first.raw = Vec<T>::load(a + i).raw;
      second.raw = Vec<T>::load(b + i).raw;
    } else {
      first.raw = Vec<T>::load_partial(a + i, left).raw;
      second.raw = Vec<T>::load_partial(b + i, left).raw;
    }
    Vec<T> value = op(first, second);
    if (!whole) {
      if (add) value = Vec<T>::load_partial(add + i, left) + value;
      value.store_partial(y + i, left);
    } else {
      if (add) value = Vec<T>::load(add + i) + value;
      if (streamed) {
        __builtin_prefetch(a + i + stream_ahead);
        if (b != a) __builtin_prefetch(b + i + stream_ahead);
        stream_vector(value, y + i);
      } else {
        value.store(y + i);
      }
    }
  }
  if (streamed) stream_fence();
}
