// run_op OP ATTRIBUTES_JSON IN.safetensors OUT.safetensors [--dtype float32|float64]
// run_op --cases
//
// Runs one op, and its backward where IN has grad_output, on tensors in PyTorch's layouts (NCHW,
// (O, C, kh, kw)), under torch.nn.functional's names: what compare_pytorch.py compares with
// PyTorch. --cases prints the rows of tests/op_cases.hpp as JSON.
#include <cstdio>
#include <exception>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "anther/anther.hpp"
#include "anther/core/openmp.hpp"
#include "anther/io/safetensors.hpp"
#include "tests/op_cases.hpp"

namespace {

using namespace anther;
using namespace anther::detail;
using namespace anther::io;
using namespace op_tests;

using nlohmann::json;

// A tensor with its axes permuted: result axis i is axis order[i].
template <class T>
Tensor<T> permuted(const Tensor<T>& from, const std::vector<int>& order) {
  ParameterInfo info;  // it knows how to walk a permutation of up to four axes
  info.shape = from.shape();
  info.size = from.size();
  info.torch_order = false;
  for (std::size_t i = 0; i < order.size(); ++i) info.torch_axes[i] = order[i];
  Tensor<T> to(info.torch_shape());
  for_each_torch_index(
      info, [&](std::int64_t target, std::int64_t source) { to[target] = from[source]; });
  return to;
}

// From PyTorch's layout to Anther's.
template <class T>
Tensor<T> to_anther(const Tensor<T>& t, Layout layout) {
  if (layout == Layout::plain) return t;
  if (layout == Layout::heads)
    return Tensor<T>(layout_shape(layout, t.shape()), permuted(t, {0, 2, 1, 3}).span());
  return permuted(t, layout_axes(layout, t.shape().rank()));
}
// And back; heads: how many there are.
template <class T>
Tensor<T> to_torch(const Tensor<T>& t, Layout layout, std::int64_t heads) {
  if (layout == Layout::plain) return t;
  const Shape& shape = t.shape();
  if (layout == Layout::heads)
    return permuted(Tensor<T>({shape[0], shape[1], heads, shape[2] / heads}, t.span()),
                    {0, 2, 1, 3});
  const std::vector<int> axes = layout_axes(layout, shape.rank());
  std::vector<int> back(axes.size());
  for (std::size_t i = 0; i < axes.size(); ++i)
    back[static_cast<std::size_t>(axes[i])] = static_cast<int>(i);
  return permuted(t, back);
}

// The arguments from a file.
template <class T>
class FileArguments : public OpArguments<T> {
 public:
  FileArguments(json attributes, const SafetensorsFile& in)
      : OpArguments<T>(std::move(attributes)), in_(in) {}

  void run(const std::string& op) {
    const OpCall& call = op_call(op);
    const bool training = this->flag("training", true);
    tape_.begin({.training = training});
    const Variable<T> y = call(*this);
    store("output", to_torch(Tensor<T>(y.shape(), y.value()), call.result, heads_));
    if (!in_.find("grad_output")) return;

    // <grad_output, y> is a scalar whose gradient is what is asked for.
    const Tensor<T> weight = to_anther(in_.read<T>("grad_output"), call.result);
    check(weight.size() == y.shape().numel(), "grad_output: expected ", y.shape(), ", got ",
          weight.shape());
    tape_.backward(weighted_sum<T>(y, weight.span()));
    for (const auto& [name, input] : inputs_)
      store("grad_" + name, to_torch(Tensor<T>(input.variable.shape(), input.variable.gradient()),
                                     input.layout, heads_));
    for (auto& [name, statistics] : statistics_) {
      statistics.commit_buffers();
      if (training)
        store(name, Tensor<T>(statistics.buffers()[0].shape, std::as_const(statistics).buffer(0)));
    }
  }

  void write(const std::string& path) const {
    std::vector<SafetensorsTensor> tensors;
    for (const auto& [name, tensor] : results_)
      tensors.push_back({.name = name, .shape = tensor.shape(), .values = tensor.span()});
    write_safetensors(path, tensors);
  }

  Variable<T> get(const std::string& name, Layout layout) override {
    if (!in_.find(name)) return {};
    for (const auto& [had, input] : inputs_)
      if (had == name) return input.variable;
    if (layout == Layout::heads) heads_ = shape(name)[1];
    const Variable<T> variable = tape_.input(to_anther(in_.read<T>(name), layout), true);
    inputs_.push_back({name, {variable, layout}});
    return variable;
  }
  std::span<const std::int32_t> integers(const std::string& name) override {
    const Tensor<std::int64_t> values = in_.read<std::int64_t>(name);
    return integers_[name] = std::vector<std::int32_t>(values.begin(), values.end());
  }
  Variable<T> integer_value(const std::string& name) override {
    return tape_.integers(shape(name), integers(name));
  }
  Shape shape(const std::string& name) override { return in_.entry(name).shape; }
  Buffer<T> buffer(const std::string& name) override {
    ParameterStore<T>& store = statistics_[name];
    const Buffer<T> added{&store, store.add_buffer(name, {.shape = shape(name)})};
    std::ranges::copy(in_.read<T>(name).span(), store.edit().buffer(0).begin());
    return added;
  }

 private:
  struct Input {
    Variable<T> variable;
    Layout layout;
  };
  void store(const std::string& name, const Tensor<T>& tensor) { results_[name] = tensor; }

  const SafetensorsFile& in_;
  Tape<T> tape_;
  std::int64_t heads_ = 1;
  std::vector<std::pair<std::string, Input>> inputs_;
  std::map<std::string, std::vector<std::int32_t>> integers_;
  std::map<std::string, ParameterStore<T>> statistics_;  // of batch_norm
  std::map<std::string, Tensor<T>> results_;
};

template <class T>
void run(const std::vector<std::string>& arguments) {
  const SafetensorsFile in(arguments[2]);
  FileArguments<T> call(json::parse(arguments[1]), in);
  call.run(arguments[0]);
  call.write(arguments[3]);
}

void print_cases() {
  json rows = json::array();
  for (const OpCase& row : op_cases()) {
    json inputs = json::object();
    for (const CaseInput& input : row.inputs) {
      inputs[input.name] = json::array();
      for (int axis = 0; axis < input.shape.rank(); ++axis)
        inputs[input.name].push_back(input.shape[axis]);
    }
    rows.push_back({{"op", row.op},
                    {"attributes", json::parse(row.attributes)},
                    {"inputs", inputs},
                    {"low", row.low},
                    {"high", row.high},
                    {"classes", row.classes},
                    {"elementwise", row.elementwise}});
  }
  std::printf("%s\n", rows.dump(1).c_str());
}

}  // namespace

int main(int argc, char** argv) {
  try {
    std::vector<std::string> arguments(argv + 1, argv + argc);
    if (arguments == std::vector<std::string>{"--cases"}) {
      print_cases();
      return 0;
    }
    std::string dtype = "float32";
    for (std::size_t i = 0; i + 1 < arguments.size(); ++i)
      if (arguments[i] == "--dtype") {
        dtype = arguments[i + 1];
        arguments.erase(arguments.begin() + static_cast<std::ptrdiff_t>(i),
                        arguments.begin() + static_cast<std::ptrdiff_t>(i + 2));
        break;
      }
    check(arguments.size() == 4 && (dtype == "float32" || dtype == "float64"),
          "usage: run_op OP ATTRIBUTES_JSON IN.safetensors OUT.safetensors "
          "[--dtype float32|float64], or run_op --cases");
    dtype == "float32" ? run<float>(arguments) : run<double>(arguments);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "run_op: %s\n", error.what());
    return 1;
  }
}
