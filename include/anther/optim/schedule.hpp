// Learning-rate schedules. The rate of a step is a function of its number alone, so a resumed run
// needs no state. All begin with a linear warm-up. A run that is given a time instead of a number
// of steps asks for the rate by the share of its time that is used: a step with a fraction.
#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>
#include <string_view>

#include "anther/core/check.hpp"

namespace anther::inline v0_1 {

enum class ScheduleKind { constant, cosine, linear, step };

struct Schedule {
  ScheduleKind kind = ScheduleKind::constant;
  double lr = 1e-3;               // after the warm-up
  double min_lr = 0;              // at the end of cosine and linear
  double warmup_lr = 0;           // at the start of the warm-up
  std::int64_t warmup_steps = 0;  // the length of the warm-up
  // Of the whole run, warm-up included. 0: fit() takes those that the run has; by hand it is an
  // error for cosine and linear, which must know where they end.
  std::int64_t steps = 0;
  std::int64_t decay_steps = 0;  // step: after every so many steps beyond the warm-up
  double decay_rate = 0.1;       //   the rate is multiplied by this

  // The rate of step 0, 1, ..., steps - 1. Cosine: Loshchilov and Hutter 2017, without restarts.
  double at(std::int64_t step) const { return at_position(static_cast<double>(step)); }
  // The same between two steps.
  double at_position(double step) const {
    const auto warmup = static_cast<double>(warmup_steps);
    if (step < warmup) return warmup_lr + (lr - warmup_lr) * std::fmin(step + 1, warmup) / warmup;
    detail::check(steps > 0 || (kind != ScheduleKind::cosine && kind != ScheduleKind::linear),
                  "schedule: expected the steps of the run, for the rate to fall along, got ",
                  steps);
    const double past = step - warmup;
    const auto length = static_cast<double>(steps - warmup_steps);
    const double progress = length > 0 ? std::fmin(past / length, 1) : 1;
    switch (kind) {
      case ScheduleKind::cosine:
        return min_lr + (lr - min_lr) * 0.5 * (1 + std::cos(std::numbers::pi * progress));
      case ScheduleKind::linear:
        return lr + (min_lr - lr) * progress;
      case ScheduleKind::step:
        return decay_steps > 0
                   ? lr * std::pow(decay_rate, std::floor(past / static_cast<double>(decay_steps)))
                   : lr;
      case ScheduleKind::constant:
        break;
    }
    return lr;
  }
};

// Throws if there is none of this name.
inline ScheduleKind schedule_kind(std::string_view name) {
  if (name == "constant") return ScheduleKind::constant;
  if (name == "cosine") return ScheduleKind::cosine;
  if (name == "linear") return ScheduleKind::linear;
  detail::check(name == "step", "sched: expected constant, cosine, linear or step, got ", name);
  return ScheduleKind::step;
}

}  // namespace anther::inline v0_1
