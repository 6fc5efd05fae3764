// Depth-wise transposed convolution: y[n, s i + a - p, s j + b - p, c] = bias[c] + the sum over all
// i, j, a, b that lead there of x[n,i,j,c] weight[a,b,c], s the stride and p the padding.
// x (N, H, W, C), y (N, OH, OW, C), weight (kh, kw, C), bias (C). Backward keeps x and weight.
// In one pass where kernel = stride (2 or 4) and there is no padding, as where a map is enlarged;
// else it is the depth-wise convolution whose backward its forward is. The output padding is below
// the stride.
#pragma once

#include <algorithm>
#include <cstdint>

#include "anther/core/parallel_for.hpp"
#include "anther/kernels/depthwise_conv2d.hpp"
#include "anther/kernels/vec.hpp"

namespace anther::inline v0_1::kernels {

struct DepthwiseConvTranspose2dDims {
  std::int64_t batch = 0, height = 0, width = 0, channels = 0;  // of x
  std::int64_t kernel_height = 1, kernel_width = 1;
  std::int64_t stride_height = 1, stride_width = 1;
  std::int64_t padding_height = 0, padding_width = 0;
  std::int64_t output_padding_height = 0, output_padding_width = 0;

  // Calls visit with all members, in their order.
  template <class Visit>
  constexpr decltype(auto) members(const Visit& visit) const {
    return visit(batch, height, width, channels, kernel_height, kernel_width, stride_height,
                 stride_width, padding_height, padding_width, output_padding_height,
                 output_padding_width);
  }

  std::int64_t out_height() const {
    return (height - 1) * stride_height - 2 * padding_height + kernel_height +
           output_padding_height;
  }
  std::int64_t out_width() const {
    return (width - 1) * stride_width - 2 * padding_width + kernel_width + output_padding_width;
  }
};

#define ANTHER_BODY "anther/kernels/depthwise_conv_transpose2d.inl"
#include "anther/kernels/for_each_isa.inl"

// The convolution from y to x whose backward is the transposed convolution's forward.
inline DepthwiseConv2dDims depthwise_conv_transpose2d_adjoint(
    const DepthwiseConvTranspose2dDims& d) {
  return {d.batch,        d.out_height(),  d.out_width(),  d.channels,       d.kernel_height,
          d.kernel_width, d.stride_height, d.stride_width, d.padding_height, d.padding_width};
}

// About the nanoseconds of a pass over y.
inline std::int64_t depthwise_conv_transpose2d_work(const DepthwiseConvTranspose2dDims& d) {
  const std::int64_t taps = (d.kernel_height + d.stride_height - 1) / d.stride_height *
                            ((d.kernel_width + d.stride_width - 1) / d.stride_width);
  return d.batch * d.out_height() * d.out_width() * d.channels * (taps + 4) / 35;
}

// y = conv_transpose(x) + bias. bias may be null.
template <class T>
void depthwise_conv_transpose2d_forward(T* y, const T* x, const T* weight, const T* bias,
                                        const DepthwiseConvTranspose2dDims& dims) {
  const std::int64_t x_size = dims.height * dims.width * dims.channels;
  const std::int64_t y_size = dims.out_height() * dims.out_width() * dims.channels;
  const std::int64_t work = depthwise_conv_transpose2d_work(dims);
  if (ANTHER_SELECT(depthwise_is_spread<T>)(dims)) {
    const auto body = dims.stride_height == 2 ? ANTHER_SELECT(depthwise_spread_forward<T, 2>)
                                              : ANTHER_SELECT(depthwise_spread_forward<T, 4>);
    for_each_row_tile(dims.batch, dims.height, y_size / std::max<std::int64_t>(dims.height, 1),
                      work, [&](std::int64_t image, std::int64_t first, std::int64_t last) {
                        body(y + image * y_size, x + image * x_size, weight, bias, dims.width,
                             dims.channels, first, last);
                      });
    return;
  }
  const DepthwiseConv2dDims adjoint = depthwise_conv_transpose2d_adjoint(dims);
  for_each_row_tile(dims.batch, dims.out_height(), dims.out_width() * dims.channels, work,
                    [&](std::int64_t image, std::int64_t first, std::int64_t last) {
                      ANTHER_SELECT(depthwise_backward_input<T>)
                      (y + image * y_size, static_cast<const T*>(nullptr), x + image * x_size,
                       weight, bias, adjoint, first, last);
                    });
}

// The parts of the batch's rows of x whose sums for dweight and dbias are added in order.
inline std::int64_t depthwise_conv_transpose2d_backward_tiles(
    const DepthwiseConvTranspose2dDims& dims) {
  return depthwise_conv2d_tiles(dims.batch * dims.height,
                                dims.batch * dims.out_height() * dims.out_width() * dims.channels);
}

// Elements of the workspace of backward.
inline std::int64_t depthwise_conv_transpose2d_backward_workspace(
    const DepthwiseConvTranspose2dDims& dims) {
  return std::max(depthwise_conv_transpose2d_backward_tiles(dims) *
                      (dims.kernel_height * dims.kernel_width + 1) * dims.channels,
                  depthwise_conv2d_backward_workspace(depthwise_conv_transpose2d_adjoint(dims)));
}

// dx = dx_add + conv(dy), and dweight and dbias are added to. All three may be null, as may dx_add,
// which may also be dx.
template <class T>
void depthwise_conv_transpose2d_backward(T* dx, const T* dx_add, T* dweight, T* dbias, const T* dy,
                                         const T* x, const T* weight, T* workspace,
                                         const DepthwiseConvTranspose2dDims& dims) {
  const bool spread = ANTHER_SELECT(depthwise_is_spread<T>)(dims);
  if (!spread) {
    const DepthwiseConv2dDims adjoint = depthwise_conv_transpose2d_adjoint(dims);
    T* const none = nullptr;
    if (dx) depthwise_conv2d_forward<T>(dx, dx_add, dy, weight, none, adjoint);
    depthwise_conv2d_backward<T>(none, none, dweight, none, x, dy, none, workspace, adjoint);
    dx = none;  // and dbias below
    dweight = none;
  }
  const bool of_weight = dweight || dbias;
  if (!dx && !of_weight) return;
  const std::int64_t channels = dims.channels;
  const std::int64_t taps = spread ? dims.kernel_height * dims.kernel_width : 0;
  const std::int64_t tiles = depthwise_conv_transpose2d_backward_tiles(dims);
  const std::int64_t height = spread ? dims.height : dims.out_height();
  const std::int64_t x_size = dims.height * dims.width * channels;
  const std::int64_t y_size = dims.out_height() * dims.out_width() * channels;
  const std::int64_t partial_size = (taps + 1) * channels;
  const bool by_2 = dims.stride_height == 2;
  const auto both = by_2 ? ANTHER_SELECT(depthwise_spread_backward<T, 2, true, true>)
                         : ANTHER_SELECT(depthwise_spread_backward<T, 4, true, true>);
  const auto of_x = by_2 ? ANTHER_SELECT(depthwise_spread_backward<T, 2, true, false>)
                         : ANTHER_SELECT(depthwise_spread_backward<T, 4, true, false>);
  const auto of_taps = by_2 ? ANTHER_SELECT(depthwise_spread_backward<T, 2, false, true>)
                            : ANTHER_SELECT(depthwise_spread_backward<T, 4, false, true>);
  const auto body = !of_weight ? of_x : dx ? both : of_taps;
  parallel_for(tiles, 2 * depthwise_conv_transpose2d_work(dims), [&](std::int64_t tile) {
    T* const partial = workspace + tile * partial_size;
    if (of_weight) std::fill_n(partial, partial_size, T(0));
    const std::int64_t begin = dims.batch * height * tile / tiles;
    const std::int64_t end = dims.batch * height * (tile + 1) / tiles;
    if (!spread) {
      const std::int64_t width = dims.out_width();
      ANTHER_SELECT(depthwise_add_rows<T>)
      (partial, dy + begin * width * channels, (end - begin) * width, channels);
      return;
    }
    for (std::int64_t row = begin; row < end;) {
      const std::int64_t image = row / height, first = row - image * height;
      const std::int64_t last = std::min(end - image * height, height);
      const std::int64_t at = image * x_size;
      body(dx ? dx + at : nullptr, dx && dx_add ? dx_add + at : nullptr, partial,
           partial + taps * channels, dy + image * y_size, of_weight ? x + at : nullptr, weight,
           dims.width, channels, first, last);
      row = image * height + last;
    }
  });
  if (!of_weight) return;
  depthwise_conv2d_add_parts(dweight, dbias, workspace, tiles, taps, channels);
}

}  // namespace anther::inline v0_1::kernels
