// Ops that make a map smaller without weights: max_pool2d, avg_pool2d and adaptive_avg_pool2d,
// (N, H, W, C) -> (N, H', W', C); global_average_pool (N, H, W, C) -> (N, C), the mean over H and
// W; and subsample, the top left position of each stride x stride window. Backward keeps nothing,
// but x for max_pool2d.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "anther/autograd/tape.hpp"
#include "anther/kernels/global_average_pool.hpp"
#include "anther/kernels/pool2d.hpp"
#include "anther/kernels/subsample.hpp"
#include "anther/ops/extent2d.hpp"
#include "anther/ops/shape.hpp"

namespace anther::inline v0_1 {

inline constexpr char global_average_pool_op_name[] = "global_average_pool";
template <class T>
inline constexpr Op<T> global_average_pool_op = {
    .name = global_average_pool_op_name,
    .forward =
        [](Call<T>& call) {
          kernels::global_average_pool_forward(
              call.output(), call.input(0),
              call.template attributes<kernels::GlobalAveragePoolDims>());
        },
    .backward =
        [](Call<T>& call) {
          if (const auto dx = call.input_gradient(0))
            kernels::global_average_pool_backward(
                dx.to, dx.add, call.output_gradient(),
                call.template attributes<kernels::GlobalAveragePoolDims>());
        },
};

template <class T>
Variable<T> global_average_pool(const Variable<T>& x) {
  const Shape& in = x.shape();
  x.tape().check(in.rank() == 4 && is_extent({in[1], in[2]}, 1),
                 "global_average_pool: expected a map (N, H, W, C), got ", in);
  const kernels::GlobalAveragePoolDims d{
      .batch = in[0], .height = in[1], .width = in[2], .channels = in[3]};
  return x.tape().apply(global_average_pool_op<T>, d, {x}, {in[0], in[3]});
}

inline constexpr char subsample_op_name[] = "subsample";
template <class T>
inline constexpr Op<T> subsample_op = {
    .name = subsample_op_name,
    .forward =
        [](Call<T>& call) {
          const auto& dims = call.template attributes<kernels::SubsampleDims>();
          if (const auto lazy = call.lazy_input())
            kernels::subsample_forward_rows(
                call.output(),
                [&](T* to, std::int64_t first, std::int64_t count) {
                  lazy->compute_rows(to, first, count);
                },
                dims);
          else
            kernels::subsample_forward(call.output(), call.input(0), dims);
        },
    .backward =
        [](Call<T>& call) {
          if (const auto dx = call.input_gradient(0))
            kernels::subsample_backward(dx.to, dx.add, call.output_gradient(),
                                        call.template attributes<kernels::SubsampleDims>());
        },
    .takes_lazy = true,
};

// y = x[:, ::stride, ::stride, :]
template <class T>
Variable<T> subsample(const Variable<T>& x, std::int64_t stride) {
  const Shape& in = x.shape();
  x.tape().check(in.rank() == 4 && stride > 0,
                 "subsample: expected a map (N, H, W, C) and a stride of at least 1, got ", in,
                 " and ", stride);
  if (stride == 1) return x;
  // One that is larger than the map takes the same pixels as one of the map's size.
  const std::int64_t side = std::max({in[1], in[2], std::int64_t{1}});
  const kernels::SubsampleDims d{.batch = in[0],
                                 .height = in[1],
                                 .width = in[2],
                                 .channels = in[3],
                                 .stride = std::min(stride, side)};
  return x.tape().apply(subsample_op<T>, d, {x}, {in[0], d.out_height(), d.out_width(), in[3]});
}

struct MaxPool2dOptions {
  Extent2d stride = 0;  // 0: the kernel's size
  Extent2d padding = 0;
  Extent2d dilation = 1;
  bool ceil_mode = false;  // windows that begin inside the map and end outside count too
};
struct AvgPool2dOptions {
  Extent2d stride = 0;  // 0: the kernel's size
  Extent2d padding = 0;
  bool ceil_mode = false;
  bool count_include_pad = true;  // sums are divided by the padding's pixels too
};

inline Extent2d pool_stride(const Extent2d& stride, const Extent2d& kernel_size) {
  return stride == Extent2d{0} ? kernel_size : stride;
}

// How many windows there are in one direction, as PyTorch counts them.
inline std::int64_t pooled_size(std::int64_t size, std::int64_t span, std::int64_t stride,
                                std::int64_t padding, bool ceil_mode) {
  const std::int64_t room = size + 2 * padding - span;
  if (room < 0) return ceil_mode && room + stride > 0 ? 1 : 0;
  const std::int64_t last = (room + (ceil_mode ? stride - 1 : 0)) / stride;
  return last * stride >= size + padding ? last : last + 1;
}

// The size of the pooled map; a window spans `kernel`. Throws if they do not fit.
template <class T>
Extent2d pooled_extent(Tape<T>& tape, const char* name, const Shape& x, const Extent2d& kernel,
                       const Extent2d& stride, const Extent2d& padding, bool ceil_mode) {
  tape.check(x.rank() == 4 && is_extent({x[1], x[2]}, 1), name,
             ": expected a map (N, H, W, C) of at least one pixel, got ", x);
  tape.check(is_extent(kernel, 1) && is_extent(stride, 1), name,
             ": expected a kernel and a stride of at least 1, at most ", most_extent, ", got ",
             kernel, " and ", stride);
  tape.check(is_extent(padding, 0) && 2 * padding.height <= kernel.height &&
                 2 * padding.width <= kernel.width,
             name, ": expected a padding of at most half of the kernel's ", kernel, ", got ",
             padding);
  const Extent2d size = {pooled_size(x[1], kernel.height, stride.height, padding.height, ceil_mode),
                         pooled_size(x[2], kernel.width, stride.width, padding.width, ceil_mode)};
  tape.check(size.height > 0 && size.width > 0, name, ": expected a map that holds a window ",
             kernel, ", got ", Extent2d{x[1], x[2]});
  return size;
}

inline constexpr char max_pool2d_op_name[] = "max_pool2d";
template <class T>
inline constexpr Op<T> max_pool2d_op = {
    .name = max_pool2d_op_name,
    .forward =
        [](Call<T>& call) {
          kernels::max_pool2d_forward(call.output(), call.input(0),
                                      call.template attributes<kernels::MaxPool2dDims>());
        },
    .backward =
        [](Call<T>& call) {
          if (const auto dx = call.input_gradient(0))
            kernels::max_pool2d_backward(dx.to, dx.add, call.output_gradient(), call.input(0),
                                         call.template attributes<kernels::MaxPool2dDims>());
        },
};

// The largest value of each window. The gradient goes to the first of equal ones.
template <class T>
Variable<T> max_pool2d(const Variable<T>& x, const Extent2d& kernel_size,
                       const MaxPool2dOptions& options = {}) {
  Tape<T>& tape = x.tape();
  const Shape& in = x.shape();
  const Extent2d stride = pool_stride(options.stride, kernel_size), padding = options.padding;
  const Extent2d dilation = options.dilation;
  tape.check(is_extent(kernel_size, 1) && is_extent(dilation, 1),
             "max_pool2d: expected a kernel and a dilation of at least 1, at most ", most_extent,
             ", got ", kernel_size, " and ", dilation);
  // The kernel counts a window's pixels in numbers of the type T.
  constexpr std::int64_t most = std::int64_t{1} << std::numeric_limits<T>::digits;
  tape.check(kernel_size.height <= most / kernel_size.width,
             "max_pool2d: expected a window of at most ", most, " pixels, got ", kernel_size);
  const Extent2d span = {(kernel_size.height - 1) * dilation.height + 1,
                         (kernel_size.width - 1) * dilation.width + 1};
  const Extent2d size =
      pooled_extent(tape, "max_pool2d", in, span, stride, padding, options.ceil_mode);
  const kernels::MaxPool2dDims d{.batch = in[0],
                                 .height = in[1],
                                 .width = in[2],
                                 .channels = in[3],
                                 .out_height = size.height,
                                 .out_width = size.width,
                                 .kernel_height = kernel_size.height,
                                 .kernel_width = kernel_size.width,
                                 .stride_height = stride.height,
                                 .stride_width = stride.width,
                                 .padding_height = padding.height,
                                 .padding_width = padding.width,
                                 .dilation_height = dilation.height,
                                 .dilation_width = dilation.width};
  return tape.apply(max_pool2d_op<T>, d, {x}, {in[0], d.out_height, d.out_width, in[3]});
}

inline constexpr char avg_pool2d_op_name[] = "avg_pool2d";
template <class T>
inline constexpr Op<T> avg_pool2d_op = {
    .name = avg_pool2d_op_name,
    .forward =
        [](Call<T>& call) {
          kernels::avg_pool2d_forward(call.output(), call.input(0),
                                      call.template attributes<kernels::AvgPool2dDims>());
        },
    .backward =
        [](Call<T>& call) {
          if (const auto dx = call.input_gradient(0))
            kernels::avg_pool2d_backward(dx.to, dx.add, call.output_gradient(),
                                         call.template attributes<kernels::AvgPool2dDims>());
        },
};

// The average of each window.
template <class T>
Variable<T> avg_pool2d(const Variable<T>& x, const Extent2d& kernel_size,
                       const AvgPool2dOptions& options = {}) {
  Tape<T>& tape = x.tape();
  const Shape& in = x.shape();
  const Extent2d stride = pool_stride(options.stride, kernel_size), padding = options.padding;
  const Extent2d size =
      pooled_extent(tape, "avg_pool2d", in, kernel_size, stride, padding, options.ceil_mode);
  const kernels::AvgPool2dDims d{.batch = in[0],
                                 .height = in[1],
                                 .width = in[2],
                                 .channels = in[3],
                                 .out_height = size.height,
                                 .out_width = size.width,
                                 .kernel_height = kernel_size.height,
                                 .kernel_width = kernel_size.width,
                                 .stride_height = stride.height,
                                 .stride_width = stride.width,
                                 .padding_height = padding.height,
                                 .padding_width = padding.width,
                                 .count_include_pad = options.count_include_pad ? 1 : 0,
                                 .adaptive = 0};
  return tape.apply(avg_pool2d_op<T>, d, {x}, {in[0], d.out_height, d.out_width, in[3]});
}

// A map of any size as one of output_size: the average of the pixels that a pixel of it covers.
template <class T>
Variable<T> adaptive_avg_pool2d(const Variable<T>& x, const Extent2d& output_size) {
  const Shape& in = x.shape();
  x.tape().check(in.rank() == 4 && is_extent({in[1], in[2]}, 1) && is_extent(output_size, 1),
                 "adaptive_avg_pool2d: expected a map (N, H, W, C) and a size of at least 1, got ",
                 in, " and ", output_size);
  if (output_size == Extent2d{1}) return reshape(global_average_pool(x), {in[0], 1, 1, in[3]});
  const kernels::AvgPool2dDims d{.batch = in[0],
                                 .height = in[1],
                                 .width = in[2],
                                 .channels = in[3],
                                 .out_height = output_size.height,
                                 .out_width = output_size.width,
                                 .kernel_height = 0,
                                 .kernel_width = 0,
                                 .stride_height = 0,
                                 .stride_width = 0,
                                 .padding_height = 0,
                                 .padding_width = 0,
                                 .count_include_pad = 0,
                                 .adaptive = 1};
  return x.tape().apply(avg_pool2d_op<T>, d, {x}, {in[0], d.out_height, d.out_width, in[3]});
}

}  // namespace anther::inline v0_1
