// Multi-head attention over tokens: softmax(q k^T / sqrt(C / heads)) v for each head (Vaswani et
// al. 2017, section 3.2). self_attention takes q, k and v of each token side by side, as a fully
// connected layer puts them out: qkv (N, n, 3C), first all of q, then all of k, then all of v;
// scaled_dot_product_attention takes them apart. y (N, n, C). Backward keeps the inputs and the
// probabilities (N, heads, n, n).
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "anther/autograd/tape.hpp"
#include "anther/export/code_builder.hpp"
#include "anther/export/graph_builder.hpp"
#include "anther/kernels/attention.hpp"

namespace anther::inline v0_1 {

// softmax(q k^T scale) v; all (N, heads, n, d).
inline std::string graph_attention(exports::GraphBuilder& graph, const std::string& q,
                                   const std::string& k, const std::string& v, double scale) {
  const std::string products = graph.node("MatMul", {q, graph.transpose(k, {0, 1, 3, 2})});
  const std::string scaled = graph.node("Mul", {products, graph.constant({}, {scale})});
  return graph.node("MatMul", {graph.node("Softmax", {scaled}, {{"axis", -1}}), v});
}
// Between tokens (N, n, C), or a map (N, C, H, W), and (N, heads, n, d).
inline std::string to_heads(exports::GraphBuilder& graph, const std::string& x,
                            const kernels::AttentionDims& d, bool map) {
  return map ? graph.transpose(graph.reshape(x, {0, d.heads, d.head_dim, -1}), {0, 1, 3, 2})
             : graph.transpose(graph.reshape(x, {0, 0, d.heads, d.head_dim}), {0, 2, 1, 3});
}
inline std::string from_heads(exports::GraphBuilder& graph, const std::string& x,
                              const kernels::AttentionDims& d, const Shape& y) {
  if (y.rank() == 4) return graph.reshape(graph.transpose(x, {0, 1, 3, 2}), {0, y[3], y[1], y[2]});
  return graph.reshape(graph.transpose(x, {0, 2, 1, 3}), {0, 0, d.heads * d.head_dim});
}

// The call of attention_forward on q, k and v, none of the probabilities kept.
template <class T>
void embed_attention(exports::CodeBuilder& code, const std::string& q, const std::string& k,
                     const std::string& v, const kernels::AttentionDims& d) {
  // Room for any instruction set: all pad to vectors of 16 elements at most.
  kernels::AttentionDims widest = d;
  widest.keys = (d.keys + 15) / 16 * 16;
  widest.head_dim = (d.head_dim + 15) / 16 * 16;
  code.include("anther/kernels/attention.hpp");
  code.call("attention_forward<float>", code.output(), "nullptr", q, k, v,
            code.workspace(kernels::attention_workspace<T>(widest)),
            exports::code_struct(d.batch, d.heads, d.queries, d.keys, d.head_dim, d.q_stride,
                                 d.kv_stride, d.scale));
}

template <class T>
inline constexpr Op<T> self_attention_op = {
    .name = "self_attention",
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
          kernels::attention_backward(dqkv.to, dqkv.to + d.o_stride(), dqkv.to + 2 * d.o_stride(),
                                      call.output_gradient(), static_cast<const T*>(call.output(1)),
                                      qkv, qkv + d.o_stride(), qkv + 2 * d.o_stride(),
                                      call.workspace(kernels::attention_workspace<T>(d)), d);
        },
    .macs =
        [](const Call<T>& call) {
          const auto& d = call.template attributes<kernels::AttentionDims>();
          return 2 * d.probabilities() * d.head_dim;
        },
    .onnx =
        [](exports::GraphBuilder& graph, const Call<T>& call) {
          const auto& d = call.template attributes<kernels::AttentionDims>();
          const bool map = call.output_shape().rank() == 4;
          std::vector<std::string> parts =
              graph.nodes("Split", {graph.input(0)}, {{"axis", map ? 1 : 2}}, 3);
          for (std::string& part : parts) part = to_heads(graph, part, d, map);
          const std::string y = graph_attention(graph, parts[0], parts[1], parts[2], d.scale);
          graph.output(from_heads(graph, y, d, call.output_shape()));
        },
    .embed =
        [](exports::CodeBuilder& code, const Call<T>& call) {
          const auto& d = call.template attributes<kernels::AttentionDims>();
          const std::string qkv = code.input(0);
          embed_attention<T>(code, qkv, detail::text_of(qkv, " + ", d.o_stride()),
                             detail::text_of(qkv, " + ", 2 * d.o_stride()), d);
        },
};

// qkv (N, n, 3C), any rank of at least 3 with the tokens between: (N, H, W, 3C) is (N, H W, 3C).
// Throws where num_heads does not divide C.
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

template <class T>
inline constexpr Op<T> scaled_dot_product_attention_op = {
    .name = "scaled_dot_product_attention",
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
          kernels::attention_backward(gradient[0], gradient[1], gradient[2], call.output_gradient(),
                                      static_cast<const T*>(call.output(1)), call.input(0),
                                      call.input(1), call.input(2),
                                      call.workspace(kernels::attention_workspace<T>(d)), d);
        },
    .macs = self_attention_op<T>.macs,
    .onnx =
        [](exports::GraphBuilder& graph, const Call<T>& call) {
          const auto& d = call.template attributes<kernels::AttentionDims>();
          std::string heads[3];
          for (int i = 0; i < 3; ++i) heads[i] = to_heads(graph, graph.input(i), d, false);
          const std::string y = graph_attention(graph, heads[0], heads[1], heads[2], d.scale);
          graph.output(from_heads(graph, y, d, call.output_shape()));
        },
    .embed =
        [](exports::CodeBuilder& code, const Call<T>& call) {
          embed_attention<T>(code, code.input(0), code.input(1), code.input(2),
                             call.template attributes<kernels::AttentionDims>());
        },
};

// q (N, n, C), k and v (N, m, C); gives (N, n, C). Throws where they do not fit, or num_heads does
// not divide C.
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
