// What a model's outputs are worth against the targets: metrics, each a few sums over samples and
// what they say; and the confusion matrix of a classifier.
//
//   fit(model, optimizer, train, val, {.metrics = {top_k(1), top_k(5)}});
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "anther/core/check.hpp"
#include "anther/core/once.hpp"
#include "anther/core/shape.hpp"
#include "anther/data/batch.hpp"

namespace anther::inline v0_1 {

// A share; NaN if the whole is nothing.
inline double share_of(std::int64_t part, std::int64_t whole) {
  return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole)
                   : std::numeric_limits<double>::quiet_NaN();
}

struct MetricInfo {
  std::string name;   // in files: "top1"
  std::string label;  // for people: "top-1"
  bool higher_is_better = true;
  bool is_share = false;  // of 1: shown as a percentage

  friend bool operator==(const MetricInfo&, const MetricInfo&) = default;
};

struct MetricValue {
  MetricInfo info;
  double value = std::numeric_limits<double>::quiet_NaN();
};

// The value of a metric by its name; NaN if there is none.
inline double value_of(std::span<const MetricValue> metrics, std::string_view name) {
  for (const MetricValue& metric : metrics)
    if (metric.info.name == name) return metric.value;
  return std::numeric_limits<double>::quiet_NaN();
}

// The model's outputs for the samples of a batch: (N, ...).
struct Outputs {
  Shape shape;
  std::span<const float> values;
};

// A metric is a function of sums over samples, so that batches can be added in any pieces. The sums
// are the caller's; they begin empty. All functions may be called from several threads at once.
class Metric {
 public:
  virtual ~Metric() = default;
  virtual MetricInfo info() const = 0;
  // Adds a batch, which has targets and indices, but in training no inputs. Throws if outputs and
  // targets do not fit.
  virtual void add(std::vector<double>& sums, const Outputs& outputs,
                   const data::Batch& batch) const = 0;
  // NaN if there is nothing to say.
  virtual double value(std::span<const double> sums) const = 0;
};

using MetricPointer = std::shared_ptr<const Metric>;
using Metrics = std::vector<MetricPointer>;  // the first one says what is best

// The sums of several metrics.
class MetricSums {
 public:
  MetricSums() = default;
  explicit MetricSums(Metrics metrics) : metrics_(std::move(metrics)), sums_(metrics_.size()) {
    for (const MetricPointer& metric : metrics_) {
      detail::check(metric != nullptr, "metrics: expected metrics, got none");
      values_.push_back({metric->info()});
    }
  }

  void reset() {
    for (auto& sums : sums_) std::fill(sums.begin(), sums.end(), 0.0);
  }
  void add(const Outputs& outputs, const data::Batch& batch) {
    for (std::size_t i = 0; i < metrics_.size(); ++i) metrics_[i]->add(sums_[i], outputs, batch);
  }
  // Adds those of other samples, of the same metrics.
  void add(const MetricSums& others) {
    for (std::size_t i = 0; i < metrics_.size(); ++i) {
      const std::vector<double>& other = others.sums_[i];
      if (sums_[i].size() < other.size()) sums_[i].resize(other.size());
      for (std::size_t j = 0; j < other.size(); ++j) sums_[i][j] += other[j];
    }
  }
  const std::vector<MetricValue>& values() {
    for (std::size_t i = 0; i < metrics_.size(); ++i)
      values_[i].value = sums_[i].empty() ? std::numeric_limits<double>::quiet_NaN()
                                          : metrics_[i]->value(sums_[i]);
    return values_;
  }

  std::size_t size() const { return metrics_.size(); }
  const std::string& name(std::size_t i) const { return values_[i].info.name; }
  // To save, and to go on with.
  const std::vector<double>& sums(std::size_t i) const { return sums_[i]; }
  void set_sums(std::size_t i, std::vector<double> sums) { sums_[i] = std::move(sums); }

 private:
  Metrics metrics_;
  std::vector<std::vector<double>> sums_;
  std::vector<MetricValue> values_;
};

// How many classes rank above the label: those with a greater output, or with an equal output and a
// lower index. A NaN ranks above all others. If the output of the label itself is NaN, the rank is
// `classes`.
template <class T>
std::int64_t label_rank(const T* outputs, std::int64_t classes, std::int64_t label) {
  const T own = outputs[label];
  std::int64_t rank = 0;
  for (std::int64_t c = 0; c < classes; ++c)
    rank += outputs[c] < own || (outputs[c] == own && c >= label) ? 0 : 1;
  return rank;
}

namespace detail {

// A sum divided by a count; NaN if the count is 0.
inline double mean_of(double sum, double count) {
  return count > 0 ? sum / count : std::numeric_limits<double>::quiet_NaN();
}

// Calls body(row of K outputs, label) for each label of the batch. The label of a mixed sample is
// the one with the larger share.
template <class Body>
void for_each_label(std::string_view metric, const Outputs& outputs, const data::Batch& batch,
                    const Body& body) {
  const std::int64_t classes = outputs.shape.rank() > 1 ? outputs.shape.back() : 0;
  check(classes > 0 && outputs.shape.rows() == std::ssize(batch.labels), metric,
        ": expected outputs (", batch.labels.size(), ", classes) for as many labels, got ",
        outputs.shape);
  for (std::size_t row = 0; row < batch.labels.size(); ++row) {
    const bool own = batch.labels2.empty() || batch.lambda[row] >= 0.5f;
    const std::int32_t label = own ? batch.labels[row] : batch.labels2[row];
    check(label >= 0 && label < classes, metric, ": expected labels of 0 to ", classes - 1,
          ", got ", label);
    body(outputs.values.data() + static_cast<std::int64_t>(row) * classes, classes, label);
  }
}

// The place of the greatest of K numbers; the first of equal ones.
inline std::int64_t greatest(const float* row, std::int64_t classes) {
  return std::max_element(row, row + classes) - row;
}

// The share of labels that are among the k greatest outputs.
class TopK final : public Metric {
 public:
  TopK(std::int64_t k, MetricInfo info) : k_(k), info_(std::move(info)) {
    check(k >= 1, "top-k: expected a k of at least 1, got ", k);
  }
  MetricInfo info() const override { return info_; }
  void add(std::vector<double>& sums, const Outputs& outputs,
           const data::Batch& batch) const override {
    sums.resize(2);
    for_each_label(info_.name, outputs, batch,
                   [&](const float* row, std::int64_t classes, std::int64_t label) {
                     sums[0] += label_rank(row, classes, label) < k_ ? 1 : 0;
                     ++sums[1];
                   });
  }
  double value(std::span<const double> sums) const override { return mean_of(sums[0], sums[1]); }

 private:
  std::int64_t k_;
  MetricInfo info_;
};

// For each class: how many positions of it were recognised, how many are of it, and how many were
// taken for it.
class MeanIou final : public Metric {
 public:
  MetricInfo info() const override {
    return {.name = "mean_iou", .label = "mean IoU", .is_share = true};
  }
  void add(std::vector<double>& sums, const Outputs& outputs,
           const data::Batch& batch) const override {
    for_each_label("mean_iou", outputs, batch,
                   [&](const float* row, std::int64_t classes, std::int64_t label) {
                     sums.resize(static_cast<std::size_t>(3 * classes));
                     const std::int64_t taken = greatest(row, classes);
                     if (taken == label) ++sums[static_cast<std::size_t>(3 * label)];
                     ++sums[static_cast<std::size_t>(3 * label + 1)];
                     ++sums[static_cast<std::size_t>(3 * taken + 2)];
                   });
  }
  // The mean over the classes that occur, or that something was taken for.
  double value(std::span<const double> sums) const override {
    double total = 0, classes = 0;
    for (std::size_t i = 0; i < sums.size(); i += 3) {
      const double both = sums[i + 1] + sums[i + 2] - sums[i];
      if (both == 0) continue;
      total += sums[i] / both;
      ++classes;
    }
    return mean_of(total, classes);
  }
};

// The mean of |output - target|, or the root of the mean of its square.
class NumberError final : public Metric {
 public:
  explicit NumberError(bool squared) : squared_(squared) {}
  MetricInfo info() const override {
    return squared_ ? MetricInfo{.name = "rmse", .label = "RMSE", .higher_is_better = false}
                    : MetricInfo{
                          .name = "mae", .label = "mean absolute error", .higher_is_better = false};
  }
  void add(std::vector<double>& sums, const Outputs& outputs,
           const data::Batch& batch) const override {
    check(outputs.values.size() == batch.values.size(), info().name,
          ": expected as many numbers as targets as outputs ", outputs.shape, ", got ",
          batch.values.size());
    sums.resize(2);
    for (std::size_t i = 0; i < batch.values.size(); ++i) {
      const double error =
          std::abs(static_cast<double>(outputs.values[i]) - static_cast<double>(batch.values[i]));
      sums[0] += squared_ ? error * error : error;
    }
    sums[1] += static_cast<double>(batch.values.size());
  }
  double value(std::span<const double> sums) const override {
    const double mean = mean_of(sums[0], sums[1]);
    return squared_ ? std::sqrt(mean) : mean;
  }

 private:
  bool squared_;
};

}  // namespace detail

// For classes: the share of samples whose label is among the k greatest outputs, "top1".
inline MetricPointer top_k(std::int64_t k) {
  return std::make_shared<const detail::TopK>(k, MetricInfo{.name = detail::text_of("top", k),
                                                            .label = detail::text_of("top-", k),
                                                            .is_share = true});
}
// For maps of classes: the share of positions that were recognised, and the mean over the classes
// of intersection over union.
inline MetricPointer pixel_accuracy() {
  return std::make_shared<const detail::TopK>(
      1, MetricInfo{.name = "pixel_acc", .label = "pixel accuracy", .is_share = true});
}
inline MetricPointer mean_iou() {
  return std::make_shared<const detail::MeanIou>();
}
// For numbers, over all of them.
inline MetricPointer mean_absolute_error() {
  return std::make_shared<const detail::NumberError>(false);
}
inline MetricPointer root_mean_squared_error() {
  return std::make_shared<const detail::NumberError>(true);
}

// What a metric is, by its name in a file: of those above. Of others it is not known whether higher
// is better.
ANTHER_ONCE MetricInfo metric_info(const std::string& name) {
  if (name.starts_with("top") && name.size() > 3 &&
      name.find_first_not_of("0123456789", 3) == std::string::npos)
    return {.name = name, .label = "top-" + name.substr(3), .is_share = true};
  for (const MetricPointer& metric :
       {pixel_accuracy(), mean_iou(), mean_absolute_error(), root_mean_squared_error()})
    if (metric->info().name == name) return metric->info();
  return {.name = name, .label = name};
}

// How many samples of each class were taken for each class.
class ConfusionMatrix {
 public:
  explicit ConfusionMatrix(std::int64_t classes)
      : classes_(classes), counts_(static_cast<std::size_t>(classes * classes)) {
    detail::check(classes > 0, "confusion matrix: expected at least one class, got ", classes);
  }

  void add(std::int64_t label, std::int64_t predicted) {
    detail::check(label >= 0 && label < classes_ && predicted >= 0 && predicted < classes_,
                  "confusion matrix: expected classes below ", classes_, ", got ", label, " and ",
                  predicted);
    ++counts_[static_cast<std::size_t>(label * classes_ + predicted)];
  }

  std::int64_t classes() const { return classes_; }
  std::int64_t operator()(std::int64_t label, std::int64_t predicted) const {
    return counts_[static_cast<std::size_t>(label * classes_ + predicted)];
  }
  // Samples of a class, and samples that were taken for it.
  std::int64_t labelled(std::int64_t label) const {
    std::int64_t sum = 0;
    for (std::int64_t c = 0; c < classes_; ++c) sum += (*this)(label, c);
    return sum;
  }
  std::int64_t predicted(std::int64_t label) const {
    std::int64_t sum = 0;
    for (std::int64_t c = 0; c < classes_; ++c) sum += (*this)(c, label);
    return sum;
  }
  std::int64_t samples() const {
    std::int64_t sum = 0;
    for (const std::int64_t count : counts_) sum += count;
    return sum;
  }
  std::int64_t correct() const {
    std::int64_t sum = 0;
    for (std::int64_t c = 0; c < classes_; ++c) sum += (*this)(c, c);
    return sum;
  }

  double accuracy() const { return share_of(correct(), samples()); }
  // The share of a class's samples that were found; NaN for a class without samples.
  double recall(std::int64_t label) const {
    return share_of((*this)(label, label), labelled(label));
  }
  // The share of the samples taken for a class that are of this class; NaN if there are none.
  double precision(std::int64_t label) const {
    return share_of((*this)(label, label), predicted(label));
  }
  // The mean of recall over the classes that have samples.
  double macro_recall() const {
    double sum = 0;
    std::int64_t present = 0;
    for (std::int64_t c = 0; c < classes_; ++c) {
      if (labelled(c) == 0) continue;
      sum += recall(c);
      ++present;
    }
    return present > 0 ? sum / static_cast<double>(present)
                       : std::numeric_limits<double>::quiet_NaN();
  }

 private:
  std::int64_t classes_;
  std::vector<std::int64_t> counts_;  // (label, predicted)
};

// log(softmax(logits)) of one row, in double.
template <class T>
std::vector<double> log_softmax_of(std::span<const T> logits) {
  detail::check(!logits.empty(), "log_softmax: expected at least one logit, got none");
  const auto greatest = static_cast<double>(*std::max_element(logits.begin(), logits.end()));
  double sum = 0;
  for (const T logit : logits) sum += std::exp(static_cast<double>(logit) - greatest);
  const double offset = greatest + std::log(sum);
  std::vector<double> result;
  result.reserve(logits.size());
  for (const T logit : logits) result.push_back(static_cast<double>(logit) - offset);
  return result;
}

}  // namespace anther::inline v0_1
