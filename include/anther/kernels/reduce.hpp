// Reductions over any axes: sums, sums of squares, greatest and least elements. x is seen as
// (outer, extent, inner), where the middle one is reduced; several axes that are not neighbours are
// reduced one after another, the last first.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "anther/kernels/broadcast.hpp"

namespace anther::inline v0_1::kernels {

enum class Reduction { sum, sum_of_squares, max, min };

struct ReduceDims {
  std::int64_t outer = 1, extent = 1, inner = 1;

  // Calls visit with all members, in their order.
  template <class Visit>
  constexpr decltype(auto) members(const Visit& visit) const {
    return visit(outer, extent, inner);
  }
  std::int64_t results() const { return outer * inner; }
  // Into how many parts the reduced axis is cut, so that threads can share it where there are few
  // results. It follows from the shape alone.
  std::int64_t parts() const {
    constexpr std::int64_t least = 4096, most = 64;
    if (results() >= most) return 1;
    return std::clamp<std::int64_t>(extent * inner / least, 1,
                                    std::clamp<std::int64_t>(extent, 1, most));
  }
};

#define ANTHER_BODY "anther/kernels/reduce.inl"
#include "anther/kernels/for_each_isa.inl"

// In elements.
inline std::int64_t reduce_workspace(const ReduceDims& d) {
  return d.parts() > 1 ? d.parts() * d.results() : 0;
}

// y (outer, inner) = the reduction of x (outer, extent, inner).
template <class T, Reduction op>
void reduce(T* y, const T* x, T* workspace, const ReduceDims& d) {
  const auto body = ANTHER_SELECT(reduce_columns<T, op>);
  const std::int64_t parts = d.parts(), size = (d.extent + parts - 1) / parts;
  // Columns of one tile: wide rows are cut.
  const std::int64_t columns = std::min<std::int64_t>(d.inner, 256);
  const std::int64_t cuts = (d.inner + columns - 1) / std::max<std::int64_t>(columns, 1);
  T* const to = parts > 1 ? workspace : y;
  // A unit is one part of one cut of one outer element; a tile has several small ones.
  const std::int64_t units = d.outer * parts * cuts;
  const std::int64_t together =
      std::max<std::int64_t>(map_block / std::max<std::int64_t>(size * columns, 1), 1);
  parallel_for(
      (units + together - 1) / together, d.outer * d.extent * d.inner / 8, [&](std::int64_t tile) {
        const std::int64_t end = std::min(units, (tile + 1) * together);
        for (std::int64_t unit = tile * together; unit < end; ++unit) {
          const std::int64_t row = unit / cuts, column = unit % cuts * columns;
          const std::int64_t first = std::min(row % parts * size, d.extent);
          body(to + row * d.inner + column, x + (row / parts * d.extent + first) * d.inner + column,
               std::min(size, d.extent - first), std::min(columns, d.inner - column), d.inner);
        }
      });
  if (parts == 1) return;
  constexpr Reduction join = op == Reduction::sum_of_squares ? Reduction::sum : op;
  const auto join_parts = ANTHER_SELECT(reduce_columns<T, join>);
  for (std::int64_t outer = 0; outer < d.outer; ++outer)
    join_parts(y + outer * d.inner, workspace + outer * parts * d.inner, parts, d.inner, d.inner);
}

// dx = dx_add + dy where x is the greatest or least element y, shared where there are several; 0
// elsewhere. Where y is NaN, so is dx, as in PyTorch. dx_add may be null.
template <class T>
void reduce_extreme_backward(T* dx, const T* dx_add, const T* dy, const T* y, const T* x,
                             const ReduceDims& d) {
  parallel_for(d.results(), d.results() * d.extent, [&](std::int64_t result) {
    const std::int64_t outer = result / d.inner, inner = result % d.inner;
    const std::int64_t first = outer * d.extent * d.inner + inner;
    std::int64_t equal = 0;
    for (std::int64_t i = 0; i < d.extent; ++i) equal += x[first + i * d.inner] == y[result];
    const T share =
        equal > 0 ? dy[result] / static_cast<T>(equal) : std::numeric_limits<T>::quiet_NaN();
    for (std::int64_t i = 0; i < d.extent; ++i) {
      const std::int64_t at = first + i * d.inner;
      const T contribution = equal == 0 || x[at] == y[result] ? share : T(0);
      dx[at] = dx_add ? dx_add[at] + contribution : contribution;
    }
  });
}

}  // namespace anther::inline v0_1::kernels
