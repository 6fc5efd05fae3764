#include "anther/kernels/gelu.hpp"

#include <doctest/doctest.h>

#include <numbers>

#include "tests/kernels/flat_reference.hpp"

namespace gelu_test {

using namespace flat_test;
using Real = long double;

Real normal_function(Real x) {
  return std::erfc(-x / std::sqrt(Real(2))) / 2;
}
Real normal_density(Real x) {
  return std::exp(-x * x / 2) / std::sqrt(2 * std::numbers::pi_v<Real>);
}

template <class T>
std::vector<T> gelu_of(const std::vector<T>& x) {
  Output<T> y(static_cast<std::int64_t>(x.size()));
  anther::kernels::gelu_forward(y.data(), x.data(), static_cast<std::int64_t>(x.size()));
  return y.values();
}

template <class T>
std::vector<T> derivative_of(const std::vector<T>& x) {
  const std::vector<T> ones(x.size(), T(1));
  Output<T> dx(static_cast<std::int64_t>(x.size()));
  anther::kernels::gelu_backward(dx.data(), static_cast<const T*>(nullptr), ones.data(), x.data(),
                                 static_cast<std::int64_t>(x.size()));
  return dx.values();
}

// Relative errors, also far into the tail, where 1 + erf would have no digits left. There the
// square's rounding comes on top: about a^2 / 2 units.
TEST_CASE_TEMPLATE("gelu's relative error", T, float, double) {
  const double limit = sizeof(T) == 4 ? 13.0 : 37.4;
  std::vector<T> x;
  for (int i = 0; i < 200'000; ++i)
    x.push_back(static_cast<T>(limit * (2 * (i + 0.5) / 200'000 - 1)));
  for (int i = 0; i < 200'000; ++i) x.push_back(static_cast<T>(6 * (2 * (i + 0.5) / 200'000 - 1)));
  const std::vector<T> y = gelu_of(x), dx = derivative_of(x);
  double worst = 0, worst_derivative = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const Real at = static_cast<Real>(x[i]);
    const double a = static_cast<double>(at);
    const double unit = tolerance<T>(1 + a * a / 8);
    const Real expected = at * normal_function(at);
    worst = std::max(worst, static_cast<double>(std::fabs((y[i] - expected) / expected)) / unit);
    const Real density = at * normal_density(at), slope = normal_function(at) + density;
    // Where the slope passes through 0, relative to its two terms.
    worst_derivative = std::max(
        worst_derivative,
        static_cast<double>(std::fabs(dx[i] - slope) / (std::fabs(density) + std::fabs(slope))) /
            unit);
  }
  CHECK(worst < 5);
  CHECK(worst_derivative < 5);
}

TEST_CASE_TEMPLATE("gelu of infinities, NaN and zeros", T, float, double) {
  const T infinity = std::numeric_limits<T>::infinity(), nan = std::numeric_limits<T>::quiet_NaN();
  const T greatest = std::numeric_limits<T>::max(), least = std::numeric_limits<T>::denorm_min();
  const std::vector<T> x = {infinity, -infinity, nan,      -nan,  T(0),    -T(0),
                            greatest, -greatest, T(-1000), least, T(1000), T(-14)};
  const std::vector<T> y = gelu_of(x), dx = derivative_of(x);
  CHECK(y[0] == infinity);
  CHECK(dx[0] == 1);
  CHECK(y[1] == 0);
  CHECK(dx[1] == 0);
  for (const std::size_t i : {2u, 3u}) {
    CHECK(std::isnan(y[i]));
    CHECK(std::isnan(dx[i]));
  }
  for (const std::size_t i : {4u, 5u}) {
    CHECK(y[i] == 0);
    CHECK(std::fabs(dx[i] - T(0.5)) < 1e-6);
  }
  CHECK(y[6] == greatest);
  CHECK(y[7] == 0);
  CHECK(y[8] == 0);
  CHECK(std::fabs(y[9]) <= least);
  CHECK(y[10] == 1000);
  CHECK(std::fabs(y[11]) < 1e-30);
}

TEST_CASE_TEMPLATE("gelu of any count, and the forms of dx_add", T, float, double) {
  for (const std::int64_t count : counts) {
    CAPTURE(count);
    const auto x = random_values<T>("x", count, 2), dy = random_values<T>("dy", count);
    std::vector<double> expected, slope;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const Real at = static_cast<Real>(x[i]);
      expected.push_back(static_cast<double>(at * normal_function(at)));
      slope.push_back(static_cast<double>(static_cast<Real>(dy[i]) *
                                          (normal_function(at) + at * normal_density(at))));
    }
    CHECK(distance(gelu_of(x), expected) < tolerance<T>(4));
    Output<T> in_place(x);
    anther::kernels::gelu_forward(in_place.data(), in_place.data(), count);
    CHECK(in_place.values() == gelu_of(x));
    check_backward<T>(slope, tolerance<T>(5), [&](T* dx, const T* dx_add) {
      anther::kernels::gelu_backward(dx, dx_add, dy.data(), x.data(), count);
    });
    Output<T> dx(dy);  // dx may be dy
    anther::kernels::gelu_backward(dx.data(), static_cast<const T*>(nullptr), dx.data(), x.data(),
                                   count);
    CHECK(distance(dx.values(), slope) < tolerance<T>(5));
  }
}

TEST_CASE("gelu's gradient") {
  const auto x = random_values<double>("x", 37, 2), dy = random_values<double>("dy", 37);
  std::vector<double> dx(x.size());
  anther::kernels::gelu_backward(dx.data(), static_cast<const double*>(nullptr), dy.data(),
                                 x.data(), 37);
  check_gradient(x, dy, dx, [](const std::vector<double>& at) { return gelu_of(at); });
}

TEST_CASE("gelu with several threads") {
  const auto x = random_values<float>("x", 150'001), dy = random_values<float>("dy", 150'001);
  check_threads([&] { return gelu_of(x); });
  check_threads([&] {
    std::vector<float> dx(x.size());
    anther::kernels::gelu_backward(dx.data(), x.data(), dy.data(), x.data(), 150'001);
    return dx;
  });
}

}  // namespace gelu_test
