// The memory of the gradients of a pass. An addition hands its gradient on without a copy, so that
// several values may share a slot; whoever adds to a shared one writes to a new one.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <vector>

#include "anther/core/tensor.hpp"

namespace anther::inline v0_1 {

// Which parts of a run of elements are free. The run is as long as it has to be.
class FreeParts {
 public:
  // Takes the smallest free part that is large enough, or makes the run longer, and returns where
  // the part begins.
  std::int64_t take(std::int64_t size) {
    auto best = free_.end();
    for (auto part = free_.begin(); part != free_.end(); ++part)
      if (part->size >= size && (best == free_.end() || part->size < best->size)) best = part;
    if (best == free_.end()) {
      const bool ends_free = !free_.empty() && free_.back().end() == length_;
      const std::int64_t first = ends_free ? free_.back().first : length_;
      if (ends_free) free_.pop_back();
      length_ = first + size;
      return first;
    }
    const std::int64_t first = best->first;
    *best = {first + size, best->size - size};
    if (best->size == 0) free_.erase(best);
    return first;
  }
  // Free neighbours become one part.
  void release(std::int64_t first, std::int64_t size) {
    auto after = std::ranges::upper_bound(free_, first, {}, &Part::first);
    if (after != free_.end() && after->first == first + size)
      *after = {first, size + after->size};
    else
      after = free_.insert(after, {first, size});
    if (after == free_.begin()) return;
    const auto before = after - 1;
    if (before->end() != after->first) return;
    before->size += after->size;
    free_.erase(after);
  }
  std::int64_t length() const { return length_; }
  void clear() {
    free_.clear();
    length_ = 0;
  }

 private:
  struct Part {
    std::int64_t first, size;
    std::int64_t end() const { return first + size; }
  };
  std::vector<Part> free_;  // in their order
  std::int64_t length_ = 0;
};

// A pass like the one before it has all its slots in one run of memory. What goes beyond it, which
// is all of the first pass, has memory of its own, and the run is as long from the next pass on.
template <class T>
class GradientSlots {
 public:
  // A slot with room for `size` elements. Its values are undefined, and it has one user.
  int take(std::int64_t size) {
    constexpr std::int64_t unit = alignment / static_cast<std::int64_t>(sizeof(T));
    size = std::max<std::int64_t>((size + unit - 1) / unit, 1) * unit;
    Slot slot{parts_.take(size), size, 1, nullptr, {}};
    if (slot.first + size > memory_.size()) slot.own = AlignedBuffer<T>::uninitialized(size);
    slot.data = slot.own.size() > 0 ? slot.own.data() : memory_.data() + slot.first;
    slots_.push_back(std::move(slot));
    return static_cast<int>(slots_.size()) - 1;
  }

  void share(int slot) { ++at(slot).users; }
  void release(int slot) {
    if (--at(slot).users > 0) return;
    parts_.release(at(slot).first, at(slot).size);
    at(slot).own = {};
  }
  bool is_shared(int slot) const { return at(slot).users > 1; }
  T* data(int slot) const { return at(slot).data; }

  // Forgets all slots, and keeps the memory.
  void reset() {
    const std::int64_t length = parts_.length();
    slots_.clear();
    parts_.clear();
    if (length <= memory_.size()) return;
    memory_ = {};  // first, so that there are never two
    try {
      memory_ = AlignedBuffer<T>::uninitialized(length);
    } catch (const std::exception&) {  // slots have memory of their own, then
    }
  }
  // Forgets all slots, and frees the memory.
  void free() {
    slots_.clear();
    parts_.clear();
    memory_ = {};
  }
  std::int64_t memory_bytes() const {
    std::int64_t elements = memory_.size();
    for (const Slot& slot : slots_) elements += slot.own.size();
    return elements * static_cast<std::int64_t>(sizeof(T));
  }

 private:
  struct Slot {
    std::int64_t first, size;  // of its part of the run
    int users;
    T* data;
    AlignedBuffer<T> own;
  };
  Slot& at(int slot) { return slots_[static_cast<std::size_t>(slot)]; }
  const Slot& at(int slot) const { return slots_[static_cast<std::size_t>(slot)]; }

  std::vector<Slot> slots_;
  FreeParts parts_;
  AlignedBuffer<T> memory_;
};

}  // namespace anther::inline v0_1
