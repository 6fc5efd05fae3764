// Convolution layers, with PyTorch's names, shapes and default start: Conv2d (which takes the
// product for 1x1 kernels and the depth-wise kernel for groups = channels) and ConvTranspose2d
// (depth-wise). x (N, H, W, C).
#pragma once

#include <optional>

#include "anther/nn/linear.hpp"
#include "anther/nn/module.hpp"
#include "anther/ops/conv2d.hpp"
#include "anther/ops/linear.hpp"

namespace anther::inline v0_1 {

struct Conv2dLayerOptions {
  Extent2d kernel_size = 1;
  Extent2d stride = 1;
  Extent2d padding = 0;
  Extent2d dilation = 1;
  std::int64_t groups = 1;
  bool bias = true;
  std::optional<Init> weight_init = {};  // default_init(fan_in) unless given
  std::optional<Init> bias_init = {};
  ModuleTraits traits = {};  // of a head, say
};

template <class T>
class Conv2d : public Module<T> {
 public:
  // weight: PyTorch's (O, C / groups, kh, kw); kept as (O, kh, kw, C / groups), a depth-wise one as
  // (kh, kw, C, 1).
  Conv2d(const Scope<T>& scope, std::int64_t in_channels, std::int64_t out_channels,
         const Conv2dLayerOptions& options = {})
      : Module<T>(scope, "Conv2d", options.traits),
        options_(options),
        depthwise_(options.groups > 1 && options.groups == in_channels &&
                   in_channels == out_channels && options.dilation == Extent2d{1}) {
    detail::check(options.groups > 0 && in_channels % options.groups == 0 &&
                      out_channels % options.groups == 0,
                  scope.path(), ": expected a number of groups that divides ", in_channels, " and ",
                  out_channels, " channels, got ", options.groups);
    const std::int64_t group_in = in_channels / options.groups;
    const auto [kh, kw] = options.kernel_size;
    const Init start = default_init(group_in * kh * kw);
    ParameterOptions w{.shape = {out_channels, kh, kw, group_in},
                       .torch_axes = {0, 3, 1, 2},
                       .torch_order = false,
                       .init = options.weight_init.value_or(start)};
    if (depthwise_) {
      w.shape = {kh, kw, out_channels, 1};
      w.torch_axes = {2, 3, 0, 1};
    }
    weight = scope.parameter("weight", w);
    if (options.bias)
      bias = scope.parameter(
          "bias",
          {.shape = {out_channels}, .init = options.bias_init.value_or(start), .decay = false});
  }

  Variable<T> forward(Variable<T> x) const override {
    const Variable<T> w = x.tape().parameter(weight), b = x.tape().parameter(bias);
    const auto& o = options_;
    if (depthwise_) return depthwise_conv2d(x, w, b, {.stride = o.stride, .padding = o.padding});
    if (o.kernel_size == Extent2d{1} && o.stride == Extent2d{1} && o.padding == Extent2d{0} &&
        o.groups == 1)
      return linear(x, w, b);
    return conv2d(
        x, w, b,
        {.stride = o.stride, .padding = o.padding, .dilation = o.dilation, .groups = o.groups});
  }

  Parameter<T> weight, bias;

 private:
  Conv2dLayerOptions options_;
  bool depthwise_;
};

// The depth-wise transposed convolution: PyTorch's ConvTranspose2d with groups = channels.
// weight: PyTorch's (C, 1, kh, kw); kept as (kh, kw, C, 1).
template <class T>
class ConvTranspose2d : public Module<T> {
 public:
  ConvTranspose2d(const Scope<T>& scope, std::int64_t channels, const Conv2dLayerOptions& options)
      : Module<T>(scope, "ConvTranspose2d"), stride_(options.stride), padding_(options.padding) {
    detail::check(options.groups == channels, scope.path(),
                  ": a transposed convolution is depth-wise here: expected groups = ", channels,
                  ", got ", options.groups);
    const auto [kh, kw] = options.kernel_size;
    const Init start = default_init(kh * kw);
    weight = scope.parameter("weight", {.shape = {kh, kw, channels, 1},
                                        .torch_axes = {2, 3, 0, 1},
                                        .torch_order = false,
                                        .init = options.weight_init.value_or(start)});
    if (options.bias)
      bias = scope.parameter(
          "bias", {.shape = {channels}, .init = options.bias_init.value_or(start), .decay = false});
  }

  Variable<T> forward(Variable<T> x) const override {
    return depthwise_conv_transpose2d(x, x.tape().parameter(weight), x.tape().parameter(bias),
                                      {.stride = stride_, .padding = padding_});
  }

  Parameter<T> weight, bias;

 private:
  Extent2d stride_, padding_;
};

}  // namespace anther::inline v0_1
