// Blocks that several convolutional networks are made of, with torchvision's names and starts of
// their parameters. x (N, H, W, C).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "anther/nn/conv.hpp"
#include "anther/nn/module.hpp"
#include "anther/nn/norm.hpp"
#include "anther/ops/arithmetic.hpp"
#include "anther/ops/pointwise.hpp"
#include "anther/ops/pool.hpp"

namespace anther::inline v0_1::blocks {

enum class Activation { none, relu, relu6, hardswish };

template <class T>
Variable<T> activate(const Variable<T>& x, Activation activation) {
  switch (activation) {
    case Activation::relu:
      return relu(x);
    case Activation::relu6:
      return relu6(x);
    case Activation::hardswish:
      return hardswish(x);
    case Activation::none:
      break;
  }
  return x;
}

// kaiming_normal_ with mode="fan_out". PyTorch counts all output channels, whatever the groups.
inline Init fan_out_init(std::int64_t out_channels, std::int64_t kernel_size) {
  return Init::normal(std::sqrt(2 / static_cast<double>(out_channels * kernel_size * kernel_size)));
}

// The multiple of 8 that is next to the number of channels, at least 90 % of it.
inline std::int64_t multiple_of_8(double channels) {
  const auto nearest = std::max<std::int64_t>(8, static_cast<std::int64_t>(channels + 4) / 8 * 8);
  return static_cast<double>(nearest) < 0.9 * channels ? nearest + 8 : nearest;
}

struct ConvNormOptions {
  std::int64_t kernel_size = 3;  // odd; the map is padded so that stride 1 keeps its size
  std::int64_t stride = 1;
  std::int64_t groups = 1;
  Activation activation = Activation::relu;
  double eps = 1e-5, momentum = 0.1;  // of BatchNorm2d
  ModuleTraits traits = {};
};

// Convolution, BatchNorm, activation. Parameters: 0 is the convolution, 1 the norm.
template <class T>
class ConvNormActivation : public Module<T> {
 public:
  ConvNormActivation(const Scope<T>& scope, std::int64_t in_channels, std::int64_t out_channels,
                     const ConvNormOptions& options)
      : Module<T>(scope, "ConvNormActivation", options.traits),
        activation_(options.activation),
        conv(scope / 0, in_channels, out_channels,
             {.kernel_size = options.kernel_size,
              .stride = options.stride,
              .padding = options.kernel_size / 2,
              .groups = options.groups,
              .bias = false,
              .weight_init = fan_out_init(out_channels, options.kernel_size)}),
        norm(scope / 1, out_channels, options.eps, options.momentum) {}

  Variable<T> forward(Variable<T> x) const override { return activate(norm(conv(x)), activation_); }

 private:
  Activation activation_;
  Conv2d<T> conv;
  BatchNorm2d<T> norm;
};

// Each channel times a number between 0 and 1, which two layers compute from the means of all
// channels (Hu et al. 2018); with hardsigmoid, as MobileNetV3 has it.
template <class T>
class SqueezeExcitation : public Module<T> {
 public:
  SqueezeExcitation(const Scope<T>& scope, std::int64_t channels, std::int64_t squeezed)
      : Module<T>(scope, "SqueezeExcitation"),
        fc1(scope / "fc1", channels, squeezed,
            {.weight_init = fan_out_init(squeezed, 1), .bias_init = Init::constant(0)}),
        fc2(scope / "fc2", squeezed, channels,
            {.weight_init = fan_out_init(channels, 1), .bias_init = Init::constant(0)}) {}

  Variable<T> forward(Variable<T> x) const override {
    return x * hardsigmoid(fc2(relu(fc1(adaptive_avg_pool2d(x, 1)))));
  }

 private:
  Conv2d<T> fc1, fc2;
};

}  // namespace anther::inline v0_1::blocks
