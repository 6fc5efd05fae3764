// Stores past the caches, for results that do not fit them. An ordinary store reads each line
// before it is written, and takes the place of lines that are still to be read; a non-temporal one
// does neither, but it wants whole lines.
//
// A kernel whose last pass is vectors side by side stores them so as it computes them. LayerNorm,
// whose rows are few vectors and no whole lines, computes a piece of the result in a buffer of the
// first-level cache; and between the steps of the next piece's computation the buffer is stored and
// what is read after that fetched, a few lines at a time, for a processor computes and waits for
// memory at once only what it finds within some hundred instructions.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>

#include "anther/kernels/vec.hpp"

namespace anther::inline v0_1::kernels {

// A piece of a result in a buffer, which goes to `to`, a line's beginning, while as many elements
// of a, b and c, which may be null, are fetched. Of no elements: there is nothing to send.
template <class T>
struct StreamedPiece {
  T* to = nullptr;
  const T* from = nullptr;
  const T *a = nullptr, *b = nullptr, *c = nullptr;
  std::int64_t count = 0;
};

#define ANTHER_BODY "anther/kernels/stream.inl"
#include "anther/kernels/for_each_isa.inl"

// Results from this many bytes on are stored past the caches: with an input as large they fill a
// last-level cache of 32 MiB.
inline constexpr std::int64_t streamed_bytes = std::int64_t{16} << 20;

template <class T>
constexpr bool is_streamed(std::int64_t result_elements) {
  return result_elements * static_cast<std::int64_t>(sizeof(T)) >= streamed_bytes;
}

// Elements of a tile of such a result, about: at its end a thread waits for its stores.
inline constexpr std::int64_t streamed_tile = std::int64_t{1} << 15;

// Elements of a piece, about; the most that one may have; and how far ahead a kernel fetches that
// needs no buffer.
inline constexpr std::int64_t stream_piece = 512, most_stream_piece = 8192, stream_ahead = 1024;

inline bool is_at_line(const void* to) {
  return reinterpret_cast<std::uintptr_t>(to) % 64 == 0;
}

// What other threads are told afterwards must not overtake stores past the caches.
inline void stream_fence() {
#if defined(__x86_64__)
  __builtin_ia32_sfence();
#endif
}

// Calls compute(to, at, length, before): the elements at, ..., at + length - 1 of y to `to`. If
// `streamed`, for pieces of whole lines that are multiples of `unit` elements, to a buffer, with
// the piece before, whose lines compute may send (stream_lines); else once, for all of y. What
// compute reads at the same places of a, b and c, which may be null, is fetched ahead; each of them
// may be y.
template <class T, class Compute>
void stream_pieces(bool streamed, T* y, const T* a, const T* b, const T* c, std::int64_t count,
                   std::int64_t unit, const Compute& compute) {
  unit = std::lcm(unit, 64 / static_cast<std::int64_t>(sizeof(T)));
  StreamedPiece<T> before;
  if (!streamed || unit > most_stream_piece || !is_at_line(y))
    return compute(y, std::int64_t{0}, count, before);
  // Not a multiple of a page apart: a load is held up by a store that differs in higher bits only;
  // at a page and at half a page, for a store that crosses into the next page takes long.
  alignas(4096) T buffers[2][most_stream_piece + 512];
  const std::int64_t piece = std::max(stream_piece / unit, std::int64_t{1}) * unit;
  for (std::int64_t at = 0; at < count; at += piece) {
    const std::int64_t length = std::min(piece, count - at), ahead = at + 2 * piece;
    T* const buffer = buffers[at / piece % 2];
    compute(buffer, at, length, before);
    ANTHER_SELECT(stream_rest<T>)(before);
    before = {y + at, buffer, a ? a + ahead : a, b ? b + ahead : b, c ? c + ahead : c, length};
  }
  ANTHER_SELECT(stream_rest<T>)(before);
  stream_fence();
}

}  // namespace anther::inline v0_1::kernels
