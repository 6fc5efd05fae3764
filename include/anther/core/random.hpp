// Random numbers by counter: the i-th number of a key is a function of the key and i alone, so it
// does not depend on threads, on the order of the calls, or on where a run was resumed.
//
// The function is Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
// SC 2011, section 3.3).
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <string_view>

namespace anther::inline v0_1 {

// Philox4x32-10: four random 32-bit words for a 128-bit counter and a 64-bit key.
inline std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter,
                                           std::uint64_t key) {
  std::uint32_t k0 = static_cast<std::uint32_t>(key);
  std::uint32_t k1 = static_cast<std::uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = 0xD2511F53ull * counter[0];
    const std::uint64_t b = 0xCD9E8D57ull * counter[2];
    counter = {static_cast<std::uint32_t>(b >> 32) ^ counter[1] ^ k0, static_cast<std::uint32_t>(b),
               static_cast<std::uint32_t>(a >> 32) ^ counter[3] ^ k1,
               static_cast<std::uint32_t>(a)};
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return counter;
}

// A key names a purpose: RandomKey(seed).fold("dropout").fold(step) is independent of every other
// such chain.
class RandomKey {
 public:
  constexpr RandomKey() = default;
  constexpr explicit RandomKey(std::uint64_t seed) : value_(mix(seed + 0x9E3779B97F4A7C15ull)) {}

  constexpr RandomKey fold(std::uint64_t number) const {
    RandomKey key;
    key.value_ = mix(value_ ^ mix(number + 0xD1B54A32D192ED03ull));
    return key;
  }
  constexpr RandomKey fold(std::string_view name) const {
    std::uint64_t hash = 0xCBF29CE484222325ull;  // FNV-1a
    for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3ull;
    return fold(hash);
  }

  constexpr std::uint64_t value() const { return value_; }

 private:
  // The finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
  static constexpr std::uint64_t mix(std::uint64_t x) {
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
    return x ^ (x >> 31);
  }

  std::uint64_t value_ = 0;
};

// The i-th 64 random bits of a key.
inline std::uint64_t random_bits(RandomKey key, std::uint64_t i) {
  const auto words = philox(
      {static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(i >> 32), 0, 0}, key.value());
  return static_cast<std::uint64_t>(words[1]) << 32 | words[0];
}

// The i-th number of a key, uniform in [0, 1).
inline double uniform(RandomKey key, std::uint64_t i) {
  return static_cast<double>(random_bits(key, i) >> 11) * 0x1p-53;
}

// The i-th number of a key, uniform among 0, ..., count - 1 (count up to 2^32).
inline std::int64_t uniform_below(RandomKey key, std::uint64_t i, std::int64_t count) {
  const std::uint64_t high = random_bits(key, i) >> 32;
  return static_cast<std::int64_t>(high * static_cast<std::uint64_t>(count) >> 32);
}

// The i-th number of a key, from the normal distribution with mean 0 and deviation 1 (Box-Muller).
inline double normal(RandomKey key, std::uint64_t i) {
  const auto words = philox(
      {static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(i >> 32), 1, 0}, key.value());
  const double radius = (static_cast<double>(words[0]) + 1.0) * 0x1p-32;  // in (0, 1]
  const double angle = static_cast<double>(words[1]) * 0x1p-32;
  return std::sqrt(-2.0 * std::log(radius)) * std::cos(2.0 * std::numbers::pi * angle);
}

}  // namespace anther::inline v0_1
