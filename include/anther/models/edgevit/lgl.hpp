// The blocks that EdgeViT is made of (Pan et al., ECCV 2022): local aggregation, global sparse
// attention, local propagation. Other models can be built from them; examples/lgl_cifar10.cpp shows
// one.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "anther/nn/conv.hpp"
#include "anther/nn/drop.hpp"
#include "anther/nn/linear.hpp"
#include "anther/nn/module.hpp"
#include "anther/nn/norm.hpp"
#include "anther/ops/activation.hpp"
#include "anther/ops/arithmetic.hpp"
#include "anther/ops/attention.hpp"
#include "anther/ops/pool.hpp"

namespace anther::inline v0_1::edgevit {

enum class NormKind { gn, ln, bn, in };      // GroupNorm, LayerNorm, BatchNorm, InstanceNorm
enum class FfnKind { conv, linear };         // two convolutions, or two fully connected layers
enum class InitScheme { paddle, official };  // Paddle's layer defaults, or the authors' code's

// What they are called in files and on the command line.
constexpr auto choices_of(NormKind) {
  return std::array<std::pair<NormKind, std::string_view>, 4>{
      {{NormKind::gn, "gn"}, {NormKind::ln, "ln"}, {NormKind::bn, "bn"}, {NormKind::in, "in"}}};
}
constexpr auto choices_of(FfnKind) {
  return std::array<std::pair<FfnKind, std::string_view>, 2>{
      {{FfnKind::conv, "conv"}, {FfnKind::linear, "linear"}}};
}
constexpr auto choices_of(InitScheme) {
  return std::array<std::pair<InitScheme, std::string_view>, 2>{
      {{InitScheme::paddle, "paddle"}, {InitScheme::official, "official"}}};
}

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

// The layers of EdgeViT, initialised as `init` says.
template <class T>
class LayerFactory {
 public:
  explicit LayerFactory(const LglOptions& options) : kinds(options) {}

  Conv2d<T> conv(const Scope<T>& scope, std::int64_t in, std::int64_t out,
                 Conv2dLayerOptions options = {}) const {
    if (kinds.init == InitScheme::paddle) {
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
    ConvTranspose2dLayerOptions options{.kernel_size = r, .stride = r, .groups = channels};
    const auto area = static_cast<double>(r * r);
    if (kinds.init == InitScheme::paddle) {
      options.weight_init =
          Init::uniform(std::sqrt(6 / (area + static_cast<double>(channels) * area)));
      options.bias_init = Init::constant(0);
    }
    return {scope, channels, channels, options};
  }
  Linear<T> linear(const Scope<T>& scope, std::int64_t in, std::int64_t out, bool bias = true,
                   const ModuleTraits& traits = {}) const {
    const Init weight = kinds.init == InitScheme::paddle
                            ? Init::uniform(std::sqrt(6 / static_cast<double>(in + out)))
                            : Init::truncated_normal(0.02);
    return {
        scope,
        in,
        out,
        {.bias = bias, .weight_init = weight, .bias_init = Init::constant(0), .traits = traits}};
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
    detail::check(kinds.gn_groups > 0 || channels % 12 == 0, scope.path(), ": ", channels,
                  " channels do not make groups of 12; give gn_groups");
    return std::make_unique<GroupNorm<T>>(
        scope, kinds.gn_groups > 0 ? kinds.gn_groups : channels / 12, channels);
  }
  std::int64_t hidden(std::int64_t channels) const {
    return static_cast<std::int64_t>(static_cast<double>(channels) * kinds.mlp_ratio);
  }

  LglOptions kinds;
};

// Patch embedding: a convolution of kernel and stride p, then a norm.
template <class T>
class PatchEmbed : public Module<T> {
 public:
  PatchEmbed(const Scope<T>& scope, std::int64_t in, std::int64_t channels, std::int64_t p,
             const LglOptions& options)
      : PatchEmbed(scope, in, channels, p, LayerFactory<T>(options)) {}

  Variable<T> forward(Variable<T> x) const override { return norm(conv(x)); }

 private:
  PatchEmbed(const Scope<T>& scope, std::int64_t in, std::int64_t channels, std::int64_t p,
             const LayerFactory<T>& make)
      : Module<T>(scope, "PatchEmbed"),
        conv(make.conv(scope / "conv", in, channels, {.kernel_size = p, .stride = p})),
        norm(make.norm(scope / "norm", make.kinds.norm, channels)) {}

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
        drop(scope / "drop", make.kinds.drop) {}

  Variable<T> forward(Variable<T> x) const override { return drop(reduce(drop(gelu(expand(x))))); }

 private:
  static AnyModule<T> layer(const Scope<T>& scope, std::int64_t in, std::int64_t out, FfnKind kind,
                            const LayerFactory<T>& make) {
    if (kind == FfnKind::linear) return std::make_unique<Linear<T>>(make.linear(scope, in, out));
    const std::int64_t kernel = make.kinds.ffn == FfnKind::conv ? make.kinds.ffn_kernel : 1;
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
        norm1(make.norm(scope / "norm1", make.kinds.local_norm_kind(), channels)),
        pw_in(make.conv(scope / "pw_in", channels, channels)),
        dw(make.depthwise(scope / "dw", channels, 5)),
        pw_out(make.conv(scope / "pw_out", channels, channels)),
        norm2(make.norm(scope / "norm2", make.kinds.local_norm_kind(), channels)),
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
        qkv(make.linear(scope / "qkv", channels, 3 * channels, make.kinds.qkv_bias)),
        proj_drop(scope / "drop", make.kinds.drop) {
    if (r > 1) {
      spread = std::make_unique<ConvTranspose2d<T>>(make.spread(scope / "spread", channels, r));
      norm = make.norm(scope / "norm", make.kinds.norm, channels);
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
        norm1(make.norm(scope / "norm1", make.kinds.norm, channels, 1e-6)),
        attn(scope / "attn", channels, num_heads, r, make),
        norm2(make.norm(scope / "norm2", make.kinds.norm, channels, 1e-6)),
        ffn(scope / "ffn", channels, make.kinds.ffn, make),
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

}  // namespace anther::inline v0_1::edgevit
