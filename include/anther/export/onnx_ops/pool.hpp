// The forms of pooling and resizing in ONNX.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "anther/core/once.hpp"
#include "anther/export/graph_builder.hpp"
#include "anther/ops/interpolate.hpp"
#include "anther/ops/pool.hpp"

namespace anther::inline v0_1::exports {

// The padding of one axis after the map: so much that its last window ends there. ONNX's ceil_mode
// is not used, whose windows runtimes count in different ways.
inline std::int64_t padding_after(std::int64_t out, std::int64_t stride, std::int64_t span,
                                  std::int64_t size, std::int64_t padding) {
  return std::max<std::int64_t>((out - 1) * stride + span - size - padding, 0);
}

// The attributes of MaxPool and AveragePool.
template <class Dims>
std::vector<GraphAttribute> pool_attributes(const Dims& d, const Integers& pads) {
  return {{"kernel_shape", Integers{d.kernel_height, d.kernel_width}},
          {"strides", Integers{d.stride_height, d.stride_width}},
          {"pads", pads}};
}

ANTHER_ONCE void max_pool2d_onnx(GraphBuilder& graph, const kernels::MaxPool2dDims& d) {
  const std::int64_t span_height = (d.kernel_height - 1) * d.dilation_height + 1;
  const std::int64_t span_width = (d.kernel_width - 1) * d.dilation_width + 1;
  Integers pads = {
      d.padding_height, d.padding_width,
      padding_after(d.out_height, d.stride_height, span_height, d.height, d.padding_height),
      padding_after(d.out_width, d.stride_width, span_width, d.width, d.padding_width)};
  std::string x = graph.input(0);
  if (pads[2] >= d.kernel_height || pads[3] >= d.kernel_width) {  // more than a pool may have
    x = graph.node("Pad", {x, graph.constant(Integers{0, 0, 0, 0, 0, 0, pads[2], pads[3]}),
                           graph.constant(Shape(), {-std::numeric_limits<double>::infinity()})});
    pads[2] = pads[3] = 0;
  }
  std::vector<GraphAttribute> attributes = pool_attributes(d, pads);
  attributes.push_back({"dilations", Integers{d.dilation_height, d.dilation_width}});
  graph.output(graph.node("MaxPool", {x}, attributes));
}

// The matrix (out, in), or its transpose, that averages over the windows of one axis.
template <class RangeOf>
std::string average_matrix(GraphBuilder& graph, std::int64_t out, std::int64_t in, bool transposed,
                           const RangeOf& range_of) {
  std::vector<double> values(static_cast<std::size_t>(out * in), 0.0);
  for (std::int64_t i = 0; i < out; ++i) {
    const kernels::PoolRange range = range_of(i);
    for (std::int64_t k = range.first; k < range.last; ++k)
      values[static_cast<std::size_t>(transposed ? k * out + i : i * in + k)] =
          1.0 / static_cast<double>(range.count());
  }
  return graph.constant(transposed ? Shape{in, out} : Shape{out, in}, values);
}

ANTHER_ONCE void avg_pool2d_onnx(GraphBuilder& graph, const kernels::AvgPool2dDims& d) {
  if (d.adaptive != 0) {  // an average over rows of averages over columns
    const std::string over_rows = average_matrix(graph, d.out_height, d.height, false,
                                                 [&](std::int64_t i) { return d.rows(i); });
    const std::string over_columns = average_matrix(graph, d.out_width, d.width, true,
                                                    [&](std::int64_t j) { return d.columns(j); });
    const std::string lines = graph.node("MatMul", {over_rows, graph.input(0)});
    graph.output(graph.node("MatMul", {lines, over_columns}));
    return;
  }
  std::vector<GraphAttribute> attributes = pool_attributes(
      d, {d.padding_height, d.padding_width,
          padding_after(d.out_height, d.stride_height, d.kernel_height, d.height, d.padding_height),
          padding_after(d.out_width, d.stride_width, d.kernel_width, d.width, d.padding_width)});
  // Copied: of a move, GCC 12 warns at -O2 that another kind of value may not be initialised.
  const GraphAttribute counts{"count_include_pad", d.count_include_pad};
  attributes.push_back(counts);
  std::string y = graph.node("AveragePool", {graph.input(0)}, attributes);
  if (d.count_include_pad != 0) {  // windows that leave the padded map are divided by less
    const std::int64_t whole = d.kernel_height * d.kernel_width;
    std::vector<double> factors;
    for (std::int64_t i = 0; i < d.out_height; ++i)
      for (std::int64_t j = 0; j < d.out_width; ++j)
        factors.push_back(static_cast<double>(whole) / static_cast<double>(d.divisor(i, j)));
    if (std::ranges::any_of(factors, [](double factor) { return factor != 1; }))
      y = graph.node("Mul", {y, graph.constant(Shape{1, 1, d.out_height, d.out_width}, factors)});
  }
  graph.output(y);
}

// Nearest pixels. Where a map is not enlarged a whole number of times, runtimes round in different
// ways: then the graph says which pixels.
ANTHER_ONCE void interpolate_nearest_onnx(GraphBuilder& graph, const kernels::InterpolateDims& d,
                                          const std::string& sizes) {
  const auto places = [&](std::int64_t size, std::int64_t out, double scale) {
    Integers from;
    for (std::int64_t i = 0; i < out; ++i)
      from.push_back(kernels::interpolated<float>(i, size, out, scale, d).low);
    return from;
  };
  const auto is_multiple = [](const Integers& from, std::int64_t size) {
    const auto out = static_cast<std::int64_t>(from.size());
    if (out % size != 0) return false;
    for (std::int64_t i = 0; i < out; ++i)
      if (from[static_cast<std::size_t>(i)] != i / (out / size)) return false;
    return true;
  };
  const Integers rows = places(d.height, d.out_height, d.scale_height);
  const Integers columns = places(d.width, d.out_width, d.scale_width);
  if (is_multiple(rows, d.height) && is_multiple(columns, d.width)) {
    graph.output(graph.node("Resize", {graph.input(0), "", "", sizes},
                            {{"mode", std::string("nearest")},
                             {"coordinate_transformation_mode", std::string("asymmetric")},
                             {"nearest_mode", std::string("floor")}}));
    return;
  }
  const std::string lines =
      graph.node("Gather", {graph.input(0), graph.constant(rows)}, {{"axis", std::int64_t{2}}});
  graph.output(graph.node("Gather", {lines, graph.constant(columns)}, {{"axis", std::int64_t{3}}}));
}

ANTHER_ONCE void interpolate_onnx(GraphBuilder& graph, const kernels::InterpolateDims& d) {
  const std::string x = graph.input(0);
  const std::string batch_and_channels = graph.node(
      "Slice",
      {graph.node("Shape", {x}), graph.constant(Integers{0}), graph.constant(Integers{2})});
  const std::string sizes = graph.node(
      "Concat", {batch_and_channels, graph.constant(Integers{d.out_height, d.out_width})},
      {{"axis", std::int64_t{0}}});
  if (d.bilinear == 0) return interpolate_nearest_onnx(graph, d, sizes);
  const std::vector<GraphAttribute> attributes = {
      {"mode", std::string("linear")},
      {"coordinate_transformation_mode",
       std::string(d.align_corners != 0 ? "align_corners" : "half_pixel")}};
  // A given scale counts, not that of the sizes, where they lead to the same sizes.
  const auto factor = [](std::int64_t size, std::int64_t out, double scale) {
    return size == out ? 1.0 : 1 / scale;
  };
  const auto leads_to = [](std::int64_t size, std::int64_t out, double by) {
    return std::floor(static_cast<float>(size) * static_cast<float>(by)) == static_cast<float>(out);
  };
  const double by_height = factor(d.height, d.out_height, d.scale_height);
  const double by_width = factor(d.width, d.out_width, d.scale_width);
  if (d.align_corners == 0 && d.scale_height > 0 && leads_to(d.height, d.out_height, by_height) &&
      leads_to(d.width, d.out_width, by_width))
    graph.output(graph.node(
        "Resize", {x, "", graph.constant(Shape{4}, {1, 1, by_height, by_width})}, attributes));
  else
    graph.output(graph.node("Resize", {x, "", "", sizes}, attributes));
}

template <class T>
void add_pool_onnx(OnnxForms<T>& forms) {
  forms.add_named(global_average_pool_op_name, [](GraphBuilder& graph, const Call<T>&) {
    graph.output(graph.node("Flatten", {graph.node("GlobalAveragePool", {graph.input(0)})}));
  });
  forms.add_named(max_pool2d_op_name, [](GraphBuilder& graph, const Call<T>& call) {
    max_pool2d_onnx(graph, call.template attributes<kernels::MaxPool2dDims>());
  });
  forms.add_named(avg_pool2d_op_name, [](GraphBuilder& graph, const Call<T>& call) {
    avg_pool2d_onnx(graph, call.template attributes<kernels::AvgPool2dDims>());
  });
  forms.add_named(interpolate_op_name, [](GraphBuilder& graph, const Call<T>& call) {
    interpolate_onnx(graph, call.template attributes<kernels::InterpolateDims>());
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
