// Half precision: 1 sign, 5 exponent, 10 fraction bits (IEEE 754 binary16).
#pragma once

#include <bit>
#include <cstdint>

namespace anther::inline v0_1::io {

struct Float16 {
  std::uint16_t bits = 0;
};

// Exact.
inline float to_float(Float16 value) {
  const std::uint32_t sign = static_cast<std::uint32_t>(value.bits >> 15) << 31;
  const std::uint32_t exponent = value.bits >> 10 & 31u;
  const std::uint32_t fraction = value.bits & 1023u;
  if (exponent == 0) {
    const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
    return sign ? -magnitude : magnitude;
  }
  const std::uint32_t widened = exponent == 31 ? 255u : exponent + 127 - 15;
  return std::bit_cast<float>(sign | widened << 23 | fraction << 13);
}

}  // namespace anther::inline v0_1::io
