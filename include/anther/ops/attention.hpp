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

// The dims of a call, in the precision of the pass.
template <class T>
kernels::AttentionDims attention_dims(const Call<T>& call, kernels::AttentionDims d) {
  d.bf16 = call.bf16();
  // Sums over a great number of keys cannot go by way of bfloat16.
  d.o_bf16 = d.bf16 != 0 && call.output_is_bf16() && d.keys <= kernels::bf16_most_depth;
  return d;
}

// q, k and v are at these addresses.
template <class T>
void attention_op_forward(const Call<T>& call, const T* q, const T* k, const T* v,
                          const kernels::AttentionDims& dims,
                          const kernels::AttentionMask<T>& mask = {}) {
  const kernels::AttentionDims d = attention_dims(call, dims);
  T* const y = d.o_bf16 != 0 ? call.output() : call.float_output();
  T* const probabilities = call.keeps() ? call.output(1) : nullptr;
  const bool drops = d.bf16 != 0 && mask.dropout_p > 0;
  T* const workspace =
      call.workspace(kernels::attention_workspace<T>(d, available_threads(), drops));
  if (d.bf16 != 0)
    kernels::bf16_kernels<T>().attention_forward({y, probabilities, q, k, v}, workspace, d, mask);
  else
    kernels::attention_forward(y, probabilities, q, k, v, workspace, d, mask);
  if (d.o_bf16 == 0) call.round_output(y);
}

// o.d_o and o.probabilities are those of the call.
template <class T>
void attention_op_backward(const Call<T>& call, kernels::AttentionBackward<T> o,
                           const kernels::AttentionDims& dims,
                           const kernels::AttentionMask<T>& mask = {}) {
  kernels::AttentionDims d = attention_dims(call, dims);
  d.o_bf16 = d.bf16 != 0 && call.output_gradient_is_bf16();
  o.d_o = call.output_gradient();
  o.probabilities = call.output(1);
  T* const workspace =
      call.workspace(kernels::attention_workspace<T>(d, available_threads(), mask.dropout_p > 0));
  if (d.bf16 != 0)
    kernels::bf16_kernels<T>().attention_backward(o, workspace, d, mask);
  else
    kernels::attention_backward<T>(o, workspace, d, mask);
}

// What forward keeps: the probabilities, under amp in bfloat16.
template <class T>
Shape kept_probabilities(const Tape<T>& tape, const Shape& shape) {
  const bool narrow = kernels::has_bf16<T> && tape.options().amp;
  return narrow ? Shape{(shape.numel() + 1) / 2} : shape;
}

inline constexpr char self_attention_op_name[] = "self_attention";
template <class T>
inline constexpr Op<T> self_attention_op = {
    .name = self_attention_op_name,
    .forward =
        [](Call<T>& call) {
          const auto& d = call.template attributes<kernels::AttentionDims>();
          const T* qkv = call.input(0);
          attention_op_forward(call, qkv, qkv + d.o_stride(), qkv + 2 * d.o_stride(), d);
        },
    .backward =
        [](Call<T>& call) {
          const auto& d = call.template attributes<kernels::AttentionDims>();
          const auto dqkv = call.input_gradient(0);
          if (!dqkv) return;
          call.start(dqkv, call.input_shape(0).numel());
          const T* qkv = call.input(0);
          attention_op_backward<T>(call,
                                   {.dq = dqkv.to,
                                    .dk = dqkv.to + d.o_stride(),
                                    .dv = dqkv.to + 2 * d.o_stride(),
                                    .q = qkv,
                                    .k = qkv + d.o_stride(),
                                    .v = qkv + 2 * d.o_stride()},
                                   d);
        },
    .macs =
        [](const Call<T>& call) {
          const auto& d = call.template attributes<kernels::AttentionDims>();
          return 2 * d.probabilities() * d.head_dim;
        },
    .takes_bf16 = true,
    .stores_bf16 = true,
    .reads_bf16 = true,
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

// Where k (1) or v (2) begins, where q begins at `q`.
template <class T>
const T* attention_input(const Call<T>& call, int i, const T* q) {
  const auto& d = call.template attributes<MaskedAttentionAttributes>().dims;
  return call.has_input(i) ? call.input(i) : q + i * d.o_stride();
}

inline constexpr char masked_attention_op_name[] = "masked_attention";
template <class T>
inline constexpr Op<T> masked_attention_op = {
    .name = masked_attention_op_name,
    .forward =
        [](Call<T>& call) {
          const T* q = call.input(0);
          attention_op_forward(call, q, attention_input(call, 1, q), attention_input(call, 2, q),
                               call.template attributes<MaskedAttentionAttributes>().dims,
                               attention_mask(call));
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
          const T* q = call.input(0);
          attention_op_backward<T>(call,
                                   {.dq = gradient[0],
                                    .dk = gradient[1],
                                    .dv = gradient[2],
                                    .q = q,
                                    .k = attention_input(call, 1, q),
                                    .v = attention_input(call, 2, q),
                                    .dscores = dscores},
                                   d, mask);
          if (!dmask) return;
          call.start(dmask, call.input_shape(3).numel());
          kernels::attention_mask_backward(dmask.to, static_cast<const T*>(dscores), d, mask);
        },
    .macs =
        [](const Call<T>& call) {
          const auto& d = call.template attributes<MaskedAttentionAttributes>().dims;
          return 2 * d.probabilities() * d.head_dim;
        },
    .takes_bf16 = true,
    .stores_bf16 = true,
    .reads_bf16 = true,
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
  MaskedAttentionAttributes a{{}, d, options.is_causal, {}};
  if (tape.options().training && options.dropout_p > 0)
    a.drop = {options.dropout_p, tape.next_draw()};
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
                    {q, k, v, integers ? none : mask, integers ? mask : none}, y,
                    {kept_probabilities(tape, full)});
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
  return tape.apply(self_attention_op<T>, d, {qkv}, y,
                    {kept_probabilities(tape, {d.batch, num_heads, tokens, tokens})});
}

inline constexpr char scaled_dot_product_attention_op_name[] = "scaled_dot_product_attention";
template <class T>
inline constexpr Op<T> scaled_dot_product_attention_op = {
    .name = scaled_dot_product_attention_op_name,
    .forward =
        [](Call<T>& call) {
          attention_op_forward(call, call.input(0), call.input(1), call.input(2),
                               call.template attributes<kernels::AttentionDims>());
        },
    .backward =
        [](Call<T>& call) {
          T* gradient[3];
          for (int i = 0; i < 3; ++i) {
            const std::int64_t size = call.input_shape(i).numel();
            GradientTarget<T> target = call.input_gradient(i);
            if (!target) target = {call.workspace(size), nullptr};
            call.start(target, size);
            gradient[i] = target.to;
          }
          attention_op_backward<T>(call,
                                   {.dq = gradient[0],
                                    .dk = gradient[1],
                                    .dv = gradient[2],
                                    .q = call.input(0),
                                    .k = call.input(1),
                                    .v = call.input(2)},
                                   call.template attributes<kernels::AttentionDims>());
        },
    .macs = self_attention_op<T>.macs,
    .takes_bf16 = true,
    .stores_bf16 = true,
    .reads_bf16 = true,
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
                    {kept_probabilities(tape, {qs[0], num_heads, qs[1], ks[1]})});
}

}  // namespace anther::inline v0_1
