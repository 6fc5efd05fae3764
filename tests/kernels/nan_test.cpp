// NaN goes through every op that compares, as in PyTorch: into the results, wherever in a vector it
// stands and whichever operand it is, and into the gradients.
#include <doctest/doctest.h>

#include "anther/kernels/pointwise.hpp"
#include "anther/kernels/pool2d.hpp"
#include "anther/kernels/reduce.hpp"
#include "tests/kernels/flat_reference.hpp"

namespace nan_test {

using namespace flat_test;
using namespace anther::kernels;

// None of them a multiple of every vector's lanes.
constexpr std::int64_t lengths[] = {1, 3, 5, 9, 16, 17, 31, 33};

template <class T>
constexpr T nan = std::numeric_limits<T>::quiet_NaN();

// Equal, or both NaN.
template <class T>
bool are_same(T a, T b) {
  return a == b || (std::isnan(a) && std::isnan(b));
}

// PyTorch's maximum or minimum of two numbers.
template <Binary op, class T>
T extreme_of(T a, T b) {
  if (std::isnan(a) || std::isnan(b)) return nan<T>;
  return op == Binary::maximum ? std::max(a, b) : std::min(a, b);
}

// Its gradient by the first: none where the other was taken, half where they are equal.
template <Binary op, class T>
T share_of(T a, T b) {
  const bool other = op == Binary::maximum ? a < b : b < a;
  return other ? T(0) : a == b ? T(0.5) : T(1);
}

template <Binary op, class T>
void check_binary(const std::vector<T>& a, const std::vector<T>& b) {
  const auto count = static_cast<std::int64_t>(a.size());
  BroadcastDims d;
  d.add_axis(count, {1, std::ssize(b) == 1 ? 0 : 1, 0});
  Output<T> y(count), da(count), db(count);
  binary_forward<T, op>(y.data(), a.data(), b.data(), d);
  const std::vector<T> dy(a.size(), T(1));
  binary_backward<T, op, 0>(da.data(), nullptr, dy.data(), a.data(), b.data(), d);
  binary_backward<T, op, 1>(db.data(), nullptr, dy.data(), a.data(), b.data(), d);
  bool same = true;
  for (std::int64_t i = 0; i < count; ++i) {
    const T left = a[size_of(i)], right = b[b.size() == 1 ? 0 : size_of(i)];
    same = same && are_same(y[i], extreme_of<op>(left, right)) &&
           da[i] == share_of<op>(left, right) && db[i] == share_of<op>(right, left);
  }
  CHECK(same);
}

TEST_CASE_TEMPLATE("maximum and minimum of NaN in either operand, at any place", T, float, double) {
  for (const std::int64_t count : lengths)
    for (std::int64_t place = 0; place < count; ++place) {
      CAPTURE(count);
      CAPTURE(place);
      const auto a = random_values<T>("a", count), b = random_values<T>("b", count);
      auto a_nan = a, b_nan = b;
      a_nan[size_of(place)] = b_nan[size_of(place)] = nan<T>;
      for (const auto& [left, right] :
           {std::pair(a_nan, b), {a, b_nan}, {a_nan, b_nan}, {a_nan, {T(0)}}, {a, {nan<T>}}}) {
        check_binary<Binary::maximum>(left, right);
        check_binary<Binary::minimum>(left, right);
      }
    }
}

template <Reduction op, class T>
std::vector<T> reduced(const std::vector<T>& x, const ReduceDims& d) {
  std::vector<T> y(size_of(d.results())), workspace(size_of(reduce_workspace(d)));
  reduce<T, op>(y.data(), x.data(), workspace.data(), d);
  return y;
}

TEST_CASE_TEMPLATE("amax and amin of NaN at any place, along rows and columns", T, float, double) {
  for (const std::int64_t count : lengths)
    for (std::int64_t place = 0; place < count; ++place) {
      CAPTURE(count);
      CAPTURE(place);
      auto x = random_values<T>("x", count);
      x[size_of(place)] = nan<T>;
      const ReduceDims row{.extent = count};
      CHECK(std::isnan(reduced<Reduction::max>(x, row)[0]));
      CHECK(std::isnan(reduced<Reduction::min>(x, row)[0]));
      // Two rows of columns, the NaN in the first or in the second.
      for (const bool first : {true, false}) {
        auto rows = random_values<T>("y", count);
        rows.insert(first ? rows.begin() : rows.end(), x.begin(), x.end());
        const ReduceDims two{.extent = 2, .inner = count};
        const auto most = reduced<Reduction::max>(rows, two);
        const auto least = reduced<Reduction::min>(rows, two);
        bool same = true;
        for (std::int64_t i = 0; i < count; ++i) {
          const T a = rows[size_of(i)], b = rows[size_of(count + i)];
          same = same && are_same(most[size_of(i)], extreme_of<Binary::maximum>(a, b)) &&
                 are_same(least[size_of(i)], extreme_of<Binary::minimum>(a, b));
        }
        CHECK(same);
      }
      // The gradient of NaN is NaN.
      const T y = nan<T>, dy = 1;
      std::vector<T> dx(size_of(count));
      reduce_extreme_backward<T>(dx.data(), nullptr, &dy, &y, x.data(), row);
      CHECK(std::ranges::all_of(dx, [](T each) { return std::isnan(each); }));
    }
}

TEST_CASE_TEMPLATE("max_pool2d: a NaN of any channel and place is the window's largest", T, float,
                   double) {
  for (const std::int64_t channels : lengths) {
    const MaxPool2dDims d{.batch = 1,
                          .height = 2,
                          .width = 2,
                          .channels = channels,
                          .out_height = 1,
                          .out_width = 1,
                          .kernel_height = 2,
                          .kernel_width = 2,
                          .stride_height = 2,
                          .stride_width = 2,
                          .padding_height = 0,
                          .padding_width = 0,
                          .dilation_height = 1,
                          .dilation_width = 1};
    for (std::int64_t place = 0; place < 4 * channels; ++place) {
      CAPTURE(channels);
      CAPTURE(place);
      auto x = random_values<T>("x", 4 * channels);
      x[size_of(place)] = nan<T>;
      Output<T> y(channels), dx(4 * channels);
      max_pool2d_forward<T>(y.data(), x.data(), d);
      const std::vector<T> dy(size_of(channels), T(3));
      max_pool2d_backward<T>(dx.data(), nullptr, dy.data(), x.data(), d);
      bool same = true;
      for (std::int64_t c = 0; c < channels; ++c) {
        T most = x[size_of(c)];
        for (std::int64_t i = 1; i < 4; ++i)
          most = extreme_of<Binary::maximum>(most, x[size_of(i * channels + c)]);
        same = same && are_same(y[c], most);
        for (std::int64_t i = 0; i < 4; ++i)
          same = same &&
                 dx[i * channels + c] == (are_same(x[size_of(i * channels + c)], most) ? 3 : 0);
      }
      CHECK(same);
    }
  }
}

// The value, and the derivative at NaN.
template <Pointwise op, class T>
void check_pointwise(T derivative, const PointwiseNumbers& numbers = {}) {
  for (const std::int64_t count : lengths)
    for (std::int64_t place = 0; place < count; ++place) {
      CAPTURE(count);
      CAPTURE(place);
      auto x = random_values<T>("x", count);
      x[size_of(place)] = nan<T>;
      Output<T> y(count), dx(count);
      pointwise_forward<T, op>(y.data(), x.data(), count, numbers);
      const std::vector<T> dy(x.size(), T(1));
      // relu keeps y, clamp keeps x: NaN is where it was in either.
      pointwise_backward<T, op>(dx.data(), nullptr, dy.data(), x.data(), count, numbers);
      for (std::int64_t i = 0; i < count; ++i) CHECK(std::isnan(y[i]) == (i == place));
      CHECK(dx[place] == derivative);
    }
}

TEST_CASE_TEMPLATE("clamp and relu of NaN, at any place", T, float, double) {
  check_pointwise<Pointwise::clamp, T>(0, {-1, 1});
  check_pointwise<Pointwise::clamp, T>(0, {-1, std::numeric_limits<double>::infinity()});
  check_pointwise<Pointwise::relu, T>(1);
}

}  // namespace nan_test
