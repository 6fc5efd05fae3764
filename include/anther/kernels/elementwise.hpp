// Element-wise operations, drop path (Huang et al., "Deep networks with stochastic depth", 2016),
// dropout (Srivastava et al. 2014) and column sums. An output may be any of its inputs, unless said
// otherwise. Backward keeps the factors for scale_samples, and only the key for dropout.
#pragma once

#include <algorithm>
#include <cstdint>

#include "anther/core/random.hpp"
#include "anther/kernels/map.hpp"

namespace anther::inline v0_1::kernels {

#define ANTHER_BODY "anther/kernels/elementwise.inl"
#include "anther/kernels/for_each_isa.inl"

// y = a + b.
template <class T>
void add(T* y, const T* a, const T* b, std::int64_t count) {
  for_blocks(count, 400, [&](std::int64_t first, std::int64_t length, std::int64_t) {
    ANTHER_SELECT(add<T>)(y + first, a + first, b + first, length, is_streamed<T>(count));
  });
}

// y = y_add + factor x; y_add may be null.
template <class T>
void scale(T* y, const T* y_add, const T* x, T factor, std::int64_t count) {
  for_blocks(count, 400, [&](std::int64_t first, std::int64_t length, std::int64_t) {
    ANTHER_SELECT(scale<T>)
    (y + first, y_add ? y_add + first : nullptr, x + first, factor, length, is_streamed<T>(count));
  });
}

struct SampleDims {
  std::int64_t samples = 0;
  std::int64_t size = 0;  // elements of a sample

  // Calls visit with all members, in their order.
  template <class Visit>
  constexpr decltype(auto) members(const Visit& visit) const {
    return visit(samples, size);
  }
};

// y[n] = y_add[n] + factors[n] x[n] for every sample n. y, y_add and x (samples, size), factors
// (samples); y_add may be null. Its own backward: dx = dx_add + factors dy. Drop path's factor is
// 0, or 1 / (1 - p).
template <class T>
void scale_samples(T* y, const T* y_add, const T* x, const T* factors, const SampleDims& d) {
  const std::int64_t blocks = map_blocks(d.size);
  parallel_for(d.samples * blocks, d.samples * d.size * 2 / 5, [&](std::int64_t tile) {
    const std::int64_t sample = tile / blocks, start = tile % blocks * map_block;
    const std::int64_t first = sample * d.size + start;
    ANTHER_SELECT(scale<T>)
    (y + first, y_add ? y_add + first : nullptr, x + first, factors[sample],
     std::min(map_block, d.size - start), is_streamed<T>(d.samples * d.size));
  });
}

// Whether dropout keeps the elements 4 i to 4 i + 3: those whose word is at least p 2^32.
inline std::array<std::uint32_t, 4> dropout_words(RandomKey key, std::uint64_t i) {
  return philox({static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(i >> 32), 2, 0},
                key.value());
}

// Forward and backward: y = y_add + x / (1 - p) with the probability 1 - p, otherwise y_add; y_add
// may be null. The random number of an element follows from the key and its index.
template <class T>
void dropout(T* y, const T* y_add, const T* x, std::int64_t count, double p, RandomKey key) {
  const auto least = static_cast<std::uint64_t>(p * 0x1p32);
  const T factor[] = {T(0), static_cast<T>(p < 1 ? 1 / (1 - p) : 0)};  // dropped, kept
  for_blocks(count, 3000, [&](std::int64_t first, std::int64_t length, std::int64_t) {
    for (std::int64_t i = first; i < first + length; i += 4) {
      const auto words = dropout_words(key, static_cast<std::uint64_t>(i) / 4);
      const std::int64_t end = std::min<std::int64_t>(first + length - i, 4);
      for (std::int64_t j = 0; j < end; ++j) {
        const T value = x[i + j] * factor[words[static_cast<std::size_t>(j)] >= least];
        y[i + j] = y_add ? y_add[i + j] + value : value;
      }
    }
  });
}
struct ColumnSumsDims {
  std::int64_t rows = 0, columns = 0;
  std::int64_t stride = 0;  // from one row of dy to the next

  // Calls visit with all members, in their order.
  template <class Visit>
  constexpr decltype(auto) members(const Visit& visit) const {
    return visit(rows, columns, stride);
  }

  // Rows of one tile: about map_block elements, a multiple of 8.
  std::int64_t tile_rows() const {
    return std::max<std::int64_t>(map_block / std::max<std::int64_t>(columns, 1) / 8 * 8, 8);
  }
  std::int64_t tiles() const { return (rows + tile_rows() - 1) / tile_rows(); }
  std::int64_t padded_columns() const { return (columns + 15) / 16 * 16; }
};

// In elements; 64-byte-aligned memory keeps two threads from sharing a cache line.
inline std::int64_t column_sums_workspace(const ColumnSumsDims& d) {
  return d.tiles() * d.padded_columns();
}

// dbias[c] += the sum over the rows of dy[r][c]. dbias (columns), dy (rows, columns). A bias's
// gradient.
template <class T>
void column_sums(T* dbias, const T* dy, T* workspace, const ColumnSumsDims& d) {
  const std::int64_t step = d.tile_rows(), padded = d.padded_columns();
  const auto body = ANTHER_SELECT(column_sums<T>);
  parallel_for(d.tiles(), d.rows * d.columns / 4, [&](std::int64_t tile) {
    T* sum = workspace + tile * padded;
    std::fill_n(sum, padded, T(0));
    body(sum, dy + tile * step * d.stride, std::min(step, d.rows - tile * step), d.columns,
         d.stride);
  });
  body(dbias, workspace, d.tiles(), d.columns, padded);
}

}  // namespace anther::inline v0_1::kernels
