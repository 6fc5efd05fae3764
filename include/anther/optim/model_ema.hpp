// The moving average of a model's weights (Polyak and Juditsky 1992; timm's --model-ema):
//   average = d average + (1 - d) weights   after every step,   d = min(decay, (1 + t) / (10 + t))
// after step t = 1, 2, ..., so that a short run's average does not stay at its random start.
// BatchNorm's running statistics are averaged alike.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "anther/autograd/parameter_store.hpp"
#include "anther/core/check.hpp"
#include "anther/core/tensor.hpp"
#include "anther/kernels/optimizer.hpp"

namespace anther::inline v0_1 {

template <class T>
class ModelEma {
 public:
  // Begins with the store's values. Throws if they have not been set yet.
  ModelEma(ParameterStore<T>& store, double decay) : store_(store), decay_(decay) {
    detail::check(decay >= 0 && decay < 1,
                  "model ema: expected a decay of at least 0, less than 1, got ", decay);
    reset();
  }

  // Begins again with the store's values.
  void reset() {
    store_.check_readable();
    values_ = AlignedBuffer<T>(store_.size());
    buffers_ = AlignedBuffer<T>(std::ssize(store_.buffer_values()));
    const ParameterStore<T>& store = store_;
    std::copy_n(store.values().data(), values_.size(), values_.data());
    std::copy_n(store.buffer_values().data(), buffers_.size(), buffers_.data());
  }

  double decay_at(std::int64_t step) const {
    const auto t = static_cast<double>(step);
    return std::min(decay_, (1 + t) / (10 + t));
  }

  // After the optimiser's step number `step`, counted from 1.
  void update(std::int64_t step) {
    detail::check(values_.size() == store_.size(), "model ema: made for ", values_.size(),
                  " values, and the store has ", store_.size());
    const double decay = decay_at(step);
    const auto& store = std::as_const(store_);
    kernels::update_average(values_.data(), store.values().data(), values_.size(), decay);
    if (buffers_.size() > 0)
      kernels::update_average(buffers_.data(), store.buffer_values().data(), buffers_.size(),
                              decay);
  }

  // Exchanges the model's weights and the averages: call it to evaluate the averages, and again to
  // go on.
  void swap() {
    const auto edit = store_.edit();
    std::swap_ranges(values_.data(), values_.data() + values_.size(), edit.values().data());
    std::swap_ranges(buffers_.data(), buffers_.data() + buffers_.size(),
                     edit.buffer_values().data());
  }

  ParameterStore<T>& store() const { return store_; }
  // These have the layout of the store.
  std::span<T> values() { return values_.span(); }
  std::span<const T> values() const { return values_.span(); }
  std::span<T> buffer_values() { return buffers_.span(); }
  std::span<const T> buffer_values() const { return buffers_.span(); }

 private:
  ParameterStore<T>& store_;
  double decay_;
  AlignedBuffer<T> values_, buffers_;
};

}  // namespace anther::inline v0_1
