#include "anther/kernels/layer_norm.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "tests/kernels/norm_reference.hpp"

namespace layer_norm_test {

using namespace norm_test;

template <class T>
struct Outputs {
  std::vector<T> y, mean, rstd, dx, dweight, dbias;
  friend bool operator==(const Outputs&, const Outputs&) = default;
};

enum class Add { null, in_place, dy, other };

// Forward and backward; the workspace and the outputs start as NaN, the parameters' gradients as 1.
template <class T>
Outputs<T> run(const std::vector<T>& x, const std::vector<T>& dy, const std::vector<T>& weight,
               const std::vector<T>& bias, T eps, std::int64_t channels, Add add = Add::null) {
  const std::int64_t count = static_cast<std::int64_t>(x.size()), rows = count / channels;
  const T nan = std::numeric_limits<T>::quiet_NaN();
  const anther::kernels::LayerNormDims dims{rows, channels, static_cast<double>(eps)};
  std::vector<T> workspace(static_cast<std::size_t>(anther::kernels::layer_norm_workspace(dims)),
                           nan);
  const std::vector<T> other = random_values<T>("add", count);
  Outputs<T> out;
  out.y.assign(x.size(), nan);
  out.mean.assign(static_cast<std::size_t>(2 * rows), nan);
  out.rstd.assign(static_cast<std::size_t>(rows), nan);
  out.dx = add == Add::in_place ? other : std::vector<T>(x.size(), nan);
  out.dweight = out.dbias = std::vector<T>(static_cast<std::size_t>(channels), T(1));
  const T* w = weight.empty() ? nullptr : weight.data();
  const T* b = bias.empty() ? nullptr : bias.data();
  anther::kernels::layer_norm_forward(out.y.data(), out.mean.data(), out.rstd.data(), x.data(), w,
                                      b, dims);
  const T* from = add == Add::null       ? nullptr
                  : add == Add::in_place ? out.dx.data()
                  : add == Add::dy       ? dy.data()
                                         : other.data();
  anther::kernels::layer_norm_backward<T>(
      {out.dx.data(), from, out.dweight.data(), out.dbias.data(), dy.data(), x.data(),
       out.mean.data(), out.rstd.data(), w},
      workspace.data(), dims);
  return out;
}

// The means, from the numbers nearest to them and what is left.
template <class T>
std::vector<double> means(const std::vector<T>& pairs) {
  std::vector<double> all;
  for (std::size_t i = 0; i < pairs.size(); i += 2)
    all.push_back(static_cast<double>(pairs[i]) + static_cast<double>(pairs[i + 1]));
  return all;
}

template <class T>
void compare(std::int64_t rows, std::int64_t channels, Add add, bool affine) {
  CAPTURE(rows);
  CAPTURE(channels);
  const auto x = random_values<T>("x", rows * channels, 0.5, 2);
  const auto dy = random_values<T>("dy", rows * channels);
  std::vector<T> weight, bias;
  if (affine) weight = random_values<T>("weight", channels, 1, 0.5);
  if (affine) bias = random_values<T>("bias", channels);
  const double eps = 1e-3;
  const Outputs<T> out = run(x, dy, weight, bias, T(eps), channels, add);
  NormReference expected =
      norm_reference(exact(x), exact(dy), exact(weight), exact(bias), static_cast<double>(T(eps)),
                     channels, rows, [](std::int64_t row, std::int64_t) { return row; });
  const auto added = add == Add::dy ? dy : random_values<T>("add", rows * channels);
  if (add != Add::null)
    for (std::size_t i = 0; i < added.size(); ++i)
      expected.dx[i] += static_cast<long double>(added[i]);
  for (long double& value : expected.dweight) value += 1;
  for (long double& value : expected.dbias) value += 1;
  std::vector<long double> rstd;
  double largest_rstd = 1;
  for (const long double variance : expected.variance) {
    rstd.push_back(1 / std::sqrt(variance + static_cast<long double>(T(eps))));
    largest_rstd = std::max(largest_rstd, static_cast<double>(rstd.back()));
  }
  const double near = (20 + static_cast<double>(channels) / 100) *
                      static_cast<double>(std::numeric_limits<T>::epsilon()) * largest_rstd;
  const double sums = near * std::sqrt(static_cast<double>(rows));
  CHECK(distance(means(out.mean), expected.mean) < near);
  CHECK(distance(out.rstd, rstd) < near);
  CHECK(distance(out.y, expected.y) < near);
  CHECK(distance(out.dx, expected.dx) < near * largest_rstd);
  CHECK(distance(out.dweight, expected.dweight) < sums);
  CHECK(distance(out.dbias, expected.dbias) < sums);
}

TEST_CASE_TEMPLATE("layer norm agrees with plain loops", T, float, double) {
  const Add adds[] = {Add::null, Add::in_place, Add::dy, Add::other};
  int turn = 0;
  for (const std::int64_t channels :
       {1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 31, 36, 40, 48, 72, 96, 144, 240, 288, 384, 3001})
    for (const std::int64_t rows : {1, 2, 3, 7, 8, 16, 35, 61}) {
      ++turn;
      compare<T>(rows, channels, adds[turn % 4], turn % 5 != 0);
    }
  compare<T>(3136, 36, Add::other, true);
  compare<T>(20000, 1, Add::null, true);
}

TEST_CASE("layer norm: finite differences") {
  for (const std::int64_t channels : {3, 12, 36}) {
    const auto x = random_values<double>("x", 7 * channels);
    const auto dy = random_values<double>("dy", 7 * channels);
    const auto weight = random_values<double>("weight", channels, 1, 0.5);
    const auto bias = random_values<double>("bias", channels);
    const double eps = 1e-1;
    Outputs<double> out = run(x, dy, weight, bias, eps, channels);
    for (double& value : out.dweight) value -= 1;
    for (double& value : out.dbias) value -= 1;
    CHECK(gradient_distance(x, out.dx, dy, [&](const std::vector<double>& values) {
            return run(values, dy, weight, bias, eps, channels).y;
          }) < 1e-8);
    CHECK(gradient_distance(weight, out.dweight, dy, [&](const std::vector<double>& values) {
            return run(x, dy, values, bias, eps, channels).y;
          }) < 1e-8);
    CHECK(gradient_distance(bias, out.dbias, dy, [&](const std::vector<double>& values) {
            return run(x, dy, weight, values, eps, channels).y;
          }) < 1e-8);
  }
}

TEST_CASE("layer norm: the variance of values far from 0") {
  for (const std::int64_t channels : {36, 72, 384, 3001}) {
    const auto x = random_values<float>("x", 19 * channels, 1e4, 1);
    const Outputs<float> out = run<float>(x, x, {}, {}, 0.f, channels);
    const NormReference expected =
        norm_reference(exact(x), exact(x), {}, {}, 0, channels, 19,
                       [](std::int64_t row, std::int64_t) { return row; });
    std::vector<double> variance;
    for (const float r : out.rstd) variance.push_back(1 / (static_cast<double>(r) * r));
    CHECK(distance(variance, expected.variance, 0) < 1e-4);
    CHECK(distance(means(out.mean), expected.mean, 0) < 1e-6);
  }
}

// Mean 100 and deviation 0.01: what a float's mean alone would get wrong by 4e-4, and the gradients
// by 2e-3.
TEST_CASE("layer norm: y and the gradients of values far from 0") {
  for (const std::int64_t channels : {5, 36, 72, 144, 384, 3001}) {
    CAPTURE(channels);
    const auto x = random_values<float>("x", 37 * channels, 100, 0.01);
    const auto dy = random_values<float>("dy", 37 * channels);
    const auto weight = random_values<float>("weight", channels);
    const Outputs<float> out = run<float>(x, dy, weight, weight, 1e-5f, channels);
    const NormReference expected =
        norm_reference(exact(x), exact(dy), exact(weight), exact(weight), 1e-5f, channels, 37,
                       [](std::int64_t row, std::int64_t) { return row; });
    CHECK(distance(out.y, expected.y) < 3e-6);
    CHECK(distance(out.dx, expected.dx) < 2e-4);  // up to 700
    std::vector<float> dweight = out.dweight;
    for (float& value : dweight) value -= 1;
    CHECK(distance(dweight, expected.dweight) < 1e-5);
  }
  // A constant row has no deviation: y is the bias.
  const std::vector<float> x(72 * 17, 100.1f), bias = random_values<float>("bias", 72);
  const Outputs<float> out = run<float>(x, x, {}, bias, 1e-5f, 72);
  for (std::size_t i = 0; i < x.size(); ++i) CHECK(out.y[i] == bias[i % 72]);
}

TEST_CASE("layer norm: the same bits for any number of threads") {
  for (const std::int64_t channels : {36, 288, 3001}) {
    const std::int64_t rows = 200'000 / channels;
    const auto x = random_values<float>("x", rows * channels);
    const auto dy = random_values<float>("dy", rows * channels);
    const auto weight = random_values<float>("weight", channels);
    anther::set_num_threads(1);
    const auto one = run(x, dy, weight, weight, 1e-5f, channels);
    for (const int threads : {2, 3, 4}) {
      anther::set_num_threads(threads);
      CHECK(run(x, dy, weight, weight, 1e-5f, channels) == one);
    }
    anther::set_num_threads(0);
  }
}

TEST_CASE("layer norm: gradients that are not wanted, in place, NaN") {
  const std::int64_t rows = 37, channels = 36;
  auto x = random_values<float>("x", rows * channels);
  const auto dy = random_values<float>("dy", rows * channels);
  const auto weight = random_values<float>("weight", channels);
  const Outputs<float> all = run(x, dy, weight, {}, 1e-5f, channels);
  const anther::kernels::LayerNormDims dims{rows, channels, 1e-5};
  std::vector<float> workspace(
      static_cast<std::size_t>(anther::kernels::layer_norm_workspace(dims)));
  std::vector<float> dx(x.size()), ones(static_cast<std::size_t>(channels), 1.f);
  const auto backward = [&](float* dx_to, float* dweight, float* dbias, const float* from) {
    anther::kernels::layer_norm_backward<float>({dx_to, nullptr, dweight, dbias, from, x.data(),
                                                 all.mean.data(), all.rstd.data(), weight.data()},
                                                workspace.data(), dims);
  };
  backward(dx.data(), nullptr, nullptr, dy.data());
  CHECK(dx == all.dx);
  auto dweight = ones, dbias = ones, gradient = dy;
  backward(nullptr, dweight.data(), nullptr, dy.data());
  CHECK(dweight == all.dweight);
  backward(nullptr, nullptr, dbias.data(), dy.data());
  CHECK(dbias == all.dbias);
  backward(gradient.data(), nullptr, nullptr, gradient.data());
  CHECK(gradient == all.dx);

  std::vector<float> y = x, mean = all.mean, rstd = all.rstd;
  const auto forward = [&] {
    anther::kernels::layer_norm_forward<float>(y.data(), mean.data(), rstd.data(), y.data(),
                                               weight.data(), nullptr, dims);
  };
  forward();
  CHECK(y == all.y);
  y = x;
  y[7] = std::numeric_limits<float>::quiet_NaN();
  forward();
  for (std::size_t i = 0; i < 36; ++i) CHECK(std::isnan(y[i]));
  CHECK(!std::isnan(y[36]));
}

}  // namespace layer_norm_test
