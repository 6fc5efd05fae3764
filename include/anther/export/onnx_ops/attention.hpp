// The forms of attention in ONNX.
#pragma once

#include <limits>
#include <string>
#include <vector>

#include "anther/core/once.hpp"
#include "anther/export/graph_builder.hpp"
#include "anther/ops/attention.hpp"

namespace anther::inline v0_1::exports {

inline constexpr double hidden_score = -std::numeric_limits<double>::infinity();

// softmax(q k^T scale + mask) v; all (N, heads, n, d). masked(scores): them with what masks add.
// may_hide_all: whether that may hide all keys from a query, whose probabilities are 0 then.
template <class Masked>
std::string graph_attention(GraphBuilder& graph, const std::string (&heads)[3], double scale,
                            bool may_hide_all, const Masked& masked) {
  const std::string products =
      graph.node("MatMul", {heads[0], graph.transpose(heads[1], {0, 1, 3, 2})});
  const std::string scaled = masked(graph.node("Mul", {products, graph.constant({}, {scale})}));
  std::string probabilities = graph.node("Softmax", {scaled}, {{"axis", -1}});
  if (may_hide_all) {  // told by the scores: Softmax also has NaN where one of them is
    const std::string largest = graph.node("ReduceMax", {scaled}, {{"axes", Integers{-1}}});
    const std::string sees_none =
        graph.node("Equal", {largest, graph.constant({}, {hidden_score})});
    probabilities = graph.node("Where", {sees_none, graph.constant({}, {0.0}), probabilities});
  }
  return graph.node("MatMul", {probabilities, heads[2]});
}
// From tokens (N, ..., C), or a map (N, C, H, W), to (N, heads, n, d).
inline std::string to_heads(GraphBuilder& graph, const std::string& x,
                            const kernels::AttentionDims& d, bool map) {
  return map ? graph.transpose(graph.reshape(x, {0, d.heads, d.head_dim, -1}), {0, 1, 3, 2})
             : graph.transpose(graph.reshape(x, {0, -1, d.heads, d.head_dim}), {0, 2, 1, 3});
}
// And back; y is the result's shape on the tape.
ANTHER_ONCE std::string from_heads(GraphBuilder& graph, const std::string& x,
                                   const kernels::AttentionDims& d, const Shape& y) {
  if (y.rank() == 4) return graph.reshape(graph.transpose(x, {0, 1, 3, 2}), {0, y[3], y[1], y[2]});
  const std::string tokens = graph.transpose(x, {0, 2, 1, 3});
  if (y.rank() == 3) return graph.reshape(tokens, {0, 0, d.heads * d.head_dim});
  Integers extents{0};
  for (int axis = 1; axis < y.rank(); ++axis) extents.push_back(y[axis]);
  return graph.reshape(tokens, extents);
}

// q, k and v of the call, each (N, heads, n, d). Input 0 alone has all three side by side.
template <class T>
void graph_heads(GraphBuilder& graph, const Call<T>& call, const kernels::AttentionDims& d,
                 std::string (&heads)[3]) {
  const bool apart = call.inputs() > 1 && call.has_input(1);
  const bool map = !apart && call.output_shape().rank() == 4;
  std::vector<std::string> parts;
  if (apart)
    for (int i = 0; i < 3; ++i) parts.push_back(graph.input(i));
  else
    parts = graph.nodes("Split", {graph.input(0)}, {{"axis", map ? 1 : -1}}, 3);
  for (std::size_t i = 0; i < 3; ++i) heads[i] = to_heads(graph, parts[i], d, map);
}

template <class T>
void attention_onnx(GraphBuilder& graph, const Call<T>& call) {
  const auto& d = call.template attributes<kernels::AttentionDims>();
  std::string heads[3];
  graph_heads(graph, call, d, heads);
  const std::string y = graph_attention(graph, heads, d.scale, false,
                                        [](const std::string& scores) { return scores; });
  graph.output(from_heads(graph, y, d, call.output_shape()));
}

template <class T>
void masked_attention_onnx(GraphBuilder& graph, const Call<T>& call) {
  const auto& a = call.template attributes<MaskedAttentionAttributes>();
  const kernels::AttentionDims& d = a.dims;
  std::string heads[3];
  graph_heads(graph, call, d, heads);
  const bool has_mask = call.has_input(3) || call.has_input(4);
  const std::string y = graph_attention(graph, heads, d.scale, has_mask, [&](std::string scores) {
    if (call.has_input(3))
      scores = graph.node("Add", {scores, graph.tape_order(graph.input(3), call.input_shape(3))});
    if (call.has_input(4)) {
      const std::string seen = graph.truth(graph.tape_order(graph.input(4), call.input_shape(4)));
      scores = graph.node("Where", {seen, scores, graph.constant({}, {hidden_score})});
    }
    if (a.causal) {
      std::vector<double> later(static_cast<std::size_t>(d.queries * d.keys));
      for (std::int64_t i = 0; i < d.queries; ++i)
        for (std::int64_t j = i + 1; j < d.keys; ++j)
          later[static_cast<std::size_t>(i * d.keys + j)] = hidden_score;
      scores = graph.node("Add", {scores, graph.constant({d.queries, d.keys}, later)});
    }
    return scores;
  });
  graph.output(from_heads(graph, y, d, call.output_shape()));
}

template <class T>
void add_attention_onnx(OnnxForms<T>& forms) {
  forms.add_named(self_attention_op_name, attention_onnx<T>);
  forms.add_named(scaled_dot_product_attention_op_name, attention_onnx<T>);
  forms.add_named(masked_attention_op_name, masked_attention_onnx<T>);
}

}  // namespace anther::inline v0_1::exports
