// Batches of samples, read ahead of time by threads that belong to the loader.
//
// The order of an epoch, and every random number for a sample, are functions of (seed, epoch, index
// of the sample). So batches have the same bits for any number of workers, and an epoch can be
// entered at any batch. The threads never call parallel_for, whose threads belong to the training
// step.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "anther/core/check.hpp"
#include "anther/core/clock.hpp"
#include "anther/core/random.hpp"
#include "anther/core/tensor.hpp"
#include "anther/data/batch.hpp"
#include "anther/data/dataset.hpp"

namespace anther::inline v0_1::data {

class Loader {
 public:
  // Throws if the options make no sense, or the data set has no samples.
  Loader(DatasetPointer data, const LoaderOptions& options)
      : data_(std::move(data)), options_(options) {
    detail::check(data_ != nullptr, "loader: expected a data set, got none");
    input_shape_ = data_->input_shape();
    target_ = data_->target();
    detail::check(input_shape_.numel() >= 1, "loader: expected inputs of at least one number, got ",
                  input_shape_);
    detail::check(options.batch_size >= 1, "batch size: expected at least 1, got ",
                  options.batch_size);
    detail::check(options.limit >= 0, "limit: expected at least 0, got ", options.limit);
    detail::check(options.workers >= 0 && options.workers <= 1024,
                  "workers: expected 0 to 1024, got ", options.workers);
    detail::check(options.prefetch >= 1, "prefetch: expected at least 1 batch, got ",
                  options.prefetch);
    available_ = options.limit > 0 ? std::min(options.limit, data_->size()) : data_->size();
    detail::check(available_ >= 1, "loader: the data set has no samples");
    full_ = std::min(options.batch_size, available_);
    detail::check(options.whole_batch == 0 || options.whole_batch % options.batch_size == 0,
                  "whole batch: expected a multiple of the batch size ", options.batch_size,
                  ", got ", options.whole_batch);
    samples_ = samples_of_epoch(available_, options);
    detail::check(samples_ >= 1, "loader: a batch size of ",
                  std::max(options.batch_size, options.whole_batch),
                  " and drop_last leave none of ", available_, " samples");
    least_ = std::min(options.least_batch, std::min(options.batch_size, samples_));
    next_sample_ = samples_;  // nothing to take until start_epoch
    slots_.resize(options.workers == 0 ? 1 : static_cast<std::size_t>(options.prefetch));
    for (Slot& slot : slots_) {
      slot.inputs = Tensor<float>(shape(full_));
      const auto targets = static_cast<std::size_t>(full_ * target_.size());
      if (target_.kind == TargetSpec::Kind::classes) slot.labels.resize(targets);
      if (target_.kind == TargetSpec::Kind::numbers) slot.values.resize(targets);
      slot.failures.resize(static_cast<std::size_t>(full_));
    }
    try {
      for (int i = 0; i < options.workers; ++i) threads_.emplace_back([this] { work(); });
    } catch (...) {
      stop();
      throw;
    }
  }

  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;
  ~Loader() { stop(); }

  // Begins an epoch (the first is 0) at one of its batches, and drops whatever was under way. With
  // a stride, next() gives every stride-th batch from there on.
  void start_epoch(std::int64_t epoch, std::int64_t first_batch = 0, std::int64_t stride = 1) {
    detail::check(epoch >= 0, "epoch: expected at least 0, got ", epoch);
    detail::check(first_batch >= 0 && first_batch <= batches(), "first batch: expected 0 to ",
                  batches(), ", got ", first_batch);
    detail::check(stride >= 1, "stride: expected at least 1, got ", stride);
    const std::unique_lock lock = end_epoch();
    order_ = epoch_order(available_, options_.shuffle, options_.seed, epoch);
    const RandomKey seed(options_.seed);
    epoch_key_ = seed.fold("sample").fold(static_cast<std::uint64_t>(epoch));
    mix_key_ = seed.fold("mix").fold(static_cast<std::uint64_t>(epoch));
    stride_ = stride;
    is_whole_ = first_batch == 0 && stride == 1;
    next_batch_ = first_batch;
    next_sample_ = std::min(first_batch * options_.batch_size, samples_);
    skipped_ = delivered_ = 0;
    first_skipped_.clear();
    work_.notify_all();
  }

  // Ends the epoch. From the next one on loads only samples that are needed: all, if `needs` is
  // empty. Others have a place in their batch, but what is there means nothing. With skip_bad all
  // are loaded, since a sample that is left out changes the places of those after it.
  void share(NeedsSample needs) {
    const std::unique_lock lock = end_epoch();
    needs_ = std::move(needs);
  }

  // Ends the epoch. From the next one on leaves out smaller batches as well, as least_batch says.
  void leave_out_smaller(std::int64_t least) {
    const std::unique_lock lock = end_epoch();
    options_.least_batch = std::max(options_.least_batch, least);
    samples_ = next_sample_ = samples_of_epoch(available_, options_);
    least_ = std::min(options_.least_batch, std::min(options_.batch_size, samples_));
  }

  // The next batch of the epoch; false at its end. If a sample of the batch could not be read,
  // throws the error of the first such sample, with its name, and throws it again when called
  // again. With skip_bad such samples are left out, and the batch is smaller. Throws at the end of
  // a whole epoch if no batch is left.
  bool next(Batch& batch) {
    detail::check(!order_.empty(), "loader: call start_epoch before next");
    const double began = detail::steady_seconds();
    while (next_batch_ < batches()) {
      Slot& slot = slot_of_batch(next_batch_);
      await(slot);
      const std::int64_t count = deliver(slot, batch);
      {
        const std::lock_guard lock(mutex_);
        next_batch_ += stride_;
      }
      work_.notify_all();
      // Some were damaged, and the rest is too small to be used alone.
      if (count == 0 || count < least_) continue;
      if (options_.mix) options_.mix(batch, mix_key_);
      delivered_ += count;
      stall_ += detail::steady_seconds() - began;
      return true;
    }
    detail::check(delivered_ > 0 || skipped_ == 0 || !is_whole_, skipped_, " of ", samples_,
                  " samples could not be read, which leaves no batch; the first: ", first_skipped_);
    return false;
  }

  // The number of batches and of samples of an epoch, including those that skip_bad will leave out.
  std::int64_t batches() const {
    return (samples_ + options_.batch_size - 1) / options_.batch_size;
  }
  std::int64_t samples() const { return samples_; }
  const LoaderOptions& options() const { return options_; }
  const Dataset& data() const { return *data_; }
  const Shape& input_shape() const { return input_shape_; }  // of one sample

  // The number of the batch that next() will give: start_epoch can go on there.
  std::int64_t next_batch() const { return next_batch_; }

  // How many samples could not be read since start_epoch, and what was wrong with the first.
  std::int64_t skipped() const { return skipped_; }
  const std::string& first_skipped() const { return first_skipped_; }

  // How many seconds next() has taken in total: how long the consumer has waited.
  double stall_seconds() const { return stall_; }

 private:
  struct Failure {
    std::exception_ptr error;
    bool bad_sample = false;  // skip_bad may leave it out; unlike, say, a lack of memory
  };
  // Where a batch is prepared: batch b in slot b % slots.
  struct Slot {
    Tensor<float> inputs;
    std::vector<std::int32_t> labels;
    std::vector<float> values;
    std::vector<Failure> failures;
    std::int64_t done = 0;
  };

  Shape shape(std::int64_t count) const { return shape_of_samples(count, input_shape_); }
  std::int64_t batch_samples(std::int64_t batch) const {
    return std::min(options_.batch_size, samples_ - batch * options_.batch_size);
  }

  // Until start_epoch there is nothing to take, and next() throws. When this returns, no sample is
  // being read.
  std::unique_lock<std::mutex> end_epoch() {
    std::unique_lock lock(mutex_);
    next_sample_ = samples_;
    changed_.wait(lock, [&] { return in_flight_ == 0; });
    order_.clear();
    return lock;
  }

  // What a thread does: it takes samples in the order of the epoch, as far ahead as there are
  // slots.
  void work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      work_.wait(lock, [&] { return stopping_ || can_take(); });
      if (stopping_) return;
      const std::int64_t sample = take();
      ++in_flight_;
      lock.unlock();
      Slot& slot = slot_of(sample);
      prepare(sample, slot);
      lock.lock();
      --in_flight_;
      ++slot.done;
      if (in_flight_ == 0 || slot.done == batch_samples(sample / options_.batch_size))
        changed_.notify_all();
    }
  }

  bool can_take() const {
    return next_sample_ < samples_ &&
           next_sample_ / options_.batch_size < next_batch_ + std::ssize(slots_) * stride_;
  }
  std::int64_t take() {
    const std::int64_t sample = next_sample_++;
    if (sample % options_.batch_size == 0) slot_of(sample).done = 0;
    if (next_sample_ % options_.batch_size == 0)
      next_sample_ = std::min(next_sample_ + (stride_ - 1) * options_.batch_size, samples_);
    return sample;
  }
  Slot& slot_of(std::int64_t sample) { return slot_of_batch(sample / options_.batch_size); }
  Slot& slot_of_batch(std::int64_t batch) {
    return slots_[static_cast<std::size_t>(batch / stride_) % slots_.size()];
  }

  // Waits until the slot's batch is prepared; without threads, prepares it.
  void await(Slot& slot) {
    const std::int64_t count = batch_samples(next_batch_);
    if (threads_.empty()) {
      const std::int64_t first = next_batch_ * options_.batch_size;
      while (next_sample_ < first + count) prepare(take(), slot);
      return;
    }
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] {
      return next_sample_ >= next_batch_ * options_.batch_size + count && slot.done == count;
    });
  }

  // The numbers of one sample, out of those of all samples of a slot; empty if the slot has none.
  template <class U>
  static std::span<U> part(std::span<U> all, std::int64_t place, std::int64_t size) {
    if (all.empty()) return {};
    return all.subspan(static_cast<std::size_t>(place * size), static_cast<std::size_t>(size));
  }

  bool is_needed(std::int64_t sample) const {
    if (!needs_ || options_.skip_bad) return true;
    const std::int64_t count = batch_samples(sample / options_.batch_size);
    const std::int64_t place = sample % options_.batch_size, partner = place ^ 1;
    return needs_(place, count) || (options_.mix && partner < count && needs_(partner, count));
  }

  void prepare(std::int64_t sample, Slot& slot) {
    const std::int64_t index = order_[static_cast<std::size_t>(sample)];
    const std::int64_t place = sample % options_.batch_size;
    Failure failure;
    try {
      if (is_needed(sample))
        data_->load(index, epoch_key_.fold(static_cast<std::uint64_t>(index)),
                    {part(slot.inputs.span(), place, input_shape_.numel()),
                     part(std::span(slot.labels), place, target_.size()),
                     part(std::span(slot.values), place, target_.size())});
    } catch (const Error& error) {
      failure = {named(error, index), true};
    } catch (...) {
      failure.error = std::current_exception();
    }
    slot.failures[static_cast<std::size_t>(place)] = std::move(failure);
  }

  // The current exception, with the sample's name in front unless it already has it, or there is
  // none: what a worker throws would end the process.
  std::exception_ptr named(const Error& error, std::int64_t index) const {
    const std::exception_ptr plain = std::current_exception();
    try {
      const std::string name = data_->name(index);
      if (std::string_view(error.what()).find(name) != std::string_view::npos) return plain;
      return std::make_exception_ptr(Error(name + ": " + error.what()));
    } catch (...) {
      return plain;
    }
  }

  // Moves a prepared batch to the caller's; returns how many samples it has.
  std::int64_t deliver(Slot& slot, Batch& batch) {
    const std::int64_t count = batch_samples(next_batch_);
    const std::int64_t good = leave_out_bad(slot, count);
    batch.indices.resize(static_cast<std::size_t>(good));
    if (good == 0) return 0;
    reshape(batch.inputs, shape(good));
    if (good == full_)
      std::swap(batch.inputs, slot.inputs);
    else
      std::copy_n(slot.inputs.data(), good * input_shape_.numel(), batch.inputs.data());
    const auto take = [&](auto& to, const auto& from) {
      to.assign(from.begin(), from.empty() ? from.end() : from.begin() + good * target_.size());
    };
    take(batch.labels, slot.labels);
    take(batch.values, slot.values);
    batch.target_shape = target_.shape;
    batch.labels2.clear();
    batch.lambda.clear();
    std::size_t to = 0;
    for (std::int64_t i = 0; i < count; ++i)
      if (!slot.failures[static_cast<std::size_t>(i)].error)
        batch.indices[to++] =
            order_[static_cast<std::size_t>(next_batch_ * options_.batch_size + i)];
    return good;
  }

  // Throws the first failure unless all of them may be left out. Then closes the gaps, and returns
  // the number of samples that are left.
  std::int64_t leave_out_bad(Slot& slot, std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i) {
      const Failure& failure = slot.failures[static_cast<std::size_t>(i)];
      if (failure.error && !(options_.skip_bad && failure.bad_sample))
        std::rethrow_exception(failure.error);
    }
    std::int64_t good = 0;
    for (std::int64_t i = 0; i < count; ++i) {
      if (const Failure& failure = slot.failures[static_cast<std::size_t>(i)]; failure.error) {
        if (skipped_++ == 0) first_skipped_ = message(failure.error);
        continue;
      }
      if (good != i) {
        move_sample(slot.inputs.data(), i, good, input_shape_.numel());
        if (!slot.labels.empty()) move_sample(slot.labels.data(), i, good, target_.size());
        if (!slot.values.empty()) move_sample(slot.values.data(), i, good, target_.size());
      }
      ++good;
    }
    return good;
  }
  template <class U>
  static void move_sample(U* all, std::int64_t from, std::int64_t to, std::int64_t size) {
    std::copy_n(all + from * size, size, all + to * size);
  }
  static std::string message(const std::exception_ptr& error) {
    try {
      std::rethrow_exception(error);
    } catch (const std::exception& exception) {
      return exception.what();
    }
  }

  // Gives the tensor a shape. The last batch of an epoch may be smaller than the others; the tensor
  // of the other size is kept, so that later epochs allocate nothing.
  void reshape(Tensor<float>& tensor, const Shape& wanted) {
    if (tensor.shape() == wanted) return;
    if (spare_.shape() == wanted) return std::swap(tensor, spare_);
    if (tensor.shape() == shape(full_)) std::swap(tensor, spare_);
    tensor = Tensor<float>(wanted);
  }

  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    work_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  DatasetPointer data_;
  LoaderOptions options_;
  Shape input_shape_;
  TargetSpec target_;
  std::int64_t available_ = 0;  // samples to choose from
  std::int64_t samples_ = 0;    // of an epoch
  std::int64_t full_ = 0;       // of a full batch
  std::int64_t least_ = 1;      // of a batch that is delivered

  // Used by the consumer only.
  std::int64_t skipped_ = 0, delivered_ = 0;
  std::string first_skipped_;
  bool is_whole_ = true;  // the epoch: from its first batch on, each batch
  double stall_ = 0;
  Tensor<float> spare_;

  // Changed only while no sample is being read.
  std::vector<std::int64_t> order_;
  RandomKey epoch_key_, mix_key_;
  NeedsSample needs_;  // empty: every sample is
  std::int64_t stride_ = 1;

  // Guarded by the mutex, like the counts of the slots.
  std::mutex mutex_;
  std::condition_variable work_;     // there may be a sample to take
  std::condition_variable changed_;  // a batch is ready, or nothing is under way
  std::int64_t next_sample_ = 0, next_batch_ = 0;
  std::int64_t in_flight_ = 0;
  bool stopping_ = false;
  std::vector<Slot> slots_;
  std::vector<std::thread> threads_;
};

}  // namespace anther::inline v0_1::data
