// Stores past the caches, for results that do not fit them. An ordinary store reads each line
// before it is written, and takes the place of lines that are still to be read; a non-temporal one
// does neither, but it wants whole lines, in order. So a kernel computes a piece of its result in a
// buffer of the first-level cache, whatever its order there, and the buffer is then stored so,
// while what the kernel reads next is fetched.
#pragma once

#include <algorithm>
#include <cstdint>

#include "anther/kernels/vec.hpp"

#define ANTHER_BODY "anther/kernels/stream.inl"
#include "anther/kernels/for_each_isa.inl"

namespace anther::inline v0_1 {

// Results from this many bytes on are stored past the caches: with an input as large they fill a
// last-level cache of 32 MiB.
inline constexpr std::int64_t streamed_bytes = std::int64_t{16} << 20;

template <class T>
constexpr bool is_streamed(std::int64_t result_elements) {
  return result_elements * static_cast<std::int64_t>(sizeof(T)) >= streamed_bytes;
}

// Elements of a piece, about; the most that one may have; and how far ahead an element-wise kernel,
// which needs no buffer, fetches.
inline constexpr std::int64_t stream_piece = 512, most_stream_piece = 8192, stream_ahead = 2048;

// What other threads are told afterwards must not overtake stores past the caches.
inline void stream_fence() {
#if defined(__x86_64__)
  __builtin_ia32_sfence();
#endif
}

// Calls compute(to, at, length): the elements at, ..., at + length - 1 of y to `to`. If `streamed`,
// for pieces that are multiples of `unit` elements, to the buffer; else once, for all of y. What
// compute reads at the same places of a, b and c, which may be null, is fetched ahead; each of them
// may be y.
template <class T, class Compute>
void stream_pieces(bool streamed, T* y, const T* a, const T* b, const T* c, std::int64_t count,
                   std::int64_t unit, const Compute& compute) {
  if (!streamed || unit > most_stream_piece) return compute(y, std::int64_t{0}, count);
  alignas(64) T buffer[most_stream_piece];
  const std::int64_t piece = std::max(stream_piece / unit, std::int64_t{1}) * unit;
  for (std::int64_t at = 0; at < count; at += piece) {
    const std::int64_t length = std::min(piece, count - at), ahead = at + 4 * piece;
    compute(static_cast<T*>(buffer), at, length);
    ANTHER_SELECT(stream<T>)
    (y + at, buffer, a ? a + ahead : a, b ? b + ahead : b, c ? c + ahead : c, length);
  }
  stream_fence();
}

}  // namespace anther::inline v0_1
