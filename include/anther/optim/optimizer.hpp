// What optimisers share: one pass over the flat parameters, in ranges with and without weight
// decay. Frozen parameters are in none of them. The state has the layout of the parameters.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "anther/autograd/tape.hpp"
#include "anther/core/tensor.hpp"

namespace anther::inline v0_1 {

// What optimisers require of their options.
inline void check_not_negative(const char* optimizer, const char* option, double value) {
  detail::check(std::isfinite(value) && value >= 0, optimizer, ": expected ", option,
                " of at least 0, got ", value);
}
// The share of the past in an average. With 1 an average would never move.
inline void check_average(const char* optimizer, const char* option, double value) {
  detail::check(value >= 0 && value < 1, optimizer, ": expected ", option,
                " of at least 0, less than 1, got ", value);
}

template <class T>
class Optimizer {
 public:
  // A run of neighbouring parameters that are treated alike.
  struct Range {
    std::int64_t begin, end;
    bool decay;
    double lr_scale;
  };
  // A buffer of the state: Adam's exp_avg and exp_avg_sq, SGD's momentum_buffer.
  struct State {
    std::string name;
    AlignedBuffer<T> values;
  };

  virtual ~Optimizer() = default;
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;

  // One step with a learning rate. gradients have the store's layout; they are multiplied by
  // gradient_scale first, as clipping needs. What training passes have done to buffers (BatchNorm's
  // running statistics) takes effect now. Throws if the rate is not finite or is negative.
  void step(std::span<const T> gradients, double lr, double gradient_scale = 1) {
    detail::check(std::ssize(gradients) == store_.size(), "optimizer: expected ", store_.size(),
                  " gradients, got ", gradients.size());
    detail::check(std::isfinite(lr) && lr >= 0,
                  "optimizer: expected a learning rate of at least 0, got ", lr);
    store_.check_readable();
    size_state();
    ++steps_;
    {
      const auto edit = store_.edit();
      for (const Range& range : ranges())
        update(edit.values().data(), gradients.data(), range, lr * range.lr_scale, gradient_scale);
    }
    store_.commit_buffers();
  }
  // Uses the gradients that a tape's backward has left.
  void step(Tape<T>& tape, double lr, double gradient_scale = 1) {
    step(std::span<const T>(tape.gradients(store_)), lr, gradient_scale);
  }

  // A factor for the learning rate of each parameter, as layer-wise decay needs it; 1 at first.
  void set_lr_scales(std::vector<double> scales) {
    detail::check(scales.size() == store_.parameters().size(), "optimizer: expected ",
                  store_.parameters().size(), " scales of the learning rate, got ", scales.size());
    for (const double scale : scales)
      detail::check(std::isfinite(scale) && scale >= 0,
                    "optimizer: expected scales of the learning rate of at least 0, got ", scale);
    lr_scales_ = std::move(scales);
  }

  // Restricts it to some of the store's parameters, by their numbers (parameters_within); the
  // others take no step. Throws unless all are parameters of the store.
  void set_parameters(const std::vector<int>& numbers) {
    own_.assign(store_.parameters().size(), 0);
    for (const int number : numbers) {
      detail::check(number >= 0 && number < std::ssize(own_),
                    "optimizer: expected parameters of 0 to ", std::ssize(own_) - 1, ", got ",
                    number);
      own_[static_cast<std::size_t>(number)] = 1;
    }
  }

  // Steps made. They are saved with the state, and set again when a run is resumed.
  std::int64_t steps() const { return steps_; }
  void set_steps(std::int64_t steps) {
    detail::check(steps >= 0, "optimizer: expected a number of steps of at least 0, got ", steps);
    steps_ = steps;
  }
  std::vector<State>& state() {
    size_state();
    return state_;
  }
  const std::vector<State>& state() const {
    size_state();
    return state_;
  }
  ParameterStore<T>& store() const { return store_; }

 protected:
  // state: the names of the buffers, whose elements start as `initial`.
  Optimizer(ParameterStore<T>& store, const std::vector<std::string>& state, double initial = 0)
      : store_(store), initial_(static_cast<T>(initial)) {
    for (const std::string& name : state) state_.push_back({name, {}});
  }

  // Updates values[range.begin] to values[range.end - 1] by the gradients at the same places.
  // lr: the range's own, its scale included.
  virtual void update(T* values, const T* gradients, const Range& range, double lr,
                      double gradient_scale) = 0;

 private:
  // The state takes its memory at the first use, when the store has all its layers.
  void size_state() const {
    for (State& state : state_)
      if (state.values.size() != store_.size()) {
        detail::check(steps_ == 0, "optimizer: the store has gained parameters after step ",
                      steps_);
        state.values = AlignedBuffer<T>(store_.size());
        std::ranges::fill(state.values.span(), initial_);
      }
  }

  // Made again in each step, since parameters may be frozen or unfrozen at any time. There are few.
  std::span<const Range> ranges() {
    ranges_.clear();
    const auto& parameters = store_.parameters();
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      const ParameterInfo& info = parameters[i];
      if (!takes_step(i)) continue;
      const double lr_scale = lr_scales_.empty() ? 1 : lr_scales_[i];
      const bool follows = !ranges_.empty() && ranges_.back().decay == info.decay &&
                           ranges_.back().lr_scale == lr_scale && takes_step(i - 1);
      if (follows)
        ranges_.back().end = info.offset + info.size;
      else
        ranges_.push_back({info.offset, info.offset + info.size, info.decay, lr_scale});
    }
    return ranges_;
  }

  bool takes_step(std::size_t i) const {
    return store_.parameters()[i].trainable && (own_.empty() || own_[i]);
  }

  ParameterStore<T>& store_;
  T initial_;
  std::int64_t steps_ = 0;
  mutable std::vector<State> state_;
  std::vector<char> own_;          // for each parameter, whether it takes a step; empty: all do
  std::vector<double> lr_scales_;  // empty: all 1
  std::vector<Range> ranges_;
};

}  // namespace anther::inline v0_1
