// What an op's form in ONNX works with: it describes one call of the op in ONNX's operators (opset
// 17), between named values.
//
// A map, (N, H, W, C) on the tape, is (N, C, H, W) in the graph, and so is a parameter of four axes
// that an op reads by input(); by weight() it has PyTorch's order. Everything else is as on the
// tape. N stays open: in the shape that a Reshape gets, 0 stands for it (in ONNX: the extent of the
// input's same axis), and no op writes the number that it ran with.
//
//   add_onnx_form(square_op<float>, [](GraphBuilder& graph, const Call<float>&) {
//     const std::string x = graph.input(0);
//     graph.output(graph.node("Mul", {x, x}));
//   });
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "anther/core/shape.hpp"
#include "anther/export/op_forms.hpp"

namespace anther::inline v0_1::exports {

// An attribute of a node: an integer, a number, integers, or a text.
using Integers = std::vector<std::int64_t>;
struct GraphAttribute {
  std::string_view name;
  std::variant<std::int64_t, double, Integers, std::string> value;
};

// One call of an op at a time, in the order of the tape.
class GraphBuilder {
 public:
  virtual ~GraphBuilder() = default;

  // The value that is input i of the call; empty if the input is absent.
  virtual std::string input(int i) = 0;
  // Input i in PyTorch's order, a weight whose shape differs from PyTorch's only by extents of 1:
  // (O, C) for (O, C, 1, 1). Throws unless it is a parameter of such a shape.
  virtual std::string weight(int i, const Shape& shape) = 0;
  // Constants. Equal lists of integers become one.
  virtual std::string constant(const Shape& shape, const std::vector<double>& values) = 0;
  virtual std::string constant(const Integers& values) = 0;
  // Adds nodes of ONNX's operator `type`, and returns their results. An empty input is an absent
  // one.
  virtual std::vector<std::string> nodes(std::string_view type,
                                         const std::vector<std::string>& inputs,
                                         const std::vector<GraphAttribute>& attributes,
                                         int outputs) = 0;
  // Says which value is result i of the call.
  virtual void output(const std::string& name, int i = 0) = 0;

  // A node with one result.
  std::string node(std::string_view type, const std::vector<std::string>& inputs,
                   const std::vector<GraphAttribute>& attributes = {}) {
    return nodes(type, inputs, attributes, 1).front();
  }
  // Integers as what ONNX calls BOOL: false where they are 0.
  std::string truth(const std::string& integers) {
    constexpr int boolean = 9;  // TensorProto.DataType
    return node("Cast", {integers}, {{"to", boolean}});
  }
  // extents: 0 keeps the input's, -1 is whatever is left.
  std::string reshape(const std::string& x, const Integers& extents) {
    return node("Reshape", {x, constant(extents)});
  }
  // A value of a shape on the tape, with the axes that it has there, and back.
  std::string tape_order(const std::string& x, const Shape& shape) {
    return shape.rank() == 4 ? transpose(x, {0, 2, 3, 1}) : x;
  }
  std::string graph_order(const std::string& x, const Shape& shape) {
    return shape.rank() == 4 ? transpose(x, {0, 3, 1, 2}) : x;
  }
  // Axis i of the result is x's axis axes[i].
  std::string transpose(const std::string& x, Integers axes) {
    return node("Transpose", {x}, {{"perm", std::move(axes)}});
  }
};

// Describes a call of an op, without the addition that is fused with it.
template <class T>
using OnnxForm = void (*)(GraphBuilder& graph, const Call<T>& call);
template <class T>
using OnnxForms = OpForms<T, OnnxForm<T>>;

}  // namespace anther::inline v0_1::exports
