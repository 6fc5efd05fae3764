// Multi-head attention as a layer, with PyTorch's names: in_proj_weight (3C, C), in_proj_bias (3C),
// out_proj.weight (C, C), out_proj.bias (C). Values are (N, n, C): PyTorch's with batch_first.
#pragma once

#include <cmath>

#include "anther/nn/linear.hpp"
#include "anther/nn/module.hpp"
#include "anther/ops/attention.hpp"
#include "anther/ops/shape.hpp"

namespace anther::inline v0_1 {

struct MultiheadAttentionOptions {
  double dropout = 0;  // of the probabilities
  bool bias = true;
  bool is_causal = false;  // query i sees the keys 0 to i
};

template <class T>
class MultiheadAttention : public Module<T> {
 public:
  MultiheadAttention(const Scope<T>& scope, std::int64_t embed_dim, std::int64_t num_heads,
                     const MultiheadAttentionOptions& options = {})
      : Module<T>(scope, "MultiheadAttention"),
        channels_(embed_dim),
        num_heads_(num_heads),
        options_(options),
        in_proj_weight(scope.parameter(
            "in_proj_weight",
            {.shape = {3 * embed_dim, embed_dim},
             .init = Init::uniform(std::sqrt(1.5 / static_cast<double>(embed_dim)))})),
        out_proj(scope / "out_proj", embed_dim, embed_dim,
                 {.bias = options.bias, .bias_init = Init::constant(0)}) {
    detail::check(num_heads > 0 && embed_dim % num_heads == 0, scope.path(),
                  ": expected a number of heads that divides ", embed_dim, " channels, got ",
                  num_heads);
    detail::check(options.dropout >= 0 && options.dropout < 1, scope.path(),
                  ": expected a dropout probability in [0, 1), got ", options.dropout);
    if (options.bias)
      in_proj_bias = scope.parameter("in_proj_bias", {.shape = {3 * embed_dim}, .decay = false});
  }

  // Self-attention of tokens x (N, n, C).
  Variable<T> forward(Variable<T> x) const override { return attend(x, {}); }

  using Module<T>::operator();
  Variable<T> operator()(Variable<T> x, const Variable<T>& attn_mask) const {
    return this->within(x, [&] { return attend(x, attn_mask); });
  }
  // query (N, n, C), key and value (N, m, C); attn_mask as in AttentionOptions.
  Variable<T> operator()(Variable<T> query, Variable<T> key, Variable<T> value,
                         const Variable<T>& attn_mask = {}) const {
    return this->within(query, [&] {
      return out_proj(scaled_dot_product_attention(
          project(query, 0), project(key, 1), project(value, 2), num_heads_, options(attn_mask)));
    });
  }

 private:
  AttentionOptions<T> options(const Variable<T>& attn_mask) const {
    return {.attn_mask = attn_mask, .is_causal = options_.is_causal, .dropout_p = options_.dropout};
  }
  Variable<T> attend(const Variable<T>& x, const Variable<T>& attn_mask) const {
    Tape<T>& tape = x.tape();
    const Variable<T> qkv = linear(x, tape.parameter(in_proj_weight), tape.parameter(in_proj_bias));
    return out_proj(self_attention(qkv, num_heads_, options(attn_mask)));
  }
  // x as queries (0), keys (1) or values (2).
  Variable<T> project(const Variable<T>& x, int which) const {
    Tape<T>& tape = x.tape();
    const auto part = [&](const Parameter<T>& parameter) {
      return narrow(tape.parameter(parameter), 0, which * channels_, channels_);
    };
    return linear(x, part(in_proj_weight), in_proj_bias ? part(in_proj_bias) : Variable<T>{});
  }

  std::int64_t channels_, num_heads_;
  MultiheadAttentionOptions options_;

 public:
  Parameter<T> in_proj_weight, in_proj_bias;
  Linear<T> out_proj;
};

}  // namespace anther::inline v0_1
