// EdgeViT under a Semantic FPN head, as its paper has it for segmentation: the feature pyramid of
// Lin et al., "Feature Pyramid Networks for Object Detection", CVPR 2017, and the head of Kirillov
// et al., "Panoptic Feature Pyramid Networks", CVPR 2019. One class for each pixel.
//
//   image -> stage 1 -> stage 2 -> stage 3 -> stage 4      1/4, 1/8, 1/16, 1/32 of the size
//               |1x1       |1x1       |1x1       |1x1      lateral
//               + <--x2--- + <--x2--- + <--x2--- +         top-down, nearest
//               |3x3       |3x3       |3x3       |3x3      the pyramid, fpn_channels
//            [3x3 GN ReLU] each, x2 after it, 0 to 3 times: all at 1/4, head_channels
//               +----------+----------+----------+ -> 1x1 -> x4 -> classes of each pixel
//
// Names of parameters: stages.* as EdgeViT's own; neck.lateral_convs.<stage>.conv.*,
// neck.fpn_convs.<stage>.conv.*, decode_head.scale_heads.<stage>.<number>.conv.weight and .gn.*,
// decode_head.conv_seg.*, as mmsegmentation's FPN and FPNHead have them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "anther/models/blocks.hpp"
#include "anther/models/edgevit/edgevit.hpp"
#include "anther/models/registry.hpp"
#include "anther/nn/pool.hpp"

namespace anther::inline v0_1 {

struct EdgeViTFpnOptions : EdgeViTOptions {
  std::int64_t fpn_channels = 256;
  std::int64_t head_channels = 128;  // a multiple of 32, the groups of GroupNorm

  EdgeViTFpnOptions() : EdgeViTFpnOptions(EdgeViTOptions{}) { num_classes = 150; }
  explicit EdgeViTFpnOptions(const EdgeViTOptions& backbone) : EdgeViTOptions(backbone) {}

  template <class Self, class Visit>
  static void members(Self& self, const Visit& visit) {
    EdgeViTOptions::members(self, visit);
    visit("fpn_channels", self.fpn_channels);
    visit("head_channels", self.head_channels);
  }
  static EdgeViTFpnOptions of(const Start& start) {
    EdgeViTFpnOptions options(EdgeViTOptions::of(start));
    options.num_classes = EdgeViTFpnOptions().num_classes;
    return options;
  }
  void validate() const {
    EdgeViTOptions::validate();
    detail::check(fpn_channels >= 1 && fpn_channels <= 65536,
                  "fpn_channels: expected 1 to 65536, got ", fpn_channels);
    detail::check(head_channels >= 32 && head_channels <= 65536 && head_channels % 32 == 0,
                  "head_channels: expected a multiple of 32, at most 65536, got ", head_channels);
  }
};

namespace edgevit {

// A convolution that keeps the map's size, GroupNorm of 32 groups, ReLU.
template <class T>
class ConvGroupNormRelu : public Module<T> {
 public:
  ConvGroupNormRelu(const Scope<T>& scope, std::int64_t in, std::int64_t out)
      : Module<T>(scope, "ConvGroupNormRelu"),
        conv(scope / "conv", in, out,
             {.kernel_size = 3,
              .padding = 1,
              .bias = false,
              .weight_init = blocks::fan_out_init(out, 3)}),
        gn(scope / "gn", 32, out) {}
  Variable<T> forward(Variable<T> x) const override { return relu(gn(conv(x))); }

 private:
  Conv2d<T> conv;
  GroupNorm<T> gn;
};

}  // namespace edgevit

// Images (N, H, W, 3), H and W multiples of 32, to logits (N, H, W, num_classes).
template <class T>
class EdgeViTFpn : public Module<T> {
 public:
  using Options = EdgeViTFpnOptions;

  EdgeViTFpn(const Scope<T>& scope, const Options& options)
      : Module<T>(scope, "EdgeViTFpn"),
        options_((options.validate(), options)),
        stages_(scope, options_),
        conv_seg(scope / "decode_head" / "conv_seg", options.head_channels, options.num_classes,
                 {.weight_init = Init::normal(0.01),
                  .bias_init = Init::constant(0),
                  .traits = {.head = true}}) {
    options_.complete();
    const Scope<T> neck = scope / "neck", head = scope / "decode_head" / "scale_heads";
    const auto conv = [&](const Scope<T>& where, std::int64_t in, std::int64_t kernel) {
      const std::int64_t out = options.fpn_channels;
      const double fans = static_cast<double>((in + out) * kernel * kernel);
      return std::make_unique<Conv2d<T>>(
          where / "conv", in, out,
          Conv2dLayerOptions{.kernel_size = kernel,
                             .padding = kernel / 2,
                             .weight_init = Init::uniform(std::sqrt(6 / fans)),
                             .bias_init = Init::constant(0)});
    };
    for (std::size_t s = 0; s < 4; ++s) {
      const int stage = static_cast<int>(s);
      lateral_convs[s] = conv(neck / "lateral_convs" / stage, options.dims[s], 1);
      fpn_convs[s] = conv(neck / "fpn_convs" / stage, options.fpn_channels, 3);
      scale_heads[s] = std::make_unique<Sequential<T>>(head / stage);
      std::int64_t in = options.fpn_channels;
      for (int halvings = 0; halvings < std::max(stage, 1); ++halvings) {
        scale_heads[s]->template add<edgevit::ConvGroupNormRelu>(in, options.head_channels);
        if (stage > 0) scale_heads[s]->template add<Upsample>(twice(InterpolateMode::bilinear));
        in = options.head_channels;
      }
    }
  }

  Variable<T> forward(Variable<T> x) const override {
    const std::array<Variable<T>, 4> maps = stages_(x);
    Variable<T> below, sum;
    for (std::size_t s = 4; s-- > 0;) {
      Variable<T> map = (*lateral_convs[s])(maps[s]);
      if (below) map = map + interpolate(below, twice(InterpolateMode::nearest));
      below = map;
      const Variable<T> scaled = (*scale_heads[s])((*fpn_convs[s])(map));
      sum = sum ? sum + scaled : scaled;
    }
    return interpolate(conv_seg(sum), {.scale_factor = 4, .mode = InterpolateMode::bilinear});
  }
  // With local_norm as it was chosen.
  const Options& options() const { return options_; }

 private:
  static InterpolateOptions twice(InterpolateMode mode) {
    return {.scale_factor = 2, .mode = mode};
  }

  Options options_;
  edgevit::Stages<T> stages_;
  std::array<std::unique_ptr<Conv2d<T>>, 4> lateral_convs, fpn_convs;
  std::array<std::unique_ptr<Sequential<T>>, 4> scale_heads;
  Conv2d<T> conv_seg;
};

inline const RegisterModel<EdgeViTFpn<float>> registered_edgevit_fpn(
    "edgevit_fpn", {.variants = {{"edgevit_fpn_xxs", {{"variant", "xxs"}}},
                                 {"edgevit_fpn_xs", {{"variant", "xs"}}},
                                 {"edgevit_fpn_s", {{"variant", "s"}}}},
                    .training_options = {"drop", "drop_path", "init"}});

}  // namespace anther::inline v0_1
