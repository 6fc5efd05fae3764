// Convolution of any kernel, stride, padding and groups, as a matrix product over patches:
//   y[n, i, j, o] = bias[o] + sum_{a, b, c} x[n, s i + a - p, s j + b - p, c] weight[o, a, b, c]
// x (N, H, W, C), weight (O, kh, kw, C / groups), y (N, H', W', O). Backward keeps x.
// A patch is a row of the workspace. 1x1 convolutions are ops/linear.hpp, depth-wise ones
// kernels/depthwise_conv2d.hpp.
#pragma once

#include <algorithm>
#include <cstdint>

#include "anther/core/parallel_for.hpp"
#include "anther/kernels/gemm.hpp"
#include "anther/kernels/vec.hpp"

namespace anther::inline v0_1::kernels {

#define ANTHER_BODY "anther/kernels/conv2d.inl"
#include "anther/kernels/for_each_isa.inl"

struct Conv2dDims {
  std::int64_t batch, height, width, in_channels, out_channels;
  std::int64_t kernel_height, kernel_width, stride_height, stride_width;
  std::int64_t padding_height, padding_width, groups;

  // Calls visit with all members, in their order.
  template <class Visit>
  constexpr decltype(auto) members(const Visit& visit) const {
    return visit(batch, height, width, in_channels, out_channels, kernel_height, kernel_width,
                 stride_height, stride_width, padding_height, padding_width, groups);
  }

  std::int64_t out_height() const {
    return (height + 2 * padding_height - kernel_height) / stride_height + 1;
  }
  std::int64_t out_width() const {
    return (width + 2 * padding_width - kernel_width) / stride_width + 1;
  }
  std::int64_t rows() const { return batch * out_height() * out_width(); }
  std::int64_t group_in() const { return in_channels / groups; }
  std::int64_t group_out() const { return out_channels / groups; }
  // The elements of a patch that one output channel sees.
  std::int64_t depth() const { return kernel_height * kernel_width * group_in(); }
};

// Elements of workspace that each of the three functions below needs: the patches of one group.
inline std::int64_t conv2d_workspace(const Conv2dDims& d) {
  return d.rows() * d.depth();
}

// Calls body(run, x_run, length, before, after) for every run of a patch that is contiguous in
// both: in the patch at offset `run`, in the image at x_run; `before` and `after` count the
// elements of the run's kernel row that leave the map on either side.
template <class Body>
void for_patch_runs(std::int64_t i, std::int64_t j, std::int64_t group, const Conv2dDims& d,
                    const Body& body) {
  const std::int64_t in = d.group_in(), whole = d.kernel_width * in;
  for (std::int64_t a = 0; a < d.kernel_height; ++a) {
    const std::int64_t row = i * d.stride_height + a - d.padding_height;
    const std::int64_t column = j * d.stride_width - d.padding_width;
    const bool inside = row >= 0 && row < d.height;
    const std::int64_t first =
        inside ? std::min(std::max(-column, std::int64_t{0}), d.kernel_width) : d.kernel_width;
    const std::int64_t last = std::max(std::min(d.width - column, d.kernel_width), first);
    const std::int64_t x_run = (row * d.width + column + first) * d.in_channels + group * in;
    body(a * whole, x_run, (last - first) * in, first * in, (d.kernel_width - last) * in);
  }
}

// columns (rows, depth) = the patches of one group, zeros where a patch leaves the map.
template <class T>
void im2col(T* columns, const T* x, std::int64_t group, const Conv2dDims& d) {
  const std::int64_t lines = d.batch * d.out_height();
  const std::int64_t line = d.out_width() * d.depth(), in = d.group_in();
  parallel_for(lines, lines * line / 4, [&](std::int64_t tile) {
    const std::int64_t n = tile / d.out_height(), i = tile % d.out_height();
    const T* image = x + n * d.height * d.width * d.in_channels;
    T* patch = columns + tile * line;
    for (std::int64_t j = 0; j < d.out_width(); ++j, patch += d.depth())
      for_patch_runs(i, j, group, d,
                     [&](std::int64_t run, std::int64_t x_run, std::int64_t length,
                         std::int64_t before, std::int64_t after) {
                       T* to = std::fill_n(patch + run, before, T(0));
                       const T* from = image + x_run;
                       if (d.groups == 1) {
                         to = std::copy_n(from, length, to);
                       } else {
                         for (std::int64_t k = 0; k < length; k += in, from += d.in_channels)
                           to = std::copy_n(from, in, to);
                       }
                       std::fill_n(to, after, T(0));
                     });
  });
}

// dx += the gradients of the patches of one group.
template <class T>
void col2im(T* dx, const T* dcolumns, std::int64_t group, const Conv2dDims& d) {
  const std::int64_t size = d.out_height() * d.out_width() * d.depth(), in = d.group_in();
  const auto add_run = ANTHER_SELECT(accumulate_run<T>);
  parallel_for(d.batch, d.batch * size / 4, [&](std::int64_t n) {
    T* image = dx + n * d.height * d.width * d.in_channels;
    const T* patch = dcolumns + n * size;
    for (std::int64_t i = 0; i < d.out_height(); ++i)
      for (std::int64_t j = 0; j < d.out_width(); ++j, patch += d.depth())
        for_patch_runs(i, j, group, d,
                       [&](std::int64_t run, std::int64_t x_run, std::int64_t length,
                           std::int64_t before, std::int64_t) {
                         const T* from = patch + run + before;
                         T* to = image + x_run;
                         if (d.groups == 1) return add_run(to, from, length);
                         for (std::int64_t k = 0; k < length; k += in, to += d.in_channels)
                           add_run(to, from + k, in);
                       });
  });
}

// packed: the weight, packed with columns = group_out() and depth = depth(), group after group.
template <class T>
void conv2d_forward(T* y, const T* x, const T* packed, const T* bias, T* workspace,
                    const Conv2dDims& d) {
  const std::int64_t packed_group = gemm_packed_size<T>(d.group_out(), d.depth());
  for (std::int64_t group = 0; group < d.groups; ++group) {
    im2col(workspace, x, group, d);
    gemm<T>(y + group * d.group_out(), nullptr, workspace, packed + group * packed_group,
            bias ? bias + group * d.group_out() : nullptr,
            {.rows = d.rows(),
             .columns = d.group_out(),
             .depth = d.depth(),
             .x_stride = d.depth(),
             .y_stride = d.out_channels});
  }
}

// packed: the weight, packed with columns = depth() and depth = group_out(), group after group.
template <class T>
void conv2d_backward_input(T* dx, const T* dx_add, const T* dy, const T* packed, T* workspace,
                           const Conv2dDims& d) {
  const std::int64_t size = d.batch * d.height * d.width * d.in_channels;
  if (dx_add == nullptr)
    std::fill_n(dx, size, T(0));
  else if (dx_add != dx)
    std::copy_n(dx_add, size, dx);
  const std::int64_t packed_group = gemm_packed_size<T>(d.depth(), d.group_out());
  for (std::int64_t group = 0; group < d.groups; ++group) {
    gemm<T>(workspace, nullptr, dy + group * d.group_out(), packed + group * packed_group, nullptr,
            {.rows = d.rows(),
             .columns = d.depth(),
             .depth = d.group_out(),
             .x_stride = d.out_channels,
             .y_stride = d.depth()});
    col2im(dx, workspace, group, d);
  }
}

// dweight += ...
template <class T>
void conv2d_backward_weight(T* dweight, const T* dy, const T* x, T* workspace,
                            const Conv2dDims& d) {
  for (std::int64_t group = 0; group < d.groups; ++group) {
    im2col(workspace, x, group, d);
    gemm_tn<T>(dweight + group * d.group_out() * d.depth(), dy + group * d.group_out(), workspace,
               {.rows = d.rows(),
                .outs = d.group_out(),
                .columns = d.depth(),
                .dy_stride = d.out_channels,
                .x_stride = d.depth(),
                .dw_stride = d.depth()});
  }
}

}  // namespace anther::inline v0_1::kernels
