#include "anther/kernels/pointwise.hpp"

#include <doctest/doctest.h>

#include "tests/kernels/flat_reference.hpp"

namespace pointwise_test {

using namespace flat_test;
using namespace anther::kernels;

// Every formula is compared with PyTorch's by tests/parity; here, the loop around them.
TEST_CASE_TEMPLATE("an element-wise op of any length", T, float, double) {
  for (const std::int64_t count : counts) {
    CAPTURE(count);
    auto x = random_values<T>("x", count);
    const auto dy = random_values<T>("dy", count);
    if (count > 3) x[3] = T(0);
    std::vector<double> expected, slope;
    for (std::size_t i = 0; i < x.size(); ++i) {
      expected.push_back(x[i] > T(0) ? static_cast<double>(x[i]) : 0);
      slope.push_back(x[i] > T(0) ? static_cast<double>(dy[i]) : 0);
    }
    Output<T> y(count);
    pointwise_forward<T, Pointwise::relu>(y.data(), x.data(), count);
    CHECK(distance(y.values(), expected) == 0);
    check_backward<T>(slope, tolerance<T>(1), [&](T* dx, const T* dx_add) {
      pointwise_backward<T, Pointwise::relu>(dx, dx_add, dy.data(), y.data(), count);
    });
  }
}

// The result of an op for one number.
template <Pointwise op, class T>
T value_of(T x, const PointwiseNumbers& numbers = pointwise_defaults[static_cast<int>(op)]) {
  T y;
  pointwise_forward<T, op>(&y, &x, 1, numbers);
  return y;
}
template <Pointwise op, class T>
T derivative_at(T kept,
                const PointwiseNumbers& numbers = pointwise_defaults[static_cast<int>(op)]) {
  T dx;
  const T dy = 1;
  pointwise_backward<T, op>(&dx, static_cast<const T*>(nullptr), &dy, &kept, 1, numbers);
  return dx;
}

TEST_CASE_TEMPLATE("element-wise ops of what is not finite", T, float, double) {
  const T nan = std::numeric_limits<T>::quiet_NaN(), infinity = std::numeric_limits<T>::infinity();
#define ANTHER_POINTWISE(name, ...) \
  CHECK_MESSAGE(std::isnan(value_of<Pointwise::name>(nan)), #name);
#define ANTHER_POINTWISE_1(name, ...)      \
  if (Pointwise::name != Pointwise::pow) { \
    ANTHER_POINTWISE(name)                 \
  }
#define ANTHER_POINTWISE_2 ANTHER_POINTWISE
#include "anther/kernels/pointwise_table.inl"
  CHECK(value_of<Pointwise::pow>(nan, {2, 0}) != value_of<Pointwise::pow>(nan, {2, 0}));
  CHECK(value_of<Pointwise::pow>(nan, {0, 0}) == T(1));
  CHECK(value_of<Pointwise::exp>(infinity) == infinity);
  CHECK(value_of<Pointwise::exp>(-infinity) == T(0));
  CHECK(value_of<Pointwise::log>(T(0)) == -infinity);
  CHECK(std::isnan(value_of<Pointwise::log>(T(-1))));
  CHECK(value_of<Pointwise::log>(infinity) == infinity);
  CHECK(value_of<Pointwise::sigmoid>(T(-1000)) == T(0));
  CHECK(value_of<Pointwise::sigmoid>(T(1000)) == T(1));
  CHECK(value_of<Pointwise::tanh>(infinity) == T(1));
  CHECK(value_of<Pointwise::tanh>(-infinity) == T(-1));
  CHECK(value_of<Pointwise::softplus>(T(1000)) == T(1000));
  CHECK(value_of<Pointwise::softplus>(T(-1000)) == T(0));
  CHECK(value_of<Pointwise::mish>(T(-1000)) == T(0));
  CHECK(value_of<Pointwise::elu>(T(-1000)) == T(-1));
  CHECK(std::isnan(value_of<Pointwise::pow>(T(-2), {0.3, 0})));
  CHECK(value_of<Pointwise::pow>(T(-2), {3, 0}) == T(-8));
  CHECK(value_of<Pointwise::pow>(T(-2), {-1, 0}) == T(-0.5));
  for (const double exponent : {65.0, 66.0, -65.0, 101.0}) {
    const auto close = [](double value) { return doctest::Approx(value).epsilon(2e-5); };
    CHECK(static_cast<double>(value_of<Pointwise::pow>(T(-1.25), {exponent, 0})) ==
          close(std::pow(-1.25, exponent)));
    CHECK(static_cast<double>(derivative_at<Pointwise::pow>(T(-1.25), {exponent, 0})) ==
          close(exponent * std::pow(-1.25, exponent - 1)));
  }
  CHECK(value_of<Pointwise::pow>(T(-1), {0x1p60, 0}) == T(1));
  for (const double exponent : {65.0, 3.0}) {
    CHECK(std::signbit(value_of<Pointwise::pow>(T(-0.0), {exponent, 0})));
    CHECK(!std::signbit(value_of<Pointwise::pow>(T(0), {exponent, 0})));
    CHECK(value_of<Pointwise::pow>(T(-0.0), {-exponent, 0}) == -infinity);
  }
  for (const double x : {1.0, -1.0, 0.5, 2.0})
    for (const double exponent : {1.0, -1.0})
      CHECK(value_of<Pointwise::pow>(static_cast<T>(x),
                                     {exponent * std::numeric_limits<double>::infinity(), 0}) ==
            static_cast<T>(std::pow(x, exponent * std::numeric_limits<double>::infinity())));
  CHECK(!std::signbit(value_of<Pointwise::abs>(T(0))));
  CHECK(!std::signbit(value_of<Pointwise::abs>(T(-0.0))));
  for (const double size : {1e3, 1e13, 1e30}) {
    CHECK(derivative_at<Pointwise::gelu_tanh>(static_cast<T>(size)) == T(1));
    CHECK(derivative_at<Pointwise::gelu_tanh>(static_cast<T>(-size)) == T(0));
  }
  CHECK(std::isnan(value_of<Pointwise::pow>(T(-2), {64.5, 0})));
}

TEST_CASE_TEMPLATE("derivatives at kinks are PyTorch's", T, float, double) {
  CHECK(derivative_at<Pointwise::abs>(T(0)) == T(0));
  CHECK(derivative_at<Pointwise::relu>(T(0)) == T(0));
  CHECK(derivative_at<Pointwise::relu6>(T(6)) == T(0));
  CHECK(derivative_at<Pointwise::clamp>(T(1), {-1, 1}) == T(1));
  CHECK(derivative_at<Pointwise::clamp>(T(1.5), {-1, 1}) == T(0));
  CHECK(derivative_at<Pointwise::leaky_relu>(T(0)) == T(0.01));
  CHECK(derivative_at<Pointwise::hardswish>(T(3)) == T(1.5));
  CHECK(derivative_at<Pointwise::hardswish>(T(-3.5)) == T(0));
  CHECK(derivative_at<Pointwise::hardsigmoid>(T(1)) == T(0));
  CHECK(derivative_at<Pointwise::pow>(T(0), {0, 0}) == T(0));
}

}  // namespace pointwise_test
