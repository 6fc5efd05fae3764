// The form of a fully connected layer in ONNX: Gemm on rows, a 1x1 Conv on a map, MatMul on tokens.
#pragma once

#include <string>

#include "anther/export/graph_builder.hpp"
#include "anther/ops/linear.hpp"

namespace anther::inline v0_1::exports {

template <class T>
void add_linear_onnx(OnnxForms<T>& forms) {
  forms.add_named(linear_op_name, [](GraphBuilder& graph, const Call<T>& call) {
    const Shape& x = call.input_shape(0);
    const std::int64_t in = x.back(), out = call.output_shape().back();
    const std::string bias = graph.input(2);
    if (x.rank() == 2) {
      graph.output(
          graph.node("Gemm", {graph.input(0), graph.weight(1, {out, in}), bias}, {{"transB", 1}}));
    } else if (x.rank() == 4) {
      graph.output(graph.node("Conv", {graph.input(0), graph.weight(1, {out, in, 1, 1}), bias},
                              {{"kernel_shape", Integers{1, 1}}}));
    } else {
      const std::string weight = graph.transpose(graph.weight(1, {out, in}), {1, 0});
      const std::string y = graph.node("MatMul", {graph.input(0), weight});
      graph.output(bias.empty() ? y : graph.node("Add", {y, bias}));
    }
  });
}

}  // namespace anther::inline v0_1::exports
