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

// Sends the next `lines` lines of a piece on their way, if it has as many left.
template <int lines, class T>
ANTHER_INLINE void stream_lines(StreamedPiece<T>& piece) {
  constexpr std::int64_t lanes = Vec<T>::lanes, line = 64 / static_cast<std::int64_t>(sizeof(T));
  if (piece.count < lines * line) return;
  ANTHER_UNROLL for (int i = 0; i < lines * line; i += line) {
    if (piece.a) __builtin_prefetch(piece.a + i);
    if (piece.b) __builtin_prefetch(piece.b + i);
    if (piece.c) __builtin_prefetch(piece.c + i);
    ANTHER_UNROLL for (std::int64_t j = 0; j < line; j += lanes)
        stream_vector(Vec<T>::load(piece.from + i + j), piece.to + i + j);
  }
  piece.to += lines * line;
  piece.from += lines * line;
  if (piece.a) piece.a += lines * line;
  if (piece.b) piece.b += lines * line;
  if (piece.c) piece.c += lines * line;
  piece.count -= lines * line;
}

// Sends the rest of it.
template <class T>
void stream_rest(StreamedPiece<T>& piece) {
  while (piece.count >= 64 / static_cast<std::int64_t>(sizeof(T))) stream_lines<1>(piece);
  if (piece.count == 0) return;
  __builtin_memcpy(piece.to, piece.from, static_cast<std::size_t>(piece.count) * sizeof(T));
  piece.count = 0;
}
