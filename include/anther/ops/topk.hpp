// The greatest elements along an axis, and where they are: integers, which have no gradient. Of
// equal elements the first counts, and NaN is the greatest.
#pragma once

#include <cstdint>

#include "anther/autograd/tape.hpp"
#include "anther/kernels/topk.hpp"
#include "anther/ops/shape.hpp"

namespace anther::inline v0_1 {

struct TopkAttributes {
  kernels::TopkDims dims;
  int axis;
  bool keepdim;
};

inline constexpr char argmax_op_name[] = "argmax";
template <class T>
inline constexpr Op<T> argmax_op = {
    .name = argmax_op_name,
    .forward =
        [](Call<T>& call) {
          kernels::topk_forward<T>(nullptr, call.output_integers(), call.input(0), nullptr,
                                   call.template attributes<TopkAttributes>().dims);
        },
    .backward = nullptr,
    .integer_results = 1U,
};

// Where x is greatest along dim; the result holds integers and lacks the axis, or has it with the
// extent 1. Throws if there is no such axis, or nothing along it.
template <class T>
Variable<T> argmax(const Variable<T>& x, int dim = -1, bool keepdim = false) {
  const int axis = checked_axis(x, dim, "argmax");
  const AxisParts parts = axis_parts(x.shape(), axis);
  x.tape().check(parts.extent > 0, "argmax: expected elements along axis ", axis, " of ",
                 x.shape());
  Shape shape;
  for (int i = 0; i < x.shape().rank(); ++i)
    if (i != axis)
      shape.push_back(x.shape()[i]);
    else if (keepdim)
      shape.push_back(1);
  return x.tape().apply(argmax_op<T>,
                        TopkAttributes{{parts.outer, parts.extent, parts.inner}, axis, keepdim},
                        {x}, shape);
}

inline constexpr char topk_op_name[] = "topk";
template <class T>
inline constexpr Op<T> topk_op = {
    .name = topk_op_name,
    .forward =
        [](Call<T>& call) {
          static_assert(sizeof(T) >= sizeof(std::int32_t));
          auto* order =
              reinterpret_cast<std::int32_t*>(call.workspace(call.input_shape(0).numel()));
          kernels::topk_forward<T>(call.output(), call.output_integers(1), call.input(0), order,
                                   call.template attributes<TopkAttributes>().dims);
        },
    .backward =
        [](Call<T>& call) {
          const auto dx = call.input_gradient(0);
          if (!dx) return;
          call.start(dx, call.input_shape(0).numel());
          kernels::topk_backward<T>(dx.to, call.output_gradient(), call.output_integers(1),
                                    call.template attributes<TopkAttributes>().dims);
        },
    .integer_results = 2U,
};

template <class T>
struct TopkResult {
  Variable<T> values, indices;  // indices: integers
};

// The k greatest elements along dim in falling order, or the least in rising order. Throws if there
// is no such axis, or fewer elements along it.
template <class T>
TopkResult<T> topk(const Variable<T>& x, std::int64_t k, int dim = -1, bool largest = true) {
  const int axis = checked_axis(x, dim, "topk");
  const AxisParts parts = axis_parts(x.shape(), axis);
  x.tape().check(k >= 1 && k <= parts.extent, "topk: expected a k of 1 to ", parts.extent, ", got ",
                 k);
  Shape shape = x.shape();
  shape[axis] = k;
  const Shape shapes[] = {shape, shape};
  const TopkAttributes attributes{
      {parts.outer, parts.extent, parts.inner, k, largest ? 1 : 0}, axis, true};
  const auto results = x.tape().apply_many(topk_op<T>, attributes, {&x, 1}, shapes);
  return {results[0], results[1]};
}

}  // namespace anther::inline v0_1
