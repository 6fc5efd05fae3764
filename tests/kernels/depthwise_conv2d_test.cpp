#include "anther/kernels/depthwise_conv2d_rows.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "tests/kernels/depthwise_reference.hpp"

namespace depthwise_conv2d_test {

using namespace depthwise_test;
using anther::kernels::DepthwiseConv2dDims;

// An EdgeViT layer: stride 1, and the output as large as the input.
DepthwiseConv2dDims same(std::int64_t batch, std::int64_t height, std::int64_t width,
                         std::int64_t channels, std::int64_t kernel) {
  return {batch, height, width, channels, kernel, kernel, 1, 1, kernel / 2, kernel / 2};
}

template <class T>
struct Outputs {
  std::vector<T> y, dx, dweight, dbias;
  friend bool operator==(const Outputs&, const Outputs&) = default;
};

template <class T>
struct Inputs {
  std::vector<T> x, weight, bias, dy, y_add, dx_add, dweight, dbias;

  explicit Inputs(const DepthwiseConv2dDims& d) {
    const std::int64_t x_size = d.batch * d.height * d.width * d.channels;
    const std::int64_t y_size = d.batch * d.out_height() * d.out_width() * d.channels;
    x = random_values<T>("x", x_size);
    dx_add = random_values<T>("dx_add", x_size);
    dy = random_values<T>("dy", y_size);
    y_add = random_values<T>("y_add", y_size);
    weight = random_values<T>("weight", d.kernel_height * d.kernel_width * d.channels);
    dweight = random_values<T>("dweight", d.kernel_height * d.kernel_width * d.channels);
    bias = random_values<T>("bias", d.channels);
    dbias = random_values<T>("dbias", d.channels);
  }
};

// Forward and backward; the workspace and what is overwritten start as NaN.
template <class T>
Outputs<T> run(const Inputs<T>& in, const DepthwiseConv2dDims& d, Add add, bool bias = true) {
  const T nan = std::numeric_limits<T>::quiet_NaN();
  std::vector<T> workspace(size_of(anther::kernels::depthwise_conv2d_backward_workspace(d)), nan);
  Outputs<T> out{in.y_add, in.dx_add, in.dweight, in.dbias};
  if (add != Add::in_place) {
    out.y.assign(in.dy.size(), nan);
    out.dx.assign(in.x.size(), nan);
  }
  const bool null = add == Add::null, in_place = add == Add::in_place;
  anther::kernels::depthwise_conv2d_forward(out.y.data(),
                                            null       ? nullptr
                                            : in_place ? out.y.data()
                                                       : in.y_add.data(),
                                            in.x.data(), in.weight.data(),
                                            bias ? in.bias.data() : nullptr, d);
  anther::kernels::depthwise_conv2d_backward(out.dx.data(),
                                             null       ? nullptr
                                             : in_place ? out.dx.data()
                                                        : in.dx_add.data(),
                                             out.dweight.data(), out.dbias.data(), in.dy.data(),
                                             in.x.data(), in.weight.data(), workspace.data(), d);
  return out;
}

template <class T>
void compare(const DepthwiseConv2dDims& d, Add add, bool bias = true) {
  CAPTURE(d.batch);
  CAPTURE(d.height);
  CAPTURE(d.width);
  CAPTURE(d.channels);
  CAPTURE(d.kernel_height);
  CAPTURE(d.kernel_width);
  CAPTURE(d.stride_height);
  CAPTURE(d.padding_height);
  CAPTURE(static_cast<int>(add));
  const Inputs<T> in(d);
  const Outputs<T> out = run(in, d, add, bias);
  const Map x{d.batch, d.height, d.width, d.channels};
  const Map y{d.batch, d.out_height(), d.out_width(), d.channels};
  const Window window{d.kernel_height, d.kernel_width,   d.stride_height,
                      d.stride_width,  d.padding_height, d.padding_width};
  Values y_expected(in.dy.size()), dx_expected(in.x.size());
  Values dweight(in.dweight.begin(), in.dweight.end()), dbias(in.dbias.begin(), in.dbias.end());
  for_each_product(y, x, window, [&](std::size_t i, std::size_t j, std::size_t tap) {
    const long double x_here = static_cast<long double>(in.x[j]);
    const long double dy_here = static_cast<long double>(in.dy[i]);
    const long double weight = static_cast<long double>(in.weight[tap]);
    y_expected[i] += x_here * weight;
    dx_expected[j] += dy_here * weight;
    dweight[tap] += dy_here * x_here;
  });
  for (std::size_t i = 0; i < in.dy.size(); ++i) {
    dbias[i % in.bias.size()] += static_cast<long double>(in.dy[i]);
    if (bias) y_expected[i] += static_cast<long double>(in.bias[i % in.bias.size()]);
  }
  if (add != Add::null) {
    depthwise_test::add(y_expected, in.y_add);
    depthwise_test::add(dx_expected, in.dx_add);
  }
  const double unit = static_cast<double>(std::numeric_limits<T>::epsilon());
  CHECK(distance(out.y, y_expected) < 20 * unit);
  CHECK(distance(out.dx, dx_expected) < 20 * unit);
  CHECK(distance(out.dweight, dweight) < 40 * unit);
  CHECK(distance(out.dbias, dbias) < 40 * unit);
}

TEST_CASE_TEMPLATE("depth-wise convolution agrees with plain loops: 3x3 and 5x5", T, float,
                   double) {
  int turn = 0;
  for (const std::int64_t kernel : {3, 5})
    for (const std::int64_t channels : {1, 3, 4, 8, 12, 16, 17, 31, 36, 40, 48, 72})
      for (const auto& [height, width] :
           {std::pair{7, 7}, {1, 1}, {2, 1}, {1, 2}, {3, 4}, {4, 3}, {2, 9}, {14, 14}, {5, 23}}) {
        compare<T>(same(1 + turn % 2, height, width, channels, kernel), adds[turn % 3],
                   turn % 4 != 0);
        ++turn;
      }
}

TEST_CASE_TEMPLATE("depth-wise convolution agrees with plain loops: several tiles", T, float,
                   double) {
  for (const std::int64_t kernel : {3, 5}) {
    compare<T>(same(2, 56, 56, 36, kernel), Add::in_place);
    compare<T>(same(3, 28, 28, 72, kernel), Add::null);
    compare<T>(same(5, 14, 14, 144, kernel), Add::other);
    compare<T>(same(7, 7, 7, 288, kernel), Add::in_place);
    compare<T>(same(1, 3, 130, 20, kernel), Add::in_place);
  }
}

TEST_CASE_TEMPLATE("depth-wise convolution agrees with plain loops: any window", T, float, double) {
  int turn = 0;
  for (const std::int64_t channels : {1, 5, 12, 36, 40})
    for (const DepthwiseConv2dDims& d : {DepthwiseConv2dDims{2, 9, 8, channels, 3, 3, 2, 2, 1, 1},
                                         {1, 8, 9, channels, 2, 2, 2, 2, 0, 0},
                                         {1, 9, 9, channels, 4, 4, 4, 4, 0, 0},
                                         {2, 6, 7, channels, 1, 1, 1, 1, 0, 0},
                                         {1, 7, 6, channels, 7, 7, 1, 1, 3, 3},
                                         {1, 5, 11, channels, 3, 5, 1, 2, 1, 0},
                                         {2, 10, 5, channels, 5, 3, 3, 1, 4, 2},
                                         {1, 6, 6, channels, 3, 3, 1, 1, 0, 0},
                                         {1, 6, 6, channels, 5, 5, 1, 1, 4, 4},
                                         {1, 2, 2, channels, 5, 5, 2, 2, 2, 2}}) {
      compare<T>(d, adds[turn % 3], turn % 4 != 0);
      ++turn;
    }
}

TEST_CASE_TEMPLATE("depth-wise convolution: the added map may be the input", T, float, double) {
  for (const std::int64_t kernel : {3, 5}) {
    const DepthwiseConv2dDims d = same(2, 14, 14, 36, kernel);
    const Inputs<T> in(d);
    Outputs<T> alone = run(in, d, Add::null);
    std::vector<T> y(in.x.size()), dx(in.x.size());
    anther::kernels::depthwise_conv2d_forward(y.data(), in.x.data(), in.x.data(), in.weight.data(),
                                              in.bias.data(), d);
    anther::kernels::depthwise_conv2d_backward<T>(dx.data(), in.dy.data(), nullptr, nullptr,
                                                  in.dy.data(), in.x.data(), in.weight.data(),
                                                  nullptr, d);
    for (std::size_t i = 0; i < y.size(); ++i) {
      alone.y[i] += in.x[i];
      alone.dx[i] += in.dy[i];
    }
    CHECK(y == alone.y);
    CHECK(dx == alone.dx);
  }
}

// The same where maps are there or are computed pixel by pixel, and results are stored or taken.
struct Computed {
  bool x, dy, y, dx;
};
template <class T>
Outputs<T> run_of_rows(const Inputs<T>& in, const DepthwiseConv2dDims& d,
                       const Computed& computed) {
  const T nan = std::numeric_limits<T>::quiet_NaN();
  const auto sized = [&](std::int64_t size) { return std::vector<T>(size_of(size), nan); };
  std::vector<T> forward_workspace =
      sized(anther::kernels::depthwise_conv2d_rows_workspace(d, anther::available_threads()));
  std::vector<T> workspace = sized(anther::kernels::depthwise_conv2d_backward_of_rows_workspace(d));
  Outputs<T> out{std::vector<T>(in.dy.size(), nan), std::vector<T>(in.x.size(), nan), in.dweight,
                 in.dbias};
  const auto copy_of = [&](const std::vector<T>& map) {
    return [&](T* to, std::int64_t first, std::int64_t count) {
      if (count <= 0 || size_of((first + count) * d.channels) > map.size()) throw 1;
      std::copy_n(map.data() + first * d.channels, count * d.channels, to);
    };
  };
  // Results that are taken have `more` added to them.
  const auto taken = [&](std::vector<T>& map, const std::vector<T>* more) {
    return [&, more](const T* rows, std::int64_t first, std::int64_t count) {
      for (std::int64_t i = 0; i < count * d.channels; ++i) {
        const auto at = size_of(first * d.channels + i);
        map[at] = more ? rows[i] + (*more)[at] : rows[i];
      }
    };
  };
  std::vector<char> finished(in.dy.size() / size_of(d.channels), 0);
  anther::kernels::depthwise_conv2d_forward_of_rows<T>(
      {computed.y ? nullptr : out.y.data(), in.y_add.data(), computed.x ? nullptr : in.x.data(),
       in.weight.data(), in.bias.data()},
      copy_of(in.x), taken(out.y, nullptr), forward_workspace.data(), d,
      [&](std::int64_t first, std::int64_t count) {
        for (std::int64_t i = first; i < first + count; ++i) ++finished[size_of(i)];
      });
  CHECK(finished == std::vector<char>(finished.size(), 1));
  anther::kernels::depthwise_conv2d_backward_of_rows<T>(
      {out.dx.data(), in.dx_add.data(), out.dweight.data(), out.dbias.data(),
       computed.dy ? nullptr : in.dy.data(), computed.x ? nullptr : in.x.data(), in.weight.data(),
       computed.dx},
      copy_of(in.x), copy_of(in.dy), taken(out.dx, &in.dx_add), workspace.data(), d);
  return out;
}

TEST_CASE_TEMPLATE("depth-wise convolution: maps that are computed give the bits of stored ones", T,
                   float, double) {
  for (const DepthwiseConv2dDims& d :
       {same(2, 7, 7, 36, 3), same(3, 40, 33, 40, 5), same(2, 3, 500, 64, 3), same(1, 1, 1, 5, 5),
        DepthwiseConv2dDims{2, 112, 60, 48, 3, 3, 2, 2, 1, 1},
        DepthwiseConv2dDims{2, 50, 41, 72, 2, 2, 4, 4, 0, 0},
        DepthwiseConv2dDims{2, 120, 96, 40, 3, 2, 1, 1, 0, 0},
        DepthwiseConv2dDims{3, 30, 40, 96, 7, 7, 3, 1, 2, 3},
        DepthwiseConv2dDims{1, 2, 2, 5, 5, 5, 2, 2, 2, 2},
        DepthwiseConv2dDims{1, 90, 80, 32, 3, 3, 1, 1, 9, 9},
        DepthwiseConv2dDims{1, 2, 3, 8, 1, 1, 1, 1, 4, 4}}) {
    CAPTURE(d.height);
    CAPTURE(d.width);
    const Inputs<T> in(d);
    const Outputs<T> stored = run(in, d, Add::other);
    for (const int threads : {1, 3}) {
      anther::set_num_threads(threads);
      for (const Computed& computed : {Computed{.x = true, .dy = false, .y = false, .dx = false},
                                       {.x = true, .dy = false, .y = false, .dx = true},
                                       {.x = false, .dy = true, .y = true, .dx = false},
                                       {.x = true, .dy = true, .y = true, .dx = true}})
        CHECK(run_of_rows(in, d, computed) == stored);
    }
    anther::set_num_threads(0);
  }
}

TEST_CASE("depth-wise convolution: a gradient that is not wanted") {
  const DepthwiseConv2dDims d = same(2, 7, 7, 36, 5);
  const Inputs<double> in(d);
  const Outputs<double> both = run(in, d, Add::null);
  std::vector<double> workspace(size_of(anther::kernels::depthwise_conv2d_backward_workspace(d)));
  std::vector<double> dx(in.x.size()), dweight = in.dweight, dbias = in.dbias;
  const auto backward = [&](double* to_x, double* to_weight, double* to_bias) {
    anther::kernels::depthwise_conv2d_backward<double>(to_x, nullptr, to_weight, to_bias,
                                                       in.dy.data(), in.x.data(), in.weight.data(),
                                                       workspace.data(), d);
  };
  backward(dx.data(), nullptr, nullptr);
  backward(nullptr, dweight.data(), nullptr);
  backward(nullptr, nullptr, dbias.data());
  backward(nullptr, nullptr, nullptr);
  CHECK(dx == both.dx);
  CHECK(dweight == both.dweight);
  CHECK(dbias == both.dbias);
}

TEST_CASE("depth-wise convolution: finite differences") {
  for (const DepthwiseConv2dDims& d : {same(2, 7, 7, 12, 3), same(1, 6, 9, 9, 5),
                                       DepthwiseConv2dDims{1, 7, 8, 5, 3, 2, 2, 3, 1, 1}}) {
    Inputs<double> in(d);
    Outputs<double> out = run(in, d, Add::null);
    for (std::size_t i = 0; i < in.dweight.size(); ++i) out.dweight[i] -= in.dweight[i];
    for (std::size_t i = 0; i < in.dbias.size(); ++i) out.dbias[i] -= in.dbias[i];
    const auto loss = [&] {
      std::vector<double> y(in.dy.size());
      anther::kernels::depthwise_conv2d_forward<double>(y.data(), nullptr, in.x.data(),
                                                        in.weight.data(), in.bias.data(), d);
      return dot(y, in.dy);
    };
    check_gradient(in.x, out.dx, loss);
    check_gradient(in.weight, out.dweight, loss);
    check_gradient(in.bias, out.dbias, loss);
  }
}

TEST_CASE("depth-wise convolution: the same bits for any number of threads") {
  for (const DepthwiseConv2dDims& d :
       {same(4, 56, 56, 36, 3), same(4, 28, 28, 72, 5), same(16, 7, 7, 288, 5),
        DepthwiseConv2dDims{4, 56, 56, 36, 3, 3, 2, 2, 1, 1}}) {
    const Inputs<float> in(d);
    anther::set_num_threads(1);
    const Outputs<float> one = run(in, d, Add::in_place);
    for (const int threads : {2, 3, 4}) {
      anther::set_num_threads(threads);
      CHECK(run(in, d, Add::in_place) == one);
    }
    anther::set_num_threads(0);
  }
}

}  // namespace depthwise_conv2d_test
