// The forms of element-wise ops in ONNX.
#pragma once

#include <cmath>
#include <string>

#include "anther/export/graph_builder.hpp"
#include "anther/ops/activation.hpp"
#include "anther/ops/arithmetic.hpp"
#include "anther/ops/where.hpp"

namespace anther::inline v0_1::exports {

// Input i of an op that broadcasts to `result`, with as many axes as that has, in the graph's
// order.
template <class T>
std::string broadcast_input(GraphBuilder& graph, const Call<T>& call, int i, const Shape& result) {
  const Shape& shape = call.input_shape(i);
  const int missing = result.rank() - shape.rank();
  const std::string x = graph.input(i);
  if (missing == 0) return x;
  if (result.rank() != 4) return graph.tape_order(x, shape);  // a map's channels are last again
  Integers whole;
  for (int axis = 0; axis < 4; ++axis) whole.push_back(axis < missing ? 1 : shape[axis - missing]);
  return graph.graph_order(graph.reshape(x, whole), result);
}
template <class T>
void binary_onnx(GraphBuilder& graph, const Call<T>& call, const char* type) {
  const Shape& result = call.output_shape();
  graph.output(graph.node(
      type, {broadcast_input(graph, call, 0, result), broadcast_input(graph, call, 1, result)}));
}

template <class T>
void add_elementwise_onnx(OnnxForms<T>& forms) {
  forms.add_named(add_op_name, [](GraphBuilder& graph, const Call<T>&) {
    graph.output(graph.node("Add", {graph.input(0), graph.input(1)}));
  });
#define ANTHER_BINARY(name, value, derivative_a, derivative_b, onnx)                       \
  forms.add_named(name##_broadcast_op_name, [](GraphBuilder& graph, const Call<T>& call) { \
    binary_onnx(graph, call, onnx);                                                        \
  });
#include "anther/kernels/binary_table.inl"
  forms.add_named(where_op_name, [](GraphBuilder& graph, const Call<T>& call) {
    const auto input = [&](int i) { return broadcast_input(graph, call, i, call.output_shape()); };
    const std::string condition = graph.truth(input(0));
    graph.output(graph.node("Where", {condition, input(1), input(2)}));
  });
  forms.add_named(scale_op_name, [](GraphBuilder& graph, const Call<T>& call) {
    const double factor = call.template attributes<double>();
    graph.output(graph.node("Mul", {graph.input(0), graph.constant({}, {factor})}));
  });
  // x (1 + erf(x / sqrt 2)) / 2, in the order in which runtimes recognise GELU.
  forms.add_named(gelu_op_name, [](GraphBuilder& graph, const Call<T>&) {
    const std::string x = graph.input(0);
    const std::string scaled = graph.node("Div", {x, graph.constant({}, {std::sqrt(2.0)})});
    const std::string twice_phi =
        graph.node("Add", {graph.node("Erf", {scaled}), graph.constant({}, {1.0})});
    graph.output(graph.node("Mul", {graph.node("Mul", {x, twice_phi}), graph.constant({}, {0.5})}));
  });
}

}  // namespace anther::inline v0_1::exports
