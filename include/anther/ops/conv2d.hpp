// Convolutions: conv2d (any kernel, stride, padding, dilation and groups), conv1d (the same of
// sequences) and depthwise_conv2d (one kernel a channel).
// x (N, H, W, C), y (N, H', W', O). Weights: conv2d (O, kh, kw, C / groups), the depth-wise one
// (kh, kw, C) or (kh, kw, C, 1). Backward keeps x.
#pragma once

#include "anther/autograd/tape.hpp"
#include "anther/kernels/conv2d.hpp"
#include "anther/kernels/depthwise_conv2d_rows.hpp"
#include "anther/kernels/elementwise.hpp"
#include "anther/ops/affine.hpp"
#include "anther/ops/extent2d.hpp"

namespace anther::inline v0_1 {

struct Conv2dOptions {
  Extent2d stride = 1;
  Extent2d padding = 0;
  Extent2d dilation = 1;
  std::int64_t groups = 1;
};
struct Conv1dOptions {
  std::int64_t stride = 1;
  std::int64_t padding = 0;
  std::int64_t dilation = 1;
  std::int64_t groups = 1;
};
struct DepthwiseConv2dOptions {
  Extent2d stride = 1;
  Extent2d padding = 0;
};
// A kernel may not span more than the padded map.
template <class T>
void check_kernel_fits(Tape<T>& tape, std::int64_t height, std::int64_t width,
                       std::int64_t kernel_height, std::int64_t kernel_width) {
  tape.check(
      kernel_height > 0 && kernel_width > 0 && kernel_height <= height && kernel_width <= width,
      "expected a kernel of at most the padded map's ", Extent2d{height, width}, ", got ",
      Extent2d{kernel_height, kernel_width});
}

// What all convolutions require.
template <class T>
void check_steps(Tape<T>& tape, const char* name, const Extent2d& stride, const Extent2d& padding,
                 const Extent2d& dilation = 1) {
  tape.check(is_extent(stride, 1) && is_extent(padding, 0), name,
             ": expected a stride of at least 1 and a padding of at least 0, both at most ",
             most_extent, ", got ", stride, " and ", padding);
  tape.check(is_extent(dilation, 1), name, ": expected a dilation of at least 1, at most ",
             most_extent, ", got ", dilation);
}
template <class T>
void check_sizes(Tape<T>& tape, const char* name, const Extent2d& map, const Extent2d& kernel) {
  tape.check(is_extent(map, 0) && is_extent(kernel, 0), name,
             ": expected a map and a kernel of at most ", most_extent, ", got ", map, " and ",
             kernel);
}

// What both depth-wise convolutions require of their inputs.
template <class T>
void check_depthwise(Tape<T>& tape, const Shape& x, const Shape& w, const Extent2d& stride,
                     const Extent2d& padding) {
  tape.check(x.rank() == 4 && w.rank() >= 3 && w.numel() == w[0] * w[1] * w[2],
             "depth-wise convolution: expected an input (N, H, W, C) and a weight (kh, kw, C), "
             "got ",
             x, " and ", w);
  tape.check(x[3] == w[2], "expected ", w[2], " input channels, got ", x[3]);
  check_steps(tape, "depth-wise convolution", stride, padding);
  check_sizes(tape, "depth-wise convolution", {x[1], x[2]}, {w[0], w[1]});
}

// The dims of a call of a convolution: those of its attributes, in the precision of the pass.
template <class T>
kernels::Conv2dDims conv2d_dims(const Call<T>& call) {
  auto d = call.template attributes<kernels::Conv2dDims>();
  d.bf16 = call.bf16();
  return d;
}
// The same in training, where x and dy are rounded once, before they are cut into patches.
template <class T>
kernels::Conv2dDims conv2d_training_dims(const Call<T>& call) {
  kernels::Conv2dDims d = conv2d_dims(call);
  d.maps_bf16 = call.keeps() && d.reads_bf16();
  return d;
}

// Rows of y become rows of a result that is a map in bfloat16.
template <class T>
void round_rows(const Call<T>& call, const T* y, std::int64_t first, std::int64_t count) {
  const std::int64_t columns = call.output_shape().back();
  kernels::bf16_kernels<T>().narrow(kernels::as_bf16(call.output()) + first * columns,
                                    y + first * columns, count * columns);
}

inline constexpr char conv2d_op_name[] = "conv2d";
template <class T>
inline constexpr Op<T> conv2d_op = {
    .name = conv2d_op_name,
    .forward =
        [](Call<T>& call) {
          const kernels::Conv2dDims d = conv2d_training_dims(call);
          const T* packed = call.packed(1, PackUse::forward, kernels::conv2d_pack(d));
          const bool rounds = call.output_is_bf16();
          T* const y = call.float_output();
          kernels::conv2d_forward(
              y, call.add(), d.maps_bf16 != 0 ? call.input_as_bf16(0) : call.input(0), packed,
              call.input(2),
              call.workspace(kernels::conv2d_forward_workspace(d, available_threads())), d,
              [&](std::int64_t first, std::int64_t count) {
                if (rounds) round_rows(call, y, first, count);
                call.apply_rows(first, count);
              });
        },
    .backward =
        [](Call<T>& call) {
          const kernels::Conv2dDims d = conv2d_training_dims(call);
          const T* const gradient = call.output_gradient();
          const T* const dy =
              d.maps_bf16 != 0 ? call.output_gradient_as_bf16() : call.output_gradient_as_floats();
          if (const auto dx = call.input_gradient(0)) {
            const T* packed =
                call.packed(1, PackUse::input_gradient, kernels::conv2d_input_pack(d));
            kernels::conv2d_backward_input<T>(
                dx.to, dx.add, dy, packed, nullptr,
                call.workspace(kernels::conv2d_backward_input_workspace(d, available_threads())),
                d);
          }
          if (const auto dweight = call.input_gradient(1)) {
            call.start(dweight, d.out_channels * d.depth());
            kernels::conv2d_backward_weight(
                dweight.to, dy, d.maps_bf16 != 0 ? call.input_as_bf16(0) : call.input(0),
                call.workspace(kernels::conv2d_backward_weight_workspace<T>(d)), d);
          }
          bias_backward(call, gradient, d.rows());
        },
    .macs =
        [](const Call<T>& call) {
          return call.output_shape().numel() *
                 call.template attributes<kernels::Conv2dDims>().depth();
        },
    .takes_add = true,
    .applies_rows = true,
    .takes_bf16 = true,
    .stores_bf16 = true,
    .reads_bf16 = true,
};

// What both convolutions below require. d is that of a map; a sequence is a map of one row.
template <class T>
void check_conv(const char* name, const Variable<T>& x, const Variable<T>& weight,
                const Variable<T>& bias, const Conv2dOptions& options,
                const kernels::Conv2dDims& d) {
  Tape<T>& tape = x.tape();
  const std::int64_t group_in = weight.shape().back();
  tape.check(options.groups > 0 && d.out_channels % options.groups == 0, name,
             ": expected a number of groups that divides ", d.out_channels,
             " output channels, got ", options.groups);
  // Not group_in * groups: without output channels the number of groups may be anything.
  tape.check(d.in_channels % options.groups == 0 && d.in_channels / options.groups == group_in,
             "expected ", group_in, options.groups == 1 ? "" : " for each group of the",
             " input channels, got ", d.in_channels);
  check_bias(tape, bias, d.out_channels);
  check_steps(tape, name, options.stride, options.padding, options.dilation);
  check_sizes(tape, name, {d.height, d.width}, {d.kernel_height, d.kernel_width});
  check_kernel_fits(tape, d.height + 2 * d.padding_height, d.width + 2 * d.padding_width,
                    d.span_height(), d.span_width());
}

// Throws if the shapes do not fit, or the kernel spans more than the padded map.
template <class T>
Variable<T> conv2d(const Variable<T>& x, const Variable<T>& weight, const Variable<T>& bias = {},
                   const Conv2dOptions& options = {}) {
  const Shape &in = x.shape(), &w = weight.shape();
  x.tape().check(
      in.rank() == 4 && w.rank() == 4,
      "conv2d: expected an input (N, H, W, C) and a weight (O, kh, kw, C / groups), got ", in,
      " and ", w);
  const kernels::Conv2dDims d{.batch = in[0],
                              .height = in[1],
                              .width = in[2],
                              .in_channels = in[3],
                              .out_channels = w[0],
                              .kernel_height = w[1],
                              .kernel_width = w[2],
                              .stride_height = options.stride.height,
                              .stride_width = options.stride.width,
                              .padding_height = options.padding.height,
                              .padding_width = options.padding.width,
                              .dilation_height = options.dilation.height,
                              .dilation_width = options.dilation.width,
                              .groups = options.groups};
  check_conv("conv2d", x, weight, bias, options, d);
  return x.tape().apply(conv2d_op<T>, d, {x, weight, bias},
                        {d.batch, d.out_height(), d.out_width(), d.out_channels});
}

// conv2d of sequences: x (N, L, C), weight (O, k, C / groups), y (N, L', O).
template <class T>
Variable<T> conv1d(const Variable<T>& x, const Variable<T>& weight, const Variable<T>& bias = {},
                   const Conv1dOptions& options = {}) {
  const Shape &in = x.shape(), &w = weight.shape();
  x.tape().check(in.rank() == 3 && w.rank() == 3,
                 "conv1d: expected an input (N, L, C) and a weight (O, k, C / groups), got ", in,
                 " and ", w);
  const kernels::Conv2dDims d{.batch = in[0],
                              .height = 1,
                              .width = in[1],
                              .in_channels = in[2],
                              .out_channels = w[0],
                              .kernel_height = 1,
                              .kernel_width = w[1],
                              .stride_height = 1,
                              .stride_width = options.stride,
                              .padding_height = 0,
                              .padding_width = options.padding,
                              .dilation_height = 1,
                              .dilation_width = options.dilation,
                              .groups = options.groups};
  check_conv("conv1d", x, weight, bias,
             {.stride = {1, options.stride},
              .padding = {0, options.padding},
              .dilation = {1, options.dilation},
              .groups = options.groups},
             d);
  return x.tape().apply(conv2d_op<T>, d, {x, weight, bias},
                        {d.batch, d.out_width(), d.out_channels});
}

// An x that is lazy, or in bfloat16, is computed a few rows at a time, in forward and again in
// backward.
template <class T>
void depthwise_conv2d_op_forward(Call<T>& call) {
  const auto& d = call.template attributes<kernels::DepthwiseConv2dDims>();
  const auto finish = [&](std::int64_t first, std::int64_t count) {
    call.apply_rows(first, count);
  };
  const bool adds_x = call.bf16_input() && call.adds_input() && d.keeps_rows();
  const T* const add = adds_x ? nullptr : call.add();  // first: it may be x, and is stored then
  const T* const x = call.bf16_input() ? nullptr : call.input(0);
  T* const y = call.output_is_bf16() ? nullptr : call.output();
  if (x && y) {
    kernels::depthwise_conv2d_forward(y, add, x, call.input(1), call.input(2), d, finish);
    return;
  }
  kernels::depthwise_conv2d_forward_of_rows<T>(
      {y, add, x, call.input(1), call.input(2), adds_x},
      [&](T* to, std::int64_t first, std::int64_t count) { call.input_rows(to, first, count); },
      [&](const T* rows, std::int64_t first, std::int64_t count) {
        kernels::bf16_kernels<T>().narrow(kernels::as_bf16(call.output()) + first * d.channels,
                                          rows, count * d.channels);
      },
      call.workspace(kernels::depthwise_conv2d_rows_workspace(d, available_threads())), d, finish);
}

template <class T>
void depthwise_conv2d_op_backward(Call<T>& call) {
  const auto& d = call.template attributes<kernels::DepthwiseConv2dDims>();
  const T* const x = call.bf16_input() ? nullptr : call.input(0);
  const T* const gradient = call.output_gradient();
  const T* const dy = call.output_gradient_is_bf16() ? nullptr : gradient;
  const auto lazy = x || call.bf16_input() ? std::nullopt : call.lazy_input();
  // Where the gradient goes through the lazy op while its rows are in the cache; and that of an x
  // in bfloat16.
  const bool through = lazy && lazy->has_backward_rows();
  std::uint16_t* const map_dx = call.bf16_input_gradient();
  const auto dx = map_dx    ? GradientTarget<T>{}
                  : through ? lazy->input_gradient(0)
                            : call.input_gradient(0);
  const auto dweight = call.input_gradient(1), dbias = call.input_gradient(2);
  if (dweight) call.start(dweight, d.kernel_height * d.kernel_width * d.channels);
  if (dbias) call.start(dbias, d.channels);
  const bool takes = map_dx || (through && dx);
  if (x && dy && !takes) {
    kernels::depthwise_conv2d_backward(
        dx.to, dx.add, dweight.to, dbias.to, dy, x, call.input(1),
        call.workspace(kernels::depthwise_conv2d_backward_workspace(d)), d);
    return;
  }
  kernels::depthwise_conv2d_backward_of_rows<T>(
      {dx.to, dx.add, dweight.to, dbias.to, dy, x, call.input(1), takes},
      [&](T* to, std::int64_t first, std::int64_t count) { call.input_rows(to, first, count); },
      [&](T* to, std::int64_t first, std::int64_t count) {
        kernels::bf16_kernels<T>().widen(to, kernels::as_bf16(gradient) + first * d.channels,
                                         count * d.channels);
      },
      [&](const T* rows, std::int64_t first, std::int64_t count) {
        if (map_dx)
          kernels::bf16_kernels<T>().narrow(map_dx + first * d.channels, rows, count * d.channels);
        else
          lazy->backward_rows(dx, nullptr, rows, first, count);
      },
      call.workspace(kernels::depthwise_conv2d_backward_of_rows_workspace(d)), d);
}

inline constexpr char depthwise_conv2d_op_name[] = "depthwise_conv2d";
template <class T>
inline constexpr Op<T> depthwise_conv2d_op = {
    .name = depthwise_conv2d_op_name,
    .forward = depthwise_conv2d_op_forward<T>,
    .backward = depthwise_conv2d_op_backward<T>,
    .macs =
        [](const Call<T>& call) {
          const auto& d = call.template attributes<kernels::DepthwiseConv2dDims>();
          return call.output_shape().numel() * d.kernel_height * d.kernel_width;
        },
    .takes_add = true,
    .takes_lazy = true,
    .applies_rows = true,
    .stores_bf16 = true,
    .reads_bf16 = true,
};

// Throws if the shapes do not fit, or the kernel is larger than the padded map.
template <class T>
Variable<T> depthwise_conv2d(const Variable<T>& x, const Variable<T>& weight,
                             const Variable<T>& bias = {},
                             const DepthwiseConv2dOptions& options = {}) {
  Tape<T>& tape = x.tape();
  const Shape& in = x.shape();
  check_depthwise(tape, in, weight.shape(), options.stride, options.padding);
  check_bias(tape, bias, in[3]);
  const kernels::DepthwiseConv2dDims d{.batch = in[0],
                                       .height = in[1],
                                       .width = in[2],
                                       .channels = in[3],
                                       .kernel_height = weight.shape()[0],
                                       .kernel_width = weight.shape()[1],
                                       .stride_height = options.stride.height,
                                       .stride_width = options.stride.width,
                                       .padding_height = options.padding.height,
                                       .padding_width = options.padding.width};
  check_kernel_fits(tape, d.height + 2 * d.padding_height, d.width + 2 * d.padding_width,
                    d.kernel_height, d.kernel_width);
  return tape.apply(depthwise_conv2d_op<T>, d, {x, weight, bias},
                    {d.batch, d.out_height(), d.out_width(), d.channels});
}

}  // namespace anther::inline v0_1
