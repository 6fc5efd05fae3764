// Bump allocation from memory that is kept: once the first step has run, no step allocates.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <limits>
#include <type_traits>
#include <vector>

#include "anther/core/tensor.hpp"

namespace anther::inline v0_1 {

// Hands out 64-byte-aligned memory; reset() takes all of it back. Memory that was handed out never
// moves. After a reset, one block has room for everything that was handed out before it, if there
// is the memory for it.
class Arena {
 public:
  // Uninitialised memory for count elements, valid until reset().
  template <class T>
  T* allocate(std::int64_t count) {
    static_assert(std::is_trivially_destructible_v<T>, "an arena runs no destructors");
    constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max() / 4;
    detail::check(count >= 0 && count <= most / static_cast<std::int64_t>(sizeof(T)),
                  "arena: expected a possible size, got ", count, " elements");
    return reinterpret_cast<T*>(allocate_bytes(count * static_cast<std::int64_t>(sizeof(T))));
  }

  void reset() {
    const std::int64_t total = used();
    used_ = 0;
    full_ = 0;
    if (blocks_.size() <= 1) return;
    blocks_.clear();
    try {
      blocks_.push_back(AlignedBuffer<std::byte>::uninitialized(with_room(total)));
    } catch (const std::exception&) {  // blocks are made when they are needed
    }
  }
  // Takes all of it back, and frees it.
  void free() {
    blocks_.clear();
    used_ = 0;
    full_ = 0;
  }

  // Bytes handed out since the last reset, and bytes held.
  std::int64_t used() const { return full_ + used_; }
  std::int64_t capacity() const {
    std::int64_t total = 0;
    for (const auto& block : blocks_) total += block.size();
    return total;
  }

 private:
  // A block is a little larger than it has to be. Else, where the next step needs a few bytes more,
  // a second one is made, of which the largest piece takes all. What is not used takes no memory.
  static std::int64_t with_room(std::int64_t bytes) {
    constexpr std::int64_t unit = alignment;
    return bytes + bytes / 16 / unit * unit;
  }
  std::byte* allocate_bytes(std::int64_t bytes) {
    constexpr std::int64_t unit = alignment;
    constexpr std::int64_t least_block = 1 << 16;
    bytes = (bytes + unit - 1) / unit * unit;
    if (blocks_.empty() || used_ + bytes > blocks_.back().size()) {
      const std::int64_t size = std::max({with_room(bytes), capacity() / 2, least_block});
      blocks_.push_back(AlignedBuffer<std::byte>::uninitialized(size));
      full_ += used_;
      used_ = 0;
    }
    std::byte* memory = blocks_.back().data() + used_;
    used_ += bytes;
    return memory;
  }

  std::vector<AlignedBuffer<std::byte>> blocks_;  // only the last one has free room
  std::int64_t used_ = 0;                         // of the last block
  std::int64_t full_ = 0;                         // of the blocks before it
};

}  // namespace anther::inline v0_1
