// Sums the gradients of a step's lanes in their order: those of one process, or of several ranks.
//
// Lane l is rank l % N's, as micro-batch m is lane m % lanes': a batch that does not fill the lanes
// leaves no rank with much less to do than another. A rank gets its segment of every lane, adds
// them in the order of the lanes, and has that segment of the sum. So bits depend on the number of
// lanes, and not on how many ranks there are. Of N ranks, each sends and receives (N - 1) / N of
// its lanes' gradients.
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
#include "anther/distributed/process_group.hpp"
#include "anther/kernels/optimizer.hpp"

namespace anther::inline v0_1 {

template <class T>
class GradientExchange {
 public:
  // size: the elements of a lane's gradients. group: null for one process. Throws if a rank would
  // have no lane.
  GradientExchange(ProcessGroup* group, std::int64_t lanes, std::int64_t size)
      : group_(group && group->size() > 1 ? group : nullptr), lanes_(lanes), size_(size) {
    detail::check(!group_ || lanes >= group_->size(), "lanes: expected at least 1 for each of ",
                  group ? group->size() : 1, " ranks, got ", lanes);
    if (!group_) return;
    received_ = AlignedBuffer<T>(lanes * segment().size());
    const auto ranks = static_cast<std::size_t>(group_->size());
    send_bytes_.resize(ranks);
    receive_bytes_.resize(ranks);
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
    pointers_.clear();
    if (group_)
      exchange(gradients);
    else
      for (const auto& lane : gradients) pointers_.push_back(lane.data());
    T* to = group_ ? received_.data() : gradients[0].data();
    kernels::sum_buffers(to, pointers_.data(), lanes_, factor, segment().size());
    return {to, static_cast<std::size_t>(segment().size())};
  }

 private:
  // How many of the first lanes are a rank's.
  std::int64_t lanes_of(int rank, std::int64_t of) const {
    return std::max<std::int64_t>(
        0, (std::min(of, lanes_) - rank + group_->size() - 1) / group_->size());
  }
  Segment segment_of_rank(int rank) const {
    return segment_of(rank, group_->size(), size_, kernels::map_block);
  }

  // One lane of each rank after another: a lane's buffer holds the segments of all ranks in their
  // order already, so that nothing is copied.
  void exchange(const std::vector<AlignedBuffer<T>>& gradients) {
    pointers_.resize(static_cast<std::size_t>(lanes_));
    const std::int64_t own = segment().size();
    const auto bytes = [](std::int64_t count) { return count * std::int64_t{sizeof(T)}; };
    T* to = received_.data();
    for (std::int64_t i = 0; i < (lanes_ + group_->size() - 1) / group_->size(); ++i) {
      const bool sends = i < std::ssize(gradients);
      T* const first = to;
      for (int r = 0; r < group_->size(); ++r) {
        const auto rank = static_cast<std::size_t>(r);
        const bool receives = i < lanes_of(r, lanes_);
        send_bytes_[rank] = sends ? bytes(segment_of_rank(r).size()) : 0;
        receive_bytes_[rank] = receives ? bytes(own) : 0;
        if (!receives) continue;
        pointers_[static_cast<std::size_t>(r + i * group_->size())] = to;
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
  std::int64_t lanes_, size_;
  AlignedBuffer<T> received_;  // this rank's segment of every lane
  std::vector<const T*> pointers_;
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
