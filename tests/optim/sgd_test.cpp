#include "anther/optim/sgd.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "tests/io/temporary_folder.hpp"
#include "tests/optim/small_store.hpp"

namespace {

// torch.optim.SGD's documented formulas, one value at a time.
struct NaiveSgd {
  double value, buffer = 0;
  void step(double g, int t, double lr, const SGDOptions& o, bool decay) {
    if (decay) g += o.weight_decay * value;
    if (o.momentum != 0) {
      buffer = t == 1 ? g : o.momentum * buffer + g;
      g = o.nesterov ? g + o.momentum * buffer : buffer;
    }
    value -= lr * g;
  }
};

template <class T>
double worst_difference(const SGDOptions& options) {
  ParameterStore<T> store;
  add_parameters(store);
  SGD<T> sgd(store, options);
  std::vector<NaiveSgd> expected;
  for (const T value : store.values()) expected.push_back({.value = static_cast<double>(value)});
  for (int t = 1; t <= 30; ++t) {
    const std::vector<T> gradients = gradients_of(store, t);
    const double lr = t < 10 ? 1e-2 : 3e-3, scale = t % 2 == 0 ? 0.7 : 1;
    sgd.step(gradients, lr, scale);
    for (const ParameterInfo& info : store.parameters())
      for (std::int64_t i = info.offset; i < info.offset + info.size; ++i) {
        const auto at = static_cast<std::size_t>(i);
        expected[at].step(scale * static_cast<double>(gradients[at]), t, lr, options, info.decay);
      }
  }
  double worst = 0;
  for (std::size_t i = 0; i < expected.size(); ++i)
    worst = std::max(worst, std::abs(static_cast<double>(store.values()[i]) - expected[i].value));
  return worst;
}

TEST_CASE("sgd: PyTorch's formulas, one value at a time") {
  const SGDOptions rows[] = {
      {},
      {.weight_decay = 0.1},
      {.momentum = 0.9},
      {.momentum = 0.9, .weight_decay = 0.1},
      {.momentum = 0.9, .nesterov = true},
      {.momentum = 0.8, .nesterov = true, .weight_decay = 0.1},
  };
  for (const SGDOptions& options : rows) {
    CAPTURE(options.momentum);
    CAPTURE(options.nesterov);
    CHECK(worst_difference<double>(options) < 1e-13);
    CHECK(worst_difference<float>(options) < 4e-6);
  }
}

TEST_CASE("sgd: its state is PyTorch's, and there is none without momentum") {
  ParameterStore<float> store;
  add_parameters(store);
  CHECK(SGD<float>(store).state().empty());
  SGD<float> sgd(store, {.momentum = 0.9});
  REQUIRE(sgd.state().size() == 1);
  CHECK(sgd.state()[0].name == "momentum_buffer");
  sgd.step(gradients_of(store, 1), 0.1);
  CHECK(sgd.steps() == 1);
  CHECK(std::ranges::equal(sgd.state()[0].values.span(), gradients_of(store, 1)));
  CHECK(contains(error_of([&] { SGD<float>(store, {.nesterov = true}); }),
                 "expects a momentum of more than 0"));
}

}  // namespace
