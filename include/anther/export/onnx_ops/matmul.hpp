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
    const auto on_tape = [&](int i) {
      return call.input_shape(i).rank() == 4 ? graph.transpose(graph.input(i), {0, 2, 3, 1})
                                             : graph.input(i);
    };
    const std::string y = graph.node("MatMul", {on_tape(0), on_tape(1)});
    graph.output(call.output_shape().rank() == 4 ? graph.transpose(y, {0, 3, 1, 2}) : y);
  });
}

}  // namespace anther::inline v0_1::exports
