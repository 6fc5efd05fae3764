// What losses must not lose: labels that are ignored, great logits, sums of many elements.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "anther/anther.hpp"

namespace {

using namespace anther;

TEST_CASE("cross_entropy: ignored rows have no loss and no gradient; without any, the same bits") {
  Tensor<float> logits({6, 5});
  for (std::int64_t i = 0; i < logits.size(); ++i)
    logits[i] = static_cast<float>(normal(RandomKey(1), static_cast<std::uint64_t>(i)));
  const std::vector<std::int32_t> labels = {1, -100, 4, 0, -100, 2}, kept = {1, 4, 0, 2};
  Tape<float> tape;
  const auto all = tape.input(logits, true);
  const auto loss = cross_entropy<float>(all, labels);
  Tensor<float> some({4, 5});
  for (std::int64_t row = 0, to = 0; row < 6; ++row)
    if (labels[static_cast<std::size_t>(row)] >= 0)
      for (std::int64_t c = 0; c < 5; ++c) some[to++] = logits[row * 5 + c];
  const auto few = tape.input(some, true);
  const auto expected = cross_entropy<float>(few, kept);
  CHECK(loss.item() == doctest::Approx(expected.item()).epsilon(1e-6));
  tape.backward(loss + expected);
  for (std::size_t row = 0, from = 0; row < 6; ++row)
    for (std::size_t c = 0; c < 5; ++c) {
      const float gradient = all.gradient()[row * 5 + c];
      if (labels[row] < 0)
        CHECK(gradient == 0);
      else
        CHECK(gradient == doctest::Approx(few.gradient()[from++]).epsilon(1e-5));
    }
  // An ignore_index that is no row's label changes nothing.
  tape.begin();
  const auto x = tape.input(some);
  CHECK(cross_entropy<float>(x, kept, {.ignore_index = 3}).item() ==
        cross_entropy<float>(x, kept).item());
  // As in PyTorch, the mean of no rows is not a number, and their sum is 0.
  const std::vector<std::int32_t> none(4, 3);
  CHECK(std::isnan(cross_entropy<float>(x, none, {.ignore_index = 3}).item()));
  CHECK(cross_entropy<float>(x, none, {.ignore_index = 3, .reduction = Reduction::sum}).item() ==
        0);
}

TEST_CASE("cross_entropy with label smoothing, weights and a label left out: PyTorch's formula") {
  const double values[] = {0.5, -1, 2, 1, 0, -2, 3, 3, 1};
  const Tensor<double> logits({3, 3}, values);
  const std::vector<std::int32_t> labels = {2, 0, 7};
  const double weights[] = {1, 2, 0.5}, smoothing = 0.2;
  double sum = 0, all = 0;
  for (std::size_t row = 0; row < 2; ++row) {
    double total = 0;
    for (std::size_t c = 0; c < 3; ++c) total += std::exp(values[row * 3 + c]);
    const auto label = static_cast<std::size_t>(labels[row]);
    for (std::size_t c = 0; c < 3; ++c) {
      const double log_p = values[row * 3 + c] - std::log(total);
      sum -= weights[c] * log_p * (smoothing / 3 + (c == label ? 1 - smoothing : 0));
    }
    all += weights[label];
  }
  Tape<double> tape;
  const auto x = tape.input(logits);
  CHECK(cross_entropy<double>(x, labels,
                              {.label_smoothing = smoothing, .weight = weights, .ignore_index = 7})
            .item() == doctest::Approx(sum / all).epsilon(1e-12));
}

// In float, against the same in double: what is taken off a logit is its row's greatest, exactly.
TEST_CASE("softmax and cross_entropy keep their digits with logits in the hundreds") {
  constexpr std::int64_t rows = 50, classes = 13;
  const RandomKey key(11);
  std::vector<std::int32_t> labels;
  Tensor<float> logits({rows, classes});
  Tensor<double> exact({rows, classes});
  for (std::int64_t row = 0; row < rows; ++row) {
    const double about = 900 * uniform(key.fold("about"), static_cast<std::uint64_t>(row)) - 450;
    for (std::int64_t c = 0; c < classes; ++c) {
      const std::int64_t i = row * classes + c;
      logits[i] = static_cast<float>(about + 3 * normal(key, static_cast<std::uint64_t>(i)));
      exact[i] = static_cast<double>(logits[i]);
    }
    labels.push_back(static_cast<std::int32_t>(row % classes));
  }
  // Results and gradients of everything that has a softmax in it.
  const auto all = [&]<class T>(const Tensor<T>& x) {
    std::vector<double> results;
    const auto add = [&](const auto& make) {
      Tape<T> tape;
      tape.begin();
      const Variable<T> v = tape.input(x, true);
      const Variable<T> y = make(v);
      Tensor<T> weight(y.shape());
      for (std::int64_t i = 0; i < weight.size(); ++i)
        weight[i] = static_cast<T>(normal(RandomKey(5), static_cast<std::uint64_t>(i)));
      results.insert(results.end(), y.value().begin(), y.value().end());
      tape.backward(weighted_sum<T>(y, std::as_const(weight).span()));
      results.insert(results.end(), v.gradient().begin(), v.gradient().end());
    };
    const std::vector<double> weights(classes, 0.7);
    add([&](const Variable<T>& v) { return softmax(v); });
    add([&](const Variable<T>& v) { return softmax(v, 0); });
    add([&](const Variable<T>& v) { return log_softmax(v); });
    // Divided by 1: as large as the probabilities.
    add([&](const Variable<T>& v) { return cross_entropy<T>(v, labels, {.count = 1}); });
    add([&](const Variable<T>& v) {
      return cross_entropy<T>(v, labels, {.label_smoothing = 0.1, .count = 1});
    });
    add([&](const Variable<T>& v) {
      return cross_entropy<T>(v, labels, {.count = 1, .weight = weights});
    });
    add([&](const Variable<T>& v) {
      return cross_entropy<T>(v, labels, {.reduction = Reduction::none});
    });
    return results;
  };
  const std::vector<double> expected = all(exact), got = all(logits);
  REQUIRE(expected.size() == got.size());
  double worst = 0;
  for (std::size_t i = 0; i < got.size(); ++i)
    worst = std::max(worst, std::abs(got[i] - expected[i]) / std::max(1.0, std::abs(expected[i])));
  CHECK(worst < 2e-6);
}

TEST_CASE("binary_cross_entropy_with_logits: small losses keep their digits") {
  Tape<float> tape;
  const float logits[] = {-12, 12, -80, 80, 0, 400}, targets[] = {0, 1, 0, 0, 1, 1};
  const auto y = binary_cross_entropy_with_logits(tape.input({6}, logits), tape.input({6}, targets),
                                                  {}, {.reduction = Reduction::none});
  const double expected[] = {
      6.144193472e-6, 6.144193472e-6, 1.804851387845415e-35, 80, 0.6931471805599453, 0};
  for (std::size_t i = 0; i < 6; ++i)
    CHECK(static_cast<double>(y.value()[i]) == doctest::Approx(expected[i]).epsilon(1e-6));
}

TEST_CASE("triplet_margin_loss: the greatest difference as the norm, and differences of 0") {
  const double infinity = std::numeric_limits<double>::infinity();
  struct Case {
    TripletMarginOptions options;
    std::vector<double> anchor, positive, negative;
    double loss;
    std::vector<double> gradients;  // of the three, one after another
  };
  const Case cases[] = {
      {{.margin = 1, .p = infinity, .eps = 0}, {0, 0}, {3, 1}, {10, 2}, 0, {0, 0, 0, 0, 0, 0}},
      {{.margin = 20, .p = infinity, .eps = 0}, {0, 0}, {3, 1}, {2, 10}, 13, {-1, 1, 1, 0, 0, -1}},
      {{.margin = 20, .p = infinity, .eps = 0},
       {0, 0},
       {3, -3},
       {0, 10},
       13,
       {-0.5, 1.5, 0.5, -0.5, 0, -1}},
      {{.margin = 1, .p = 1, .eps = 0}, {1, 2}, {1, 5}, {1, 2}, 4, {0, -1, 0, 1, 0, 0}}};
  for (const Case& c : cases) {
    CAPTURE(c.loss);
    Tape<double> tape;
    const Variable<double> inputs[] = {tape.input({1, 2}, c.anchor, true),
                                       tape.input({1, 2}, c.positive, true),
                                       tape.input({1, 2}, c.negative, true)};
    const auto loss = triplet_margin_loss(inputs[0], inputs[1], inputs[2], c.options);
    CHECK(loss.item() == c.loss);
    tape.backward(loss);
    for (std::size_t i = 0; i < 6; ++i) CHECK(inputs[i / 2].gradient()[i % 2] == c.gradients[i]);
  }
}

TEST_CASE("losses: what is no number stays so, in gradients too") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float a[] = {1, nan}, b[] = {1, 5}, c[] = {1, 2};
  Tape<float> tape;
  const auto x = tape.input({1, 2}, a, true);
  tape.backward(norm(x));
  for (const float g : x.gradient()) CHECK(std::isnan(g));
  tape.begin();
  const auto y = tape.input({1, 2}, a, true);
  const auto triplet = triplet_margin_loss(y, tape.input({1, 2}, b), tape.input({1, 2}, c));
  CHECK(std::isnan(triplet.item()));
  tape.backward(triplet);
  for (const float g : y.gradient()) CHECK(std::isnan(g));
  // A target that is no probability: its logarithm, for example.
  const float logarithms[] = {-0.5, 0};
  const auto kl = kl_div(tape.input({2}, b), tape.input({2}, logarithms), false,
                         {.reduction = Reduction::none});
  CHECK(std::isnan(kl.value()[0]));
  CHECK(kl.value()[1] == 0);
  const float great[] = {100, 200};
  const auto far =
      kl_div(tape.input({2}, b), tape.input({2}, great), true, {.reduction = Reduction::none});
  for (const float loss : far.value()) CHECK(loss == std::numeric_limits<float>::infinity());
}

TEST_CASE("smooth_l1_loss: a beta whose reciprocal is no float") {
  const float x[] = {1, -2}, zero[] = {0, 0};
  Tape<float> tape;
  const auto input = tape.input({2}, x, true);
  const auto loss = smooth_l1_loss(input, tape.input({2}, zero), 1e-39);
  CHECK(loss.item() == 1.5f);
  tape.backward(loss);
  CHECK(input.gradient()[0] == 0.5f);
  CHECK(input.gradient()[1] == -0.5f);
}

TEST_CASE_TEMPLATE("x / number is rounded once", T, float, double) {
  Tape<T> tape;
  for (int i = 1; i < 2000; ++i) {
    tape.begin();
    const T numbers[] = {static_cast<T>(i), T(1)};
    const auto x = tape.input({2}, numbers, true);
    const auto y = x / static_cast<double>(i);
    REQUIRE(y.value()[0] == 1);
    REQUIRE(y.value()[1] == T(1) / static_cast<T>(i));
    tape.backward(sum(y));
    REQUIRE(x.gradient()[0] == T(1) / static_cast<T>(i));
  }
}

TEST_CASE("losses: the mean of a million elements") {
  Tensor<float> x({1000, 1000}), zero({1000, 1000});
  double expected = 0;
  for (std::int64_t i = 0; i < x.size(); ++i) {
    x[i] = static_cast<float>(uniform(RandomKey(1), static_cast<std::uint64_t>(i)));
    expected += static_cast<double>(x[i]) * static_cast<double>(x[i]) / 1e6;
  }
  Tape<float> tape;
  CHECK(std::abs(static_cast<double>(mse_loss(tape.input(x), tape.input(zero)).item()) / expected -
                 1) < 2e-7);
}

}  // namespace
