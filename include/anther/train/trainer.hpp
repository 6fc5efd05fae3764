// One optimiser step's gradients, and evaluation, of batches of any size in bounded memory.
//
// A batch is cut into micro-batches, whose gradients add up: exact for every norm but BatchNorm,
// because no statistic crosses samples. Micro-batch m belongs to lane m % lanes; a lane has a tape
// and a gradient buffer of its own, runs on one thread at a time, and the lanes' gradients are
// added in their order. So the memory depends on micro-batch and lanes, and the bits on them too,
// but not on the number of threads.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
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
  // Added to the logits in the training loss, one number a class: class_prior_offsets, say.
  std::vector<double> logit_offsets = {};
  std::uint64_t seed = 0;
  Profile* profile = nullptr;  // gains the time of every op, where not null
};

// How many images run at once best: about 2 x 224 x 224 pixels, so that activations stay in the
// cache and the weights of the last stages are read for more rows than one map has (2 images at
// 224, 6 at 128, 11 at 96), and at most 24. A function of the shape alone, as the bits depend on
// it.
inline std::int64_t automatic_micro_batch(std::int64_t height, std::int64_t width) {
  const std::int64_t pixels = std::max<std::int64_t>(1, height * width);
  return std::clamp<std::int64_t>((2 * 224 * 224 + pixels / 2) / pixels, 1, 24);
}

// Of a batch: the mean loss, and how many samples had their label first, and among the first five.
struct BatchResult {
  double loss = 0;
  std::int64_t samples = 0;
  std::int64_t top1 = 0;
  std::int64_t top5 = 0;
};

// Logit adjustment by the class prior (Menon et al. 2021, equation 10): tau log prior of each
// class, with as many images of it as `counts` says. A class without any counts as half an image.
inline std::vector<double> class_prior_offsets(std::span<const std::int64_t> counts, double tau) {
  std::vector<double> offsets;
  double all = 0;
  for (const std::int64_t count : counts) all += static_cast<double>(count);
  for (const std::int64_t count : counts)
    offsets.push_back(tau * std::log(std::max(0.5, static_cast<double>(count)) / all));
  return offsets;
}

// The first layer of a pass, in the order of the computation, whose output has a value that is
// infinite or no number; or the parameter, or the images, that it comes from.
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
      return parameter ? "the parameter " + parameter.info().name : std::string("the images");
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
  // The model outlives the trainer. Throws where a model with BatchNorm is asked for micro-batches.
  Trainer(const Module<T>& model, const TrainerOptions& options)
      : model_(model), options_(options) {
    detail::check(options.micro_batch >= 0, "micro-batch: expected at least 0, got ",
                  options.micro_batch);
    detail::check(options.lanes > 0, "lanes: expected at least 1, got ", options.lanes);
    whole_batch_ = model.store().couples_samples();
    detail::check(
        !whole_batch_ || options.micro_batch == 0,
        "micro-batch: the model has BatchNorm, whose statistics are the whole batch's; leave "
        "micro-batch 0");
    for (std::int64_t lane = 0; lane < (whole_batch_ ? 1 : options.lanes); ++lane)
      gradients_.emplace_back(model.store().size());
    for (const double offset : options.logit_offsets)
      logit_offsets_.push_back(static_cast<T>(offset));
  }

  // Begins a step: a batch follows in one or more parts. step: the number of the optimiser's step,
  // which seeds dropout.
  void begin_step(std::int64_t step) {
    random_ = RandomKey(options_.seed).fold("step").fold(static_cast<std::uint64_t>(step));
    for (auto& lane : gradients_) std::fill(lane.begin(), lane.end(), T(0));
    batch_ = {};
    not_finite_.clear();
    not_finite_sample_ = std::numeric_limits<std::int64_t>::max();
    uncommitted_ = false;
  }

  // Adds a part of the batch: images (N, H, W, C), labels (N), which may be of mixed images. Gives
  // the part's own result. With BatchNorm a batch is one part; several batches whose gradients are
  // accumulated have a commit() between them.
  BatchResult add(const Shape& shape, std::span<const T> images, const Labels<T>& labels) {
    detail::check(!uncommitted_,
                  "batch: the model has BatchNorm, and its batch has to come in one part");
    const std::int64_t before = batch_.samples;
    const BatchResult part =
        run(shape, images, labels,
            [&](Tape<T>& tape, Variable<T> logits, const Labels<T>& own) {
              if (!logit_offsets_.empty())
                logits = adjust_logits<T>(logits, std::span<const T>(logit_offsets_));
              const Variable<T> loss = cross_entropy(
                  logits, own, {.label_smoothing = options_.label_smoothing, .count = 1});
              const double value = static_cast<double>(loss.item());
              if (std::isfinite(value))
                tape.backward(loss);
              else
                note_not_finite(tape);
              return value;
            },
            {.training = true, .backward = true, .random = random_, .first_sample = before});
    const auto old = static_cast<double>(before), size = static_cast<double>(part.samples);
    batch_.loss = (batch_.loss * old + part.loss * size) / (old + size);
    batch_.samples += part.samples;
    batch_.top1 += part.top1;
    batch_.top5 += part.top5;
    uncommitted_ = whole_batch_;
    return part;
  }
  BatchResult add(const Shape& shape, std::span<const T> images,
                  std::span<const std::int32_t> labels) {
    return add(shape, images, Labels<T>{labels});
  }

  // Images of the step so far.
  std::int64_t samples() const { return batch_.samples; }

  // What was not finite first, where the loss or a gradient of this step is not; else empty. Before
  // the optimiser's step all of it can still be left.
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
    detail::check(batch_.samples > 0, "batch: expected at least one image, got none");
    lane_pointers_.clear();
    for (const auto& lane : gradients_) lane_pointers_.push_back(lane.data());
    kernels::sum_buffers(gradients_[0].data(), lane_pointers_.data(), std::ssize(lane_pointers_),
                         static_cast<T>(1 / static_cast<double>(batch_.samples)),
                         gradients_[0].size());
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
    return run(shape, images, Labels<T>{labels},
               [&](Tape<T>& tape, const Variable<T>& output, const Labels<T>& own) {
                 const double loss = static_cast<double>(cross_entropy(output, own).item());
                 if (logits) {
                   const std::span<const T> values = output.value();
                   const std::int64_t at = tape.options().first_sample * output.shape().back();
                   const std::lock_guard lock(mutex_);
                   const auto end = static_cast<std::size_t>(at) + values.size();
                   if (logits->size() < end) logits->resize(end);
                   std::copy(values.begin(), values.end(), logits->begin() + at);
                 }
                 return loss * static_cast<double>(own.labels.size());
               },
               {.training = false, .backward = false});
  }

  // After the optimiser's step: moves BatchNorm's running statistics.
  void commit() {
    model_.store().commit_buffers();
    uncommitted_ = false;
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

  // Of several micro-batches the first: the message is the same for any number of threads.
  void note_not_finite(const Tape<T>& tape) {
    const std::lock_guard lock(mutex_);
    model_.store().discard_buffers();
    if (tape.options().first_sample >= not_finite_sample_) return;
    not_finite_sample_ = tape.options().first_sample;
    not_finite_ = first_not_finite(tape);
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
  BatchResult run(const Shape& shape, std::span<const T> images, const Labels<T>& labels,
                  const Body& body, const TapeOptions& tape_options) {
    detail::check(shape.rank() == 4 && shape[0] > 0 &&
                      static_cast<std::int64_t>(images.size()) == shape.numel() &&
                      std::ssize(labels.labels) == shape[0] &&
                      std::ssize(labels.lambda) == std::ssize(labels.labels2) &&
                      (labels.labels2.empty() || std::ssize(labels.labels2) == shape[0]),
                  "batch: expected images (N, H, W, C) and N labels, got the shape ", shape, ", ",
                  images.size(), " values and ", labels.labels.size(), " labels");
    const std::int64_t samples = shape[0], sample_size = shape.numel() / samples;
    const std::int64_t micro_batch = micro_batch_of(shape, tape_options.training);
    const std::int64_t count = (samples + micro_batch - 1) / micro_batch;
    partial_.assign(static_cast<std::size_t>(count), {});

    const std::int64_t lanes = std::min(options_.lanes, count);
    const auto run_lane = [&](std::int64_t lane) {
      const BorrowedTape borrowed(*this);
      Tape<T>& tape = *borrowed;
      if (tape_options.backward)
        tape.use_gradients(model_.store(), gradients_[static_cast<std::size_t>(lane)].span());
      for (std::int64_t m = lane; m < count; m += lanes) {
        const std::int64_t first = m * micro_batch;
        const std::int64_t size = std::min(micro_batch, samples - first);
        TapeOptions options = tape_options;
        options.first_sample += first;
        options.profile = options_.profile;
        tape.begin(options);
        Shape part = shape;
        part[0] = size;
        const Labels<T> own = labels.part(first, size);
        const Variable<T> logits =
            model_(tape.input(part, images.subspan(static_cast<std::size_t>(first * sample_size),
                                                   static_cast<std::size_t>(size * sample_size))));
        BatchResult& result = partial_[static_cast<std::size_t>(m)];
        result.loss = body(tape, logits, own);  // throws where a label is out of range
        const std::int64_t classes = logits.shape().back();
        const std::span<const T> values = logits.value();
        for (std::int64_t n = 0; n < size; ++n) {
          const std::int64_t rank = kernels::label_rank(values.data() + n * classes, classes,
                                                        own.main(static_cast<std::size_t>(n)));
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
  std::vector<T> logit_offsets_;
  bool whole_batch_ = false;
  bool uncommitted_ = false;  // BatchNorm's statistics of the last part
  std::string not_finite_;
  std::int64_t not_finite_sample_ = 0;
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
