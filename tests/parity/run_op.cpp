// run_op OP ATTRIBUTES_JSON IN.safetensors OUT.safetensors [--dtype float32|float64]
//
// Runs one op, and its backward where IN has grad_output, on tensors in PyTorch's layouts (NCHW,
// (O, C, kh, kw)), under torch.nn.functional's names: what compare_pytorch.py compares with
// PyTorch.
#include <cstdio>
#include <exception>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "anther/anther.hpp"
#include "anther/core/openmp.hpp"
#include "anther/io/safetensors.hpp"

namespace {

using namespace anther;
using namespace anther::detail;
using namespace anther::io;
using namespace anther::kernels;

using nlohmann::json;

// A tensor with its axes permuted: result axis i is axis order[i].
template <class T>
Tensor<T> permuted(const Tensor<T>& from, const std::vector<int>& order) {
  ParameterInfo info;  // it knows how to walk a permutation
  info.shape = from.shape();
  info.size = from.size();
  info.torch_order = false;
  for (std::size_t i = 0; i < order.size(); ++i) info.torch_axes[i] = order[i];
  Tensor<T> to(info.torch_shape());
  for_each_torch_index(
      info, [&](std::int64_t target, std::int64_t source) { to[target] = from[source]; });
  return to;
}

// Channels first to channels last, and back. Other ranks than 4 with channels second: (N, C, ...).
std::vector<int> channels_last(int rank) {
  std::vector<int> order{0};
  for (int axis = 2; axis < rank; ++axis) order.push_back(axis);
  order.push_back(1);
  return order;
}
std::vector<int> channels_first(int rank) {
  std::vector<int> order{0, rank - 1};
  for (int axis = 1; axis < rank - 1; ++axis) order.push_back(axis);
  return order;
}

Extent2d extent(const json& attributes, const char* name, std::int64_t otherwise) {
  const auto found = attributes.find(name);
  if (found == attributes.end()) return otherwise;
  if (found->is_array())
    return {found->at(0).get<std::int64_t>(), found->at(1).get<std::int64_t>()};
  return found->get<std::int64_t>();
}

template <class T>
class Runner {
 public:
  Runner(std::string op, json attributes, const SafetensorsFile& in)
      : op_(std::move(op)), attributes_(std::move(attributes)), in_(in) {}

  void run() {
    tape_.begin({.training = attributes_.value("training", true)});
    const Variable<T> y = call();
    // Attention's heads and other ops' channels stand elsewhere outside.
    const auto outside = [&](const Tensor<T>& t) { return result_order_ ? result_order_(t) : t; };
    Tensor<T> value(y.shape(), y.value());
    store("output", outside(value));
    if (!in_.find("grad_output")) return;

    // <grad_output, y> is a scalar whose gradient is what is asked for.
    Tensor<T> weight = in_.read<T>("grad_output");
    if (gradient_order_) weight = gradient_order_(weight);
    check(weight.size() == y.shape().numel(), "grad_output: expected ", y.shape(), ", got ",
          weight.shape());
    const Variable<T> loss = weighted_sum<T>(y, static_cast<const Tensor<T>&>(weight).span());
    tape_.backward(loss);
    statistics_store_.commit_buffers();
    for (const auto& [name, input] : inputs_)
      store("grad_" + name,
            input.back(Tensor<T>(input.variable.shape(), input.variable.gradient())));
    for (int i = 0; i < std::ssize(statistics_store_.buffers()); ++i)
      if (attributes_.value("training", false))
        store(statistics_names[i],
              Tensor<T>(statistics_store_.buffers()[static_cast<std::size_t>(i)].shape,
                        std::as_const(statistics_store_).buffer(i)));
  }

  void write(const std::string& path) const {
    std::vector<SafetensorsTensor> tensors;
    for (const auto& [name, tensor] : results_)
      tensors.push_back({.name = name, .shape = tensor.shape(), .values = tensor.span()});
    write_safetensors(path, tensors);
  }

 private:
  using Convert = std::function<Tensor<T>(const Tensor<T>&)>;
  struct Input {
    Variable<T> variable;
    Convert back;
  };

  void store(const std::string& name, const Tensor<T>& tensor) { results_[name] = tensor; }

  // An input as it is; the empty variable where IN has none of the name.
  Variable<T> plain(const std::string& name) {
    return input(
        name, [](const Tensor<T>& t) { return t; }, [](const Tensor<T>& t) { return t; });
  }
  Variable<T> input(const std::string& name, const Convert& in, const Convert& back) {
    if (!in_.find(name)) return {};
    const Variable<T> variable = tape_.input(in(in_.read<T>(name)), true);
    inputs_.push_back({name, {variable, back}});
    return variable;
  }
  Variable<T> ordered(const std::string& name, const std::vector<int>& in,
                      const std::vector<int>& back) {
    return input(
        name, [in](const Tensor<T>& t) { return permuted(t, in); },
        [back](const Tensor<T>& t) { return permuted(t, back); });
  }
  // A map (N, C, ...), and a result that is one too.
  Variable<T> map(const std::string& name) {
    const int rank = in_.entry(name).shape.rank();
    return ordered(name, channels_last(rank), channels_first(rank));
  }
  void result_is_map() {
    result_order_ = [](const Tensor<T>& t) {
      return permuted(t, channels_first(t.shape().rank()));
    };
    gradient_order_ = [](const Tensor<T>& t) {
      return permuted(t, channels_last(t.shape().rank()));
    };
  }

  Variable<T> call() {
    const json& a = attributes_;
    const double eps = a.value("eps", 1e-5);
    if (op_ == "conv2d") return conv2d_call();
    if (op_ == "conv_transpose2d") return conv_transpose2d_call();
    if (op_ == "linear") {
      const Variable<T> x = plain("input"), w = plain("weight"), b = plain("bias");
      return linear(x, w, b);
    }
    if (op_ == "group_norm" || op_ == "instance_norm") {
      result_is_map();
      const Variable<T> x = map("input"), w = plain("weight"), b = plain("bias");
      return op_ == "instance_norm"
                 ? instance_norm(x, w, b, eps)
                 : group_norm(x, a.at("num_groups").get<std::int64_t>(), w, b, eps);
    }
    if (op_ == "layer_norm") {
      const Variable<T> x = plain("input"), w = plain("weight"), b = plain("bias");
      return layer_norm(x, w, b, eps);
    }
    if (op_ == "batch_norm") {
      result_is_map();
      const Variable<T> x = map("input"), w = plain("weight"), b = plain("bias");
      Buffer<T> statistics[2];
      for (const int i : {0, 1}) {
        const char* const name = statistics_names[i];
        statistics[i] = {&statistics_store_,
                         statistics_store_.add_buffer(name, {.shape = w.shape()})};
      }
      for (const int i : {0, 1})
        std::ranges::copy(in_.read<T>(statistics_names[i]).span(),
                          statistics_store_.edit().buffer(i).begin());
      return batch_norm(x, w, b, statistics[0], statistics[1],
                        {.momentum = a.value("momentum", 0.1), .eps = eps});
    }
    if (op_ == "gelu") return gelu(plain("input"));
    if (op_ == "relu") return relu(plain("input"));
    if (op_ == "dropout") return dropout(plain("input"), a.value("p", 0.5));
    if (op_ == "add") {
      const Variable<T> x = plain("input"), other = plain("other");
      return x + other;
    }
    if (op_ == "mul") return plain("input") * a.at("other").get<double>();
    if (op_ == "subsample") {
      result_is_map();
      return subsample(map("input"), a.at("stride").get<std::int64_t>());
    }
    if (op_ == "adaptive_avg_pool2d") {
      check(a.value("output_size", 1) == 1, "adaptive_avg_pool2d: expected output_size 1, got ",
            a.at("output_size").dump());
      result_order_ = [](const Tensor<T>& t) {
        return Tensor<T>({t.shape()[0], t.shape()[1], 1, 1}, t.span());
      };
      return global_average_pool(map("input"));
    }
    if (op_ == "scaled_dot_product_attention") return attention_call();
    if (op_ == "cross_entropy") {
      const Tensor<std::int64_t> target = in_.read<std::int64_t>("target");
      const std::vector<std::int32_t> labels(target.begin(), target.end());
      return cross_entropy<T>(plain("input"), labels,
                              {.label_smoothing = a.value("label_smoothing", 0.0)});
    }
    fail("run_op: unknown op ", op_);
  }

  Variable<T> conv2d_call() {
    result_is_map();
    const Variable<T> x = map("input");
    const Extent2d stride = extent(attributes_, "stride", 1);
    const Extent2d padding = extent(attributes_, "padding", 0);
    const auto groups = attributes_.value("groups", std::int64_t{1});
    const std::int64_t channels = x.shape().back();
    if (groups == channels && in_.entry("weight").shape[0] == channels && channels > 1) {
      const Variable<T> w = ordered("weight", {2, 3, 0, 1}, {2, 3, 0, 1});
      return depthwise_conv2d(x, w, plain("bias"), {.stride = stride, .padding = padding});
    }
    const Variable<T> w = ordered("weight", {0, 2, 3, 1}, {0, 3, 1, 2});
    const Variable<T> b = plain("bias");
    const bool one = w.shape()[1] == 1 && w.shape()[2] == 1;
    if (one && stride == Extent2d{1} && padding == Extent2d{0} && groups == 1)
      return linear(x, w, b);
    return conv2d(x, w, b, {.stride = stride, .padding = padding, .groups = groups});
  }

  Variable<T> conv_transpose2d_call() {
    result_is_map();
    const Variable<T> x = map("input");
    check(attributes_.value("groups", std::int64_t{1}) == x.shape().back() &&
              in_.entry("weight").shape[1] == 1,
          "conv_transpose2d: expected a depth-wise one, groups = ", x.shape().back(), ", got ",
          attributes_.dump());
    const Variable<T> w = ordered("weight", {2, 3, 0, 1}, {2, 3, 0, 1});
    return depthwise_conv_transpose2d(x, w, plain("bias"),
                                      {.stride = extent(attributes_, "stride", 1),
                                       .padding = extent(attributes_, "padding", 0),
                                       .output_padding = extent(attributes_, "output_padding", 0)});
  }

  // (N, heads, L, E) outside, (N, L, heads E) inside.
  Variable<T> attention_call() {
    const std::int64_t heads = in_.entry("query").shape[1];
    const Convert in = [](const Tensor<T>& t) {
      const Tensor<T> p = permuted(t, {0, 2, 1, 3});
      return Tensor<T>({p.shape()[0], p.shape()[1], p.shape()[2] * p.shape()[3]}, p.span());
    };
    const Convert back = [heads](const Tensor<T>& t) {
      const Tensor<T> split({t.shape()[0], t.shape()[1], heads, t.shape()[2] / heads}, t.span());
      return permuted(split, {0, 2, 1, 3});
    };
    result_order_ = back;
    gradient_order_ = in;
    const Variable<T> q = input("query", in, back), k = input("key", in, back),
                      v = input("value", in, back);
    return scaled_dot_product_attention(q, k, v, heads);
  }

  std::string op_;
  json attributes_;
  const SafetensorsFile& in_;
  Tape<T> tape_;
  std::vector<std::pair<std::string, Input>> inputs_;
  static constexpr const char* statistics_names[] = {"running_mean", "running_var"};
  ParameterStore<T> statistics_store_;  // of batch_norm
  Convert result_order_, gradient_order_;
  std::map<std::string, Tensor<T>> results_;
};

template <class T>
void run(const std::vector<std::string>& arguments) {
  const SafetensorsFile in(arguments[2]);
  Runner<T> runner(arguments[0], json::parse(arguments[1]), in);
  runner.run();
  runner.write(arguments[3]);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    std::vector<std::string> arguments(argv + 1, argv + argc);
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
          "[--dtype float32|float64]");
    dtype == "float32" ? run<float>(arguments) : run<double>(arguments);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "run_op: %s\n", error.what());
    return 1;
  }
}
