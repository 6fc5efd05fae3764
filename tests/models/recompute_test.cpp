// TapeOptions::recompute: backward computes the stages of a model again, to the same bits.
#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

#include "anther/autograd/tape.hpp"
#include "anther/models/models.hpp"
#include "anther/nn/activation.hpp"
#include "anther/nn/linear.hpp"
#include "anther/ops/arithmetic.hpp"
#include "anther/ops/dropout.hpp"
#include "anther/ops/linear.hpp"
#include "anther/ops/pointwise.hpp"
#include "anther/ops/reduce.hpp"
#include "anther/ops/shape.hpp"

namespace {

using namespace anther;

Tensor<float> random_tensor(const Shape& shape) {
  Tensor<float> tensor(shape);
  for (std::int64_t i = 0; i < tensor.size(); ++i)
    tensor[i] = static_cast<float>(normal(RandomKey(7), static_cast<std::uint64_t>(i)));
  return tensor;
}

// What two steps leave, and what memory they took.
struct Steps {
  std::vector<float> gradients, buffers;
  std::int64_t memory = 0;
};
template <class Model>
Steps two_steps(const Model& model, ParameterStore<float>& store, const Tensor<float>& x,
                bool recompute) {
  store.initialize(3);
  Tape<float> tape;
  Steps steps;
  for (int step = 0; step < 2; ++step) {
    tape.begin({.recompute = recompute, .random = RandomKey(11).fold(step)});
    const Variable<float> loss = mean(square(model(tape.input(x))));
    if (step == 0) tape.backward(loss), tape.zero_gradients();
    tape.backward(loss);  // the second time it computes again what it has dropped
    steps.gradients.insert(steps.gradients.end(), tape.gradients().begin(), tape.gradients().end());
  }
  store.commit_buffers();
  steps.buffers.assign(store.buffer_values().begin(), store.buffer_values().end());
  steps.memory = tape.memory_bytes();
  return steps;
}

TEST_CASE("recompute: every model's gradients and statistics have the same bits, in less memory") {
  struct Case {
    std::string name;
    nlohmann::json options;
    std::int64_t size;
    double share;  // of the memory, at most
  };
  const std::vector<Case> cases = {
      {"resnet18", {{"num_classes", 3}, {"layers", {1, 2, 1, 1}}}, 40, 1},
      {"resnet50", {{"num_classes", 3}, {"layers", {1, 1, 1, 1}}}, 32, 1},
      {"mobilenet_v2", {{"num_classes", 3}}, 64, 0.85},
      {"mobilenet_v3_small", {{"num_classes", 3}}, 64, 0.95},
      {"efficientnet_lite0", {{"num_classes", 3}, {"drop_path", 0.1}}, 64, 0.85},
      {"convnext_tiny",
       {{"num_classes", 3}, {"dims", {8, 16, 24, 32}}, {"depths", {2, 1, 3, 1}}},
       64,
       0.8},
      {"vit_tiny",
       {{"num_classes", 3}, {"img_size", 64}, {"embed_dim", 96}, {"depth", 5}},
       64,
       0.9},
      {"unet", {{"num_classes", 3}, {"width", 4}}, 32, 1},
      {"xxs", {{"num_classes", 3}, {"drop_path", 0.2}}, 64, 0.9},
      {"xxs", {{"num_classes", 3}, {"preset", "original"}}, 64, 0.9},
      {"edgevit_fpn", {{"num_classes", 3}, {"fpn_channels", 16}, {"head_channels", 64}}, 64, 1},
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    ParameterStore<float> store;
    const auto model = choose_model(c.name, c.options).make(store);
    const Tensor<float> x = random_tensor({2, c.size, c.size, 3});
    const Steps kept = two_steps(*model, store, x, false);
    const Steps again = two_steps(*model, store, x, true);
    CHECK(kept.gradients == again.gradients);
    CHECK(kept.buffers == again.buffers);
    const double share = static_cast<double>(again.memory) / static_cast<double>(kept.memory);
    CAPTURE(share);
    CHECK(share <= c.share);
  }
}

// A stage with what is awkward: dropout, an addition that is merged, one whose parts are read
// again, a result that is a view.
struct Awkward : Module<float> {
  explicit Awkward(const Scope<float>& scope)
      : Module<float>(scope, "Awkward", {.stage = true}),
        weight(scope.parameter("weight", {.shape = {6, 6}, .init = Init::normal(0.5)})) {}
  Variable<float> forward(Variable<float> x) const override {
    const auto w = x.tape().parameter(weight);
    const Variable<float> a = linear(x, w, {});
    const Variable<float> b = dropout(relu(a), 0.3) + x;
    inside = linear(b, w, {});
    const Variable<float> sum = inside + b;
    return reshape(sum * sigmoid(inside), {x.shape()[0] * 2, 3});
  }
  Parameter<float> weight;
  mutable Variable<float> inside;
};
struct Net : Module<float> {
  explicit Net(const Scope<float>& scope)
      : Module<float>(scope, "Net"), first(scope / "first"), second(scope / "second") {}
  Variable<float> forward(Variable<float> x) const override {
    return reshape(second(reshape(first(x), x.shape())), x.shape()) + x;
  }
  Awkward first, second;
};

TEST_CASE("recompute: dropout, merged additions and views") {
  ParameterStore<float> store;
  const Net net(store);
  const Tensor<float> x = random_tensor({5, 6});
  const Steps kept = two_steps(net, store, x, false);
  const Steps again = two_steps(net, store, x, true);
  CHECK(kept.gradients == again.gradients);
}

// A stage whose result is not stored unless it is recomputed, and one that reads it twice.
struct Lazy : Module<float> {
  explicit Lazy(const Scope<float>& scope)
      : Module<float>(scope, "Lazy", {.stage = true}),
        weight(scope.parameter("weight", {.shape = {6, 6}, .init = Init::normal(0.5)})),
        other(scope.parameter("other", {.shape = {6, 6}, .init = Init::normal(0.5)})) {}
  Variable<float> forward(Variable<float> x) const override {
    const Variable<float> a = linear(x, x.tape().parameter(weight), {});
    return activation(twice ? a * linear(x, x.tape().parameter(other), {}) : a);
  }
  Parameter<float> weight, other;
  bool twice = false;
  Variable<float> (*activation)(Variable<float>) = [](Variable<float> x) { return gelu(x); };
};
struct LazyNet : Module<float> {
  explicit LazyNet(const Scope<float>& scope)
      : Module<float>(scope, "LazyNet"), first(scope / "first"), second(scope / "second") {
    second.twice = true;
  }
  Variable<float> forward(Variable<float> x) const override { return second(first(x)); }
  Lazy first, second;
};

TEST_CASE("recompute: a stage that ends in GELU or ReLU, and what follows reads it twice") {
  for (const bool relus : {false, true}) {
    CAPTURE(relus);
    ParameterStore<float> store;
    LazyNet net(store);
    if (relus) net.first.activation = [](Variable<float> x) { return relu(x); };
    const Tensor<float> x = random_tensor({200, 6});
    const Steps kept = two_steps(net, store, x, false);
    const Steps again = two_steps(net, store, x, true);
    CHECK(kept.gradients == again.gradients);
  }
}

TEST_CASE("recompute: blocks of single ops, of which there is nothing to drop") {
  ParameterStore<float> store;
  Sequential<float> net(store, {.stage = true});
  net.add<Linear>(6, 8).add<ReLU>().add<Linear>(8, 1);
  const Tensor<float> x = random_tensor({5, 6});
  const Steps kept = two_steps(net, store, x, false);
  const Steps again = two_steps(net, store, x, true);
  CHECK(kept.gradients == again.gradients);
}

TEST_CASE("recompute: what cannot be is refused, with the layer") {
  ParameterStore<float> store;
  const Net net(store);
  store.initialize(1);
  Tape<float> tape;
  const Tensor<float> x = random_tensor({5, 6});
  tape.begin({.recompute = true});
  const Variable<float> y = net(tape.input(x));
  CHECK_THROWS_WITH_AS(tape.value(net.first.inside),
                       "recompute: a value of the layer first is read outside of the stage that "
                       "it is in, which keeps its result alone",
                       std::exception);
  CHECK_THROWS(y.tape().value(y));  // the pass is over

  tape.begin({.recompute = true});
  const Variable<float> no_stages = mean(tape.input(x, true));
  CHECK_THROWS_WITH_AS(
      tape.backward(no_stages),
      "backward: recompute needs a model with stages (ModuleTraits::stage), got none",
      std::exception);
}

}  // namespace
