// Computes the gradients of one optimiser step, for batches of any size in bounded memory.
//
// A batch is cut into micro-batches, whose gradients add up. That is exact unless a layer of the
// model lets the samples of a batch see each other, as BatchNorm does: then the batch runs as a
// whole, or each micro-batch has statistics of its own (TrainerOptions::batch_norm_group).
// Micro-batch m belongs to lane m % lanes. A lane has its own tape and gradient buffer and runs on
// one thread at a time, and the gradients of the lanes are added in a fixed order. So memory and
// bits depend on micro-batch and lanes, but not on the number of threads. Of several ranks (see
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "anther/autograd/tape.hpp"
#include "anther/core/parallel_for.hpp"
#include "anther/data/batch.hpp"
#include "anther/distributed/message.hpp"
#include "anther/distributed/texts.hpp"
#include "anther/kernels/optimizer.hpp"
#include "anther/nn/module.hpp"
#include "anther/train/callback.hpp"
#include "anther/train/gradient_exchange.hpp"
#include "anther/train/objective.hpp"
#include "anther/train/part_input.hpp"
#include "anther/train/step_order.hpp"
#include "anther/train/tape_pool.hpp"
#include "anther/train/trainer_options.hpp"
#include "anther/train/whole_numbers.hpp"

namespace anther::inline v0_1 {

template <class T>
class Trainer {
 public:
  // The model outlives the trainer. Throws if micro-batches are asked for and the model's samples
  // are coupled.
  Trainer(const Module<T>& model, Objective<T> objective, const TrainerOptions& options = {})
      : model_(model),
        objective_(std::move(objective)),
        options_(options),
        whole_batch_(model.store().couples_samples() && options.batch_norm_group == 0),
        by_group_(model.store().couples_samples() && options.batch_norm_group > 0),
        exchange_(checked_group(), whole_batch_ ? 1 : options.lanes, model.store().size()) {
    detail::check(objective_ != nullptr,
                  "training: expected an objective, of train/objectives.hpp or one of your own");
    detail::check(options.micro_batch >= 0, "micro-batch: expected at least 0, got ",
                  options.micro_batch);
    detail::check(options.batch_norm_group == 0 || options.batch_norm_group > 1,
                  "group of BatchNorm: expected at least 2 samples, or 0 for the whole batch, got ",
                  options.batch_norm_group);
    detail::check(
        (!whole_batch_ && !by_group_) || options.micro_batch == 0,
        "micro-batch: the model has BatchNorm, whose statistics are the whole batch's, or those of "
        "groups of batch_norm_group samples; leave micro-batch 0");
    for (std::int64_t lane = 0; lane < exchange_.own_lanes(); ++lane)
      gradients_.emplace_back(model.store().size());
  }

  // What the tapes hold; the gradients of parameters are the lanes'.
  TapeMemory memory() const {
    TapeMemory all = tapes_.memory();
    for (const auto& g : gradients_) all.parameter_gradients += std::ssize(std::as_bytes(g.span()));
    return all;
  }

  // Begins a step; a batch follows in one or more parts. step: the number of the optimiser's step,
  // which seeds dropout.
  void begin_step(std::int64_t step) {
    detail::check(
        model_.store().couples_samples() == (whole_batch_ || by_group_),
        "training: BatchNorm's statistics were frozen or set free since the trainer was made; "
        "make another");
    model_.store().discard_buffers();  // of a step that was left out
    order_.begin();
    random_ = RandomKey(options_.seed).fold("step").fold(static_cast<std::uint64_t>(step));
    for (auto& lane : gradients_) std::fill(lane.begin(), lane.end(), T(0));
    result_ = {};
    not_finite_.clear();
    not_finite_sample_ = std::numeric_limits<std::int64_t>::max();
    uncommitted_ = false;
    parts_ = 0;
    losses_.clear();
    parts_of_step_.clear();
  }

  // Adds a part of the step's batch, and returns the part's own result: of several ranks, with the
  // losses of its own micro-batches alone, until finish_step(). If statistics are those of
  // the whole batch, it is one part, and there is a commit() between batches whose gradients are
  // accumulated.
  BatchResult add(const data::Batch& batch) {
    detail::check(!uncommitted_,
                  "batch: the model has BatchNorm, and its batch has to come in one part");
    order_.begin_add();
    const BatchResult part = run(batch);
    add_result(part);
    uncommitted_ = whole_batch_;
    order_.end_add();
    return part;
  }

  // The micro-batches of the last add() that are this rank's, in their order.
  std::span<const MicroBatch> micro_batches() const { return micro_batches_; }
  // Whether one of them has this sample of a batch of `samples`, each of so many numbers.
  bool needs(std::int64_t place, std::int64_t samples, std::int64_t numbers) const {
    const std::int64_t size = micro_batch_of(samples, numbers);
    const std::int64_t count = count_of(samples, size);
    return is_own(by_group_ ? ((place + 1) * count + samples - 1) / samples - 1 : place / size);
  }

  // The model's outputs for the samples of the last add(): (N, ...). Those of other ranks'
  // micro-batches mean nothing.
  const Shape& output_shape() const { return output_shape_; }
  std::span<const T> outputs() const { return outputs_; }

  // Samples of the step so far.
  std::int64_t samples() const { return result_.samples; }

  // Where the first value came from that is not finite, if the loss or a gradient of this step is
  // not; otherwise empty. The optimiser's step can then still be left out. Every rank calls it, and
  // all get the same.
  std::string not_finite() const {
    if (!not_finite_.empty()) return not_finite_;
    int last = last_not_finite();
    if (exchange_.group())
      for (const std::string& other : all_gather(*exchange_.group(), std::to_string(last)))
        last = std::max(last, std::stoi(other));
    return last < 0 ? ""
                    : "the gradient of " +
                          model_.store().parameters()[static_cast<std::size_t>(last)].name;
  }

  // Ends the step: gradients() are those of the mean loss over the batch, and the result is that of
  // all ranks. Every rank calls it, and commit() after the optimiser's step.
  BatchResult finish_step() {
    order_.finish();
    detail::check(result_.samples > 0, "batch: expected at least one sample, got none");
    if (exchange_.group()) {
      exchange_buffers();
      exchange_losses();
      if (!std::isfinite(result_.loss)) return result_;
    }
    sum_ = exchange_.sum(gradients_, static_cast<T>(1 / static_cast<double>(result_.samples)));
    return result_;
  }

  // A step with a batch that is complete.
  BatchResult compute_gradients(const data::Batch& batch, std::int64_t step) {
    begin_step(step);
    add(batch);
    return finish_step();
  }

  // After the optimiser's step: moves BatchNorm's running statistics.
  void commit() {
    exchange_buffers();
    model_.store().commit_buffers();
    uncommitted_ = false;
  }

  // Of the last finish_step(), in the store's layout; of several ranks, the segment that is this
  // one's (Optimizer::segment).
  std::span<T> gradients() { return sum_; }
  const TrainerOptions& options() const { return options_; }

 private:
  ProcessGroup* checked_group() const {
    detail::check(options_.lanes > 0, "lanes: expected at least 1, got ", options_.lanes);
    detail::check(
        !options_.group || options_.group->size() == 1 || !whole_batch_,
        "training over several ranks: the model has BatchNorm, and no rank has the whole batch "
        "that its statistics are of; expected a batch_norm_group, which has statistics of its own");
    return options_.group;
  }

  bool is_own(std::int64_t micro_batch) const {
    return exchange_.is_own(whole_batch_ ? 0 : micro_batch % options_.lanes);
  }

  // The samples of micro-batch m of a batch, and the number of micro-batches.
  std::int64_t micro_batches_of(const data::Batch& batch) const {
    return count_of(batch.size(), micro_batch_of(batch));
  }
  // Groups of BatchNorm differ by one sample at most, and none is of a single one.
  std::int64_t count_of(std::int64_t samples, std::int64_t size) const {
    const std::int64_t count = (samples + size - 1) / size;
    return by_group_ && count > 1 && samples < 2 * count ? samples / 2 : count;
  }
  std::int64_t micro_batch_of(const data::Batch& batch) const {
    return micro_batch_of(batch.size(), batch.inputs.size() / batch.size());
  }
  std::int64_t micro_batch_of(std::int64_t samples, std::int64_t numbers) const {
    if (whole_batch_) return samples;
    if (by_group_) return std::min(options_.batch_norm_group, samples);
    const std::int64_t size =
        options_.micro_batch > 0 ? options_.micro_batch : automatic_micro_batch(numbers);
    return std::min(size, samples);
  }
  SampleRange micro_batch(const data::Batch& batch, std::int64_t m) const {
    const std::int64_t samples = batch.size(), size = micro_batch_of(batch);
    if (!by_group_) return {m * size, std::min(size, samples - m * size)};
    // A group has the same weight in running statistics as any other, so sizes differ by 1 at most.
    const std::int64_t count = micro_batches_of(batch);
    const std::int64_t first = m * samples / count;
    return {first, (m + 1) * samples / count - first};
  }

  // Of several micro-batches, the first: the message is the same for any number of threads.
  void note_not_finite(const Tape<T>& tape) {
    const std::lock_guard lock(mutex_);
    model_.store().discard_buffers();
    if (tape.options().first_sample >= not_finite_sample_) return;
    not_finite_sample_ = tape.options().first_sample;
    not_finite_ = first_not_finite(tape);
  }

  // Keeps the outputs of a micro-batch in their place among those of the batch.
  void keep_outputs(const Variable<T>& outputs, const data::Batch& batch, SampleRange part) {
    const std::span<const T> values = outputs.value();
    const std::lock_guard lock(mutex_);
    output_shape_ = outputs.shape();
    output_shape_[0] = batch.size();
    outputs_.resize(static_cast<std::size_t>(output_shape_.numel()));
    std::copy(values.begin(), values.end(),
              outputs_.begin() + part.first * (std::ssize(values) / part.count));
  }

  // Forward and backward of all micro-batches.
  BatchResult run(const data::Batch& batch) {
    const std::int64_t samples = batch.size();
    detail::check(
        samples > 0 && batch.inputs.shape().rank() >= 1 && batch.inputs.shape()[0] == samples &&
            std::ssize(batch.labels) % samples == 0 && std::ssize(batch.values) % samples == 0 &&
            batch.lambda.size() == batch.labels2.size() &&
            (batch.labels2.empty() || batch.labels2.size() == batch.labels.size()),
        "batch: expected inputs (N, ...) and N targets, got ", batch.inputs.shape(), " inputs, ",
        samples, " indices, ", batch.labels.size(), " labels and ", batch.values.size(),
        " numbers");
    if (!integers_) integers_ = reads_integers(model_, batch.inputs.shape());
    const std::int64_t count = micro_batches_of(batch);
    const std::size_t first_loss = losses_.size();
    losses_.resize(first_loss + static_cast<std::size_t>(count), 0);
    parts_of_step_.push_back({samples, count});
    micro_batches_.clear();
    for (std::int64_t m = 0; m < count; ++m)
      if (is_own(m)) micro_batches_.push_back({m, micro_batch(batch, m)});

    const std::int64_t lanes = exchange_.own_lanes(count);
    const auto run_lane = [&](std::int64_t lane) {
      const typename TapePool<T>::Borrowed borrowed(tapes_);
      Tape<T>& tape = *borrowed;
      tape.use_gradients(model_.store(), gradients_[static_cast<std::size_t>(lane)].span());
      for (std::int64_t m = exchange_.own_lane(lane); m < count; m += options_.lanes) {
        const SampleRange part = micro_batch(batch, m);
        tape.begin(
            {.training = true,
             .backward = true,
             .recompute = options_.recompute,
             .amp = options_.amp,
             .random = random_,
             .first_sample = result_.samples + part.first,
             .batch_part = by_group_ ? std::optional(parts_ + static_cast<int>(m)) : std::nullopt,
             .profile = options_.profile});
        const Variable<T> outputs = model_(part_input(tape, batch, part, *integers_));
        detail::check(outputs.shape().rank() >= 1 && outputs.shape()[0] == part.count,
                      "training: expected an output for each of ", part.count,
                      " samples, got the shape ", outputs.shape());
        const Variable<T> loss = objective_(outputs, batch, part);
        const double value = static_cast<double>(loss.item());
        if (std::isfinite(value))
          tape.backward(loss);
        else
          note_not_finite(tape);
        losses_[first_loss + static_cast<std::size_t>(m)] = value;
        keep_outputs(outputs, batch, part);
      }
    };
    if (lanes == 1)
      run_lane(0);  // not inside parallel_for, so that the ops can use its threads
    else
      parallel_for(lanes, std::int64_t{1} << 40, run_lane);

    if (by_group_)
      for (const MicroBatch& m : micro_batches_)
        own_parts_.push_back(parts_ + static_cast<int>(m.number));
    own_parts_exchanged_ = !by_group_;
    parts_ += static_cast<int>(count);
    return result_of(first_loss, parts_of_step_.back());
  }

  // Of a part of the batch, whose losses begin at a place in losses_.
  struct Part {
    std::int64_t samples, micro_batches;
  };
  BatchResult result_of(std::size_t first_loss, const Part& part) const {
    BatchResult result{.samples = part.samples};
    for (std::int64_t m = 0; m < part.micro_batches; ++m)
      result.loss += losses_[first_loss + static_cast<std::size_t>(m)];
    result.loss /= static_cast<double>(part.samples);
    return result;
  }
  void add_result(const BatchResult& part) {
    const auto old = static_cast<double>(result_.samples), size = static_cast<double>(part.samples);
    result_.loss = (result_.loss * old + part.loss * size) / (old + size);
    result_.samples += part.samples;
  }

  // The number of the last parameter that has a gradient in this rank's segment which is not
  // finite; -1: none has. Gradients run from the last parameter to the first.
  int last_not_finite() const {
    if (kernels::all_finite(sum_.data(), std::ssize(sum_))) return -1;
    const Segment own = exchange_.segment();
    const auto& parameters = model_.store().parameters();
    for (int i = static_cast<int>(parameters.size()); i-- > 0;) {
      const ParameterInfo& info = parameters[static_cast<std::size_t>(i)];
      const std::int64_t begin = std::max(info.offset, own.begin) - own.begin;
      const std::int64_t end = std::min(info.offset + info.size, own.end) - own.begin;
      if (begin < end && !kernels::all_finite(sum_.data() + begin, end - begin)) return i;
    }
    return 0;
  }

  // Gives every rank the losses of all, and the first value that was not finite.
  void exchange_losses() {
    Message own;
    own.put(losses_);
    own.put(not_finite_sample_);
    own.put(not_finite_);
    std::vector<std::vector<double>> losses;
    for (std::string& bytes : all_gather(*exchange_.group(), own.bytes())) {
      Message other(std::move(bytes));
      losses.push_back(other.get_all<double>());
      const auto sample = other.get<std::int64_t>();
      std::string text = other.get_text();
      if (sample >= not_finite_sample_) continue;
      not_finite_sample_ = sample;
      not_finite_ = std::move(text);
    }
    // One process would have ended at the first part whose loss is not finite: a rank that met it
    // knows of none after it.
    result_ = {};
    std::size_t first = 0;
    for (const Part& part : parts_of_step_) {
      for (std::int64_t m = 0; m < part.micro_batches; ++m) {
        const std::size_t at = first + static_cast<std::size_t>(m);
        const auto& theirs =
            losses[static_cast<std::size_t>(exchange_.rank_of_lane(m % options_.lanes))];
        losses_[at] = at < theirs.size() ? theirs[at] : 0;
      }
      add_result(result_of(first, part));
      if (!std::isfinite(result_.loss)) return;
      first += static_cast<std::size_t>(part.micro_batches);
    }
  }

  // Gives every rank what the groups of all have made of BatchNorm's running statistics.
  void exchange_buffers() {
    if (!exchange_.group() || own_parts_exchanged_) return;
    exchange_pending(*exchange_.group(), model_.store(), own_parts_);
    own_parts_.clear();
    own_parts_exchanged_ = true;
  }

  const Module<T>& model_;
  Objective<T> objective_;
  TrainerOptions options_;
  bool whole_batch_;  // BatchNorm's statistics are the whole batch's
  bool by_group_;     // or those of a micro-batch
  GradientExchange<T> exchange_;
  int parts_ = 0;                 // micro-batches of the step so far
  std::optional<bool> integers_;  // whether the model reads integers; known at the first batch
  StepOrder order_;
  bool uncommitted_ = false;  // BatchNorm's statistics of the last part
  std::string not_finite_;
  std::int64_t not_finite_sample_ = 0;
  RandomKey random_;                         // of the step
  BatchResult result_;                       // of the step so far
  std::vector<AlignedBuffer<T>> gradients_;  // of the lanes
  std::span<T> sum_;                         // of all lanes, by finish_step()
  Shape output_shape_;
  std::vector<T> outputs_;
  TapePool<T> tapes_;
  std::vector<double> losses_;  // of the step's micro-batches, part after part
  std::vector<Part> parts_of_step_;
  std::vector<MicroBatch> micro_batches_;  // of the last part, this rank's
  std::vector<int> own_parts_;             // numbers of this rank's groups of BatchNorm,
  bool own_parts_exchanged_ = true;        // until the other ranks have what they made
  std::mutex mutex_;
};

}  // namespace anther::inline v0_1
