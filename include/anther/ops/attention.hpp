// Multi-head attention over tokens: softmax(q k^T / sqrt(C / heads)) v for each head (Vaswani et
// al. 2017, section 3.2). self_attention takes q, k and v of each token side by side, as a fully
// connected layer puts them out: qkv (N, n, 3C), first all of q, then all of k, then all of v;
// scaled_dot_product_attention takes them apart, and the keys' number may be another one: q (N, n,
// C), k and v (N, m, C). y (N, n, C). Backward keeps the inputs and the probabilities (N, heads, n,
// m).
#pragma once

#include <cmath>

#include "anther/autograd/tape.hpp"
#include "anther/kernels/attention.hpp"
#include "anther/ops/dropout.hpp"

namespace anther::inline v0_1 {

inline constexpr char self_attention_op_name[] = "self_attention";
template <class T>
inline constexpr Op<T> self_attention_op = {
    .name = self_attention_op_name,
    .forward =
        [](Call<T>& call) {
          const auto& d = call.template attributes<kernels::AttentionDims>();
          const T* qkv = call.input(0);
          kernels::attention_forward(call.output(), call.keeps() ? call.output(1) : nullptr, qkv,
                                     qkv + d.o_stride(), qkv + 2 * d.o_stride(),
                                     call.workspace(kernels::attention_workspace<T>(d)), d);
        },
    .backward =
        [](Call<T>& call) {
          const auto& d = call.template attributes<kernels::AttentionDims>();
          const auto dqkv = call.input_gradient(0);
          if (!dqkv) return;
          call.start(dqkv, call.input_shape(0).numel());
          const T* qkv = call.input(0);
          kernels::attention_backward<T>(
              {dqkv.to, dqkv.to + d.o_stride(), dqkv.to + 2 * d.o_stride(), call.output_gradient(),
               call.output(1), qkv, qkv + d.o_stride(), qkv + 2 * d.o_stride()},
              call.workspace(kernels::attention_workspace<T>(d)), d);
        },
    .macs =
        [](const Call<T>& call) {
          const auto& d = call.template attributes<kernels::AttentionDims>();
          return 2 * d.probabilities() * d.head_dim;
        },
};

// What a query sees, and what of the probabilities is dropped. Softmax is over the keys that it
// sees; a query that sees none gets 0.
template <class T>
struct AttentionOptions {
  // Broadcast to (N, heads, n, m). Real numbers are added to q k^T / sqrt(head_dim), and may be
  // minus infinity; of integers, 0 says that the query does not see the key.
  Variable<T> attn_mask = {};
  bool is_causal = false;  // query i sees the keys 0 to i
  double dropout_p = 0;    // in training

  bool any(const Tape<T>& tape) const {
    return attn_mask || is_causal || (dropout_p > 0 && tape.options().training);
  }
};

struct MaskedAttentionAttributes {
  DropAttributes drop;
  kernels::AttentionDims dims;
  bool causal;
  std::int64_t mask_strides[4];  // of a sample, a head, a query, a key
};

// Inputs: q, k and v, or qkv alone; then a mask of real numbers, or one of integers.
template <class T>
kernels::AttentionMask<T> attention_mask(const Call<T>& call) {
  const auto& a = call.template attributes<MaskedAttentionAttributes>();
  return {.added = call.input(3),
          .kept = call.has_input(4) ? call.integers(4) : nullptr,
          .sample_stride = a.mask_strides[0],
          .head_stride = a.mask_strides[1],
          .query_stride = a.mask_strides[2],
          .key_stride = a.mask_strides[3],
          .causal = a.causal,
          .dropout_p = a.drop.p,
          .key = a.drop.p > 0 ? drop_key(call, "attention", a.drop) : RandomKey{},
          .first_sample = call.options().first_sample};
}

// Where k (1) or v (2) begins.
template <class T>
const T* attention_input(const Call<T>& call, int i) {
  const auto& d = call.template attributes<MaskedAttentionAttributes>().dims;
  return call.has_input(i) ? call.input(i) : call.input(0) + i * d.o_stride();
}

inline constexpr char masked_attention_op_name[] = "masked_attention";
template <class T>
inline constexpr Op<T> masked_attention_op = {
    .name = masked_attention_op_name,
    .forward =
        [](Call<T>& call) {
          const auto& d = call.template attributes<MaskedAttentionAttributes>().dims;
          kernels::attention_forward(
              call.output(), call.keeps() ? call.output(1) : nullptr, attention_input(call, 0),
              attention_input(call, 1), attention_input(call, 2),
              call.workspace(kernels::attention_workspace<T>(d)), d, attention_mask(call));
        },
    .backward =
        [](Call<T>& call) {
          const auto& d = call.template attributes<MaskedAttentionAttributes>().dims;
          const kernels::AttentionMask<T> mask = attention_mask(call);
          T* gradient[3];
          for (int i = 0; i < 3; ++i) {
            if (i > 0 && !call.has_input(i)) {
              gradient[i] = gradient[0] + i * d.o_stride();
              continue;
            }
            const std::int64_t size = call.input_shape(i).numel();
            GradientTarget<T> target = call.input_gradient(i);
            if (!target) target = {call.workspace(size), nullptr};
            call.start(target, size);
            gradient[i] = target.to;
          }
          const auto dmask = call.input_gradient(3);
          T* const dscores = dmask ? call.workspace(d.probabilities()) : nullptr;
          kernels::attention_backward<T>(
              {gradient[0], gradient[1], gradient[2], call.output_gradient(), call.output(1),
               attention_input(call, 0), attention_input(call, 1), attention_input(call, 2),
               dscores},
              call.workspace(kernels::attention_workspace<T>(d, mask.dropout_p > 0)), d, mask);
          if (!dmask) return;
          call.start(dmask, call.input_shape(3).numel());
          kernels::attention_mask_backward(dmask.to, static_cast<const T*>(dscores), d, mask);
        },
    .macs =
        [](const Call<T>& call) {
          const auto& d = call.template attributes<MaskedAttentionAttributes>().dims;
          return 2 * d.probabilities() * d.head_dim;
        },
    .integer_inputs = 1U << 4,
};

// Without k and v, q has them beside it.
template <class T>
Variable<T> apply_masked_attention(const kernels::AttentionDims& d, const Variable<T>& q,
                                   const Variable<T>& k, const Variable<T>& v, const Shape& y,
                                   const AttentionOptions<T>& options) {
  Tape<T>& tape = q.tape();
  tape.check(options.dropout_p >= 0 && options.dropout_p < 1,
             "attention: expected a dropout_p in [0, 1), got ", options.dropout_p);
  MaskedAttentionAttributes a{
      {options.dropout_p, static_cast<std::uint64_t>(tape.calls())}, d, options.is_causal, {}};
  if (!tape.options().training) a.drop.p = 0;
  const Shape full{d.batch, d.heads, d.queries, d.keys};
  const Variable<T>& mask = options.attn_mask;
  if (mask) {
    const Shape& m = mask.shape();
    std::int64_t step = 1;
    for (int i = 1; i <= m.rank(); ++i) {
      const std::int64_t extent = m[m.rank() - i];
      tape.check(i <= 4 && (extent == 1 || extent == full[4 - i]),
                 "attention: expected a mask that can be broadcast to ", full, ", got ", m);
      if (extent > 1) a.mask_strides[4 - i] = step;
      step *= extent;
    }
  }
  const bool integers = mask && tape.holds_integers(tape.id_of(mask));
  const Variable<T> none;
  return tape.apply(masked_attention_op<T>, a,
                    {q, k, v, integers ? none : mask, integers ? mask : none}, y, {full});
}

// qkv (N, n, 3C), or any rank of at least 3, with the tokens in between: (N, H, W, 3C) is (N, H W,
// 3C). Throws unless num_heads divides C.
template <class T>
Variable<T> self_attention(const Variable<T>& qkv, std::int64_t num_heads,
                           const AttentionOptions<T>& options = {}) {
  Tape<T>& tape = qkv.tape();
  const Shape& in = qkv.shape();
  tape.check(in.rank() >= 3 && in.back() % 3 == 0,
             "self_attention: expected q, k and v side by side (N, n, 3C), got ", in);
  const std::int64_t channels = in.back() / 3;
  tape.check(num_heads > 0 && channels % num_heads == 0,
             "self_attention: expected a number of heads that divides ", channels,
             " channels, got ", num_heads);
  const std::int64_t tokens = in[0] > 0 ? in.rows() / in[0] : 0;
  const kernels::AttentionDims d{.batch = in[0],
                                 .heads = num_heads,
                                 .queries = tokens,
                                 .keys = tokens,
                                 .head_dim = channels / num_heads,
                                 .q_stride = in.back(),
                                 .kv_stride = in.back(),
                                 .scale = 1 / std::sqrt(static_cast<double>(channels / num_heads))};
  Shape y = in;
  y[y.rank() - 1] = channels;
  if (options.any(tape)) return apply_masked_attention<T>(d, qkv, {}, {}, y, options);
  return tape.apply(self_attention_op<T>, d, {qkv}, y, {Shape{d.batch, num_heads, tokens, tokens}});
}

inline constexpr char scaled_dot_product_attention_op_name[] = "scaled_dot_product_attention";
template <class T>
inline constexpr Op<T> scaled_dot_product_attention_op = {
    .name = scaled_dot_product_attention_op_name,
    .forward =
        [](Call<T>& call) {
          const auto& d = call.template attributes<kernels::AttentionDims>();
          kernels::attention_forward(call.output(), call.keeps() ? call.output(1) : nullptr,
                                     call.input(0), call.input(1), call.input(2),
                                     call.workspace(kernels::attention_workspace<T>(d)), d);
        },
    .backward =
        [](Call<T>& call) {
          const auto& d = call.template attributes<kernels::AttentionDims>();
          T* gradient[3];
          for (int i = 0; i < 3; ++i) {
            const std::int64_t size = call.input_shape(i).numel();
            GradientTarget<T> target = call.input_gradient(i);
            if (!target) target = {call.workspace(size), nullptr};
            call.start(target, size);
            gradient[i] = target.to;
          }
          kernels::attention_backward<T>(
              {gradient[0], gradient[1], gradient[2], call.output_gradient(), call.output(1),
               call.input(0), call.input(1), call.input(2)},
              call.workspace(kernels::attention_workspace<T>(d)), d);
        },
    .macs = self_attention_op<T>.macs,
};

// q (N, n, C), k and v (N, m, C); the result is (N, n, C). Throws if they do not fit, or num_heads
// does not divide C.
template <class T>
Variable<T> scaled_dot_product_attention(const Variable<T>& q, const Variable<T>& k,
                                         const Variable<T>& v, std::int64_t num_heads,
                                         const AttentionOptions<T>& options = {}) {
  Tape<T>& tape = q.tape();
  const Shape &qs = q.shape(), &ks = k.shape();
  tape.check(qs.rank() == 3 && ks.rank() == 3 && ks == v.shape() && qs[0] == ks[0] &&
                 qs[2] == ks[2] && ks[1] > 0,
             "scaled_dot_product_attention: expected q (N, n, C), k and v (N, m, C), got ", qs,
             ", ", ks, " and ", v.shape());
  tape.check(num_heads > 0 && qs[2] % num_heads == 0,
             "scaled_dot_product_attention: expected a number of heads that divides ", qs[2],
             " channels, got ", num_heads);
  const kernels::AttentionDims d{.batch = qs[0],
                                 .heads = num_heads,
                                 .queries = qs[1],
                                 .keys = ks[1],
                                 .head_dim = qs[2] / num_heads,
                                 .q_stride = qs[2],
                                 .kv_stride = qs[2],
                                 .scale = 1 / std::sqrt(static_cast<double>(qs[2] / num_heads))};
  if (options.any(tape)) return apply_masked_attention(d, q, k, v, qs, options);
  return tape.apply(scaled_dot_product_attention_op<T>, d, {q, k, v}, qs,
                    {Shape{qs[0], num_heads, qs[1], ks[1]}});
}

}  // namespace anther::inline v0_1
