// The memory of the gradients of a pass. An addition hands its gradient on without a copy, so that
// several values may share a slot; whoever adds to a shared one writes to a new one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "anther/core/arena.hpp"

namespace anther::inline v0_1 {

template <class T>
class GradientSlots {
 public:
  // A slot with room for `size` elements. Its values are undefined, and it has one user.
  int take(std::int64_t size) {
    // The smallest free one that is large enough and not wastefully large.
    std::size_t best = free_.size();
    for (std::size_t i = 0; i < free_.size(); ++i) {
      const Slot& slot = at(free_[i]);
      if (slot.size < size || slot.size > 2 * size) continue;
      if (best == free_.size() || slot.size < at(free_[best]).size) best = i;
    }
    if (best < free_.size()) {
      const int slot = free_[best];
      free_.erase(free_.begin() + static_cast<std::ptrdiff_t>(best));
      at(slot).users = 1;
      return slot;
    }
    slots_.push_back({memory_.allocate<T>(size), size, 1});
    return static_cast<int>(slots_.size()) - 1;
  }

  void share(int slot) { ++at(slot).users; }
  void release(int slot) {
    if (--at(slot).users == 0) free_.push_back(slot);
  }
  bool is_shared(int slot) const { return at(slot).users > 1; }
  T* data(int slot) const { return at(slot).data; }

  // Forgets all slots, and keeps the memory.
  void reset() {
    slots_.clear();
    free_.clear();
    memory_.reset();
  }
  std::int64_t memory_bytes() const { return memory_.capacity(); }

 private:
  struct Slot {
    T* data;
    std::int64_t size;
    int users;
  };
  Slot& at(int slot) { return slots_[static_cast<std::size_t>(slot)]; }
  const Slot& at(int slot) const { return slots_[static_cast<std::size_t>(slot)]; }

  std::vector<Slot> slots_;
  std::vector<int> free_;
  Arena memory_;
};

}  // namespace anther::inline v0_1
