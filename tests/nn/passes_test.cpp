// Passes as programs make them that are unusual, and right; and those that are wrong, and told.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <vector>

#include "anther/autograd/gradient_slots.hpp"
#include "anther/nn/linear.hpp"
#include "anther/nn/module.hpp"
#include "anther/nn/norm.hpp"
#include "anther/ops/activation.hpp"
#include "anther/ops/arithmetic.hpp"
#include "anther/ops/conv2d.hpp"
#include "anther/ops/conv_transpose2d.hpp"
#include "anther/ops/dropout.hpp"
#include "anther/ops/norm.hpp"
#include "anther/ops/reduce.hpp"
#include "anther/ops/shape.hpp"
#include "anther/optim/sgd.hpp"
#include "tests/random_tensor.hpp"

namespace passes_test {

using namespace anther;

TEST_CASE("passes: weights that were changed between forward and backward are told") {
  ParameterStore<float> generator_store, judge_store;
  const Linear<float> generator(generator_store, 3, 4), judge(judge_store, 4, 1);
  generator_store.initialize(1);
  judge_store.initialize(2);
  SGD<float> sgd(judge_store);
  Tape<float> tape;
  tape.begin();
  const Variable<float> made = generator(tape.input(random_tensor<float>({5, 3}, 1)));
  const Variable<float> loss = mean(square(judge(made)));
  tape.backward(loss);
  sgd.step(tape, 0.1);
  CHECK_THROWS_WITH_AS(tape.backward(loss),
                       "backward: weight was changed since forward has read it; call backward "
                       "before a step or an edit",
                       std::exception);

  // The judge has made a step, and what the generator learns comes by its new weights.
  tape.begin();
  const Variable<float> again = generator(tape.input(random_tensor<float>({5, 3}, 1)));
  tape.backward(mean(square(judge(again))));
  sgd.step(tape, 0.1);
  tape.zero_gradients();
  tape.backward(mean(judge(again)));
  const std::vector<float> after = copy_of<float>(tape.gradients(generator_store));
  tape.begin();
  tape.zero_gradients();
  tape.backward(mean(judge(generator(tape.input(random_tensor<float>({5, 3}, 1))))));
  CHECK(after == copy_of<float>(tape.gradients(generator_store)));
}

TEST_CASE("passes: an op whose inputs are one value, or views of one") {
  // The gradient of f(x, x, x) is the sum of those of f(x, a, b) with a = b = x.
  const Tensor<double> start = random_tensor<double>({6, 8}, 1);
  const auto compare = [&](const auto& function) {
    Tape<double> tape;
    tape.begin();
    const Variable<double> x = tape.input(start, true);
    const Variable<double> y =
        function(x, reshape(narrow(x, 0, 0, 1), {8}), reshape(narrow(x, 0, 1, 1), {8}));
    tape.backward(sum(y * tape.input(start)));
    const std::vector<double> together = copy_of(x.gradient());
    tape.begin();
    const Variable<double> apart = tape.input(start, true);
    const std::vector<double> first(start.data(), start.data() + 8),
        second(start.data() + 8, start.data() + 16);
    const Variable<double> a = tape.input({8}, first, true), b = tape.input({8}, second, true);
    tape.backward(sum(function(apart, a, b) * tape.input(start)));
    std::vector<double> expected = copy_of(apart.gradient());
    const std::span<const double> da = a.gradient(), db = b.gradient();
    for (std::size_t i = 0; i < 8; ++i) expected[i] += da[i], expected[8 + i] += db[i];
    for (std::size_t i = 0; i < expected.size(); ++i)
      CHECK(together[i] == doctest::Approx(expected[i]).epsilon(1e-10));
  };
  using V = Variable<double>;
  compare([](const V& x, const V& a, const V& b) { return layer_norm(x, a, b); });
  compare([](const V& x, const V& a, const V& b) { return rms_norm(x, a) + b; });
  compare([](const V& x, const V& a, const V& b) { return group_norm(x, 2, a, b); });
  compare([](const V& x, const V& a, const V& b) { return batch_norm<double>(x, a, b, {}, {}); });
  compare([](const V& x, const V& a, const V& b) { return x * a + b; });
}

TEST_CASE("passes: x + convolution(x) has the same bits, its result read before or not") {
  for (const bool transposed : {false, true})
    for (const std::int64_t channels : {8, 40}) {
      CAPTURE(channels);
      const Tensor<float> start = random_tensor<float>({2, 5, 6, channels}, 1);
      const Tensor<float> weight = random_tensor<float>({channels, 3, 3, channels}, 2);
      const auto run = [&](bool read) {
        Tape<float> tape;
        tape.begin();
        const Variable<float> x = tape.input(start), w = tape.input(weight);
        const Variable<float> y = transposed ? conv_transpose2d(x, w, {}, {.padding = 1})
                                             : conv2d(x, w, {}, {.padding = 1});
        if (read) (void)y.value();
        return copy_of((x + y).value());
      };
      CHECK(run(false) == run(true));
    }
}

// A layer that throws in the middle, by the program's own error.
struct Throws : Module<float> {
  explicit Throws(const Scope<float>& scope) : Module(scope, "Throws"), norm(scope / "norm", 4) {}
  Variable<float> forward(Variable<float> x) const override {
    x = norm(x);
    if (fails) throw std::runtime_error("enough");
    return x;
  }
  BatchNorm2d<float> norm;
  bool fails = true;
};

TEST_CASE("passes: a throw in a model, or by an input, ends the pass and moves no statistics") {
  ParameterStore<float> store;
  Throws model(store);
  store.initialize(1);
  const std::vector<float> before = copy_of<float>(store.buffer_values());
  Tape<float> tape;
  tape.begin();
  const Variable<float> x = tape.input(random_tensor<float>({2, 3, 3, 4}, 1));
  CHECK_THROWS_WITH_AS(model(x), "enough", std::runtime_error);
  CHECK_THROWS((void)x.value());  // the pass is over
  tape.begin();
  model.fails = false;
  (void)model(tape.input(random_tensor<float>({2, 3, 3, 4}, 1)));
  CHECK_THROWS((void)tape.input({3}, std::vector<float>(4)));
  tape.begin();
  CHECK(copy_of<float>(store.buffer_values()) == before);
  (void)model(tape.input(random_tensor<float>({2, 3, 3, 4}, 1)));
  tape.begin();  // of a pass that came to its end they move
  CHECK(copy_of<float>(store.buffer_values()) != before);
}

TEST_CASE("passes: a tape that outlives a model trains the next one") {
  Tape<float> tape;
  std::vector<float> gradients;
  for (int fold = 0; fold < 2; ++fold) {
    auto store = std::make_unique<ParameterStore<float>>();
    Throws model(*store);
    model.fails = false;
    store->initialize(1);
    tape.begin();
    tape.backward(mean(square(model(tape.input(random_tensor<float>({2, 3, 3, 4}, 1))))));
    if (fold == 0) gradients = copy_of<float>(tape.gradients());
    CHECK(gradients == copy_of<float>(tape.gradients()));  // of one store, and nothing is left over
  }
}

TEST_CASE("passes: dropout and drop_path of a scalar") {
  double sum_of = 0;
  for (std::uint64_t i = 0; i < 200; ++i) {
    Tape<double> tape;
    tape.begin({.random = RandomKey(i)});
    const Variable<double> x = tape.input({}, std::vector<double>{3}, true);
    const Variable<double> y = i % 2 == 0 ? dropout(x, 0.5) : drop_path(x, 0.5);
    CHECK((y.item() == 0 || y.item() == 6));
    tape.backward(y);
    CHECK(x.gradient()[0] == y.item() / 3);
    sum_of += y.item();
  }
  CHECK(sum_of / 200 == doctest::Approx(3).epsilon(0.2));
}

struct Stage : Module<float> {
  explicit Stage(const Scope<float>& scope)
      : Module(scope, "Stage", {.stage = true}), fc(scope / "fc", 4, 4) {}
  Variable<float> forward(Variable<float> x) const override {
    x = gelu(fc(x));
    if (backward_within) x.tape().backward(mean(x));
    return x * x;
  }
  Linear<float> fc;
  bool backward_within = false;
};

TEST_CASE("passes: backward within a stage that is to be computed again is refused") {
  ParameterStore<float> store;
  Stage stage(store);
  store.initialize(1);
  stage.backward_within = true;
  Tape<float> tape;
  tape.begin({.recompute = true});
  CHECK_THROWS_WITH_AS(stage(tape.input(random_tensor<float>({3, 4}, 1))),
                       "backward: a stage that is to be computed again has not ended yet",
                       std::exception);
}

TEST_CASE("passes: what only watches changes nothing") {
  ParameterStore<float> store;
  const Scope<float> scope(store);
  const Linear<float> first(scope / "first", 12, 32), second(scope / "second", 32, 12);
  store.initialize(1);
  for (const bool amp : {false, true}) {
    const auto run = [&](int watched) {
      Tape<float> tape;
      tape.begin({.amp = amp, .random = RandomKey(3)});
      const Variable<float> x = tape.input(random_tensor<float>({200, 12}, 1));
      const Variable<float> h = first(x), g = gelu(h);
      if (watched == 1) (void)amax(h);
      if (watched == 2) (void)reshape(g, {200 * 32});
      if (watched == 3) (void)mean(g + h);
      tape.backward(mean(square(dropout(second(g), 0.3))));
      return copy_of<float>(tape.gradients());
    };
    const std::vector<float> alone = run(0);
    CHECK(alone == run(1));
    if (!amp) CHECK(alone == run(2));
    if (!amp) CHECK(alone == run(3));
  }
}

TEST_CASE("passes: reading a map in bfloat16 again and again takes no more memory") {
  ParameterStore<float> store;
  const Scope<float> scope(store);
  const Linear<float> first(scope / "first", 16, 256), second(scope / "second", 256, 16);
  store.initialize(1);
  Tape<float> tape;
  tape.begin({.amp = true});
  const Variable<float> h = first(tape.input(random_tensor<float>({100, 16}, 1)));
  const Variable<float> y = second(gelu(h));
  (void)y.value();
  const float* const once = h.value().data();
  const std::int64_t before = tape.memory_bytes();
  for (int i = 0; i < 100; ++i) CHECK(h.value().data() == once);
  CHECK(tape.memory_bytes() == before);
}

TEST_CASE("passes: an optimiser of some parameters, and layers that are made later") {
  ParameterStore<float> store;
  const Scope<float> scope(store);
  const Linear<float> first(scope / "first", 3, 3);
  SGD<float> sgd(store);
  sgd.set_parameters({0});
  const Linear<float> second(scope / "second", 3, 3);
  store.initialize(1);
  const std::vector<float> before = copy_of<float>(store.values());
  Tape<float> tape;
  tape.begin();
  tape.backward(mean(square(second(first(tape.input(random_tensor<float>({5, 3}, 1)))))));
  sgd.step(tape, 0.1);
  for (int i = 0; i < std::ssize(store.parameters()); ++i) {
    const ParameterInfo& info = store.parameters()[static_cast<std::size_t>(i)];
    const bool moved =
        !std::equal(store.values().begin() + info.offset,
                    store.values().begin() + info.offset + info.size, before.begin() + info.offset);
    CHECK(moved == (i == 0));
  }
}

TEST_CASE("passes: the norm of a scalar, and the mean of nothing") {
  Tape<double> tape;
  tape.begin();
  const Variable<double> x = tape.input({}, std::vector<double>{-3}, true);
  const Variable<double> y = norm(x);
  CHECK(y.item() == 3);
  tape.backward(y);
  CHECK(x.gradient()[0] == -1);
  CHECK_THROWS_WITH_AS(mean(tape.input(Tensor<double>({0, 4}))),
                       "mean: expected at least one element along the axes, got (0, 4)",
                       std::exception);
}

TEST_CASE("passes: memory that there is not is asked for once, and not again by the next pass") {
  GradientSlots<float> slots;
  CHECK_THROWS(slots.take(std::int64_t{1} << 50));
  slots.reset();
  CHECK(slots.memory_bytes() == 0);
  CHECK(slots.data(slots.take(100)) != nullptr);
}

}  // namespace passes_test
