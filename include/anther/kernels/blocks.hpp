// Copies of blocks that are evenly spaced: what concatenation and slicing are made of.
#pragma once

#include <algorithm>
#include <cstdint>

#include "anther/core/parallel_for.hpp"
#include "anther/kernels/elementwise.hpp"

namespace anther::inline v0_1::kernels {

// `count` blocks of `size` elements; a stride is the distance from one block to the next.
struct BlockDims {
  std::int64_t count = 0, size = 0;
  std::int64_t to_stride = 0, from_stride = 0;

  // Calls visit with all members, in their order.
  template <class Visit>
  constexpr decltype(auto) members(const Visit& visit) const {
    return visit(count, size, to_stride, from_stride);
  }
};

// Block by block, to = from.
template <class T>
void copy_blocks(T* to, const T* from, const BlockDims& d) {
  parallel_for(d.count, d.count * d.size / 2, [&](std::int64_t block) {
    std::copy_n(from + block * d.from_stride, d.size, to + block * d.to_stride);
  });
}

// Block by block, to = to + from.
template <class T>
void add_blocks(T* to, const T* from, const BlockDims& d) {
  for (std::int64_t block = 0; block < d.count; ++block)
    add<T>(to + block * d.to_stride, to + block * d.to_stride, from + block * d.from_stride,
           d.size);
}

}  // namespace anther::inline v0_1::kernels
