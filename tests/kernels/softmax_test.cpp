#include "anther/kernels/softmax.hpp"

#include <doctest/doctest.h>

#include "tests/kernels/flat_reference.hpp"

namespace softmax_test {

using namespace flat_test;
using anther::kernels::SoftmaxDims;

// Both by plain loops, in double; the gaps between rows keep what they held.
template <class T>
std::vector<double> softmax_by_loops(const std::vector<T>& x, const SoftmaxDims& d) {
  std::vector<double> y(size_of(d.rows * d.y_stride), 0);
  for (std::int64_t r = 0; r < d.rows; ++r) {
    double greatest = -1e300, total = 0;
    for (std::int64_t c = 0; c < d.columns; ++c)
      greatest = std::max(greatest, static_cast<double>(x[size_of(r * d.x_stride + c)]));
    for (std::int64_t c = 0; c < d.columns; ++c) {
      double& power = y[size_of(r * d.y_stride + c)];
      power = std::exp(d.scale * (static_cast<double>(x[size_of(r * d.x_stride + c)]) - greatest));
      total += power;
    }
    for (std::int64_t c = 0; c < d.columns; ++c) y[size_of(r * d.y_stride + c)] /= total;
  }
  return y;
}

template <class T>
std::vector<double> slope_by_loops(const std::vector<T>& dy, const std::vector<T>& y,
                                   const SoftmaxDims& d) {
  std::vector<double> dx(size_of(d.rows * d.x_stride), 0);
  for (std::int64_t r = 0; r < d.rows; ++r) {
    double dot = 0;
    for (std::int64_t c = 0; c < d.columns; ++c) {
      const std::size_t at = size_of(r * d.y_stride + c);
      dot += static_cast<double>(dy[at]) * static_cast<double>(y[at]);
    }
    for (std::int64_t c = 0; c < d.columns; ++c) {
      const std::size_t at = size_of(r * d.y_stride + c);
      dx[size_of(r * d.x_stride + c)] =
          d.scale * static_cast<double>(y[at]) * (static_cast<double>(dy[at]) - dot);
    }
  }
  return dx;
}

constexpr std::int64_t widths[] = {1,  2,  3,  4,  5,  7,  8,   9,   12,  15,
                                   16, 17, 31, 32, 33, 49, 102, 196, 4096};

TEST_CASE_TEMPLATE("softmax agrees with plain loops", T, float, double) {
  for (const std::int64_t columns : widths) {
    CAPTURE(columns);
    const SoftmaxDims d{5, columns, columns, columns, 0.75};
    const auto x = random_values<T>("x", 5 * columns, 3), dy = random_values<T>("dy", 5 * columns);
    Output<T> y(5 * columns), in_place(x);
    anther::kernels::softmax_forward(y.data(), x.data(), d);
    CHECK(distance(y.values(), softmax_by_loops(x, d)) < tolerance<T>(8));
    for (std::int64_t r = 0; r < 5; ++r) {
      long double total = 0;
      for (std::int64_t c = 0; c < columns; ++c)
        total += static_cast<long double>(y[r * columns + c]);
      CHECK(std::fabs(static_cast<double>(total) - 1) < tolerance<T>(8));
    }
    anther::kernels::softmax_forward(in_place.data(), in_place.data(), d);
    CHECK(in_place.values() == y.values());

    const std::vector<T> kept = y.values();
    check_backward<T>(slope_by_loops(dy, kept, d), tolerance<T>(8), [&](T* dx, const T* dx_add) {
      anther::kernels::softmax_backward(dx, dx_add, dy.data(), kept.data(), d);
    });
    Output<T> dx(dy);  // dx may be dy
    anther::kernels::softmax_backward(dx.data(), static_cast<const T*>(nullptr), dx.data(),
                                      kept.data(), d);
    CHECK(distance(dx.values(), slope_by_loops(dy, kept, d)) < tolerance<T>(8));
  }
}

TEST_CASE_TEMPLATE("softmax of rows that lie apart", T, float, double) {
  for (const std::int64_t columns : {3, 8, 20, 49}) {
    CAPTURE(columns);
    const SoftmaxDims d{4, columns, columns + 3, columns + 6, 1};
    const auto x = random_values<T>("x", 4 * d.x_stride);
    const std::vector<double> expected = softmax_by_loops(x, d);
    Output<T> y(std::vector<T>(expected.size(), T(0)));
    anther::kernels::softmax_forward(y.data(), x.data(), d);
    CHECK(distance(y.values(), expected) < tolerance<T>(8));
    const auto dy = random_values<T>("dy", 4 * d.y_stride);
    Output<T> dx(std::vector<T>(x.size(), T(0)));
    anther::kernels::softmax_backward(dx.data(), static_cast<const T*>(nullptr), dy.data(),
                                      y.data(), d);
    CHECK(distance(dx.values(), slope_by_loops(dy, y.values(), d)) < tolerance<T>(8));
  }
}

TEST_CASE_TEMPLATE("softmax of great, infinite and NaN elements", T, float, double) {
  const T infinity = std::numeric_limits<T>::infinity(), nan = std::numeric_limits<T>::quiet_NaN();
  for (const std::int64_t columns : {5, 21, 49}) {
    const SoftmaxDims d{1, columns, columns, columns, 1};
    std::vector<T> x(size_of(columns), T(1e30)), y(x.size());
    anther::kernels::softmax_forward(y.data(), x.data(), d);
    for (const T value : y)
      CHECK(std::fabs(static_cast<double>(value) * static_cast<double>(columns) - 1) <
            tolerance<T>(4));
    for (std::size_t i = 1; i < x.size(); ++i) x[i] = -infinity;
    anther::kernels::softmax_forward(y.data(), x.data(), d);
    CHECK(y[0] == 1);
    for (std::size_t i = 1; i < x.size(); ++i) CHECK(y[i] == 0);
    for (std::size_t at = 0; at < x.size(); ++at) {
      x.assign(x.size(), T(-1e4));
      x[at] = T(1e4);
      anther::kernels::softmax_forward(y.data(), x.data(), d);
      for (std::size_t i = 0; i < x.size(); ++i) CHECK(y[i] == (i == at ? 1 : 0));
      x = random_values<T>("x", columns);
      x[at] = nan;
      anther::kernels::softmax_forward(y.data(), x.data(), d);
      for (const T value : y) CHECK(std::isnan(value));
    }
  }
}

TEST_CASE("softmax's gradient") {
  for (const std::int64_t columns : {3, 10, 21}) {
    const SoftmaxDims d{2, columns, columns, columns, 0.6};
    const auto x = random_values<double>("x", 2 * columns),
               dy = random_values<double>("dy", 2 * columns);
    const auto forward = [&](const std::vector<double>& at) {
      std::vector<double> y(at.size());
      anther::kernels::softmax_forward(y.data(), at.data(), d);
      return y;
    };
    std::vector<double> dx(x.size());
    anther::kernels::softmax_backward(dx.data(), static_cast<const double*>(nullptr), dy.data(),
                                      forward(x).data(), d);
    check_gradient(x, dy, dx, forward);
  }
}

TEST_CASE("softmax with several threads") {
  const SoftmaxDims d{1000, 49, 49, 49, 1};
  const auto x = random_values<float>("x", 49'000), dy = random_values<float>("dy", 49'000);
  check_threads([&] {
    std::vector<float> y(x.size());
    anther::kernels::softmax_forward(y.data(), x.data(), d);
    anther::kernels::softmax_backward(y.data(), x.data(), dy.data(), std::vector<float>(y).data(),
                                      d);
    return y;
  });
}

}  // namespace softmax_test
