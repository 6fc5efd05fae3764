// ResNet (He et al., "Deep Residual Learning for Image Recognition", CVPR 2016), with the names,
// shapes and start of torchvision's resnet18, resnet34 and resnet50. As there, a bottleneck has its
// stride in the 3x3 convolution.
//
//   image -> 7x7 / 2 -> max pool / 2 -> four layers of residual blocks -> mean over the map -> fc
//
// Names of parameters: conv1.*, bn1.*, layer<1 to 4>.<number>.*, fc.*.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "anther/models/blocks.hpp"
#include "anther/models/registry.hpp"
#include "anther/nn/linear.hpp"

namespace anther::inline v0_1 {

// The convolutions of a block, without bias.
template <class T>
Conv2d<T> resnet_conv(const Scope<T>& scope, std::int64_t in, std::int64_t out, std::int64_t kernel,
                      std::int64_t stride = 1) {
  return {scope,
          in,
          out,
          {.kernel_size = kernel,
           .stride = stride,
           .padding = kernel / 2,
           .bias = false,
           .weight_init = blocks::fan_out_init(out, kernel)}};
}

// What x becomes so that it fits the block's result: a 1x1 convolution and its norm, or nothing.
template <class T>
AnyModule<T> resnet_downsample(const Scope<T>& scope, std::int64_t in, std::int64_t out,
                               std::int64_t stride) {
  if (stride == 1 && in == out) return {};
  return std::make_unique<blocks::ConvNormActivation<T>>(
      scope, in, out,
      blocks::ConvNormOptions{
          .kernel_size = 1, .stride = stride, .activation = blocks::Activation::none});
}

// relu(x + f(x)), f two 3x3 convolutions.
template <class T>
class BasicBlock : public Module<T> {
 public:
  BasicBlock(const Scope<T>& scope, std::int64_t in, std::int64_t width, std::int64_t stride)
      : Module<T>(scope, "BasicBlock"),
        conv1(resnet_conv(scope / "conv1", in, width, 3, stride)),
        bn1(scope / "bn1", width),
        conv2(resnet_conv(scope / "conv2", width, width, 3)),
        bn2(scope / "bn2", width),
        downsample(resnet_downsample(scope / "downsample", in, width, stride)) {}

  Variable<T> forward(Variable<T> x) const override {
    return relu(downsample(x) + bn2(conv2(relu(bn1(conv1(x))))));
  }

 private:
  Conv2d<T> conv1;
  BatchNorm2d<T> bn1;
  Conv2d<T> conv2;
  BatchNorm2d<T> bn2;
  AnyModule<T> downsample;
};

// relu(x + f(x)), f a 3x3 convolution of fewer channels between two 1x1 ones.
template <class T>
class Bottleneck : public Module<T> {
 public:
  Bottleneck(const Scope<T>& scope, std::int64_t in, std::int64_t width, std::int64_t stride)
      : Module<T>(scope, "Bottleneck"),
        conv1(resnet_conv(scope / "conv1", in, width, 1)),
        bn1(scope / "bn1", width),
        conv2(resnet_conv(scope / "conv2", width, width, 3, stride)),
        bn2(scope / "bn2", width),
        conv3(resnet_conv(scope / "conv3", width, 4 * width, 1)),
        bn3(scope / "bn3", 4 * width),
        downsample(resnet_downsample(scope / "downsample", in, 4 * width, stride)) {}

  Variable<T> forward(Variable<T> x) const override {
    const Variable<T> narrow = relu(bn2(conv2(relu(bn1(conv1(x))))));
    return relu(downsample(x) + bn3(conv3(narrow)));
  }

 private:
  Conv2d<T> conv1;
  BatchNorm2d<T> bn1;
  Conv2d<T> conv2;
  BatchNorm2d<T> bn2;
  Conv2d<T> conv3;
  BatchNorm2d<T> bn3;
  AnyModule<T> downsample;
};

struct ResNetOptions {
  std::array<std::int64_t, 4> layers = {2, 2, 2, 2};  // blocks
  bool bottleneck = false;                            // Bottleneck instead of BasicBlock
  std::int64_t num_classes = 1000;

  template <class Self, class Visit>
  static void members(Self& self, const Visit& visit) {
    visit("layers", self.layers);
    visit("bottleneck", self.bottleneck);
    visit("num_classes", self.num_classes);
  }
  void validate() const {
    for (const std::int64_t each : layers)
      detail::check(each > 0 && each <= 1000, "layers: expected 1 to 1000, got ", each);
    detail::check(num_classes > 0 && num_classes <= 10'000'000,
                  "num_classes: expected 1 to 10000000, got ", num_classes);
  }
  Shape sample_shape(std::int64_t size) const { return {size, size, 3}; }
};

// Images (N, H, W, 3) to logits (N, num_classes).
template <class T>
class ResNet : public Module<T> {
 public:
  using Options = ResNetOptions;

  ResNet(const Scope<T>& scope, const Options& options)
      : Module<T>(scope, "ResNet"),
        options_(options),
        conv1(resnet_conv(scope / "conv1", 3, 64, 7, 2)),
        bn1(scope / "bn1", 64) {
    options.validate();
    std::int64_t in = 64, width = 64;
    for (std::size_t s = 0; s < 4; ++s, width *= 2) {
      layers_[s] = std::make_unique<Sequential<T>>(scope / ("layer" + std::to_string(s + 1)),
                                                   ModuleTraits{.stage = true});
      for (std::int64_t i = 0; i < options.layers[s]; ++i) {
        const std::int64_t stride = s > 0 && i == 0 ? 2 : 1;
        if (options.bottleneck)
          layers_[s]->template add<Bottleneck>(in, width, stride);
        else
          layers_[s]->template add<BasicBlock>(in, width, stride);
        in = options.bottleneck ? 4 * width : width;
      }
    }
    fc = std::make_unique<Linear<T>>(scope / "fc", in, options.num_classes,
                                     LinearOptions{.traits = {.head = true}});
  }

  Variable<T> forward(Variable<T> x) const override {
    x = max_pool2d(relu(bn1(conv1(x))), 3, {.stride = 2, .padding = 1});
    for (const auto& layer : layers_) x = (*layer)(x);
    return fc(global_average_pool(x));
  }
  const Options& options() const { return options_; }

 private:
  Options options_;
  Conv2d<T> conv1;
  BatchNorm2d<T> bn1;
  std::array<std::unique_ptr<Sequential<T>>, 4> layers_;
  AnyModule<T> fc;
};

inline const RegisterModel<ResNet<float>> registered_resnet(
    "resnet", {.variants = {{"resnet18", {{"layers", {2, 2, 2, 2}}}},
                            {"resnet34", {{"layers", {3, 4, 6, 3}}}},
                            {"resnet50", {{"layers", {3, 4, 6, 3}}, {"bottleneck", true}}}}});

}  // namespace anther::inline v0_1
