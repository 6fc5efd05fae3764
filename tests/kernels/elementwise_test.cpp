#include "anther/kernels/elementwise.hpp"

#include <doctest/doctest.h>

#include "tests/kernels/flat_reference.hpp"

namespace elementwise_test {

using namespace flat_test;

template <class T>
std::vector<double> doubles(const std::vector<T>& values) {
  return {values.begin(), values.end()};
}

TEST_CASE_TEMPLATE("add, scale, accumulate and fill", T, float, double) {
  for (const std::int64_t count : counts) {
    CAPTURE(count);
    const auto a = random_values<T>("a", count), b = random_values<T>("b", count);
    std::vector<double> total, scaled;
    for (std::size_t i = 0; i < a.size(); ++i) {
      total.push_back(static_cast<double>(a[i]) + static_cast<double>(b[i]));
      scaled.push_back(-2.5 * static_cast<double>(a[i]));
    }
    Output<T> y(count), in_place(a);
    anther::kernels::add(y.data(), a.data(), b.data(), count);
    CHECK(distance(y.values(), total) < tolerance<T>(1));
    anther::kernels::add(in_place.data(), b.data(), in_place.data(), count);
    CHECK(in_place.values() == y.values());
    check_backward<T>(scaled, tolerance<T>(2), [&](T* out, const T* out_add) {
      anther::kernels::scale(out, out_add, a.data(), T(-2.5), count);
    });
  }
}

TEST_CASE_TEMPLATE("a factor for each sample", T, float, double) {
  for (const std::int64_t size : {1, 3, 12, 36, 49, 20'011}) {
    CAPTURE(size);
    const anther::kernels::SampleDims dims{.samples = 3, .size = size};
    const auto x = random_values<T>("x", 3 * size);
    const std::vector<T> factors = {T(1.25), T(0), T(-2)};
    std::vector<double> expected;
    for (std::size_t i = 0; i < x.size(); ++i)
      expected.push_back(static_cast<double>(x[i]) *
                         static_cast<double>(factors[i / size_of(size)]));
    check_backward<T>(expected, tolerance<T>(2), [&](T* y, const T* y_add) {
      anther::kernels::scale_samples(y, y_add, x.data(), factors.data(), dims);
    });
  }
}

TEST_CASE_TEMPLATE("dropout", T, float, double) {
  const anther::RandomKey key = anther::RandomKey(7).fold("dropout");
  const std::int64_t count = 100'003;
  const auto x = random_values<T>("x", count);
  for (const double p : {0.0, 0.1, 0.5, 0.9, 1.0}) {
    CAPTURE(p);
    Output<T> y(count);
    anther::kernels::dropout<T>(y.data(), nullptr, x.data(), count, p, key);
    std::vector<double> expected;
    std::int64_t kept = 0;
    for (std::int64_t i = 0; i < count; ++i) {
      const auto words = anther::kernels::dropout_words(key, static_cast<std::uint64_t>(i / 4));
      const bool keep = static_cast<double>(words[size_of(i % 4)]) * 0x1p-32 >= p;
      kept += keep;
      expected.push_back(keep ? static_cast<double>(x[size_of(i)]) / (1 - p) : 0);
    }
    CHECK(distance(y.values(), expected) < tolerance<T>(2));
    CHECK(std::fabs(static_cast<double>(kept) / count - (1 - p)) < 0.005);
    check_backward<T>(expected, tolerance<T>(3), [&](T* dx, const T* dx_add) {
      anther::kernels::dropout<T>(dx, dx_add, x.data(), count, p, key);
    });
    // An element's number does not depend on how many there are.
    Output<T> start(1001);
    anther::kernels::dropout<T>(start.data(), nullptr, x.data(), 1001, p, key);
    for (std::int64_t i = 0; i < 1001; ++i) REQUIRE(start[i] == y[i]);
  }
  Output<T> y(count), other(count);
  anther::kernels::dropout<T>(y.data(), nullptr, x.data(), count, 0.5, key);
  anther::kernels::dropout<T>(other.data(), nullptr, x.data(), count, 0.5, key.fold(1));
  CHECK(y.values() != other.values());
}

TEST_CASE_TEMPLATE("column sums", T, float, double) {
  for (const std::int64_t columns : {1, 3, 4, 7, 8, 12, 16, 17, 36, 40, 72, 102, 288})
    for (const std::int64_t rows : {0, 1, 7, 8, 9, 100, 1000}) {
      CAPTURE(columns);
      CAPTURE(rows);
      const anther::kernels::ColumnSumsDims dims{
          .rows = rows, .columns = columns, .stride = columns + 5};
      const auto dy = random_values<T>("dy", rows * dims.stride);
      const auto start = random_values<T>("start", columns);
      std::vector<double> expected;
      Output<T> dbias(start);
      for (std::int64_t c = 0; c < columns; ++c) {
        long double sum = static_cast<long double>(start[size_of(c)]);
        for (std::int64_t r = 0; r < rows; ++r)
          sum += static_cast<long double>(dy[size_of(r * dims.stride + c)]);
        expected.push_back(static_cast<double>(sum));
      }
      Output<T> workspace(anther::kernels::column_sums_workspace(dims));
      anther::kernels::column_sums(dbias.data(), dy.data(), workspace.data(), dims);
      CHECK(distance(dbias.values(), expected) < tolerance<T>(100));
    }
}

TEST_CASE("element-wise operations with several threads") {
  const std::int64_t count = 150'001;
  const auto x = random_values<float>("x", count), y = random_values<float>("y", count);
  check_threads([&] {
    std::vector<float> out(x.size());
    anther::kernels::add(out.data(), x.data(), y.data(), count);
    anther::kernels::scale_samples(out.data(), out.data(), x.data(), y.data(),
                                   {.samples = 7, .size = count / 7});
    anther::kernels::dropout<float>(out.data(), nullptr, out.data(), count, 0.3,
                                    anther::RandomKey(3));
    return out;
  });
  check_threads([&] {
    const anther::kernels::ColumnSumsDims dims{.rows = count / 36, .columns = 36, .stride = 36};
    std::vector<float> dbias(36), workspace(size_of(anther::kernels::column_sums_workspace(dims)));
    anther::kernels::column_sums(dbias.data(), x.data(), workspace.data(), dims);
    return dbias;
  });
}

}  // namespace elementwise_test
