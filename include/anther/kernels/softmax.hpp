// Softmax over rows: y = e^(scale x) / sum(e^(scale x)), computed after the row's maximum is taken
// off. x and y (rows, columns), whose rows may be further apart than they are wide.
//   dx = dx_add + scale y (dy - sum(dy y)).
// Backward keeps y.
#pragma once

#include <algorithm>
#include <cstdint>

#include "anther/core/parallel_for.hpp"
#include "anther/kernels/stream.hpp"
#include "anther/kernels/vec.hpp"

#define ANTHER_BODY "anther/kernels/softmax.inl"
#include "anther/kernels/for_each_isa.inl"

namespace anther::inline v0_1 {

// A stride is the distance from one row to the next: x_stride of x, dx and dx_add, y_stride of y
// and dy.
struct SoftmaxDims {
  std::int64_t rows = 0, columns = 0;
  std::int64_t x_stride = 0, y_stride = 0;
  double scale = 1;  // greater than 0

  // As many rows as are whole lines, whatever the columns, where that are not too many.
  std::int64_t tile_rows() const {
    const std::int64_t about = 8192 / std::max<std::int64_t>(columns, 1);
    return about > 16 ? about / 16 * 16 : std::max<std::int64_t>(about, 1);
  }
  bool is_dense() const { return x_stride == columns && y_stride == columns; }
  std::int64_t tiles() const { return (rows + tile_rows() - 1) / tile_rows(); }
};

// y may be x. A row with a NaN, or with an infinite maximum, becomes NaN.
template <class T>
void softmax_forward(T* y, const T* x, const SoftmaxDims& d) {
  if (d.columns == 0) return;
  const T* const none = nullptr;
  parallel_for(d.tiles(), d.rows * d.columns, [&](std::int64_t tile) {
    const std::int64_t row = tile * d.tile_rows();
    const T* const from = x + row * d.x_stride;
    stream_pieces(d.is_dense() && is_streamed<T>(d.rows * d.columns), y + row * d.y_stride, from,
                  none, none, std::min(d.tile_rows(), d.rows - row) * d.y_stride, d.y_stride,
                  [&](T* to, std::int64_t i, std::int64_t length, StreamedPiece<T>& before) {
                    ANTHER_SELECT(softmax_forward<T>)
                    (to, from + i / d.y_stride * d.x_stride, length / d.y_stride, d.columns,
                     d.y_stride, d.x_stride, static_cast<T>(d.scale), before);
                  });
  });
}

// dx_add may be null; dx may be dx_add or dy.
template <class T>
void softmax_backward(T* dx, const T* dx_add, const T* dy, const T* y, const SoftmaxDims& d) {
  if (d.columns == 0) return;
  parallel_for(d.tiles(), d.rows * d.columns / 2, [&](std::int64_t tile) {
    const std::int64_t row = tile * d.tile_rows();
    const T* const add = dx_add ? dx_add + row * d.x_stride : nullptr;
    const T *const gradient = dy + row * d.y_stride, *const value = y + row * d.y_stride;
    stream_pieces(d.is_dense() && is_streamed<T>(d.rows * d.columns), dx + row * d.x_stride, add,
                  gradient, value, std::min(d.tile_rows(), d.rows - row) * d.x_stride, d.x_stride,
                  [&](T* to, std::int64_t i, std::int64_t length, StreamedPiece<T>& before) {
                    const std::int64_t at = i / d.x_stride * d.y_stride;
                    ANTHER_SELECT(softmax_backward<T>)
                    (to, add ? add + i : nullptr, gradient + at, value + at, length / d.x_stride,
                     d.columns, d.x_stride, d.y_stride, static_cast<T>(d.scale), before);
                  });
  });
}

}  // namespace anther::inline v0_1
