// U-Net (Ronneberger et al., "U-Net: Convolutional Networks for Biomedical Image Segmentation",
// MICCAI 2015) with padded convolutions and BatchNorm, so that the result is as large as the image.
// Names and shapes of parameters are those of milesial/Pytorch-UNet, at its depth of 4.
//
//   image -> inc -----------------> cat -> up<depth> -> outc -> classes of each pixel
//             down1 -----------> cat -> up<depth - 1>
//               ...        ...
//                down<depth>
//
// Names of parameters: inc.*, down<number>.maxpool_conv.1.*, up<number>.up.*, up<number>.conv.*,
// outc.conv.*.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "anther/models/registry.hpp"
#include "anther/nn/activation.hpp"
#include "anther/nn/conv.hpp"
#include "anther/nn/norm.hpp"
#include "anther/nn/pool.hpp"
#include "anther/ops/shape.hpp"

namespace anther::inline v0_1::unet {

// Twice a 3x3 convolution, BatchNorm and ReLU.
template <class T>
class DoubleConv : public Module<T> {
 public:
  DoubleConv(const Scope<T>& scope, std::int64_t in, std::int64_t middle, std::int64_t out)
      : Module<T>(scope, "DoubleConv"), double_conv(scope / "double_conv") {
    const Conv2dLayerOptions conv{.kernel_size = 3, .padding = 1, .bias = false};
    double_conv.template add<Conv2d>(in, middle, conv)
        .template add<BatchNorm2d>(middle)
        .template add<ReLU>()
        .template add<Conv2d>(middle, out, conv)
        .template add<BatchNorm2d>(out)
        .template add<ReLU>();
  }
  Variable<T> forward(Variable<T> x) const override { return double_conv(x); }

 private:
  Sequential<T> double_conv;
};

// Half the size, then a DoubleConv.
template <class T>
class Down : public Module<T> {
 public:
  Down(const Scope<T>& scope, std::int64_t in, std::int64_t out)
      : Module<T>(scope, "Down", {.stage = true}), maxpool_conv(scope / "maxpool_conv") {
    maxpool_conv.template add<MaxPool2d>(2).template add<DoubleConv>(in, out, out);
  }
  Variable<T> forward(Variable<T> x) const override { return maxpool_conv(x); }

 private:
  Sequential<T> maxpool_conv;
};

// Twice the size, beside the map of the same size from the way down, then a DoubleConv.
template <class T>
class Up : public Module<T> {
 public:
  Up(const Scope<T>& scope, std::int64_t in, std::int64_t out, bool bilinear)
      : Module<T>(scope, "Up", {.stage = true}),
        up(upsampling(scope / "up", in, bilinear)),
        conv(scope / "conv", in, bilinear ? in / 2 : out, out) {}

  Variable<T> operator()(const Variable<T>& below, const Variable<T>& beside) const {
    return this->within(below, [&] { return conv(cat({beside, up(below)}, 3)); });
  }
  Variable<T> forward(Variable<T> below) const override { return (*this)(below, below); }

 private:
  static AnyModule<T> upsampling(const Scope<T>& scope, std::int64_t in, bool bilinear) {
    if (bilinear)
      return std::make_unique<Upsample<T>>(
          scope, InterpolateOptions{
                     .scale_factor = 2, .mode = InterpolateMode::bilinear, .align_corners = true});
    return std::make_unique<ConvTranspose2d<T>>(
        scope, in, in / 2, ConvTranspose2dLayerOptions{.kernel_size = 2, .stride = 2});
  }

  AnyModule<T> up;
  DoubleConv<T> conv;
};

}  // namespace anther::inline v0_1::unet

namespace anther::inline v0_1 {

struct UNetOptions {
  std::int64_t in_channels = 3;
  std::int64_t num_classes = 2;
  std::int64_t width = 64;  // channels at the size of the image; twice as many at each half of it
  std::int64_t depth = 4;   // how often the size is halved
  bool bilinear = false;    // upsampling; else by transposed convolutions

  template <class Self, class Visit>
  static void members(Self& self, const Visit& visit) {
    visit("in_channels", self.in_channels);
    visit("num_classes", self.num_classes);
    visit("width", self.width);
    visit("depth", self.depth);
    visit("bilinear", self.bilinear);
  }
  void validate() const {
    const auto within = [](const char* name, std::int64_t value, std::int64_t most) {
      detail::check(value >= 1 && value <= most, name, ": expected 1 to ", most, ", got ", value);
    };
    within("in_channels", in_channels, 65536);
    within("num_classes", num_classes, 65536);
    within("width", width, 4096);
    within("depth", depth, 8);
  }
  Shape sample_shape(std::int64_t size) const { return {size, size, in_channels}; }
};

// Images (N, H, W, C), H and W multiples of 2^depth, to logits (N, H, W, num_classes).
template <class T>
class UNet : public Module<T> {
 public:
  using Options = UNetOptions;

  UNet(const Scope<T>& scope, const Options& options)
      : Module<T>(scope, "UNet"),
        options_((options.validate(), options)),
        inc(scope / "inc", options.in_channels, options.width, options.width) {
    // With bilinear upsampling nothing else halves the channels on the way up.
    const std::int64_t halves = options.bilinear ? 2 : 1;
    std::int64_t channels = options.width;
    for (std::int64_t i = 1; i <= options.depth; ++i, channels *= 2)
      downs_.push_back(
          std::make_unique<unet::Down<T>>(scope / ("down" + std::to_string(i)), channels,
                                          2 * channels / (i == options.depth ? halves : 1)));
    for (std::int64_t i = 1; i <= options.depth; ++i, channels /= 2)
      ups_.push_back(std::make_unique<unet::Up<T>>(scope / ("up" + std::to_string(i)), channels,
                                                   channels / 2 / (i == options.depth ? 1 : halves),
                                                   options.bilinear));
    outc = std::make_unique<Conv2d<T>>(scope / "outc" / "conv", options.width, options.num_classes,
                                       Conv2dLayerOptions{.traits = {.head = true}});
  }

  Variable<T> forward(Variable<T> x) const override {
    const std::int64_t multiple = std::int64_t{1} << options_.depth;
    const Shape& image = x.shape();
    x.tape().check(image.rank() == 4 && image[1] % multiple == 0 && image[2] % multiple == 0,
                   "UNet: expected images (N, H, W, C) with H and W multiples of ", multiple,
                   ", got ", image);
    std::vector<Variable<T>> maps = {inc(x)};
    for (const auto& down : downs_) maps.push_back((*down)(maps.back()));
    Variable<T> y = maps.back();
    for (const auto& up : ups_) {
      maps.pop_back();
      y = (*up)(y, maps.back());
    }
    return outc(y);
  }
  const Options& options() const { return options_; }

 private:
  Options options_;
  unet::DoubleConv<T> inc;
  std::vector<std::unique_ptr<unet::Down<T>>> downs_;
  std::vector<std::unique_ptr<unet::Up<T>>> ups_;
  AnyModule<T> outc;
};

inline const RegisterModel<UNet<float>> registered_unet("unet");

}  // namespace anther::inline v0_1
