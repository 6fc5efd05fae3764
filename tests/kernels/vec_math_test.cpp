// The elementary functions of Vec.
#include "anther/kernels/vec.hpp"

#include <doctest/doctest.h>

#include "tests/kernels/flat_reference.hpp"

// In the kernels' own namespace, where a test of the machine code expects AVX.
namespace anther::inline v0_1::kernels {

enum class VecFunction { exp, expm1, log, log1p, tanh, logistic, log1p_exp, power };
#define ANTHER_BODY "tests/kernels/vec_math_test.inl"
#include "anther/kernels/for_each_isa.inl"

template <class T>
struct MathResults {
  std::vector<T> power_of_2, scaled_power, root, greater, lesser;
  MathResults(const std::vector<T>& x, const std::vector<T>& y)
      : power_of_2(x.size()),
        scaled_power(x.size()),
        root(x.size()),
        greater(x.size()),
        lesser(x.size()) {
    ANTHER_SELECT(math_test<T>)
    (power_of_2.data(), scaled_power.data(), root.data(), greater.data(), lesser.data(), x.data(),
     y.data(), static_cast<std::int64_t>(x.size()));
  }
};

template <class T>
void function_of(VecFunction function, T* y, const T* x, std::int64_t count) {
  ANTHER_SELECT(function_test<T>)(function, y, x, count);
}

}  // namespace anther::inline v0_1::kernels

namespace vec_math_test {

// From `least` to `greatest`, and close to 0.
template <class T>
std::vector<T> exponents(double least, double greatest) {
  std::vector<T> x;
  for (int i = 0; i < 300'000; ++i) {
    x.push_back(static_cast<T>(least + (greatest - least) * (i + 0.5) / 300'000));
    x.push_back(static_cast<T>((i + 0.5) / 300'000 - 0.5));
  }
  return x;
}

// The greatest error of y = exact(x), in units in the last place.
template <class T>
double worst_error(const std::vector<T>& y, const std::vector<T>& x,
                   long double (*exact)(long double)) {
  double worst = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const long double expected = exact(x[i]);
    const T nearest = static_cast<T>(expected);
    const T unit = std::nextafter(nearest, std::numeric_limits<T>::infinity()) - nearest;
    worst = std::max(
        worst, static_cast<double>(std::fabs(y[i] - expected) / static_cast<long double>(unit)));
  }
  return worst;
}

TEST_CASE_TEMPLATE("sqrt is rounded as std::sqrt's", T, float, double) {
  const std::vector<T> x = exponents<T>(-1000, 1000);
  const anther::kernels::MathResults<T> results(x, x);
  int wrong = 0;
  for (std::size_t i = 0; i < x.size(); ++i) wrong += results.root[i] != std::sqrt(std::fabs(x[i]));
  CHECK(wrong == 0);
}

TEST_CASE_TEMPLATE("exp2's errors, and what it makes of what is not finite", T, float, double) {
  const std::vector<T> x =
      sizeof(T) == 4 ? exponents<T>(-125.9, 127.4) : exponents<T>(-1021.9, 1023.4);
  const bool fused = anther::isa() != anther::Isa::baseline;
  const anther::kernels::MathResults<T> results(x, x);
  CHECK(worst_error<T>(results.power_of_2, x, std::exp2) < (fused ? 1.3 : 1.5));
  // Without fused multiply-add the rounding of 0.72 x comes on top.
  const double of_product = fused ? 0 : sizeof(T) == 4 ? 45 : 359;
  const auto scaled = [](long double at) {
    return std::exp2(static_cast<long double>(T(0.72)) * at);
  };
  CHECK(worst_error<T>(results.scaled_power, x, scaled) < 1.3 + of_product);

  // Below the least power that is not subnormal: towards 0.
  const T least = std::numeric_limits<T>::min(), at_least = std::log2(least);
  const std::vector<T> low = exponents<T>(static_cast<double>(at_least) - 1.5, at_least);
  const anther::kernels::MathResults<T> of_low(low, low);
  for (std::size_t i = 0; i < low.size(); i += 2) {
    const T power = of_low.power_of_2[i];
    CHECK_MESSAGE((power >= T(0) && power <= T(1.1) * least), "2^", low[i]);
    if (low[i] < at_least - T(1.07)) CHECK_MESSAGE(power == T(0), "2^", low[i]);
  }

  const T infinity = std::numeric_limits<T>::infinity(), nan = std::numeric_limits<T>::quiet_NaN();
  const std::vector<T> special = {-infinity, T(-1e30), T(-1500), T(0), T(-0.0), T(1), nan};
  const anther::kernels::MathResults<T> of_special(special, special);
  CHECK(of_special.power_of_2[5] == T(2));
  for (const std::vector<T>& powers : {of_special.power_of_2, of_special.scaled_power}) {
    CHECK(powers[0] == T(0));
    CHECK(powers[1] == T(0));
    CHECK(powers[2] == T(0));
    CHECK(powers[3] == T(1));
    CHECK(powers[4] == T(1));
    CHECK(std::isnan(powers[6]));
  }
}

// The worst error of a function from low to high, and close to 0.
template <class T>
double worst_of(anther::kernels::VecFunction function, double low, double high,
                long double (*exact)(long double)) {
  std::vector<T> x;
  for (const T value : exponents<T>(low, high))
    if (value >= T(low) && value <= T(high)) x.push_back(value);
  std::vector<T> y(x.size());
  anther::kernels::function_of<T>(function, y.data(), x.data(), std::ssize(x));
  return worst_error<T>(y, x, exact);
}

TEST_CASE_TEMPLATE("the errors of the elementary functions", T, float, double) {
  using anther::kernels::VecFunction;
  const double least = sizeof(T) == 4 ? -87 : -708, most = sizeof(T) == 4 ? 88.7 : 709.7;
  CHECK(worst_of<T>(VecFunction::exp, least, most, std::exp) < 1.4);
  CHECK(worst_of<T>(VecFunction::expm1, -60, 0, std::expm1) < 1.2);
  CHECK(worst_of<T>(VecFunction::log, 1e-6, 1000, std::log) < 0.9);
  CHECK(worst_of<T>(VecFunction::log1p, 0, 1, std::log1p) < 1.3);
  CHECK(worst_of<T>(VecFunction::tanh, -12, 12, std::tanh) < 3);
  const auto logistic = [](long double x) { return 1 / (1 + std::exp(-x)); };
  CHECK(worst_of<T>(VecFunction::logistic, least, 50, logistic) < 3);
  const auto log1p_exp = [](long double x) { return std::log1p(std::exp(x)); };
  CHECK(worst_of<T>(VecFunction::log1p_exp, -80, 80, log1p_exp) < 2.4);
  const auto power = [](long double x) { return std::pow(x, static_cast<long double>(T(2.7))); };
  CHECK(worst_of<T>(VecFunction::power, 0.1, 10, power) < 12);
}

TEST_CASE_TEMPLATE("max and min of infinities and NaN", T, float, double) {
  const T infinity = std::numeric_limits<T>::infinity(), nan = std::numeric_limits<T>::quiet_NaN();
  const T most = std::numeric_limits<T>::max();
  const std::vector<T> x = {infinity, -infinity, nan,   -nan,    T(0),
                            -T(0),    most,      -most, T(-1e4), T(1)};
  const std::vector<T> y = {T(1), T(2), T(3), T(4), nan, T(6), T(7), T(8), T(9), nan};
  const anther::kernels::MathResults<T> results(x, y);
  for (std::size_t i = 0; i < x.size(); ++i) {
    CAPTURE(i);
    // Where either is NaN: the second.
    const T greater = x[i] > y[i] ? x[i] : y[i], lesser = x[i] < y[i] ? x[i] : y[i];
    CHECK(std::isnan(results.greater[i]) == std::isnan(greater));
    CHECK(std::isnan(results.lesser[i]) == std::isnan(lesser));
    if (!std::isnan(greater)) CHECK(results.greater[i] == greater);
    if (!std::isnan(lesser)) CHECK(results.lesser[i] == lesser);
  }
}

}  // namespace vec_math_test
