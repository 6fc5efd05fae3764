// The body of stream.hpp.

template <class T>
ANTHER_INLINE void stream_vector(const Vec<T>& value, T* to) {
#if defined(__clang__)
  __builtin_nontemporal_store(value.raw, reinterpret_cast<typename Vec<T>::Raw*>(to));
#elif ANTHER_VECTOR_ISA == 3
  if constexpr (sizeof(T) == 4)
    __builtin_ia32_movntps512(to, value.raw);
  else
    __builtin_ia32_movntpd512(to, value.raw);
#elif ANTHER_VECTOR_ISA == 2
  if constexpr (sizeof(T) == 4)
    __builtin_ia32_movntps256(to, value.raw);
  else
    __builtin_ia32_movntpd256(to, value.raw);
#elif defined(__x86_64__) && !defined(ANTHER_TEST_BASELINE_VECTOR_BYTES)
  if constexpr (sizeof(T) == 4)
    __builtin_ia32_movntps(to, value.raw);
  else
    __builtin_ia32_movntpd(to, value.raw);
#else
  value.store(to);
#endif
}

// Copies `count` elements past the caches, and fetches as many of a, b and c, which may be null.
template <class T>
void stream(T* to, const T* from, const T* a, const T* b, const T* c, std::int64_t count) {
  constexpr std::int64_t lanes = Vec<T>::lanes;
  constexpr std::int64_t line = 64 / static_cast<std::int64_t>(sizeof(T));
  const auto past = static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(to) % 64);
  std::int64_t i = (64 - past) % 64 / static_cast<std::int64_t>(sizeof(T));  // of the first line
  if (i > count) i = count;
  __builtin_memcpy(to, from, static_cast<std::size_t>(i) * sizeof(T));
  for (; i + line <= count; i += line) {
    if (a) __builtin_prefetch(a + i);
    if (b) __builtin_prefetch(b + i);
    if (c) __builtin_prefetch(c + i);
    ANTHER_UNROLL for (std::int64_t j = 0; j < line; j += lanes)
        stream_vector(Vec<T>::load(from + i + j), to + i + j);
  }
  __builtin_memcpy(to + i, from + i, static_cast<std::size_t>(count - i) * sizeof(T));
}
