// The forms of element-wise ops in ONNX.
#pragma once

#include <cmath>
#include <string>

#include "anther/export/graph_builder.hpp"
#include "anther/ops/activation.hpp"
#include "anther/ops/arithmetic.hpp"

namespace anther::inline v0_1::exports {

template <class T>
void add_elementwise_onnx(OnnxForms<T>& forms) {
  forms.add_named(add_op_name, [](GraphBuilder& graph, const Call<T>&) {
    graph.output(graph.node("Add", {graph.input(0), graph.input(1)}));
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
