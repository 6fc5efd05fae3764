#include "anther/autograd/gradient_check.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "anther/ops/arithmetic.hpp"
#include "tests/io/temporary_folder.hpp"

namespace {

using namespace anther;
using namespace anther::kernels;
using V = Variable<double>;

// y = x^3, with a backward that may have a bug.
enum class Bug { none, factor, sign, last_element, overwrites, nan, not_there };
inline constexpr Op<double> cube_op = {
    .name = "cube",
    .forward =
        [](Call<double>& call) {
          for (std::int64_t i = 0; i < call.output_shape().numel(); ++i)
            call.output()[i] = call.input(0)[i] * call.input(0)[i] * call.input(0)[i];
        },
    .backward =
        [](Call<double>& call) {
          const Bug bug = call.attributes<Bug>();
          const auto dx = call.input_gradient(0);
          const std::int64_t size = call.output_shape().numel();
          for (std::int64_t i = 0; dx && i < size; ++i) {
            double g = 3 * call.input(0)[i] * call.input(0)[i] * call.output_gradient()[i];
            if (bug == Bug::factor) g *= 1.001;
            if (bug == Bug::sign) g = -g;
            if (bug == Bug::last_element && i == size - 1) g = 0;
            if (bug == Bug::nan && i == 2) g = std::nan("");
            if (bug == Bug::not_there) g = 0;
            dx.to[i] = (dx.add && bug != Bug::overwrites ? dx.add[i] : 0) + g;
          }
        },
};
V cube(const V& x, Bug bug) {
  return x.tape().apply(cube_op, bug, {x}, x.shape());
}

Tensor<double> numbers(const Shape& shape) {
  Tensor<double> x(shape);
  for (std::int64_t i = 0; i < x.size(); ++i) x[i] = 0.5 + 0.1 * static_cast<double>(i % 7);
  return x;
}

GradientCheckResult check_cube(Bug bug, const GradientCheckOptions& options = {}) {
  return check_gradients(
      {numbers({2, 4}), numbers({2, 4})},
      [&](auto&, const std::vector<V>& v) {
        const V a = cube(v[1], bug);
        // Backward comes to this first, so that the op has a gradient to add to.
        const V b = v[1] * 2;
        return a + b + cube(v[0], Bug::none);
      },
      options);
}

TEST_CASE("gradient check: a right backward passes, a wrong one is reported with its place") {
  CHECK(check_cube(Bug::none).worst < 1e-8);
  for (const Bug bug :
       {Bug::factor, Bug::sign, Bug::last_element, Bug::overwrites, Bug::nan, Bug::not_there}) {
    CAPTURE(static_cast<int>(bug));
    const GradientCheckResult result = check_cube(bug);
    CHECK_FALSE(result.worst < 1e-4);
    CHECK(contains(result.where, "input 1, element "));
  }
  CHECK(contains(check_cube(Bug::last_element).where, "element 7: expected "));
  CHECK(contains(check_cube(Bug::nan).where, "element 2: expected "));
  CHECK(check_cube(Bug::factor).worst == doctest::Approx(0.001).epsilon(0.05));
}

TEST_CASE("gradient check: parameters are checked, and come back as they were") {
  ParameterStore<double> store;
  const Parameter<double> scale{&store, store.add_parameter("scale", {.shape = {2, 4}})};
  std::ranges::fill(store.edit().value(0), 1.25);
  const auto check_parameter = [&](Bug bug) {
    return check_gradients(
        {numbers({2, 4})},
        [&](auto& tape, const std::vector<V>& v) {
          return cube(tape.parameter(scale), bug) + cube(v[0], Bug::none);
        },
        {}, &store);
  };
  CHECK(check_parameter(Bug::none).worst < 1e-8);
  CHECK(contains(check_parameter(Bug::sign).where, "scale, element "));
  for (const double value : store.value(0)) CHECK(value == 1.25);
}

TEST_CASE("gradient check: only some elements of a large tensor") {
  int passes = 0;
  const auto result = check_gradients({numbers({1000})},
                                      [&](auto&, const std::vector<V>& v) {
                                        ++passes;
                                        return cube(v[0], Bug::none);
                                      },
                                      {.elements = 10});
  CHECK(result.worst < 1e-8);
  CHECK(passes == 1 + 2 * 10);
}

}  // namespace
