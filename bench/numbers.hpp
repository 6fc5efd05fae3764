// What the benches compute with.
#pragma once

#include <cstdint>

#include "anther/core/tensor.hpp"

namespace bench {

// A buffer of numbers in [-1, 1), the same each time.
inline anther::AlignedBuffer<float> numbers(std::int64_t size) {
  anther::AlignedBuffer<float> buffer(size);
  std::uint32_t state = 1;
  for (float& value : buffer) {
    state = state * 1664525u + 1013904223u;
    value = static_cast<float>(state >> 8) * 0x1p-23f - 1;
  }
  return buffer;
}

}  // namespace bench
