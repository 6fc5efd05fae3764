#include "anther/kernels/pool2d.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <tuple>
#include <vector>

#include "tests/kernels/depthwise_reference.hpp"

namespace pool2d_test {

using namespace depthwise_test;
using namespace anther::kernels;

// The elements of x in the window of pixel (i, j) of y, in order, and what their sum is divided by.
template <class Dims>
std::vector<std::size_t> window_of(const Dims& d, std::int64_t n, std::int64_t i, std::int64_t j,
                                   std::int64_t c) {
  const Map in{d.batch, d.height, d.width, d.channels};
  std::int64_t dilation_height = 1, dilation_width = 1;
  if constexpr (requires { d.dilation_height; }) {
    dilation_height = d.dilation_height;
    dilation_width = d.dilation_width;
  }
  std::vector<std::size_t> window;
  for (std::int64_t a = 0; a < d.kernel_height; ++a)
    for (std::int64_t b = 0; b < d.kernel_width; ++b) {
      const std::int64_t at = in.at(n, i * d.stride_height + a * dilation_height - d.padding_height,
                                    j * d.stride_width + b * dilation_width - d.padding_width, c);
      if (at >= 0) window.push_back(size_of(at));
    }
  return window;
}

template <class Dims, class Visit>
void for_each_window(const Dims& d, const Visit& visit) {
  const Map out{d.batch, d.out_height, d.out_width, d.channels};
  for (std::int64_t n = 0; n < d.batch; ++n)
    for (std::int64_t i = 0; i < d.out_height; ++i)
      for (std::int64_t j = 0; j < d.out_width; ++j)
        for (std::int64_t c = 0; c < d.channels; ++c)
          visit(size_of(out.at(n, i, j, c)), n, i, j, c);
}

template <class T>
void compare_max(const MaxPool2dDims& d) {
  auto x = random_values<T>("x", d.batch * d.height * d.width * d.channels);
  for (T& value : x) value = std::round(value * 2);  // so that there are equal ones
  const auto dx_add = random_values<T>("add", static_cast<std::int64_t>(x.size()));
  const auto dy = random_values<T>("dy", d.batch * d.out_height * d.out_width * d.channels);
  std::vector<T> y(dy.size(), T(7)), y_expected(dy.size());
  Values spread(x.size());
  for_each_window(d, [&](std::size_t to, auto n, auto i, auto j, auto c) {
    const std::vector<std::size_t> window = window_of(d, n, i, j, c);
    std::size_t best = window.at(0);
    for (const std::size_t at : window)
      if (x[at] > x[best]) best = at;
    y_expected[to] = x[best];
    spread[best] += static_cast<long double>(dy[to]);
  });
  max_pool2d_forward(y.data(), x.data(), d);
  CHECK(y == y_expected);
  for (const Add add : adds) {
    CAPTURE(static_cast<int>(add));
    Values expected = spread;
    if (add != Add::null) depthwise_test::add(expected, dx_add);
    std::vector<T> dx(x.size(), T(7));
    if (add == Add::in_place) dx = dx_add;
    const T* const added = add == Add::null       ? nullptr
                           : add == Add::in_place ? dx.data()
                                                  : dx_add.data();
    max_pool2d_backward(dx.data(), added, dy.data(), x.data(), d);
    CHECK(distance(dx, expected) < (sizeof(T) == 4 ? 1e-6 : 1e-14));
  }
}

template <class T>
void compare_average(const AvgPool2dDims& d, const auto& window_at) {
  const auto x = random_values<T>("x", d.batch * d.height * d.width * d.channels);
  const auto dx_add = random_values<T>("add", static_cast<std::int64_t>(x.size()));
  const auto dy = random_values<T>("dy", d.batch * d.out_height * d.out_width * d.channels);
  std::vector<T> y(dy.size(), T(7));
  Values y_expected(dy.size()), spread(x.size());
  for_each_window(d, [&](std::size_t to, auto n, auto i, auto j, auto c) {
    const auto [window, divisor] = window_at(n, i, j, c);
    for (const std::size_t at : window) {
      y_expected[to] += static_cast<long double>(x[at]) / divisor;
      spread[at] += static_cast<long double>(dy[to]) / divisor;
    }
  });
  avg_pool2d_forward(y.data(), x.data(), d);
  const double bound = sizeof(T) == 4 ? 1e-6 : 1e-14;
  CHECK(distance(y, y_expected) < bound);
  for (const Add add : adds) {
    CAPTURE(static_cast<int>(add));
    Values expected = spread;
    if (add != Add::null) depthwise_test::add(expected, dx_add);
    std::vector<T> dx(x.size(), T(7));
    if (add == Add::in_place) dx = dx_add;
    const T* const added = add == Add::null       ? nullptr
                           : add == Add::in_place ? dx.data()
                                                  : dx_add.data();
    avg_pool2d_backward(dx.data(), added, dy.data(), d);
    CHECK(distance(dx, expected) < bound);
  }
}

TEST_CASE_TEMPLATE("max_pool2d agrees with plain loops", T, float, double) {
  for (const std::int64_t channels : {1, 3, 4, 17, 36, 72}) {
    compare_max<T>({2, 7, 9, channels, 4, 5, 3, 3, 2, 2, 1, 1, 1, 1});
    compare_max<T>({2, 6, 6, channels, 3, 3, 2, 2, 2, 2, 0, 0, 1, 1});
    compare_max<T>({1, 8, 7, channels, 4, 3, 2, 3, 2, 3, 1, 2, 3, 2});  // dilated, to the ceiling
    compare_max<T>({1, 9, 9, channels, 2, 3, 2, 2, 5, 4, 0, 0, 1, 1});  // with gaps
  }
}

TEST_CASE_TEMPLATE("avg_pool2d agrees with plain loops", T, float, double) {
  for (const std::int64_t channels : {1, 3, 4, 17, 36, 72})
    for (const std::int64_t padded : {0, 1}) {
      // The last windows of the second end two pixels after the map, of which one is padding.
      for (const AvgPool2dDims& d :
           {AvgPool2dDims{2, 7, 9, channels, 4, 5, 3, 3, 2, 2, 1, 1, padded, 0},
            AvgPool2dDims{2, 7, 6, channels, 4, 4, 4, 3, 2, 2, 1, 1, padded, 0},
            AvgPool2dDims{1, 9, 9, channels, 2, 3, 2, 2, 5, 4, 0, 0, padded, 0}})
        compare_average<T>(d, [&](auto n, auto i, auto j, auto c) {
          const std::vector<std::size_t> window = window_of(d, n, i, j, c);
          const auto count = [](std::int64_t start, std::int64_t kernel, std::int64_t end) {
            return std::min(start + kernel, end) - start;
          };
          const std::int64_t whole = count(i * d.stride_height - d.padding_height, d.kernel_height,
                                           d.height + d.padding_height) *
                                     count(j * d.stride_width - d.padding_width, d.kernel_width,
                                           d.width + d.padding_width);
          return std::pair(window, static_cast<long double>(
                                       padded ? whole : static_cast<std::int64_t>(window.size())));
        });
    }
}

TEST_CASE_TEMPLATE("adaptive average pooling agrees with plain loops", T, float, double) {
  for (const auto& [height, width, out_height, out_width] :
       {std::tuple{7, 7, 7, 7}, {7, 10, 3, 4}, {6, 8, 2, 4}, {3, 2, 5, 7}, {4, 4, 1, 2}}) {
    const AvgPool2dDims d{2, height, width, 20, out_height, out_width, 0, 0, 0, 0, 0, 0, 0, 1};
    const Map in{d.batch, d.height, d.width, d.channels};
    compare_average<T>(d, [&](auto n, auto i, auto j, auto c) {
      const auto from = [](std::int64_t k, std::int64_t size, std::int64_t out) {
        return static_cast<std::int64_t>(
            std::floor(static_cast<double>(k * size) / static_cast<double>(out)));
      };
      const auto to = [](std::int64_t k, std::int64_t size, std::int64_t out) {
        return static_cast<std::int64_t>(
            std::ceil(static_cast<double>((k + 1) * size) / static_cast<double>(out)));
      };
      std::vector<std::size_t> window;
      for (auto row = from(i, d.height, d.out_height); row < to(i, d.height, d.out_height); ++row)
        for (auto column = from(j, d.width, d.out_width); column < to(j, d.width, d.out_width);
             ++column)
          window.push_back(size_of(in.at(n, row, column, c)));
      return std::pair(window, static_cast<long double>(window.size()));
    });
  }
}

TEST_CASE("max_pool2d hands NaN on, and its gradient to the last NaN of a window") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinite = std::numeric_limits<float>::infinity();
  const MaxPool2dDims d{1, 1, 8, 1, 1, 2, 1, 4, 1, 4, 0, 0, 1, 1};
  const std::vector<float> x = {1, nan, 5, 2, -infinite, -infinite, -infinite, -infinite};
  std::vector<float> y(2), dx(8, 7.0f);
  max_pool2d_forward(y.data(), x.data(), d);
  CHECK(std::isnan(y[0]));
  CHECK(y[1] == -infinite);
  const std::vector<float> dy = {3, 4};
  max_pool2d_backward<float>(dx.data(), nullptr, dy.data(), x.data(), d);
  CHECK(dx == std::vector<float>{0, 3, 0, 0, 4, 0, 0, 0});
  const std::vector<float> two = {nan, 1, nan, 9, 0, 0, 0, 0};
  max_pool2d_backward<float>(dx.data(), nullptr, dy.data(), two.data(), d);
  CHECK(dx == std::vector<float>{0, 0, 3, 0, 4, 0, 0, 0});
}

TEST_CASE("pooling with several threads") {
  for (const int threads : {1, 2, 3, 4}) {
    anther::set_num_threads(threads);
    compare_max<float>({3, 28, 28, 150, 14, 14, 3, 3, 2, 2, 1, 1, 1, 1});
  }
  anther::set_num_threads(0);
}

}  // namespace pool2d_test
