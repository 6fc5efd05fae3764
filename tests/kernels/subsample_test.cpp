#include "anther/kernels/subsample.hpp"

#include <doctest/doctest.h>

#include <vector>

#include "tests/kernels/depthwise_reference.hpp"

namespace subsample_test {

using namespace depthwise_test;
using anther::kernels::SubsampleDims;

template <class T>
void compare(const SubsampleDims& d) {
  CAPTURE(d.batch);
  CAPTURE(d.height);
  CAPTURE(d.width);
  CAPTURE(d.channels);
  CAPTURE(d.stride);
  const Map large{d.batch, d.height, d.width, d.channels};
  const Map small{d.batch, d.out_height(), d.out_width(), d.channels};
  const auto x = random_values<T>("x", large.size()), added = random_values<T>("add", large.size());
  const auto dy = random_values<T>("dy", small.size());
  std::vector<T> y(dy.size(), T(7)), y_expected(dy.size()), spread(x.size());
  const Window window{1, 1, d.stride, d.stride, 0, 0};
  for_each_product(small, large, window, [&](std::size_t i, std::size_t j, std::size_t) {
    y_expected[i] = x[j];
    spread[j] = dy[i];
  });
  anther::kernels::subsample_forward(y.data(), x.data(), d);
  CHECK(y == y_expected);
  for (const Add add : adds) {
    CAPTURE(static_cast<int>(add));
    std::vector<T> expected = spread;
    if (add != Add::null)
      for (std::size_t i = 0; i < expected.size(); ++i) expected[i] += added[i];
    std::vector<T> dx(x.size(), T(7));
    if (add == Add::in_place) dx = added;
    anther::kernels::subsample_backward(dx.data(),
                                        add == Add::null       ? nullptr
                                        : add == Add::in_place ? dx.data()
                                                               : added.data(),
                                        dy.data(), d);
    CHECK(dx == expected);
  }
}

TEST_CASE_TEMPLATE("subsampling agrees with plain loops", T, float, double) {
  for (const std::int64_t channels : {1, 3, 4, 12, 17, 36, 72})
    for (const std::int64_t stride : {1, 2, 3, 4})
      for (const auto& [height, width] : {std::pair{8, 8}, {7, 9}, {1, 2}, {2, 1}})
        compare<T>({2, height, width, channels, stride});
}

TEST_CASE("subsampling with several threads") {
  for (const int threads : {1, 2, 3, 4}) {
    anther::set_num_threads(threads);
    compare<float>({5, 56, 56, 36, 4});
  }
  anther::set_num_threads(0);
}

}  // namespace subsample_test
