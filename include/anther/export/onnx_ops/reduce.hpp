// The forms of reductions in ONNX.
#pragma once

#include <algorithm>

#include "anther/export/graph_builder.hpp"
#include "anther/export/onnx_ops/shape.hpp"
#include "anther/ops/reduce.hpp"

namespace anther::inline v0_1::exports {

// The axes in the graph that a call reduces; they stay, with the extent 1.
template <class T>
Integers reduced_graph_axes(const Call<T>& call) {
  const auto& a = call.template attributes<ReduceAttributes>();
  Integers axes;
  for (int i = 0; i < a.axes; ++i) axes.push_back(graph_axis(call.input_shape(0), a.axis + i));
  std::ranges::sort(axes);
  return axes;
}
template <class T>
void reduce_onnx(GraphBuilder& graph, const Call<T>& call, const char* type) {
  graph.output(graph.node(type, {graph.input(0)}, {{"axes", reduced_graph_axes(call)}}));
}

template <class T>
void add_reduce_onnx(OnnxForms<T>& forms) {
  // Opset 17 has the axes of this one as an input, those of the others as an attribute.
  forms.add_named(sum_op_name, [](GraphBuilder& graph, const Call<T>& call) {
    graph.output(
        graph.node("ReduceSum", {graph.input(0), graph.constant(reduced_graph_axes(call))}));
  });
  forms.add_named(mean_op_name, [](GraphBuilder& graph, const Call<T>& call) {
    reduce_onnx(graph, call, "ReduceMean");
  });
  forms.add_named(amax_op_name, [](GraphBuilder& graph, const Call<T>& call) {
    reduce_onnx(graph, call, "ReduceMax");
  });
  forms.add_named(amin_op_name, [](GraphBuilder& graph, const Call<T>& call) {
    reduce_onnx(graph, call, "ReduceMin");
  });
  forms.add_named(norm_op_name, [](GraphBuilder& graph, const Call<T>& call) {
    reduce_onnx(graph, call, "ReduceL2");
  });
}

}  // namespace anther::inline v0_1::exports
