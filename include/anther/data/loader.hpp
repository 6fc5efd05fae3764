// Batches of prepared images, decoded ahead of time by threads of the loader's own.
//
// The order of an epoch, and every random number for a sample, are functions of (seed, epoch, index
// of the image): batches have the same bits for any number of workers, and an epoch can be entered
// at any batch. The threads never call parallel_for, whose team belongs to the training step.
#pragma once

#include <algorithm>
#include <chrono>
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
#include "anther/core/random.hpp"
#include "anther/core/tensor.hpp"
#include "anther/data/batch.hpp"
#include "anther/data/dataset.hpp"
#include "anther/data/vision/mix.hpp"
#include "anther/data/vision/transforms.hpp"

namespace anther::inline v0_1::data {

class Loader {
 public:
  // Prepares images as Preprocess says.
  Loader(DatasetPointer data, const vision::Preprocess& preprocess, const LoaderOptions& options)
      : Loader(
            std::move(data), preprocess.image_size, preprocess.image_size,
            [transform = vision::Transform(preprocess)](const vision::Image& image, RandomKey,
                                                        float* out) { transform(image, out); },
            options) {}

  // Prepares images by a function, which makes each height x width. Throws for options that make no
  // sense, and for a data set without images.
  Loader(DatasetPointer data, std::int64_t height, std::int64_t width, SampleTransform transform,
         const LoaderOptions& options)
      : data_(std::move(data)),
        height_(height),
        width_(width),
        transform_(std::move(transform)),
        options_(options) {
    detail::check(data_ != nullptr, "loader: expected a data set, got none");
    detail::check(height >= 1 && width >= 1,
                  "loader: expected images of at least 1 x 1 pixels, got ", height, " x ", width);
    detail::check(options.batch_size >= 1, "batch size: expected at least 1, got ",
                  options.batch_size);
    detail::check(options.limit >= 0, "limit: expected at least 0, got ", options.limit);
    detail::check(options.workers >= 0 && options.workers <= 1024,
                  "workers: expected 0 to 1024, got ", options.workers);
    detail::check(options.prefetch >= 1, "prefetch: expected at least 1 batch, got ",
                  options.prefetch);
    options.mix.validate();
    available_ = options.limit > 0 ? std::min(options.limit, data_->size()) : data_->size();
    detail::check(available_ >= 1, "loader: the data set has no images");
    full_ = std::min(options.batch_size, available_);
    images_ = options.drop_last ? available_ - available_ % options.batch_size : available_;
    detail::check(images_ >= 1, "loader: a batch size of ", options.batch_size,
                  " and drop_last leave none of ", available_, " images");
    next_sample_ = images_;  // nothing to take until start_epoch
    slots_.resize(options.workers == 0 ? 1 : static_cast<std::size_t>(options.prefetch));
    for (Slot& slot : slots_) {
      slot.images = Tensor<float>(shape(full_));
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

  // Begins an epoch (0 the first) at one of its batches; whatever was under way is dropped.
  void start_epoch(std::int64_t epoch, std::int64_t first_batch = 0) {
    detail::check(epoch >= 0, "epoch: expected at least 0, got ", epoch);
    detail::check(first_batch >= 0 && first_batch <= batches(), "first batch: expected 0 to ",
                  batches(), ", got ", first_batch);
    std::unique_lock lock(mutex_);
    next_sample_ = images_;  // nothing more to take
    changed_.wait(lock, [&] { return in_flight_ == 0; });
    order_ = epoch_order(available_, options_.shuffle, options_.seed, epoch);
    const RandomKey seed(options_.seed);
    epoch_key_ = seed.fold("sample").fold(static_cast<std::uint64_t>(epoch));
    mix_key_ = seed.fold("mix").fold(static_cast<std::uint64_t>(epoch));
    next_batch_ = first_batch;
    next_sample_ = std::min(first_batch * options_.batch_size, images_);
    skipped_ = delivered_ = 0;
    first_skipped_.clear();
    work_.notify_all();
  }

  // The next batch of the epoch; false at its end. Throws the error of the first image of the batch
  // that could not be prepared, with its file's name, and again when called again; with skip_bad
  // such an image is left out, and the batch is the smaller for it. Throws at the end of an epoch
  // of which no image at all could be decoded.
  bool next(Batch& batch) {
    detail::check(!order_.empty(), "loader: call start_epoch before next");
    const auto began = std::chrono::steady_clock::now();
    while (next_batch_ < batches()) {
      Slot& slot = slots_[static_cast<std::size_t>(next_batch_) % slots_.size()];
      await(slot);
      const std::int64_t count = deliver(slot, batch);
      {
        const std::lock_guard lock(mutex_);
        ++next_batch_;
      }
      work_.notify_all();
      if (count == 0) continue;
      if (options_.mix.on()) mix(batch, options_.mix, mix_key_);
      delivered_ += count;
      stall_ += seconds_since(began);
      return true;
    }
    detail::check(delivered_ > 0 || skipped_ == 0, "none of ", skipped_,
                  " images could be decoded; the first: ", first_skipped_);
    return false;
  }

  // Batches of an epoch, and images of an epoch (with those that skip_bad will leave out).
  std::int64_t batches() const { return (images_ + options_.batch_size - 1) / options_.batch_size; }
  std::int64_t images() const { return images_; }
  const LoaderOptions& options() const { return options_; }
  std::int64_t height() const { return height_; }  // of an image, in pixels

  // The number of the batch that next() gives next: where start_epoch goes on.
  std::int64_t next_batch() const { return next_batch_; }

  // Images left out since start_epoch, and what was wrong with the first of them.
  std::int64_t skipped() const { return skipped_; }
  const std::string& first_skipped() const { return first_skipped_; }

  // Seconds that next() took, all in all: what the consumer waited.
  double stall_seconds() const { return stall_; }

 private:
  struct Failure {
    std::exception_ptr error;
    bool bad_image = false;  // which skip_bad may leave out; not, say, a lack of memory
  };
  // Where a batch is prepared: batch b in slot b % slots.
  struct Slot {
    Tensor<float> images;
    std::vector<Failure> failures;
    std::int64_t done = 0;
  };

  Shape shape(std::int64_t count) const { return {count, height_, width_, 3}; }
  std::int64_t sample_floats() const { return height_ * width_ * 3; }
  std::int64_t batch_images(std::int64_t batch) const {
    return std::min(options_.batch_size, images_ - batch * options_.batch_size);
  }
  static double seconds_since(std::chrono::steady_clock::time_point began) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  }

  // What a thread does: takes samples in the order of the epoch, as far ahead as there are slots.
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
      if (in_flight_ == 0 || slot.done == batch_images(sample / options_.batch_size))
        changed_.notify_all();
    }
  }

  bool can_take() const {
    return next_sample_ < images_ && next_sample_ / options_.batch_size <
                                         next_batch_ + static_cast<std::int64_t>(slots_.size());
  }
  std::int64_t take() {
    const std::int64_t sample = next_sample_++;
    if (sample % options_.batch_size == 0) slot_of(sample).done = 0;
    return sample;
  }
  Slot& slot_of(std::int64_t sample) {
    return slots_[static_cast<std::size_t>(sample / options_.batch_size) % slots_.size()];
  }

  // Waits until the slot's batch is prepared, or prepares it where there are no threads.
  void await(Slot& slot) {
    const std::int64_t count = batch_images(next_batch_);
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

  void prepare(std::int64_t sample, Slot& slot) {
    const std::int64_t index = order_[static_cast<std::size_t>(sample)];
    const std::int64_t place = sample % options_.batch_size;
    Failure failure;
    try {
      transform_(data_->image(index), epoch_key_.fold(static_cast<std::uint64_t>(index)),
                 slot.images.data() + place * sample_floats());
    } catch (const Error& error) {
      failure = {named(error, index), true};
    } catch (...) {
      failure.error = std::current_exception();
    }
    slot.failures[static_cast<std::size_t>(place)] = std::move(failure);
  }

  // The error under way, with the image's name where it does not say it itself.
  std::exception_ptr named(const Error& error, std::int64_t index) const {
    const std::string name = data_->name(index);
    if (std::string_view(error.what()).find(name) != std::string_view::npos)
      return std::current_exception();
    return std::make_exception_ptr(Error(name + ": " + error.what()));
  }

  // Moves a prepared batch to the caller's; returns how many images it has.
  std::int64_t deliver(Slot& slot, Batch& batch) {
    const std::int64_t count = batch_images(next_batch_);
    const std::int64_t good = leave_out_bad(slot, count);
    batch.labels.resize(static_cast<std::size_t>(good));
    batch.indices.resize(static_cast<std::size_t>(good));
    if (good == 0) return 0;
    reshape(batch.images, shape(good));
    if (good == full_)
      std::swap(batch.images, slot.images);
    else
      std::copy_n(slot.images.data(), good * sample_floats(), batch.images.data());
    std::size_t to = 0;
    for (std::int64_t i = 0; i < count; ++i) {
      if (slot.failures[static_cast<std::size_t>(i)].error) continue;
      const std::int64_t index =
          order_[static_cast<std::size_t>(next_batch_ * options_.batch_size + i)];
      batch.indices[to] = index;
      batch.labels[to++] = data_->label(index);
    }
    return good;
  }

  // Throws the first failure, unless all may be left out; then closes the gaps. Returns what is
  // left.
  std::int64_t leave_out_bad(Slot& slot, std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i) {
      const Failure& failure = slot.failures[static_cast<std::size_t>(i)];
      if (failure.error && !(options_.skip_bad && failure.bad_image))
        std::rethrow_exception(failure.error);
    }
    std::int64_t good = 0;
    for (std::int64_t i = 0; i < count; ++i) {
      if (const Failure& failure = slot.failures[static_cast<std::size_t>(i)]; failure.error) {
        if (skipped_++ == 0) first_skipped_ = message(failure.error);
        continue;
      }
      float* images = slot.images.data();
      if (good != i)
        std::copy_n(images + i * sample_floats(), sample_floats(), images + good * sample_floats());
      ++good;
    }
    return good;
  }
  static std::string message(const std::exception_ptr& error) {
    try {
      std::rethrow_exception(error);
    } catch (const std::exception& exception) {
      return exception.what();
    }
  }

  // Gives the tensor a shape. An epoch's last batch may be smaller than the others: the tensor of
  // the other size is kept, so that epochs after the first allocate nothing.
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
  std::int64_t height_, width_;
  SampleTransform transform_;
  LoaderOptions options_;
  std::int64_t available_ = 0;  // images to choose from
  std::int64_t images_ = 0;     // of an epoch
  std::int64_t full_ = 0;       // of a full batch

  // The consumer's alone.
  std::int64_t skipped_ = 0, delivered_ = 0;
  std::string first_skipped_;
  double stall_ = 0;
  Tensor<float> spare_;

  // Changed only while no sample is under way.
  std::vector<std::int64_t> order_;
  RandomKey epoch_key_, mix_key_;

  // Under the mutex, as are the slots' counts.
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
