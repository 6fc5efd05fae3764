// What a classifier predicted for each sample of a data set, and the confusion matrix. Both are
// gathered from an evaluation that runs anyway: that of fit() or of evaluate().
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "anther/train/fit.hpp"
#include "anther/train/metrics.hpp"

namespace anther::inline v0_1 {

// Of one sample of a data set.
struct Prediction {
  std::int64_t index = 0;      // in the data set
  std::int32_t label = 0;      // its class
  std::int32_t predicted = 0;  // the class that was taken for it
  double probability = 0;      // of the predicted class
  double label_probability = 0;

  bool correct() const { return predicted == label; }
};

struct Evaluation {
  StepReport report = {};  // loss and metrics of all samples
  ConfusionMatrix confusion;
  std::vector<Prediction> predictions = {};  // in the data set's order
  double seconds = 0;                        // loading included
};

// Keeps the predictions of the evaluation that ran last: with averaged weights, if there are such.
class PredictionsCallback : public Callback {
 public:
  explicit PredictionsCallback(std::int64_t classes)
      : evaluation_{.confusion = ConfusionMatrix(classes)} {}

  void on_evaluation_begin(std::int64_t, std::int64_t) override {
    evaluation_ = {.confusion = ConfusionMatrix(evaluation_.confusion.classes())};
    began_ = std::chrono::steady_clock::now();
    not_finite_.clear();
  }
  void on_outputs(const Outputs& outputs, const data::Batch& batch) override {
    const std::int64_t classes = evaluation_.confusion.classes();
    detail::check(
        outputs.shape == Shape{batch.size(), classes} && std::ssize(batch.labels) == batch.size(),
        "predictions: expected outputs (N, ", classes, ") and N labels, got ", outputs.shape,
        " and ", batch.labels.size(), " labels");
    for (std::size_t n = 0; n < batch.labels.size(); ++n) {
      const auto size = static_cast<std::size_t>(classes);
      const std::span<const float> row = outputs.values.subspan(n * size, size);
      for (const float logit : row)
        if (!std::isfinite(logit) && not_finite_.empty())
          not_finite_ = detail::text_of("evaluation: sample ", evaluation_.predictions.size(),
                                        " of those evaluated: a logit is ", logit);
      const std::vector<double> log_probabilities = log_softmax_of(row);
      const auto best = std::max_element(row.begin(), row.end()) - row.begin();
      const std::int32_t label = batch.labels[n];
      evaluation_.confusion.add(label, best);
      evaluation_.predictions.push_back(
          {.index = batch.indices[n],
           .label = label,
           .predicted = static_cast<std::int32_t>(best),
           .probability = std::exp(log_probabilities[static_cast<std::size_t>(best)]),
           .label_probability = std::exp(log_probabilities[static_cast<std::size_t>(label)])});
    }
  }
  void on_evaluation_step(const StepReport& report) override {
    evaluation_.report = report;
    evaluation_.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - began_).count();
  }

  // Throws if one of its logits was not finite.
  const Evaluation& evaluation() const {
    detail::check(not_finite_.empty(), not_finite_);
    return evaluation_;
  }

 private:
  Evaluation evaluation_;
  std::chrono::steady_clock::time_point began_ = {};
  std::string not_finite_;
};

}  // namespace anther::inline v0_1
