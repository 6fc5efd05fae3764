// MobileNetV2 (Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR
// 2018), with the names, shapes and start of torchvision's.
//
//   image -> 3x3 / 2 -> 17 inverted residuals -> 1x1 -> mean over the map -> dropout -> head
//
// Names of parameters: features.<0 to 18>.*, classifier.1.*.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>

#include "anther/models/blocks.hpp"
#include "anther/models/registry.hpp"
#include "anther/nn/drop.hpp"
#include "anther/nn/linear.hpp"

namespace anther::inline v0_1 {

// Wide, then depth-wise, then narrow without an activation; the narrow maps are added.
template <class T>
class InvertedResidual : public Module<T> {
 public:
  InvertedResidual(const Scope<T>& scope, std::int64_t in, std::int64_t out, std::int64_t stride,
                   std::int64_t expand_ratio)
      : Module<T>(scope, "InvertedResidual", {.stage = true}),
        adds_(stride == 1 && in == out),
        conv(scope / "conv") {
    using enum blocks::Activation;
    const std::int64_t hidden = in * expand_ratio;
    if (expand_ratio != 1)
      conv.template add<blocks::ConvNormActivation>(
          in, hidden, blocks::ConvNormOptions{.kernel_size = 1, .activation = relu6});
    conv.template add<blocks::ConvNormActivation>(
        hidden, hidden,
        blocks::ConvNormOptions{.stride = stride, .groups = hidden, .activation = relu6});
    conv.template add<Conv2d>(
        hidden, out,
        Conv2dLayerOptions{.bias = false, .weight_init = blocks::fan_out_init(out, 1)});
    conv.template add<BatchNorm2d>(out);
  }

  Variable<T> forward(Variable<T> x) const override { return adds_ ? x + conv(x) : conv(x); }

 private:
  bool adds_;
  Sequential<T> conv;
};

struct MobileNetV2Options {
  std::int64_t num_classes = 1000;
  double width_mult = 1;  // of all numbers of channels
  double dropout = 0.2;

  template <class Self, class Visit>
  static void members(Self& self, const Visit& visit) {
    visit("num_classes", self.num_classes);
    visit("width_mult", self.width_mult);
    visit("dropout", self.dropout);
  }
  void validate() const {
    detail::check(num_classes > 0 && num_classes <= 10'000'000,
                  "num_classes: expected 1 to 10000000, got ", num_classes);
    detail::check(width_mult > 0 && width_mult <= 16,
                  "width_mult: expected more than 0, at most 16, got ", width_mult);
  }
  Shape sample_shape(std::int64_t size) const { return {size, size, 3}; }
};

// Images (N, H, W, 3) to logits (N, num_classes).
template <class T>
class MobileNetV2 : public Module<T> {
 public:
  using Options = MobileNetV2Options;

  MobileNetV2(const Scope<T>& scope, const Options& options)
      : Module<T>(scope, "MobileNetV2"), options_(options), features(scope / "features") {
    options.validate();
    using enum blocks::Activation;
    struct Row {
      std::int64_t expand_ratio, channels, repeats, stride;  // the paper's t, c, n, s
    };
    constexpr Row table[] = {{1, 16, 1, 1}, {6, 24, 2, 2},  {6, 32, 3, 2}, {6, 64, 4, 2},
                             {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}};
    const auto wide = [&](std::int64_t channels) {
      return blocks::multiple_of_8(static_cast<double>(channels) * options.width_mult);
    };
    std::int64_t in = wide(32);
    const std::int64_t last = blocks::multiple_of_8(1280 * std::max(1.0, options.width_mult));
    features.template add<blocks::ConvNormActivation>(
        3, in, blocks::ConvNormOptions{.stride = 2, .activation = relu6, .traits = stage});
    for (const Row& row : table)
      for (std::int64_t i = 0; i < row.repeats; ++i) {
        features.template add<InvertedResidual>(in, wide(row.channels), i == 0 ? row.stride : 1,
                                                row.expand_ratio);
        in = wide(row.channels);
      }
    features.template add<blocks::ConvNormActivation>(
        in, last, blocks::ConvNormOptions{.kernel_size = 1, .activation = relu6, .traits = stage});
    const Scope<T> top = scope / "classifier";
    drop = std::make_unique<Dropout<T>>(top / 0, options.dropout);
    head = std::make_unique<Linear<T>>(top / 1, last, options.num_classes,
                                       LinearOptions{.weight_init = Init::normal(0.01),
                                                     .bias_init = Init::constant(0),
                                                     .traits = {.head = true}});
  }

  Variable<T> forward(Variable<T> x) const override {
    return head(drop(global_average_pool(features(x))));
  }
  const Options& options() const { return options_; }

 private:
  static constexpr ModuleTraits stage = {.stage = true};

  Options options_;
  Sequential<T> features;
  AnyModule<T> drop, head;
};

inline const RegisterModel<MobileNetV2<float>> registered_mobilenet_v2(
    "mobilenet_v2", {.training_options = {"dropout"}});

}  // namespace anther::inline v0_1
