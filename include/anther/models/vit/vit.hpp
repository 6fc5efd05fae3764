// The vision transformer (Dosovitskiy et al., "An image is worth 16x16 words: transformers for
// image recognition at scale", ICLR 2021), with the names, shapes and start of timm's
// vit_tiny_patch16_224 (Touvron et al. 2021: DeiT-Ti's size).
//
//   image -> patches of 16x16 as tokens -> class token in front, + positions
//         -> [ x + attention(norm(x)), x + mlp(norm(x)) ] x depth -> norm -> class token -> head
//
// Names of parameters: patch_embed.proj.*, cls_token, pos_embed, blocks.<number>.*, norm.*, head.*.
#pragma once

#include <cstdint>
#include <memory>

#include "anther/models/registry.hpp"
#include "anther/nn/conv.hpp"
#include "anther/nn/drop.hpp"
#include "anther/nn/linear.hpp"
#include "anther/nn/norm.hpp"
#include "anther/ops/activation.hpp"
#include "anther/ops/arithmetic.hpp"
#include "anther/ops/attention.hpp"
#include "anther/ops/select.hpp"
#include "anther/ops/shape.hpp"

namespace anther::inline v0_1 {

struct VitOptions {
  std::int64_t img_size = 224, patch_size = 16;  // of the images' sides, in pixels
  std::int64_t embed_dim = 192, depth = 12, num_heads = 3;
  double mlp_ratio = 4;
  std::int64_t num_classes = 1000;
  double drop_path = 0;  // of the last block; it rises linearly from 0

  template <class Self, class Visit>
  static void members(Self& self, const Visit& visit) {
    visit("img_size", self.img_size);
    visit("patch_size", self.patch_size);
    visit("embed_dim", self.embed_dim);
    visit("depth", self.depth);
    visit("num_heads", self.num_heads);
    visit("mlp_ratio", self.mlp_ratio);
    visit("num_classes", self.num_classes);
    visit("drop_path", self.drop_path);
  }
  void validate() const {
    const auto within = [](const char* name, auto value, auto least, auto most) {
      detail::check(value >= least && value <= most, name, ": expected ", least, " to ", most,
                    ", got ", value);
    };
    within("patch_size", patch_size, 1, 1024);
    within("img_size", img_size, patch_size, 65536);
    detail::check(img_size % patch_size == 0, "img_size: expected a multiple of the patch size ",
                  patch_size, ", got ", img_size);
    within("embed_dim", embed_dim, 1, 65536);
    within("depth", depth, 0, 1000);
    within("num_heads", num_heads, 1, embed_dim);
    detail::check(embed_dim % num_heads == 0, "num_heads: expected a number that divides ",
                  embed_dim, " channels, got ", num_heads);
    detail::check(mlp_ratio > 0 && mlp_ratio <= 1000,
                  "mlp_ratio: expected more than 0, at most 1000, got ", mlp_ratio);
    within("num_classes", num_classes, 1, 10'000'000);
    detail::check(drop_path >= 0 && drop_path < 1, "drop_path: expected 0 to less than 1, got ",
                  drop_path);
  }
  std::int64_t tokens() const {
    return img_size / patch_size * (img_size / patch_size) + 1;  // with the class token
  }
  Shape sample_shape(std::int64_t) const { return {img_size, img_size, 3}; }
};

// A linear layer as timm starts it.
template <class T>
Linear<T> vit_linear(const Scope<T>& scope, std::int64_t in, std::int64_t out) {
  return {scope,
          in,
          out,
          {.weight_init = Init::truncated_normal(0.02), .bias_init = Init::constant(0)}};
}

// Self-attention with its projections, of tokens (N, n, C).
template <class T>
class VitAttention : public Module<T> {
 public:
  VitAttention(const Scope<T>& scope, std::int64_t channels, std::int64_t heads)
      : Module<T>(scope, "Attention"),
        heads_(heads),
        qkv(vit_linear(scope / "qkv", channels, 3 * channels)),
        proj(vit_linear(scope / "proj", channels, channels)) {}
  Variable<T> forward(Variable<T> x) const override { return proj(self_attention(qkv(x), heads_)); }

 private:
  std::int64_t heads_;
  Linear<T> qkv, proj;
};

template <class T>
class VitMlp : public Module<T> {
 public:
  VitMlp(const Scope<T>& scope, std::int64_t channels, std::int64_t hidden)
      : Module<T>(scope, "Mlp"),
        fc1(vit_linear(scope / "fc1", channels, hidden)),
        fc2(vit_linear(scope / "fc2", hidden, channels)) {}
  Variable<T> forward(Variable<T> x) const override { return fc2(gelu(fc1(x))); }

 private:
  Linear<T> fc1, fc2;
};

template <class T>
class VitBlock : public Module<T> {
 public:
  VitBlock(const Scope<T>& scope, const VitOptions& options, double drop_path_rate)
      : Module<T>(scope, "Block", {.stage = true}),
        norm1(scope / "norm1", options.embed_dim, 1e-6),
        attn(scope / "attn", options.embed_dim, options.num_heads),
        norm2(scope / "norm2", options.embed_dim, 1e-6),
        mlp(scope / "mlp", options.embed_dim,
            static_cast<std::int64_t>(static_cast<double>(options.embed_dim) * options.mlp_ratio)),
        drop1(scope / "drop_path1", drop_path_rate),
        drop2(scope / "drop_path2", drop_path_rate) {}

  Variable<T> forward(Variable<T> x) const override {
    x = x + drop1(attn(norm1(x)));
    return x + drop2(mlp(norm2(x)));
  }

 private:
  LayerNorm<T> norm1;
  VitAttention<T> attn;
  LayerNorm<T> norm2;
  VitMlp<T> mlp;
  DropPath<T> drop1, drop2;
};

// Images (N, img_size, img_size, 3) to logits (N, num_classes).
template <class T>
class Vit : public Module<T> {
 public:
  using Options = VitOptions;

  Vit(const Scope<T>& scope, const Options& options)
      : Module<T>(scope, "VisionTransformer"),
        options_((options.validate(), options)),
        cls_token(scope.parameter(
            "cls_token",
            {.shape = {1, 1, options.embed_dim}, .init = Init::normal(1e-6), .decay = false})),
        pos_embed(scope.parameter("pos_embed", {.shape = {1, options.tokens(), options.embed_dim},
                                                .init = Init::truncated_normal(0.02),
                                                .decay = false})),
        patch_embed(scope / "patch_embed.proj", 3, options.embed_dim,
                    {.kernel_size = options.patch_size, .stride = options.patch_size}),
        blocks_(make_blocks(scope / "blocks", options)),
        norm(scope / "norm", options.embed_dim, 1e-6),
        head(scope / "head", options.embed_dim, options.num_classes,
             {.weight_init = Init::truncated_normal(0.02),
              .bias_init = Init::constant(0),
              .traits = {.head = true}}) {}

  Variable<T> forward(Variable<T> x) const override {
    Tape<T>& tape = x.tape();
    const Shape image = x.shape();
    tape.check(image.rank() == 4 && image[1] == options_.img_size && image[2] == options_.img_size,
               "VisionTransformer: expected images (N, ", options_.img_size, ", ",
               options_.img_size, ", 3), got ", image);
    const std::int64_t patches = options_.tokens() - 1;
    x = reshape(patch_embed(x), Shape{image[0], patches, options_.embed_dim});
    // The first token is the class token, the same for all images: what is added to a row of zeros.
    const Variable<T> cls = pad_axis(tape.parameter(cls_token), 1, 0, patches);
    const Variable<T> added = tape.parameter(pos_embed) + cls;
    x = pad_axis(x, 1, 1, 0) + added;
    for (const auto& block : blocks_) x = (*block)(x);
    return head(flatten(norm(narrow(x, 1, 0, 1))));
  }
  const Options& options() const { return options_; }

 private:
  using Blocks = std::vector<std::unique_ptr<VitBlock<T>>>;

  static Blocks make_blocks(const Scope<T>& scope, const Options& options) {
    Blocks blocks;
    for (std::int64_t i = 0; i < options.depth; ++i)
      blocks.push_back(std::make_unique<VitBlock<T>>(
          scope / static_cast<int>(i), options,
          options.depth > 1
              ? options.drop_path * static_cast<double>(i) / static_cast<double>(options.depth - 1)
              : 0));
    return blocks;
  }

  Options options_;
  Parameter<T> cls_token, pos_embed;
  Conv2d<T> patch_embed;
  Blocks blocks_;
  LayerNorm<T> norm;
  Linear<T> head;
};

inline const RegisterModel<Vit<float>> registered_vit("vit", {.variants = {{"vit_tiny", {}}},
                                                              .training_options = {"drop_path"}});

}  // namespace anther::inline v0_1
