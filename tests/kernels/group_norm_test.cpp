#include "anther/kernels/group_norm.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "tests/kernels/norm_reference.hpp"

namespace group_norm_test {

using namespace norm_test;
using anther::kernels::GroupNormDims;

std::size_t size_of(std::int64_t count) {
  return static_cast<std::size_t>(count);
}

template <class T>
struct Outputs {
  std::vector<T> y, mean, rstd, dx, dweight, dbias;
  friend bool operator==(const Outputs&, const Outputs&) = default;
};

enum class Add { null, in_place, dy, other };

// Forward and backward; the workspace and the outputs start as NaN.
template <class T>
Outputs<T> run(const std::vector<T>& x, const std::vector<T>& dy, const std::vector<T>& weight,
               const std::vector<T>& bias, T eps, const GroupNormDims& sizes, Add add = Add::null) {
  GroupNormDims dims = sizes;
  dims.eps = static_cast<double>(eps);
  const T nan = std::numeric_limits<T>::quiet_NaN();
  std::vector<T> workspace(size_of(anther::kernels::group_norm_workspace(dims)), nan);
  std::vector<T> other = random_values<T>("add", static_cast<std::int64_t>(x.size()));
  Outputs<T> out;
  out.y.assign(x.size(), nan);
  out.mean.assign(size_of(dims.batch * dims.groups), nan);
  out.rstd = out.mean;
  out.dx = add == Add::in_place ? other : std::vector<T>(x.size(), nan);
  out.dweight = random_values<T>("dweight", dims.channels);
  out.dbias = random_values<T>("dbias", dims.channels);
  const T* w = weight.empty() ? nullptr : weight.data();
  const T* b = bias.empty() ? nullptr : bias.data();
  std::vector<T> affine(size_of(anther::kernels::group_norm_affine_size(dims)), nan);
  anther::kernels::group_norm_statistics(affine.data(), out.mean.data(), out.rstd.data(), x.data(),
                                         w, b, workspace.data(), dims);
  anther::kernels::group_norm_rows<T>(out.y.data(), x.data(), affine.data(), 0,
                                      dims.batch * dims.positions, dims);
  workspace.assign(workspace.size(), nan);
  const T* from = add == Add::null       ? nullptr
                  : add == Add::in_place ? out.dx.data()
                  : add == Add::dy       ? dy.data()
                                         : other.data();
  anther::kernels::group_norm_backward<T>(
      {out.dx.data(), from, out.dweight.data(), out.dbias.data(), dy.data(), x.data(),
       out.mean.data(), out.rstd.data(), w},
      workspace.data(), dims);
  return out;
}

template <class T>
void compare(const GroupNormDims& dims, Add add, bool affine) {
  CAPTURE(dims.batch);
  CAPTURE(dims.positions);
  CAPTURE(dims.channels);
  CAPTURE(dims.groups);
  const std::int64_t count = dims.batch * dims.positions * dims.channels;
  const auto x = random_values<T>("x", count, 0.5, 2), dy = random_values<T>("dy", count);
  std::vector<T> weight, bias;
  if (affine) weight = random_values<T>("weight", dims.channels, 1, 0.5);
  if (affine) bias = random_values<T>("bias", dims.channels);
  const T eps = T(1e-3);
  const Outputs<T> out = run(x, dy, weight, bias, eps, dims, add);
  const std::int64_t size = dims.channels / dims.groups;
  NormReference expected = norm_reference(
      exact(x), exact(dy), exact(weight), exact(bias), static_cast<double>(eps), dims.channels,
      dims.batch * dims.groups, [&](std::int64_t row, std::int64_t channel) {
        return row / dims.positions * dims.groups + channel / size;
      });
  std::vector<long double> rstd;
  for (const long double variance : expected.variance)
    rstd.push_back(1 / std::sqrt(variance + static_cast<long double>(eps)));
  const auto added = add == Add::dy ? dy : random_values<T>("add", count);
  if (add != Add::null)
    for (std::size_t i = 0; i < added.size(); ++i) expected.dx[i] += static_cast<double>(added[i]);
  const auto dweight = random_values<T>("dweight", dims.channels);
  const auto dbias = random_values<T>("dbias", dims.channels);
  for (std::size_t c = 0; c < dweight.size(); ++c) {
    expected.dweight[c] += static_cast<double>(dweight[c]);
    expected.dbias[c] += static_cast<double>(dbias[c]);
  }
  // Where a group's values are all alike but for rounding, rstd makes much of the rounding.
  const double unit = static_cast<double>(std::numeric_limits<T>::epsilon());
  double largest_rstd = 1;
  for (const long double r : rstd) largest_rstd = std::max(largest_rstd, static_cast<double>(r));
  const double near = 20 * unit * largest_rstd;
  const double sums = near * std::sqrt(static_cast<double>(dims.batch * dims.positions));
  CHECK(distance(out.mean, expected.mean) < near);
  CHECK(distance(out.rstd, rstd) < near);
  CHECK(distance(out.y, expected.y) < near);
  CHECK(distance(out.dx, expected.dx) < near * largest_rstd);
  CHECK(distance(out.dweight, expected.dweight) < sums);
  CHECK(distance(out.dbias, expected.dbias) < sums);
}

TEST_CASE_TEMPLATE("group norm agrees with plain loops", T, float, double) {
  const std::int64_t channels[] = {1, 2, 3, 4, 5, 8, 12, 13, 16, 36, 40, 48, 72, 96, 144, 240, 288};
  const Add adds[] = {Add::null, Add::in_place, Add::dy, Add::other};
  int turn = 0;
  for (const std::int64_t c : channels)
    for (const std::int64_t positions : {1, 2, 7, 49, 196})
      for (const std::int64_t groups : {1, 2, 4, 12, 288}) {
        const std::int64_t g = groups == 288 ? c : groups;
        if (c % g != 0 || (positions == 1 && c == g)) continue;
        ++turn;
        compare<T>({1 + turn % 3, positions, c, g}, adds[turn % 4], turn % 5 != 0);
      }
}

TEST_CASE_TEMPLATE("group norm: wide rows and several tiles", T, float, double) {
  compare<T>({2, 3136, 36, 4}, Add::other, true);
  compare<T>({1, 2111, 36, 36}, Add::null, true);
  compare<T>({3, 1023, 72, 1}, Add::dy, true);
  compare<T>({1, 300, 384, 384}, Add::in_place, true);
  compare<T>({2, 100, 387, 3}, Add::in_place, true);  // neither folded nor whole vectors
  compare<T>({2, 77, 1030, 515}, Add::null, true);
  compare<T>({1, 9, 33000, 11}, Add::other, true);  // a row is longer than a tile
  compare<T>({9, 1000, 64, 16}, Add::null, true);
}

TEST_CASE("group norm: finite differences") {
  for (const GroupNormDims& dims :
       {GroupNormDims{2, 6, 12, 3}, GroupNormDims{1, 17, 36, 36}, GroupNormDims{3, 4, 5, 1}}) {
    const std::int64_t count = dims.batch * dims.positions * dims.channels;
    const auto x = random_values<double>("x", count), dy = random_values<double>("dy", count);
    const auto weight = random_values<double>("weight", dims.channels, 1, 0.5);
    const auto bias = random_values<double>("bias", dims.channels);
    const double eps = 1e-2;
    Outputs<double> out = run(x, dy, weight, bias, eps, dims);
    const auto dweight = random_values<double>("dweight", dims.channels);
    const auto dbias = random_values<double>("dbias", dims.channels);
    for (std::size_t c = 0; c < dweight.size(); ++c) {
      out.dweight[c] -= dweight[c];
      out.dbias[c] -= dbias[c];
    }
    CHECK(gradient_distance(x, out.dx, dy, [&](const std::vector<double>& values) {
            return run(values, dy, weight, bias, eps, dims).y;
          }) < 1e-8);
    CHECK(gradient_distance(weight, out.dweight, dy, [&](const std::vector<double>& values) {
            return run(x, dy, values, bias, eps, dims).y;
          }) < 1e-8);
    CHECK(gradient_distance(bias, out.dbias, dy, [&](const std::vector<double>& values) {
            return run(x, dy, weight, values, eps, dims).y;
          }) < 1e-8);
  }
}

TEST_CASE("group norm: the variance of values far from 0") {
  // In float 10,000 is a multiple of the spacing 0.001; the reference sees the same rounded values.
  for (const GroupNormDims& dims : {GroupNormDims{2, 3136, 36, 36}, GroupNormDims{2, 3136, 36, 4},
                                    GroupNormDims{1, 49, 288, 1}, GroupNormDims{1, 784, 72, 72}}) {
    const std::int64_t count = dims.batch * dims.positions * dims.channels;
    auto x = random_values<float>("x", count, 1e4, 1);
    // A first row far off: what a single pass shifted by it would not survive.
    for (std::int64_t c = 0; c < dims.channels; ++c) x[size_of(c)] -= 1e4f;
    const auto dy = random_values<float>("dy", count);
    const Outputs<float> out = run<float>(x, dy, {}, {}, 0.f, dims);
    const std::int64_t size = dims.channels / dims.groups;
    const NormReference expected =
        norm_reference(exact(x), exact(dy), {}, {}, 0, dims.channels, dims.batch * dims.groups,
                       [&](std::int64_t row, std::int64_t channel) {
                         return row / dims.positions * dims.groups + channel / size;
                       });
    std::vector<float> variance;
    for (const float r : out.rstd) variance.push_back(1 / (r * r));
    CHECK(distance(variance, expected.variance, 0) < 2e-6);
    CHECK(distance(out.mean, expected.mean, 0) < 3e-7);
  }
}

TEST_CASE("group norm: the same bits for any number of threads") {
  for (const GroupNormDims& dims :
       {GroupNormDims{1, 3136, 36, 4}, GroupNormDims{3, 3000, 48, 48}, GroupNormDims{5, 784, 72, 1},
        GroupNormDims{8, 196, 144, 8}, GroupNormDims{12, 49, 288, 288}}) {
    const std::int64_t count = dims.batch * dims.positions * dims.channels;
    const auto x = random_values<float>("x", count), dy = random_values<float>("dy", count);
    const auto weight = random_values<float>("weight", dims.channels);
    anther::set_num_threads(1);
    const Outputs<float> one = run(x, dy, weight, weight, 1e-5f, dims);
    for (const int threads : {2, 3, 4}) {
      anther::set_num_threads(threads);
      CHECK(run(x, dy, weight, weight, 1e-5f, dims) == one);
    }
    anther::set_num_threads(0);
  }
}

TEST_CASE("group norm: gradients that are not wanted, y in place, NaN and constants") {
  const GroupNormDims dims{2, 50, 36, 4};
  const std::int64_t count = dims.batch * dims.positions * dims.channels;
  auto x = random_values<float>("x", count);
  const auto dy = random_values<float>("dy", count);
  const auto weight = random_values<float>("weight", dims.channels);
  const Outputs<float> all = run(x, dy, weight, {}, 1e-5f, dims);
  std::vector<float> workspace(size_of(anther::kernels::group_norm_workspace(dims)));
  std::vector<float> dx(x.size()), dweight = random_values<float>("dweight", dims.channels);
  std::vector<float> dbias = random_values<float>("dbias", dims.channels), mean = all.mean,
                     rstd = all.rstd;
  const auto backward = [&](float* dx_to, float* dweight_to, float* dbias_to, const float* from) {
    anther::kernels::group_norm_backward<float>({dx_to, nullptr, dweight_to, dbias_to, from,
                                                 x.data(), mean.data(), rstd.data(), weight.data()},
                                                workspace.data(), dims);
  };
  backward(dx.data(), nullptr, nullptr, dy.data());
  CHECK(dx == all.dx);
  backward(nullptr, dweight.data(), nullptr, dy.data());
  CHECK(dweight == all.dweight);
  backward(nullptr, nullptr, dbias.data(), dy.data());
  CHECK(dbias == all.dbias);
  std::vector<float> gradient = dy;
  backward(gradient.data(), nullptr, nullptr, gradient.data());
  CHECK(gradient == all.dx);

  std::vector<float> y = x, affine(size_of(anther::kernels::group_norm_affine_size(dims)));
  const auto forward = [&] {
    anther::kernels::group_norm_statistics<float>(affine.data(), mean.data(), rstd.data(), y.data(),
                                                  weight.data(), nullptr, workspace.data(), dims);
    anther::kernels::group_norm_rows<float>(y.data(), y.data(), affine.data(), 0, 100, dims);
  };
  forward();
  CHECK(y == all.y);

  y = x;
  y[7] = std::numeric_limits<float>::quiet_NaN();
  forward();
  for (std::size_t i = 0; i < 9; ++i) CHECK(std::isnan(y[i]));  // the first group's channels
  CHECK(!std::isnan(y[9]));

  y.assign(y.size(), 0.1f);
  forward();
  for (const float value : y) CHECK(std::abs(value) < 1e-2f);
}

}  // namespace group_norm_test
