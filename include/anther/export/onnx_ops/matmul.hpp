// The form of a product of matrices in ONNX.
#pragma once

#include <string>

#include "anther/export/graph_builder.hpp"
#include "anther/ops/matmul.hpp"

namespace anther::inline v0_1::exports {

template <class T>
void add_matmul_onnx(OnnxForms<T>& forms) {
  forms.add_named(matmul_op_name, [](GraphBuilder& graph, const Call<T>& call) {
    // A map's matrices are over W and C, which are the last axes on the tape alone.
    const std::string a = graph.tape_order(graph.input(0), call.input_shape(0));
    const std::string b = graph.tape_order(graph.input(1), call.input_shape(1));
    graph.output(graph.graph_order(graph.node("MatMul", {a, b}), call.output_shape()));
  });
}

}  // namespace anther::inline v0_1::exports
