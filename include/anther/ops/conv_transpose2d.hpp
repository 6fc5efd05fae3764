// Transposed convolutions, which enlarge a map: conv_transpose2d (any kernel, stride, padding,
// dilation and groups) and depthwise_conv_transpose2d (one kernel a channel).
//   y[n, s i + d a - p, s j + d b - p, o] += x[n, i, j, c] weight[c, a, b, o], then bias
// x (N, H, W, C), y (N, H', W', O). Weights: (C, kh, kw, O / groups), the depth-wise one (kh, kw,
// C) or (kh, kw, C, 1). Backward keeps x. It is the gradient of the input of a convolution from y
// to x, and has that one's kernels.
#pragma once

#include "anther/kernels/depthwise_conv_transpose2d.hpp"
#include "anther/ops/conv2d.hpp"

namespace anther::inline v0_1 {

struct ConvTranspose2dOptions {
  Extent2d stride = 1;
  Extent2d padding = 0;
  Extent2d output_padding = 0;
  std::int64_t groups = 1;
  Extent2d dilation = 1;
};
struct DepthwiseConvTranspose2dOptions {
  Extent2d stride = 1;
  Extent2d padding = 0;
  Extent2d output_padding = 0;
};

// Output padding says which of the sizes that a convolution with this stride maps to x's is meant.
template <class T>
void check_output_padding(Tape<T>& tape, const Extent2d& output_padding, const Extent2d& stride) {
  tape.check(output_padding.height >= 0 && output_padding.width >= 0 &&
                 output_padding.height < stride.height && output_padding.width < stride.width,
             "transposed convolution: expected an output padding less than the stride ", stride,
             ", got ", output_padding);
}

// The attributes are the dims of the convolution from y to x.
inline constexpr char conv_transpose2d_op_name[] = "conv_transpose2d";
template <class T>
inline constexpr Op<T> conv_transpose2d_op = {
    .name = conv_transpose2d_op_name,
    .forward =
        [](Call<T>& call) {
          const kernels::Conv2dDims d = conv2d_dims(call);
          const T* packed = call.packed(1, PackUse::forward, kernels::conv2d_input_pack(d));
          kernels::conv2d_backward_input<T>(
              call.output(), nullptr, call.input(0), packed, call.input(2),
              call.workspace(kernels::conv2d_backward_input_workspace(d, available_threads())), d);
        },
    .backward =
        [](Call<T>& call) {
          const kernels::Conv2dDims d = conv2d_dims(call);
          const T* dy = call.output_gradient();
          if (const auto dx = call.input_gradient(0)) {
            const T* packed = call.packed(1, PackUse::input_gradient, kernels::conv2d_pack(d));
            kernels::conv2d_forward<T>(
                dx.to, dx.add, dy, packed, nullptr,
                call.workspace(kernels::conv2d_forward_workspace(d, available_threads())), d);
          }
          if (const auto dweight = call.input_gradient(1)) {
            call.start(dweight, d.out_channels * d.depth());
            kernels::conv2d_backward_weight(
                dweight.to, call.input(0), dy,
                call.workspace(kernels::conv2d_backward_weight_workspace<T>(d)), d);
          }
          bias_backward(call, dy, call.output_shape().rows());
        },
    .macs =
        [](const Call<T>& call) {
          return call.input_shape(0).numel() *
                 call.template attributes<kernels::Conv2dDims>().depth();
        },
    .takes_bf16 = true,
};

// PyTorch's conv_transpose2d. Throws if the shapes do not fit.
template <class T>
Variable<T> conv_transpose2d(const Variable<T>& x, const Variable<T>& weight,
                             const Variable<T>& bias = {},
                             const ConvTranspose2dOptions& options = {}) {
  Tape<T>& tape = x.tape();
  const Shape &in = x.shape(), &w = weight.shape();
  const auto& [stride, padding, extra, groups, dilation] = options;
  tape.check(in.rank() == 4 && w.rank() == 4,
             "conv_transpose2d: expected an input (N, H, W, C) and a weight (C, kh, kw, O / "
             "groups), got ",
             in, " and ", w);
  tape.check(in[3] == w[0], "expected ", w[0], " input channels, got ", in[3]);
  tape.check(groups > 0 && in[3] % groups == 0,
             "conv_transpose2d: expected a number of groups that divides ", in[3],
             " input channels, got ", groups);
  tape.check(w[1] > 0 && w[2] > 0, "conv_transpose2d: expected a kernel of at least 1, got ",
             Extent2d{w[1], w[2]});
  check_steps(tape, "conv_transpose2d", stride, padding, dilation);
  check_sizes(tape, "conv_transpose2d", {in[1], in[2]}, {w[1], w[2]});
  tape.check(w[3] <= most_extent && groups <= most_extent,
             "conv_transpose2d: expected channels that can be counted, got ", w[3], " for each of ",
             groups, " groups");
  check_output_padding(tape, extra, stride);
  check_bias(tape, bias, w[3] * groups);
  const kernels::Conv2dDims d{.batch = in[0],
                              .height = (in[1] - 1) * stride.height - 2 * padding.height +
                                        (w[1] - 1) * dilation.height + extra.height + 1,
                              .width = (in[2] - 1) * stride.width - 2 * padding.width +
                                       (w[2] - 1) * dilation.width + extra.width + 1,
                              .in_channels = w[3] * groups,
                              .out_channels = in[3],
                              .kernel_height = w[1],
                              .kernel_width = w[2],
                              .stride_height = stride.height,
                              .stride_width = stride.width,
                              .padding_height = padding.height,
                              .padding_width = padding.width,
                              .dilation_height = dilation.height,
                              .dilation_width = dilation.width,
                              .groups = groups};
  tape.check(in[1] > 0 && in[2] > 0 && d.height > 0 && d.width > 0,
             "transposed convolution: nothing is left of the map with a padding of ", padding);
  return tape.apply(conv_transpose2d_op<T>, d, {x, weight, bias},
                    {d.batch, d.height, d.width, d.in_channels});
}

inline constexpr char depthwise_conv_transpose2d_op_name[] = "depthwise_conv_transpose2d";
template <class T>
inline constexpr Op<T> depthwise_conv_transpose2d_op = {
    .name = depthwise_conv_transpose2d_op_name,
    .forward =
        [](Call<T>& call) {
          T* const y = call.float_output();
          kernels::depthwise_conv_transpose2d_forward(
              y, call.input(0), call.input(1), call.input(2),
              call.template attributes<kernels::DepthwiseConvTranspose2dDims>());
          call.round_output(y);
        },
    .backward =
        [](Call<T>& call) {
          const auto& d = call.template attributes<kernels::DepthwiseConvTranspose2dDims>();
          const auto dx = call.input_gradient(0), dweight = call.input_gradient(1),
                     dbias = call.input_gradient(2);
          if (dweight) call.start(dweight, d.kernel_height * d.kernel_width * d.channels);
          if (dbias) call.start(dbias, d.channels);
          kernels::depthwise_conv_transpose2d_backward(
              dx.to, dx.add, dweight.to, dbias.to, call.output_gradient_as_floats(), call.input(0),
              call.input(1),
              call.workspace(kernels::depthwise_conv_transpose2d_backward_workspace(d)), d);
        },
    .macs =
        [](const Call<T>& call) {
          const auto& d = call.template attributes<kernels::DepthwiseConvTranspose2dDims>();
          return call.input_shape(0).numel() * d.kernel_height * d.kernel_width;
        },
    .stores_bf16 = true,
};

// y[n, s i + a - p, s j + b - p, c] += x[n, i, j, c] weight[a, b, c], then bias: PyTorch's
// conv_transpose2d with groups = C. Throws if the shapes do not fit.
template <class T>
Variable<T> depthwise_conv_transpose2d(const Variable<T>& x, const Variable<T>& weight,
                                       const Variable<T>& bias = {},
                                       const DepthwiseConvTranspose2dOptions& options = {}) {
  Tape<T>& tape = x.tape();
  const Shape& in = x.shape();
  check_depthwise(tape, in, weight.shape(), options.stride, options.padding);
  check_bias(tape, bias, in[3]);
  const Extent2d extra = options.output_padding;
  check_output_padding(tape, extra, options.stride);
  const kernels::DepthwiseConvTranspose2dDims d{.batch = in[0],
                                                .height = in[1],
                                                .width = in[2],
                                                .channels = in[3],
                                                .kernel_height = weight.shape()[0],
                                                .kernel_width = weight.shape()[1],
                                                .stride_height = options.stride.height,
                                                .stride_width = options.stride.width,
                                                .padding_height = options.padding.height,
                                                .padding_width = options.padding.width,
                                                .output_padding_height = extra.height,
                                                .output_padding_width = extra.width};
  tape.check(d.out_height() > 0 && d.out_width() > 0,
             "transposed convolution: nothing is left of the map with a padding of ",
             options.padding);
  return tape.apply(depthwise_conv_transpose2d_op<T>, d, {x, weight, bias},
                    {d.batch, d.out_height(), d.out_width(), d.channels});
}

}  // namespace anther::inline v0_1
