// The forms of convolutions in ONNX.
#pragma once

#include <vector>

#include "anther/export/graph_builder.hpp"
#include "anther/ops/conv2d.hpp"

namespace anther::inline v0_1::exports {

// The attributes that Conv and ConvTranspose have in common.
template <class Dims>
std::vector<GraphAttribute> window_attributes(const Dims& d, std::int64_t groups) {
  return {{"kernel_shape", Integers{d.kernel_height, d.kernel_width}},
          {"strides", Integers{d.stride_height, d.stride_width}},
          {"pads", Integers{d.padding_height, d.padding_width, d.padding_height, d.padding_width}},
          {"group", groups}};
}

template <class T>
void add_convolution_onnx(OnnxForms<T>& forms) {
  forms.add_named(conv2d_op_name, [](GraphBuilder& graph, const Call<T>& call) {
    const auto& d = call.template attributes<kernels::Conv2dDims>();
    const Shape weight{d.out_channels, d.in_channels / d.groups, d.kernel_height, d.kernel_width};
    std::vector<GraphAttribute> attributes = window_attributes(d, d.groups);
    attributes.push_back({"dilations", Integers{d.dilation_height, d.dilation_width}});
    graph.output(
        graph.node("Conv", {graph.input(0), graph.weight(1, weight), graph.input(2)}, attributes));
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
