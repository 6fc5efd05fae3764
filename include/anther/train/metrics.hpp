// What a classifier's logits are worth against the labels: loss, top-1, top-5, the confusion
// matrix, and from it each class's accuracy (recall) and precision.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "anther/core/check.hpp"
#include "anther/kernels/cross_entropy.hpp"

namespace anther::inline v0_1 {

// A share; NaN where there is nothing to have a share of.
inline double share_of(std::int64_t part, std::int64_t whole) {
  return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole)
                   : std::numeric_limits<double>::quiet_NaN();
}

// How many images of each class were taken for each class.
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
  // Images of a class, and images that were taken for it.
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
  std::int64_t images() const {
    std::int64_t sum = 0;
    for (const std::int64_t count : counts_) sum += count;
    return sum;
  }
  std::int64_t correct() const {
    std::int64_t sum = 0;
    for (std::int64_t c = 0; c < classes_; ++c) sum += (*this)(c, c);
    return sum;
  }

  double accuracy() const { return share_of(correct(), images()); }
  // The share of a class's images that were found; NaN for a class without images.
  double recall(std::int64_t label) const {
    return share_of((*this)(label, label), labelled(label));
  }
  // The share of the images taken for a class that are of it; NaN where there is none.
  double precision(std::int64_t label) const {
    return share_of((*this)(label, label), predicted(label));
  }
  // The mean of recall over the classes that have images.
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

// Gathers the metrics of batch after batch.
class ClassificationMetrics {
 public:
  explicit ClassificationMetrics(std::int64_t classes) : confusion_(classes) {}

  // logits (N, classes), labels (N). Of equal logits the lower class is first. Throws for a label
  // that is no class, and for a logit that is not finite.
  template <class T>
  void add(std::span<const T> logits, std::span<const std::int32_t> labels) {
    const std::int64_t classes = confusion_.classes();
    detail::check(logits.size() == labels.size() * static_cast<std::size_t>(classes),
                  "metrics: expected ", labels.size(), " rows of ", classes, " logits, got ",
                  logits.size(), " values");
    for (std::size_t n = 0; n < labels.size(); ++n) {
      const auto row =
          logits.subspan(n * static_cast<std::size_t>(classes), static_cast<std::size_t>(classes));
      for (const T logit : row)
        detail::check(std::isfinite(logit), "metrics: image ", images(),
                      " of those evaluated: a logit is ", logit);
      const std::int64_t label = labels[n];
      confusion_.add(label, std::max_element(row.begin(), row.end()) - row.begin());
      top5_ += kernels::label_rank(row.data(), classes, label) < 5 ? 1 : 0;
      loss_ -= log_softmax_of(row)[static_cast<std::size_t>(label)];
      ++images_;
    }
  }

  std::int64_t images() const { return images_; }
  double loss() const { return loss_ / static_cast<double>(images_); }
  double top1() const { return confusion_.accuracy(); }
  double top5() const { return share_of(top5_, images_); }
  const ConfusionMatrix& confusion() const { return confusion_; }

 private:
  ConfusionMatrix confusion_;
  std::int64_t images_ = 0, top5_ = 0;
  double loss_ = 0;  // the sum
};

}  // namespace anther::inline v0_1
