#include "anther/kernels/softmax_axis.hpp"

#include <doctest/doctest.h>

#include "tests/kernels/flat_reference.hpp"

namespace softmax_axis_test {

using namespace flat_test;
using namespace anther::kernels;

const SoftmaxAxisDims rows[] = {{1, 1, 1}, {3, 5, 1},   {2, 33, 1},  {3, 100, 1}, {2, 4, 3},
                                {3, 7, 8}, {1, 10, 17}, {2, 3, 300}, {2, 3, 0},   {70, 3, 40}};

struct Reference {
  std::vector<double> y, dx;
};

// With `kept`, what backward makes of it and dy.
template <class T>
Reference by_loops(const std::vector<T>& x, const std::vector<T>& dy, const SoftmaxAxisDims& d,
                   bool log) {
  Reference r{std::vector<double>(x.size()), std::vector<double>(x.size())};
  for (std::int64_t o = 0; o < d.outer; ++o)
    for (std::int64_t i = 0; i < d.inner; ++i) {
      const auto at = [&](std::int64_t k) { return size_of((o * d.extent + k) * d.inner + i); };
      long double greatest = -1e300L, total = 0, dot = 0, sum = 0;
      for (std::int64_t k = 0; k < d.extent; ++k)
        greatest = std::max(greatest, static_cast<long double>(x[at(k)]));
      for (std::int64_t k = 0; k < d.extent; ++k)
        total += std::exp(static_cast<long double>(x[at(k)]) - greatest);
      for (std::int64_t k = 0; k < d.extent; ++k) {
        const long double below = static_cast<long double>(x[at(k)]) - greatest;
        const long double p = std::exp(below) / total;
        r.y[at(k)] = static_cast<double>(log ? below - std::log(total) : p);
        dot += p * static_cast<long double>(dy[at(k)]);
        sum += static_cast<long double>(dy[at(k)]);
      }
      for (std::int64_t k = 0; k < d.extent; ++k) {
        const long double g = static_cast<long double>(dy[at(k)]);
        const long double p = log ? std::exp(static_cast<long double>(r.y[at(k)])) : r.y[at(k)];
        r.dx[at(k)] = static_cast<double>(log ? g - p * sum : p * (g - dot));
      }
    }
  return r;
}

TEST_CASE_TEMPLATE("softmax and log_softmax over an axis agree with plain loops", T, float,
                   double) {
  // Logits of ordinary size, and in the hundreds.
  for (const double deviation : {2.0, 300.0})
    for (const SoftmaxAxisDims& d : rows)
      for (const bool log : {false, true}) {
        CAPTURE(d.extent);
        CAPTURE(d.inner);
        CAPTURE(log);
        const auto x = random_values<T>("x", d.size(), deviation);
        const auto dy = random_values<T>("dy", d.size());
        const Reference expected = by_loops(x, dy, d, log);
        Output<T> y(d.size()), in_place(x);
        const auto forward = log ? log_softmax_forward<T> : softmax_axis_forward<T>;
        const auto backward = log ? log_softmax_backward<T> : softmax_axis_backward<T>;
        forward(y.data(), x.data(), d);
        CHECK(distance(y.values(), expected.y) < tolerance<T>(6));
        forward(in_place.data(), in_place.data(), d);
        CHECK(in_place.values() == y.values());
        check_backward<T>(expected.dx, tolerance<T>(40), [&](T* dx, const T* dx_add) {
          backward(dx, dx_add, dy.data(), y.data(), d);
        });
        Output<T> dx(dy);  // dx may be dy
        backward(dx.data(), nullptr, dx.data(), y.data(), d);
        CHECK(distance(dx.values(), expected.dx) < tolerance<T>(40));
      }
}

TEST_CASE("softmax over an axis with several threads") {
  const SoftmaxAxisDims d{70, 30, 40}, row{900, 100, 1};
  const auto x = random_values<float>("x", 90'000);
  check_threads([&] {
    std::vector<float> y(x.size()), dx(x.size());
    softmax_axis_forward(y.data(), x.data(), d);
    softmax_axis_backward<float>(dx.data(), nullptr, x.data(), y.data(), d);
    log_softmax_forward(y.data(), x.data(), row);
    log_softmax_backward(dx.data(), dx.data(), x.data(), y.data(), row);
    log_softmax_backward(dx.data(), dx.data(), x.data(), y.data(), d);
    y.insert(y.end(), dx.begin(), dx.end());
    return y;
  });
}

}  // namespace softmax_axis_test
