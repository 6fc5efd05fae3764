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

TEST_CASE("metrics: a confusion matrix counted by hand") {
  ConfusionMatrix matrix(3);
  // label, predicted: class 2 has no image, class 1 is never right
  for (const auto& [label, predicted] : {std::pair{0, 0}, {0, 0}, {0, 1}, {1, 2}, {1, 0}})
    matrix.add(label, predicted);
  CHECK(matrix.samples() == 5);
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

TEST_CASE("metrics: top-1 and top-5 against a sort of every row") {
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
  for (std::size_t n = 0; n < images; ++n) {
    std::vector<int> order;
    for (int c = 0; c < static_cast<int>(classes); ++c) order.push_back(c);
    const float* row = &logits[n * classes];
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return row[a] > row[b]; });
    const auto place = std::find(order.begin(), order.end(), labels[n]) - order.begin();
    top1 += place < 1;
    top5 += place < 5;
  }

  const auto batch_of = [&](std::size_t first, std::size_t count) {
    data::Batch batch;
    batch.labels.assign(labels.begin() + static_cast<std::ptrdiff_t>(first),
                        labels.begin() + static_cast<std::ptrdiff_t>(first + count));
    batch.indices.resize(count);
    return batch;
  };
  const auto outputs_of = [&](std::size_t first, std::size_t count) {
    return Outputs{{static_cast<std::int64_t>(count), 9},
                   std::span<const float>(logits).subspan(first * classes, count * classes)};
  };
  MetricSums metrics({top_k(1), top_k(5), pixel_accuracy()}),
      part({top_k(1), top_k(5), pixel_accuracy()});
  CHECK(std::isnan(metrics.values()[0].value));
  metrics.add(outputs_of(0, 50), batch_of(0, 50));
  part.add(outputs_of(50, 150), batch_of(50, 150));
  metrics.add(part);
  CHECK(metrics.values()[0].value == top1 / 200.0);
  CHECK(metrics.values()[1].value == top5 / 200.0);
  CHECK(value_of(metrics.values(), "top5") == top5 / 200.0);
  CHECK(value_of(metrics.values(), "pixel_acc") == top1 / 200.0);
  CHECK(std::isnan(value_of(metrics.values(), "top7")));
  CHECK(top1 < top5);
  // To go on from sums that were saved.
  MetricSums resumed({top_k(1), top_k(5), pixel_accuracy()});
  for (std::size_t i = 0; i < metrics.size(); ++i) resumed.set_sums(i, metrics.sums(i));
  CHECK(resumed.values()[1].value == top5 / 200.0);
  metrics.reset();
  CHECK(std::isnan(metrics.values()[0].value));
}

TEST_CASE("metrics: great logits do not overflow") {
  const std::vector<float> row = {1e30f, 0, -1e30f};
  const std::vector<double> log_probabilities = log_softmax_of<float>(row);
  CHECK(log_probabilities[0] == 0);
  CHECK(log_probabilities[2] < -1e29);
}

TEST_CASE("metrics: a label's rank, equal outputs and ones that are no numbers included") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float row[] = {2, 3, 3, nan, 1};
  CHECK(label_rank(row, 5, 1) == 1);  // after the NaN
  CHECK(label_rank(row, 5, 2) == 2);  // the lower of equal ones is first
  CHECK(label_rank(row, 5, 0) == 3);
  CHECK(label_rank(row, 5, 4) == 4);
  CHECK(label_rank(row, 5, 3) == 5);
}

TEST_CASE("metrics: of mixed samples the class counts of which there is more") {
  data::Batch batch;
  batch.labels = {0, 0, 0};
  batch.labels2 = {1, 1, 1};
  batch.lambda = {0.75f, 0.5f, 0.25f};
  batch.indices.resize(3);
  const std::vector<float> outputs = {1, 0, 1, 0, 0, 1};
  MetricSums metrics({top_k(1)});
  metrics.add({{3, 2}, outputs}, batch);
  CHECK(metrics.values()[0].value == 1);
}

TEST_CASE("metrics: errors of numbers") {
  data::Batch batch;
  batch.values = {1, 2, -1, 4};
  batch.indices.resize(2);
  const std::vector<float> outputs = {1, 4, 0, 8};
  MetricSums metrics({mean_absolute_error(), root_mean_squared_error()});
  metrics.add({{2, 2}, outputs}, batch);
  CHECK(metrics.values()[0].value == doctest::Approx(7.0 / 4));
  CHECK(metrics.values()[1].value == doctest::Approx(std::sqrt(21.0 / 4)));
  CHECK_FALSE(metrics.values()[0].info.higher_is_better);
  const std::vector<float> few = {1, 2};
  CHECK(contains(error_of([&] { metrics.add({{2, 1}, few}, batch); }), "mae: expected as many"));
}

TEST_CASE("metrics: the mean IoU of a map, by hand") {
  // Of class 0 two positions, one found; of class 1 one, found, and another taken for it; class 2
  // is taken for one of class 1; class 3 there is none.
  data::Batch batch;
  batch.labels = {0, 0, 1, 1};
  batch.target_shape = {2, 2};
  batch.indices.resize(1);
  const std::vector<float> outputs = {1,      0, 0, 0, /**/ 0, 1, 0, 0,
                                      /**/ 0, 1, 0, 0, /**/ 0, 0, 1, 0};
  MetricSums metrics({mean_iou(), pixel_accuracy()});
  metrics.add({{1, 2, 2, 4}, outputs}, batch);
  CHECK(metrics.values()[0].value == doctest::Approx((1.0 / 2 + 1.0 / 3 + 0) / 3));
  CHECK(metrics.values()[1].value == 0.5);
}

TEST_CASE("metrics: what is wrong with a batch is said, and what a name in a file means") {
  MetricSums metrics({top_k(1)});
  data::Batch batch;
  batch.indices.resize(1);
  const auto add = [&](std::int32_t label, const std::vector<float>& outputs) {
    batch.labels = {label};
    return error_of([&] { metrics.add({{1, std::ssize(outputs)}, outputs}, batch); });
  };
  CHECK(contains(add(3, {1, 2, 3}), "top1: expected labels of 0 to 2, got 3"));
  CHECK(contains(add(-1, {1, 2, 3}), "got -1"));
  CHECK(add(1, {1, 2}).empty());
  const std::vector<float> two_rows = {1, 2, 3, 4};
  CHECK(contains(error_of([&] {
                   metrics.add({{2, 2}, two_rows}, batch);
                 }),
                 "expected outputs (1, classes)"));
  CHECK(contains(error_of([] { top_k(0); }), "at least 1"));
  CHECK(metric_info("top5") == top_k(5)->info());
  CHECK(metric_info("mean_iou").is_share);
  CHECK_FALSE(metric_info("rmse").higher_is_better);
  CHECK(metric_info("topaz").label == "topaz");
}

}  // namespace
