#include "anther/train/metrics.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "anther/core/random.hpp"
#include "tests/io/temporary_folder.hpp"

namespace {

using namespace anther;
using namespace anther::kernels;

TEST_CASE("metrics: a confusion matrix counted by hand") {
  ConfusionMatrix matrix(3);
  // label, predicted: class 2 has no image, class 1 is never right
  for (const auto& [label, predicted] : {std::pair{0, 0}, {0, 0}, {0, 1}, {1, 2}, {1, 0}})
    matrix.add(label, predicted);
  CHECK(matrix.images() == 5);
  CHECK(matrix.correct() == 2);
  CHECK(matrix(0, 0) == 2);
  CHECK(matrix(0, 1) == 1);
  CHECK(matrix(1, 0) == 1);
  CHECK(matrix(1, 2) == 1);
  CHECK(matrix(1, 1) == 0);
  CHECK(matrix.labelled(0) == 3);
  CHECK(matrix.predicted(0) == 3);
  CHECK(matrix.accuracy() == doctest::Approx(0.4));
  CHECK(matrix.recall(0) == doctest::Approx(2.0 / 3));
  CHECK(matrix.recall(1) == 0);
  CHECK(std::isnan(matrix.recall(2)));
  CHECK(matrix.precision(0) == doctest::Approx(2.0 / 3));
  CHECK(matrix.precision(2) == 0);
  CHECK(matrix.macro_recall() == doctest::Approx(1.0 / 3));
}

TEST_CASE("metrics: a confusion matrix of nothing, and classes that there are not") {
  CHECK(std::isnan(ConfusionMatrix(2).accuracy()));
  CHECK(std::isnan(ConfusionMatrix(2).macro_recall()));
  CHECK(contains(error_of([] { ConfusionMatrix(0); }), "at least one class"));
  CHECK(contains(error_of([] { ConfusionMatrix(2).add(2, 0); }), "below 2, got 2 and 0"));
  CHECK(contains(error_of([] { ConfusionMatrix(2).add(0, -1); }), "got 0 and -1"));
}

TEST_CASE("metrics: top-1, top-5 and loss against a sort of every row") {
  constexpr std::size_t classes = 9, images = 200;
  std::vector<float> logits(classes * images);
  std::vector<std::int32_t> labels;
  const RandomKey key(5);
  // Whole numbers, so that many are equal.
  for (std::size_t i = 0; i < logits.size(); ++i)
    logits[i] = static_cast<float>(uniform_below(key, i, 6));
  for (std::size_t n = 0; n < images; ++n)
    labels.push_back(static_cast<std::int32_t>(uniform_below(key.fold(1), n, classes)));

  int top1 = 0, top5 = 0;
  double loss = 0;
  for (std::size_t n = 0; n < images; ++n) {
    std::vector<int> order;
    for (int c = 0; c < static_cast<int>(classes); ++c) order.push_back(c);
    const float* row = &logits[n * classes];
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return row[a] > row[b]; });
    const auto place = std::find(order.begin(), order.end(), labels[n]) - order.begin();
    top1 += place < 1;
    top5 += place < 5;
    double sum = 0;
    for (std::size_t c = 0; c < classes; ++c) sum += std::exp(double{row[c]});
    loss -= std::log(std::exp(double{row[labels[n]]}) / sum);
  }

  ClassificationMetrics metrics(classes);
  const std::span<const float> all(logits);
  const std::span<const std::int32_t> all_labels(labels);
  metrics.add(all.first(50 * classes), all_labels.first(50));
  metrics.add(all.subspan(50 * classes), all_labels.subspan(50));
  CHECK(metrics.images() == 200);
  CHECK(metrics.top1() == top1 / 200.0);
  CHECK(metrics.top5() == top5 / 200.0);
  CHECK(metrics.loss() == doctest::Approx(loss / 200));
  CHECK(metrics.confusion().correct() == top1);
  CHECK(top1 < top5);
}

TEST_CASE("metrics: great logits do not overflow") {
  const std::vector<float> row = {1e30f, 0, -1e30f};
  const std::vector<double> log_probabilities = log_softmax_of<float>(row);
  CHECK(log_probabilities[0] == 0);
  CHECK(log_probabilities[2] < -1e29);
}

TEST_CASE("metrics: what is wrong with a batch is said") {
  ClassificationMetrics metrics(2);
  const std::vector<std::int32_t> labels = {1};
  const auto add = [&](std::vector<float> logits) {
    return error_of([&] { metrics.add<float>(logits, labels); });
  };
  CHECK(contains(add({1, 2, 3}), "expected 1 rows of 2 logits, got 3"));
  CHECK(contains(add({1, std::numeric_limits<float>::quiet_NaN()}), "image 0"));
  CHECK(add({1, 2}).empty());
}

}  // namespace
