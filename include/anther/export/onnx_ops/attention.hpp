// The forms of attention in ONNX.
#pragma once

#include <string>
#include <vector>

#include "anther/export/graph_builder.hpp"
#include "anther/ops/attention.hpp"

namespace anther::inline v0_1::exports {

// softmax(q k^T scale) v; all (N, heads, n, d).
inline std::string graph_attention(GraphBuilder& graph, const std::string& q, const std::string& k,
                                   const std::string& v, double scale) {
  const std::string products = graph.node("MatMul", {q, graph.transpose(k, {0, 1, 3, 2})});
  const std::string scaled = graph.node("Mul", {products, graph.constant({}, {scale})});
  return graph.node("MatMul", {graph.node("Softmax", {scaled}, {{"axis", -1}}), v});
}
// From tokens (N, ..., C), or a map (N, C, H, W), to (N, heads, n, d).
inline std::string to_heads(GraphBuilder& graph, const std::string& x,
                            const kernels::AttentionDims& d, bool map) {
  return map ? graph.transpose(graph.reshape(x, {0, d.heads, d.head_dim, -1}), {0, 1, 3, 2})
             : graph.transpose(graph.reshape(x, {0, -1, d.heads, d.head_dim}), {0, 2, 1, 3});
}
// And back; y is the result's shape on the tape.
inline std::string from_heads(GraphBuilder& graph, const std::string& x,
                              const kernels::AttentionDims& d, const Shape& y) {
  if (y.rank() == 4) return graph.reshape(graph.transpose(x, {0, 1, 3, 2}), {0, y[3], y[1], y[2]});
  const std::string tokens = graph.transpose(x, {0, 2, 1, 3});
  if (y.rank() == 3) return graph.reshape(tokens, {0, 0, d.heads * d.head_dim});
  Integers extents{0};
  for (int axis = 1; axis < y.rank(); ++axis) extents.push_back(y[axis]);
  return graph.reshape(tokens, extents);
}

template <class T>
void add_attention_onnx(OnnxForms<T>& forms) {
  forms.add_named(self_attention_op_name, [](GraphBuilder& graph, const Call<T>& call) {
    const auto& d = call.template attributes<kernels::AttentionDims>();
    const bool map = call.output_shape().rank() == 4;
    std::vector<std::string> parts =
        graph.nodes("Split", {graph.input(0)}, {{"axis", map ? 1 : -1}}, 3);
    for (std::string& part : parts) part = to_heads(graph, part, d, map);
    const std::string y = graph_attention(graph, parts[0], parts[1], parts[2], d.scale);
    graph.output(from_heads(graph, y, d, call.output_shape()));
  });
  forms.add_named(
      scaled_dot_product_attention_op_name, [](GraphBuilder& graph, const Call<T>& call) {
        const auto& d = call.template attributes<kernels::AttentionDims>();
        std::string heads[3];
        for (int i = 0; i < 3; ++i) heads[i] = to_heads(graph, graph.input(i), d, false);
        const std::string y = graph_attention(graph, heads[0], heads[1], heads[2], d.scale);
        graph.output(from_heads(graph, y, d, call.output_shape()));
      });
}

}  // namespace anther::inline v0_1::exports
