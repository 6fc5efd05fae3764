#include "anther/optim/schedule.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <functional>
#include <span>

#include "tests/io/temporary_folder.hpp"

namespace {

using anther::Schedule;
using anther::ScheduleKind;
using doctest::Approx;

// A run of 110 steps, the first 10 of them warm-up from 0.001 to 0.1.
Schedule schedule(ScheduleKind kind) {
  return {.kind = kind,
          .lr = 0.1,
          .min_lr = 0.02,
          .warmup_lr = 0.001,
          .warmup_steps = 10,
          .steps = 110,
          .decay_steps = 30,
          .decay_rate = 0.5};
}

TEST_CASE("schedule: all begin with a linear warm-up, which ends at lr") {
  for (const ScheduleKind kind :
       {ScheduleKind::constant, ScheduleKind::cosine, ScheduleKind::linear, ScheduleKind::step}) {
    const Schedule s = schedule(kind);
    CHECK(s.at(0) == Approx(0.001 + 0.099 * 0.1));
    CHECK(s.at(4) == Approx(0.001 + 0.099 * 0.5));
    CHECK(s.at(9) == Approx(0.1));
    CHECK(s.at(10) == Approx(0.1));
    Schedule none = s;
    none.warmup_steps = 0;
    CHECK(none.at(0) == 0.1);
  }
}

struct RateAt {
  ScheduleKind kind;
  std::int64_t step;
  double lr;
};
void check_rates(std::span<const RateAt> expected,
                 const std::function<Schedule(ScheduleKind)>& schedule_of) {
  for (const RateAt& rate : expected) {
    CAPTURE(static_cast<int>(rate.kind));
    CAPTURE(rate.step);
    CHECK(schedule_of(rate.kind).at(rate.step) == Approx(rate.lr).epsilon(1e-12));
  }
}

TEST_CASE("schedule: the rate of a step") {
  const RateAt rates[] = {
      {ScheduleKind::constant, 50, 0.1},
      {ScheduleKind::constant, 109, 0.1},
      {ScheduleKind::cosine, 35, 0.02 + 0.08 * 0.5 * (1 + std::sqrt(0.5))},  // a quarter
      {ScheduleKind::cosine, 60, 0.06},
      {ScheduleKind::cosine, 85, 0.02 + 0.08 * 0.5 * (1 - std::sqrt(0.5))},
      {ScheduleKind::cosine, 110, 0.02},
      {ScheduleKind::linear, 60, 0.06},
      {ScheduleKind::linear, 85, 0.04},
      {ScheduleKind::linear, 109, 0.0208},
      {ScheduleKind::linear, 110, 0.02},
      {ScheduleKind::step, 39, 0.1},
      {ScheduleKind::step, 40, 0.05},
      {ScheduleKind::step, 69, 0.05},
      {ScheduleKind::step, 70, 0.025},
      {ScheduleKind::step, 109, 0.0125},
      // Beyond the end the rate stays.
      {ScheduleKind::cosine, 500, 0.02},
      {ScheduleKind::linear, 500, 0.02},
  };
  check_rates(rates, schedule);
}

TEST_CASE("schedule: PyTorch's values") {
  // torch.optim.lr_scheduler: CosineAnnealingLR(100, eta_min=0.02), LinearLR(1, 0.2, 100) and
  // StepLR(30, 0.5), all from 0.1.
  const RateAt rates[] = {
      {ScheduleKind::cosine, 1, 0.09998026241462928},
      {ScheduleKind::cosine, 10, 0.09804226065180614},
      {ScheduleKind::cosine, 33, 0.08036165663001486},
      {ScheduleKind::cosine, 77, 0.0299955572147816},
      {ScheduleKind::cosine, 99, 0.020019737585370737},
      {ScheduleKind::linear, 1, 0.0992},
      {ScheduleKind::linear, 33, 0.0736},
      {ScheduleKind::linear, 99, 0.0208},
      {ScheduleKind::step, 29, 0.1},
      {ScheduleKind::step, 30, 0.05},
      {ScheduleKind::step, 59, 0.05},
      {ScheduleKind::step, 60, 0.025},
  };
  check_rates(rates, [](ScheduleKind kind) -> Schedule {
    return {.kind = kind,
            .lr = 0.1,
            .min_lr = 0.02,
            .steps = 100,
            .decay_steps = 30,
            .decay_rate = 0.5};
  });
}

TEST_CASE("schedule: between two steps") {
  const Schedule s = schedule(ScheduleKind::cosine);
  for (const std::int64_t step : {0, 5, 9, 10, 70, 109})
    CHECK(s.at_position(static_cast<double>(step)) == s.at(step));
  CHECK(s.at_position(4.5) == Approx((s.at(4) + s.at(5)) / 2));
  CHECK(s.at_position(9.9) == Approx(0.1));  // never above lr
  CHECK(s.at_position(60.5) < s.at(60));
  CHECK(s.at_position(60.5) > s.at(61));
}

TEST_CASE("schedule: odd options still give a rate") {
  CHECK(Schedule{}.at(0) == 1e-3);
  // Nothing but warm-up; no run at all; no decay.
  CHECK(Schedule{.kind = ScheduleKind::cosine, .lr = 0.1, .warmup_steps = 5, .steps = 5}.at(4) ==
        Approx(0.1));
  CHECK_THROWS_WITH_AS(Schedule{.kind = ScheduleKind::cosine}.at(0),
                       doctest::Contains("expected the steps of the run"), anther::Error);
  CHECK_THROWS_AS(Schedule{.kind = ScheduleKind::linear}.at(7), anther::Error);
  CHECK(Schedule{.kind = ScheduleKind::cosine, .lr = 0.1, .warmup_steps = 4}.at(3) == Approx(0.1));
  CHECK(Schedule{.kind = ScheduleKind::step, .lr = 0.1, .steps = 10}.at(9) == 0.1);
}

TEST_CASE("schedule: kinds by name") {
  CHECK(anther::schedule_kind("constant") == ScheduleKind::constant);
  CHECK(anther::schedule_kind("cosine") == ScheduleKind::cosine);
  CHECK(anther::schedule_kind("linear") == ScheduleKind::linear);
  CHECK(anther::schedule_kind("step") == ScheduleKind::step);
  CHECK(contains(error_of([] { anther::schedule_kind("exp"); }),
                 "constant, cosine, linear or step, got exp"));
}

}  // namespace
