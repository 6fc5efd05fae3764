// A model as an ONNX file (opset 17, which runtimes since 2022 read), from a walk over one recorded
// forward pass: a table says what each op is in ONNX (export/onnx_forms.hpp).
// A map is (N, C, H, W), as PyTorch's users expect; every other value has the shape that it has in
// the pass. N is open; of sequences (T, N, C), which stand steps first, it is T. Weights are float,
// and have PyTorch's names. For an op without a form in ONNX, the error names the op and its layer.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "anther/autograd/tape.hpp"
#include "anther/core/check.hpp"
#include "anther/core/version.hpp"
#include "anther/export/graph_builder.hpp"
#include "anther/export/onnx_forms.hpp"
#include "anther/io/atomic_file.hpp"
#include "anther/io/protobuf.hpp"
#include "anther/nn/dry_run.hpp"

namespace anther::inline v0_1::exports {

// The step from bytes to what a model is fed: (level / 255 - mean) / std, of red, green and blue.
struct OnnxPreprocess {
  std::array<float, 3> mean = {0, 0, 0};
  std::array<float, 3> std = {1, 1, 1};
};

struct OnnxOptions {
  std::string input = "input";
  std::string output = "output";
  // If given, the graph takes images (N, H, W, 3) of bytes, and prepares them. Their size is the
  // model's: nothing is resized.
  std::optional<OnnxPreprocess> preprocess = {};
  std::map<std::string, std::string> metadata = {};  // class names, ...
};

// The graph of a recorded pass.
template <class T>
class OnnxGraph : public GraphBuilder {
 public:
  explicit OnnxGraph(Tape<T>& tape) : tape_(tape) {}

  // The model as ONNX has it, from `from` to `to`; `name` is the graph's.
  io::ProtobufMessage model(const Variable<T>& from, const Variable<T>& to, std::string_view name,
                            const OnnxOptions& options) {
    add_input(from, options);
    for (const auto& entry : tape_.entries()) add_entry(entry);
    const int result = tape_.id_of(to);
    layer_ = {};
    add_node("Identity", {value(result)}, {}, {options.output});

    graph_.text(2, name);
    graph_.message(12, value_info(options.output, type_of(result), torch_extents(to.shape())));
    io::ProtobufMessage model;
    model.integer(1, 8).text(2, "anther").text(3, version).message(7, graph_);
    model.message(8, io::ProtobufMessage().text(1, "").integer(2, 17));
    for (const auto& [key, text] : options.metadata)
      model.message(14, io::ProtobufMessage().text(1, key).text(2, text));
    detail::check(model.bytes().size() <= std::numeric_limits<std::int32_t>::max(),
                  "ONNX: expected a model of less than 2 GiB, got ", model.bytes().size(),
                  " bytes");
    return model;
  }

  std::string input(int i) override {
    const int id = entry_->input(i);
    return id < 0 ? "" : value(id);
  }

  std::string weight(int i, const Shape& shape) override {
    const Parameter<T> parameter = tape_.parameter_of(entry_->input(i));
    detail::check(static_cast<bool>(parameter), "input ", i,
                  ": expected a parameter; computed weights have no form here");
    const ParameterInfo& info = parameter.info();
    detail::check(without_ones(info.torch_shape()) == without_ones(shape), info.name,
                  ": expected a parameter of PyTorch's shape ", shape, ", got ",
                  info.torch_shape());
    return add_parameter(parameter, shape);
  }

  std::string constant(const Shape& shape, const std::vector<double>& values) override {
    const std::string name = new_name("constant");
    add_initializer(name, shape, float_type, std::vector<float>(values.begin(), values.end()));
    return name;
  }
  std::string constant(const Integers& values) override {
    std::string name = "integers";
    for (const std::int64_t value : values) name += detail::text_of("_", value);
    if (names_.insert(name).second)
      add_initializer(name, {static_cast<std::int64_t>(values.size())}, integer_type, values);
    return name;
  }

  std::vector<std::string> nodes(std::string_view type, const std::vector<std::string>& inputs,
                                 const std::vector<GraphAttribute>& attributes,
                                 int outputs) override {
    std::vector<std::string> results;
    for (int i = 0; i < outputs; ++i) results.push_back(new_name(type));
    add_node(type, inputs, attributes, results);
    return results;
  }

  void output(const std::string& name, int i) override {
    detail::check(i >= 0 && i < entry_->results, "expected a result of 0 to ", entry_->results - 1,
                  ", got ", i);
    values_[entry_->outputs[static_cast<std::size_t>(i)]] = name;
  }

 private:
  static constexpr int float_type = 1, byte_type = 2, integer_type = 7;  // TensorProto.DataType

  int type_of(int id) const { return tape_.holds_integers(id) ? integer_type : float_type; }

  static Shape without_ones(const Shape& shape) {
    Shape rest;
    for (int axis = 0; axis < shape.rank(); ++axis)
      if (shape[axis] != 1) rest.push_back(shape[axis]);
    return rest;
  }

  // The extents of a value in the graph.
  static Integers torch_extents(const Shape& s) {
    if (s.rank() == 4) return {s[0], s[3], s[1], s[2]};
    Integers extents;
    for (int axis = 0; axis < s.rank(); ++axis) extents.push_back(s[axis]);
    return extents;
  }

  std::string new_name(std::string_view type) {
    return unique(layer_.empty() ? std::string(type) : detail::text_of(layer_, "/", type));
  }
  // The name, with a number if it is taken.
  std::string unique(const std::string& first) {
    std::string name = first;
    for (int again = 2; !names_.insert(name).second; ++again)
      name = detail::text_of(first, "_", again);
    return name;
  }

  void add_input(const Variable<T>& from, const OnnxOptions& options) {
    const Shape& shape = from.shape();
    names_.insert({options.input, options.output});
    std::string name = options.input;
    if (!options.preprocess) {
      graph_.message(11, value_info(name, type_of(tape_.id_of(from)), torch_extents(shape)));
    } else {
      detail::check(shape.rank() == 4 && shape[3] == 3,
                    "preprocessing: expected a model of images (N, H, W, 3), got ", shape);
      graph_.message(11, value_info(name, byte_type, {shape[0], shape[1], shape[2], shape[3]}));
      name = add_preprocess(name, *options.preprocess);
    }
    values_[tape_.id_of(from)] = name;
  }

  // x / (255 std) - mean / std
  std::string add_preprocess(const std::string& images, const OnnxPreprocess& preprocess) {
    layer_ = "preprocess";
    std::vector<double> factor, shift;
    for (std::size_t c = 0; c < 3; ++c) {
      const double deviation = static_cast<double>(preprocess.std[c]);
      factor.push_back(1 / (255 * deviation));
      shift.push_back(-static_cast<double>(preprocess.mean[c]) / deviation);
    }
    const std::string levels =
        transpose(node("Cast", {images}, {{"to", float_type}}), {0, 3, 1, 2});
    return node("Add",
                {node("Mul", {levels, constant({3, 1, 1}, factor)}), constant({3, 1, 1}, shift)});
  }

  // The name of a value. A parameter, or a value from outside, becomes an initializer when it is
  // first asked for.
  std::string value(int id) {
    const auto found = values_.find(id);
    if (found != values_.end()) return found->second;
    if (const Parameter<T> parameter = tape_.parameter_of(id))
      return values_[id] = in_graph_order(parameter);
    return add_constant(id);
  }

  // The file has a parameter in PyTorch's order; a node turns it where the graph's is another.
  std::string in_graph_order(const Parameter<T>& parameter) {
    const ParameterInfo& info = parameter.info();
    const std::string name = add_parameter(parameter, info.torch_shape());
    const int rank = info.shape.rank();
    constexpr std::array<int, 4> map_axes = {0, 3, 1, 2};
    Integers axes(static_cast<std::size_t>(rank)), as_it_is = axes;
    for (int i = 0; i < rank; ++i) {
      const auto at = static_cast<std::size_t>(i);
      const int axis = rank == 4 ? map_axes[at] : i;  // on the tape
      as_it_is[at] = i;
      axes[at] = info.torch_order
                     ? axis
                     : std::ranges::find(info.torch_axes, axis) - info.torch_axes.begin();
    }
    return axes == as_it_is ? name : this->transpose(name, axes);
  }

  // A constant of the model's, in the graph's order.
  std::string add_constant(int id) {
    const Shape& shape = tape_.shape_of(id);
    const std::string name = new_name("constant");
    if (tape_.holds_integers(id)) {
      const std::span<const std::int32_t> elements = tape_.integers_of(id);
      add_initializer(name, shape, integer_type, Integers(elements.begin(), elements.end()));
    } else {
      const std::span<const T> elements = tape_.elements_of(id);
      add_initializer(name, shape, float_type,
                      std::vector<float>(elements.begin(), elements.end()));
    }
    return values_[id] = this->graph_order(name, shape);
  }

  static std::vector<double> values_of(const Parameter<T>& parameter) {
    parameter.store->check_readable();
    const std::span<const T> values = std::as_const(*parameter.store).value(parameter.number);
    return {values.begin(), values.end()};
  }

  std::string add_parameter(const Parameter<T>& parameter, const Shape& shape) {
    const ParameterInfo& info = parameter.info();
    const std::string wanted =
        shape == info.torch_shape() ? info.name : detail::text_of(info.name, " ", shape);
    const auto [known, is_new] = parameters_.try_emplace({parameter.store, wanted});
    std::string& name = known->second;
    if (!is_new) return name;
    name = unique(wanted);
    const std::vector<double> values = values_of(parameter);
    std::vector<float> floats(values.size());
    for_each_torch_index(info, [&](std::int64_t torch_index, std::int64_t index) {
      floats[static_cast<std::size_t>(torch_index)] =
          static_cast<float>(values[static_cast<std::size_t>(index)]);
    });
    add_initializer(name, shape, float_type, floats);
    return name;
  }

  template <class Element>
  void add_initializer(const std::string& name, const Shape& shape, int type,
                       const std::vector<Element>& elements) {
    io::ProtobufMessage tensor;
    for (int axis = 0; axis < shape.rank(); ++axis) tensor.integer(1, shape[axis]);
    tensor.integer(2, type).text(8, name);
    tensor.text(
        9, {reinterpret_cast<const char*>(elements.data()), elements.size() * sizeof(Element)});
    graph_.message(5, tensor);
  }

  void add_node(std::string_view type, const std::vector<std::string>& inputs,
                const std::vector<GraphAttribute>& attributes,
                const std::vector<std::string>& outputs) {
    io::ProtobufMessage node;
    // Absent inputs at the end are left out.
    std::size_t count = inputs.size();
    while (count > 0 && inputs[count - 1].empty()) --count;
    for (std::size_t i = 0; i < count; ++i) node.text(1, inputs[i]);
    for (const std::string& name : outputs) node.text(2, name);
    node.text(3, outputs.front()).text(4, type);
    for (const GraphAttribute& attribute : attributes) node.message(5, attribute_of(attribute));
    graph_.message(1, node);
  }

  static io::ProtobufMessage attribute_of(const GraphAttribute& attribute) {
    io::ProtobufMessage message;
    message.text(1, attribute.name);
    constexpr int type = 20, is_float = 1, is_integer = 2, is_text = 3, is_integers = 7;
    if (const auto* number = std::get_if<double>(&attribute.value))
      message.number(2, static_cast<float>(*number)).integer(type, is_float);
    else if (const auto* integer = std::get_if<std::int64_t>(&attribute.value))
      message.integer(3, *integer).integer(type, is_integer);
    else if (const auto* text = std::get_if<std::string>(&attribute.value))
      message.text(4, *text).integer(type, is_text);
    else {
      for (const std::int64_t each : std::get<Integers>(attribute.value)) message.integer(8, each);
      message.integer(type, is_integers);
    }
    return message;
  }

  // The first extent is the batch, which is open.
  static io::ProtobufMessage value_info(std::string_view name, int type, const Integers& extents) {
    io::ProtobufMessage shape;
    for (std::size_t i = 0; i < extents.size(); ++i)
      shape.message(1, i == 0 ? io::ProtobufMessage().text(2, "batch")
                              : io::ProtobufMessage().integer(1, extents[i]));
    const io::ProtobufMessage tensor = io::ProtobufMessage().integer(1, type).message(2, shape);
    return io::ProtobufMessage().text(1, name).message(2, io::ProtobufMessage().message(1, tensor));
  }

  void add_entry(const typename Tape<T>::Entry& entry) {
    entry_ = &entry;
    layer_ = entry.layer;
    const std::string where = entry.where();
    const int result = entry.outputs[0];
    const bool is_view = tape_.root_of(result).id != result;
    const OnnxForm<T> form = onnx_form(*entry.op);
    detail::check(is_view || form != nullptr, where,
                  ": this op has no form in ONNX (exports::add_onnx_form gives it one)");
    try {
      if (is_view) return add_view(entry.input(0), result);
      form(*this, Call<T>(tape_, entry));
      for (int i = 0; i < entry.results; ++i)
        detail::check(values_.count(entry.outputs[static_cast<std::size_t>(i)]) > 0,
                      "its form named no output", i == 0 ? "" : detail::text_of(" ", i));
    } catch (const Error& error) {
      detail::fail(where, ": cannot be exported to ONNX: ", error.what());
    }
  }

  // A view has the elements of x in their order on the tape. That differs from the order in the
  // graph if either of the two is a map.
  void add_view(int from, int to) {
    const Shape &x = tape_.shape_of(from), &y = tape_.shape_of(to);
    const std::int64_t first = tape_.root_of(to).first - tape_.root_of(from).first;
    std::string name = value(from);
    name = this->tape_order(name, x);
    if (y.numel() != x.numel())
      name = add_slice(name, x, y, first);
    else if (x != y)
      name = this->reshape(name, extents_of_view(x, y));
    values_[to] = this->graph_order(name, y);
  }
  // N stays open: the first extent is that of x, or whatever is left.
  static Integers extents_of_view(const Shape& x, const Shape& y) {
    Integers extents;
    for (int axis = 0; axis < y.rank(); ++axis) extents.push_back(y[axis]);
    if (!extents.empty()) extents[0] = x.rank() > 0 && x[0] == y[0] ? 0 : -1;
    return extents;
  }
  // y: rows of x from element `first` on, along the first axis that is longer than 1.
  std::string add_slice(const std::string& name, const Shape& x, const Shape& y,
                        std::int64_t first) {
    int axis = 0;
    while (axis + 1 < x.rank() && x[axis] == 1) ++axis;
    std::int64_t row = 1;
    bool are_rows = x.rank() == y.rank() && x.rank() > 0;
    for (int i = 0; are_rows && i < x.rank(); ++i) {
      are_rows = i == axis || x[i] == y[i];
      if (i > axis) row *= x[i];
    }
    detail::check(are_rows && first % row == 0, "expected a view of all elements, or of rows of ",
                  x, ", got one of ", y, " from element ", first, " on");
    return this->node(
        "Slice", {name, constant(Integers{first / row}), constant(Integers{first / row + y[axis]}),
                  constant(Integers{axis})});
  }

  Tape<T>& tape_;
  io::ProtobufMessage graph_;
  std::set<std::string> names_;
  std::map<int, std::string> values_;  // by id
  // The names of parameters, by the store and the name that they should have.
  std::map<std::pair<const void*, std::string>, std::string> parameters_;
  const typename Tape<T>::Entry* entry_ = nullptr;
  std::string_view layer_;
};

// The bytes of an ONNX file of a model, in evaluation. `input`: the shape of what the model takes,
// channels last: (1, H, W, C) for images.
template <class T>
std::string to_onnx(const Module<T>& model, const Shape& input, const OnnxOptions& options = {}) {
  DryRun<T> pass(model, input);
  OnnxGraph<T> graph(pass.tape);
  return graph.model(pass.input, pass.output, model.type(), options).bytes();
}

// Writes that file, atomically.
template <class T>
void write_onnx(const std::filesystem::path& path, const Module<T>& model, const Shape& input,
                const OnnxOptions& options = {}) {
  io::write_file_atomically(path, to_onnx(model, input, options));
}

}  // namespace anther::inline v0_1::exports
