// One optimiser step's gradients, and evaluation, of batches of any size in bounded memory.
//
// A batch is cut into micro-batches, whose gradients add up: exact for every norm but BatchNorm,
// because no statistic crosses samples. Micro-batch m belongs to lane m % lanes; a lane has a tape
// and a gradient buffer of its own, runs on one thread at a time, and the lanes' gradients are
// added in their order. So the memory depends on micro-batch and lanes, and the bits on them too,
// but not on the number of threads.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "anther/autograd/tape.hpp"
#include "anther/core/parallel_for.hpp"
#include "anther/kernels/cross_entropy.hpp"
#include "anther/kernels/optimizer.hpp"
#include "anther/nn/module.hpp"
#include "anther/ops/cross_entropy.hpp"

namespace anther::inline v0_1 {

struct TrainerOptions {
  // Samples; 0: automatic_micro_batch of the images, or with BatchNorm the whole batch.
  std::int64_t micro_batch = 0;
  std::int64_t lanes = 1;  // micro-batches under way at once, at most
  double label_smoothing = 0;
  std::uint64_t seed = 0;
  Profile* profile = nullptr;  // gains the time of every op, where not null
};

// How many images run at once best: about 224 x 224 pixels, so that activations stay in the cache
// (1 image at 224, 3 at 128, 5 at 96), and at most 16. A function of the shape alone, as the bits
// depend on it.
inline std::int64_t automatic_micro_batch(std::int64_t height, std::int64_t width) {
  const std::int64_t pixels = std::max<std::int64_t>(1, height * width);
  return std::clamp<std::int64_t>((224 * 224 + pixels / 2) / pixels, 1, 16);
}

// Whether samples of a batch see each other's statistics, so that it cannot be cut.
template <class T>
bool has_batch_norm(const ParameterStore<T>& store) {
  return std::any_of(store.buffers().begin(), store.buffers().end(),
                     [](const ParameterInfo& info) { return info.name.ends_with("running_mean"); });
}

// Of a batch: the mean loss, and how many samples had their label first, and among the first five.
struct BatchResult {
  double loss = 0;
  std::int64_t samples = 0;
  std::int64_t top1 = 0;
  std::int64_t top5 = 0;
};

template <class T>
class Trainer {
 public:
  // The model outlives the trainer. Throws where a model with BatchNorm is asked for micro-batches.
  Trainer(const Module<T>& model, const TrainerOptions& options)
      : model_(model), options_(options) {
    check(options.micro_batch >= 0, "micro-batch: expected at least 0, got ", options.micro_batch);
    check(options.lanes > 0, "lanes: expected at least 1, got ", options.lanes);
    whole_batch_ = has_batch_norm(model.parameters());
    check(!whole_batch_ || options.micro_batch == 0,
          "micro-batch: the model has BatchNorm, whose statistics are the whole batch's; leave "
          "micro-batch 0");
    for (std::int64_t lane = 0; lane < (whole_batch_ ? 1 : options.lanes); ++lane)
      gradients_.emplace_back(model.parameters().size());
  }

  // Begins a step: a batch follows in one or more parts. step: the number of the optimiser's step,
  // which seeds dropout.
  void begin_step(std::int64_t step) {
    random_ = RandomKey(options_.seed).fold("step").fold(static_cast<std::uint64_t>(step));
    for (auto& lane : gradients_) std::fill(lane.begin(), lane.end(), T(0));
    batch_ = {};
  }

  // Adds a part of the batch: images (N, H, W, C), labels (N). Gives the part's own result.
  BatchResult add(const Shape& shape, std::span<const T> images,
                  std::span<const std::int32_t> labels) {
    check(!whole_batch_ || batch_.samples == 0,
          "batch: the model has BatchNorm, and its batch has to come in one part");
    const BatchResult part = run(
        shape, images, labels,
        [&](Tape<T>& tape, const Variable<T>& logits, std::span<const std::int32_t> own) {
          const Variable<T> loss =
              cross_entropy(logits, own, {.label_smoothing = options_.label_smoothing, .count = 1});
          const double value = static_cast<double>(loss.item());
          tape.backward(loss);
          return value;
        },
        {.training = true, .backward = true, .random = random_, .first_sample = batch_.samples});
    const auto before = static_cast<double>(batch_.samples),
               size = static_cast<double>(part.samples);
    batch_.loss = (batch_.loss * before + part.loss * size) / (before + size);
    batch_.samples += part.samples;
    batch_.top1 += part.top1;
    batch_.top5 += part.top5;
    return part;
  }

  // Ends the step: gradients() are those of the mean loss over the batch. Call commit() after the
  // optimiser's step.
  BatchResult finish_step() {
    check(batch_.samples > 0, "batch: expected at least one image, got none");
    lane_pointers_.clear();
    for (const auto& lane : gradients_) lane_pointers_.push_back(lane.data());
    sum_buffers(gradients_[0].data(), lane_pointers_.data(), std::ssize(lane_pointers_),
                static_cast<T>(1 / static_cast<double>(batch_.samples)), gradients_[0].size());
    return batch_;
  }

  // A step of a batch that is there as a whole.
  BatchResult compute_gradients(const Shape& shape, std::span<const T> images,
                                std::span<const std::int32_t> labels, std::int64_t step) {
    begin_step(step);
    add(shape, images, labels);
    return finish_step();
  }

  // Loss and accuracy of a batch in evaluation mode; the logits too where `logits` is not null.
  BatchResult evaluate(const Shape& shape, std::span<const T> images,
                       std::span<const std::int32_t> labels, std::vector<T>* logits = nullptr) {
    if (logits) logits->clear();
    return run(shape, images, labels,
               [&](Tape<T>& tape, const Variable<T>& output, std::span<const std::int32_t> own) {
                 const double loss = static_cast<double>(cross_entropy(output, own).item());
                 if (logits) {
                   const std::span<const T> values = output.value();
                   const std::int64_t at = tape.options().first_sample * output.shape().back();
                   const std::lock_guard lock(mutex_);
                   const auto end = static_cast<std::size_t>(at) + values.size();
                   if (logits->size() < end) logits->resize(end);
                   std::copy(values.begin(), values.end(), logits->begin() + at);
                 }
                 return loss * static_cast<double>(own.size());
               },
               {.training = false, .backward = false});
  }

  // After the optimiser's step: moves BatchNorm's running statistics.
  void commit() {
    for (auto& tape : tapes_) tape->commit_statistics();
  }

  // Of the last compute_gradients(), in the store's layout.
  std::span<T> gradients() { return gradients_[0].span(); }
  const TrainerOptions& options() const { return options_; }

 private:
  // In evaluation no statistic crosses samples, with BatchNorm neither.
  std::int64_t micro_batch_of(const Shape& images, bool training) const {
    if (training && whole_batch_) return images[0];
    const std::int64_t size = options_.micro_batch > 0
                                  ? options_.micro_batch
                                  : automatic_micro_batch(images[1], images[2]);
    return std::min(size, images[0]);
  }

  // A tape that no thread uses; a new one where there is none.
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

  // Runs body(tape, logits, labels) for every micro-batch, and adds up what it gives: summed
  // losses.
  template <class Body>
  BatchResult run(const Shape& shape, std::span<const T> images,
                  std::span<const std::int32_t> labels, const Body& body,
                  const TapeOptions& tape_options) {
    check(shape.rank() == 4 && shape[0] > 0 &&
              static_cast<std::int64_t>(images.size()) == shape.numel() &&
              static_cast<std::int64_t>(labels.size()) == shape[0],
          "batch: expected images (N, H, W, C) and N labels, got the shape ", shape, ", ",
          images.size(), " values and ", labels.size(), " labels");
    const std::int64_t samples = shape[0], sample_size = shape.numel() / samples;
    const std::int64_t micro_batch = micro_batch_of(shape, tape_options.training);
    const std::int64_t count = (samples + micro_batch - 1) / micro_batch;
    partial_.assign(static_cast<std::size_t>(count), {});

    const std::int64_t lanes = std::min(options_.lanes, count);
    const auto run_lane = [&](std::int64_t lane) {
      const BorrowedTape borrowed(*this);
      Tape<T>& tape = *borrowed;
      if (tape_options.backward)
        tape.use_gradients(gradients_[static_cast<std::size_t>(lane)].span());
      for (std::int64_t m = lane; m < count; m += lanes) {
        const std::int64_t first = m * micro_batch;
        const std::int64_t size = std::min(micro_batch, samples - first);
        TapeOptions options = tape_options;
        options.first_sample += first;
        options.profile = options_.profile;
        tape.begin(options);
        Shape part = shape;
        part[0] = size;
        const auto own =
            labels.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(size));
        const Variable<T> logits =
            model_(tape.input(part, images.subspan(static_cast<std::size_t>(first * sample_size),
                                                   static_cast<std::size_t>(size * sample_size))));
        BatchResult& result = partial_[static_cast<std::size_t>(m)];
        result.loss = body(tape, logits, own);  // throws where a label is out of range
        const std::int64_t classes = logits.shape().back();
        const std::span<const T> values = logits.value();
        for (std::int64_t n = 0; n < size; ++n) {
          const std::int64_t rank =
              label_rank(values.data() + n * classes, classes, own[static_cast<std::size_t>(n)]);
          result.top1 += rank < 1;
          result.top5 += rank < 5;
        }
      }
    };
    if (lanes == 1)
      run_lane(0);  // not inside parallel_for, so that the ops may use its threads
    else
      parallel_for(lanes, std::int64_t{1} << 40, run_lane);

    BatchResult total{.samples = samples};
    for (const BatchResult& result : partial_) {
      total.loss += result.loss;
      total.top1 += result.top1;
      total.top5 += result.top5;
    }
    total.loss /= static_cast<double>(samples);
    return total;
  }

  const Module<T>& model_;
  TrainerOptions options_;
  bool whole_batch_ = false;
  RandomKey random_;                         // of the step
  BatchResult batch_;                        // of the step so far
  std::vector<AlignedBuffer<T>> gradients_;  // of the lanes
  std::vector<std::unique_ptr<Tape<T>>> tapes_;
  std::vector<Tape<T>*> free_tapes_;
  std::vector<BatchResult> partial_;
  std::vector<const T*> lane_pointers_;
  std::mutex mutex_;
};

}  // namespace anther::inline v0_1
