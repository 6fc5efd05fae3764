// run_onnx_ops FOLDER
//
// Writes small models of all ops that can be exported, EdgeViT's and others, on maps, tokens, rows
// and volumes, and of each row of tests/op_cases.hpp: NAME.onnx, and NAME.safetensors with an input
// of three samples and the engine's output, both in the graph's order. What compare_onnx.py runs.
#include <cstdio>
#include <exception>
#include <filesystem>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <utility>

#include "anther/anther.hpp"
#include "anther/export/onnx.hpp"
#include "anther/io/safetensors.hpp"
#include "tests/op_case_module.hpp"
#include "tests/parity/channels.hpp"
#include "tests/token_model.hpp"

namespace {

using namespace anther;
using namespace anther::detail;
using namespace anther::exports;
using namespace anther::io;
using namespace anther::kernels;

// A function as a layer.
template <class T>
class Apply : public Module<T> {
 public:
  Apply(const Scope<T>& scope, std::function<Variable<T>(Variable<T>)> function)
      : Module<T>(scope, "Apply"), function_(std::move(function)) {}
  Variable<T> forward(Variable<T> x) const override { return function_(x); }

 private:
  std::function<Variable<T>(Variable<T>)> function_;
};

using V = Variable<float>;

void convolutions(Sequential<float>& net) {
  net.add<Conv2d>(4, 8, Conv2dLayerOptions{.kernel_size = {3, 2}, .stride = {2, 1}, .padding = 1})
      .add<Apply>([](V x) { return relu(x); })
      .add<Conv2d>(8, 6, Conv2dLayerOptions{.kernel_size = 3, .padding = {0, 1}, .groups = 2})
      .add<Conv2d>(6, 6,
                   Conv2dLayerOptions{.kernel_size = 3, .stride = 2, .padding = 1, .groups = 6})
      .add<Conv2d>(6, 5, Conv2dLayerOptions{.bias = false})
      .add<ConvTranspose2d>(
          5, 5,
          ConvTranspose2dLayerOptions{.kernel_size = 3, .stride = 2, .padding = 1, .groups = 5})
      .add<ConvTranspose2d>(
          5, 5,
          ConvTranspose2dLayerOptions{.kernel_size = 2, .stride = 2, .groups = 5, .bias = false});
}

void resizes(Sequential<float>& net) {
  net.add<ConvTranspose2d>(4, 6,
                           ConvTranspose2dLayerOptions{.kernel_size = {3, 2},
                                                       .stride = {2, 3},
                                                       .padding = {1, 0},
                                                       .output_padding = {1, 2},
                                                       .groups = 2,
                                                       .dilation = {1, 2}})
      .add<Upsample>(InterpolateOptions{.scale_factor = 2.0})
      .add<Upsample>(InterpolateOptions{.size = {17, 25}})
      .add<Upsample>(InterpolateOptions{.size = {20, 9}, .mode = InterpolateMode::bilinear})
      .add<Upsample>(InterpolateOptions{
          .size = {9, 20}, .mode = InterpolateMode::bilinear, .align_corners = true})
      .add<Upsample>(
          InterpolateOptions{.scale_factor = {1.7, 0.6}, .mode = InterpolateMode::bilinear});
}

void sequences(Sequential<float>& net) {
  net.add<Conv1d>(4, 6, Conv1dLayerOptions{.kernel_size = 3, .padding = 2, .dilation = 2})
      .add<Conv1d>(6, 9, Conv1dLayerOptions{.kernel_size = 2, .stride = 2, .groups = 3})
      .add<Conv1d>(9, 5, Conv1dLayerOptions{.bias = false});
}

void pools(Sequential<float>& net) {
  net.add<MaxPool2d>(3, MaxPool2dOptions{.stride = 1, .padding = 1})
      .add<Conv2d>(4, 5,
                   Conv2dLayerOptions{.kernel_size = 3, .padding = {2, 3}, .dilation = {2, 3}})
      .add<MaxPool2d>(
          Extent2d{2, 3},
          MaxPool2dOptions{
              .stride = {2, 1}, .padding = {1, 2}, .dilation = {3, 2}, .ceil_mode = true})
      .add<AdaptiveAvgPool2d>(Extent2d{14, 13})
      .add<AvgPool2d>(3, AvgPool2dOptions{.stride = 2, .padding = 1, .ceil_mode = true})
      .add<Apply>([](V x) {
        return avg_pool2d(x, {2, 3}, {.stride = 1, .padding = 1, .count_include_pad = false});
      })
      .add<AvgPool2d>(Extent2d{3, 2}, AvgPool2dOptions{.ceil_mode = true})
      .add<AdaptiveAvgPool2d>(1);
}

void maps(Sequential<float>& net) {
  net.add<GroupNorm>(2, 4)
      .add<Apply>([](V x) { return group_norm(x, 4) + instance_norm(x); })
      .add<LayerNorm>(4)
      .add<BatchNorm2d>(4)
      .add<InstanceNorm2d>(4)
      .add<RMSNorm>(4, 1e-6)
      .add<Apply>([](V x) { return subsample(gelu(x) * 0.7 + layer_norm(x), 2); })
      .add<Linear>(4, 12)
      .add<Apply>([](V x) { return self_attention(x, 2); })
      .add<Apply>([](V x) { return global_average_pool(x); });
}

void tokens(Sequential<float>& net) {
  net.add<LayerNorm>(4)
      .add<RMSNorm>(4)
      .add<GroupNorm>(2, 4)
      .add<BatchNorm2d>(4)
      .add<Linear>(4, 24)
      .add<Apply>([](V x) { return self_attention(x, 2); })
      .add<Linear>(8, 8, LinearOptions{.bias = false})
      .add<Apply>([](V x) { return x + scaled_dot_product_attention(x, gelu(x), x * 0.3, 4); })
      .add<Apply>([](V x) { return matmul(narrow(x, 2, 0, 6), x); })
      .add<MultiheadAttention>(8, 2, MultiheadAttentionOptions{.is_causal = true})
      .add<GRU>(8, 5)
      .add<LSTM>(5, 8, RecurrentOptions{.num_layers = 2})
      .add<Apply>([](V x) {
        const V part = narrow(x, 1, 0, 4), mask = narrow(x, 2, 0, 4);
        return x + scaled_dot_product_attention(
                       x, part, part, 2,
                       {.attn_mask = reshape(mask, {x.shape()[0], 1, 6, 4}), .is_causal = true});
      });
}

void shapes(Sequential<float>& net) {
  net.add<Linear>(4, 6)
      .add<Apply>([](V x) {
        const auto parts = split(x, {1, 2, 3}, -1);
        return cat({parts[2], narrow(x, 3, 1, 4), parts[0]}, -1);
      })
      .add<Apply>([](V x) {
        return cat({narrow(x, 1, 1, 2), narrow(softmax(x), 1, 0, 2)}, 2);
      })
      .add<Apply>([](V x) { return x + softmax(x, 1) + log_softmax(x, 2) + log_softmax(x); })
      .add<Apply>([](V x) { return flatten(x); })
      .add<Linear>(96, 24)
      .add<Apply>([](V x) {
        return reshape(x, {x.shape()[0], 2, 3, 4});
      })
      .add<Conv2d>(4, 5, Conv2dLayerOptions{.kernel_size = 2})
      .add<Apply>([](V x) {
        return reshape(x, {x.shape()[0] * 2, 5});
      })
      .add<LayerNorm>(5)
      .add<Apply>([](V x) {
        return reshape(x, {x.shape()[0] / 2, 2, 5});
      })
      .add<Apply>([](V x) { return narrow(softmax(x), 1, 1, 1); });
}

// A sequence of maps: more axes than a map has.
void volumes(Sequential<float>& net) {
  net.add<Linear>(4, 8)
      .add<GroupNorm>(2, 8)
      .add<BatchNorm2d>(8)
      .add<LayerNorm>(8)
      .add<Apply>([](V x) { return instance_norm(relu(x)); })
      .add<Linear>(8, 12)
      .add<Apply>([](V x) { return self_attention(x, 2); });
}

void rows(Sequential<float>& net) {
  net.add<Linear>(4, 12)
      .add<Apply>([](V x) { return gelu(x); })
      .add<GroupNorm>(3, 12)
      .add<LayerNorm>(12)
      .add<BatchNorm2d>(12)
      .add<Apply>([](V x) { return x + relu(x); })
      .add<Linear>(12, 5, LinearOptions{.bias = false});
}

// Masks that hide all keys from some queries; the last does so together with the causal order.
void masks(Sequential<float>& net) {
  net.add<Linear>(4, 8).add<Apply>([](V x) {
    constexpr float hidden = -std::numeric_limits<float>::infinity();
    const float added[] = {hidden, 1, 0, hidden, hidden, hidden, 0, hidden, 2};
    const std::int32_t kept[] = {0, 0, 0, 1, 0, 1, 0, 0, 1};
    Tape<float>& tape = x.tape();
    return scaled_dot_product_attention(x, x, x, 2, {.attn_mask = tape.input({3, 3}, added)}) +
           scaled_dot_product_attention(x, x, x, 2, {.attn_mask = tape.integers({3, 3}, kept)}) +
           scaled_dot_product_attention(
               x, x, x, 2,
               {.attn_mask = tape.input({1, 3}, std::span(added).first(3)), .is_causal = true});
  });
}

// Parameters that stand beside maps: one as it is on the tape, one in PyTorch's order.
template <class T>
class MapParameters : public Module<T> {
 public:
  explicit MapParameters(const Scope<T>& scope)
      : Module<T>(scope, "MapParameters"),
        plain_(scope.parameter("plain", {.shape = {1, 3, 4, 5}, .init = Init::normal(1)})),
        turned_(scope.parameter("turned", {.shape = {1, 3, 4, 5},
                                           .torch_axes = {0, 3, 1, 2},
                                           .torch_order = false,
                                           .init = Init::normal(1)})) {}
  Variable<T> forward(Variable<T> x) const override {
    const V p = x.tape().parameter(plain_), q = x.tape().parameter(turned_);
    const V both = cat({sigmoid(p), softmax(q, 1)}, 3);
    x = (x + p) * narrow(both, 3, 2, 5) - matmul(matmul(x, transpose(q, 2, 3)), p);
    return reshape(x, {x.shape()[0], 1, 3, 4, 5}) * q - reshape(p, {3, 4, 5}) * sigmoid(q);
  }

 private:
  Parameter<T> plain_, turned_;
};
void parameters(Sequential<float>& net) {
  net.add<MapParameters>();
}

// The elements in the graph's order, with the graph's shape.
Tensor<float> in_graph(const Tensor<float>& x) {
  return x.shape().rank() == 4 ? nchw_of(x) : Tensor<float>(x.shape(), x.span());
}

void write_pair(const std::filesystem::path& path, const Tensor<float>& input,
                const Tensor<float>& output) {
  const SafetensorsTensor tensors[] = {
      {.name = "input", .shape = input.shape(), .values = input.span()},
      {.name = "output", .shape = output.shape(), .values = output.span()}};
  write_safetensors(path, tensors);
}

void write(const std::filesystem::path& folder, const std::string& name, Shape shape,
           void (*build)(Sequential<float>&)) {
  ParameterStore<float> store;
  Sequential<float> net(store);
  build(net);
  store.initialize(1);
  const auto shake = [&](const std::string& of, std::span<float> values) {
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] += static_cast<float>(0.5 * uniform(RandomKey(2).fold(of), i));
  };
  {
    const auto edit = store.edit();
    for (std::size_t i = 0; i < store.parameters().size(); ++i)
      shake(store.parameters()[i].name, edit.value(static_cast<int>(i)));
    for (std::size_t i = 0; i < store.buffers().size(); ++i)
      shake(store.buffers()[i].name, edit.buffer(static_cast<int>(i)));
  }
  write_onnx(folder / (name + ".onnx"), net, shape);

  shape[0] = 3;
  Tensor<float> x(shape);
  for (std::int64_t i = 0; i < x.size(); ++i)
    x[i] = static_cast<float>(normal(RandomKey(3), static_cast<std::uint64_t>(i)));
  Tape<float> tape;
  tape.begin({.training = false});
  const V y = net(tape.input(x));
  write_pair(folder / (name + ".safetensors"), in_graph(x),
             in_graph(Tensor<float>(y.shape(), y.value())));
}

// A model of integers.
void write_token_model(const std::filesystem::path& folder) {
  ParameterStore<float> store;
  const token_test::TokenModel model(store);
  store.initialize(1);
  write_onnx(folder / "token_ids.onnx", model, {1, 6});
  const std::vector<std::int32_t> ids = token_test::token_ids(18);
  Tape<float> tape;
  tape.begin({.training = false});
  const V y = model(tape.integers({3, 6}, ids));
  const std::vector<std::int64_t> input(ids.begin(), ids.end());
  const SafetensorsTensor tensors[] = {
      {.name = "input", .shape = {3, 6}, .values = std::span<const std::int64_t>(input)},
      {.name = "output", .shape = y.shape(), .values = y.value()}};
  write_safetensors(folder / "token_ids.safetensors", tensors);
}

// A row of tests/op_cases.hpp.
void write_case(const std::filesystem::path& folder, int number, const op_tests::OpCase& row) {
  ParameterStore<float> store;
  const op_tests::CaseModule net{Scope<float>(store), row};
  net.write_values(store.edit());
  const Shape shape = net.input().shape();
  const std::string name = text_of("op ", number / 10, number % 10, " ", row.op);
  write_onnx(folder / (name + ".onnx"), net, shape);
  Tape<float> tape;
  tape.begin({.training = false});
  const V y = net(tape.input(net.input()));
  write_pair(folder / (name + ".safetensors"), in_graph(net.input()),
             in_graph(Tensor<float>(y.shape(), y.value())));
}

}  // namespace

int main(int argc, char** argv) {
  try {
    check(argc == 2, "expected a folder");
    const std::filesystem::path folder(argv[1]);
    write(folder, "convolutions", {1, 11, 9, 4}, convolutions);
    write(folder, "pools", {1, 13, 12, 4}, pools);
    write(folder, "resizes", {1, 5, 4, 4}, resizes);
    write(folder, "sequences", {1, 11, 4}, sequences);
    write(folder, "maps", {1, 7, 5, 4}, maps);
    write(folder, "tokens", {1, 6, 4}, tokens);
    write(folder, "shapes", {1, 4, 3, 4}, shapes);
    write(folder, "volumes", {1, 2, 3, 5, 4}, volumes);
    write(folder, "rows", {1, 4}, rows);
    write(folder, "masks", {1, 3, 4}, masks);
    write(folder, "parameters", {1, 3, 4, 5}, parameters);
    write_token_model(folder);
    int number = 0;
    for (const op_tests::OpCase& row : op_tests::op_cases())
      if (row.exported) write_case(folder, number++, row);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "run_onnx_ops: %s\n", error.what());
    return 1;
  }
}
