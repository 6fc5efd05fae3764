// Ops that pick places of an axis: index_select, by numbers on the tape; pad, which repeats,
// mirrors or fills what is beyond the edges. Backward keeps the numbers.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "anther/autograd/tape.hpp"
#include "anther/kernels/select.hpp"
#include "anther/ops/shape.hpp"

namespace anther::inline v0_1 {

struct SelectAttributes {
  kernels::SelectDims dims;
  const std::int32_t* index;  // null: that of the second input
  double fill;
  int axis;
};

// What pad does beyond the edges of 1 2 3: 0 1 2 3 0, 2 1 2 3 2, 1 1 2 3 3.
enum class PadMode { constant, reflect, replicate };

inline constexpr char index_select_op_name[] = "index_select";
inline constexpr char pad_op_name[] = "pad";
template <class T, bool is_pad>
inline constexpr Op<T> select_op = {
    .name = is_pad ? pad_op_name : index_select_op_name,
    .forward =
        [](Call<T>& call) {
          const auto& a = call.template attributes<SelectAttributes>();
          const std::int32_t* index = a.index ? a.index : call.integers(1);
          for (std::int64_t i = 0; i < a.dims.count && !a.index; ++i)
            detail::check(index[i] >= 0 && index[i] < a.dims.extent,
                          "index_select: expected indices less than ", a.dims.extent, ", got ",
                          index[i]);
          kernels::select_forward<T>(call.output(), call.input(0), index, static_cast<T>(a.fill),
                                     a.dims);
        },
    .backward =
        [](Call<T>& call) {
          const auto& a = call.template attributes<SelectAttributes>();
          const auto dx = call.input_gradient(0);
          if (!dx) return;
          call.start(dx, call.input_shape(0).numel());
          kernels::select_backward<T>(dx.to, call.output_gradient(),
                                      a.index ? a.index : call.integers(1), a.dims);
        },
    .integer_inputs = is_pad ? 0 : 2,
};

inline kernels::SelectDims select_dims(const Shape& x, int axis, std::int64_t count) {
  const AxisParts parts = axis_parts(x, axis);
  return {.outer = parts.outer, .extent = parts.extent, .inner = parts.inner, .count = count};
}

// The places of an axis that the numbers of `indices` (n) name, in their order. Throws if one of
// them is not on the axis.
template <class T>
Variable<T> index_select(const Variable<T>& x, int dim, const Variable<T>& indices) {
  const int axis = checked_axis(x, dim, "index_select");
  x.tape().check(indices.shape().rank() == 1, "index_select: expected indices (n), got ",
                 indices.shape());
  Shape shape = x.shape();
  shape[axis] = indices.shape()[0];
  return x.tape().apply(
      select_op<T, false>,
      SelectAttributes{select_dims(x.shape(), axis, shape[axis]), nullptr, 0, axis}, {x, indices},
      shape);
}

// An axis with `before` places more in front and `after` more behind; negative numbers cut. mode:
// what is there. Throws if nothing is left, or if reflect or replicate have too few places to
// repeat.
template <class T>
Variable<T> pad_axis(const Variable<T>& x, int dim, std::int64_t before, std::int64_t after,
                     PadMode mode = PadMode::constant, double value = 0) {
  const int axis = checked_axis(x, dim, "pad");
  const std::int64_t extent = x.shape()[axis];
  constexpr std::int64_t many = std::numeric_limits<std::int32_t>::max();
  x.tape().check(
      extent <= many && std::max(before, after) <= many && std::min(before, after) >= -many,
      "pad: expected numbers of places of at most ", many, ", got ", before, " before ", extent,
      " and ", after, " after");
  const std::int64_t count = extent + before + after;
  const std::int64_t most = mode == PadMode::reflect ? extent - 1 : count;
  x.tape().check(count >= 0 && count <= many && before <= most && after <= most &&
                     (mode == PadMode::constant || extent > 0),
                 "pad: expected to fit the ", extent, " places of axis ", axis, ", got ", before,
                 " before and ", after, " after");
  if (before == 0 && after == 0) return x;
  Shape shape = x.shape();
  shape[axis] = count;
  x.tape().check(shape.can_be_counted(), "pad: the number of elements of ", shape, " overflows");
  std::vector<std::int32_t> index;
  for (std::int64_t i = 0; i < count; ++i) {
    std::int64_t at = i - before;
    if (at < 0) at = mode == PadMode::constant ? -1 : mode == PadMode::reflect ? -at : 0;
    if (at >= extent)
      at = mode == PadMode::constant  ? -1
           : mode == PadMode::reflect ? 2 * (extent - 1) - at
                                      : extent - 1;
    index.push_back(static_cast<std::int32_t>(at));
  }
  const std::int32_t* kept = x.tape().keep(std::span<const std::int32_t>(index));
  return x.tape().apply(select_op<T, true>,
                        SelectAttributes{select_dims(x.shape(), axis, count), kept, value, axis},
                        {x}, shape);
}

// How many rows and columns a map gets on each side.
struct Padding2d {
  std::int64_t left = 0, right = 0, top = 0, bottom = 0;
};
// The height and the width of a map (N, H, W, C).
template <class T>
Variable<T> pad(const Variable<T>& x, const Padding2d& padding, PadMode mode = PadMode::constant,
                double value = 0) {
  x.tape().check(x.shape().rank() == 4, "pad: expected a map (N, H, W, C), got ", x.shape());
  return pad_axis(pad_axis(x, 1, padding.top, padding.bottom, mode, value), 2, padding.left,
                  padding.right, mode, value);
}

}  // namespace anther::inline v0_1
