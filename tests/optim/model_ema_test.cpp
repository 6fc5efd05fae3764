#include "anther/optim/model_ema.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "tests/io/temporary_folder.hpp"
#include "tests/optim/small_store.hpp"

namespace {

TEST_CASE("model ema: the average, one value at a time, running statistics too") {
  for (const double decay : {0.5, 0.9, 0.9999}) {
    CAPTURE(decay);
    ParameterStore<double> store;
    store.add_buffer("norm.running_mean", {.shape = {9}, .init = Init::normal(1)});
    add_parameters(store);
    ModelEma<double> ema(store, decay);
    std::vector<double> expected(store.values().begin(), store.values().end()),
        buffers(store.buffer_values().begin(), store.buffer_values().end());
    for (int t = 1; t <= 60; ++t) {
      std::uint64_t n = 0;
      const RandomKey key = RandomKey(3).fold(static_cast<std::uint64_t>(t));
      {
        const auto edit = store.edit();
        for (double& value : edit.values()) value += normal(key, n++);
        for (double& value : edit.buffer_values()) value += normal(key, n++);
      }
      ema.update(t);
      const double d = std::min(decay, (1.0 + t) / (10.0 + t));
      for (std::size_t i = 0; i < expected.size(); ++i)
        expected[i] = d * expected[i] + (1 - d) * store.values()[i];
      for (std::size_t i = 0; i < buffers.size(); ++i)
        buffers[i] = d * buffers[i] + (1 - d) * store.buffer_values()[i];
    }
    for (std::size_t i = 0; i < expected.size(); ++i)
      CHECK(ema.values()[i] == doctest::Approx(expected[i]).epsilon(1e-12));
    for (std::size_t i = 0; i < buffers.size(); ++i)
      CHECK(ema.buffer_values()[i] == doctest::Approx(buffers[i]).epsilon(1e-12));
  }
  ParameterStore<double> store;
  add_parameters(store);
  const ModelEma<double> ema(store, 0.99);
  CHECK(ema.decay_at(1) == 2.0 / 11);
  CHECK(ema.decay_at(100) == 101.0 / 110);
  CHECK(ema.decay_at(10'000) == 0.99);
}

TEST_CASE("model ema: swapped twice, all is as it was") {
  ParameterStore<float> store;
  add_parameters(store);
  ModelEma<float> ema(store, 0.9);
  {
    const auto edit = store.edit();
    for (float& value : edit.values()) value += 1;
  }
  const std::vector<float> weights(store.values().begin(), store.values().end()),
      average(ema.values().begin(), ema.values().end());
  ema.swap();
  CHECK(std::ranges::equal(store.values(), average));
  ema.swap();
  CHECK(std::ranges::equal(store.values(), weights));
  CHECK(std::ranges::equal(ema.values(), average));
  ema.reset();
  CHECK(std::ranges::equal(ema.values(), weights));
  for (const double wrong : {-0.1, 1.0, std::nan("")})
    CHECK(
        contains(error_of([&] { ModelEma<float>(store, wrong); }), "model ema: expected a decay"));
}

}  // namespace
