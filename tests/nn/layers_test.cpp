// The layers themselves: names, shapes, starts, Sequential and AnyModule, the drops. What they
// compute is tested with the ops and the models.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "anther/autograd/gradient_check.hpp"
#include "anther/nn/activation.hpp"
#include "anther/nn/attention.hpp"
#include "anther/nn/conv.hpp"
#include "anther/nn/drop.hpp"
#include "anther/nn/embedding.hpp"
#include "anther/nn/linear.hpp"
#include "anther/nn/module.hpp"
#include "anther/nn/norm.hpp"
#include "anther/nn/summary.hpp"
#include "anther/ops/activation.hpp"
#include "anther/ops/arithmetic.hpp"
#include "anther/optim/sgd.hpp"
#include "tests/decimal_comma.hpp"
#include "tests/io/temporary_folder.hpp"

namespace {

using namespace anther;
using namespace anther::detail;
using namespace anther::kernels;

const ParameterInfo& info_of(const ParameterStore<float>& store, const std::string& name) {
  for (const ParameterInfo& info : store.parameters())
    if (info.name == name) return info;
  fail("no parameter ", name);
}

std::vector<std::string> names_of(const ParameterStore<float>& store) {
  std::vector<std::string> names;
  for (const ParameterInfo& info : store.parameters()) names.push_back(info.name);
  return names;
}

// The values fill +-bound: none beyond, some near, mean about 0.
void check_uniform(const ParameterStore<float>& store, const std::string& name, double bound) {
  CAPTURE(name);
  const ParameterInfo& info = info_of(store, name);
  const std::span<const float> values =
      store.slice_of(store.values(), static_cast<int>(&info - store.parameters().data()));
  double greatest = 0, mean = 0;
  for (const float value : values) {
    greatest = std::max(greatest, std::abs(static_cast<double>(value)));
    mean += static_cast<double>(value) / static_cast<double>(values.size());
  }
  CHECK(greatest <= bound * (1 + 1e-7));
  CHECK(greatest > bound * (1 - 8.0 / static_cast<double>(values.size())));
  CHECK(std::abs(mean) < 3 * bound / std::sqrt(static_cast<double>(values.size())));
}

TEST_CASE("layers: PyTorch's names, shapes and default start") {
  ParameterStore<float> store;
  const Scope<float> root(store);
  const Linear<float> linear(root / "linear", 20, 30);
  const Conv2d<float> conv(root / "conv", 6, 32, {.kernel_size = {3, 5}, .groups = 2});
  const Conv2d<float> pointwise(root / "pointwise", 24, 48, {.bias = false});
  const Conv2d<float> depthwise(root / "depthwise", 64, 64, {.kernel_size = 5, .groups = 64});
  const ConvTranspose2d<float> spread(root / "spread", 64, 64, {.kernel_size = 2, .groups = 64});
  const std::vector<std::string> expected = {
      "linear.weight",    "linear.bias",    "conv.weight",   "conv.bias",  "pointwise.weight",
      "depthwise.weight", "depthwise.bias", "spread.weight", "spread.bias"};
  CHECK(names_of(store) == expected);
  CHECK_FALSE(pointwise.bias);
  CHECK(linear.weight.info().name == "linear.weight");

  struct Row {
    const char* name;
    Shape shape, torch_shape;
    double bound;  // 1 / sqrt(fan_in)
    bool decay;
  };
  const Row rows[] = {
      {"linear.weight", {30, 20}, {30, 20}, 1 / std::sqrt(20), true},
      {"linear.bias", {30}, {30}, 1 / std::sqrt(20), false},
      {"conv.weight", {32, 3, 5, 3}, {32, 3, 3, 5}, 1 / std::sqrt(45), true},
      {"conv.bias", {32}, {32}, 1 / std::sqrt(45), false},
      {"pointwise.weight", {48, 1, 1, 24}, {48, 24, 1, 1}, 1 / std::sqrt(24), true},
      {"depthwise.weight", {5, 5, 64, 1}, {64, 1, 5, 5}, 1 / std::sqrt(25), true},
      {"depthwise.bias", {64}, {64}, 1 / std::sqrt(25), false},
      {"spread.weight", {2, 2, 64, 1}, {64, 1, 2, 2}, 0.5, true},
      {"spread.bias", {64}, {64}, 0.5, false},
  };
  store.initialize(4);
  for (const Row& row : rows) {
    CAPTURE(row.name);
    const ParameterInfo& info = info_of(store, row.name);
    CHECK(info.shape == row.shape);
    CHECK(info.torch_shape() == row.torch_shape);
    CHECK(info.decay == row.decay);
    check_uniform(store, row.name, row.bound);
  }
}

TEST_CASE("multi-head attention: PyTorch's names and start") {
  ParameterStore<float> store;
  const MultiheadAttention<float> attention(Scope<float>(store) / "attn", 24, 4);
  CHECK(names_of(store) == std::vector<std::string>{"attn.in_proj_weight", "attn.out_proj.weight",
                                                    "attn.out_proj.bias", "attn.in_proj_bias"});
  store.initialize(4);
  check_uniform(store, "attn.in_proj_weight", std::sqrt(6.0 / (24 + 72)));  // Xavier's
  check_uniform(store, "attn.out_proj.weight", 1 / std::sqrt(24));
  for (const char* bias : {"attn.in_proj_bias", "attn.out_proj.bias"})
    for (const float value : store.slice_of(
             store.values(), static_cast<int>(&info_of(store, bias) - store.parameters().data())))
      CHECK(value == 0);
}

TEST_CASE("layers: a start of one's own") {
  ParameterStore<float> store;
  const Linear<float> linear(store, 3, 4,
                             {.weight_init = Init::constant(2), .bias_init = Init::constant(-1)});
  const Conv2d<float> conv(Scope<float>(store) / "conv", 3, 4,
                           {.weight_init = Init::constant(5), .bias_init = Init::constant(6)});
  store.initialize(1);
  CHECK(store.value(linear.weight.number)[11] == 2);
  CHECK(store.value(linear.bias.number)[3] == -1);
  CHECK(store.value(conv.weight.number)[11] == 5);
  CHECK(store.value(conv.bias.number)[3] == 6);
}

TEST_CASE("layers: one input alone, and none") {
  ParameterStore<float> store;
  const Scope<float> root(store);
  const Linear<float> one(root / "one", 1, 40), none(root / "none", 0, 3);
  store.initialize(1);
  check_uniform(store, "one.weight", 1);
  for (const float bias : std::as_const(store).value(none.bias.number)) CHECK(bias == 0);
}

TEST_CASE("layers: a 1x1 convolution with a border, steps or groups is none of pixels alone") {
  ParameterStore<float> store;
  const Scope<float> root(store);
  const Conv2d<float> border(root / "border", 4, 6, {.padding = 1}),
      steps(root / "steps", 4, 6, {.stride = 2}), groups(root / "groups", 4, 6, {.groups = 2});
  store.initialize(1);
  Tape<float> tape;
  const Variable<float> x = tape.input(Tensor<float>({1, 5, 5, 4}));
  CHECK(border(x).shape() == Shape{1, 7, 7, 6});
  CHECK(steps(x).shape() == Shape{1, 3, 3, 6});
  CHECK(groups(x).shape() == Shape{1, 5, 5, 6});
}

TEST_CASE("layers: what cannot be built is refused, with the layer's path") {
  ParameterStore<float> store;
  const Scope<float> scope = Scope<float>(store) / "stem" / 0;
  CHECK(contains(error_of([&] { Conv2d<float>(scope, 6, 8, {.groups = 4}); }),
                 "stem.0: expected a number of groups that divides 6 and 8 channels, got 4"));
  CHECK(contains(error_of([&] { Conv2d<float>(scope, 6, 8, {.groups = 0}); }), "got 0"));
  CHECK(contains(error_of([&] { ConvTranspose2d<float>(scope, 6, 8, {.groups = 4}); }),
                 "stem.0: expected a number of groups that divides 6 and 8 channels, got 4"));
  CHECK(contains(error_of([&] { Dropout<float>(scope, 1); }), "stem.0: expected a dropout"));
  CHECK(contains(error_of([&] { DropPath<float>(scope, -0.1); }), "stem.0: expected a drop path"));
  for (const int row : {-1, 5})
    CHECK(contains(error_of([&] { Embedding<float>(scope / row, 5, 3, {.padding_idx = row}); }),
                   text_of("stem.0.", row, ": expected a padding_idx of 0 to 4, got ", row)));
}

TEST_CASE("layers: a weight that two ops read differently") {
  // As (O, C) by a fully connected layer, as (O, 1, 1, C / groups) by a convolution: what is kept
  // packed for the one is not for the other.
  ParameterStore<float> store;
  const Parameter<float> weight{
      &store, store.add_parameter("w", {.shape = {4, 1, 1, 2}, .init = Init::normal(1)})};
  store.initialize(1);
  const std::vector<float> row = {1, 2, 3, 4}, weights = {1, 2, 3, 4, 5, 6, 7, 8};
  // Values and gradients of both, with a parameter or with an input of its values.
  const auto run = [&](bool as_parameter) {
    Tape<float> tape;
    tape.begin();
    const Variable<float> w = as_parameter
                                  ? tape.parameter(weight)
                                  : tape.input(weight.info().shape, store.value(weight.number));
    const Variable<float> x = tape.input({2, 2}, row, true),
                          wide = tape.input({1, 1, 1, 4}, row, true);
    const Variable<float> a = linear(x, w), b = conv2d(wide, w, {}, {.groups = 2});
    tape.backward(weighted_sum<float>(a, weights) +
                  weighted_sum<float>(b, std::span(weights).first(4)));
    std::vector<float> all;
    for (const auto& part : {a.value(), b.value(), x.gradient(), wide.gradient()})
      all.insert(all.end(), part.begin(), part.end());
    return all;
  };
  CHECK(run(true) == run(false));
}

// A layer without parameters.
template <class T>
struct Gelu : Module<T> {
  explicit Gelu(const Scope<T>& scope) : Module<T>(scope, "Gelu") {}
  Variable<T> forward(Variable<T> x) const override { return gelu(x); }
};

TEST_CASE("sequential: layers are named by their numbers and run in order") {
  ParameterStore<float> store;
  Sequential<float> net(Scope<float>(store) / "mlp");
  net.add<Linear>(4, 16).add<Gelu>().add<Linear>(16, 3, LinearOptions{.bias = false});
  CHECK(names_of(store) == std::vector<std::string>{"mlp.0.weight", "mlp.0.bias", "mlp.2.weight"});
  store.initialize(1);
  Tape<float> tape;
  tape.begin();
  CHECK(net(tape.input(Tensor<float>({5, 4}))).shape() == Shape{5, 3});
  REQUIRE(tape.layer_calls().size() == 4);
  CHECK(tape.layer_calls()[1].path == "mlp.1");
  CHECK(tape.layer_calls()[3].path == "mlp");
  CHECK(contains(error_of([&] {
                   (void)net(tape.input(Tensor<float>({5, 3})));
                 }),
                 "mlp.0: expected 4 input channels, got 3"));

  ParameterStore<float> root;
  Sequential<float> outermost(root);
  outermost.add<Linear>(4, 4);
  CHECK(root.parameters()[0].name == "0.weight");
}

TEST_CASE("activations: an option that is left out has the function's default") {
  ParameterStore<float> store;
  const Scope<float> scope(store);
  Tape<float> tape;
  tape.begin();
  const float numbers[] = {-3, -0.5f, 0.5f, 30};
  const Variable<float> x = tape.input({4}, numbers);
  const auto check = [&](const Module<float>& layer, const Variable<float>& expected) {
    const std::span<const float> y = layer(x).value(), by_hand = expected.value();
    CHECK(std::vector<float>(y.begin(), y.end()) ==
          std::vector<float>(by_hand.begin(), by_hand.end()));
  };
  check(Softplus<float>(scope, {}), softplus(x));
  check(Softplus<float>(scope, {2}), softplus(x, 2.0));
  check(Softplus<float>(scope, {2, 3}), softplus(x, 2.0, 3.0));
  check(ELU<float>(scope, {}), elu(x));
  check(ELU<float>(scope, {0.5}), elu(x, 0.5));
  check(LeakyReLU<float>(scope, {}), leaky_relu(x));
  check(LeakyReLU<float>(scope, {0.1}), leaky_relu(x, 0.1));
  Sequential<float> net(scope / "net");
  net.add<Softplus>(SoftplusOptions{.beta = 2});
  check(net, softplus(x, 2.0));
}

TEST_CASE("any module: an absent layer does nothing") {
  ParameterStore<float> store;
  const AnyModule<float> absent, nothing = std::unique_ptr<Linear<float>>(),
                                 layer = std::make_unique<Linear<float>>(store, 4, 3);
  store.initialize(1);
  CHECK_FALSE(absent);
  CHECK_FALSE(nothing);
  CHECK(layer);
  Tape<float> tape;
  tape.begin();
  const Variable<float> x = tape.input(Tensor<float>({5, 4}));
  CHECK(absent(x).value().data() == x.value().data());
  CHECK(tape.entries().empty());
  CHECK(tape.layer_calls().empty());
  CHECK(layer(x).shape() == Shape{5, 3});
}

// What a drop layer makes of ones, a row a sample.
template <class Layer>
std::vector<float> drop_ones(const Layer& layer, const Shape& shape, const TapeOptions& options) {
  Tape<float> tape;
  tape.begin(options);
  Tensor<float> ones(shape);
  std::fill(ones.begin(), ones.end(), 1.0f);
  const Variable<float> y = layer(tape.input(ones));
  return {y.value().begin(), y.value().end()};
}
TapeOptions at_step(std::uint64_t step, std::int64_t first_sample = 0) {
  return {.random = RandomKey(5).fold(step), .first_sample = first_sample};
}

// The share of what is kept, and whether everything is 0 or 1 / (1 - p).
void check_kept(const std::vector<float>& y, double p) {
  const float kept = static_cast<float>(1 / (1 - p));
  std::int64_t count = 0;
  for (const float value : y) {
    if (value == kept)
      ++count;
    else
      REQUIRE(value == 0);
  }
  const auto size = static_cast<double>(y.size());
  CHECK(std::abs(static_cast<double>(count) - size * (1 - p)) < 5 * std::sqrt(size * p * (1 - p)));
}

TEST_CASE("dropout drops elements, drop path samples; what is kept is scaled") {
  ParameterStore<float> store;
  const Scope<float> root(store);
  for (const double p : {0.1, 0.3, 0.75}) {
    CAPTURE(p);
    const Dropout<float> dropout(root / "a", p), second(root / "b", p);
    const DropPath<float> path(root / "a", p);
    const Shape shape = {500, 3, 7};
    const auto elements = drop_ones(dropout, shape, at_step(1));
    check_kept(elements, p);
    const auto samples = drop_ones(path, shape, at_step(1));
    std::vector<float> firsts;
    for (std::size_t n = 0; n < 500; ++n) {
      const auto begin = samples.begin() + static_cast<std::ptrdiff_t>(n * 21);
      CHECK(std::count(begin, begin + 21, *begin) == 21);  // all of a sample or nothing
      firsts.push_back(*begin);
    }
    check_kept(firsts, p);

    // The same again at the same step; other ones at another step, in another layer.
    CHECK(drop_ones(dropout, shape, at_step(1)) == elements);
    CHECK(drop_ones(path, shape, at_step(1)) == samples);
    CHECK(drop_ones(dropout, shape, at_step(2)) != elements);
    CHECK(drop_ones(path, shape, at_step(2)) != samples);
    CHECK(drop_ones(second, shape, at_step(1)) != elements);
    // A sample's draws are its own, in whichever micro-batch it comes.
    const auto tail = drop_ones(dropout, {100, 3, 7}, at_step(1, 400));
    CHECK(std::equal(tail.begin(), tail.end(), elements.end() - 2100));
    const auto path_tail = drop_ones(path, {100, 3, 7}, at_step(1, 400));
    CHECK(std::equal(path_tail.begin(), path_tail.end(), samples.end() - 2100));
  }
}

TEST_CASE("drops: nothing in evaluation or at p = 0; two calls of a layer draw twice") {
  ParameterStore<float> store;
  const Dropout<float> dropout(store, 0.5), none(store, 0);
  const DropPath<float> path(store, 0.5), no_path(store, 0);
  const std::vector<float> ones(40, 1.0f);
  CHECK(drop_ones(dropout, {10, 4}, {.training = false}) == ones);
  CHECK(drop_ones(path, {10, 4}, {.training = false}) == ones);
  CHECK(drop_ones(none, {10, 4}, {}) == ones);
  CHECK(drop_ones(no_path, {10, 4}, {}) == ones);

  Tape<float> tape;
  tape.begin();
  Tensor<float> x({40, 1});
  std::fill(x.begin(), x.end(), 1.0f);
  const Variable<float> in = tape.input(x);
  const Variable<float> a = dropout(in), b = dropout(in), c = path(in), d = path(in);
  CHECK_FALSE(std::ranges::equal(a.value(), b.value()));
  CHECK_FALSE(std::ranges::equal(c.value(), d.value()));
}

TEST_CASE("batch norm: the natural loop trains it, and evaluates by what it has learnt") {
  ParameterStore<float> store;
  const BatchNorm2d<float> norm(store, 2);
  store.initialize(1);
  CHECK(store.couples_samples());
  SGD<float> sgd(store);
  Tape<float> tape;
  Tensor<float> x({64, 2});
  for (std::int64_t i = 0; i < x.size(); ++i)
    x[i] = 5 + 2 * static_cast<float>(normal(RandomKey(1), static_cast<std::uint64_t>(i)));
  const std::vector<float> ones(128, 1.0f);
  for (int step = 0; step < 60; ++step) {
    tape.begin();
    const Variable<float> loss = weighted_sum<float>(norm(tape.input(x)), ones);
    tape.zero_gradients();
    tape.backward(loss);
    sgd.step(tape, 0);
    // With the step, not with the next pass: whoever saves now has it.
    if (step == 0) CHECK(std::as_const(store).buffer(0)[0] == doctest::Approx(0.5).epsilon(0.1));
  }
  // Without a word about statistics, the same batch is normalised in evaluation as in training.
  Tape<float> other;
  other.begin({.training = false});
  double sum = 0, squares = 0;
  for (const float y : norm(other.input(x)).value()) {
    sum += static_cast<double>(y) / 128;
    squares += static_cast<double>(y) * static_cast<double>(y) / 128;
  }
  CHECK(sum == doctest::Approx(0).epsilon(0.05));
  CHECK(squares == doctest::Approx(1).epsilon(0.05));
}

TEST_CASE("embedding: the row of padding starts as zeros") {
  ParameterStore<float> store;
  const Scope<float> scope(store);
  const Embedding<float> table(scope / "table", 5, 3, {.padding_idx = 3});
  store.initialize(1);
  const std::span<const float> weight = table.weight.store->value(table.weight.number);
  for (std::size_t i = 0; i < weight.size(); ++i) CHECK((weight[i] == 0) == (i / 3 == 3));
}

TEST_CASE("summary: every layer's shapes, parameters and multiply-accumulates, as text") {
  ParameterStore<float> store;
  Sequential<float> net(store);
  net.add<Conv2d>(3, 8, Conv2dLayerOptions{.kernel_size = 3, .stride = 2, .padding = 1});
  net.add<Conv2d>(8, 8, Conv2dLayerOptions{.kernel_size = 3, .padding = 1, .groups = 8});
  net.add<ConvTranspose2d>(8, 8,
                           ConvTranspose2dLayerOptions{.kernel_size = 2, .stride = 2, .groups = 8});
  net.add<Linear>(8, 1000, LinearOptions{.bias = false});
  store.set_trainable(0, false);  // the first weight: frozen
  const ModelSummary summary = summarize(net, {2, 32, 48, 3});
  REQUIRE(summary.layers.size() == 4);
  CHECK(summary.layers[1].name == "Conv2d-2");
  CHECK(summary.layers[1].path == "1");
  CHECK(summary.layers[2].output == Shape{2, 32, 48, 8});
  const std::int64_t small = 2 * 16 * 24, large = 2 * 32 * 48;
  const std::int64_t macs[] = {small * 8 * 27, small * 8 * 9, large * 8, large * 8 * 1000};
  const std::int64_t parameters[] = {8 * 27 + 8, 8 * 9 + 8, 8 * 4 + 8, 8000};
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(summary.layers[i].macs == macs[i]);
    CHECK(summary.layers[i].parameters == parameters[i]);
  }
  CHECK(summary.macs == macs[0] + macs[1] + macs[2] + macs[3]);
  CHECK(summary.trainable_parameters == 8 + 80 + 40 + 8000);
  CHECK(summary.other_parameters == 216);
  const DecimalComma comma;
  // clang-format off
  CHECK(to_string(summary) ==
        "--------------------------------------------------------------------------------------------\n"
        "   Layer (type)        Input Shape          Output Shape         Param #        Mult-Adds\n"
        "============================================================================================\n"
        "     Conv2d-1        [[2, 3, 32, 48]]      [2, 8, 16, 24]          224           165,888\n"
        "     Conv2d-2        [[2, 8, 16, 24]]      [2, 8, 16, 24]          80            55,296\n"
        " ConvTranspose2d-1   [[2, 8, 16, 24]]      [2, 8, 32, 48]          40            24,576\n"
        "     Linear-1        [[2, 8, 32, 48]]    [2, 1000, 32, 48]        8,000        24,576,000\n"
        "============================================================================================\n"
        "Total params: 8,344\n"
        "Trainable params: 8,128\n"
        "Non-trainable params: 216\n"
        "Total mult-adds: 24,821,760\n"
        "--------------------------------------------------------------------------------------------\n"
        "Input size (MB): 0.04\n"
        "Forward/backward pass size (MB): 23.72\n"
        "Params size (MB): 0.03\n"
        "Estimated Total Size (MB): 23.79\n"
        "--------------------------------------------------------------------------------------------\n");
  // clang-format on
}

TEST_CASE("summary: a layer that is called twice counts once") {
  struct Twice : Module<float> {
    explicit Twice(const Scope<float>& scope)
        : Module(scope, "Twice"), linear(scope / "linear", 4, 4) {}
    Variable<float> forward(Variable<float> x) const override { return linear(linear(x)); }
    Linear<float> linear;
  };
  ParameterStore<float> store;
  const ModelSummary summary = summarize(Twice(store), {10, 4});
  REQUIRE(summary.layers.size() == 2);
  CHECK(summary.layers[0].parameters == 20);
  CHECK(summary.layers[1].parameters == 0);
  CHECK(summary.trainable_parameters == 20);
  CHECK(summary.macs == 2 * 10 * 16);  // but its work is done twice
}

TEST_CASE("summary: of a part of a model, and of a layer itself") {
  ParameterStore<float> store;
  const Scope<float> scope(store);
  Sequential<float> part(scope / "part");
  part.add<Linear>(4, 8).add<BatchNorm2d>(8);
  const Linear<float> head(scope / "part2", 8, 3);
  const ModelSummary of_part = summarize(part, {2, 5, 5, 4}), of_head = summarize(head, {2, 8});
  CHECK(of_part.layers.size() == 2);
  CHECK(of_part.trainable_parameters == 40 + 16);
  CHECK(of_part.other_parameters == 16);
  REQUIRE(of_head.layers.size() == 1);
  CHECK(of_head.layers[0].name == "Linear-1");
  CHECK(of_head.layers[0].path == "part2");
  CHECK(of_head.layers[0].parameters == 27);
  CHECK(of_head.trainable_parameters == 27);
  CHECK(of_head.other_parameters == 0);
}

TEST_CASE("summary: numbers with separators") {
  CHECK(with_commas(0) == "0");
  CHECK(with_commas(999) == "999");
  CHECK(with_commas(1000) == "1,000");
  CHECK(with_commas(3808182) == "3,808,182");
  CHECK(with_commas(-123456) == "-123,456");
  CHECK(with_commas(-1234) == "-1,234");
}

}  // namespace
