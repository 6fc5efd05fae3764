// The forms of convolutions in ONNX.
#pragma once

#include <string>
#include <vector>

#include "anther/core/once.hpp"
#include "anther/export/graph_builder.hpp"
#include "anther/ops/conv_transpose2d.hpp"

namespace anther::inline v0_1::exports {

// The attributes that Conv and ConvTranspose have in common.
template <class Dims>
std::vector<GraphAttribute> window_attributes(const Dims& d, std::int64_t groups) {
  return {{"kernel_shape", Integers{d.kernel_height, d.kernel_width}},
          {"strides", Integers{d.stride_height, d.stride_width}},
          {"pads", Integers{d.padding_height, d.padding_width, d.padding_height, d.padding_width}},
          {"group", groups}};
}

// A sequence has its channels last in the graph too, and Conv wants them second.
ANTHER_ONCE void conv1d_onnx(GraphBuilder& graph, const kernels::Conv2dDims& d) {
  const std::vector<GraphAttribute> turn = {{"perm", Integers{0, 2, 1}}};
  const std::string x = graph.node("Transpose", {graph.input(0)}, turn);
  const Shape weight{d.out_channels, d.group_in(), d.kernel_width};
  const std::string y = graph.node("Conv", {x, graph.weight(1, weight), graph.input(2)},
                                   {{"kernel_shape", Integers{d.kernel_width}},
                                    {"strides", Integers{d.stride_width}},
                                    {"pads", Integers{d.padding_width, d.padding_width}},
                                    {"dilations", Integers{d.dilation_width}},
                                    {"group", d.groups}});
  graph.output(graph.node("Transpose", {y}, turn));
}

template <class T>
void add_convolution_onnx(OnnxForms<T>& forms) {
  forms.add_named(conv2d_op_name, [](GraphBuilder& graph, const Call<T>& call) {
    const auto& d = call.template attributes<kernels::Conv2dDims>();
    if (call.output_shape().rank() == 3) return conv1d_onnx(graph, d);
    const Shape weight{d.out_channels, d.group_in(), d.kernel_height, d.kernel_width};
    std::vector<GraphAttribute> attributes = window_attributes(d, d.groups);
    attributes.push_back({"dilations", Integers{d.dilation_height, d.dilation_width}});
    graph.output(
        graph.node("Conv", {graph.input(0), graph.weight(1, weight), graph.input(2)}, attributes));
  });
  forms.add_named(conv_transpose2d_op_name, [](GraphBuilder& graph, const Call<T>& call) {
    const auto& d = call.template attributes<kernels::Conv2dDims>();  // of the way back
    const Shape weight{d.out_channels, d.group_in(), d.kernel_height, d.kernel_width};
    const auto extra = [](std::int64_t size, std::int64_t x, std::int64_t span, std::int64_t stride,
                          std::int64_t padding) {
      return size - ((x - 1) * stride + span - 2 * padding);
    };
    std::vector<GraphAttribute> attributes = window_attributes(d, d.groups);
    attributes.push_back({"dilations", Integers{d.dilation_height, d.dilation_width}});
    attributes.push_back(
        {"output_padding",
         Integers{
             extra(d.height, d.out_height(), d.span_height(), d.stride_height, d.padding_height),
             extra(d.width, d.out_width(), d.span_width(), d.stride_width, d.padding_width)}});
    graph.output(graph.node("ConvTranspose",
                            {graph.input(0), graph.weight(1, weight), graph.input(2)}, attributes));
  });
  forms.add_named(depthwise_conv2d_op_name, [](GraphBuilder& graph, const Call<T>& call) {
    const auto& d = call.template attributes<kernels::DepthwiseConv2dDims>();
    const Shape weight{d.channels, 1, d.kernel_height, d.kernel_width};
    graph.output(graph.node("Conv", {graph.input(0), graph.weight(1, weight), graph.input(2)},
                            window_attributes(d, d.channels)));
  });
  forms.add_named(depthwise_conv_transpose2d_op_name, [](GraphBuilder& graph, const Call<T>& call) {
    const auto& d = call.template attributes<kernels::DepthwiseConvTranspose2dDims>();
    const Shape weight{d.channels, 1, d.kernel_height, d.kernel_width};
    std::vector<GraphAttribute> attributes = window_attributes(d, d.channels);
    attributes.push_back(
        {"output_padding", Integers{d.output_padding_height, d.output_padding_width}});
    graph.output(graph.node("ConvTranspose",
                            {graph.input(0), graph.weight(1, weight), graph.input(2)}, attributes));
  });
}

}  // namespace anther::inline v0_1::exports
