// EdgeViT (Pan et al., "EdgeViTs: Competing Light-weight CNNs on Mobile Devices with Vision
// Transformers", ECCV 2022): XXS, XS and S, as the authors build it (`original`: LayerNorm,
// BatchNorm, a fully connected feed-forward part) and with GroupNorm and convolutions in their
// place
// (`improved`, the default).
//
//   image -> [ Embed -> LGL block x depth ] x 4 stages -> norm -> mean over the map -> head
//   LGL block = LocalAgg, then GlobalBlock (the last stage has no LocalAgg)
//
// Names of parameters: stages.<stage>.<number>.<layer>.weight, norm.*, head.*.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "anther/nn/conv.hpp"
#include "anther/nn/drop.hpp"
#include "anther/nn/linear.hpp"
#include "anther/nn/module.hpp"
#include "anther/nn/norm.hpp"
#include "anther/ops/activation.hpp"
#include "anther/ops/arithmetic.hpp"
#include "anther/ops/attention.hpp"
#include "anther/ops/pool.hpp"

namespace anther::inline v0_1 {

enum class NormKind { gn, ln, bn, in };      // GroupNorm, LayerNorm, BatchNorm, InstanceNorm
enum class FfnKind { conv, linear };         // two convolutions, or two fully connected layers
enum class InitScheme { paddle, official };  // Paddle's layer defaults, or the authors' code's

// What the blocks of a model have in common.
struct LglOptions {
  NormKind norm = NormKind::gn;             // of the embedding and the attention block
  std::optional<NormKind> local_norm = {};  // of LocalAgg; gn with gn, in with in, else bn
  std::int64_t gn_groups = 0;               // 0: groups of 12 channels
  FfnKind ffn = FfnKind::conv;              // of the attention block
  std::int64_t ffn_kernel = 1;              // 1 or 3, for convolutions
  double mlp_ratio = 4;                     // hidden channels of an FFN over its channels
  bool qkv_bias = true;
  double drop = 0;  // dropout after the FFN's layers and the attention's projection
  InitScheme init = InitScheme::paddle;

  NormKind local_norm_kind() const {
    const bool same = norm == NormKind::gn || norm == NormKind::in;
    return local_norm.value_or(same ? norm : NormKind::bn);
  }
};

struct EdgeViTOptions : LglOptions {
  std::array<std::int64_t, 4> dims = {36, 72, 144, 288};  // channels of the four stages
  std::array<std::int64_t, 4> depths = {1, 1, 3, 2};      // LGL blocks
  std::array<std::int64_t, 4> heads = {1, 2, 4, 8};       // attention heads
  std::array<std::int64_t, 4> sr_ratios = {4, 2, 2, 1};   // sampling rates r
  std::int64_t num_classes = 1000;
  std::int64_t in_channels = 3;
  double drop_path = 0;  // of the last block; it rises linearly from 0

  // Throws where a value makes no sense, with its name: a file may ask for anything, and what is
  // built of these must be countable.
  void validate() const;
};

// The options of a variant ("xxs", "xs" or "s") and a preset ("improved" or "original"). table: the
// numbers of blocks and heads that early ports took, where they differ from the authors' code.
EdgeViTOptions edgevit_options(std::string_view variant, std::int64_t num_classes = 1000,
                               std::string_view preset = "improved", bool table = false);

// The layers of EdgeViT, started as `init` says.
template <class T>
class LayerFactory {
 public:
  LayerFactory(const LglOptions& options) : o(options) {}  // NOLINT: options are all it is

  Conv2d<T> conv(const Scope<T>& scope, std::int64_t in, std::int64_t out,
                 Conv2dLayerOptions options = {}) const {
    if (o.init == InitScheme::paddle) {
      const auto area = static_cast<double>(options.kernel_size.height * options.kernel_size.width);
      options.weight_init = Init::normal(std::sqrt(2 / (area * static_cast<double>(in))));
      options.bias_init = Init::constant(0);
    }
    return {scope, in, out, options};
  }
  // A depth-wise convolution that keeps the map's size.
  Conv2d<T> depthwise(const Scope<T>& scope, std::int64_t channels, std::int64_t kernel) const {
    return conv(scope, channels, channels,
                {.kernel_size = kernel, .padding = kernel / 2, .groups = channels});
  }
  // A depth-wise transposed convolution that enlarges the map r times.
  ConvTranspose2d<T> spread(const Scope<T>& scope, std::int64_t channels, std::int64_t r) const {
    Conv2dLayerOptions options{.kernel_size = r, .stride = r, .groups = channels};
    const auto area = static_cast<double>(r * r);
    if (o.init == InitScheme::paddle) {
      options.weight_init =
          Init::uniform(std::sqrt(6 / (area + static_cast<double>(channels) * area)));
      options.bias_init = Init::constant(0);
    }
    return {scope, channels, options};
  }
  Linear<T> linear(const Scope<T>& scope, std::int64_t in, std::int64_t out,
                   bool bias = true) const {
    const Init weight = o.init == InitScheme::paddle
                            ? Init::uniform(std::sqrt(6 / static_cast<double>(in + out)))
                            : Init::truncated_normal(0.02);
    return {scope, in, out, {.bias = bias, .weight_init = weight, .bias_init = Init::constant(0)}};
  }
  AnyModule<T> norm(const Scope<T>& scope, NormKind kind, std::int64_t channels,
                    double ln_eps = 1e-5) const {
    switch (kind) {
      case NormKind::ln:
        return std::make_unique<LayerNorm<T>>(scope, channels, ln_eps);
      case NormKind::bn:
        return std::make_unique<BatchNorm2d<T>>(scope, channels);
      case NormKind::in:
        return std::make_unique<InstanceNorm2d<T>>(scope, channels);
      case NormKind::gn:
        break;
    }
    detail::check(o.gn_groups > 0 || channels % 12 == 0, scope.path(), ": ", channels,
                  " channels do not make groups of 12; give gn_groups");
    return std::make_unique<GroupNorm<T>>(scope, o.gn_groups > 0 ? o.gn_groups : channels / 12,
                                          channels);
  }
  std::int64_t hidden(std::int64_t channels) const {
    return static_cast<std::int64_t>(static_cast<double>(channels) * o.mlp_ratio);
  }

  const LglOptions& o;
};

// Patch embedding: a convolution of kernel and stride p, then a norm.
template <class T>
class Embed : public Module<T> {
 public:
  Embed(const Scope<T>& scope, std::int64_t in, std::int64_t channels, std::int64_t p,
        const LglOptions& options)
      : Embed(scope, in, channels, p, LayerFactory<T>(options)) {}

  Variable<T> forward(Variable<T> x) const override { return norm(conv(x)); }

 private:
  Embed(const Scope<T>& scope, std::int64_t in, std::int64_t channels, std::int64_t p,
        const LayerFactory<T>& make)
      : Module<T>(scope, "Embed"),
        conv(make.conv(scope / "conv", in, channels, {.kernel_size = p, .stride = p})),
        norm(make.norm(scope / "norm", make.o.norm, channels)) {}

  Conv2d<T> conv;
  AnyModule<T> norm;
};

// Two convolutions (or fully connected layers) with GELU between them.
template <class T>
class Ffn : public Module<T> {
 public:
  Ffn(const Scope<T>& scope, std::int64_t channels, FfnKind kind, const LayerFactory<T>& make)
      : Module<T>(scope, "FFN"),
        expand(layer(scope / "expand", channels, make.hidden(channels), kind, make)),
        reduce(layer(scope / "reduce", make.hidden(channels), channels, kind, make)),
        drop(scope / "drop", make.o.drop) {}

  Variable<T> forward(Variable<T> x) const override { return drop(reduce(drop(gelu(expand(x))))); }

 private:
  static AnyModule<T> layer(const Scope<T>& scope, std::int64_t in, std::int64_t out, FfnKind kind,
                            const LayerFactory<T>& make) {
    if (kind == FfnKind::linear) return std::make_unique<Linear<T>>(make.linear(scope, in, out));
    const std::int64_t kernel = make.o.ffn == FfnKind::conv ? make.o.ffn_kernel : 1;
    return std::make_unique<Conv2d<T>>(
        make.conv(scope, in, out, {.kernel_size = kernel, .padding = kernel / 2}));
  }

  AnyModule<T> expand, reduce;
  Dropout<T> drop;
};

// Local aggregation: position encoding, then point-wise / depth-wise 5x5 / point-wise, then an FFN.
template <class T>
class LocalAgg : public Module<T> {
 public:
  LocalAgg(const Scope<T>& scope, std::int64_t channels, double drop_path_rate,
           const LglOptions& options)
      : LocalAgg(scope, channels, drop_path_rate, LayerFactory<T>(options)) {}

  Variable<T> forward(Variable<T> x) const override {
    x = x + pos(x);
    x = x + drop_path(pw_out(dw(pw_in(norm1(x)))));
    return x + drop_path(ffn(norm2(x)));
  }

 private:
  LocalAgg(const Scope<T>& scope, std::int64_t channels, double drop_path_rate,
           const LayerFactory<T>& make)
      : Module<T>(scope, "LocalAgg"),
        pos(make.depthwise(scope / "pos", channels, 3)),
        norm1(make.norm(scope / "norm1", make.o.local_norm_kind(), channels)),
        pw_in(make.conv(scope / "pw_in", channels, channels)),
        dw(make.depthwise(scope / "dw", channels, 5)),
        pw_out(make.conv(scope / "pw_out", channels, channels)),
        norm2(make.norm(scope / "norm2", make.o.local_norm_kind(), channels)),
        ffn(scope / "ffn", channels, FfnKind::conv, make),
        drop_path(scope / "drop_path", drop_path_rate) {}

  Conv2d<T> pos;
  AnyModule<T> norm1;
  Conv2d<T> pw_in, dw, pw_out;
  AnyModule<T> norm2;
  Ffn<T> ffn;
  DropPath<T> drop_path;
};

// Attention among the positions at multiples of r (global sparse attention), spread back over the
// map by a transposed depth-wise convolution (local propagation); the projection acts on all of it.
template <class T>
class SparseAttention : public Module<T> {
 public:
  SparseAttention(const Scope<T>& scope, std::int64_t channels, std::int64_t num_heads,
                  std::int64_t r, const LayerFactory<T>& make)
      : Module<T>(scope, "SparseAttention"),
        num_heads_(num_heads),
        r_(r),
        qkv(make.linear(scope / "qkv", channels, 3 * channels, make.o.qkv_bias)),
        proj_drop(scope / "drop", make.o.drop) {
    if (r > 1) {
      spread = std::make_unique<ConvTranspose2d<T>>(make.spread(scope / "spread", channels, r));
      norm = make.norm(scope / "norm", make.o.norm, channels);
    }
    proj = std::make_unique<Linear<T>>(make.linear(scope / "proj", channels, channels));
  }

  Variable<T> forward(Variable<T> x) const override {
    Variable<T> tokens = self_attention(qkv(subsample(x, r_)), num_heads_);
    return proj_drop(proj(norm(spread(tokens))));
  }

 private:
  std::int64_t num_heads_, r_;
  Linear<T> qkv;
  AnyModule<T> spread, norm, proj;
  Dropout<T> proj_drop;
};

// Position encoding, then sparse attention, then an FFN.
template <class T>
class GlobalBlock : public Module<T> {
 public:
  GlobalBlock(const Scope<T>& scope, std::int64_t channels, std::int64_t num_heads, std::int64_t r,
              double drop_path_rate, const LglOptions& options)
      : GlobalBlock(scope, channels, num_heads, r, drop_path_rate, LayerFactory<T>(options)) {}

  Variable<T> forward(Variable<T> x) const override {
    x = x + pos(x);
    x = x + drop_path(attn(norm1(x)));
    return x + drop_path(ffn(norm2(x)));
  }

 private:
  GlobalBlock(const Scope<T>& scope, std::int64_t channels, std::int64_t num_heads, std::int64_t r,
              double drop_path_rate, const LayerFactory<T>& make)
      : Module<T>(scope, "GlobalBlock"),
        pos(make.depthwise(scope / "pos", channels, 3)),
        norm1(make.norm(scope / "norm1", make.o.norm, channels, 1e-6)),
        attn(scope / "attn", channels, num_heads, r, make),
        norm2(make.norm(scope / "norm2", make.o.norm, channels, 1e-6)),
        ffn(scope / "ffn", channels, make.o.ffn, make),
        drop_path(scope / "drop_path", drop_path_rate) {}

  Conv2d<T> pos;
  AnyModule<T> norm1;
  SparseAttention<T> attn;
  AnyModule<T> norm2;
  Ffn<T> ffn;
  DropPath<T> drop_path;
};

// One local-global-local block, to build other models from: (N, H, W, C) -> the same shape. H and W
// are multiples of r; r = 1 has no local part, as EdgeViT's last stage.
template <class T>
class LglBlock : public Module<T> {
 public:
  LglBlock(const Scope<T>& scope, std::int64_t channels, std::int64_t num_heads, std::int64_t r,
           const LglOptions& options = {}, double drop_path_rate = 0)
      : Module<T>(scope, "LglBlock"),
        local(r > 1 ? std::make_unique<LocalAgg<T>>(scope / "local", channels, drop_path_rate,
                                                    options)
                    : nullptr),
        global(scope / "global", channels, num_heads, r, drop_path_rate, options) {}

  Variable<T> forward(Variable<T> x) const override { return global(local(x)); }

 private:
  AnyModule<T> local;
  GlobalBlock<T> global;
};

// Images (N, H, W, 3), H and W multiples of 32, to logits (N, num_classes).
template <class T>
class EdgeViT : public Module<T> {
 public:
  EdgeViT(const Scope<T>& scope, const EdgeViTOptions& options)
      : Module<T>(scope, "EdgeViT"), options_(options), make_(options_) {
    options.validate();
    const double blocks = static_cast<double>(options.depths[0] + options.depths[1] +
                                              options.depths[2] + options.depths[3]);
    double block = 0;
    std::int64_t in = options.in_channels;
    for (std::size_t s = 0; s < 4; ++s) {
      const std::int64_t channels = options.dims[s], r = options.sr_ratios[s];
      auto& stage = stages_[s];
      stage = std::make_unique<Sequential<T>>(scope / "stages" / static_cast<int>(s));
      stage->template add<Embed>(in, channels, s == 0 ? 4 : 2, options_);
      for (std::int64_t i = 0; i < options.depths[s]; ++i, ++block) {
        const double rate = blocks > 1 ? options.drop_path * block / (blocks - 1) : 0;
        if (r > 1) stage->template add<LocalAgg>(channels, rate, options_);
        stage->template add<GlobalBlock>(channels, options.heads[s], r, rate, options_);
      }
      in = channels;
    }
    // InstanceNorm here would make the mean of every channel its bias, whatever the picture.
    const NormKind last = options.local_norm_kind();
    norm_ = make_.norm(scope / "norm", last == NormKind::in ? NormKind::gn : last, in);
    head_ = std::make_unique<Linear<T>>(make_.linear(scope / "head", in, options.num_classes));
  }
  EdgeViT(const EdgeViT&) = delete;
  EdgeViT& operator=(const EdgeViT&) = delete;

  Variable<T> forward(Variable<T> x) const override {
    const Shape& image = x.shape();
    x.tape().check(image.rank() == 4 && image[1] % 32 == 0 && image[2] % 32 == 0 && image[1] > 0 &&
                       image[2] > 0,
                   "EdgeViT: expected images (N, H, W, C) with H and W multiples of 32, got ",
                   image);
    for (const auto& stage : stages_) x = (*stage)(x);
    return head_(global_average_pool(norm_(x)));
  }

  const EdgeViTOptions& options() const { return options_; }

 private:
  const EdgeViTOptions options_;
  LayerFactory<T> make_;
  std::array<std::unique_ptr<Sequential<T>>, 4> stages_;
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

inline EdgeViTOptions edgevit_options(std::string_view variant, std::int64_t num_classes,
                                      std::string_view preset, bool table) {
  EdgeViTOptions options;
  options.num_classes = num_classes;
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
