// The forms of pooling in ONNX.
#pragma once

#include "anther/export/graph_builder.hpp"
#include "anther/ops/pool.hpp"

namespace anther::inline v0_1::exports {

template <class T>
void add_pool_onnx(OnnxForms<T>& forms) {
  forms.add_named(global_average_pool_op_name, [](GraphBuilder& graph, const Call<T>&) {
    graph.output(graph.node("Flatten", {graph.node("GlobalAveragePool", {graph.input(0)})}));
  });
  forms.add_named(subsample_op_name, [](GraphBuilder& graph, const Call<T>& call) {
    const auto& d = call.template attributes<kernels::SubsampleDims>();
    graph.output(graph.node(
        "Slice", {graph.input(0), graph.constant(Integers{0, 0}),
                  graph.constant(Integers{d.height, d.width}), graph.constant(Integers{2, 3}),
                  graph.constant(Integers{d.stride, d.stride})}));
  });
}

}  // namespace anther::inline v0_1::exports
