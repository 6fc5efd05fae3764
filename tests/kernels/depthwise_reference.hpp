// Depth-wise convolution and its transpose in long double, with plain loops, for their tests.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <vector>

#include "anther/core/openmp.hpp"
#include "anther/core/random.hpp"

namespace depthwise_test {

using Values = std::vector<long double>;

inline std::size_t size_of(std::int64_t count) {
  return static_cast<std::size_t>(count);
}

template <class T>
std::vector<T> random_values(const char* name, std::int64_t count) {
  const anther::RandomKey key = anther::RandomKey(3).fold(name);
  std::vector<T> values;
  for (std::int64_t i = 0; i < count; ++i)
    values.push_back(static_cast<T>(anther::normal(key, static_cast<std::uint64_t>(i))));
  return values;
}

// A map (N, H, W, C): its size, and where an element is; -1 outside.
struct Map {
  std::int64_t batch, height, width, channels;

  std::int64_t size() const { return batch * height * width * channels; }
  std::int64_t at(std::int64_t n, std::int64_t i, std::int64_t j, std::int64_t c) const {
    if (i < 0 || i >= height || j < 0 || j >= width) return -1;
    return ((n * height + i) * width + j) * channels + c;
  }
};

struct Window {
  std::int64_t kernel_height, kernel_width, stride_height, stride_width, padding_height,
      padding_width;
};

// Calls visit(element of small, element of large, element of weight) for every product that the
// convolution from large to small, and its transpose from small to large, is made of.
template <class Visit>
void for_each_product(const Map& small, const Map& large, const Window& w, const Visit& visit) {
  for (std::int64_t n = 0; n < small.batch; ++n)
    for (std::int64_t i = 0; i < small.height; ++i)
      for (std::int64_t j = 0; j < small.width; ++j)
        for (std::int64_t a = 0; a < w.kernel_height; ++a)
          for (std::int64_t b = 0; b < w.kernel_width; ++b)
            for (std::int64_t c = 0; c < small.channels; ++c) {
              const std::int64_t there = large.at(n, w.stride_height * i + a - w.padding_height,
                                                  w.stride_width * j + b - w.padding_width, c);
              if (there >= 0)
                visit(size_of(small.at(n, i, j, c)), size_of(there),
                      size_of((a * w.kernel_width + b) * small.channels + c));
            }
}

template <class T>
void add(Values& to, const std::vector<T>& from) {
  for (std::size_t i = 0; i < to.size(); ++i) to[i] += static_cast<long double>(from[i]);
}

// The largest difference, beside the largest expected value or 1; infinite where one is no number.
template <class T>
double distance(const std::vector<T>& values, const Values& expected) {
  REQUIRE(values.size() == expected.size());
  long double largest = 1, difference = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) return HUGE_VAL;
    largest = std::max(largest, std::abs(expected[i]));
    difference = std::max(difference, std::abs(static_cast<long double>(values[i]) - expected[i]));
  }
  return static_cast<double>(difference / largest);
}

// How an output is added: not at all, in place, or from a buffer of its own.
enum class Add { null, in_place, other };
constexpr Add adds[] = {Add::null, Add::in_place, Add::other};

// The sum of the products of two vectors.
inline double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

// Checks a gradient of loss() with respect to values, at some of the elements.
template <class Loss>
void check_gradient(std::vector<double>& values, const std::vector<double>& gradient,
                    const Loss& loss) {
  const double step = 1e-5;
  for (std::size_t i = 0; i < values.size(); i += 1 + values.size() / 23) {
    const double value = values[i];
    values[i] = value + step;
    const double above = loss();
    values[i] = value - step;
    const double below = loss();
    values[i] = value;
    CHECK(gradient[i] == doctest::Approx((above - below) / (2 * step)).epsilon(1e-6));
  }
}

}  // namespace depthwise_test
