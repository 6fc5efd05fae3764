// Several processes (ranks) that train one model together, and what they exchange.
//
// Whatever takes a ProcessGroup* works in one process where that is null. mpi.hpp has the group of
// an MPI program. Another means of communication is a class that derives from this one.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "anther/core/check.hpp"

namespace anther::inline v0_1 {

// Every rank calls the same functions in the same order, from one thread. Nothing here computes, so
// that no sum depends on how the ranks communicate.
class ProcessGroup {
 public:
  virtual ~ProcessGroup() = default;
  virtual int rank() const = 0;  // of this process: 0 to size() - 1
  virtual int size() const = 0;
  virtual std::string host() const = 0;  // the machine of this process, for messages

  // Sends each rank its part of `send`, and receives a part from each. Parts are in the order of
  // the ranks; the sizes are in bytes.
  virtual void all_to_all(std::span<const std::byte> send, std::span<const std::int64_t> send_sizes,
                          std::span<std::byte> receive,
                          std::span<const std::int64_t> receive_sizes) = 0;
  // `all` consists of a part of each rank, in their order. A rank has its own part in it, and gets
  // the others'.
  virtual void all_gather(std::span<std::byte> all, std::span<const std::int64_t> sizes) = 0;
  // Every rank gets what rank 0 has.
  virtual void broadcast(std::span<std::byte> data) = 0;
  // Waits for all ranks.
  virtual void barrier() = 0;
};

// Thrown on every rank at once: all have the same message. Where one of them has failed, it says
// which, and why.
class CollectiveError : public Error {
 public:
  using Error::Error;
};

// Elements begin, ..., end - 1.
struct Segment {
  std::int64_t begin = 0, end = 0;
  std::int64_t size() const { return end - begin; }
};

// Which of `count` elements are a rank's own. Segments begin at multiples of `unit`.
inline Segment segment_of(int rank, int ranks, std::int64_t count, std::int64_t unit = 1) {
  const std::int64_t units = (count + unit - 1) / unit;
  const auto bound = [&](std::int64_t r) { return std::min(count, r * units / ranks * unit); };
  return {bound(rank), bound(rank + 1)};
}

inline bool is_first(const ProcessGroup* group) {
  return !group || group->rank() == 0;
}

// "rank 1 on host node3"
inline std::string rank_text(int rank, std::string_view host) {
  return detail::text_of("rank ", rank, " on host ", host);
}

template <class T>
std::span<std::byte> bytes_of(std::span<T> values) {
  return std::as_writable_bytes(values);
}

// Rank 0's value, of any type that is copied by its bytes.
template <class T>
requires std::is_trivially_copyable_v<T> T from_first(ProcessGroup& group, T own) {
  group.broadcast(bytes_of(std::span(&own, 1)));
  return own;
}

}  // namespace anther::inline v0_1
