// What the tests of the element-wise, loss and optimiser kernels share.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string_view>
#include <vector>

#include "anther/core/openmp.hpp"
#include "anther/core/parallel_for.hpp"
#include "anther/core/random.hpp"

namespace flat_test {

// Numbers that hit no vector, a part of one, and several blocks.
inline constexpr std::int64_t counts[] = {0, 1, 3, 4, 7, 8, 12, 15, 16, 17, 31, 36, 72, 100, 40007};

inline std::size_t size_of(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

template <class T>
std::vector<T> random_values(std::string_view name, std::int64_t count, double deviation = 1) {
  std::vector<T> values(size_of(count));
  const anther::RandomKey key = anther::RandomKey(1).fold(name);
  for (std::int64_t i = 0; i < count; ++i)
    values[size_of(i)] =
        static_cast<T>(deviation * anther::normal(key, static_cast<std::uint64_t>(i)));
  return values;
}

// An output with a margin on both sides that nothing may write to.
template <class T>
class Output {
 public:
  explicit Output(std::int64_t count) : Output(std::vector<T>(size_of(count), T(1e9))) {}
  explicit Output(const std::vector<T>& values) : values_(values.size() + 2 * margin, sentinel) {
    std::copy(values.begin(), values.end(), values_.begin() + margin);
  }
  Output(const Output&) = delete;
  ~Output() {
    for (std::size_t i = 0; i < margin; ++i) {
      CHECK(values_[i] == sentinel);
      CHECK(values_[values_.size() - 1 - i] == sentinel);
    }
  }

  T* data() { return values_.data() + margin; }
  T operator[](std::int64_t i) const { return values_[margin + size_of(i)]; }
  std::vector<T> values() const { return {values_.begin() + margin, values_.end() - margin}; }

 private:
  static constexpr std::size_t margin = 32;
  static constexpr T sentinel = T(-12345);
  std::vector<T> values_;
};

// The greatest |actual - expected| / (1 + |expected|).
template <class T>
double distance(const std::vector<T>& actual, const std::vector<double>& expected) {
  REQUIRE(actual.size() == expected.size());
  double worst = 0;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const double error =
        std::fabs(static_cast<double>(actual[i]) - expected[i]) / (1 + std::fabs(expected[i]));
    if (!(error <= worst)) worst = error;  // a NaN too
  }
  return worst;
}

template <class T>
constexpr double tolerance(double in_units) {
  return in_units * static_cast<double>(std::numeric_limits<T>::epsilon());
}

// The three ways to pass dx_add.
enum class Add { null, in_place, other };
inline constexpr Add adds[] = {Add::null, Add::in_place, Add::other};

// Calls backward(dx, dx_add) in each of them, and compares with slope (+ what is added).
template <class T, class Backward>
void check_backward(const std::vector<double>& slope, double near, const Backward& backward) {
  const auto count = static_cast<std::int64_t>(slope.size());
  const std::vector<T> added = random_values<T>("added", count);
  for (const Add add : adds) {
    CAPTURE(static_cast<int>(add));
    std::vector<double> expected = slope;
    if (add != Add::null)
      for (std::size_t i = 0; i < slope.size(); ++i) expected[i] += static_cast<double>(added[i]);
    Output<T> dx(count);
    if (add == Add::in_place) std::copy(added.begin(), added.end(), dx.data());
    backward(dx.data(), add == Add::null       ? static_cast<const T*>(nullptr)
                        : add == Add::in_place ? dx.data()
                                               : added.data());
    CHECK(distance(dx.values(), expected) <= near);
  }
}

// Compares dx with the differences of the sum of weights y, y = forward(x), in double.
template <class Forward>
void check_gradient(const std::vector<double>& x, const std::vector<double>& weights,
                    const std::vector<double>& dx, const Forward& forward) {
  const double step = 1e-5;
  std::vector<double> differences;
  for (std::size_t i = 0; i < x.size(); ++i) {
    double value[2];
    for (const int side : {0, 1}) {
      std::vector<double> moved = x;
      moved[i] += side == 0 ? -step : step;
      const std::vector<double> y = forward(moved);
      REQUIRE(y.size() == weights.size());
      value[side] = 0;
      for (std::size_t j = 0; j < y.size(); ++j) value[side] += weights[j] * y[j];
    }
    differences.push_back((value[1] - value[0]) / (2 * step));
  }
  CHECK(distance(dx, differences) < 1e-8);
}

// run() returns a vector: the same one, to the bit, for 1 to 4 threads.
template <class Run>
void check_threads(const Run& run) {
  anther::set_num_threads(1);
  const auto serial = run();
  for (const int threads : {2, 3, 4}) {
    anther::set_num_threads(threads);
    CHECK(run() == serial);
  }
  anther::set_num_threads(0);
}

}  // namespace flat_test
