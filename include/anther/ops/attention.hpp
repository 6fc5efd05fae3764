// Multi-head attention over tokens: softmax(q k^T / sqrt(C / heads)) v for each head (Vaswani et
// al. 2017, section 3.2). self_attention takes q, k and v of each token side by side, as a fully
// connected layer puts them out: qkv (N, n, 3C), first all of q, then all of k, then all of v;
// scaled_dot_product_attention takes them apart. y (N, n, C). Backward keeps the inputs and the
// probabilities (N, heads, n, n).
#pragma once

#include <cmath>

#include "anther/autograd/tape.hpp"
#include "anther/kernels/attention.hpp"

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

// qkv (N, n, 3C), or any rank of at least 3, with the tokens in between: (N, H, W, 3C) is (N, H W,
// 3C). Throws unless num_heads divides C.
template <class T>
Variable<T> self_attention(const Variable<T>& qkv, std::int64_t num_heads) {
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
                                         const Variable<T>& v, std::int64_t num_heads) {
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
  return tape.apply(scaled_dot_product_attention_op<T>, d, {q, k, v}, qs,
                    {Shape{qs[0], num_heads, qs[1], ks[1]}});
}

}  // namespace anther::inline v0_1
