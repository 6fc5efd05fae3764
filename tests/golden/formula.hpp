// The formula of tests/golden/generate.py, from which both sides compute weights and images.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>

#include "anther/autograd/parameter.hpp"

namespace golden {

inline std::uint64_t fnv1a64(std::string_view name) {
  std::uint64_t hash = 0xCBF29CE484222325;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3;
  return hash;
}

inline std::uint64_t splitmix64(std::uint64_t x) {
  x += 0x9E3779B97F4A7C15;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
  return x ^ (x >> 31);
}

// Element i of the vector of a name, in [-1, 1).
inline double element(std::uint64_t name_hash, std::int64_t i) {
  const std::uint64_t bits = splitmix64(name_hash + static_cast<std::uint64_t>(i));
  return 2 * (static_cast<double>(bits >> 11) * 0x1p-53) - 1;
}

// A value as both sides round it. Not inlined: GCC 12 at -O3 leaves the rounding out where it
// vectorises a loop from double to float to double.
[[gnu::noinline]] inline float rounded(double value) {
  return static_cast<float>(value);
}

// The offset and the scale of a parameter's values.
inline std::pair<double, double> distribution(const anther::ParameterInfo& info) {
  const anther::Shape shape = info.torch_shape();
  if (info.name.ends_with("running_mean")) return {0, 0.1};
  if (info.name.ends_with("running_var")) return {1, 0.2};
  if (info.name.ends_with("bias")) return {0, 0.1};
  if (shape.rank() == 1) return {1, 0.2};
  if (info.name.ends_with("spread.weight")) return {0, 1};
  return {0, std::sqrt(3.0 / (static_cast<double>(shape.numel()) / static_cast<double>(shape[0])))};
}

}  // namespace golden
