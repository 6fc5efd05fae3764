// A run of fit() under way: what happens in an epoch, in a step, and between them.
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "anther/data/batch.hpp"
#include "anther/data/loader.hpp"
#include "anther/distributed/message.hpp"
#include "anther/distributed/process_group.hpp"
#include "anther/distributed/texts.hpp"
#include "anther/nn/dry_run.hpp"
#include "anther/nn/module.hpp"
#include "anther/optim/clip_grad.hpp"
#include "anther/optim/model_ema.hpp"
#include "anther/optim/optimizer.hpp"
#include "anther/optim/schedule.hpp"
#include "anther/train/agreement.hpp"
#include "anther/train/averaged_weights.hpp"
#include "anther/train/callback.hpp"
#include "anther/train/evaluation.hpp"
#include "anther/train/fit_options.hpp"
#include "anther/train/metrics.hpp"
#include "anther/train/objective.hpp"
#include "anther/train/predictor.hpp"
#include "anther/train/step_metrics.hpp"
#include "anther/train/trainer.hpp"

namespace anther::inline v0_1 {

// Gives the loader of an epoch (counted from 0), at whose beginning `share` of the run is done.
using LoaderOfEpoch = std::function<data::Loader&(std::int64_t epoch, double share)>;

// A run under way. To run one, call fit().
template <class T>
class Fit {
 public:
  Fit(const Module<T>& model, Optimizer<T>& optimizer, LoaderOfEpoch train, data::Loader* val,
      const FitOptions& options, Callbacks callbacks, ModelEma<T>* ema)
      : model_(model),
        optimizer_(optimizer),
        loader_of_(std::move(train)),
        val_(val),
        options_(options),
        callbacks_(std::move(callbacks)),
        ema_(ema),
        agreement_(options.trainer.group, options.stop,
                   options.clock ? options.clock : [] {
                     using namespace std::chrono;
                     return duration<double>(steady_clock::now().time_since_epoch()).count();
                   }),
        trainer_(model, options.objective, options.trainer),
        step_metrics_(options.metrics),
        metrics_(options.metrics),
        norm_(model.store().size(), agreement_.group()),
        progress_(options.progress) {
    check_fit_options(options, val != nullptr);
    if (agreement_.group()) begin_together();
  }

  History run() {
    agreement_.agree();  // on the time
    begun_ = agreement_.now() - progress_.seconds;
    if (options_.time_budget == 0 && progress_.epochs >= options_.epochs) progress_.finished = true;
    while (!progress_.finished) {
      if (train_epoch() && end_epoch()) continue;
      save();  // stopped
      break;
    }
    return std::move(history_);
  }

 private:
  // All ranks go on from where rank 0 is.
  void begin_together() {
    ProcessGroup& group = *agreement_.group();
    check_same(group, facts_of_run(optimizer_.store(), options_));
    check_same(group, facts_of_data("evaluation", val_));
    optimizer_.share(group);
    if (ema_) {
      group.broadcast(bytes_of(ema_->values()));
      group.broadcast(bytes_of(ema_->buffer_values()));
    }
    progress_ = broadcast(group, progress_);
    if (group.rank() != 0) callbacks_ = Callbacks{};
  }

  // Since the run began.
  double seconds() const { return agreement_.now() - begun_; }
  bool time_is_up() const { return options_.time_budget > 0 && seconds() >= options_.time_budget; }
  bool stopped() const { return agreement_.stopped(); }
  void save() {
    progress_.seconds = seconds();
    for (std::size_t i = 0; i < metrics_.size(); ++i)
      progress_.metric_sums[metrics_.name(i)] = metrics_.sums(i);
    const typename Optimizer<T>::WholeState whole(optimizer_);
    callbacks_([&](Callback& c) { c.on_progress(progress_); });
  }

  // The result of a call that reads samples. A damaged sample must not cost what was done before:
  // the run can go on from there, unless it is in the middle of a step of BatchNorm's statistics.
  template <class Call>
  auto reading(const Call& call) {
    try {
      return call();
    } catch (const Error&) {
      if (between_steps_) save();
      throw;
    }
  }

  // The share of the run that is done, at the end of an epoch.
  double share() const {
    if (options_.time_budget > 0) return std::min(1.0, seconds() / options_.time_budget);
    return static_cast<double>(progress_.epochs) / static_cast<double>(options_.epochs);
  }
  double lr() const {
    const Schedule& schedule = options_.schedule;
    if (options_.time_budget == 0)
      return schedule.at(optimizer_.steps() + progress_.schedule_offset);
    return schedule.at_position(share() * static_cast<double>(schedule.steps));
  }

  // Returns false if it was stopped before the end of the epoch.
  bool train_epoch() {
    const bool resumed = progress_.batches > 0;
    metrics_.reset();
    if (resumed) {
      for (std::size_t i = 0; i < metrics_.size(); ++i)
        if (const auto saved = progress_.metric_sums.find(metrics_.name(i));
            saved != progress_.metric_sums.end())
          metrics_.set_sums(i, saved->second);
      progress_.epoch.metrics = metrics_.values();
    } else {
      progress_.epoch = {};
      progress_.epoch_begin = share();
      progress_.epoch_seconds = 0;
    }
    train_ = &loader_of_(progress_.epochs, progress_.epoch_begin);
    // A last batch of one sample must not end the run.
    if (needs_two_samples(model_, train_->input_shape())) train_->leave_out_smaller(2);
    const std::int64_t part = train_->options().batch_size;
    detail::check(options_.batch_size % part == 0,
                  "batch size: expected a multiple of the loader's ", part, ", got ",
                  options_.batch_size);
    parts_ = std::max<std::int64_t>(1, options_.batch_size / part);

    StepReport& report = progress_.epoch;
    report.epoch = progress_.epochs + 1;
    report.steps = steps_per_epoch(*train_, options_.batch_size * options_.grad_accum_steps);
    adapt_progress(progress_, *train_, report.steps, optimizer_.steps());
    report.all_samples = train_->samples();
    if (options_.schedule.steps == 0)
      options_.schedule.steps = std::max<std::int64_t>(1, report.steps * options_.epochs);
    const DealtLoader dealt(agreement_.group() ? train_ : nullptr);
    if (agreement_.group()) deal_samples();
    {
      const typename Optimizer<T>::WholeState whole(optimizer_);  // of which the first may be saved
      callbacks_([&](Callback& c) {
        c.on_epoch_begin(report.epoch, report.steps, report.all_samples);
        if (resumed) c.on_resume(report);
      });
    }
    const double begin = seconds() - progress_.epoch_seconds;
    stalled_before_ = train_->stall_seconds() - report.stall_seconds;
    train_->start_epoch(progress_.epochs, progress_.batches);
    while (step()) {
      callbacks_([&](Callback& c) { c.on_step(report); });
      progress_.epoch_seconds = seconds() - begin;
      if (stopped()) return false;
      if (time_is_up()) break;
    }
    detail::check(report.samples > 0, "training: epoch ", report.epoch, " had no usable sample");
    return true;
  }

  // A loader that gives this rank's samples, while this lives.
  class DealtLoader {
   public:
    explicit DealtLoader(data::Loader* loader) : loader_(loader) {}
    ~DealtLoader() {
      if (loader_) loader_->share({});
    }
    DealtLoader(const DealtLoader&) = delete;
    DealtLoader& operator=(const DealtLoader&) = delete;

   private:
    data::Loader* loader_;
  };
  // This rank loads the samples of its own micro-batches.
  void deal_samples() {
    check_same(*agreement_.group(), facts_of_data("training", train_));
    train_->share(
        [this, numbers = train_->input_shape().numel()](std::int64_t place, std::int64_t samples) {
          return trainer_.needs(place, samples, numbers);
        });
  }

  // One step of the optimiser; false at the end of the epoch.
  bool step() {
    trainer_.begin_step(optimizer_.steps());
    step_metrics_.reset();
    not_finite_data_.clear();
    bool more = true;
    for (std::int64_t batch = 0; more && batch < options_.grad_accum_steps; ++batch) {
      if (batch > 0) {  // each batch has BatchNorm statistics of its own
        trainer_.commit();
        between_steps_ = !optimizer_.store().couples_samples();
      }
      more = reading([&] { return add_batch(); });
    }
    if (trainer_.samples() == 0) return false;
    const BatchResult result = trainer_.finish_step();
    const double rate = lr();
    check_finite(result, rate);
    const std::span<const T> gradients = trainer_.gradients();
    const double norm = options_.clip_grad > 0 ? norm_(gradients) : 0;
    optimizer_.step(gradients, rate, clip_scale(norm, options_.clip_grad));
    trainer_.commit();
    between_steps_ = true;
    if (ema_) ema_->update(optimizer_.steps());
    accumulate(progress_.epoch, result);
    metrics_.add(step_metrics_.sums());
    progress_.epoch.batch_metrics = step_metrics_.sums().values();
    progress_.epoch.metrics = metrics_.values();
    progress_.epoch.lr = rate;
    progress_.epoch.stall_seconds = train_->stall_seconds() - stalled_before_;
    progress_.epoch.all_steps = optimizer_.steps();
    progress_.batches = train_->next_batch();
    return true;
  }

  // Reads a batch, which comes from the loader in parts; false if there is none left.
  bool add_batch() {
    bool more = true;
    Message metrics;
    agreement_.attempt([&] {
      for (std::int64_t part = 0; more && part < parts_; ++part) {
        more = train_->next(batch_);
        if (!more) return;
        more = std::isfinite(trainer_.add(batch_).loss);
        if (!more) not_finite_data_ = data::not_finite(batch_);
        if (more)
          step_metrics_.add(part, trainer_.micro_batches(),
                            {trainer_.output_shape(), trainer_.outputs()}, batch_,
                            agreement_.group() ? &metrics : nullptr);
      }
    });
    if (!agreement_.group()) return more;
    Message own;
    own.put(more);
    own.put(not_finite_data_);
    own.put(metrics.bytes());
    std::vector<std::string> all;
    for (Message& message : agreement_.agree(own)) {
      more = message.get<bool>() && more;
      const std::string text = message.get_text();
      if (not_finite_data_.empty()) not_finite_data_ = text;
      all.push_back(message.get_text());
    }
    step_metrics_.merge(all);
    return more;
  }

  // Throws before a step that would spoil the weights; these stay as they are. Whatever the rate,
  // they would give the same loss again: the state to go on from stays the one before.
  void check_finite(const BatchResult& result, double rate) {
    const std::string where = trainer_.not_finite();
    if (where.empty() && std::isfinite(result.loss)) return;
    optimizer_.store().discard_buffers();
    throw NotFiniteError(detail::text_of(
        "training: the loss of step ", optimizer_.steps() + 1, " is ", result.loss,
        "; not finite first: ", where,
        not_finite_data_.empty()
            ? detail::text_of("; the learning rate is ", rate,
                              ", and a lower one, a longer warm-up or clipping may help")
            : "; " + not_finite_data_,
        ". The weights before this step are kept"));
  }

  // Returns false if it was stopped before the epoch counts as done.
  bool end_epoch() {
    EpochReport result = epoch_report();
    const std::int64_t done = progress_.epochs + 1;
    const bool last = options_.time_budget > 0 ? time_is_up() : done >= options_.epochs;
    const bool evaluated = val_ && (last || done % options_.val_interval == 0);
    if (evaluated) {
      const StepReport own = reading([&] { return evaluate(); });
      result.val_loss = own.mean_loss;
      result.val_metrics = own.metrics;
      note_skipped(result);
    }
    if (evaluated && ema_ && !stopped()) {
      const AveragedWeights<T> averaged(*ema_);
      const StepReport average = evaluate();
      result.ema_loss = average.mean_loss;
      result.ema_metrics = average.metrics;
    }
    if (evaluated && stopped()) return false;
    if (const MetricValue metric = result.metric(); is_better(metric)) {
      progress_.best = metric.value;
      progress_.best_epoch = result.epoch;
      result.best = true;
    }
    progress_.epochs = done;
    progress_.batches = 0;
    progress_.finished =
        last || (evaluated &&
                 ((options_.time_budget > 0 && time_is_up()) ||
                  (options_.patience > 0 && done - progress_.best_epoch >= options_.patience)));
    result.time = seconds();
    history_.push_back(result);
    callbacks_([&](Callback& c) { c.on_epoch_end(result); });
    save();
    return true;
  }

  // What the evaluation has left out, on all ranks.
  void note_skipped(EpochReport& report) {
    Message own;
    own.put(val_->skipped());
    own.put(val_->first_skipped());
    for (Message& message : agreement_.agree(own)) {
      report.val_skipped += message.template get<std::int64_t>();
      const std::string first = message.get_text();
      if (report.first_skipped.empty()) report.first_skipped = first;
    }
  }

  StepReport evaluate() {
    if (!predictor_)
      predictor_ = std::make_unique<Predictor<T>>(
          model_, val_->input_shape(),
          PredictorOptions{.amp = options_.trainer.amp, .profile = options_.trainer.profile});
    return anther::evaluate(std::cref(*predictor_), *val_, options_.objective, options_.metrics,
                            callbacks_, agreement_);
  }

  bool is_better(const MetricValue& metric) const {
    if (std::isnan(metric.value)) return false;
    if (progress_.best_epoch == 0) return true;
    return metric.info.higher_is_better ? metric.value > progress_.best
                                        : metric.value < progress_.best;
  }

  EpochReport epoch_report() const {
    const StepReport& report = progress_.epoch;
    EpochReport result;
    result.epoch = report.epoch;
    result.all_steps = report.all_steps;
    result.input_shape = train_->input_shape();
    result.seconds = progress_.epoch_seconds;
    result.train_loss = report.mean_loss;
    result.train_metrics = report.metrics;
    result.lr = report.lr;
    result.samples_per_second = static_cast<double>(report.samples) / result.seconds;
    result.stall_seconds = report.stall_seconds;
    result.skipped = train_->skipped();
    result.first_skipped = train_->first_skipped();
    return result;
  }

  const Module<T>& model_;
  Optimizer<T>& optimizer_;
  LoaderOfEpoch loader_of_;
  data::Loader* val_;
  FitOptions options_;
  Callbacks callbacks_;
  ModelEma<T>* ema_;
  Agreement agreement_;
  Trainer<T> trainer_;
  std::unique_ptr<Predictor<T>> predictor_;  // made for the first evaluation
  StepMetrics step_metrics_;
  MetricSums metrics_;  // of the epoch so far
  GradientNorm<T> norm_;
  FitProgress progress_;
  History history_;
  data::Batch batch_;
  data::Loader* train_ = nullptr;  // of this epoch
  std::int64_t parts_ = 1;         // of the loader's batches in a batch
  double begun_ = 0, stalled_before_ = 0;
  bool between_steps_ = true;
  std::string not_finite_data_;  // what of the step's samples is not, where the loss is not
};

}  // namespace anther::inline v0_1
