// What training reports while it runs, and to whom: reports of steps and epochs, how far a run is,
// and callbacks.
#pragma once

#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "anther/core/check.hpp"
#include "anther/core/once.hpp"
#include "anther/core/shape.hpp"
#include "anther/data/batch.hpp"
#include "anther/train/metrics.hpp"

namespace anther::inline v0_1 {

// Of one optimiser step, or of one batch of an evaluation. Sums and means begin with the epoch.
struct StepReport {
  std::int64_t epoch = 0;                       // from 1
  std::int64_t step = 0;                        // from 1, within the epoch
  std::int64_t steps = 0;                       // of the epoch
  std::int64_t all_steps = 0;                   // done since the run began, all epochs
  std::int64_t samples = 0;                     // seen in this epoch
  std::int64_t all_samples = 0;                 // that this epoch has
  double loss = 0;                              // of this batch
  double mean_loss = 0;                         // of the epoch's samples so far
  std::vector<MetricValue> batch_metrics = {};  // of this batch
  std::vector<MetricValue> metrics = {};        // of all samples of the epoch so far
  double lr = 0;
  double stall_seconds = 0;  // of the epoch so far, that training waited for the loader
};

struct EpochReport {
  static constexpr double none = std::numeric_limits<double>::quiet_NaN();
  std::int64_t epoch = 0;      // from 1
  std::int64_t all_steps = 0;  // done since the run began
  double seconds = 0;          // of training, evaluation not counted
  double train_loss = none;
  double val_loss = none;  // none without an evaluation
  double ema_loss = none;  // of the averaged weights
  std::vector<MetricValue> train_metrics = {};
  std::vector<MetricValue> val_metrics = {};  // empty without an evaluation
  std::vector<MetricValue> ema_metrics = {};  // of the averaged weights
  double lr = 0;                              // of the last step
  double samples_per_second = 0;
  double stall_seconds = 0;        // that training waited for the loader
  std::int64_t skipped = 0;        // damaged samples left out of training
  std::int64_t val_skipped = 0;    // and of the evaluation,
  std::string first_skipped = {};  // and what was wrong with the first of them
  Shape input_shape = {};          // of one sample that was trained on
  double time = 0;                 // seconds since the run began, over all its parts
  bool best = false;               // so far, by metric()

  bool evaluated() const { return !val_metrics.empty() || !std::isnan(val_loss); }
  bool averaged() const { return !ema_metrics.empty() || !std::isnan(ema_loss); }
  // What decides which epoch is the best: the first metric, or the loss if there is none; of the
  // averaged weights if there are such. Its value is none without an evaluation.
  MetricValue metric() const {
    const std::vector<MetricValue>& metrics = averaged() ? ema_metrics : val_metrics;
    if (!metrics.empty()) return metrics.front();
    return {{.name = "loss", .label = "loss", .higher_is_better = false},
            averaged() ? ema_loss : val_loss};
  }
};

// How far a run is: what it needs to go on, besides the weights, the optimiser and the average.
struct FitProgress {
  std::int64_t epochs = 0;           // done, with their evaluation
  std::int64_t batches = 0;          // of the loader, done in the epoch under way,
  std::int64_t batch_size = 0;       // and how many samples such a batch has; 0: not known
  std::int64_t steps_per_epoch = 0;  // of the optimiser; 0: not known
  // Added to the optimiser's steps for the schedule, since epochs had other numbers of steps
  // before.
  std::int64_t schedule_offset = 0;
  StepReport epoch = {};        // of the epoch under way
  double epoch_begin = 0;       // the share of the run that was done when that epoch began
  double epoch_seconds = 0;     // of training in it
  double seconds = 0;           // since the run began, over all its parts
  double best = 0;              // the best value of the metric that counts,
  std::int64_t best_epoch = 0;  // and its epoch; 0: there was no evaluation yet
  // Of the epoch under way, by the metrics' names.
  std::map<std::string, std::vector<double>> metric_sums = {};
  bool finished = false;
};

class Callback {
 public:
  virtual ~Callback() = default;
  virtual void on_epoch_begin(std::int64_t epoch, std::int64_t steps, std::int64_t samples) {
    (void)epoch, (void)steps, (void)samples;
  }
  // After on_epoch_begin, if the epoch goes on at a later step: what was done of it.
  virtual void on_resume(const StepReport& done) { (void)done; }
  virtual void on_step(const StepReport& report) { (void)report; }
  virtual void on_evaluation_begin(std::int64_t steps, std::int64_t samples) {
    (void)steps, (void)samples;
  }
  // Before on_evaluation_step: the model's outputs for a batch of the evaluation. A batch that
  // another rank has evaluated has no inputs.
  virtual void on_outputs(const Outputs& outputs, const data::Batch& batch) {
    (void)outputs, (void)batch;
  }
  virtual void on_evaluation_step(const StepReport& report) { (void)report; }
  virtual void on_epoch_end(const EpochReport& report) { (void)report; }
  // At every point from which a run can go on: after each epoch, and when it is stopped or a
  // damaged sample ends it.
  virtual void on_progress(const FitProgress& progress) { (void)progress; }
};

// The callbacks of a run, by address or to own: {progress_bar(), &checkpoints}.
class Callbacks {
 public:
  // One of them: its address, or a shared or unique pointer.
  class Entry {
   public:
    Entry(Callback* callback)  // NOLINT: a list has them as they are
        : callback_(std::shared_ptr<void>(), callback) {
      check();
    }
    template <std::convertible_to<std::shared_ptr<Callback>> Pointer>
    requires(!std::convertible_to<Pointer, Callback*>)
        Entry(Pointer&& callback)  // NOLINT: the same
        : callback_(std::forward<Pointer>(callback)) {
      check();
    }

   private:
    friend class Callbacks;
    void check() const {
      detail::check(callback_ != nullptr, "callbacks: expected one, got a null pointer");
    }
    std::shared_ptr<Callback> callback_;
  };

  Callbacks() = default;
  Callbacks(std::initializer_list<Entry> callbacks) { take(callbacks); }
  Callbacks(std::span<Callback* const> callbacks) { take(callbacks); }  // NOLINT: any list is one
  template <std::size_t N>
  Callbacks(Callback* const (&callbacks)[N]) {
    take(callbacks);
  }  // NOLINT: any list is one

  template <class Call>
  void operator()(const Call& call) const {
    for (const auto& callback : all_) call(*callback);
  }

 private:
  template <class List>
  void take(const List& callbacks) {
    for (const auto& one : callbacks) all_.push_back(Entry(one).callback_);
  }

  std::vector<std::shared_ptr<Callback>> all_;
};

using History = std::vector<EpochReport>;

// Of a batch: the mean loss of its samples.
struct BatchResult {
  double loss = 0;
  std::int64_t samples = 0;
};

// Adds a batch's result to a report.
ANTHER_ONCE void accumulate(StepReport& report, const BatchResult& batch) {
  const auto before = static_cast<double>(report.samples),
             size = static_cast<double>(batch.samples);
  ++report.step;
  report.samples += batch.samples;
  report.loss = batch.loss;
  report.mean_loss = (report.mean_loss * before + batch.loss * size) / (before + size);
}

}  // namespace anther::inline v0_1
