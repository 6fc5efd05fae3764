// What training makes small: a function from a model's outputs and a batch's targets to a loss.
//
//   fit(model, optimizer, train, val, {.objective = cross_entropy_objective({.label_smoothing =
//   0.1})});
//
// One of one's own is a lambda of the same arguments:
//
//   const Objective<float> halved = [](const Variable<float>& outputs, const data::Batch& batch,
//                                      SampleRange part) { return 0.5 * ...; };
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "anther/autograd/tape.hpp"
#include "anther/data/batch.hpp"
#include "anther/ops/cross_entropy.hpp"
#include "anther/ops/mse.hpp"

namespace anther::inline v0_1 {

// Neighbouring samples of a batch.
struct SampleRange {
  std::int64_t first = 0;
  std::int64_t count = 0;
};

// outputs (count, ...): the model's, of these samples of the batch. Gives a scalar, the sum of the
// samples' losses: whoever calls divides by the number of samples. tape.options().training says
// whether it is for a step or for an evaluation. Several threads call it at once, each with a tape
// of its own.
template <class T>
using Objective = std::function<Variable<T>(const Variable<T>& outputs, const data::Batch& batch,
                                            SampleRange part)>;

// Numbers of each sample, those of the samples in a range.
template <class U>
std::span<const U> of_samples(const std::vector<U>& all, std::int64_t samples, SampleRange part) {
  if (all.empty() || samples == 0) return {};
  const std::size_t each = all.size() / static_cast<std::size_t>(samples);
  return std::span(all).subspan(static_cast<std::size_t>(part.first) * each,
                                static_cast<std::size_t>(part.count) * each);
}

// Logit adjustment by the class prior (Menon et al. 2021, equation 10): tau log prior of each
// class, with as many samples of it as `counts` says. A class without any counts as half a sample.
inline std::vector<double> class_prior_offsets(std::span<const std::int64_t> counts, double tau) {
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
  // Added to the logits in the training loss, one number a class: class_prior_offsets, say.
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

// The squared error of outputs (N, ...) and targets that are as many numbers, (N, ...): the mean
// over a sample's numbers.
template <class T = float>
Objective<T> mse_objective() {
  return [](const Variable<T>& outputs, const data::Batch& batch, SampleRange part) {
    Tape<T>& tape = outputs.tape();
    const std::span<const float> values = of_samples(batch.values, batch.size(), part);
    tape.check(std::ssize(values) == outputs.shape().numel(), "mse: expected ",
                     outputs.shape().numel(), " numbers as targets of outputs ", outputs.shape(),
                     ", got ", values.size());
    const std::int64_t each = outputs.shape().numel() / std::max<std::int64_t>(1, part.count);
    if constexpr (std::is_same_v<T, float>) {
      return mse_loss(outputs, tape.input(outputs.shape(), values), {.count = each});
    } else {
      const std::vector<T> converted(values.begin(), values.end());
      return mse_loss(outputs, tape.input(outputs.shape(), std::span<const T>(converted)),
                      {.count = each});
    }
  };
}

}  // namespace anther::inline v0_1
