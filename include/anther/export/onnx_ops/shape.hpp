// The forms of ops that cut and join values in ONNX, and of softmax. Views need none.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include "anther/export/graph_builder.hpp"
#include "anther/ops/permute.hpp"
#include "anther/ops/select.hpp"
#include "anther/ops/shape.hpp"
#include "anther/ops/softmax.hpp"

namespace anther::inline v0_1::exports {

// Where an axis of a value is in the graph: a map has its channels second there.
inline std::int64_t graph_axis(const Shape& shape, int axis) {
  if (shape.rank() != 4 || axis == 0) return axis;
  return axis == 3 ? 1 : axis + 1;
}

// Softmax or LogSoftmax over an axis.
template <class T>
void graph_softmax(GraphBuilder& graph, const Call<T>& call, std::string_view type) {
  const int axis = call.template attributes<SoftmaxAxisAttributes>().axis;
  graph.output(
      graph.node(type, {graph.input(0)}, {{"axis", graph_axis(call.output_shape(), axis)}}));
}

template <class T>
void add_shape_onnx(OnnxForms<T>& forms) {
  forms.add_named(narrow_op_name, [](GraphBuilder& graph, const Call<T>& call) {
    const auto& a = call.template attributes<NarrowAttributes>();
    graph.output(graph.node(
        "Slice", {graph.input(0), graph.constant(Integers{a.start}),
                  graph.constant(Integers{a.start + a.length}),
                  graph.constant(Integers{graph_axis(call.input_shape(0), a.parts.axis)})}));
  });
  forms.add_named(permute_op_name, [](GraphBuilder& graph, const Call<T>& call) {
    const auto& a = call.template attributes<PermuteAttributes>();
    const Shape& shape = call.output_shape();
    Integers axes(static_cast<std::size_t>(shape.rank()));
    for (int axis = 0; axis < shape.rank(); ++axis)
      axes[static_cast<std::size_t>(graph_axis(shape, axis))] = graph_axis(shape, a.axes[axis]);
    graph.output(graph.transpose(graph.input(0), axes));
  });
  forms.add_named(pad_op_name, [](GraphBuilder& graph, const Call<T>& call) {
    const auto& a = call.template attributes<SelectAttributes>();
    const std::int64_t axis = graph_axis(call.input_shape(0), a.axis);
    const std::span index(a.index, static_cast<std::size_t>(a.dims.count));
    if (std::ranges::find(index, -1) == index.end()) {
      const std::string places = graph.constant(Integers(index.begin(), index.end()));
      graph.output(graph.node("Gather", {graph.input(0), places}, {{"axis", axis}}));
      return;
    }
    const int rank = call.input_shape(0).rank();
    const auto before = std::ranges::find_if(index, [](int i) { return i >= 0; }) - index.begin();
    const std::int64_t first =
        before < a.dims.count ? before - index[static_cast<std::size_t>(before)] : before;
    Integers pads(static_cast<std::size_t>(2 * rank), 0);
    pads[static_cast<std::size_t>(axis)] = first;
    pads[static_cast<std::size_t>(rank + axis)] = a.dims.count - a.dims.extent - first;
    graph.output(
        graph.node("Pad", {graph.input(0), graph.constant(pads), graph.constant({}, {a.fill})}));
  });
  forms.add_named(cat_op_name, [](GraphBuilder& graph, const Call<T>& call) {
    const int axis = call.template attributes<AxisParts>().axis;
    std::vector<std::string> parts;
    for (int i = 0; i < call.inputs(); ++i) parts.push_back(graph.input(i));
    graph.output(graph.node("Concat", parts, {{"axis", graph_axis(call.output_shape(), axis)}}));
  });
  forms.add_named(split_op_name, [](GraphBuilder& graph, const Call<T>& call) {
    const int axis = call.template attributes<AxisParts>().axis;
    Integers sizes;
    for (int i = 0; i < call.results(); ++i) sizes.push_back(call.output_shape(i)[axis]);
    const std::vector<std::string> parts =
        graph.nodes("Split", {graph.input(0), graph.constant(sizes)},
                    {{"axis", graph_axis(call.input_shape(0), axis)}}, call.results());
    for (int i = 0; i < call.results(); ++i) graph.output(parts[static_cast<std::size_t>(i)], i);
  });
  forms.add_named(softmax_axis_op_name, [](GraphBuilder& graph, const Call<T>& call) {
    graph_softmax(graph, call, "Softmax");
  });
  forms.add_named(log_softmax_op_name, [](GraphBuilder& graph, const Call<T>& call) {
    graph_softmax(graph, call, "LogSoftmax");
  });
  forms.add_named(softmax_op_name, [](GraphBuilder& graph, const Call<T>& call) {
    const Shape& shape = call.output_shape();
    graph.output(
        graph.node("Softmax", {graph.input(0)}, {{"axis", graph_axis(shape, shape.rank() - 1)}}));
  });
}

}  // namespace anther::inline v0_1::exports
