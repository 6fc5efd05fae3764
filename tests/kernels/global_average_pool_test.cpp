#include "anther/kernels/global_average_pool.hpp"

#include <doctest/doctest.h>

#include <limits>
#include <vector>

#include "tests/kernels/depthwise_reference.hpp"

namespace global_average_pool_test {

using namespace depthwise_test;
using anther::kernels::GlobalAveragePoolDims;

template <class T>
void compare(const GlobalAveragePoolDims& d) {
  CAPTURE(d.height);
  CAPTURE(d.width);
  CAPTURE(d.channels);
  const std::int64_t rows = d.height * d.width;
  const Map map{d.batch, d.height, d.width, d.channels};
  const auto x = random_values<T>("x", map.size()), added = random_values<T>("add", map.size());
  const auto dy = random_values<T>("dy", d.batch * d.channels);
  Values y_expected(dy.size()), slope(x.size());
  for (std::int64_t n = 0; n < d.batch; ++n)
    for (std::int64_t row = 0; row < rows; ++row)
      for (std::int64_t c = 0; c < d.channels; ++c) {
        const std::size_t at = size_of((n * rows + row) * d.channels + c);
        const std::size_t out = size_of(n * d.channels + c);
        y_expected[out] += static_cast<long double>(x[at]) / static_cast<long double>(rows);
        slope[at] = static_cast<long double>(dy[out]) / static_cast<long double>(rows);
      }
  const T nan = std::numeric_limits<T>::quiet_NaN();
  const double near = 4 * static_cast<double>(std::numeric_limits<T>::epsilon());
  std::vector<T> y(dy.size(), nan);
  anther::kernels::global_average_pool_forward(y.data(), x.data(), d);
  CHECK(distance(y, y_expected) < near);
  for (const Add add : adds) {
    CAPTURE(static_cast<int>(add));
    Values expected = slope;
    if (add != Add::null) depthwise_test::add(expected, added);
    std::vector<T> dx(x.size(), nan);
    if (add == Add::in_place) dx = added;
    anther::kernels::global_average_pool_backward(dx.data(),
                                                  add == Add::null       ? nullptr
                                                  : add == Add::in_place ? dx.data()
                                                                         : added.data(),
                                                  dy.data(), d);
    CHECK(distance(dx, expected) < near);
  }
}

TEST_CASE_TEMPLATE("the global average agrees with plain loops", T, float, double) {
  for (const std::int64_t channels : {1, 3, 4, 12, 17, 36, 72, 288})
    for (const auto& [height, width] : {std::pair{7, 7}, {1, 1}, {2, 3}, {14, 5}})
      compare<T>({3, height, width, channels});
}

TEST_CASE("the global average with several threads") {
  for (const int threads : {1, 2, 3, 4}) {
    anther::set_num_threads(threads);
    compare<float>({16, 7, 7, 288});
  }
  anther::set_num_threads(0);
}

TEST_CASE("the global average: finite differences") {
  const GlobalAveragePoolDims d{2, 3, 2, 5};
  auto x = random_values<double>("x", 60);
  const auto dy = random_values<double>("dy", 10);
  std::vector<double> dx(x.size());
  anther::kernels::global_average_pool_backward<double>(dx.data(), nullptr, dy.data(), d);
  check_gradient(x, dx, [&] {
    std::vector<double> y(dy.size());
    anther::kernels::global_average_pool_forward(y.data(), x.data(), d);
    return dot(y, dy);
  });
}

}  // namespace global_average_pool_test
