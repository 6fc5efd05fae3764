// MobileNetV3 (Howard et al., "Searching for MobileNetV3", ICCV 2019), small and large, with the
// names, shapes and start of torchvision's.
//
//   image -> 3x3 / 2 -> inverted residuals -> 1x1 -> mean over the map -> wide layer -> head
//
// Names of parameters: features.<number>.*, classifier.0.*, classifier.3.*.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

#include "anther/models/blocks.hpp"
#include "anther/models/registry.hpp"
#include "anther/nn/activation.hpp"
#include "anther/nn/drop.hpp"
#include "anther/nn/linear.hpp"

namespace anther::inline v0_1::mobilenet_v3 {

using blocks::Activation;

// A row of the paper's tables 1 and 2.
struct Row {
  std::int64_t kernel, expanded, out;
  bool squeeze;
  Activation activation;
  std::int64_t stride;
};
inline constexpr Activation re = Activation::relu, hs = Activation::hardswish;
inline constexpr Row large_rows[] = {
    {3, 16, 16, false, re, 1},  {3, 64, 24, false, re, 2},  {3, 72, 24, false, re, 1},
    {5, 72, 40, true, re, 2},   {5, 120, 40, true, re, 1},  {5, 120, 40, true, re, 1},
    {3, 240, 80, false, hs, 2}, {3, 200, 80, false, hs, 1}, {3, 184, 80, false, hs, 1},
    {3, 184, 80, false, hs, 1}, {3, 480, 112, true, hs, 1}, {3, 672, 112, true, hs, 1},
    {5, 672, 160, true, hs, 2}, {5, 960, 160, true, hs, 1}, {5, 960, 160, true, hs, 1}};
inline constexpr Row small_rows[] = {
    {3, 16, 16, true, re, 2},  {3, 72, 24, false, re, 2}, {3, 88, 24, false, re, 1},
    {5, 96, 40, true, hs, 2},  {5, 240, 40, true, hs, 1}, {5, 240, 40, true, hs, 1},
    {5, 120, 48, true, hs, 1}, {5, 144, 48, true, hs, 1}, {5, 288, 96, true, hs, 2},
    {5, 576, 96, true, hs, 1}, {5, 576, 96, true, hs, 1}};

// torchvision's settings of BatchNorm, which are those of the paper's TensorFlow code.
inline blocks::ConvNormOptions conv_norm(std::int64_t kernel, Activation activation,
                                         std::int64_t stride = 1, std::int64_t groups = 1) {
  return {.kernel_size = kernel,
          .stride = stride,
          .groups = groups,
          .activation = activation,
          .eps = 0.001,
          .momentum = 0.01};
}

// Wide, then depth-wise with squeeze and excitation, then narrow; the narrow maps are added.
template <class T>
class Block : public Module<T> {
 public:
  Block(const Scope<T>& scope, std::int64_t in, const Row& row)
      : Module<T>(scope, "InvertedResidual", {.stage = true}),
        adds_(row.stride == 1 && in == row.out),
        block(scope / "block") {
    using namespace blocks;
    if (row.expanded != in)
      block.template add<ConvNormActivation>(in, row.expanded, conv_norm(1, row.activation));
    block.template add<ConvNormActivation>(
        row.expanded, row.expanded,
        conv_norm(row.kernel, row.activation, row.stride, row.expanded));
    if (row.squeeze)
      block.template add<SqueezeExcitation>(row.expanded,
                                            multiple_of_8(static_cast<double>(row.expanded / 4)));
    block.template add<ConvNormActivation>(row.expanded, row.out, conv_norm(1, Activation::none));
  }

  Variable<T> forward(Variable<T> x) const override { return adds_ ? x + block(x) : block(x); }

 private:
  bool adds_;
  Sequential<T> block;
};

enum class Size { small, large };
constexpr auto choices_of(Size) {
  return std::array<std::pair<Size, std::string_view>, 2>{
      {{Size::small, "small"}, {Size::large, "large"}}};
}

}  // namespace anther::inline v0_1::mobilenet_v3

namespace anther::inline v0_1 {

struct MobileNetV3Options {
  mobilenet_v3::Size size = mobilenet_v3::Size::large;
  std::int64_t num_classes = 1000;
  double dropout = 0.2;

  template <class Self, class Visit>
  static void members(Self& self, const Visit& visit) {
    visit("size", self.size);
    visit("num_classes", self.num_classes);
    visit("dropout", self.dropout);
  }
  void validate() const {
    detail::check(num_classes > 0 && num_classes <= 10'000'000,
                  "num_classes: expected 1 to 10000000, got ", num_classes);
  }
  Shape sample_shape(std::int64_t pixels) const { return {pixels, pixels, 3}; }
};

// Images (N, H, W, 3) to logits (N, num_classes).
template <class T>
class MobileNetV3 : public Module<T> {
 public:
  using Options = MobileNetV3Options;

  MobileNetV3(const Scope<T>& scope, const Options& options)
      : Module<T>(scope, "MobileNetV3"),
        options_(options),
        features(scope / "features"),
        classifier(scope / "classifier") {
    using namespace mobilenet_v3;
    options.validate();
    const bool is_large = options.size == Size::large;
    const auto rows =
        is_large ? std::span<const Row>(large_rows) : std::span<const Row>(small_rows);
    const auto stage = [](blocks::ConvNormOptions conv) {
      conv.traits.stage = true;
      return conv;
    };
    features.template add<blocks::ConvNormActivation>(3, 16, stage(conv_norm(3, hs, 2)));
    std::int64_t in = 16;
    for (const Row& row : rows) {
      features.template add<Block>(in, row);
      in = row.out;
    }
    features.template add<blocks::ConvNormActivation>(in, 6 * in, stage(conv_norm(1, hs)));
    LinearOptions linear{.weight_init = Init::normal(0.01), .bias_init = Init::constant(0)};
    const std::int64_t wide = is_large ? 1280 : 1024;
    classifier.template add<Linear>(6 * in, wide, linear);
    classifier.template add<Hardswish>();
    classifier.template add<Dropout>(options.dropout);
    linear.traits.head = true;
    classifier.template add<Linear>(wide, options.num_classes, linear);
  }

  Variable<T> forward(Variable<T> x) const override {
    return classifier(global_average_pool(features(x)));
  }
  const Options& options() const { return options_; }

 private:
  Options options_;
  Sequential<T> features, classifier;
};

inline const RegisterModel<MobileNetV3<float>> registered_mobilenet_v3(
    "mobilenet_v3", {.variants = {{"mobilenet_v3_small", {{"size", "small"}}},
                                  {"mobilenet_v3_large", {{"size", "large"}}}},
                     .training_options = {"dropout"}});

}  // namespace anther::inline v0_1
