// RMSprop, Adagrad and Lion.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "anther/optim/adagrad.hpp"
#include "anther/optim/adam.hpp"
#include "anther/optim/lion.hpp"
#include "anther/optim/rmsprop.hpp"
#include "anther/optim/sgd.hpp"
#include "tests/io/temporary_folder.hpp"
#include "tests/optim/small_store.hpp"

namespace {

// A value with its state, and what a step does to it: step t has the gradient g and the rate lr,
// and decays by wd.
struct Naive {
  double value, state[3] = {};
};
using Rule = std::function<void(Naive&, int t, double g, double lr, double wd)>;

// The worst difference to the rule after ten steps.
template <class T, class Make>
double worst_difference(const Make& make, double weight_decay, const Rule& rule) {
  ParameterStore<T> store;
  add_parameters(store);
  const auto optimizer = make(store);
  std::vector<Naive> expected;
  for (const T value : store.values()) expected.push_back({.value = static_cast<double>(value)});
  for (int t = 1; t <= 10; ++t) {
    const std::vector<T> gradients = gradients_of(store, t);
    const double lr = t < 5 ? 1e-2 : 3e-3, scale = t % 2 == 0 ? 0.7 : 1;
    optimizer->step(gradients, lr, scale);
    for (const ParameterInfo& info : store.parameters())
      for (std::int64_t i = info.offset; i < info.offset + info.size; ++i) {
        const auto at = static_cast<std::size_t>(i);
        rule(expected[at], t, scale * static_cast<double>(gradients[at]), lr,
             info.decay ? weight_decay : 0);
      }
  }
  double worst = 0;
  for (std::size_t i = 0; i < expected.size(); ++i)
    worst = std::max(worst, std::abs(static_cast<double>(store.values()[i]) - expected[i].value));
  return worst;
}

template <class T, template <class> class O, class Options>
auto maker(const Options& options) {
  return [options](ParameterStore<T>& store) { return std::make_unique<O<T>>(store, options); };
}

template <template <class> class O, class Options>
void check_rule(const Options& options, const Rule& rule) {
  CHECK(worst_difference<double>(maker<double, O>(options), options.weight_decay, rule) < 1e-13);
  CHECK(worst_difference<float>(maker<float, O>(options), options.weight_decay, rule) < 4e-6);
}

TEST_CASE("rmsprop: PyTorch's formulas, one value at a time") {
  const RMSpropOptions rows[] = {
      {},
      {.weight_decay = 0.1},
      {.alpha = 0.8, .eps = 1e-3, .momentum = 0.9},
      {.alpha = 0.9, .eps = 1e-2, .centered = true},
      {.alpha = 0.9, .eps = 1e-2, .weight_decay = 0.1, .momentum = 0.5, .centered = true},
  };
  for (const RMSpropOptions& o : rows) {
    CAPTURE(o.momentum);
    CAPTURE(o.centered);
    check_rule<RMSprop>(o, [&](Naive& n, int, double g, double lr, double wd) {
      g += wd * n.value;
      n.state[0] = o.alpha * n.state[0] + (1 - o.alpha) * g * g;
      if (o.centered) n.state[1] = o.alpha * n.state[1] + (1 - o.alpha) * g;
      const double step = g / (std::sqrt(n.state[0] - n.state[1] * n.state[1]) + o.eps);
      n.state[2] = o.momentum * n.state[2] + step;
      n.value -= lr * (o.momentum > 0 ? n.state[2] : step);
    });
  }
}

TEST_CASE("adagrad: PyTorch's formulas, one value at a time") {
  const AdagradOptions rows[] = {
      {},
      {.lr_decay = 0.1, .weight_decay = 0.1},
      {.initial_accumulator_value = 0.5, .eps = 1e-3},
  };
  for (const AdagradOptions& o : rows) {
    CAPTURE(o.lr_decay);
    check_rule<Adagrad>(o, [&](Naive& n, int t, double g, double lr, double wd) {
      g += wd * n.value;
      if (t == 1) n.state[0] = o.initial_accumulator_value;
      n.state[0] += g * g;
      n.value -= lr / (1 + (t - 1) * o.lr_decay) * g / (std::sqrt(n.state[0]) + o.eps);
    });
  }
}

TEST_CASE("lion: the paper's formulas, one value at a time") {
  for (const LionOptions& o : {LionOptions{}, {.beta1 = 0.8, .beta2 = 0.9, .weight_decay = 0.3}})
    check_rule<Lion>(o, [&](Naive& n, int, double g, double lr, double wd) {
      const double direction = o.beta1 * n.state[0] + (1 - o.beta1) * g;
      n.value *= 1 - lr * wd;
      n.value -= lr * ((direction > 0) - (direction < 0));
      n.state[0] = o.beta2 * n.state[0] + (1 - o.beta2) * g;
    });
  // A gradient of 0 moves nothing.
  ParameterStore<float> store, before;
  add_parameters(store);
  add_parameters(before);
  Lion<float>(store).step(std::vector<float>(static_cast<std::size_t>(store.size())), 0.1);
  CHECK(std::ranges::equal(store.values(), before.values()));
}

// PyTorch 2.15, float64: ten steps from (0.5, -1.25, 2) with the gradients (i + 1) sin(t + 0.7 i).
template <class Optimizer>
void check_pytorch(const auto& options, double lr, const std::vector<double>& expected) {
  ParameterStore<double> store;
  store.add_parameter("w", {.shape = {3}});
  std::ranges::copy(std::initializer_list{0.5, -1.25, 2.0}, store.edit().value(0).begin());
  Optimizer optimizer(store, options);
  for (int t = 1; t <= 10; ++t) {
    std::vector<double> g(static_cast<std::size_t>(store.size()));
    for (int i = 0; i < 3; ++i) g[static_cast<std::size_t>(i)] = std::sin(t + i * 0.7) * (1 + i);
    optimizer.step(g, lr);
  }
  for (std::size_t i = 0; i < 3; ++i)
    CHECK(std::abs(std::as_const(store).value(0)[i] - expected[i]) < 1e-14);
}

TEST_CASE("rmsprop and adagrad: PyTorch's numbers") {
  check_pytorch<RMSprop<double>>(RMSpropOptions{}, 0.01,
                                 {0.36172467693029303, -1.2990874084893826, 2.0432425973245363});
  check_pytorch<RMSprop<double>>(RMSpropOptions{.momentum = 0.9}, 0.01,
                                 {-0.33007406378672377, -1.6925675189989833, 2.0054494086385093});
  check_pytorch<RMSprop<double>>(
      RMSpropOptions{.alpha = 0.9, .weight_decay = 0.1, .momentum = 0.8, .centered = true}, 0.01,
      {0.27743935556456056, -1.3170435255700215, 1.9626332762224463});
  check_pytorch<Adagrad<double>>(AdagradOptions{}, 0.1,
                                 {0.36194838341779745, -1.2996419346131003, 2.0421930812305513});
  check_pytorch<Adagrad<double>>(
      AdagradOptions{.lr_decay = 0.05, .weight_decay = 0.1, .initial_accumulator_value = 0.3}, 0.1,
      {0.37043560617275584, -1.2770600049191312, 1.9942592276994289});
}

TEST_CASE("optimisers: they go on from their state and steps with the same bits") {
  using Make = std::function<std::unique_ptr<Optimizer<float>>(ParameterStore<float>&)>;
  struct Row {
    Make make;
    std::vector<std::string> state;
  };
  const Row rows[] = {
      {maker<float, RMSprop>(RMSpropOptions{.momentum = 0.9, .centered = true}),
       {"square_avg", "momentum_buffer", "grad_avg"}},
      {maker<float, RMSprop>(RMSpropOptions{.centered = true}), {"square_avg", "grad_avg"}},
      {maker<float, RMSprop>(RMSpropOptions{}), {"square_avg"}},
      {maker<float, Adagrad>(AdagradOptions{.lr_decay = 0.1, .initial_accumulator_value = 0.2}),
       {"sum"}},
      {maker<float, Lion>(LionOptions{}), {"exp_avg"}},
  };
  for (const Row& row : rows) {
    ParameterStore<float> store, second;
    add_parameters(store);
    add_parameters(second);
    const auto optimizer = row.make(store), resumed = row.make(second);
    for (int t = 0; t < 3; ++t) optimizer->step(gradients_of(store, t), 0.01);
    std::ranges::copy(store.values(), second.edit().values().begin());
    REQUIRE(resumed->state().size() == row.state.size());
    for (std::size_t s = 0; s < row.state.size(); ++s) {
      CHECK(resumed->state()[s].name == row.state[s]);
      resumed->state()[s].values = optimizer->state()[s].values;
    }
    resumed->set_steps(optimizer->steps());
    for (int t = 3; t < 6; ++t) {
      optimizer->step(gradients_of(store, t), 0.01);
      resumed->step(gradients_of(store, t), 0.01);
    }
    CHECK(std::ranges::equal(store.values(), second.values()));
  }
}

}  // namespace

TEST_CASE("optimisers refuse options that make no sense") {
  ParameterStore<float> store;
  add_parameters(store);
  const double nan = std::nan("");
  const auto refuses = [&](const char* message, const auto& make) {
    const std::string error = error_of(make);
    CHECK_MESSAGE(error.find(message) != std::string::npos, message, ": ", error);
  };
  for (const double beta : {-0.1, 1.0, 2.0, nan}) {
    refuses("adam: expected a beta1 of at least 0, less than 1",
            [&] { Adam<float>(store, {.beta1 = beta}); });
    refuses("adam: expected a beta2", [&] { Adam<float>(store, {.beta2 = beta}); });
    refuses("lion: expected a beta1", [&] { Lion<float>(store, {.beta1 = beta}); });
    refuses("rmsprop: expected an alpha", [&] { RMSprop<float>(store, {.alpha = beta}); });
  }
  for (const double number : {-1.0, nan, HUGE_VAL}) {
    refuses("adam: expected an eps of at least 0", [&] { Adam<float>(store, {.eps = number}); });
    refuses("adam: expected a weight decay", [&] { Adam<float>(store, {.weight_decay = number}); });
    refuses("sgd: expected a momentum", [&] { SGD<float>(store, {.momentum = number}); });
    refuses("lion: expected a weight decay", [&] { Lion<float>(store, {.weight_decay = number}); });
    refuses("adagrad: expected an lr_decay", [&] { Adagrad<float>(store, {.lr_decay = number}); });
    refuses("rmsprop: expected an eps", [&] { RMSprop<float>(store, {.eps = number}); });
    refuses("rmsprop: expected a weight decay",
            [&] { RMSprop<float>(store, {.weight_decay = number}); });
    refuses("adagrad: expected an eps", [&] { Adagrad<float>(store, {.eps = number}); });
    refuses("adagrad: expected a weight decay",
            [&] { Adagrad<float>(store, {.weight_decay = number}); });
    refuses("sgd: expected a weight decay", [&] { SGD<float>(store, {.weight_decay = number}); });
    refuses("rmsprop: expected a momentum", [&] { RMSprop<float>(store, {.momentum = number}); });
    Adam<float> adam(store);
    refuses("learning rate of at least 0", [&] { adam.step(gradients_of(store, 1), number); });
    refuses("scales of the learning rate of at least 0",
            [&] { adam.set_lr_scales(std::vector<double>(3, number)); });
  }
  Adam<float> adam(store);
  refuses("a number of steps of at least 0, got -1", [&] { adam.set_steps(-1); });
}
