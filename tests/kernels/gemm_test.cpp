#include "anther/kernels/gemm.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string_view>
#include <vector>

#include "anther/core/openmp.hpp"
#include "anther/core/random.hpp"

namespace gemm_test {

using anther::kernels::GemmDims;
using anther::kernels::GemmTnDims;

std::size_t size_of(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

// A matrix whose rows are `stride` apart. Between the rows of an input stands NaN, which spoils the
// result of who reads it, and nothing beyond them, so that the address sanitizer sees who reads it.
// Between and around the rows of an output stands a number that must stay.
template <class T>
struct Matrix {
  static constexpr T sentinel = T(-12345);

  std::int64_t rows, columns, stride, margin;
  std::vector<T> values;

  Matrix(std::string_view name, std::int64_t row_count, std::int64_t column_count,
         std::int64_t padding, bool output = false)
      : rows(row_count),
        columns(column_count),
        stride(column_count + padding),
        margin(output ? 64 : 0) {
    values.assign(size_of(rows * stride + 2 * margin),
                  output ? sentinel : std::numeric_limits<T>::quiet_NaN());
    const anther::RandomKey key = anther::RandomKey(3).fold(name);
    for (std::int64_t i = 0; i < rows; ++i)
      for (std::int64_t j = 0; j < columns; ++j)
        (*this)(i, j) =
            static_cast<T>(anther::normal(key, static_cast<std::uint64_t>(i * 9973 + j)));
  }

  T* data() { return values.data() + margin; }
  const T* data() const { return values.data() + margin; }
  T& operator()(std::int64_t i, std::int64_t j) { return values[size_of(margin + i * stride + j)]; }
  T operator()(std::int64_t i, std::int64_t j) const {
    return values[size_of(margin + i * stride + j)];
  }

  void fill(T value) {
    for (std::int64_t i = 0; i < rows; ++i)
      for (std::int64_t j = 0; j < columns; ++j) (*this)(i, j) = value;
  }
  bool outside_untouched() const {
    for (std::int64_t at = 0; at < static_cast<std::int64_t>(values.size()); ++at) {
      const std::int64_t i = at - margin;
      if (i >= 0 && i < rows * stride && i % stride < columns) continue;
      if (values[size_of(at)] != sentinel) return false;
    }
    return true;
  }
  friend bool operator==(const Matrix& a, const Matrix& b) {
    if (a.rows != b.rows || a.columns != b.columns) return false;
    for (std::int64_t i = 0; i < a.rows; ++i)
      for (std::int64_t j = 0; j < a.columns; ++j)
        if (!(a(i, j) == b(i, j))) return false;
    return true;
  }
};

// B (depth, columns) from W (columns, depth), or from its transpose.
template <class T>
std::vector<T> pack(const Matrix<T>& w, bool transposed) {
  constexpr T sentinel = T(-12345);
  const std::int64_t columns = transposed ? w.columns : w.rows;
  const std::int64_t depth = transposed ? w.rows : w.columns;
  const std::int64_t size = anther::kernels::gemm_packed_size<T>(columns, depth);
  std::vector<T> packed(size_of(size + 64), sentinel);
  for (std::int64_t i = 0; i < size; ++i) packed[size_of(i)] = std::numeric_limits<T>::quiet_NaN();
  anther::kernels::gemm_pack<T>(packed.data(), w.data(),
                                {.columns = columns,
                                 .depth = depth,
                                 .column_stride = transposed ? 1 : w.stride,
                                 .depth_stride = transposed ? w.stride : 1});
  REQUIRE(std::count(packed.begin() + size, packed.end(), sentinel) == 64);
  return packed;
}

enum class Add { null, in_place, other };

// Runs and checks one product. Returns "" or what is wrong.
template <class T>
const char* product_fault(std::int64_t rows, std::int64_t columns, std::int64_t depth, Add add,
                          bool bias, bool transposed, std::int64_t padding) {
  const Matrix<T> x("x", rows, depth, padding);
  const Matrix<T> w("w", transposed ? depth : columns, transposed ? columns : depth, padding);
  const Matrix<T> other("add", rows, columns, 2 * padding), b("bias", 1, columns, 0);
  Matrix<T> y("add", rows, columns, padding, true);
  if (add != Add::in_place) y.fill(std::numeric_limits<T>::quiet_NaN());
  const std::vector<T> packed = pack(w, transposed);
  anther::kernels::gemm<T>(y.data(),
                           add == Add::null       ? nullptr
                           : add == Add::in_place ? y.data()
                                                  : other.data(),
                           x.data(), packed.data(), bias ? b.data() : nullptr,
                           {.rows = rows,
                            .columns = columns,
                            .depth = depth,
                            .x_stride = x.stride,
                            .y_stride = y.stride,
                            .add_stride = add == Add::in_place ? y.stride : other.stride});
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < columns; ++j) {
      double sum = 0, size = 0;
      const auto term = [&](double value) {
        sum += value;
        size += std::abs(value);
      };
      for (std::int64_t k = 0; k < depth; ++k)
        term(static_cast<double>(x(i, k)) * static_cast<double>(transposed ? w(k, j) : w(j, k)));
      if (bias) term(static_cast<double>(b(0, j)));
      if (add != Add::null) term(static_cast<double>(other(i, j)));
      const double epsilon = static_cast<double>(std::numeric_limits<T>::epsilon());
      const double bound = epsilon * (2 + std::sqrt(static_cast<double>(depth))) * size;
      if (!(std::abs(static_cast<double>(y(i, j)) - sum) <= bound)) return "a wrong result";
    }
  }
  return y.outside_untouched() ? "" : "a write outside of y";
}

template <class T>
const char* weight_gradient_fault(std::int64_t rows, std::int64_t outs, std::int64_t columns,
                                  std::int64_t padding, bool with_workspace) {
  const Matrix<T> dy("dy", rows, outs, padding), x("x", rows, columns, 2 * padding);
  const Matrix<T> before("dw", outs, columns, 0);
  Matrix<T> dw("dw", outs, columns, padding, true);
  const GemmTnDims dims{.rows = rows,
                        .outs = outs,
                        .columns = columns,
                        .dy_stride = dy.stride,
                        .x_stride = x.stride,
                        .dw_stride = dw.stride};
  Matrix<T> workspace("workspace", 1, anther::kernels::gemm_tn_workspace<T>(dims), 0, true);
  workspace.fill(std::numeric_limits<T>::quiet_NaN());
  if (with_workspace)
    anther::kernels::gemm_tn<T>(dw.data(), dy.data(), x.data(), workspace.data(), dims);
  else
    anther::kernels::gemm_tn<T>(dw.data(), dy.data(), x.data(), dims);
  if (!workspace.outside_untouched()) return "a write outside of the workspace";
  for (std::int64_t o = 0; o < outs; ++o) {
    for (std::int64_t c = 0; c < columns; ++c) {
      double sum = static_cast<double>(before(o, c)), size = std::abs(sum);
      for (std::int64_t r = 0; r < rows; ++r) {
        const double value = static_cast<double>(dy(r, o)) * static_cast<double>(x(r, c));
        sum += value;
        size += std::abs(value);
      }
      const double epsilon = static_cast<double>(std::numeric_limits<T>::epsilon());
      const double bound = epsilon * (2 + std::sqrt(static_cast<double>(rows))) * size;
      if (!(std::abs(static_cast<double>(dw(o, c)) - sum) <= bound)) return "a wrong result";
    }
  }
  return dw.outside_untouched() ? "" : "a write outside of dw";
}

TEST_CASE_TEMPLATE("gemm: every tail of rows, columns and depth", T, float, double) {
  std::int64_t number = 0;
  for (std::int64_t rows = 0; rows <= 20; ++rows) {
    for (std::int64_t columns = 0; columns <= 100; ++columns) {
      for (const std::int64_t depth : {0, 1, 3, 4, 6, 13}) {
        // Coprime to the lengths of the loops: every combination meets every tail.
        const Add add = std::vector{Add::null, Add::in_place, Add::other}[size_of(number % 3)];
        const bool bias = number % 2 == 0, transposed = number / 2 % 2 == 0;
        const std::int64_t padding = number % 5;
        ++number;
        if (rows > 12 && columns > 40 && columns % 7 != rows % 7) continue;
        CAPTURE(rows);
        CAPTURE(columns);
        CAPTURE(depth);
        REQUIRE(std::string_view(
                    product_fault<T>(rows, columns, depth, add, bias, transposed, padding)) == "");
      }
    }
  }
}

TEST_CASE_TEMPLATE("gemm: EdgeViT's shapes, and more rows than a tile", T, float, double) {
  const std::int64_t shapes[][3] = {{49, 288, 36},  {196, 36, 144}, {197, 72, 72},
                                    {100, 144, 72}, {300, 40, 36},  {784, 12, 48},
                                    {49, 102, 384}, {8, 1000, 20},  {1, 102, 288}};
  for (const auto& shape : shapes) {
    const std::int64_t rows = shape[0], columns = shape[1], depth = shape[2];
    for (const Add add : {Add::null, Add::in_place, Add::other}) {
      for (const bool transposed : {false, true}) {
        CAPTURE(rows);
        CAPTURE(columns);
        CHECK(std::string_view(product_fault<T>(rows, columns, depth, add, true, transposed, 3)) ==
              "");
      }
    }
  }
}

TEST_CASE_TEMPLATE("gemm_tn: every tail of rows, outs and columns", T, float, double) {
  std::int64_t number = 0;
  for (std::int64_t outs = 0; outs <= 30; ++outs) {
    for (std::int64_t columns = 0; columns <= 100; ++columns) {
      for (const std::int64_t rows : {0, 1, 2, 5}) {
        const std::int64_t padding = ++number % 7 == 0 ? 200 : number % 3;  // 200: x is copied
        CAPTURE(rows);
        CAPTURE(outs);
        CAPTURE(columns);
        REQUIRE(std::string_view(weight_gradient_fault<T>(rows, outs, columns, padding,
                                                          padding % 2 == 1)) == "");
      }
    }
  }
}

TEST_CASE_TEMPLATE("gemm_tn: EdgeViT's shapes, and more rows than a block", T, float, double) {
  const std::int64_t shapes[][3] = {
      {96, 36, 36},   {97, 36, 144},   {200, 144, 36},  {400, 48, 48},  {300, 40, 72},
      {196, 240, 60}, {49, 288, 576},  {20, 1536, 384}, {500, 3, 27},   {2, 102, 288},
      {193, 48, 3},   {800, 36, 36},   {2400, 12, 9},   {1600, 40, 21}, {1200, 5, 3},
      {130, 192, 9},  {120, 1000, 60}, {4500, 5, 3},    {6200, 12, 50}};
  for (const auto& shape : shapes) {
    const std::int64_t rows = shape[0], outs = shape[1], columns = shape[2];
    for (const std::int64_t padding : {0, 1, 6}) {
      CAPTURE(rows);
      CAPTURE(outs);
      CAPTURE(columns);
      CHECK(std::string_view(
                weight_gradient_fault<T>(rows, outs, columns, padding, padding % 2 == 1)) == "");
    }
  }
}

// The loss is a random weighting g of y = x W^T + bias + x, a linear layer with a residual.
TEST_CASE("gemm and gemm_tn: the gradient of a linear layer, by finite differences") {
  const std::int64_t rows = 9, channels = 20;
  const Matrix<double> g("g", rows, channels, 1), bias("bias", 1, channels, 0);
  Matrix<double> x("x", rows, channels, 2), w("w", channels, channels, 3);
  const auto loss = [&] {
    Matrix<double> y("y", rows, channels, 0);
    const std::vector<double> packed = pack(w, false);
    anther::kernels::gemm<double>(y.data(), x.data(), x.data(), packed.data(), bias.data(),
                                  {rows, channels, channels, x.stride, y.stride, x.stride});
    double sum = 0;
    for (std::int64_t i = 0; i < rows; ++i)
      for (std::int64_t j = 0; j < channels; ++j) sum += g(i, j) * y(i, j);
    return sum;
  };
  Matrix<double> dx("dx", rows, channels, 0), dw("dw", channels, channels, 0);
  dw.fill(0);
  anther::kernels::gemm<double>(dx.data(), g.data(), g.data(), pack(w, true).data(), nullptr,
                                {rows, channels, channels, g.stride, dx.stride, g.stride});
  anther::kernels::gemm_tn<double>(dw.data(), g.data(), x.data(),
                                   {rows, channels, channels, g.stride, x.stride, dw.stride});
  const auto slope = [&](double& value) {
    const double before = value, step = 1e-3;
    value = before + step;
    const double above = loss();
    value = before - step;
    const double below = loss();
    value = before;
    return (above - below) / (2 * step);
  };
  for (std::int64_t i = 0; i < channels; ++i) {
    for (std::int64_t j = 0; j < channels; ++j) {
      if (i < rows) CHECK(dx(i, j) == doctest::Approx(slope(x(i, j))).epsilon(1e-8));
      CHECK(dw(i, j) == doctest::Approx(slope(w(i, j))).epsilon(1e-8));
    }
  }
}

TEST_CASE_TEMPLATE("gemm, gemm_tn: the same bits for any number of threads", T, float, double) {
  const std::int64_t shapes[][3] = {{784, 36, 36},  {49, 288, 144}, {500, 144, 72},
                                    {200, 102, 40}, {3, 1152, 96},  {400, 20, 300},
                                    {97, 576, 144}, {1600, 48, 36}, {230, 1000, 60}};
  for (const auto& shape : shapes) {
    const std::int64_t rows = shape[0], columns = shape[1], depth = shape[2];
    CAPTURE(rows);
    CAPTURE(columns);
    const Matrix<T> x("x", rows, depth, 0), dy("dy", rows, columns, 0), w("w", columns, depth, 0);
    const GemmTnDims dims{rows, columns, depth, dy.stride, x.stride, depth};
    const std::int64_t size = anther::kernels::gemm_tn_workspace<T>(dims);
    const auto run = [&](Matrix<T>& y, Matrix<T>& dw, Matrix<T>& dw2) {
      const std::vector<T> packed = pack(w, false);
      anther::kernels::gemm<T>(y.data(), y.data(), x.data(), packed.data(), nullptr,
                               {rows, columns, depth, x.stride, y.stride, y.stride});
      anther::kernels::gemm_tn<T>(dw.data(), dy.data(), x.data(), dims);
      Matrix<T> workspace("workspace", 1, size, 0, true);
      anther::kernels::gemm_tn<T>(dw2.data(), dy.data(), x.data(), workspace.data(), dims);
    };
    anther::set_num_threads(1);
    const Matrix<T> y("y", rows, columns, 0), dw("dw", columns, depth, 0);
    Matrix<T> y1 = y, dw1 = dw, dw2 = dw;
    run(y1, dw1, dw2);
    for (const int threads : {2, 3, 4, 16}) {
      anther::set_num_threads(threads);
      Matrix<T> y_here = y, dw1_here = dw, dw2_here = dw;
      run(y_here, dw1_here, dw2_here);
      CHECK(y_here == y1);
      CHECK(dw1_here == dw1);
      CHECK(dw2_here == dw2);
    }
    // Within a parallel_for, where everything is serial, and products run beside each other.
    std::vector<Matrix<T>> ys(3, y), dw1s(3, dw), dw2s(3, dw);
    anther::parallel_for(3, 1'000'000, [&](std::int64_t i) {
      run(ys[size_of(i)], dw1s[size_of(i)], dw2s[size_of(i)]);
    });
    for (std::size_t i = 0; i < 3; ++i) {
      CHECK(ys[i] == y1);
      CHECK(dw1s[i] == dw1);
      CHECK(dw2s[i] == dw2);
    }
    anther::set_num_threads(0);
  }
}

TEST_CASE_TEMPLATE("gemm, gemm_tn: NaN and infinity reach every result they take part in", T, float,
                   double) {
  const T infinity = std::numeric_limits<T>::infinity();
  const T nan = std::numeric_limits<T>::quiet_NaN();
  for (const T bad : {infinity, nan}) {
    const std::int64_t rows = 21, columns = 37, depth = 19;
    Matrix<T> x("x", rows, depth, 0), y("y", rows, columns, 0), dy("dy", rows, columns, 0);
    Matrix<T> w("w", columns, depth, 0), dw("dw", columns, depth, 0);
    x(20, 18) = bad;
    for (std::int64_t j = 0; j < columns; ++j) {
      w(j, 18) = 0;  // 0 times infinity is NaN
      dy(20, j) = 0;
    }
    anther::kernels::gemm<T>(y.data(), nullptr, x.data(), pack(w, false).data(), nullptr,
                             {rows, columns, depth, x.stride, y.stride, 0});
    anther::kernels::gemm_tn<T>(dw.data(), dy.data(), x.data(),
                                {rows, columns, depth, dy.stride, x.stride, dw.stride});
    for (std::int64_t j = 0; j < columns; ++j) {
      for (std::int64_t i = 0; i < rows; ++i) CHECK(std::isnan(y(i, j)) == (i == 20));
      for (std::int64_t k = 0; k < depth; ++k) CHECK(std::isnan(dw(j, k)) == (k == 18));
    }
  }
}

}  // namespace gemm_test
