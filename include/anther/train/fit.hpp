// The training loop: epochs of optimiser steps over a loader's batches, an evaluation after each.
//
//   fit(model, optimizer, train_loader, &val_loader, {.epochs = 20, .schedule = {.lr = 1e-3}});
//
// What else should happen (a progress bar, logs, checkpoints) is a callback.
#pragma once

#include <chrono>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "anther/data/loader.hpp"
#include "anther/nn/module.hpp"
#include "anther/optim/optimizer.hpp"
#include "anther/optim/schedule.hpp"
#include "anther/train/trainer.hpp"

namespace anther::inline v0_1 {

struct FitOptions {
  std::int64_t epochs = 1;
  std::int64_t first_epoch = 0;  // how many are done already, of a run that goes on
  std::int64_t batch_size = 0;   // images a step; 0: a batch of the loader, else a multiple of it
  Schedule schedule = {};        // by optimiser steps
  TrainerOptions trainer = {};
};

// Of one optimiser step, or one batch of an evaluation. Sums and means run from the epoch's start.
struct StepReport {
  std::int64_t epoch = 0;       // from 1
  std::int64_t step = 0;        // from 1, within the epoch
  std::int64_t steps = 0;       // of the epoch
  std::int64_t all_steps = 0;   // done since the run began, all epochs
  std::int64_t images = 0;      // seen in this epoch
  std::int64_t all_images = 0;  // that this epoch has
  double loss = 0;              // of this batch
  double mean_loss = 0;         // of the epoch's images so far
  double top1 = 0, top5 = 0;    // shares of the epoch's images so far
  double lr = 0;
};

struct EpochReport {
  static constexpr double none = std::numeric_limits<double>::quiet_NaN();
  std::int64_t epoch = 0;      // from 1
  std::int64_t all_steps = 0;  // done since the run began
  double seconds = 0;          // of training, evaluation not counted
  double train_loss = none, train_top1 = none, train_top5 = none;
  double val_loss = none, val_top1 = none, val_top5 = none;  // none without an evaluation
  double lr = 0;                                             // of the last step
  double images_per_second = 0;
  double stall_seconds = 0;  // that training waited for the loader
  std::int64_t skipped = 0;  // damaged images left out so far
};

class Callback {
 public:
  virtual ~Callback() = default;
  virtual void on_epoch_begin(std::int64_t epoch, std::int64_t steps, std::int64_t images) {
    (void)epoch, (void)steps, (void)images;
  }
  virtual void on_step(const StepReport& report) { (void)report; }
  virtual void on_evaluation_begin(std::int64_t steps, std::int64_t images) {
    (void)steps, (void)images;
  }
  virtual void on_evaluation_step(const StepReport& report) { (void)report; }
  virtual void on_epoch_end(const EpochReport& report) { (void)report; }
};

using History = std::vector<EpochReport>;

// Adds a batch's result to a report.
inline void accumulate(StepReport& report, const BatchResult& batch) {
  const auto before = static_cast<double>(report.images), size = static_cast<double>(batch.samples);
  const double all = before + size;
  ++report.step;
  report.images += batch.samples;
  report.loss = batch.loss;
  report.mean_loss = (report.mean_loss * before + batch.loss * size) / all;
  report.top1 = (report.top1 * before + static_cast<double>(batch.top1)) / all;
  report.top5 = (report.top5 * before + static_cast<double>(batch.top5)) / all;
}

// Loss and accuracy over a loader's images, in evaluation mode.
template <class T>
StepReport evaluate(Trainer<T>& trainer, Loader& loader,
                    std::span<Callback* const> callbacks = {}) {
  StepReport report;
  report.steps = loader.batches();
  report.all_images = loader.images();
  for (Callback* callback : callbacks)
    callback->on_evaluation_begin(report.steps, report.all_images);
  loader.start_epoch(0);
  for (Batch batch; loader.next(batch);) {
    accumulate(report, trainer.evaluate(batch.images.shape(), batch.images.span(), batch.labels));
    for (Callback* callback : callbacks) callback->on_evaluation_step(report);
  }
  return report;
}

// Optimiser steps of an epoch.
inline std::int64_t steps_per_epoch(const Loader& loader, std::int64_t batch_size) {
  if (batch_size == 0) return loader.batches();
  return (loader.images() + batch_size - 1) / batch_size;
}

// Trains, and gives a report of each epoch. A batch larger than the loader's comes in parts, so
// that its images need not be in memory at once. val may be null. Throws where the loss is not
// finite: the weights are then those before the step.
template <class T>
History fit(const Module<T>& model, Optimizer<T>& optimizer, Loader& train, Loader* val,
            const FitOptions& options, std::span<Callback* const> callbacks = {}) {
  check(options.epochs >= 0, "epochs: expected at least 0, got ", options.epochs);
  const std::int64_t part_size = train.options().batch_size;
  check(options.batch_size % part_size == 0, "batch size: expected a multiple of the loader's ",
        part_size, ", got ", options.batch_size);
  const std::int64_t parts = std::max<std::int64_t>(1, options.batch_size / part_size);
  Trainer<T> trainer(model, options.trainer);
  History history;
  Batch batch;
  for (std::int64_t epoch = options.first_epoch; epoch < options.epochs; ++epoch) {
    StepReport report;
    report.epoch = epoch + 1;
    report.steps = steps_per_epoch(train, options.batch_size);
    report.all_images = train.images();
    for (Callback* callback : callbacks)
      callback->on_epoch_begin(report.epoch, report.steps, report.all_images);
    const auto begin = std::chrono::steady_clock::now();
    const double stalled_before = train.stall_seconds();
    train.start_epoch(epoch);
    for (bool more = train.next(batch); more;) {
      const std::int64_t step = optimizer.steps();
      report.lr = options.schedule.at(step);
      trainer.begin_step(step);
      for (std::int64_t part = 0; more && part < parts; ++part) {
        trainer.add(batch.images.shape(), batch.images.span(), batch.labels);
        more = train.next(batch);
      }
      const BatchResult result = trainer.finish_step();
      check(std::isfinite(result.loss), "training: the loss of step ", step + 1, " is ",
            result.loss, "; the learning rate is ", report.lr, ", and a lower one may help");
      optimizer.step(trainer.gradients(), report.lr);
      trainer.commit();
      accumulate(report, result);
      report.all_steps = optimizer.steps();
      for (Callback* callback : callbacks) callback->on_step(report);
    }
    check(report.images > 0, "training: epoch ", report.epoch, " had no usable image");

    EpochReport& result = history.emplace_back();
    result.epoch = report.epoch;
    result.all_steps = report.all_steps;
    result.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    result.train_loss = report.mean_loss;
    result.train_top1 = report.top1;
    result.train_top5 = report.top5;
    result.lr = report.lr;
    result.images_per_second = static_cast<double>(report.images) / result.seconds;
    result.stall_seconds = train.stall_seconds() - stalled_before;
    result.skipped = train.skipped();
    if (val) {
      const StepReport evaluation = evaluate(trainer, *val, callbacks);
      result.val_loss = evaluation.mean_loss;
      result.val_top1 = evaluation.top1;
      result.val_top5 = evaluation.top5;
    }
    for (Callback* callback : callbacks) callback->on_epoch_end(result);
  }
  return history;
}

}  // namespace anther::inline v0_1
