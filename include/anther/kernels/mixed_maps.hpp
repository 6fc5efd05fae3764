// Element-wise passes over maps of which some are stored in bfloat16 (bf16_map.hpp): through a few
// floats in the first-level cache.
#pragma once

#include <algorithm>
#include <cstdint>

#include "anther/kernels/bf16.hpp"
#include "anther/kernels/elementwise.hpp"

namespace anther::inline v0_1::kernels {

// y = GELU of a map in bfloat16, rounded as gelu_bf16.hpp has it, as floats.
template <class T>
void gelu_of_map(T* y, const std::uint16_t* x, std::int64_t count) {
  constexpr std::int64_t step = 1024;
  alignas(64) std::uint16_t room[step];
  for (std::int64_t i = 0; i < count; i += step) {
    const std::int64_t n = std::min(step, count - i);
    bf16_kernels<T>().gelu_forward(room, x + i, n);
    bf16_kernels<T>().widen(y + i, room, n);
  }
}

// A map of floats, or one in bfloat16 whose pointer is written as one to T. data may be null.
template <class T>
struct MixedMap {
  T* data = nullptr;
  bool bf16 = false;
};

// body(y, a, b, n) for n floats at a time of `count` from `first` on; a or b is null where its map
// is.
template <class T, class Body>
void for_mixed(const MixedMap<T>& y, const MixedMap<const T>& a, const MixedMap<const T>& b,
               std::int64_t first, std::int64_t count, const Body& body) {
  constexpr std::int64_t step = 1024;
  alignas(64) T y_room[step], a_room[step], b_room[step];
  for (std::int64_t i = first; i < first + count; i += step) {
    const std::int64_t n = std::min(step, first + count - i);
    const auto floats = [&](const MixedMap<const T>& map, T* room) -> const T* {
      if (map.data == nullptr) return nullptr;
      if (!map.bf16) return map.data + i;
      bf16_kernels<T>().widen(room, as_bf16(map.data) + i, n);
      return room;
    };
    body(y.bf16 ? y_room : y.data + i, floats(a, a_room), floats(b, b_room), n);
    if (y.bf16) bf16_kernels<T>().narrow(as_bf16(y.data) + i, y_room, n);
  }
}

// y = a + b.
template <class T>
void add(const MixedMap<T>& y, const MixedMap<const T>& a, const MixedMap<const T>& b,
         std::int64_t count) {
  if (!y.bf16 && !a.bf16 && !b.bf16) return add<T>(y.data, a.data, b.data, count);
  for_blocks(count, 400, [&](std::int64_t first, std::int64_t length, std::int64_t) {
    for_mixed(y, a, b, first, length, [](T* to, const T* from, const T* more, std::int64_t n) {
      ANTHER_SELECT(add<T>)(to, from, more, n, false);
    });
  });
}

// scale_samples of elementwise.hpp.
template <class T>
void scale_samples(const MixedMap<T>& y, const MixedMap<const T>& y_add, const MixedMap<const T>& x,
                   const T* factors, const SampleDims& d) {
  if (!y.bf16 && !y_add.bf16 && !x.bf16)
    return scale_samples<T>(y.data, y_add.data, x.data, factors, d);
  const std::int64_t blocks = map_blocks(d.size);
  parallel_for(d.samples * blocks, d.samples * d.size * 2 / 5, [&](std::int64_t tile) {
    const std::int64_t sample = tile / blocks, start = tile % blocks * map_block;
    const T factor = factors[sample];
    for_mixed(y, y_add, x, sample * d.size + start, std::min(map_block, d.size - start),
              [&](T* to, const T* add, const T* from, std::int64_t n) {
                ANTHER_SELECT(scale<T>)(to, add, from, factor, n, false);
              });
  });
}

}  // namespace anther::inline v0_1::kernels
