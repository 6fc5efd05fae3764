#include "anther/kernels/batch_norm.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "tests/kernels/norm_reference.hpp"

namespace batch_norm_test {

using namespace norm_test;

template <class T>
struct Outputs {
  std::vector<T> y, mean, rstd, variance, dx, dweight, dbias;
  friend bool operator==(const Outputs&, const Outputs&) = default;
};

// Forward and backward in training; the workspace and the outputs start as NaN, the parameters'
// gradients as 1.
template <class T>
Outputs<T> run(const std::vector<T>& x, const std::vector<T>& dy, const std::vector<T>& weight,
               const std::vector<T>& bias, T eps) {
  const auto channels = static_cast<std::int64_t>(weight.size());
  const std::int64_t rows = static_cast<std::int64_t>(x.size()) / channels;
  const T nan = std::numeric_limits<T>::quiet_NaN();
  const anther::kernels::BatchNormDims dims{rows, channels, static_cast<double>(eps)};
  std::vector<T> workspace(static_cast<std::size_t>(anther::kernels::batch_norm_workspace(dims)),
                           nan);
  std::vector<T> affine(static_cast<std::size_t>(anther::kernels::batch_norm_affine_size(dims)),
                        nan);
  Outputs<T> out;
  out.y.assign(x.size(), nan);
  out.mean = out.rstd = out.variance = std::vector<T>(weight.size(), nan);
  out.dx = dy;
  out.dweight = out.dbias = std::vector<T>(weight.size(), T(1));
  anther::kernels::batch_norm_statistics<T>(
      {affine.data(), out.mean.data(), out.rstd.data(), out.variance.data()}, x.data(),
      weight.data(), bias.data(), workspace.data(), dims);
  anther::kernels::batch_norm_rows<T>(out.y.data(), x.data(), affine.data(), 0, rows, dims);
  workspace.assign(workspace.size(), nan);
  anther::kernels::batch_norm_backward<T>(
      {out.dx.data(), out.dx.data(), out.dweight.data(), out.dbias.data(), dy.data(), x.data(),
       out.mean.data(), out.rstd.data(), weight.data()},
      workspace.data(), dims);
  return out;
}

// The same in evaluation.
template <class T>
Outputs<T> run_inference(const std::vector<T>& x, const std::vector<T>& dy,
                         const std::vector<T>& mean, const std::vector<T>& variance,
                         const std::vector<T>& weight, const std::vector<T>& bias, T eps) {
  const auto channels = static_cast<std::int64_t>(weight.size());
  const std::int64_t rows = static_cast<std::int64_t>(x.size()) / channels;
  const T nan = std::numeric_limits<T>::quiet_NaN();
  const anther::kernels::BatchNormDims dims{rows, channels, static_cast<double>(eps)};
  std::vector<T> workspace(static_cast<std::size_t>(anther::kernels::batch_norm_workspace(dims)),
                           nan);
  std::vector<T> affine(static_cast<std::size_t>(anther::kernels::batch_norm_affine_size(dims)),
                        nan);
  Outputs<T> out;
  out.y = out.dx = std::vector<T>(x.size(), nan);
  out.dweight = out.dbias = std::vector<T>(weight.size(), T(1));
  anther::kernels::batch_norm_inference_affine(affine.data(), mean.data(), variance.data(),
                                               weight.data(), bias.data(), workspace.data(), dims);
  anther::kernels::batch_norm_rows<T>(out.y.data(), x.data(), affine.data(), 0, rows, dims);
  workspace.assign(workspace.size(), nan);
  anther::kernels::batch_norm_inference_backward<T>(
      {out.dx.data(), dy.data(), out.dweight.data(), out.dbias.data(), dy.data(), x.data(),
       mean.data(), nullptr, weight.data()},
      variance.data(), workspace.data(), dims);
  return out;
}

struct Case {
  std::int64_t rows, channels;
};
constexpr Case cases[] = {{2, 1},    {3, 3},    {50, 4},    {7, 13},   {3136, 36}, {9000, 36},
                          {784, 72}, {777, 40}, {100, 288}, {5, 1025}, {4000, 48}, {20000, 1}};

TEST_CASE_TEMPLATE("batch norm agrees with plain loops", T, float, double) {
  for (const Case& dims : cases) {
    const std::int64_t rows = dims.rows, channels = dims.channels;
    CAPTURE(rows);
    CAPTURE(channels);
    const auto x = random_values<T>("x", rows * channels, 0.5, 2);
    const auto dy = random_values<T>("dy", rows * channels);
    const auto weight = random_values<T>("weight", channels, 1, 0.5);
    const auto bias = random_values<T>("bias", channels);
    const double eps = 1e-3;
    const Outputs<T> out = run(x, dy, weight, bias, T(eps));
    NormReference expected = norm_reference(
        exact(x), exact(dy), exact(weight), exact(bias), static_cast<double>(T(eps)), channels,
        channels, [](std::int64_t, std::int64_t channel) { return channel; });
    double largest_rstd = 1;
    for (const long double v : expected.variance)
      largest_rstd = std::max(largest_rstd, 1 / std::sqrt(static_cast<double>(v) + eps));
    const double near = 20 * static_cast<double>(std::numeric_limits<T>::epsilon()) * largest_rstd;
    const double sums = near * std::sqrt(static_cast<double>(rows));
    for (std::size_t i = 0; i < dy.size(); ++i) expected.dx[i] += static_cast<double>(dy[i]);
    for (std::size_t c = 0; c < weight.size(); ++c) expected.dweight[c] += 1;
    for (std::size_t c = 0; c < weight.size(); ++c) expected.dbias[c] += 1;
    CHECK(distance(out.mean, expected.mean) < near);
    CHECK(distance(out.variance, expected.variance) < near);
    CHECK(distance(out.y, expected.y) < near);
    CHECK(distance(out.dx, expected.dx) < near * largest_rstd);
    CHECK(distance(out.dweight, expected.dweight) < sums);
    CHECK(distance(out.dbias, expected.dbias) < sums);
  }
}

TEST_CASE_TEMPLATE("batch norm in evaluation agrees with plain loops", T, float, double) {
  for (const Case& dims : cases) {
    const std::int64_t rows = dims.rows, channels = dims.channels;
    CAPTURE(rows);
    CAPTURE(channels);
    const auto x = random_values<T>("x", rows * channels, 0.5, 2);
    const auto dy = random_values<T>("dy", rows * channels);
    const auto weight = random_values<T>("weight", channels, 1, 0.5);
    const auto bias = random_values<T>("bias", channels);
    const auto mean = random_values<T>("mean", channels);
    auto variance = random_values<T>("variance", channels, 1);
    for (T& v : variance) v *= v;
    const T eps = T(1e-3);
    const Outputs<T> out = run_inference(x, dy, mean, variance, weight, bias, eps);
    std::vector<long double> y, dx, dweight(weight.size(), 1), dbias(weight.size(), 1);
    double largest_rstd = 1;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const std::size_t c = i % weight.size();
      const long double rstd =
          1 / std::sqrt(static_cast<long double>(variance[c]) + static_cast<long double>(eps));
      const long double xhat =
          (static_cast<long double>(x[i]) - static_cast<long double>(mean[c])) * rstd;
      const long double w = static_cast<long double>(weight[c]),
                        g = static_cast<long double>(dy[i]);
      largest_rstd = std::max(largest_rstd, static_cast<double>(rstd));
      y.push_back(xhat * w + static_cast<long double>(bias[c]));
      dx.push_back(g + g * w * rstd);
      dweight[c] += g * xhat;
      dbias[c] += g;
    }
    const double near = 20 * static_cast<double>(std::numeric_limits<T>::epsilon()) * largest_rstd;
    const double sums = near * std::sqrt(static_cast<double>(rows));
    CHECK(distance(out.y, y) < near);
    CHECK(distance(out.dx, dx) < near);
    CHECK(distance(out.dweight, dweight) < sums);
    CHECK(distance(out.dbias, dbias) < sums);
  }
}

TEST_CASE("batch norm: finite differences") {
  const std::int64_t rows = 30, channels = 12;
  const auto x = random_values<double>("x", rows * channels);
  const auto dy = random_values<double>("dy", rows * channels);
  const auto weight = random_values<double>("weight", channels, 1, 0.5);
  const auto bias = random_values<double>("bias", channels);
  const double eps = 1e-2;
  const auto check_gradients = [&](const auto& function) {
    Outputs<double> out = function(x, weight, bias);
    for (std::size_t i = 0; i < dy.size(); ++i) out.dx[i] -= dy[i];
    for (double& value : out.dweight) value -= 1;
    for (double& value : out.dbias) value -= 1;
    CHECK(gradient_distance(x, out.dx, dy, [&](const std::vector<double>& values) {
            return function(values, weight, bias).y;
          }) < 1e-8);
    CHECK(gradient_distance(weight, out.dweight, dy, [&](const std::vector<double>& values) {
            return function(x, values, bias).y;
          }) < 1e-8);
    CHECK(gradient_distance(bias, out.dbias, dy, [&](const std::vector<double>& values) {
            return function(x, weight, values).y;
          }) < 1e-8);
  };
  check_gradients(
      [&](const auto& input, const auto& w, const auto& b) { return run(input, dy, w, b, eps); });
  const auto mean = random_values<double>("mean", channels);
  const std::vector<double> variance(channels, 2.0);
  check_gradients([&](const auto& input, const auto& w, const auto& b) {
    return run_inference(input, dy, mean, variance, w, b, eps);
  });
}

TEST_CASE("batch norm: the variance of values far from 0, and running averages") {
  const std::int64_t rows = 100'000, channels = 4;
  const auto x = random_values<float>("x", rows * channels, 1e4, 1);
  const std::vector<float> ones(channels, 1.f);
  const Outputs<float> out = run(x, x, ones, ones, 1e-5f);
  const NormReference expected =
      norm_reference(exact(x), exact(x), {}, {}, 1e-5, channels, channels,
                     [](std::int64_t, std::int64_t channel) { return channel; });
  CHECK(distance(out.variance, expected.variance, 0) < 2e-6);
  CHECK(distance(out.mean, expected.mean, 0) < 1e-7);

  // torch.nn.BatchNorm1d(1)(torch.tensor([[1.], [2.], [6.]])): running_mean 0.3, running_var 1.6.
  double running_mean = 0, running_var = 1;
  const double mean = 3, variance = 14.0 / 3;
  anther::kernels::batch_norm_update_running(&running_mean, &running_var, &mean, &variance, 0.1,
                                             {.rows = 3, .channels = 1});
  CHECK(running_mean == doctest::Approx(0.3));
  CHECK(running_var == doctest::Approx(1.6));
}

TEST_CASE("batch norm: the same bits for any number of threads") {
  for (const Case& dims : cases) {
    const std::int64_t rows = dims.rows, channels = dims.channels;
    const auto x = random_values<float>("x", rows * channels);
    const auto dy = random_values<float>("dy", rows * channels);
    const auto weight = random_values<float>("weight", channels);
    const auto mean = random_values<float>("mean", channels);
    const std::vector<float> variance(weight.size(), 2.f);
    anther::set_num_threads(1);
    const auto one = run(x, dy, weight, weight, 1e-5f);
    const auto one_inference = run_inference(x, dy, mean, variance, weight, weight, 1e-5f);
    for (const int threads : {2, 3, 4}) {
      anther::set_num_threads(threads);
      CHECK(run(x, dy, weight, weight, 1e-5f) == one);
      const auto more = run_inference(x, dy, mean, variance, weight, weight, 1e-5f);
      CHECK(more.y == one_inference.y);
      CHECK(more.dx == one_inference.dx);
      CHECK(more.dweight == one_inference.dweight);
    }
    anther::set_num_threads(0);
  }
}

}  // namespace batch_norm_test
