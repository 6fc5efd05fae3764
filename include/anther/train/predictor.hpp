// The outputs of a model for any number of samples, by planned passes (nn/inference.hpp):
//
//   const Predictor<float> predictor(model, {224, 224, 3});   // the shape of one sample
//   const Tensor<float> logits = predictor(images);           // (N, 224, 224, 3) -> (N, classes)
//
// Samples are cut into parts, and each part is a planned pass. If there are enough parts, each
// thread runs one at a time; otherwise they run one after another, with all threads inside the ops.
// A sample's result has the same bits for any number of samples and threads: those of a pass on a
// tape in evaluation mode. Nothing is recorded; there are no labels and no gradients.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "anther/core/check.hpp"
#include "anther/core/parallel_for.hpp"
#include "anther/core/tensor.hpp"
#include "anther/nn/inference.hpp"
#include "anther/train/whole_numbers.hpp"

namespace anther::inline v0_1 {

struct PredictorOptions {
  std::int64_t part = 0;       // samples of a pass, at most; 0: automatic_part of the sample
  Amp amp = {};                // products in bfloat16: TapeOptions::amp
  Profile* profile = nullptr;  // gains the time of every op, where not null
};

// The number of samples with which a planned pass is fastest: one image of 224 x 224 x 3, whose
// values stay in the cache; more of smaller samples, so that the ops have enough rows.
inline std::int64_t automatic_part(const Shape& sample) {
  constexpr std::int64_t elements = 224 * 224 * 3, most = 256;
  return std::clamp<std::int64_t>(elements / std::max<std::int64_t>(1, sample.numel()), 1, most);
}

// Several threads may call one Predictor at once: each call uses plans that no other uses. The
// weights must not change meanwhile; the next call uses the changed ones.
template <class T>
class Predictor {
 public:
  // sample: the shape of one sample, without the batch. The model outlives this object. Throws if
  // the model cannot take such samples, or its result does not begin with their number.
  Predictor(const Module<T>& model, const Shape& sample, const PredictorOptions& options = {})
      : model_(model), sample_(sample), options_(options) {
    detail::check(options.part >= 0, "predictor: expected parts of at least 0 samples, got ",
                  options.part);
    if (options_.part == 0) options_.part = automatic_part(sample);
    free_.push_back(make(1));  // says what the output's shape is
    output_ = sample_shape_of(free_.back()->output_shape());
    integers_ = reads_integers(model, free_.back()->input_shape());
  }
  Predictor(const Predictor&) = delete;
  Predictor& operator=(const Predictor&) = delete;

  // Of one sample.
  const Shape& sample_shape() const { return sample_; }
  const Shape& output_shape() const { return output_; }

  // samples: N x the sample's elements; outputs: N x the output's elements.
  void operator()(std::span<const T> samples, std::span<T> outputs) const {
    const std::int64_t in = sample_.numel(), out = output_.numel();
    const std::int64_t count = std::ssize(samples) / std::max<std::int64_t>(1, in);
    detail::check(std::ssize(samples) == count * in, "predictor: expected samples of ", sample_,
                  ", that is ", in, " elements each, got ", samples.size());
    detail::check(std::ssize(outputs) == count * out, "predictor: expected room for ", count,
                  " outputs of ", output_, ", got ", outputs.size(), " elements");
    const std::int64_t part = part_of(count);
    const auto run = [&](std::int64_t number) {
      const std::int64_t first = number * part, size = std::min(part, count - first);
      const Borrowed plan(*this, size);
      const auto at = [](std::int64_t i) { return static_cast<std::size_t>(i); };
      const std::span<const T> result = (*plan)(samples.subspan(at(first * in), at(size * in)));
      std::copy(result.begin(), result.end(), outputs.begin() + first * out);
    };
    const std::int64_t parts = part > 0 ? (count + part - 1) / part : 0;
    if (parts < available_threads())
      for (std::int64_t i = 0; i < parts; ++i) run(i);  // the ops use the threads
    else
      parallel_for(parts, std::int64_t{1} << 40, run);
  }
  std::vector<T> operator()(std::span<const T> samples) const {
    const std::int64_t count = std::ssize(samples) / std::max<std::int64_t>(1, sample_.numel());
    std::vector<T> outputs(static_cast<std::size_t>(count * output_.numel()));
    (*this)(samples, outputs);
    return outputs;
  }
  // (N, the sample's shape) -> (N, the output's shape).
  Tensor<T> operator()(const Tensor<T>& samples) const {
    detail::check(
        samples.shape().rank() == sample_.rank() + 1 && sample_shape_of(samples.shape()) == sample_,
        "predictor: expected samples of ", sample_, ", got the shape ", samples.shape());
    Shape shape{samples.shape()[0]};
    for (int i = 0; i < output_.rank(); ++i) shape.push_back(output_[i]);
    Tensor<T> outputs(shape);
    (*this)(samples.span(), outputs.span());
    return outputs;
  }

  // Bytes of the values of all plans that are kept.
  std::int64_t memory_bytes() const {
    const std::lock_guard lock(mutex_);
    std::int64_t bytes = 0;
    for (const auto& plan : free_) bytes += plan->memory_bytes();
    return bytes;
  }

 private:
  using Plan = std::unique_ptr<Inference<T>>;

  // A plan that no other thread uses; the pool gets it back.
  class Borrowed {
   public:
    Borrowed(const Predictor& predictor, std::int64_t size)
        : predictor_(predictor), plan_(predictor.take(size)) {}
    ~Borrowed() { predictor_.give_back(std::move(plan_)); }
    Borrowed(const Borrowed&) = delete;
    Borrowed& operator=(const Borrowed&) = delete;
    std::span<const T> operator()(std::span<const T> input) const {
      if (predictor_.integers_)
        return (*plan_)(std::span<const std::int32_t>(whole_numbers(input)));
      return (*plan_)(input);
    }
    const Borrowed& operator*() const { return *this; }

   private:
    const Predictor& predictor_;
    Plan plan_;
  };

  static Shape sample_shape_of(const Shape& batch) {
    Shape shape;
    for (int i = 1; i < batch.rank(); ++i) shape.push_back(batch[i]);
    return shape;
  }

  // Samples of a pass: at most as many as the option says, and few enough that every thread has a
  // pass.
  std::int64_t part_of(std::int64_t count) const {
    const std::int64_t threads = available_threads();
    return std::clamp<std::int64_t>((count + threads - 1) / threads, 1, options_.part);
  }

  Plan make(std::int64_t size) const {
    Shape shape{size};
    for (int i = 0; i < sample_.rank(); ++i) shape.push_back(sample_[i]);
    Plan plan = std::make_unique<Inference<T>>(model_, shape, options_.profile, options_.amp);
    const Shape& result = plan->output_shape();
    detail::check(result.rank() > 0 && result[0] == size, "predictor: expected a result of shape (",
                  size, ", ...), one for each sample, got ", result);
    return plan;
  }

  Plan take(std::int64_t size) const {
    {
      const std::lock_guard lock(mutex_);
      const auto fits = std::find_if(free_.begin(), free_.end(), [&](const Plan& plan) {
        return plan->input_shape()[0] == size;
      });
      if (fits != free_.end()) {
        Plan plan = std::move(*fits);
        free_.erase(fits);
        most_ = std::max(most_, ++taken_);
        return plan;
      }
    }
    Plan plan = make(size);
    const Shape output = sample_shape_of(plan->output_shape());
    detail::check(output == output_, "predictor: expected results of ", output_,
                  " for any number of samples, got ", output, " for ", size);
    const std::lock_guard lock(mutex_);
    most_ = std::max(most_, ++taken_);
    return plan;
  }
  // Keeps the plans that were used last: as many as were ever taken at once, and one for the size
  // of the last part.
  void give_back(Plan plan) const {
    const std::lock_guard lock(mutex_);
    --taken_;
    free_.insert(free_.begin(), std::move(plan));
    if (free_.size() > most_ + 1) free_.resize(most_ + 1);
  }

  const Module<T>& model_;
  Shape sample_, output_;
  PredictorOptions options_;
  bool integers_ = false;           // whether the model reads integers
  mutable std::vector<Plan> free_;  // used last first
  mutable std::size_t taken_ = 0, most_ = 0;
  mutable std::mutex mutex_;
};

}  // namespace anther::inline v0_1
