// Picks places of an axis by their numbers, as index_select and padding do. x is seen as (outer,
// extent, inner), y as (outer, count, inner): y[o, i, :] = x[o, index[i], :]; `fill` where the
// index is -1.
#pragma once

#include <algorithm>
#include <cstdint>

#include "anther/kernels/elementwise.hpp"

namespace anther::inline v0_1::kernels {

struct SelectDims {
  std::int64_t outer = 1, extent = 1, inner = 1, count = 0;

  // Calls visit with all members, in their order.
  template <class Visit>
  constexpr decltype(auto) members(const Visit& visit) const {
    return visit(outer, extent, inner, count);
  }
};

template <class T>
void select_forward(T* y, const T* x, const std::int32_t* index, T fill, const SelectDims& d) {
  const std::int64_t rows = d.outer * d.count;
  const std::int64_t together =
      std::max<std::int64_t>(map_block / std::max<std::int64_t>(d.inner, 1), 1);
  parallel_for((rows + together - 1) / together, rows * d.inner / 2, [&](std::int64_t tile) {
    const std::int64_t end = std::min(rows, (tile + 1) * together);
    for (std::int64_t row = tile * together; row < end; ++row) {
      const std::int64_t from = index[row % d.count];
      T* to = y + row * d.inner;
      if (from < 0)
        std::fill_n(to, d.inner, fill);
      else
        std::copy_n(x + (row / d.count * d.extent + from) * d.inner, d.inner, to);
    }
  });
}

// dx += dy: a place that was picked several times gets them all, in the order of the index. The
// threads share the outer elements, or parts of the inner ones.
template <class T>
void select_backward(T* dx, const T* dy, const std::int32_t* index, const SelectDims& d) {
  constexpr std::int64_t part = 4096;
  const std::int64_t parts = (d.inner + part - 1) / part;
  parallel_for(d.outer * parts, d.outer * d.count * d.inner / 2, [&](std::int64_t tile) {
    const std::int64_t outer = tile / parts, first = tile % parts * part;
    const std::int64_t size = std::min(part, d.inner - first);
    for (std::int64_t i = 0; i < d.count; ++i) {
      if (index[i] < 0) continue;
      T* to = dx + (outer * d.extent + index[i]) * d.inner + first;
      const T* from = dy + (outer * d.count + i) * d.inner + first;
      for (std::int64_t k = 0; k < size; ++k) to[k] += from[k];
    }
  });
}

}  // namespace anther::inline v0_1::kernels
