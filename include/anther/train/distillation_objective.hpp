// Distillation as an objective: a model learns from the outputs of a trained one, its teacher.
//
//   const Predictor<float> teacher(trained, {224, 224, 3});
//   distillation_objective(std::cref(teacher), objective_of_the_targets)
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "anther/core/once.hpp"
#include "anther/core/tensor.hpp"
#include "anther/ops/arithmetic.hpp"
#include "anther/ops/loss.hpp"
#include "anther/ops/softmax.hpp"
#include "anther/train/evaluation.hpp"
#include "anther/train/objective.hpp"

namespace anther::inline v0_1 {

// Hinton et al. 2015. The defaults are those of Tian et al. 2020 (Contrastive Representation
// Distillation), who compare many kinds of distillation with this one.
struct DistillationOptions {
  double weight = 0.9;     // of the teacher's part of the loss; the targets' part has the rest
  double temperature = 4;  // what both models' logits are divided by; more: softer probabilities
};

// The inputs of a part of a batch.
ANTHER_ONCE Tensor<float> inputs_of(const data::Batch& batch, SampleRange part) {
  Shape shape = batch.inputs.shape();
  shape[0] = part.count;
  Tensor<float> inputs(shape);
  const std::int64_t each = shape.numel() / std::max<std::int64_t>(1, part.count);
  std::ranges::copy(batch.inputs.span().subspan(static_cast<std::size_t>(part.first * each),
                                                static_cast<std::size_t>(part.count * each)),
                    inputs.data());
  return inputs;
}

// With the weight a, the temperature t, and KL the sum over the classes:
//   (1 - a) objective + a t^2 KL(softmax(teacher / t) || softmax(outputs / t))
// for logits (N, K), or maps of logits (N, ..., K), where a sample's loss is the mean over its
// positions. The teacher is given the inputs of the samples as they are trained on, augmented and
// mixed, from several threads at once; a Predictor is fast at that, and its bits do not depend on
// how the batch is cut. In an evaluation the loss is that of the objective alone. Throws if the
// teacher's outputs are of another shape than the model's.
template <class T = float>
Objective<T> distillation_objective(Predict teacher, std::type_identity_t<Objective<T>> objective,
                                    const DistillationOptions& options = {}) {
  detail::check(teacher && objective, "distillation: expected a teacher and an objective");
  detail::check(options.weight >= 0 && options.weight <= 1,
                "distillation: expected a weight in [0, 1], got ", options.weight);
  detail::check(options.temperature > 0, "distillation: expected a temperature above 0, got ",
                options.temperature);
  return [teacher = std::move(teacher), objective = std::move(objective), options](
             const Variable<T>& outputs, const data::Batch& batch, SampleRange part) {
    const Variable<T> loss = objective(outputs, batch, part);
    Tape<T>& tape = outputs.tape();
    if (!tape.options().training || options.weight == 0) return loss;
    const Tensor<float> logits =
        part.count == batch.size() ? teacher(batch.inputs) : teacher(inputs_of(batch, part));
    tape.check(logits.shape() == outputs.shape(), "distillation: expected a teacher with outputs ",
               outputs.shape(), " as the model's, got ", logits.shape());
    const std::vector<T> given(logits.span().begin(), logits.span().end());
    const double t = options.temperature;
    const auto softened = [&](const Variable<T>& x) { return log_softmax(x / t); };
    const std::int64_t positions = outputs.shape().rows() / std::max<std::int64_t>(1, part.count);
    const Variable<T> divergence =
        kl_div(softened(outputs), softened(tape.input(outputs.shape(), std::span<const T>(given))),
               true, {.count = positions});
    return loss * (1 - options.weight) + divergence * (options.weight * t * t);
  };
}

}  // namespace anther::inline v0_1
