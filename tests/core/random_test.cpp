#include "anther/core/random.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <set>
#include <vector>

namespace {

using anther::RandomKey;

TEST_CASE("random: Philox4x32-10 gives Random123's known answers") {
  using Words = std::array<std::uint32_t, 4>;
  CHECK(anther::philox({0, 0, 0, 0}, 0) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  const std::uint32_t ones = 0xffffffff;
  CHECK(anther::philox({ones, ones, ones, ones}, ~std::uint64_t{0}) ==
        Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  // The digits of pi: neither counter nor key is the same in all its words.
  CHECK(anther::philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0x299f31d0a4093822ull) ==
        Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("random: a number is a function of the key and its place alone") {
  const RandomKey key = RandomKey(7).fold("dropout").fold(3);
  const double later = anther::uniform(key, 1000);
  anther::uniform(key, 5);
  CHECK(anther::uniform(RandomKey(7).fold("dropout").fold(3), 1000) == later);
  static_assert(RandomKey(7).fold("a").value() == RandomKey(7).fold("a").value());
}

TEST_CASE("random: keys of other seeds, names, numbers and orders differ") {
  std::set<std::uint64_t> keys;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const RandomKey key(seed);
    keys.insert(key.value());
    for (std::uint64_t i = 0; i < 50; ++i) keys.insert(key.fold(i).value());
    keys.insert({key.fold("a").value(), key.fold("b").value(), key.fold("ab").value(),
                 key.fold("a").fold("b").value(), key.fold("b").fold("a").value(),
                 key.fold("").value(), key.fold(1).fold(0).value(), key.fold(0).fold(1).value()});
  }
  CHECK(keys.size() == 50 * (1 + 50 + 8));
  // Streams of neighbouring keys and places do not begin alike.
  std::set<std::uint64_t> bits;
  for (std::uint64_t i = 0; i < 100; ++i) {
    bits.insert(anther::random_bits(RandomKey(1), i));
    bits.insert(anther::random_bits(RandomKey(1), i << 32));
    bits.insert(anther::random_bits(RandomKey(2), i));
  }
  CHECK(bits.size() == 3 * 100 - 1);  // i = 0 stands for both of the first two
}

// Mean, variance, and the correlation of neighbours, of 2^18 draws.
struct Moments {
  double mean = 0, variance = 0, neighbours = 0, fourth = 0;
};
template <class Draw>
Moments moments_of(const Draw& draw) {
  constexpr std::uint64_t count = 1 << 18;
  std::vector<double> x(count);
  Moments m;
  for (std::uint64_t i = 0; i < count; ++i) m.mean += x[i] = draw(i);
  m.mean /= count;
  for (std::uint64_t i = 0; i < count; ++i) {
    const double d = x[i] - m.mean;
    m.variance += d * d / count;
    m.fourth += d * d * d * d / count;
    m.neighbours += d * (x[(i + 1) % count] - m.mean) / count;
  }
  return m;
}

TEST_CASE("random: uniform numbers") {
  // The bounds are five deviations of each estimate, 1/sqrt(2^18) = 1/512.
  const RandomKey key(11);
  bool inside = true;
  std::array<int, 16> bins{};
  const Moments m = moments_of([&](std::uint64_t i) {
    const double x = anther::uniform(key, i);
    inside &= x >= 0 && x < 1;
    ++bins[static_cast<std::size_t>(x * 16) % 16];
    return x;
  });
  CHECK(inside);
  CHECK(std::abs(m.mean - 0.5) < 5 * 0.2887 / 512);
  CHECK(std::abs(m.variance - 1.0 / 12) < 5 * 0.0745 / 512);
  CHECK(std::abs(m.neighbours) < 5.0 / 12 / 512);
  double chi2 = 0;
  for (const int count : bins) chi2 += (count - 16384.0) * (count - 16384.0) / 16384;
  CHECK(chi2 < 45);  // 15 degrees of freedom: one in 10,000
}

TEST_CASE("random: normal numbers") {
  const RandomKey key(12);
  double greatest = 0;
  std::array<int, 3> beyond{};
  const Moments m = moments_of([&](std::uint64_t i) {
    const double x = anther::normal(key, i);
    greatest = std::fmax(greatest, std::abs(x));
    for (std::size_t k = 0; k < 3; ++k) beyond[k] += std::abs(x) > static_cast<double>(k + 1);
    return x;
  });
  CHECK(std::abs(m.mean) < 5.0 / 512);
  CHECK(std::abs(m.variance - 1) < 5 * 1.4143 / 512);
  CHECK(std::abs(m.fourth - 3) < 5 * 9.8 / 512);
  CHECK(std::abs(m.neighbours) < 5.0 / 512);
  CHECK(std::isfinite(greatest));
  CHECK(greatest > 4);  // 17 of 2^18 are, on average
  const double share = 1.0 / (1 << 18);
  CHECK(beyond[0] * share == doctest::Approx(0.3173).epsilon(0.02));
  CHECK(beyond[1] * share == doctest::Approx(0.0455).epsilon(0.05));
  CHECK(beyond[2] * share == doctest::Approx(0.0027).epsilon(0.25));
}

TEST_CASE("random: integers below a bound come equally often") {
  const RandomKey key(13);
  std::array<int, 7> bins{};
  for (std::uint64_t i = 0; i < 70'000; ++i) {
    const std::int64_t x = anther::uniform_below(key, i, 7);
    REQUIRE(x >= 0);
    REQUIRE(x < 7);
    ++bins[static_cast<std::size_t>(x)];
  }
  for (const int count : bins) CHECK(std::abs(count - 10'000) < 500);
  CHECK(anther::uniform_below(key, 0, 1) == 0);
  const std::int64_t most = std::int64_t{1} << 32;
  CHECK(anther::uniform_below(key, 3, most) ==
        static_cast<std::int64_t>(anther::random_bits(key, 3) >> 32));
}

}  // namespace
