// A naive normalisation in long double, with plain loops, for the tests of all four: which elements
// are normalised together is a function of the row and the channel.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <vector>

#include "anther/core/openmp.hpp"
#include "anther/core/random.hpp"

namespace norm_test {

template <class T>
std::vector<T> random_values(const char* name, std::int64_t count, double mean = 0,
                             double deviation = 1) {
  const anther::RandomKey key = anther::RandomKey(7).fold(name);
  std::vector<T> values;
  for (std::int64_t i = 0; i < count; ++i)
    values.push_back(
        static_cast<T>(mean + deviation * anther::normal(key, static_cast<std::uint64_t>(i))));
  return values;
}

template <class T>
std::vector<long double> exact(const std::vector<T>& values) {
  return std::vector<long double>(values.begin(), values.end());
}

struct NormReference {
  std::vector<long double> mean, variance;         // of each set
  std::vector<long double> y, dx, dweight, dbias;  // of each element; of each channel
};

// set_of(row, channel) is below sets. weight and bias may be empty.
template <class SetOf>
NormReference norm_reference(const std::vector<long double>& x, const std::vector<long double>& dy,
                             const std::vector<long double>& weight,
                             const std::vector<long double>& bias, long double eps,
                             std::int64_t channels, std::int64_t sets, const SetOf& set_of) {
  const std::size_t count = x.size(), width = static_cast<std::size_t>(channels);
  const auto set = [&](std::size_t i) {
    return static_cast<std::size_t>(
        set_of(static_cast<std::int64_t>(i / width), static_cast<std::int64_t>(i % width)));
  };
  const auto scale = [&](std::size_t i) { return weight.empty() ? 1.0L : weight[i % width]; };
  const std::vector<long double> zeros(static_cast<std::size_t>(sets));
  NormReference r;
  r.mean = r.variance = zeros;
  r.dweight.assign(width, 0);
  r.dbias.assign(width, 0);
  std::vector<long double> members = zeros, g = zeros, g_xhat = zeros;
  for (std::size_t i = 0; i < count; ++i) members[set(i)] += 1;
  for (std::size_t i = 0; i < count; ++i) r.mean[set(i)] += x[i] / members[set(i)];
  for (std::size_t i = 0; i < count; ++i)
    r.variance[set(i)] += std::pow(x[i] - r.mean[set(i)], 2) / members[set(i)];
  const auto xhat = [&](std::size_t i) {
    return (x[i] - r.mean[set(i)]) / std::sqrt(r.variance[set(i)] + eps);
  };
  for (std::size_t i = 0; i < count; ++i) {
    r.y.push_back(xhat(i) * scale(i) + (bias.empty() ? 0.0L : bias[i % width]));
    r.dweight[i % width] += dy[i] * xhat(i);
    r.dbias[i % width] += dy[i];
    g[set(i)] += dy[i] * scale(i) / members[set(i)];
    g_xhat[set(i)] += dy[i] * scale(i) * xhat(i) / members[set(i)];
  }
  for (std::size_t i = 0; i < count; ++i)
    r.dx.push_back((dy[i] * scale(i) - g[set(i)] - xhat(i) * g_xhat[set(i)]) /
                   std::sqrt(r.variance[set(i)] + eps));
  return r;
}

// The greatest distance, where `scale` and each expected value's size are the unit.
template <class T>
double distance(const std::vector<T>& got, const std::vector<long double>& expected,
                long double scale = 1) {
  REQUIRE(got.size() == expected.size());
  long double greatest = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const long double apart =
        std::abs(static_cast<long double>(got[i]) - expected[i]) / (scale + std::abs(expected[i]));
    if (!(apart <= greatest)) greatest = apart;  // also for a NaN
    if (std::isnan(greatest)) break;
  }
  return static_cast<double>(greatest);
}

// Compares dx with finite differences of sum(random weights * forward(x)), in some of the elements.
template <class Forward>
double gradient_distance(std::vector<double> values, const std::vector<double>& gradient,
                         const std::vector<double>& output_weights, const Forward& forward) {
  constexpr double step = 1e-5;
  const auto loss = [&] {
    const std::vector<double> y = forward(values);
    double total = 0;
    for (std::size_t i = 0; i < y.size(); ++i) total += y[i] * output_weights[i];
    return total;
  };
  double greatest = 0;
  for (std::size_t i = 0; i < values.size(); i += 1 + values.size() / 50) {
    const double value = values[i];
    values[i] = value + step;
    const double above = loss();
    values[i] = value - step;
    const double below = loss();
    values[i] = value;
    const double apart = std::abs((above - below) / (2 * step) - gradient[i]);
    if (!(apart <= greatest)) greatest = apart;
  }
  return greatest;
}

}  // namespace norm_test
