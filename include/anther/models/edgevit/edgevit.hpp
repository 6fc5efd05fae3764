// EdgeViT (Pan et al., "EdgeViTs: Competing Light-weight CNNs on Mobile Devices with Vision
// Transformers", ECCV 2022): XXS, XS and S. The preset `original` is the authors' code: LayerNorm,
// BatchNorm and a fully connected feed-forward part. `improved`, the default, has GroupNorm and
// convolutions in their place.
//
//   image -> [ PatchEmbed -> LGL block x depth ] x 4 stages -> norm -> mean over the map -> head
//   LGL block = LocalAgg, then GlobalBlock (the last stage has no LocalAgg)
//
// Names of parameters: stages.<stage>.<number>.<layer>.weight, norm.*, head.*.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "anther/models/edgevit/lgl.hpp"

namespace anther::inline v0_1 {

struct EdgeViTOptions : edgevit::LglOptions {
  std::array<std::int64_t, 4> dims = {36, 72, 144, 288};  // channels of the four stages
  std::array<std::int64_t, 4> depths = {1, 1, 3, 2};      // LGL blocks
  std::array<std::int64_t, 4> heads = {1, 2, 4, 8};       // attention heads
  std::array<std::int64_t, 4> sr_ratios = {4, 2, 2, 1};   // sampling rates r
  std::int64_t num_classes = 1000;
  std::int64_t in_channels = 3;
  double drop_path = 0;  // of the last block; it rises linearly from 0

  template <class Self, class Visit>
  static void members(Self& self, const Visit& visit) {
    visit("dims", self.dims);
    visit("depths", self.depths);
    visit("heads", self.heads);
    visit("sr_ratios", self.sr_ratios);
    visit("num_classes", self.num_classes);
    visit("in_channels", self.in_channels);
    visit("norm", self.norm);
    visit("local_norm", self.local_norm);
    visit("gn_groups", self.gn_groups);
    visit("ffn", self.ffn);
    visit("ffn_kernel", self.ffn_kernel);
    visit("mlp_ratio", self.mlp_ratio);
    visit("qkv_bias", self.qkv_bias);
    visit("drop", self.drop);
    visit("drop_path", self.drop_path);
    visit("init", self.init);
  }

  // The names of whole sets of options. table: uses the numbers of blocks and heads of early ports,
  // which differ from the authors' code.
  struct Start {
    std::string variant = "xxs", preset = "improved";
    bool table = false;

    template <class Self, class Visit>
    static void members(Self& self, const Visit& visit) {
      visit("variant", self.variant);
      visit("preset", self.preset);
      visit("table", self.table);
    }
  };
  static EdgeViTOptions of(const Start& start);
  void complete() { local_norm = local_norm_kind(); }

  // Throws, with its name, if a value makes no sense. A file may ask for anything, and the sizes of
  // what is built from the options must fit integers.
  void validate() const;

  // Of an image of `size` x `size` pixels.
  Shape sample_shape(std::int64_t size) const { return {size, size, in_channels}; }
};

// The options of a variant ("xxs", "xs" or "s") and a preset ("improved" or "original").
inline EdgeViTOptions edgevit_options(std::string_view variant, std::int64_t num_classes = 1000,
                                      std::string_view preset = "improved", bool table = false) {
  EdgeViTOptions options = EdgeViTOptions::of(
      {.variant = std::string(variant), .preset = std::string(preset), .table = table});
  options.num_classes = num_classes;
  return options;
}

namespace edgevit {

// The four stages: images (N, H, W, 3), H and W multiples of 32, to maps of 1/4, 1/8, 1/16 and 1/32
// of their size. What EdgeViT has in common with models that read all four maps (fpn.hpp). Names of
// parameters: stages.<stage>.<number>...
template <class T>
class Stages {
 public:
  Stages(const Scope<T>& scope, const EdgeViTOptions& options) {
    const double blocks = static_cast<double>(options.depths[0] + options.depths[1] +
                                              options.depths[2] + options.depths[3]);
    double block = 0;
    std::int64_t in = options.in_channels;
    for (std::size_t s = 0; s < 4; ++s) {
      const std::int64_t channels = options.dims[s], r = options.sr_ratios[s];
      auto& stage = stages_[s];
      stage = std::make_unique<Sequential<T>>(scope / "stages" / static_cast<int>(s),
                                              ModuleTraits{.stage = true});
      stage->template add<PatchEmbed>(in, channels, s == 0 ? 4 : 2, options);
      for (std::int64_t i = 0; i < options.depths[s]; ++i, ++block) {
        const double rate = blocks > 1 ? options.drop_path * block / (blocks - 1) : 0;
        if (r > 1) stage->template add<LocalAgg>(channels, rate, options);
        stage->template add<GlobalBlock>(channels, options.heads[s], r, rate, options);
      }
      in = channels;
    }
  }

  std::array<Variable<T>, 4> operator()(const Variable<T>& image) const {
    const Shape& size = image.shape();
    image.tape().check(
        size.rank() == 4 && size[1] % 32 == 0 && size[2] % 32 == 0 && size[1] > 0 && size[2] > 0,
        "EdgeViT: expected images (N, H, W, C) with H and W multiples of 32, got ", size);
    std::array<Variable<T>, 4> maps;
    for (std::size_t s = 0; s < 4; ++s) maps[s] = (*stages_[s])(s == 0 ? image : maps[s - 1]);
    return maps;
  }

 private:
  std::array<std::unique_ptr<Sequential<T>>, 4> stages_;
};

}  // namespace edgevit

// Images (N, H, W, 3), H and W multiples of 32, to logits (N, num_classes).
template <class T>
class EdgeViT : public Module<T> {
 public:
  using Options = EdgeViTOptions;

  EdgeViT(const Scope<T>& scope, const EdgeViTOptions& options)
      : Module<T>(scope, "EdgeViT"),
        options_((options.validate(), options)),
        stages_(scope, options_) {
    options_.complete();
    const edgevit::LayerFactory<T> make(options_);
    const std::int64_t channels = options.dims[3];
    // InstanceNorm here would turn the mean of every channel into its bias, whatever the picture.
    const auto last = options.local_norm_kind();
    norm_ = make.norm(scope / "norm", last == edgevit::NormKind::in ? edgevit::NormKind::gn : last,
                      channels);
    head_ = std::make_unique<Linear<T>>(
        make.linear(scope / "head", channels, options.num_classes, true, {.head = true}));
  }
  EdgeViT(const EdgeViT&) = delete;
  EdgeViT& operator=(const EdgeViT&) = delete;

  Variable<T> forward(Variable<T> x) const override {
    return head_(global_average_pool(norm_(stages_(x)[3])));
  }

  // With local_norm as it was chosen.
  const EdgeViTOptions& options() const { return options_; }

 private:
  EdgeViTOptions options_;
  edgevit::Stages<T> stages_;
  AnyModule<T> norm_, head_;
};

inline void EdgeViTOptions::validate() const {
  const auto within = [](const char* name, auto value, auto least, auto most) {
    detail::check(value >= least && value <= most, name, ": expected ", least, " to ", most,
                  ", got ", value);
  };
  for (const std::int64_t each : dims) within("dims", each, 1, 65536);
  for (const std::int64_t each : depths) within("depths", each, 0, 100);
  for (const std::int64_t each : heads) within("heads", each, 1, 65536);
  for (const std::int64_t each : sr_ratios) within("sr_ratios", each, 1, 64);
  within("num_classes", num_classes, 1, 10'000'000);
  within("in_channels", in_channels, 1, 65536);
  within("gn_groups", gn_groups, 0, 65536);
  within("ffn_kernel", ffn_kernel, 1, 3);
  detail::check(ffn_kernel != 2, "ffn_kernel: expected 1 or 3, got 2");
  detail::check(mlp_ratio > 0 && mlp_ratio <= 1000,
                "mlp_ratio: expected more than 0, at most 1000, got ", mlp_ratio);
}

inline EdgeViTOptions EdgeViTOptions::of(const Start& start) {
  using namespace edgevit;
  const auto& [variant, preset, table] = start;
  EdgeViTOptions options;
  if (variant != "xxs") {
    detail::check(variant == "xs" || variant == "s",
                  "EdgeViT: expected the variant xxs, xs or s, got ", variant);
    options.dims = {48, 96, 240, 384};
    options.heads = {1, 2, table ? 4 : 5, 8};
    if (variant == "xs")
      options.depths =
          table ? std::array<std::int64_t, 4>{1, 1, 2, 2} : std::array<std::int64_t, 4>{1, 1, 3, 1};
    else
      options.depths =
          table ? std::array<std::int64_t, 4>{1, 2, 3, 2} : std::array<std::int64_t, 4>{1, 2, 5, 3};
  }
  if (preset == "original") {
    options.norm = NormKind::ln;
    options.local_norm = NormKind::bn;
    options.ffn = FfnKind::linear;
    options.init = InitScheme::official;
  } else {
    detail::check(preset == "improved", "EdgeViT: expected the preset improved or original, got ",
                  preset);
  }
  return options;
}

}  // namespace anther::inline v0_1
