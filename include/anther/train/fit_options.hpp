// What fit() is told: how long, at which rates, in which batches.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string>

#include "anther/autograd/parameter_store.hpp"
#include "anther/core/check.hpp"
#include "anther/core/cpu.hpp"
#include "anther/core/once.hpp"
#include "anther/core/random.hpp"
#include "anther/core/version.hpp"
#include "anther/data/loader.hpp"
#include "anther/distributed/process_group.hpp"
#include "anther/distributed/texts.hpp"
#include "anther/optim/schedule.hpp"
#include "anther/train/callback.hpp"
#include "anther/train/metrics.hpp"
#include "anther/train/objective.hpp"
#include "anther/train/trainer.hpp"

namespace anther::inline v0_1 {

// How many optimiser steps an epoch has.
inline std::int64_t steps_per_epoch(const data::Loader& loader, std::int64_t batch_size) {
  if (batch_size == 0) return loader.batches();
  return (loader.samples() + batch_size - 1) / batch_size;
}

struct FitOptions {
  Objective<float> objective = {};  // required: one of objectives.hpp, or your own
  Metrics metrics = {};             // the first one says what is best; none: the loss does
  std::int64_t epochs = 1;
  std::int64_t batch_size = 0;        // samples; 0: a batch of the loader, else a multiple of it
  std::int64_t grad_accum_steps = 1;  // batches whose gradients make one step
  Schedule schedule = {};             // by optimiser steps; of 0 steps: as many as the run has
  double clip_grad = 0;               // the gradient's greatest norm; 0: any
  std::int64_t val_interval = 1;  // epochs from one evaluation to the next; the last has one too
  std::int64_t patience = 0;      // epochs without a better evaluation that end the run; 0: none do
  // Seconds, of training and evaluation: the run ends when they are used up, whatever `epochs` is,
  // and goes through the schedule by the share of them that is used. 0: no limit, and the schedule
  // goes by steps.
  double time_budget = 0;
  std::function<bool()> stop = {};     // asked after each step: whether to stop there
  std::function<double()> clock = {};  // seconds; empty: a steady clock
  FitProgress progress = {};           // of a run that goes on
  TrainerOptions trainer = {};
};

// Throws if a number makes no sense, with its name.
ANTHER_ONCE void check_fit_options(const FitOptions& options, bool evaluates) {
  const auto at_least = [](const char* what, auto least, auto value) {
    detail::check(value >= least, what, ": expected at least ", least, ", got ", value);
  };
  at_least("epochs", 0, options.epochs);
  at_least("batch size", 0, options.batch_size);
  at_least("gradient accumulation, in batches", 1, options.grad_accum_steps);
  at_least("clipping, by the gradient's norm", 0, options.clip_grad);
  at_least("epochs from one evaluation to the next", 1, options.val_interval);
  at_least("patience, in epochs", 0, options.patience);
  at_least("time budget, in seconds", 0, options.time_budget);
  detail::check(options.patience == 0 || evaluates,
                "patience: expected an evaluation to go by, got none");
}

// The rate rises linearly during the warm-up, and then falls from lr to 0 along a cosine.
inline Schedule cosine_schedule(double lr, std::int64_t warmup_steps = 0) {
  return {.kind = ScheduleKind::cosine, .lr = lr, .warmup_steps = warmup_steps, .steps = 0};
}

// Thrown by fit() where a loss or a gradient is not finite. The state that was saved last is from
// before, so that the run can go on from there with a lower rate.
class NotFiniteError : public CollectiveError {
 public:
  using CollectiveError::CollectiveError;
};

// Brings the progress of a run to an epoch's loader, which may have other batches now than when the
// progress was saved: a batch size that was changed, or other samples. Then the epoch goes on at
// the same sample, or a little before, and the schedule at the same share of the run. steps: of the
// optimiser, in the epoch; done: by the optimiser, since the run began.
ANTHER_ONCE void adapt_progress(FitProgress& progress, const data::Loader& loader,
                                std::int64_t steps, std::int64_t done) {
  const std::int64_t part = loader.options().batch_size;
  const bool other_parts = progress.batch_size > 0 && progress.batch_size != part;
  const bool other_steps = progress.steps_per_epoch > 0 && progress.steps_per_epoch != steps;
  if (progress.batches > 0 && (other_parts || other_steps)) {
    const std::int64_t seen = progress.batches * (other_parts ? progress.batch_size : part);
    progress.batches = seen / part;
    // Those that are seen again count once.
    progress.epoch.samples = std::max<std::int64_t>(0, progress.epoch.samples - seen % part);
    const std::int64_t batches = loader.batches();
    progress.batches = std::min(progress.batches, batches);
    const std::int64_t left = batches - progress.batches;
    progress.epoch.step = steps - (left * steps + batches - 1) / batches;
  }
  progress.batches = std::min(progress.batches, loader.batches());
  if (other_steps) progress.schedule_offset = progress.epochs * steps + progress.epoch.step - done;
  progress.batch_size = part;
  progress.steps_per_epoch = steps;
}

// What several ranks must have in common, for their parts of a step to be of one run.
template <class T>
Facts facts_of_run(const ParameterStore<T>& store, const FitOptions& options) {
  std::uint64_t names = 0;
  for (const ParameterInfo& info : store.parameters())
    names = RandomKey(names).fold(info.name).fold(static_cast<std::uint64_t>(info.size)).value();
  const auto text = [](const auto& value) { return detail::text_of(value); };
  const Schedule& s = options.schedule;
  std::string metrics;
  for (std::size_t i = 0; i < options.metrics.size(); ++i)
    metrics += (i > 0 ? ", " : "") + options.metrics[i]->info().name;
  return {
      {"version", text(version)},
      {"instruction set", text(to_string(isa()))},
      {"parameters", detail::text_of(store.parameter_count(), ", with names of digest ", names)},
      {"lanes", text(options.trainer.lanes)},
      {"micro-batch", text(options.trainer.micro_batch)},
      {"group of BatchNorm", text(options.trainer.batch_norm_group)},
      {"mixed precision", options.trainer.amp ? "on" : "off"},
      {"batch size", text(options.batch_size)},
      {"batches of a step", text(options.grad_accum_steps)},
      {"epochs", text(options.epochs)},
      {"schedule",
       detail::text_of(static_cast<int>(s.kind), " ", s.lr, " ", s.min_lr, " ", s.warmup_lr, " ",
                       s.warmup_steps, " ", s.steps, " ", s.decay_steps, " ", s.decay_rate)},
      {"clipping", text(options.clip_grad)},
      {"metrics", metrics},
      {"evaluations",
       detail::text_of("after ", options.val_interval, " epochs, patience ", options.patience)},
      {"time budget", text(options.time_budget)},
      {"seed", text(options.trainer.seed)}};
}

// The same for the samples of a loader; null: there are none.
ANTHER_ONCE Facts facts_of_data(const std::string& use, const data::Loader* loader) {
  if (!loader) return {{"samples for " + use, "none"}};
  const data::LoaderOptions& o = loader->options();
  return {{"samples for " + use,
           detail::text_of(loader->samples(), " of ", loader->input_shape(), ", ", o.batch_size,
                           " at a time", o.shuffle ? ", shuffled" : "", ", seed ", o.seed)}};
}

}  // namespace anther::inline v0_1
