// The forms of ops that read or make indices in ONNX, whose indices are INT64.
#pragma once

#include <string>
#include <vector>

#include "anther/export/graph_builder.hpp"
#include "anther/export/onnx_ops/shape.hpp"
#include "anther/ops/embedding.hpp"
#include "anther/ops/select.hpp"
#include "anther/ops/topk.hpp"

namespace anther::inline v0_1::exports {

template <class T>
void add_indices_onnx(OnnxForms<T>& forms) {
  forms.add_named(embedding_op_name, [](GraphBuilder& graph, const Call<T>& call) {
    const std::string indices = graph.tape_order(graph.input(0), call.input_shape(0));
    const std::string y = graph.node("Gather", {graph.input(1), indices}, {{"axis", 0}});
    graph.output(graph.graph_order(y, call.output_shape()));
  });
  forms.add_named(index_select_op_name, [](GraphBuilder& graph, const Call<T>& call) {
    const int axis = call.template attributes<SelectAttributes>().axis;
    graph.output(graph.node("Gather", {graph.input(0), graph.input(1)},
                            {{"axis", graph_axis(call.input_shape(0), axis)}}));
  });
  forms.add_named(argmax_op_name, [](GraphBuilder& graph, const Call<T>& call) {
    const auto& a = call.template attributes<TopkAttributes>();
    const std::string x = graph.tape_order(graph.input(0), call.input_shape(0));
    const std::string y =
        graph.node("ArgMax", {x}, {{"axis", a.axis}, {"keepdims", a.keepdim ? 1 : 0}});
    graph.output(graph.graph_order(y, call.output_shape()));
  });
  forms.add_named(topk_op_name, [](GraphBuilder& graph, const Call<T>& call) {
    const auto& a = call.template attributes<TopkAttributes>();
    const std::vector<std::string> y = graph.nodes(
        "TopK", {graph.input(0), graph.constant(Integers{a.dims.k})},
        {{"axis", graph_axis(call.input_shape(0), a.axis)}, {"largest", a.dims.largest}}, 2);
    graph.output(y[0], 0);
    graph.output(y[1], 1);
  });
}

}  // namespace anther::inline v0_1::exports
