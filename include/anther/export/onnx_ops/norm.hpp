// The forms of normalisations in ONNX.
#pragma once

#include <string>
#include <vector>

#include "anther/core/once.hpp"
#include "anther/export/graph_builder.hpp"
#include "anther/ops/norm.hpp"

namespace anther::inline v0_1::exports {

// Moves the channels of a value of `shape` (on the tape) to the second axis, where ONNX's
// normalisations expect them. A map, which is (N, C, H, W) in the graph, and (N, C) have them there
// already.
ANTHER_ONCE std::string channels_second(GraphBuilder& graph, const std::string& x,
                                        const Shape& shape) {
  if (shape.rank() < 3 || shape.rank() == 4) return x;
  Integers axes{0, shape.rank() - 1};
  for (int axis = 1; axis + 1 < shape.rank(); ++axis) axes.push_back(axis);
  return graph.transpose(x, axes);
}
// Moves them back.
ANTHER_ONCE std::string channels_back(GraphBuilder& graph, const std::string& x,
                                      const Shape& shape) {
  if (shape.rank() < 3 || shape.rank() == 4) return x;
  Integers axes{0};
  for (int axis = 2; axis < shape.rank(); ++axis) axes.push_back(axis);
  axes.push_back(1);
  return graph.transpose(x, axes);
}

// A constant vector of equal elements.
inline std::string filled(GraphBuilder& graph, std::int64_t size, double value) {
  return graph.constant({size}, std::vector<double>(static_cast<std::size_t>(size), value));
}

// Input i, the weight or bias (C) of a normalisation. If it is absent: C times `otherwise`.
inline std::string weight_or(GraphBuilder& graph, int i, std::int64_t size, double otherwise) {
  return graph.input(i).empty() ? filled(graph, size, otherwise) : graph.weight(i, {size});
}

// InstanceNormalization of (N, groups, the rest), then weight and bias.
template <class T>
void group_norm_onnx(GraphBuilder& graph, const Call<T>& call) {
  const auto& d = call.template attributes<kernels::GroupNormDims>();
  const Shape& shape = call.output_shape();
  const std::string x = channels_second(graph, graph.input(0), shape);
  const std::string groups = graph.node(
      "InstanceNormalization",
      {graph.reshape(x, {0, d.groups, -1}), filled(graph, d.groups, 1), filled(graph, d.groups, 0)},
      {{"epsilon", d.eps}});
  Integers back{0, d.channels};
  Shape one_a_channel{d.channels};
  for (int axis = 1; axis + 1 < shape.rank(); ++axis) {
    back.push_back(shape[axis]);
    one_a_channel.push_back(1);
  }
  std::string y = graph.reshape(groups, back);
  if (call.has_input(1)) y = graph.node("Mul", {y, graph.weight(1, one_a_channel)});
  if (call.has_input(2)) y = graph.node("Add", {y, graph.weight(2, one_a_channel)});
  graph.output(channels_back(graph, y, shape));
}

template <class T>
void layer_norm_onnx(GraphBuilder& graph, const Call<T>& call) {
  const bool map = call.output_shape().rank() == 4;
  const std::int64_t channels = call.output_shape().back();
  const std::string x = map ? graph.transpose(graph.input(0), {0, 2, 3, 1}) : graph.input(0);
  const std::string y = graph.node(
      "LayerNormalization", {x, weight_or(graph, 1, channels, 1), weight_or(graph, 2, channels, 0)},
      {{"axis", -1}, {"epsilon", call.template attributes<kernels::LayerNormDims>().eps}});
  graph.output(map ? graph.transpose(y, {0, 3, 1, 2}) : y);
}

// x / sqrt(mean(x^2) + eps) weight. The channels are a map's second axis, else the last.
template <class T>
void rms_norm_onnx(GraphBuilder& graph, const Call<T>& call) {
  const std::int64_t channels = call.output_shape().back();
  const bool map = call.output_shape().rank() == 4;
  const std::string x = graph.input(0);
  const std::string square =
      graph.node("ReduceMean", {graph.node("Mul", {x, x})}, {{"axes", Integers{map ? 1 : -1}}});
  const std::string eps =
      graph.constant({}, {call.template attributes<kernels::RMSNormDims>().eps});
  const std::string root = graph.node("Sqrt", {graph.node("Add", {square, eps})});
  const std::string y = graph.node("Div", {x, root});
  if (!call.has_input(1)) return graph.output(y);
  const Shape weight = map ? Shape{channels, 1, 1} : Shape{channels};
  graph.output(graph.node("Mul", {y, graph.weight(1, weight)}));
}

template <class T>
void batch_norm_onnx(GraphBuilder& graph, const Call<T>& call) {
  const auto& a = call.template attributes<BatchNormAttributes<T>>();
  const Shape& shape = call.output_shape();
  const std::int64_t channels = shape.back();
  const auto statistic = [&](const T* values) {
    return graph.constant({channels}, std::vector<double>(values, values + channels));
  };
  const std::string y =
      graph.node("BatchNormalization",
                 {channels_second(graph, graph.input(0), shape), weight_or(graph, 1, channels, 1),
                  weight_or(graph, 2, channels, 0), statistic(a.mean()), statistic(a.var())},
                 {{"epsilon", a.dims.eps}});
  graph.output(channels_back(graph, y, shape));
}

template <class T>
void add_norm_onnx(OnnxForms<T>& forms) {
  forms.add_named(group_norm_op_name, group_norm_onnx<T>);
  forms.add_named(layer_norm_op_name, layer_norm_onnx<T>);
  forms.add_named(batch_norm_op_name, batch_norm_onnx<T>);
  forms.add_named(rms_norm_op_name, rms_norm_onnx<T>);
}

}  // namespace anther::inline v0_1::exports
