#include "anther/kernels/interpolate.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "tests/kernels/depthwise_reference.hpp"

namespace interpolate_test {

using namespace depthwise_test;
using namespace anther::kernels;

// A place of y is a sum of places of x.
struct Share {
  std::int64_t place;
  long double weight;
};

std::vector<Share> shares(std::int64_t i, std::int64_t size, std::int64_t out, double scale,
                          const InterpolateDims& d) {
  const auto step = scale > 0 ? static_cast<long double>(scale)
                              : static_cast<long double>(size) / static_cast<long double>(out);
  const auto at_i = static_cast<long double>(i);
  if (d.bilinear == 0)
    return {{std::min(static_cast<std::int64_t>(std::floor(at_i * step + 1e-9L)), size - 1), 1}};
  long double at = (at_i + 0.5L) * step - 0.5L;
  if (d.align_corners != 0)
    at =
        out > 1 ? at_i * static_cast<long double>(size - 1) / static_cast<long double>(out - 1) : 0;
  if (size == out) at = at_i;
  at = std::min(std::max(at, 0.0L), static_cast<long double>(size - 1));
  const auto low = static_cast<std::int64_t>(at);
  const long double weight = at - static_cast<long double>(low);
  return {{low, 1 - weight}, {std::min(low + 1, size - 1), weight}};
}

template <class T>
void compare(const InterpolateDims& d) {
  CAPTURE(d.out_height);
  CAPTURE(d.out_width);
  CAPTURE(d.bilinear);
  CAPTURE(d.align_corners);
  const Map in{d.batch, d.height, d.width, d.channels};
  const Map out{d.batch, d.out_height, d.out_width, d.channels};
  const auto x = random_values<T>("x", in.size()), dx_add = random_values<T>("add", in.size());
  const auto dy = random_values<T>("dy", out.size());
  Values y_expected(dy.size()), spread(x.size());
  for (std::int64_t n = 0; n < d.batch; ++n)
    for (std::int64_t i = 0; i < d.out_height; ++i)
      for (std::int64_t j = 0; j < d.out_width; ++j)
        for (const Share& row : shares(i, d.height, d.out_height, d.scale_height, d))
          for (const Share& column : shares(j, d.width, d.out_width, d.scale_width, d))
            for (std::int64_t c = 0; c < d.channels; ++c) {
              const std::size_t from = size_of(in.at(n, row.place, column.place, c));
              const std::size_t to = size_of(out.at(n, i, j, c));
              const long double weight = row.weight * column.weight;
              y_expected[to] += weight * static_cast<long double>(x[from]);
              spread[from] += weight * static_cast<long double>(dy[to]);
            }
  const double bound = sizeof(T) == 4 ? 1e-5 : 1e-13;
  std::vector<T> y(dy.size(), T(7));
  interpolate_forward(y.data(), x.data(), d);
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
    interpolate_backward(dx.data(), added, dy.data(), d);
    CHECK(distance(dx, expected) < bound);
  }
}

TEST_CASE_TEMPLATE("interpolation agrees with plain loops", T, float, double) {
  for (const std::int64_t channels : {1, 3, 17, 72})
    for (const auto& [bilinear, align_corners] : {std::pair{0, 0}, {1, 0}, {1, 1}}) {
      compare<T>({2, 5, 4, channels, 10, 8, bilinear, align_corners});
      compare<T>({1, 5, 7, channels, 5, 3, bilinear, align_corners});
      compare<T>({1, 1, 3, channels, 4, 1, bilinear, align_corners});
      compare<T>({1, 6, 5, channels, 2, 150, bilinear, align_corners});  // more than a run
      if (align_corners == 0) compare<T>({1, 5, 7, channels, 8, 11, bilinear, 0, 1 / 1.7, 1 / 1.6});
    }
}

TEST_CASE("interpolation with several threads") {
  for (const int threads : {1, 2, 3, 4}) {
    anther::set_num_threads(threads);
    compare<float>({3, 28, 20, 150, 56, 33, 1, 0});
  }
  anther::set_num_threads(0);
}

}  // namespace interpolate_test
