// Evaluating a model on all samples of a loader.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "anther/autograd/tape.hpp"
#include "anther/core/once.hpp"
#include "anther/core/tensor.hpp"
#include "anther/data/loader.hpp"
#include "anther/distributed/message.hpp"
#include "anther/distributed/process_group.hpp"
#include "anther/distributed/texts.hpp"
#include "anther/train/agreement.hpp"
#include "anther/train/callback.hpp"
#include "anther/train/metrics.hpp"
#include "anther/train/objective.hpp"

namespace anther::inline v0_1 {

// Gives a model's outputs (N, ...) for inputs (N, ...): std::cref(predictor), for example.
using Predict = std::function<Tensor<float>(const Tensor<float>& inputs)>;

namespace detail {

// A batch of an evaluation: its loss, the sums of its metrics, and the model's outputs.
struct EvaluatedBatch {
  explicit EvaluatedBatch(const Metrics& metrics) : sums(metrics) {}

  void evaluate(const Predict& predict, const Objective<float>& objective, Tape<float>& tape) {
    outputs = predict(batch.inputs);
    result = {.loss = EpochReport::none, .samples = batch.size()};
    if (objective) {
      tape.begin({.training = false, .backward = false});
      const Variable<float> loss = objective(tape.input(outputs), batch, {0, batch.size()});
      result.loss = static_cast<double>(loss.item()) / static_cast<double>(batch.size());
      if (!std::isfinite(result.loss)) {
        const std::string bad = data::not_finite(batch);
        check(bad.empty(), "evaluation: the loss is ", result.loss, ": ", bad);
      }
    }
    sums.reset();
    sums.add({outputs.shape(), outputs.span()}, batch);
  }

  // What all ranks need, and what rank 0's callbacks are shown.
  void put_result(Message& message) const {
    message.put(result);
    put_sums(message, sums);
  }
  void get_result(Message& message) {
    result = message.get<BatchResult>();
    get_sums(message, sums);
  }
  void put_outputs(Message& message) const {
    message.put(outputs.shape());
    message.put(outputs.data(), static_cast<std::size_t>(outputs.size()));
    message.put(batch.target_shape);
    message.put(batch.labels);
    message.put(batch.values);
    message.put(batch.indices);
  }
  void get_outputs(Message& message) {
    const auto shape = message.get<Shape>();
    outputs = Tensor<float>(shape, message.get_all<float>());
    batch.inputs = {};
    batch.target_shape = message.get<Shape>();
    batch.labels = message.get_all<std::int32_t>();
    batch.values = message.get_all<float>();
    batch.indices = message.get_all<std::int64_t>();
  }

  data::Batch batch;
  Tensor<float> outputs;
  BatchResult result;
  MetricSums sums;
};

}  // namespace detail

// Evaluates a model on all samples of a loader. objective: how the loss is computed; if it is
// empty, there is no loss. Throws where a loss is not finite because a sample is not, and names the
// sample. Ends early where it is agreed to stop. Of several ranks each evaluates
// some of the batches; all get the report, and rank 0's callbacks are shown every batch, though the
// others' without inputs.
ANTHER_ONCE StepReport evaluate(const Predict& predict, data::Loader& loader,
                                const Objective<float>& objective, const Metrics& metrics,
                                const Callbacks& callbacks, Agreement& agreement) {
  ProcessGroup* const group = agreement.group();
  StepReport report;
  report.steps = loader.batches();
  report.all_samples = loader.samples();
  if (!objective) report.loss = report.mean_loss = EpochReport::none;
  MetricSums sums(metrics);
  Tape<float> tape;
  detail::EvaluatedBatch own(metrics), other(metrics);
  callbacks([&](Callback& c) { c.on_evaluation_begin(report.steps, report.all_samples); });
  const auto add = [&](detail::EvaluatedBatch& done) {
    sums.add(done.sums);
    accumulate(report, done.result);
    report.batch_metrics = done.sums.values();
    report.metrics = sums.values();
    callbacks([&](Callback& c) {
      c.on_outputs({done.outputs.shape(), done.outputs.span()}, done.batch);
      c.on_evaluation_step(report);
    });
  };
  const std::int64_t rank = group ? group->rank() : 0;
  loader.start_epoch(0, std::min(rank, loader.batches()), group ? group->size() : 1);
  for (bool any = true; any;) {
    any = false;
    Message result, outputs;
    agreement.attempt([&] {
      any = loader.next(own.batch);
      if (!any) return;
      own.evaluate(predict, objective, tape);
      if (!group) return;
      own.put_result(result);
      own.put_outputs(outputs);
    });
    if (!group && any) add(own);
    if (group) {
      // What a rank found after the end of its batches is empty.
      std::vector<Message> results = agreement.agree(result);
      const std::vector<std::string> all = gather(*group, outputs.bytes());
      for (std::size_t r = 0; r < results.size(); ++r) {
        if (results[r].at_end()) continue;
        any = true;
        other.get_result(results[r]);
        if (!all.empty()) {
          Message shown(all[r]);
          other.get_outputs(shown);
        }
        add(other);
      }
    }
    if (any && agreement.stopped()) break;
  }
  detail::check(report.samples > 0, "evaluation: there was no usable sample");
  return report;
}

// The same in one process. Ends early if stop() says so.
ANTHER_ONCE StepReport evaluate(const Predict& predict, data::Loader& loader,
                                const Objective<float>& objective, const Metrics& metrics = {},
                                const Callbacks& callbacks = {},
                                const std::function<bool()>& stop = {}) {
  Agreement alone(nullptr, stop, {});
  return evaluate(predict, loader, objective, metrics, callbacks, alone);
}

}  // namespace anther::inline v0_1
