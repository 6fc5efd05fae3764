// What optimisers share: one pass over the flat parameters, in ranges with and without weight
// decay. Frozen parameters are in none of them. The state has the layout of the parameters.
//
// After share() each rank of a group steps a segment of the parameters, whose state it alone has.
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
#include "anther/distributed/process_group.hpp"
#include "anther/kernels/map.hpp"

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
    std::int64_t steps;  // of these parameters, with this one: none were made while frozen
  };
  // A buffer of the state: Adam's exp_avg and exp_avg_sq, SGD's momentum_buffer.
  struct State {
    std::string name;
    AlignedBuffer<T> values;
  };

  virtual ~Optimizer() = default;
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;

  // One step with a learning rate. gradients have the store's layout, and are those of segment();
  // they are multiplied by gradient_scale first, as clipping needs. What training passes have done
  // to buffers (BatchNorm's running statistics) takes effect now. Throws if the rate is not finite
  // or is negative.
  void step(std::span<const T> gradients, double lr, double gradient_scale = 1) {
    const Segment own = segment();
    detail::check(std::ssize(gradients) == own.size(), "optimizer: expected ", own.size(),
                  " gradients, got ", gradients.size());
    detail::check(std::isfinite(lr) && lr >= 0,
                  "optimizer: expected a learning rate of at least 0, got ", lr);
    store_.check_readable();
    size_state();
    count_step();
    {
      const auto edit = store_.edit();
      for (const Range& range : ranges()) {
        const Range part{std::max(range.begin, own.begin) - own.begin,
                         std::min(range.end, own.end) - own.begin, range.decay, range.lr_scale,
                         range.steps};
        if (part.begin < part.end)
          update(edit.values().data() + own.begin, gradients.data(), part, lr * range.lr_scale,
                 gradient_scale);
      }
      if (group_) group_->all_gather(bytes_of(edit.values()), segment_bytes());
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

  // From now on the ranks of the group share the work: each steps its segment() of the parameters,
  // and keeps the state of that alone. All begin with the values, buffers, steps and state of rank
  // 0. Every rank calls it, and step() from then on. It needs an optimiser that treats each element
  // by itself, as those of this folder do.
  void share(ProcessGroup& group) {
    if (group_ == &group) return;
    detail::check(!group_, "optimizer: it is shared by another group of ranks already");
    size_state();
    {
      const auto edit = store_.edit();
      group.broadcast(bytes_of(edit.values()));
      group.broadcast(bytes_of(edit.buffer_values()));
    }
    steps_ = from_first(group, steps_);
    missed_.resize(store_.parameters().size());
    group.broadcast(bytes_of(std::span(missed_)));
    group_ = &group;
    for (State& state : state_) {
      AlignedBuffer<T> own(segment().size());
      const auto ranks = static_cast<std::size_t>(group.size());
      std::vector<std::int64_t> from_first(ranks);
      from_first[0] = own.size() * std::int64_t{sizeof(T)};
      const bool first = group.rank() == 0;
      group.all_to_all(std::as_bytes(first ? state.values.span() : std::span<T>()),
                       first ? segment_bytes() : std::vector<std::int64_t>(ranks),
                       bytes_of(own.span()), from_first);
      state.values = std::move(own);
    }
  }
  // The elements of the store's values that this rank steps: all, unless ranks share them. Segments
  // begin where the kernels' blocks do, so that sums over blocks are the same for any of them.
  Segment segment() const {
    if (!group_) return {0, store_.size()};
    return segment_of(group_->rank(), group_->size(), store_.size(), kernels::map_block);
  }

  // Where ranks share the state, brings all of it to rank 0 while this object lives: to save it.
  // Every rank makes one.
  class WholeState {
   public:
    explicit WholeState(Optimizer& optimizer) : optimizer_(optimizer) {
      if (!optimizer.group_) return;
      for (const State& state : optimizer.state())
        optimizer.whole_.push_back({state.name, optimizer.gathered(state.values.span())});
    }
    ~WholeState() { optimizer_.whole_.clear(); }
    WholeState(const WholeState&) = delete;
    WholeState& operator=(const WholeState&) = delete;

   private:
    Optimizer& optimizer_;
  };
  // The state in the store's layout. Throws where ranks share it, and there is no WholeState.
  const std::vector<State>& whole_state() const {
    detail::check(!group_ || state_.empty() || !whole_.empty(),
                  "optimizer: ranks share its state; expected a WholeState");
    return group_ ? whole_ : state();
  }

  // Steps made, and how many of them each parameter has not, as it was frozen; empty: none. They
  // are saved with the state, and set again when a run is resumed.
  std::int64_t steps() const { return steps_; }
  const std::vector<std::int64_t>& missed_steps() const { return missed_; }
  void set_steps(std::int64_t steps, std::vector<std::int64_t> missed = {}) {
    detail::check(steps >= 0, "optimizer: expected a number of steps of at least 0, got ", steps);
    detail::check(missed.empty() || missed.size() == store_.parameters().size(),
                  "optimizer: expected the missed steps of ", store_.parameters().size(),
                  " parameters, got ", missed.size());
    for (const std::int64_t count : missed)
      detail::check(count >= 0 && count <= steps, "optimizer: expected 0 to ", steps,
                    " missed steps, got ", count);
    steps_ = steps;
    missed_ = std::move(missed);
  }
  // In the layout of segment().
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

  // Updates values[range.begin] to values[range.end - 1] by the gradients and the state at the same
  // places. lr: the range's own, its scale included. All begin with the segment.
  virtual void update(T* values, const T* gradients, const Range& range, double lr,
                      double gradient_scale) = 0;

 private:
  // The state takes its memory at the first use, when the store has all its layers.
  void size_state() const {
    const std::int64_t size = segment().size();
    for (State& state : state_)
      if (state.values.size() != size) {
        detail::check(steps_ == 0, "optimizer: the store has gained parameters after step ",
                      steps_);
        state.values = AlignedBuffer<T>(size);
        std::fill_n(state.values.data(), size, initial_);
      }
  }

  // The bytes of each rank's segment.
  std::vector<std::int64_t> segment_bytes() const {
    std::vector<std::int64_t> sizes;
    for (int r = 0; r < group_->size(); ++r)
      sizes.push_back(segment_of(r, group_->size(), store_.size(), kernels::map_block).size() *
                      std::int64_t{sizeof(T)});
    return sizes;
  }
  // The segments of all ranks, on rank 0; on others nothing.
  AlignedBuffer<T> gathered(std::span<const T> own) const {
    const bool first = group_->rank() == 0;
    AlignedBuffer<T> all(first ? store_.size() : 0);
    std::vector<std::int64_t> to_first(static_cast<std::size_t>(group_->size()));
    to_first[0] = std::ssize(own) * std::int64_t{sizeof(T)};
    group_->all_to_all(std::as_bytes(own), to_first, bytes_of(all.span()),
                       first ? segment_bytes() : std::vector<std::int64_t>(to_first.size()));
    return all;
  }

  // Made again in each step, since parameters may be frozen or unfrozen at any time. There are few.
  std::span<const Range> ranges() {
    ranges_.clear();
    const auto& parameters = store_.parameters();
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      const ParameterInfo& info = parameters[i];
      if (!takes_step(i)) continue;
      const double lr_scale = i < lr_scales_.size() ? lr_scales_[i] : 1;
      const std::int64_t steps = steps_ - missed_[i];
      const bool follows = !ranges_.empty() && ranges_.back().decay == info.decay &&
                           ranges_.back().lr_scale == lr_scale && ranges_.back().steps == steps &&
                           takes_step(i - 1);
      if (follows)
        ranges_.back().end = info.offset + info.size;
      else
        ranges_.push_back({info.offset, info.offset + info.size, info.decay, lr_scale, steps});
    }
    return ranges_;
  }

  void count_step() {
    ++steps_;
    missed_.resize(store_.parameters().size());
    for (std::size_t i = 0; i < missed_.size(); ++i)
      if (!takes_step(i)) ++missed_[i];
  }
  bool takes_step(std::size_t i) const {
    return store_.parameters()[i].trainable && (own_.empty() || (i < own_.size() && own_[i]));
  }

  ParameterStore<T>& store_;
  T initial_;
  std::int64_t steps_ = 0;
  std::vector<std::int64_t> missed_;  // by each parameter
  mutable std::vector<State> state_;
  std::vector<char> own_;          // for each parameter, whether it takes a step; empty: all do
  std::vector<double> lr_scales_;  // empty: all 1
  std::vector<Range> ranges_;
  ProcessGroup* group_ = nullptr;  // the ranks that share the work; null: one process
  std::vector<State> whole_;       // of all ranks, while there is a WholeState
};

}  // namespace anther::inline v0_1
