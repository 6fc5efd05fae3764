// ConvNeXt (Liu et al., "A ConvNet for the 2020s", CVPR 2022), with the names, shapes and start of
// torchvision's convnext_tiny.
//
//   image -> 4x4 / 4, norm -> four stages of blocks, norm and 2x2 / 2 between them
//         -> mean over the map -> norm -> classifier
//   block = x + layer_scale * linear(gelu(linear(norm(depth-wise 7x7(x)))))
//
// Names of parameters: features.<0 to 7>.*, classifier.*. LayerNorm is over the channels.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "anther/models/registry.hpp"
#include "anther/nn/conv.hpp"
#include "anther/nn/drop.hpp"
#include "anther/nn/linear.hpp"
#include "anther/nn/norm.hpp"
#include "anther/ops/activation.hpp"
#include "anther/ops/arithmetic.hpp"
#include "anther/ops/pool.hpp"
#include "anther/ops/shape.hpp"

namespace anther::inline v0_1 {

struct ConvNextOptions {
  std::array<std::int64_t, 4> dims = {96, 192, 384, 768};  // channels of the four stages
  std::array<std::int64_t, 4> depths = {3, 3, 9, 3};       // blocks
  double layer_scale = 1e-6;                               // at the start
  double drop_path = 0.1;  // of the last block; it rises linearly from 0
  std::int64_t num_classes = 1000;

  template <class Self, class Visit>
  static void members(Self& self, const Visit& visit) {
    visit("dims", self.dims);
    visit("depths", self.depths);
    visit("layer_scale", self.layer_scale);
    visit("drop_path", self.drop_path);
    visit("num_classes", self.num_classes);
  }
  void validate() const {
    for (const std::int64_t each : dims)
      detail::check(each > 0 && each <= 65536, "dims: expected 1 to 65536, got ", each);
    for (const std::int64_t each : depths)
      detail::check(each >= 0 && each <= 1000, "depths: expected 0 to 1000, got ", each);
    detail::check(drop_path >= 0 && drop_path < 1, "drop_path: expected 0 to less than 1, got ",
                  drop_path);
    detail::check(num_classes > 0 && num_classes <= 10'000'000,
                  "num_classes: expected 1 to 10000000, got ", num_classes);
  }
  Shape sample_shape(std::int64_t size) const { return {size, size, 3}; }
};

// Convolutions and linear layers as torchvision starts them.
template <class T>
Conv2d<T> convnext_conv(const Scope<T>& scope, std::int64_t in, std::int64_t out,
                        Conv2dLayerOptions options) {
  options.weight_init = Init::truncated_normal(0.02);
  options.bias_init = Init::constant(0);
  return {scope, in, out, options};
}
template <class T>
Linear<T> convnext_linear(const Scope<T>& scope, std::int64_t in, std::int64_t out,
                          const ModuleTraits& traits = {}) {
  return {scope,
          in,
          out,
          {.weight_init = Init::truncated_normal(0.02),
           .bias_init = Init::constant(0),
           .traits = traits}};
}

// A stage's block; x (N, H, W, C).
template <class T>
class ConvNextBlock : public Module<T> {
 public:
  ConvNextBlock(const Scope<T>& scope, std::int64_t channels, double layer_scale_start,
                double drop_path_rate)
      : Module<T>(scope, "CNBlock"),
        layer_scale(scope.parameter(
            "layer_scale", {.shape = {channels, 1, 1}, .init = Init::constant(layer_scale_start)})),
        depthwise(convnext_conv(scope / "block.0", channels, channels,
                                {.kernel_size = 7, .padding = 3, .groups = channels})),
        norm(scope / "block.2", channels, 1e-6),
        expand(convnext_linear(scope / "block.3", channels, 4 * channels)),
        project(convnext_linear(scope / "block.5", 4 * channels, channels)),
        drop_path(scope / "stochastic_depth", drop_path_rate) {}

  Variable<T> forward(Variable<T> x) const override {
    const Variable<T> y = project(gelu(expand(norm(depthwise(x)))));
    return x + drop_path(y * reshape(x.tape().parameter(layer_scale), {-1}));
  }

 private:
  Parameter<T> layer_scale;
  Conv2d<T> depthwise;
  LayerNorm<T> norm;
  Linear<T> expand, project;
  DropPath<T> drop_path;
};

// Images (N, H, W, 3) to logits (N, num_classes).
template <class T>
class ConvNext : public Module<T> {
 public:
  using Options = ConvNextOptions;

  ConvNext(const Scope<T>& scope, const Options& options)
      : Module<T>(scope, "ConvNeXt"),
        options_((options.validate(), options)),
        stages_(make_stages(scope / "features", options)),
        norm(scope / "classifier.0", options.dims[3], 1e-6),
        head(convnext_linear(scope / "classifier.2", options.dims[3], options.num_classes,
                             {.head = true})) {}

  Variable<T> forward(Variable<T> x) const override {
    for (const auto& stage : stages_) x = (*stage)(x);
    return head(norm(global_average_pool(x)));
  }
  const Options& options() const { return options_; }

 private:
  using Stages = std::vector<std::unique_ptr<Sequential<T>>>;

  static Stages make_stages(const Scope<T>& features, const Options& options) {
    Stages stages;
    std::int64_t blocks = 0, block = 0, in = 3;
    for (const std::int64_t depth : options.depths) blocks += depth;
    for (int s = 0; s < 4; ++s) {
      const std::int64_t channels = options.dims[static_cast<std::size_t>(s)];
      // What makes the map smaller: a patch for a pixel at first, then norm before convolution.
      auto& down = stages.emplace_back(
          std::make_unique<Sequential<T>>(features / (2 * s), ModuleTraits{.stage = true}));
      if (s == 0) {
        down->template add<Conv2d>(in, channels, conv_options(4));
        down->template add<LayerNorm>(channels, 1e-6);
      } else {
        down->template add<LayerNorm>(in, 1e-6);
        down->template add<Conv2d>(in, channels, conv_options(2));
      }
      auto& stage = stages.emplace_back(
          std::make_unique<Sequential<T>>(features / (2 * s + 1), ModuleTraits{.stage = true}));
      for (std::int64_t i = 0; i < options.depths[static_cast<std::size_t>(s)]; ++i, ++block)
        stage->template add<ConvNextBlock>(
            channels, options.layer_scale,
            blocks > 1
                ? options.drop_path * static_cast<double>(block) / static_cast<double>(blocks - 1)
                : 0);
      in = channels;
    }
    return stages;
  }
  static Conv2dLayerOptions conv_options(std::int64_t size) {
    return {.kernel_size = size,
            .stride = size,
            .weight_init = Init::truncated_normal(0.02),
            .bias_init = Init::constant(0)};
  }

  Options options_;
  Stages stages_;
  LayerNorm<T> norm;
  Linear<T> head;
};

inline const RegisterModel<ConvNext<float>> registered_convnext(
    "convnext",
    {.variants = {{"convnext_tiny", {}}}, .training_options = {"drop_path", "layer_scale"}});

}  // namespace anther::inline v0_1
