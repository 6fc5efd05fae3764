// Computes the gradients of one optimiser step, for batches of any size in bounded memory.
//
// A batch is cut into micro-batches, whose gradients add up. That is exact unless a layer of the
// model lets the samples of a batch see each other, as BatchNorm does: then the batch runs as a
// whole, or each micro-batch has statistics of its own (TrainerOptions::batch_norm_group).
// Micro-batch m belongs to lane m % lanes. A lane has its own tape and gradient buffer and runs on
// one thread at a time, and the gradients of the lanes are added in their order. So memory and bits
// depend on micro-batch and lanes, but not on the number of threads.
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
#include <type_traits>
#include <utility>
#include <vector>

#include "anther/autograd/tape.hpp"
#include "anther/core/parallel_for.hpp"
#include "anther/data/batch.hpp"
#include "anther/kernels/optimizer.hpp"
#include "anther/nn/module.hpp"
#include "anther/train/callback.hpp"
#include "anther/train/objective.hpp"
#include "anther/train/whole_numbers.hpp"

namespace anther::inline v0_1 {

struct TrainerOptions {
  // Samples. 0: automatic_micro_batch of the inputs, or the whole batch if samples are coupled.
  std::int64_t micro_batch = 0;
  // For models with BatchNorm. 0: statistics of the whole batch, as PyTorch has them. Otherwise the
  // batch is cut into equal groups of so many samples at most, each of which is a micro-batch with
  // statistics of its own ("ghost batches": Hoffer et al. 2017, arXiv 1705.08741), so that memory
  // does not grow with the batch. Running statistics move by the mean over the groups, once a step.
  std::int64_t batch_norm_group = 0;
  std::int64_t lanes = 1;  // micro-batches under way at once, at most
  // Backward computes each stage of the model again, instead of keeping it: TapeOptions::recompute.
  bool recompute = false;
  // Mixed precision: products in bfloat16, all else in float. TapeOptions::amp.
  bool amp = false;
  std::uint64_t seed = 0;
  Profile* profile = nullptr;  // gains the time of every op, where not null
};

// How many samples of so many numbers are best run at once: about two times 224 x 224 x 3 numbers,
// so that activations stay in the cache and weights are read for more rows than one sample has (2
// images at 224 px, 6 at 128, 11 at 96), and at most 24; more if samples are smaller than 32 x 32 x
// 3. It depends on the size alone, since the bits depend on it.
inline std::int64_t automatic_micro_batch(std::int64_t numbers) {
  const std::int64_t size = std::max<std::int64_t>(1, numbers);
  const std::int64_t most = std::max<std::int64_t>(24, 24 * 32 * 32 * 3 / size);
  return std::clamp<std::int64_t>((2 * 224 * 224 * 3 + size / 2) / size, 1,
                                  std::min<std::int64_t>(most, 4096));
}

// The first layer of a pass, in the order of computation, whose output has a value that is infinite
// or NaN; or the parameter, or the inputs, that it comes from.
template <class T>
std::string first_not_finite(const Tape<T>& tape) {
  const auto finite = [&](int id) {
    const std::span<const T> values = tape.elements_of(id);
    return kernels::all_finite(values.data(), std::ssize(values));
  };
  for (const auto& entry : tape.entries()) {
    for (const int id : entry.inputs) {
      if (id < 0 || finite(id)) continue;
      const Parameter<T> parameter = tape.parameter_of(id);
      return parameter ? "the parameter " + parameter.info().name : std::string("the inputs");
    }
    if (!finite(entry.outputs[0]))
      return detail::text_of("the output of ", entry.layer.empty() ? "the model" : entry.layer,
                             " (", entry.op->name, ")");
  }
  return "none of the layers' outputs";
}

template <class T>
class Trainer {
 public:
  // The model outlives the trainer. Throws if micro-batches are asked for and the model's samples
  // are coupled.
  Trainer(const Module<T>& model, Objective<T> objective, const TrainerOptions& options = {})
      : model_(model), objective_(std::move(objective)), options_(options) {
    detail::check(objective_ != nullptr,
                  "training: expected an objective, of train/objectives.hpp or one of your own");
    detail::check(options.micro_batch >= 0, "micro-batch: expected at least 0, got ",
                  options.micro_batch);
    detail::check(options.lanes > 0, "lanes: expected at least 1, got ", options.lanes);
    detail::check(options.batch_norm_group == 0 || options.batch_norm_group > 1,
                  "group of BatchNorm: expected at least 2 samples, or 0 for the whole batch, got ",
                  options.batch_norm_group);
    by_group_ = model.store().couples_samples() && options.batch_norm_group > 0;
    whole_batch_ = model.store().couples_samples() && !by_group_;
    detail::check(
        (!whole_batch_ && !by_group_) || options.micro_batch == 0,
        "micro-batch: the model has BatchNorm, whose statistics are the whole batch's, or those of "
        "groups of batch_norm_group samples; leave micro-batch 0");
    for (std::int64_t lane = 0; lane < (whole_batch_ ? 1 : options.lanes); ++lane)
      gradients_.emplace_back(model.store().size());
  }

  // Begins a step; a batch follows in one or more parts. step: the number of the optimiser's step,
  // which seeds dropout.
  void begin_step(std::int64_t step) {
    random_ = RandomKey(options_.seed).fold("step").fold(static_cast<std::uint64_t>(step));
    for (auto& lane : gradients_) std::fill(lane.begin(), lane.end(), T(0));
    result_ = {};
    not_finite_.clear();
    not_finite_sample_ = std::numeric_limits<std::int64_t>::max();
    uncommitted_ = false;
    parts_ = 0;
  }

  // Adds a part of the step's batch, and returns the part's own result. If statistics are those of
  // the whole batch, it is one part, and there is a commit() between batches whose gradients are
  // accumulated.
  BatchResult add(const data::Batch& batch) {
    detail::check(!uncommitted_,
                  "batch: the model has BatchNorm, and its batch has to come in one part");
    const BatchResult part = run(batch);
    const auto old = static_cast<double>(result_.samples), size = static_cast<double>(part.samples);
    result_.loss = (result_.loss * old + part.loss * size) / (old + size);
    result_.samples += part.samples;
    uncommitted_ = whole_batch_;
    return part;
  }

  // The model's outputs for the samples of the last add(): (N, ...).
  const Shape& output_shape() const { return output_shape_; }
  std::span<const T> outputs() const { return outputs_; }

  // Samples of the step so far.
  std::int64_t samples() const { return result_.samples; }

  // Where the first value came from that is not finite, if the loss or a gradient of this step is
  // not; otherwise empty. The optimiser's step can then still be left out.
  std::string not_finite() const {
    if (!not_finite_.empty()) return not_finite_;
    if (kernels::all_finite(gradients_[0].data(), gradients_[0].size())) return {};
    // Gradients run from the last parameter to the first.
    const ParameterStore<T>& store = model_.store();
    for (std::size_t i = store.parameters().size(); i-- > 0;) {
      const std::span<const T> own = store.slice_of(gradients_[0].span(), static_cast<int>(i));
      if (!kernels::all_finite(own.data(), std::ssize(own)))
        return "the gradient of " + store.parameters()[i].name;
    }
    return "a gradient";
  }

  // Ends the step: gradients() are those of the mean loss over the batch. Call commit() after the
  // optimiser's step.
  BatchResult finish_step() {
    detail::check(result_.samples > 0, "batch: expected at least one sample, got none");
    lane_pointers_.clear();
    for (const auto& lane : gradients_) lane_pointers_.push_back(lane.data());
    kernels::sum_buffers(gradients_[0].data(), lane_pointers_.data(), std::ssize(lane_pointers_),
                         static_cast<T>(1 / static_cast<double>(result_.samples)),
                         gradients_[0].size());
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
    model_.store().commit_buffers();
    uncommitted_ = false;
  }

  // Of the last finish_step(), in the store's layout.
  std::span<T> gradients() { return gradients_[0].span(); }
  const TrainerOptions& options() const { return options_; }

 private:
  // The samples of micro-batch m of a batch, and the number of micro-batches.
  std::int64_t micro_batches_of(const data::Batch& batch) const {
    return (batch.size() + micro_batch_of(batch) - 1) / micro_batch_of(batch);
  }
  std::int64_t micro_batch_of(const data::Batch& batch) const {
    const std::int64_t samples = batch.size();
    if (whole_batch_) return samples;
    if (by_group_) return std::min(options_.batch_norm_group, samples);
    const std::int64_t size = options_.micro_batch > 0
                                  ? options_.micro_batch
                                  : automatic_micro_batch(batch.inputs.size() / samples);
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

  // A tape that no thread uses; a new one if there is none.
  class BorrowedTape {
   public:
    explicit BorrowedTape(Trainer& trainer) : trainer_(trainer) {
      const std::lock_guard lock(trainer.mutex_);
      if (trainer.free_tapes_.empty()) {
        trainer.tapes_.push_back(std::make_unique<Tape<T>>());
        trainer.free_tapes_.reserve(trainer.tapes_.size());
        tape_ = trainer.tapes_.back().get();
      } else {
        tape_ = trainer.free_tapes_.back();
        trainer.free_tapes_.pop_back();
      }
    }
    ~BorrowedTape() {
      const std::lock_guard lock(trainer_.mutex_);
      trainer_.free_tapes_.push_back(tape_);
    }
    BorrowedTape(const BorrowedTape&) = delete;
    BorrowedTape& operator=(const BorrowedTape&) = delete;
    Tape<T>& operator*() const { return *tape_; }

   private:
    Trainer& trainer_;
    Tape<T>* tape_;
  };

  // The inputs of a part of a batch on a tape.
  Variable<T> input(Tape<T>& tape, const data::Batch& batch, SampleRange part) const {
    Shape shape = batch.inputs.shape();
    const std::int64_t each = shape.numel() / shape[0];
    shape[0] = part.count;
    const std::span<const float> values = batch.inputs.span().subspan(
        static_cast<std::size_t>(part.first * each), static_cast<std::size_t>(part.count * each));
    if (*integers_) return tape.integers(shape, whole_numbers(values));
    if constexpr (std::is_same_v<T, float>) {
      return tape.input(shape, values);
    } else {
      const std::vector<T> converted(values.begin(), values.end());
      return tape.input(shape, std::span<const T>(converted));
    }
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
    losses_.assign(static_cast<std::size_t>(count), 0);

    const std::int64_t lanes = std::min(options_.lanes, count);
    const auto run_lane = [&](std::int64_t lane) {
      const BorrowedTape borrowed(*this);
      Tape<T>& tape = *borrowed;
      tape.use_gradients(model_.store(), gradients_[static_cast<std::size_t>(lane)].span());
      for (std::int64_t m = lane; m < count; m += lanes) {
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
        const Variable<T> outputs = model_(input(tape, batch, part));
        detail::check(outputs.shape().rank() >= 1 && outputs.shape()[0] == part.count,
                      "training: expected an output for each of ", part.count,
                      " samples, got the shape ", outputs.shape());
        const Variable<T> loss = objective_(outputs, batch, part);
        const double value = static_cast<double>(loss.item());
        if (std::isfinite(value))
          tape.backward(loss);
        else
          note_not_finite(tape);
        losses_[static_cast<std::size_t>(m)] = value;
        keep_outputs(outputs, batch, part);
      }
    };
    if (lanes == 1)
      run_lane(0);  // not inside parallel_for, so that the ops can use its threads
    else
      parallel_for(lanes, std::int64_t{1} << 40, run_lane);

    parts_ += static_cast<int>(count);
    BatchResult total{.samples = samples};
    for (const double loss : losses_) total.loss += loss;
    total.loss /= static_cast<double>(samples);
    return total;
  }

  const Module<T>& model_;
  Objective<T> objective_;
  TrainerOptions options_;
  bool whole_batch_ = false;      // BatchNorm's statistics are the whole batch's
  bool by_group_ = false;         // or those of a micro-batch
  int parts_ = 0;                 // micro-batches of the step so far
  std::optional<bool> integers_;  // whether the model reads integers; known at the first batch
  bool uncommitted_ = false;      // BatchNorm's statistics of the last part
  std::string not_finite_;
  std::int64_t not_finite_sample_ = 0;
  RandomKey random_;                         // of the step
  BatchResult result_;                       // of the step so far
  std::vector<AlignedBuffer<T>> gradients_;  // of the lanes
  Shape output_shape_;
  std::vector<T> outputs_;
  std::vector<std::unique_ptr<Tape<T>>> tapes_;
  std::vector<Tape<T>*> free_tapes_;
  std::vector<double> losses_;  // of the micro-batches
  std::vector<const T*> lane_pointers_;
  std::mutex mutex_;
};

}  // namespace anther::inline v0_1
