// Softmax cross-entropy as an objective: of classes, mixed samples, and maps of classes.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

#include "anther/core/once.hpp"
#include "anther/ops/cross_entropy.hpp"
#include "anther/train/objective.hpp"

namespace anther::inline v0_1 {

// Logit adjustment by the class prior (Menon et al. 2021, equation 10): tau log prior for each
// class, which has as many samples as `counts` says. A class without any counts as half a sample.
ANTHER_ONCE std::vector<double> class_prior_offsets(std::span<const std::int64_t> counts,
                                                    double tau) {
  std::vector<double> offsets;
  double all = 0;
  for (const std::int64_t count : counts) all += static_cast<double>(count);
  for (const std::int64_t count : counts)
    offsets.push_back(tau * std::log(std::max(0.5, static_cast<double>(count)) / all));
  return offsets;
}

// In an evaluation neither of them is used.
struct CrossEntropyObjectiveOptions {
  double label_smoothing = 0;
  // Added to the logits in the training loss, one number for each class: class_prior_offsets, for
  // example.
  std::vector<double> logit_offsets = {};
};

// Softmax cross-entropy of logits (N, K) and a class each; or of (N, ..., K) and maps of classes,
// (N, ...), where a sample's loss is the mean over its positions.
template <class T = float>
Objective<T> cross_entropy_objective(const CrossEntropyObjectiveOptions& options = {}) {
  const std::vector<T> offsets(options.logit_offsets.begin(), options.logit_offsets.end());
  return [offsets, smoothing = options.label_smoothing](
             Variable<T> logits, const data::Batch& batch, SampleRange part) {
    const std::int64_t samples = batch.size();
    const bool training = logits.tape().options().training;
    if (training && !offsets.empty())
      logits = adjust_logits<T>(logits, std::span<const T>(offsets));
    const std::int64_t positions = batch.target_shape.numel();
    const CrossEntropyOptions own{.label_smoothing = training ? smoothing : 0, .count = positions};
    Labels<T> labels{of_samples(batch.labels, samples, part),
                     of_samples(batch.labels2, samples, part)};
    if constexpr (std::is_same_v<T, float>) {
      labels.lambda = of_samples(batch.lambda, samples, part);
      return cross_entropy(logits, labels, own);
    } else {
      const auto lambda = of_samples(batch.lambda, samples, part);
      const std::vector<T> converted(lambda.begin(), lambda.end());
      labels.lambda = converted;
      return cross_entropy(logits, labels, own);
    }
  };
}

}  // namespace anther::inline v0_1
