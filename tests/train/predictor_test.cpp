#include "anther/train/predictor.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "anther/data/vision/mirror.hpp"
#include "anther/models/edgevit/edgevit.hpp"
#include "anther/ops/reduce.hpp"
#include "anther/ops/shape.hpp"
#include "anther/train/flip.hpp"

namespace {

using namespace anther;

Tensor<float> random_values(const Shape& shape) {
  Tensor<float> values(shape);
  for (std::int64_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>(uniform(RandomKey(7), static_cast<std::uint64_t>(i)));
  return values;
}

// What a tape gives for all samples at once.
std::vector<float> eager(const Module<float>& model, const Tensor<float>& samples) {
  Tape<float> tape;
  tape.begin({.training = false, .backward = false});
  const Variable<float> output = model(tape.input(samples));
  return {output.value().begin(), output.value().end()};
}

std::vector<float> copy_of(std::span<const float> values) {
  return {values.begin(), values.end()};
}

struct Mlp : Module<float> {
  explicit Mlp(const Scope<float>& scope)
      : Module(scope, "Mlp"), in(scope / "in", 5, 16), out(scope / "out", 16, 3) {}
  Variable<float> forward(Variable<float> x) const override { return out(relu(in(x))); }
  Linear<float> in, out;
};

TEST_CASE("predictor: any number of samples, parts and threads has the bits of a tape") {
  for (const char* preset : {"improved", "original"}) {
    CAPTURE(preset);
    ParameterStore<float> store;
    const EdgeViT<float> model(store, edgevit_options("xxs", 6, preset));
    store.initialize(5);
    const Tensor<float> images = random_values({7, 64, 64, 3});
    const std::vector<float> expected = eager(model, images);
    for (const int part : {0, 1, 2, 3, 7, 100})
      for (const int threads : {1, 2, 3}) {
        CAPTURE(part);
        CAPTURE(threads);
        set_num_threads(threads);
        const Predictor<float> predictor(model, {64, 64, 3}, {.part = part});
        CHECK(predictor.output_shape() == Shape{6});
        const Tensor<float> logits = predictor(images);
        CHECK(logits.shape() == Shape{7, 6});
        CHECK(copy_of(logits.span()) == expected);
        // Again, and the first of them alone.
        CHECK(predictor(images.span()) == expected);
        for (const std::int64_t count : {1, 2, 5}) {
          const auto elements = static_cast<std::size_t>(count * 64 * 64 * 3);
          CHECK(predictor(images.span().first(elements)) ==
                std::vector<float>(expected.begin(), expected.begin() + count * 6));
        }
      }
    set_num_threads(0);
  }
}

TEST_CASE("predictor: samples that are vectors, in passes of many") {
  ParameterStore<float> store;
  const Mlp model(store);
  store.initialize(2);
  const Tensor<float> samples = random_values({1000, 5});
  const Predictor<float> predictor(model, {5});
  CHECK(predictor(samples.span()) == eager(model, samples));
  CHECK(predictor(std::span<const float>()).empty());
  store.initialize(3);  // it sees weights that have changed
  CHECK(predictor(samples.span()) == eager(model, samples));
}

TEST_CASE("predictor: several threads may ask one") {
  ParameterStore<float> store;
  const Mlp model(store);
  store.initialize(2);
  const Tensor<float> samples = random_values({600, 5});
  const std::vector<float> expected = eager(model, samples);
  const Predictor<float> predictor(model, {5}, {.part = 16});
  std::vector<std::vector<float>> results(4);
  std::vector<std::thread> threads;
  for (auto& result : results)
    threads.emplace_back([&] {
      for (int again = 0; again < 20; ++again) result = predictor(samples.span());
    });
  for (std::thread& thread : threads) thread.join();
  for (const auto& result : results) CHECK(result == expected);
}

TEST_CASE("predictor: its memory is that of the plans of its threads, whatever the samples") {
  ParameterStore<float> store;
  const Mlp model(store);
  store.initialize(2);
  set_num_threads(2);
  const Predictor<float> predictor(model, {5}, {.part = 8});
  const Inference<float> plan(model, {8, 5});
  for (const std::int64_t count : {1, 3, 40, 13, 803, 804, 805, 806})
    predictor(random_values({count, 5}).span());
  CHECK(predictor.memory_bytes() <= 3 * plan.memory_bytes());
  set_num_threads(0);
}

TEST_CASE("predictor: samples of another size are refused") {
  ParameterStore<float> store;
  const Mlp model(store);
  store.initialize(2);
  const Predictor<float> predictor(model, {5});
  const std::vector<float> seven(7);
  CHECK_THROWS_WITH_AS(predictor(std::span<const float>(seven)),
                       doctest::Contains("5 elements each, got 7"), Error);
  CHECK_THROWS_WITH_AS(predictor(random_values({2, 6})), doctest::Contains("got the shape (2, 6)"),
                       Error);
  CHECK_THROWS_AS(Predictor<float>(model, Shape{6}), Error);
}

// Its result, of a batch (N, 5): a mean over all, rows of other samples, or one row too few for
// two.
struct NotOfSamples : Module<float> {
  NotOfSamples(const Scope<float>& scope, int kind)
      : Module(scope, "NotOfSamples"), kind_(kind), in(scope / "in", 5, 4) {}
  Variable<float> forward(Variable<float> x) const override {
    const Variable<float> y = in(x);
    if (kind_ == 0) return mean(y);
    if (kind_ == 1) return reshape(y, {-1, 2});
    return x.shape()[0] == 1 ? y : reshape(y, {x.shape()[0], 2, 2});
  }
  int kind_;
  Linear<float> in;
};

TEST_CASE("predictor: a result that is not one for each sample is refused") {
  for (int kind = 0; kind < 3; ++kind) {
    CAPTURE(kind);
    ParameterStore<float> store;
    const NotOfSamples model(store, kind);
    store.initialize(1);
    const Tensor<float> samples = random_values({6, 5});
    set_num_threads(2);
    try {
      const Predictor<float> predictor(model, {5}, {.part = 3});
      CHECK(kind == 2);  // of one sample it is right
      predictor(samples);
      FAIL_CHECK("not refused");
    } catch (const Error& error) {
      CHECK(std::string(error.what()).find("predictor: expected") != std::string::npos);
    }
  }
}

TEST_CASE("flip: the mean of the probabilities of two views") {
  const std::vector<float> a{1, 2, 3, 0, 0, 0}, b{0, 5, 1, 9, 0, 0};
  const std::vector<float> mean = mean_of_views<float>(a, b, 3);
  CHECK(mean == mean_of_views<float>(b, a, 3));
  for (std::size_t row = 0; row < 6; row += 3) {
    const auto p = log_softmax_of(std::span<const float>(a).subspan(row, 3)),
               q = log_softmax_of(std::span<const float>(b).subspan(row, 3));
    for (std::size_t c = 0; c < 3; ++c)
      CHECK(std::exp(static_cast<double>(mean[row + c])) ==
            doctest::Approx((std::exp(p[c]) + std::exp(q[c])) / 2));
  }
  const std::vector<float> images{1, 2, 3, 4, 5, 6};
  CHECK(vision::mirrored<float>({1, 1, 2, 3}, images) == std::vector<float>{4, 5, 6, 1, 2, 3});
}

}  // namespace
