// What the element-wise kernels share: the cut of a flat range into blocks, and the loop over one.
#pragma once

#include <algorithm>
#include <cstdint>

#include "anther/core/parallel_for.hpp"
#include "anther/kernels/stream.hpp"
#include "anther/kernels/vec.hpp"

namespace anther::inline v0_1::kernels {

#define ANTHER_BODY "anther/kernels/map.inl"
#include "anther/kernels/for_each_isa.inl"

// The elements of one tile of an element-wise kernel.
inline constexpr std::int64_t map_block = 16384;

inline std::int64_t map_blocks(std::int64_t count) {
  return (count + map_block - 1) / map_block;
}

// Calls body(first, length, block) for the blocks of a range of `count` elements, in parallel.
// cost: about how many picoseconds an element takes.
template <class Body>
void for_blocks(std::int64_t count, std::int64_t cost, const Body& body) {
  parallel_for(map_blocks(count), count * cost / 1000, [&](std::int64_t block) {
    const std::int64_t first = block * map_block;
    body(first, std::min(map_block, count - first), block);
  });
}

}  // namespace anther::inline v0_1::kernels
