// Evaluating a model on all samples of a loader.
#pragma once

#include <cstdint>
#include <functional>

#include "anther/autograd/tape.hpp"
#include "anther/core/tensor.hpp"
#include "anther/data/loader.hpp"
#include "anther/train/callback.hpp"
#include "anther/train/metrics.hpp"
#include "anther/train/objective.hpp"

namespace anther::inline v0_1 {

// Gives a model's outputs (N, ...) for inputs (N, ...): std::cref(predictor), for example.
using Predict = std::function<Tensor<float>(const Tensor<float>& inputs)>;

// Evaluates a model on all samples of a loader. objective: how the loss is computed; if it is
// empty, there is no loss. Ends early if stop() says so.
inline StepReport evaluate(const Predict& predict, data::Loader& loader,
                           const Objective<float>& objective, const Metrics& metrics = {},
                           const Callbacks& callbacks = {},
                           const std::function<bool()>& stop = {}) {
  StepReport report;
  report.steps = loader.batches();
  report.all_samples = loader.samples();
  if (!objective) report.loss = report.mean_loss = EpochReport::none;
  MetricSums sums(metrics), own(metrics);
  Tape<float> tape;
  callbacks([&](Callback& c) { c.on_evaluation_begin(report.steps, report.all_samples); });
  loader.start_epoch(0);
  for (data::Batch batch; loader.next(batch);) {
    const Tensor<float> results = predict(batch.inputs);
    BatchResult result{.loss = EpochReport::none, .samples = batch.size()};
    if (objective) {
      tape.begin({.training = false, .backward = false});
      const Variable<float> loss = objective(tape.input(results), batch, {0, batch.size()});
      result.loss = static_cast<double>(loss.item()) / static_cast<double>(batch.size());
    }
    const Outputs outputs{results.shape(), results.span()};
    own.reset();
    own.add(outputs, batch);
    sums.add(own);
    accumulate(report, result);
    report.batch_metrics = own.values();
    report.metrics = sums.values();
    callbacks([&](Callback& c) {
      c.on_outputs(outputs, batch);
      c.on_evaluation_step(report);
    });
    if (stop && stop()) break;
  }
  return report;
}

}  // namespace anther::inline v0_1
