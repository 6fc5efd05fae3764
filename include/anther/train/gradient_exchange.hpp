// Sums the gradients of a step's lanes in a fixed order: those of one process, or of several ranks.
//
// The lanes are folded: of n lanes the upper half is added to the lower, lane i + h to lane i with
// h = (n + 1) / 2, until one is left. So bits depend on the number of lanes, and not on how many
// ranks there are. Of N ranks, rank r has the lanes l with l % N = r (as micro-batch m is in lane m
// % lanes, a batch that does not fill the lanes leaves no rank with much less to do than another).
// As long as h is a multiple of N, both lanes of a pair are the same rank's, which folds them by
// itself: of N times a power of two lanes, one for each rank is left. Then each rank gets its
// segment of what is left, and folds on: it has that segment of the sum. Each sends and receives
// (N - 1) / N of the gradients, times the lanes that it had left.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "anther/autograd/parameter_store.hpp"
#include "anther/core/check.hpp"
#include "anther/core/tensor.hpp"
#include "anther/distributed/message.hpp"
#include "anther/distributed/texts.hpp"
#include "anther/kernels/optimizer.hpp"

namespace anther::inline v0_1 {

template <class T>
class GradientExchange {
 public:
  // size: the elements of a lane's gradients. group: null for one process. Throws if a rank would
  // have no lane.
  GradientExchange(ProcessGroup* group, std::int64_t lanes, std::int64_t size)
      : group_(group && group->size() > 1 ? group : nullptr),
        lanes_(lanes),
        left_(lanes),
        size_(size) {
    detail::check(!group_ || lanes >= group_->size(), "lanes: expected at least 1 for each of ",
                  group ? group->size() : 1, " ranks, got ", lanes);
    if (!group_) return;
    while (left_ > 2 && half(left_) % ranks() == 0) left_ = half(left_);
    received_ = AlignedBuffer<T>(left_ * segment().size());
    send_bytes_.resize(static_cast<std::size_t>(ranks()));
    receive_bytes_.resize(send_bytes_.size());
  }

  // How many of the first lanes are this rank's, and which lane its i-th is.
  std::int64_t own_lanes(std::int64_t of) const {
    return group_ ? lanes_of(group_->rank(), of) : std::min(of, lanes_);
  }
  std::int64_t own_lanes() const { return own_lanes(lanes_); }
  std::int64_t own_lane(std::int64_t i) const {
    return group_ ? group_->rank() + i * group_->size() : i;
  }
  bool is_own(std::int64_t lane) const { return !group_ || rank_of_lane(lane) == group_->rank(); }
  // The elements of the sum that this rank has.
  Segment segment() const { return group_ ? segment_of_rank(group_->rank()) : Segment{0, size_}; }
  int rank_of_lane(std::int64_t lane) const {
    return group_ ? static_cast<int>(lane % group_->size()) : 0;
  }
  // Null: there is one process.
  ProcessGroup* group() const { return group_; }

  // factor times the sum, of this rank's segment. gradients: of this rank's lanes; they may be
  // changed. Every rank calls it.
  std::span<T> sum(std::vector<AlignedBuffer<T>>& gradients, T factor) {
    lanes_left_.clear();
    for (AlignedBuffer<T>& lane : gradients) lanes_left_.push_back(lane.data());
    const std::int64_t first = group_ ? group_->rank() : 0;
    for (std::int64_t n = lanes_; n > left_; n = half(n)) fold(n, first, ranks(), size_);
    if (group_) exchange(gradients);
    std::int64_t n = left_;
    for (; n > kernels::max_sum_buffers; n = half(n)) fold(n, 0, 1, segment().size());
    T* const to = lanes_left_[0];
    terms_.assign(lanes_left_.begin(), lanes_left_.begin() + n);
    kernels::sum_buffers(to, terms_.data(), n, factor, segment().size());
    return {to, static_cast<std::size_t>(segment().size())};
  }

 private:
  static std::int64_t half(std::int64_t lanes) { return (lanes + 1) / 2; }
  std::int64_t ranks() const { return group_ ? group_->size() : 1; }
  // How many of the first lanes are a rank's.
  std::int64_t lanes_of(int rank, std::int64_t of) const {
    return std::max<std::int64_t>(0, (std::min(of, lanes_) - rank + ranks() - 1) / ranks());
  }
  Segment segment_of_rank(int rank) const {
    return segment_of(rank, group_->size(), size_, kernels::map_block);
  }

  // Adds the upper half of n lanes to the lower. lanes_left_ has every step-th lane from the first.
  void fold(std::int64_t n, std::int64_t first, std::int64_t step, std::int64_t count) {
    const auto lane = [&](std::int64_t i) {
      return lanes_left_[static_cast<std::size_t>((i - first) / step)];
    };
    for (std::int64_t i = first; i + half(n) < n; i += step) {
      terms_.assign({lane(i), lane(i + half(n))});
      kernels::sum_buffers(lane(i), terms_.data(), 2, T(1), count);
    }
  }

  // One lane of each rank after another: a lane's buffer holds the segments of all ranks in their
  // order already, so that nothing is copied.
  void exchange(const std::vector<AlignedBuffer<T>>& gradients) {
    lanes_left_.resize(static_cast<std::size_t>(left_));
    const std::int64_t own = segment().size();
    const auto bytes = [](std::int64_t count) { return count * std::int64_t{sizeof(T)}; };
    T* to = received_.data();
    for (std::int64_t i = 0; i * ranks() < left_; ++i) {
      const bool sends = i < lanes_of(group_->rank(), left_);
      T* const first = to;
      for (int r = 0; r < group_->size(); ++r) {
        const auto rank = static_cast<std::size_t>(r);
        const bool receives = i < lanes_of(r, left_);
        send_bytes_[rank] = sends ? bytes(segment_of_rank(r).size()) : 0;
        receive_bytes_[rank] = receives ? bytes(own) : 0;
        if (!receives) continue;
        lanes_left_[static_cast<std::size_t>(r + i * ranks())] = to;
        to += own;
      }
      const std::span<const T> lane =
          sends ? gradients[static_cast<std::size_t>(i)].span() : std::span<const T>();
      group_->all_to_all(std::as_bytes(lane), send_bytes_,
                         bytes_of(std::span(first, static_cast<std::size_t>(to - first))),
                         receive_bytes_);
    }
  }

  ProcessGroup* group_;
  std::int64_t lanes_, left_, size_;  // left_: lanes that are left when ranks exchange them
  AlignedBuffer<T> received_;         // this rank's segment of the lanes that are left
  std::vector<T*> lanes_left_;
  std::vector<const T*> terms_;
  std::vector<std::int64_t> send_bytes_, receive_bytes_;
};

// Gives every rank what training passes of all ranks have made of a store's buffers. own: the parts
// of the batch that this rank has had.
template <class T>
void exchange_pending(ProcessGroup& group, ParameterStore<T>& store, std::span<const int> own) {
  Message message;
  for (const int part : own)
    for (int i = 0; i < std::ssize(store.buffers()); ++i) {
      if (!store.has_pending(i, part)) continue;
      const std::span<const T> values = store.pending_buffer(i, part);
      message.put(part);
      message.put(i);
      message.put(values.data(), values.size());
    }
  const std::vector<std::string> all = all_gather(group, message.bytes());
  for (std::size_t r = 0; r < all.size(); ++r) {
    if (static_cast<int>(r) == group.rank()) continue;
    for (Message other(all[r]); !other.at_end();) {
      const int part = other.get<int>(), i = other.get<int>();
      std::ranges::copy(other.get_all<T>(), store.pending_buffer(i, part).begin());
    }
  }
}

}  // namespace anther::inline v0_1
