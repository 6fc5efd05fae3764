// Gamma and beta numbers: their moments over many keys.
#include "anther/core/beta.hpp"

#include <doctest/doctest.h>

#include <cmath>

namespace {

using namespace anther;

struct MeanAndVariance {
  double mean = 0, variance = 0;
};
MeanAndVariance mean_and_variance_of(const auto& draw) {
  constexpr int count = 20'000;
  double sum = 0, squares = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    const double x = draw(RandomKey(i));
    sum += x;
    squares += x * x;
  }
  return {sum / count, squares / count - sum / count * (sum / count)};
}

TEST_CASE("gamma: mean and variance are the shape") {
  for (const double shape : {0.3, 1.0, 2.5, 20.0}) {
    CAPTURE(shape);
    const auto [mean, variance] = mean_and_variance_of(
        [&](RandomKey key) { return std::exp(log_gamma_variate(key, shape)); });
    CHECK(mean == doctest::Approx(shape).epsilon(0.05));
    CHECK(variance == doctest::Approx(shape).epsilon(0.1));
  }
}

TEST_CASE("beta: mean a / (a + b), variance ab / (a + b)^2 (a + b + 1)") {
  const double shapes[][2] = {{0.2, 0.2}, {0.8, 0.8}, {1, 1}, {5, 5}, {2, 5}, {0.5, 3}};
  for (const auto& [a, b] : shapes) {
    CAPTURE(a);
    CAPTURE(b);
    const auto [mean, variance] =
        mean_and_variance_of([&, a = a, b = b](RandomKey key) { return beta_variate(key, a, b); });
    CHECK(mean == doctest::Approx(a / (a + b)).epsilon(0.02));
    CHECK(variance == doctest::Approx(a * b / ((a + b) * (a + b) * (a + b + 1))).epsilon(0.04));
  }
}

TEST_CASE("beta: tiny and huge shapes stay within 0 and 1") {
  int ends = 0;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    const double x = beta_variate(RandomKey(i), 1e-4, 1e-4);
    CHECK((x >= 0 && x <= 1));  // not NaN
    ends += x < 1e-6 || x > 1 - 1e-6;
    CHECK(std::fabs(beta_variate(RandomKey(i), 1e6, 1e6) - 0.5) < 0.01);
  }
  CHECK(ends > 990);
  for (const double tiny : {1e-308, 1e-310}) {  // whose logarithms are too small as well
    double sum = 0;
    for (std::uint64_t i = 0; i < 1000; ++i) {
      const double x = beta_variate(RandomKey(i), tiny, 3 * tiny);
      CHECK((x == 0 || x == 1));
      sum += x;
    }
    CHECK(sum / 1000 == doctest::Approx(0.25).epsilon(0.15));
  }
  CHECK(beta_variate(RandomKey(3), 0.4, 0.4) == beta_variate(RandomKey(3), 0.4, 0.4));
}

}  // namespace
