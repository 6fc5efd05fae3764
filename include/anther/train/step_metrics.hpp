// The metrics of one step: sums that are added by micro-batches, in their order, so that they have
// the same bits for any number of ranks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "anther/data/batch.hpp"
#include "anther/distributed/message.hpp"
#include "anther/train/agreement.hpp"
#include "anther/train/metrics.hpp"
#include "anther/train/trainer_options.hpp"

namespace anther::inline v0_1 {

class StepMetrics {
 public:
  explicit StepMetrics(const Metrics& metrics) : step_(metrics), micro_(metrics) {}

  void reset() { step_.reset(); }
  MetricSums& sums() { return step_; }

  // Adds the micro-batches of a part of the batch. Of several ranks: those that are this one's, and
  // to a message, for merge().
  void add(std::int64_t part, std::span<const MicroBatch> own, const Outputs& outputs,
           const data::Batch& batch, Message* message = nullptr) {
    const std::int64_t each = std::ssize(outputs.values) / batch.size();
    for (const MicroBatch& m : own) {
      const auto [first, count] = m.samples;
      data::copy_targets(batch, first, count, targets_);
      Shape shape = outputs.shape;
      shape[0] = count;
      micro_.reset();
      micro_.add({shape, outputs.values.subspan(static_cast<std::size_t>(first * each),
                                                static_cast<std::size_t>(count * each))},
                 targets_);
      if (!message) {
        step_.add(micro_);
        continue;
      }
      message->put(part << 32 | m.number);
      put_sums(*message, micro_);
    }
  }
  // Adds what all ranks have put into messages.
  void merge(const std::vector<std::string>& of_ranks) {
    std::map<std::int64_t, MetricSums> sorted;
    for (const std::string& bytes : of_ranks)
      for (Message message(bytes); !message.at_end();) {
        const auto number = message.get<std::int64_t>();
        get_sums(message, micro_);
        sorted.emplace(number, micro_);
      }
    for (const auto& [number, sums] : sorted) step_.add(sums);
  }

 private:
  MetricSums step_, micro_;
  data::Batch targets_;  // of a micro-batch
};

}  // namespace anther::inline v0_1
