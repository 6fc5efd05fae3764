// Rows of a table by their numbers: y[i] = weight[indices[i]]. weight (rows, columns), indices
// (count), y (count, columns). Backward: dweight[indices[i]] += dy[i], in the order of i, but for
// the row padding_idx, if there is one (else it is -1).
#pragma once

#include <algorithm>
#include <cstdint>

#include "anther/kernels/elementwise.hpp"

namespace anther::inline v0_1::kernels {

struct EmbeddingDims {
  std::int64_t count = 0, columns = 0;
  std::int64_t padding_idx = -1;

  // Calls visit with all members, in their order.
  template <class Visit>
  constexpr decltype(auto) members(const Visit& visit) const {
    return visit(count, columns, padding_idx);
  }
};

template <class T>
void embedding_forward(T* y, const T* weight, const std::int32_t* indices, const EmbeddingDims& d) {
  constexpr std::int64_t block = 64;
  parallel_for((d.count + block - 1) / block, d.count * d.columns / 4, [&](std::int64_t tile) {
    for (std::int64_t i = tile * block; i < std::min((tile + 1) * block, d.count); ++i)
      std::copy_n(weight + indices[i] * d.columns, d.columns, y + i * d.columns);
  });
}

// Threads share the columns, so that each adds the rows in their order.
template <class T>
void embedding_backward(T* dweight, const T* dy, const std::int32_t* indices,
                        const EmbeddingDims& d) {
  constexpr std::int64_t block = 64;
  const auto body = ANTHER_SELECT(add<T>);
  parallel_for((d.columns + block - 1) / block, d.count * d.columns / 2, [&](std::int64_t tile) {
    const std::int64_t first = tile * block, length = std::min(block, d.columns - first);
    for (std::int64_t i = 0; i < d.count; ++i) {
      if (indices[i] == d.padding_idx) continue;
      T* const to = dweight + indices[i] * d.columns + first;
      body(to, to, dy + i * d.columns + first, length, false);
    }
  });
}

}  // namespace anther::inline v0_1::kernels
