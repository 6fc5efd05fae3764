// The forms of the element-wise ops in kernels/pointwise_table.inl in ONNX.
#pragma once

#include <string>

#include "anther/core/once.hpp"
#include "anther/export/graph_builder.hpp"
#include "anther/ops/pointwise.hpp"

namespace anther::inline v0_1::exports {

// x / (1 + e^-u), u = x (1.5957... + 0.0713... x^2): see gelu_tanh in the table.
ANTHER_ONCE std::string gelu_tanh_nodes(GraphBuilder& graph, const std::string& x) {
  const std::string square = graph.node("Mul", {x, x});
  const std::string scaled =
      graph.node("Mul", {square, graph.constant({}, {0.071354816272600244})});
  const std::string slope = graph.node("Add", {scaled, graph.constant({}, {1.5957691216057308})});
  return graph.node("Mul", {x, graph.node("Sigmoid", {graph.node("Mul", {x, slope})})});
}

ANTHER_ONCE std::string softplus_nodes(GraphBuilder& graph, const std::string& x, double beta,
                                       double threshold) {
  const std::string scaled = graph.node("Mul", {x, graph.constant({}, {beta})});
  const std::string below =
      graph.node("Mul", {graph.node("Softplus", {scaled}), graph.constant({}, {1 / beta})});
  const std::string is_above = graph.node("Greater", {scaled, graph.constant({}, {threshold})});
  return graph.node("Where", {is_above, x, below});
}

template <class T>
void add_pointwise_onnx(OnnxForms<T>& forms) {
#define ANTHER_POINTWISE_2(name, a, a_default, b, b_default, kept, value, derivative, onnx)        \
  forms.add_named(name##_op_name, [](GraphBuilder& graph, const Call<T>& call) {                   \
    const std::string x = graph.input(0);                                                          \
    [[maybe_unused]] const double a = call.template attributes<kernels::PointwiseNumbers>().first; \
    [[maybe_unused]] const double b =                                                              \
        call.template attributes<kernels::PointwiseNumbers>().second;                              \
    graph.output(onnx);                                                                            \
  });
#define ANTHER_POINTWISE_1(name, a, a_default, kept, value, derivative, onnx) \
  ANTHER_POINTWISE_2(name, a, , unused_b, , kept, value, derivative, onnx)
#define ANTHER_POINTWISE(name, kept, value, derivative, onnx) \
  ANTHER_POINTWISE_2(name, unused_a, , unused_b, , kept, value, derivative, onnx)
#include "anther/kernels/pointwise_table.inl"
}

}  // namespace anther::inline v0_1::exports
