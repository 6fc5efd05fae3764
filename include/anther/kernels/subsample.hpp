// Every stride-th pixel in both directions: y = x[:, ::r, ::r, :].
// x (N, H, W, C), y (N, ceil(H / r), ceil(W / r), C). Backward keeps nothing.
#pragma once

#include <cstdint>

#include "anther/core/parallel_for.hpp"
#include "anther/kernels/vec.hpp"

namespace anther::inline v0_1::kernels {

struct SubsampleDims {
  std::int64_t batch = 0, height = 0, width = 0, channels = 0;  // of x
  std::int64_t stride = 1;

  // Calls visit with all members, in their order.
  template <class Visit>
  constexpr decltype(auto) members(const Visit& visit) const {
    return visit(batch, height, width, channels, stride);
  }

  std::int64_t out_height() const { return rounded_up(height); }
  std::int64_t out_width() const { return rounded_up(width); }
  // size / stride, without the sum that overflows where the stride is huge.
  std::int64_t rounded_up(std::int64_t size) const {
    return size / stride + (size % stride == 0 ? 0 : 1);
  }
};

#define ANTHER_BODY "anther/kernels/subsample.inl"
#include "anther/kernels/for_each_isa.inl"

template <class T>
void subsample_forward(T* y, const T* x, const SubsampleDims& dims) {
  const std::int64_t x_size = dims.height * dims.width * dims.channels;
  const std::int64_t y_size = dims.out_height() * dims.out_width() * dims.channels;
  parallel_for(dims.batch, dims.batch * y_size / 8, [&](std::int64_t image) {
    for (std::int64_t row = 0; row < dims.out_height(); ++row)
      ANTHER_SELECT(subsample_forward_row<T>)
    (y + image * y_size, x + image * x_size, dims, row);
  });
}

// The same where x is not stored: rows_of(to, first, count) computes rows of it, pixels in order.
template <class T, class RowsOf>
void subsample_forward_rows(T* y, const RowsOf& rows_of, const SubsampleDims& dims) {
  const std::int64_t height = dims.out_height(), width = dims.out_width();
  const std::int64_t rows = dims.batch * height;
  parallel_for(rows, rows * width * dims.channels / 4, [&](std::int64_t row) {
    const std::int64_t image = row / height, x_row = row % height * dims.stride;
    for (std::int64_t j = 0; j < width; ++j)
      rows_of(y + (row * width + j) * dims.channels,
              (image * dims.height + x_row) * dims.width + j * dims.stride, std::int64_t{1});
  });
}

// dx = dx_add + dy at the pixels that were taken. dx_add may be null or dx; in place, only those
// pixels are touched.
template <class T>
void subsample_backward(T* dx, const T* dx_add, const T* dy, const SubsampleDims& dims) {
  const std::int64_t x_size = dims.height * dims.width * dims.channels;
  const std::int64_t y_size = dims.out_height() * dims.out_width() * dims.channels;
  const std::int64_t written = dx_add == dx ? y_size : x_size;
  parallel_for(dims.batch, dims.batch * written / 8, [&](std::int64_t image) {
    for (std::int64_t row = 0; row < dims.height; ++row) ANTHER_SELECT(subsample_backward_row<T>)
    (dx + image * x_size, dx_add ? dx_add + image * x_size : nullptr, dy + image * y_size, dims,
     row);
  });
}

}  // namespace anther::inline v0_1::kernels
