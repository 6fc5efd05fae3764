// Convolution layers, with PyTorch's names, shapes and default start: Conv2d (which takes the
// product for 1x1 kernels and the depth-wise kernel for groups = channels), ConvTranspose2d (which
// takes the depth-wise kernel too), x (N, H, W, C); and Conv1d, x (N, L, C).
#pragma once

#include <optional>

#include "anther/nn/linear.hpp"
#include "anther/nn/module.hpp"
#include "anther/ops/conv2d.hpp"
#include "anther/ops/conv_transpose2d.hpp"
#include "anther/ops/linear.hpp"

namespace anther::inline v0_1 {

// Throws unless both numbers of channels can be cut into groups.
template <class T>
void check_groups(const Scope<T>& scope, std::int64_t in_channels, std::int64_t out_channels,
                  std::int64_t groups) {
  detail::check(groups > 0 && in_channels % groups == 0 && out_channels % groups == 0, scope.path(),
                ": expected a number of groups that divides ", in_channels, " and ", out_channels,
                " channels, got ", groups);
}

// PyTorch's weight (rows, columns, kh, kw), kept as (rows, kh, kw, columns); a depth-wise one as
// (kh, kw, rows, 1).
template <class T>
Parameter<T> add_conv_weight(const Scope<T>& scope, std::int64_t rows, const Extent2d& kernel,
                             std::int64_t columns, bool depthwise, const Init& init) {
  const auto [kh, kw] = kernel;
  ParameterOptions options{.shape = {rows, kh, kw, columns},
                           .torch_axes = {0, 3, 1, 2},
                           .torch_order = false,
                           .init = init};
  if (depthwise) {
    options.shape = {kh, kw, rows, 1};
    options.torch_axes = {2, 3, 0, 1};
  }
  return scope.parameter("weight", options);
}

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
    check_groups(scope, in_channels, out_channels, options.groups);
    const std::int64_t group_in = in_channels / options.groups;
    const std::int64_t fan_in = group_in * options.kernel_size.height * options.kernel_size.width;
    weight = add_conv_weight(scope, out_channels, options.kernel_size, group_in, depthwise_,
                             options.weight_init.value_or(default_init(fan_in)));
    bias = add_bias(scope, options, out_channels, fan_in);
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

struct Conv1dLayerOptions {
  std::int64_t kernel_size = 1;
  std::int64_t stride = 1;
  std::int64_t padding = 0;
  std::int64_t dilation = 1;
  std::int64_t groups = 1;
  bool bias = true;
  std::optional<Init> weight_init = {};  // default_init(fan_in) unless given
  std::optional<Init> bias_init = {};
};

// x (N, L, C). weight: PyTorch's (O, C / groups, k); kept as (O, k, C / groups).
template <class T>
class Conv1d : public Module<T> {
 public:
  Conv1d(const Scope<T>& scope, std::int64_t in_channels, std::int64_t out_channels,
         const Conv1dLayerOptions& options = {})
      : Module<T>(scope, "Conv1d"), options_(options) {
    check_groups(scope, in_channels, out_channels, options.groups);
    const std::int64_t group_in = in_channels / options.groups;
    const std::int64_t fan_in = group_in * options.kernel_size;
    weight =
        scope.parameter("weight", {.shape = {out_channels, options.kernel_size, group_in},
                                   .torch_axes = {0, 2, 1},
                                   .torch_order = false,
                                   .init = options.weight_init.value_or(default_init(fan_in))});
    bias = add_bias(scope, options, out_channels, fan_in);
  }

  Variable<T> forward(Variable<T> x) const override {
    return conv1d(x, x.tape().parameter(weight), x.tape().parameter(bias),
                  {.stride = options_.stride,
                   .padding = options_.padding,
                   .dilation = options_.dilation,
                   .groups = options_.groups});
  }

  Parameter<T> weight, bias;

 private:
  Conv1dLayerOptions options_;
};

struct ConvTranspose2dLayerOptions {
  Extent2d kernel_size = 1;
  Extent2d stride = 1;
  Extent2d padding = 0;
  Extent2d output_padding = 0;
  std::int64_t groups = 1;
  bool bias = true;
  Extent2d dilation = 1;
  std::optional<Init> weight_init = {};  // default_init(fan_in) unless given
  std::optional<Init> bias_init = {};
};

// weight: PyTorch's (C, O / groups, kh, kw); kept as (C, kh, kw, O / groups), a depth-wise one as
// (kh, kw, C, 1).
template <class T>
class ConvTranspose2d : public Module<T> {
 public:
  ConvTranspose2d(const Scope<T>& scope, std::int64_t in_channels, std::int64_t out_channels,
                  const ConvTranspose2dLayerOptions& options = {})
      : Module<T>(scope, "ConvTranspose2d"),
        options_(options),
        depthwise_(options.groups == in_channels && in_channels == out_channels &&
                   options.dilation == Extent2d{1}) {
    check_groups(scope, in_channels, out_channels, options.groups);
    const std::int64_t group_out = out_channels / options.groups;
    const std::int64_t fan_in = group_out * options.kernel_size.height * options.kernel_size.width;
    weight = add_conv_weight(scope, in_channels, options.kernel_size, group_out, depthwise_,
                             options.weight_init.value_or(default_init(fan_in)));
    bias = add_bias(scope, options, out_channels, fan_in);
  }

  Variable<T> forward(Variable<T> x) const override {
    const Variable<T> w = x.tape().parameter(weight), b = x.tape().parameter(bias);
    const auto& o = options_;
    if (depthwise_)
      return depthwise_conv_transpose2d(
          x, w, b, {.stride = o.stride, .padding = o.padding, .output_padding = o.output_padding});
    return conv_transpose2d(x, w, b,
                            {.stride = o.stride,
                             .padding = o.padding,
                             .output_padding = o.output_padding,
                             .groups = o.groups,
                             .dilation = o.dilation});
  }

  Parameter<T> weight, bias;

 private:
  ConvTranspose2dLayerOptions options_;
  bool depthwise_;
};

}  // namespace anther::inline v0_1
