// Depth-wise convolution: y[n,i,j,c] = bias[c] + sum over a, b of x[n, s i + a - p, s j + b - p, c]
// weight[a,b,c], s the stride and p the padding (zeros outside the map).
// x (N, H, W, C), y (N, OH, OW, C), weight (kh, kw, C), bias (C).
// Backward keeps x and weight.
#pragma once

#include <algorithm>
#include <cstdint>

#include "anther/core/parallel_for.hpp"
#include "anther/kernels/vec.hpp"

namespace anther::inline v0_1::kernels {

struct DepthwiseConv2dDims {
  std::int64_t batch = 0, height = 0, width = 0, channels = 0;  // of x
  std::int64_t kernel_height = 1, kernel_width = 1;
  std::int64_t stride_height = 1, stride_width = 1;
  std::int64_t padding_height = 0, padding_width = 0;

  // Calls visit with all members, in their order.
  template <class Visit>
  constexpr decltype(auto) members(const Visit& visit) const {
    return visit(batch, height, width, channels, kernel_height, kernel_width, stride_height,
                 stride_width, padding_height, padding_width);
  }

  std::int64_t out_height() const {
    return (height + 2 * padding_height - kernel_height) / stride_height + 1;
  }
  std::int64_t out_width() const {
    return (width + 2 * padding_width - kernel_width) / stride_width + 1;
  }
  // The rows of x that the rows `first` to `last` - 1 of y read, within the map.
  std::int64_t top_of(std::int64_t first) const {
    return std::clamp<std::int64_t>(first * stride_height - padding_height, 0, height);
  }
  std::int64_t bottom_of(std::int64_t last, std::int64_t top) const {
    return std::clamp<std::int64_t>((last - 1) * stride_height - padding_height + kernel_height,
                                    top, height);
  }
  // Whether a row of y reads the row of x in its place.
  bool keeps_rows() const { return stride_height == 1 && kernel_height == 2 * padding_height + 1; }
};

// What so many rows of y need stays in the first-level cache while the gradient of the weight goes
// through all taps.
inline std::int64_t depthwise_conv2d_weight_rows(const DepthwiseConv2dDims& dims) {
  return std::clamp<std::int64_t>(112 / std::max<std::int64_t>(dims.out_width(), 1), 1, 112);
}

#define ANTHER_BODY "anther/kernels/depthwise_conv2d.inl"
#include "anther/kernels/for_each_isa.inl"
#define ANTHER_BODY "anther/kernels/depthwise_conv2d_weight.inl"
#include "anther/kernels/for_each_isa.inl"

// body(image, first row, last row) over tiles of about 8,000 elements of a map (N, H, W, C); of
// half as many where threads share them, so that each has about the rows that it wrote an op
// before.
template <class Body>
void for_each_row_tile(std::int64_t batch, std::int64_t height, std::int64_t row_size,
                       std::int64_t work, const Body& body) {
  const std::int64_t tile_size = available_threads() > 1 ? 1 << 12 : 1 << 13;
  const std::int64_t tiles = std::clamp<std::int64_t>(
      height * row_size / tile_size, 1, std::max<std::int64_t>(height, 1));  // of an image
  parallel_for(batch * tiles, work, [&](std::int64_t tile) {
    const std::int64_t t = tile % tiles;
    body(tile / tiles, height * t / tiles, height * (t + 1) / tiles);
  });
}

// About the nanoseconds of a pass over the map y with all taps.
inline std::int64_t depthwise_conv2d_work(const DepthwiseConv2dDims& d) {
  return d.batch * d.out_height() * d.out_width() * d.channels *
         (d.kernel_height * d.kernel_width + 4) / 35;
}

// y = y_add + conv(x) + bias, and then finish(first, count) for rows of y (pixels), by the thread
// that has computed them. bias may be null; y_add may be null, y itself, or x where the shapes
// agree (a residual).
template <class T, class Finish>
void depthwise_conv2d_forward(T* y, const T* y_add, const T* x, const T* weight, const T* bias,
                              const DepthwiseConv2dDims& dims, const Finish& finish) {
  const std::int64_t x_size = dims.height * dims.width * dims.channels;
  const std::int64_t y_size = dims.out_height() * dims.out_width() * dims.channels;
  for_each_row_tile(dims.batch, dims.out_height(), dims.out_width() * dims.channels,
                    depthwise_conv2d_work(dims),
                    [&](std::int64_t image, std::int64_t first, std::int64_t last) {
                      ANTHER_SELECT(depthwise_forward<T>)
                      (y + image * y_size, y_add ? y_add + image * y_size : nullptr,
                       x + image * x_size, weight, bias, dims, first, last);
                      finish((image * dims.out_height() + first) * dims.out_width(),
                             (last - first) * dims.out_width());
                    });
}
template <class T>
void depthwise_conv2d_forward(T* y, const T* y_add, const T* x, const T* weight, const T* bias,
                              const DepthwiseConv2dDims& dims) {
  depthwise_conv2d_forward(y, y_add, x, weight, bias, dims, [](std::int64_t, std::int64_t) {});
}

// The parts of `rows` rows, of `size` elements in all, whose sums are added in order: a power of
// two where there are so many rows, so that threads share them out evenly.
inline std::int64_t depthwise_conv2d_tiles(std::int64_t rows, std::int64_t size) {
  std::int64_t tiles = 1;
  while (tiles < 32 && tiles << 14 < size) tiles *= 2;
  return std::clamp<std::int64_t>(tiles, 1, std::max<std::int64_t>(rows, 1));
}

inline std::int64_t depthwise_conv2d_backward_tiles(const DepthwiseConv2dDims& dims) {
  const std::int64_t rows = dims.batch * dims.out_height();
  return depthwise_conv2d_tiles(rows, rows * dims.out_width() * dims.channels);
}

// Elements of the workspace of backward.
inline std::int64_t depthwise_conv2d_backward_workspace(const DepthwiseConv2dDims& dims) {
  return depthwise_conv2d_backward_tiles(dims) * (dims.kernel_height * dims.kernel_width + 1) *
         dims.channels;
}

// dweight and dbias, either of which may be null, += the tiles' parts, in order. parts (tiles, taps
// + 1, channels): dbias's are the last.
template <class T>
void depthwise_conv2d_add_parts(T* dweight, T* dbias, const T* parts, std::int64_t tiles,
                                std::int64_t taps, std::int64_t channels) {
  const std::int64_t stride = (taps + 1) * channels;
  parallel_for(taps + 1, tiles * stride / 8, [&](std::int64_t tap) {
    T* const to = tap == taps ? dbias : dweight ? dweight + tap * channels : nullptr;
    if (to) ANTHER_SELECT(depthwise_add_partials<T>)
    (to, parts + tap * channels, tiles, stride, channels);
  });
}

// body(image, first, last) for the rows begin to end - 1 of all images, `step` at a time.
template <class Body>
void depthwise_conv2d_steps(std::int64_t height, std::int64_t begin, std::int64_t end,
                            std::int64_t step, const Body& body) {
  for (std::int64_t row = begin; row < end;) {
    const std::int64_t image = row / height, first = row - image * height;
    const std::int64_t last = std::min({first + step, end - image * height, height});
    body(image, first, last);
    row = image * height + last;
  }
}

// dx = dx_add + the transposed convolution of dy, and dweight and dbias are added to. All three may
// be null, as may dx_add, which may also be dx, or dy where the shapes agree. A thread goes through
// its rows of dy twice, for the weight and for dx, while they are in its cache.
template <class T>
void depthwise_conv2d_backward(T* dx, const T* dx_add, T* dweight, T* dbias, const T* dy,
                               const T* x, const T* weight, T* workspace,
                               const DepthwiseConv2dDims& dims) {
  const bool of_weight = dweight || dbias;
  if (!dx && !of_weight) return;
  const std::int64_t channels = dims.channels, height = dims.out_height();
  const std::int64_t taps = dims.kernel_height * dims.kernel_width;
  const std::int64_t x_size = dims.height * dims.width * channels;
  const std::int64_t y_size = height * dims.out_width() * channels;
  const std::int64_t tiles = depthwise_conv2d_backward_tiles(dims), rows = dims.batch * height;
  const std::int64_t partial_size = (taps + 1) * channels;
  parallel_for(tiles, 2 * depthwise_conv2d_work(dims), [&](std::int64_t tile) {
    T* const partial = workspace + tile * partial_size;
    if (of_weight) std::fill_n(partial, partial_size, T(0));
    depthwise_conv2d_steps(height, rows * tile / tiles, rows * (tile + 1) / tiles, height,
                           [&](std::int64_t image, std::int64_t first, std::int64_t last) {
                             const T* const dy_here = dy + image * y_size;
                             if (of_weight) ANTHER_SELECT(depthwise_backward_weight<T>)
                             (partial, partial + taps * channels, dy_here, x + image * x_size, dims,
                              first, last);
                             if (dx) ANTHER_SELECT(depthwise_backward_input<T>)
                             (dx + image * x_size, dx_add ? dx_add + image * x_size : nullptr,
                              dy_here, weight, static_cast<const T*>(nullptr), dims,
                              first * dims.height / height, last * dims.height / height);
                           });
  });
  if (!of_weight) return;
  depthwise_conv2d_add_parts(dweight, dbias, workspace, tiles, taps, channels);
}

}  // namespace anther::inline v0_1::kernels
