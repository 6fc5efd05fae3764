// Softmax over rows: y = e^(scale x) / sum(e^(scale x)), computed after the row's maximum is taken
// off. x and y (rows, columns), whose rows may be further apart than they are wide.
//   dx = dx_add + scale y (dy - sum(dy y)).
// Backward keeps y.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>

#include "anther/core/parallel_for.hpp"
#include "anther/kernels/stream.hpp"
#include "anther/kernels/vec.hpp"

namespace anther::inline v0_1::kernels {

// Results that are stored past the caches: a block of rows, whole lines and at least two rows, has
// about softmax_elements elements, at most softmax_most_elements, and at most softmax_most_block
// rows.
inline constexpr std::int64_t softmax_elements = 512, softmax_most_elements = 8192,
                              softmax_most_block = 32;

// A stride is the distance from one row to the next: x_stride of x, dx and dx_add, y_stride of y
// and dy.
struct SoftmaxDims {
  std::int64_t rows = 0, columns = 0;
  std::int64_t x_stride = 0, y_stride = 0;
  double scale = 1;  // greater than 0

  // Calls visit with all members, in their order.
  template <class Visit>
  constexpr decltype(auto) members(const Visit& visit) const {
    return visit(rows, columns, x_stride, y_stride, scale);
  }

  // The rows of a tile: as many as are whole lines, whatever the columns, where that are not too
  // many.
  std::int64_t tile_rows(bool streamed) const {
    const std::int64_t about =
        (streamed ? streamed_tile : 8192) / std::max<std::int64_t>(columns, 1);
    return about > 16 ? about / 16 * 16 : std::max<std::int64_t>(about, 1);
  }

  // The rows of a block of y or dx that is stored past the caches; 0: none is.
  template <class T>
  std::int64_t streamed_rows(const T* to) const {
    if (x_stride != columns || y_stride != columns || columns < 16 ||
        !is_streamed<T>(rows * columns) || !is_at_line(to))
      return 0;
    const std::int64_t whole = 16 / std::gcd(columns, std::int64_t{16});
    const std::int64_t least = std::max<std::int64_t>(whole, 2);
    if (least * columns > softmax_most_elements) return 0;
    return std::max<std::int64_t>(softmax_elements / (least * columns), 1) * least;
  }
};

#define ANTHER_BODY "anther/kernels/softmax.inl"
#include "anther/kernels/for_each_isa.inl"

// y may be x. A row with a NaN, or with an infinite maximum, becomes NaN.
template <class T>
void softmax_forward(T* y, const T* x, const SoftmaxDims& d) {
  if (d.columns == 0) return;
  const std::int64_t block = d.streamed_rows(y);
  const T scale = static_cast<T>(d.scale);
  const std::int64_t tile_rows = d.tile_rows(block != 0);
  parallel_for((d.rows + tile_rows - 1) / tile_rows, d.rows * d.columns, [&](std::int64_t tile) {
    const std::int64_t row = tile * tile_rows, here = std::min(tile_rows, d.rows - row);
    T* const to = y + row * d.y_stride;
    const T* const from = x + row * d.x_stride;
    if (block == 0) {
      ANTHER_SELECT(softmax_forward<T>)
      (to, from, {here, d.columns, d.x_stride, d.y_stride, d.scale});
    } else {
      // At a page: a store that crosses into the next waits for those past the caches.
      alignas(4096) T powers[softmax_most_elements];
      ANTHER_SELECT(softmax_forward_streamed<T>)(to, from, powers, here, d.columns, block, scale);
    }
  });
}

// dx_add may be null; dx may be dx_add or dy.
template <class T>
void softmax_backward(T* dx, const T* dx_add, const T* dy, const T* y, const SoftmaxDims& d) {
  if (d.columns == 0) return;
  const std::int64_t block = d.streamed_rows(dx);
  const T scale = static_cast<T>(d.scale);
  const std::int64_t tile_rows = d.tile_rows(block != 0);
  parallel_for(
      (d.rows + tile_rows - 1) / tile_rows, d.rows * d.columns / 2, [&](std::int64_t tile) {
        const std::int64_t row = tile * tile_rows, here = std::min(tile_rows, d.rows - row);
        T* const to = dx + row * d.x_stride;
        const T* const add = dx_add ? dx_add + row * d.x_stride : nullptr;
        const T *const gradient = dy + row * d.y_stride, *const value = y + row * d.y_stride;
        if (block == 0) {
          ANTHER_SELECT(softmax_backward<T>)
          (to, add, gradient, value, {here, d.columns, d.x_stride, d.y_stride, d.scale});
        } else {
          ANTHER_SELECT(softmax_backward_streamed<T>)
          (to, add, gradient, value, here, d.columns, block, scale);
        }
      });
}

}  // namespace anther::inline v0_1::kernels
