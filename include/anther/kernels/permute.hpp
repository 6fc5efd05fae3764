// Copies with the axes in another order.
#pragma once

#include <algorithm>
#include <cstdint>

#include "anther/core/parallel_for.hpp"

namespace anther::inline v0_1::kernels {

// y is contiguous; from one element of its axis i to the next, x goes on by x_stride[i].
struct PermuteDims {
  static constexpr int max_rank = 6;
  std::int64_t rank = 1;
  std::int64_t extent[max_rank] = {1, 1, 1, 1, 1, 1};
  std::int64_t x_stride[max_rank] = {};

  // Adds an axis, outermost first; one that goes on where the last one ends becomes part of it.
  void add_axis(std::int64_t size, std::int64_t stride) {
    const auto last = rank - 1;
    if (size == 1) return;
    if (extent[last] == 1) {
      extent[last] = size, x_stride[last] = stride;
    } else if (x_stride[last] == stride * size) {
      extent[last] *= size, x_stride[last] = stride;
    } else {
      extent[rank] = size, x_stride[rank] = stride;
      ++rank;
    }
  }
  std::int64_t count() const {
    std::int64_t product = 1;
    for (int axis = 0; axis < rank; ++axis) product *= extent[axis];
    return product;
  }

  // Calls visit with all members, in their order.
  template <class Visit>
  constexpr decltype(auto) members(const Visit& visit) const {
    return visit(rank, Members{extent}, Members{x_stride});
  }
  struct Members {
    const std::int64_t (&of)[max_rank];
    template <class Visit>
    constexpr decltype(auto) members(const Visit& visit) const {
      return visit(of[0], of[1], of[2], of[3], of[4], of[5]);
    }
  };
};

// y = y_add + x in the other order; y_add may be null. The last two axes of y are copied in
// squares, so that both sides stay in the cache.
template <class T>
void permute(T* y, const T* y_add, const T* x, const PermuteDims& d) {
  const auto last = d.rank - 1;
  const std::int64_t columns = d.extent[last], step = d.x_stride[last];
  const std::int64_t rows = d.rank > 1 ? d.extent[last - 1] : 1;
  const std::int64_t row_step = d.rank > 1 ? d.x_stride[last - 1] : 0;
  if (d.count() == 0) return;
  constexpr std::int64_t square = 16;
  const std::int64_t strips = (rows + square - 1) / square;  // of one outer element
  const std::int64_t outers = d.count() / (rows * columns);
  const std::int64_t together = std::max<std::int64_t>(16384 / (square * columns), 1);
  parallel_for((outers * strips + together - 1) / together, d.count() / 2, [&](std::int64_t tile) {
    const std::int64_t end = std::min(outers * strips, (tile + 1) * together);
    for (std::int64_t strip = tile * together; strip < end; ++strip) {
      std::int64_t from = 0, rest = strip / strips;
      for (auto axis = last - 2; axis >= 0; --axis) {
        from += rest % d.extent[axis] * d.x_stride[axis];
        rest /= d.extent[axis];
      }
      const std::int64_t first = strip % strips * square, past = std::min(first + square, rows);
      const std::int64_t to = strip / strips * rows * columns;
      // Whole rows where they are contiguous, else squares.
      const std::int64_t width = step == 1 ? columns : square;
      for (std::int64_t left = 0; left < columns; left += width) {
        const std::int64_t right = std::min(left + width, columns);
        for (std::int64_t row = first; row < past; ++row) {
          const T* source = x + from + row * row_step;
          const std::int64_t at = to + row * columns;
          for (std::int64_t c = left; c < right; ++c)
            y[at + c] = y_add ? y_add[at + c] + source[c * step] : source[c * step];
        }
      }
    }
  });
}

}  // namespace anther::inline v0_1::kernels
