#include "anther/optim/adam.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "anther/optim/model_ema.hpp"
#include "tests/io/temporary_folder.hpp"
#include "tests/optim/small_store.hpp"

namespace {

using namespace anther;

// The formulas, one value at a time.
struct NaiveAdam {
  double value, m = 0, v = 0;
  void step(double g, std::int64_t t, double lr, const AdamOptions& o, bool decay) {
    const double wd = decay ? o.weight_decay : 0;
    if (o.decoupled)
      value -= lr * wd * value;
    else
      g += wd * value;
    m = o.beta1 * m + (1 - o.beta1) * g;
    v = o.beta2 * v + (1 - o.beta2) * g * g;
    const double m_hat = m / (1 - std::pow(o.beta1, static_cast<double>(t)));
    const double v_hat = v / (1 - std::pow(o.beta2, static_cast<double>(t)));
    value -= lr * m_hat / (std::sqrt(v_hat) + o.eps);
  }
};

template <class T>
double worst_difference(const AdamOptions& options) {
  ParameterStore<T> store;
  add_parameters(store);
  std::vector<NaiveAdam> expected;
  std::vector<bool> decays, padding(static_cast<std::size_t>(store.size()), true);
  for (const T value : store.values()) expected.push_back({.value = static_cast<double>(value)});
  decays.resize(expected.size());
  for (const ParameterInfo& info : store.parameters())
    for (std::int64_t i = info.offset; i < info.offset + info.size; ++i) {
      decays[static_cast<std::size_t>(i)] = info.decay;
      padding[static_cast<std::size_t>(i)] = false;
    }

  Adam<T> adam(store, options);
  for (int t = 1; t <= 30; ++t) {
    const std::vector<T> gradients = gradients_of(store, t);
    const double lr = t < 10 ? 1e-2 : 3e-3;  // a schedule's changes
    adam.step(gradients, lr);
    for (std::size_t i = 0; i < expected.size(); ++i)
      if (!padding[i])
        expected[i].step(static_cast<double>(gradients[i]), t, lr, options, decays[i]);
  }
  CHECK(adam.steps() == 30);
  double worst = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    if (padding[i]) CHECK(store.values()[i] == 0);
    worst = std::max(worst, std::abs(static_cast<double>(store.values()[i]) - expected[i].value));
    worst = std::max(
        worst, std::abs(static_cast<double>(adam.state()[0].values[static_cast<std::int64_t>(i)]) -
                        expected[i].m));
    worst = std::max(
        worst, std::abs(static_cast<double>(adam.state()[1].values[static_cast<std::int64_t>(i)]) -
                        expected[i].v));
  }
  return worst;
}

TEST_CASE("adam: the formulas, one value at a time") {
  const AdamOptions rows[] = {
      {},
      {.beta1 = 0.8, .beta2 = 0.95, .eps = 1e-3},
      {.weight_decay = 0.1},                     // through the gradient
      {.weight_decay = 0.1, .decoupled = true},  // AdamW
  };
  for (const AdamOptions& options : rows) {
    CAPTURE(options.weight_decay);
    CAPTURE(options.decoupled);
    CHECK(worst_difference<double>(options) < 1e-13);
    CHECK(worst_difference<float>(options) < 2e-6);
  }
}

TEST_CASE("adam: weight decay acts on what asks for it alone") {
  for (const bool decoupled : {false, true}) {
    ParameterStore<float> store, plain;
    add_parameters(store);
    add_parameters(plain);
    Adam<float> adam(store, {.weight_decay = 0.5, .decoupled = decoupled}), without(plain);
    for (int t = 0; t < 3; ++t) {
      adam.step(gradients_of(store, t), 0.01);
      without.step(gradients_of(plain, t), 0.01);
    }
    for (const int i : {0, 1, 2})
      CHECK(std::ranges::equal(store.value(i), plain.value(i)) ==
            !store.parameters()[static_cast<std::size_t>(i)].decay);
  }
  // AdamW without a gradient: the decay alone.
  ParameterStore<double> store;
  add_parameters(store);
  const double weight = store.value(0)[0], bias = store.value(1)[0];
  Adam<double> adam(store, {.weight_decay = 0.5, .decoupled = true});
  adam.step(std::vector<double>(static_cast<std::size_t>(store.size())), 0.01);
  CHECK(store.value(0)[0] == doctest::Approx(weight * (1 - 0.005)).epsilon(1e-14));
  CHECK(store.value(1)[0] == bias);
}

TEST_CASE("adam: frozen parameters keep their bits, and may be set free") {
  for (const int frozen : {0, 1, 2}) {
    ParameterStore<float> store, all;
    add_parameters(store);
    add_parameters(all);
    store.set_trainable(frozen, false);
    const std::vector<float> before(store.values().begin(), store.values().end());
    Adam<float> adam(store, {.weight_decay = 0.1, .decoupled = true}),
        other(all, {.weight_decay = 0.1, .decoupled = true});
    for (int t = 0; t < 5; ++t) {
      adam.step(gradients_of(store, t), 0.01);
      other.step(gradients_of(all, t), 0.01);
    }
    const std::span<const float> old(before);
    for (const int i : {0, 1, 2}) {
      const std::span<const float> now = store.value(i), kept = store.slice_of(old, i);
      const bool same = std::memcmp(now.data(), kept.data(), now.size_bytes()) == 0;
      CHECK(same == (i == frozen));
      // The others are as if nothing were frozen.
      if (i != frozen) CHECK(std::ranges::equal(now, all.value(i)));
    }
    const auto moments = store.slice_of(adam.state()[0].values.span(), frozen);
    CHECK(std::ranges::count(moments, 0.0f) == std::ssize(moments));
    store.set_trainable(frozen, true);
    adam.step(gradients_of(store, 5), 0.01);
    CHECK_FALSE(std::ranges::equal(store.value(frozen), store.slice_of(old, frozen)));
    // As its first step, which the correction of the moments goes by.
    ParameterStore<float> fresh;
    add_parameters(fresh);
    Adam<float> first(fresh, {.weight_decay = 0.1, .decoupled = true});
    first.step(gradients_of(fresh, 5), 0.01);
    CHECK(std::ranges::equal(store.value(frozen), fresh.value(frozen)));
    CHECK(adam.missed_steps()[static_cast<std::size_t>(frozen)] == 5);
  }
}

TEST_CASE("adam: goes on from its state and its steps with the same bits") {
  ParameterStore<float> store, second;
  add_parameters(store);
  add_parameters(second);
  Adam<float> adam(store);
  for (int t = 0; t < 3; ++t) adam.step(gradients_of(store, t), 0.01);
  Adam<float> resumed(second);
  std::ranges::copy(store.values(), second.edit().values().begin());
  CHECK(resumed.state()[0].name == "exp_avg");
  CHECK(resumed.state()[1].name == "exp_avg_sq");
  for (const std::size_t s : {0u, 1u}) resumed.state()[s].values = adam.state()[s].values;
  resumed.set_steps(adam.steps());
  for (int t = 3; t < 6; ++t) {
    adam.step(gradients_of(store, t), 0.01);
    resumed.step(gradients_of(store, t), 0.01);
  }
  CHECK(std::ranges::equal(store.values(), second.values()));
  CHECK(resumed.steps() == 6);
}

TEST_CASE("optimizer: scales of the gradient and of a parameter's rate") {
  // As if the gradients had been scaled, and each parameter's optimiser had its own rate.
  ParameterStore<double> store, expected;
  add_parameters(store);
  add_parameters(expected);
  Adam<double> adam(store, {.weight_decay = 0.1, .decoupled = true});
  adam.set_lr_scales({0.5, 1, 0.25});
  for (const int i : {0, 1, 2}) {
    ParameterStore<double> own;
    add_parameters(own);
    for (const int j : {0, 1, 2}) own.set_trainable(j, i == j);
    Adam<double> other(own, {.weight_decay = 0.1, .decoupled = true});
    for (int t = 0; t < 4; ++t) {
      std::vector<double> gradients = gradients_of(own, t);
      for (double& g : gradients) g *= 0.3;
      other.step(gradients, 0.01 * (i == 0 ? 0.5 : i == 1 ? 1 : 0.25));
    }
    std::ranges::copy(own.value(i), expected.edit().value(i).begin());
  }
  for (int t = 0; t < 4; ++t) adam.step(gradients_of(store, t), 0.01, 0.3);
  for (std::int64_t i = 0; i < store.size(); ++i)
    CHECK(store.values()[static_cast<std::size_t>(i)] ==
          doctest::Approx(expected.values()[static_cast<std::size_t>(i)]).epsilon(1e-13));
  CHECK(contains(error_of([&] { adam.set_lr_scales({1, 1}); }), "expected 3 scales"));
}

TEST_CASE("adam: gradients of another layout are refused") {
  ParameterStore<float> store;
  add_parameters(store);
  Adam<float> adam(store);
  CHECK(contains(error_of([&] { adam.step(std::vector<float>(7), 0.01); }), "gradients, got 7"));
  CHECK(adam.steps() == 0);
}

TEST_CASE("optimizer: made before the layers, it steps as one that is made after them") {
  ParameterStore<float> before, after;
  Adam<float> early(before);
  add_parameters(before);
  add_parameters(after);
  Adam<float> late(after);
  for (int t = 0; t < 3; ++t) {
    early.step(gradients_of(before, t), 0.01);
    late.step(gradients_of(after, t), 0.01);
  }
  CHECK(std::ranges::equal(before.values(), after.values()));
  CHECK(std::ssize(early.state()[0].values.span()) == before.size());
  // What begins with the weights' values cannot be made before they have some.
  ParameterStore<float> empty;
  empty.add_parameter("w", {.shape = {3}});
  CHECK(contains(error_of([&] { ModelEma<float>(empty, 0.9); }), "no values yet"));
  CHECK(contains(error_of([&] { Adam<float>(empty).step(gradients_of(empty, 0), 0.01); }),
                 "no values yet"));
}

TEST_CASE("optimizer: over a part of a store, at a rate of its own") {
  ParameterStore<float> store, expected;
  add_parameters(store);
  add_parameters(expected);
  Adam<float> first(store), rest(store);
  first.set_parameters({0});
  rest.set_parameters({1, 2});
  for (int t = 0; t < 3; ++t) {
    first.step(gradients_of(store, t), 0.01);
    rest.step(gradients_of(store, t), 0.001);
  }
  Adam<float> all(expected);
  all.set_lr_scales({1, 0.1, 0.1});
  for (int t = 0; t < 3; ++t) all.step(gradients_of(expected, t), 0.01);
  for (std::size_t i = 0; i < store.values().size(); ++i)
    CHECK(store.values()[i] == doctest::Approx(expected.values()[i]).epsilon(1e-5));
  CHECK(contains(error_of([&] { first.set_parameters({3}); }), "parameters of 0 to 2, got 3"));
  for (const double rate : {-1.0, std::nan("")})
    CHECK(contains(error_of([&] { all.step(gradients_of(expected, 0), rate); }),
                   "learning rate of at least 0"));
}

}  // namespace
