// What the ranks of a run agree on between its steps: whether one of them has failed, whether to
// stop, and what time it is. In one process there is nobody to agree with.
#pragma once

#include <cstddef>
#include <exception>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "anther/core/once.hpp"
#include "anther/distributed/message.hpp"
#include "anther/distributed/process_group.hpp"
#include "anther/distributed/texts.hpp"
#include "anther/train/callback.hpp"
#include "anther/train/metrics.hpp"

namespace anther::inline v0_1 {

class Agreement {
 public:
  // group: null for one process. stop and clock may be empty: nothing stops, it is always 0.
  Agreement(ProcessGroup* group, std::function<bool()> stop, std::function<double()> clock)
      : group_(group && group->size() > 1 ? group : nullptr),
        stop_(std::move(stop)),
        clock_(std::move(clock)) {}

  ProcessGroup* group() const { return group_; }

  // Runs a call in which ranks do not wait for one another. What it throws on one of several ranks
  // is thrown on all of them by agree().
  template <class Call>
  void attempt(const Call& call) {
    if (!group_) return call();
    try {
      call();
    } catch (const std::exception& error) {
      failure_ = error.what();
    }
  }

  // Gives every rank what each has to say. Throws CollectiveError on every rank if an attempt has
  // failed. Every rank calls it.
  std::vector<Message> agree(const Message& own = {}) {
    if (!group_) return {own};
    Message message;
    message.put(failure_.has_value());
    message.put(failure_ ? rank_text(group_->rank(), group_->host()) + ": " + *failure_
                         : std::string());
    failure_.reset();
    message.put(stop_ && stop_());
    message.put(clock_ ? clock_() : 0.0);
    message.put(own.bytes());
    std::string failures;
    std::vector<Message> all;
    for (std::string& bytes : all_gather(*group_, message.bytes())) {
      Message other(std::move(bytes));
      const bool failed = other.get<bool>();
      const std::string text = other.get_text();
      if (failed) failures += (failures.empty() ? "" : "; ") + text;
      stopped_ = other.get<bool>() || stopped_;
      const auto time = other.get<double>();
      if (all.empty()) now_ = time;
      all.emplace_back(other.get_text());
    }
    if (!failures.empty()) throw CollectiveError(failures);
    return all;
  }

  // Of several ranks: as of the last agree(). They stop if one of them is to, and have the time of
  // rank 0.
  bool stopped() const { return group_ ? stopped_ : stop_ && stop_(); }
  double now() const { return group_ ? now_ : clock_ ? clock_() : 0; }

 private:
  ProcessGroup* group_;
  std::function<bool()> stop_;
  std::function<double()> clock_;
  std::optional<std::string> failure_;
  bool stopped_ = false;
  double now_ = 0;
};

// Metrics' sums in a message.
inline void put_sums(Message& message, const MetricSums& metrics) {
  for (std::size_t i = 0; i < metrics.size(); ++i) message.put(metrics.sums(i));
}
inline void get_sums(Message& message, MetricSums& metrics) {
  for (std::size_t i = 0; i < metrics.size(); ++i) metrics.set_sums(i, message.get_all<double>());
}

// Rank 0's progress. Values of metrics are not in it: they follow from the sums.
ANTHER_ONCE FitProgress broadcast(ProcessGroup& group, FitProgress progress) {
  const auto each_number = [&progress](const auto& visit) {
    StepReport& e = progress.epoch;
    visit(progress.epochs), visit(progress.batches), visit(progress.batch_size);
    visit(progress.steps_per_epoch), visit(progress.schedule_offset);
    visit(e.epoch), visit(e.step), visit(e.steps), visit(e.all_steps), visit(e.samples);
    visit(e.all_samples), visit(e.loss), visit(e.mean_loss), visit(e.lr), visit(e.stall_seconds);
    visit(progress.epoch_begin), visit(progress.epoch_seconds), visit(progress.seconds);
    visit(progress.best), visit(progress.best_epoch), visit(progress.finished);
  };
  Message own;
  each_number([&](const auto& number) { own.put(number); });
  for (const auto& [name, sums] : progress.metric_sums) {
    own.put(name);
    own.put(sums);
  }
  Message first(broadcast(group, own.bytes()));
  each_number([&](auto& number) { number = first.get<std::decay_t<decltype(number)>>(); });
  progress.metric_sums.clear();
  while (!first.at_end()) {
    const std::string name = first.get_text();
    progress.metric_sums[name] = first.get_all<double>();
  }
  return progress;
}

}  // namespace anther::inline v0_1
