// Element-wise ops of one value, with PyTorch's names: activations (relu, silu, hardswish, ...),
// clamp, exp, pow and others. All come from the rows of kernels/pointwise_table.inl, where their
// formulas are. Backward keeps x or y. gelu is in ops/activation.hpp.
#pragma once

#include "anther/autograd/tape.hpp"
#include "anther/kernels/pointwise.hpp"

namespace anther::inline v0_1 {

// For each row: the name of the op, by which exporters find it.
#define ANTHER_POINTWISE(name, ...) inline constexpr char name##_op_name[] = #name;
#define ANTHER_POINTWISE_1 ANTHER_POINTWISE
#define ANTHER_POINTWISE_2 ANTHER_POINTWISE
#include "anther/kernels/pointwise_table.inl"

#define ANTHER_POINTWISE(name, ...) name##_op_name,
#define ANTHER_POINTWISE_1 ANTHER_POINTWISE
#define ANTHER_POINTWISE_2 ANTHER_POINTWISE
inline constexpr const char* pointwise_op_names[] = {
#include "anther/kernels/pointwise_table.inl"
};

template <class T, kernels::Pointwise op>
inline constexpr Op<T> pointwise_op = {
    .name = pointwise_op_names[static_cast<int>(op)],
    .forward =
        [](Call<T>& call) {
          kernels::pointwise_forward<T, op>(call.output(), call.input(0),
                                            call.output_shape().numel(),
                                            call.template attributes<kernels::PointwiseNumbers>());
        },
    .backward =
        [](Call<T>& call) {
          constexpr bool keeps_result = kernels::pointwise_keeps_result[static_cast<int>(op)];
          if (const auto dx = call.input_gradient(0))
            kernels::pointwise_backward<T, op>(
                dx.to, dx.add, call.output_gradient(), keeps_result ? call.output() : call.input(0),
                call.output_shape().numel(), call.template attributes<kernels::PointwiseNumbers>());
        },
};

// The op of a row of the table, with the numbers that its formula has.
template <kernels::Pointwise op, class T>
Variable<T> pointwise(const Variable<T>& x, const kernels::PointwiseNumbers& numbers = {}) {
  return x.tape().apply(pointwise_op<T, op>, numbers, {x}, x.shape());
}

// For each row: the function, as in `Variable<T> leaky_relu(x, double negative_slope = 0.01)`.
#define ANTHER_POINTWISE(name, ...)                \
  template <class T>                               \
  Variable<T> name(const Variable<T>& x) {         \
    return pointwise<kernels::Pointwise::name>(x); \
  }
#define ANTHER_POINTWISE_1(name, a, a_default, ...)            \
  template <class T>                                           \
  Variable<T> name(const Variable<T>& x, double a a_default) { \
    return pointwise<kernels::Pointwise::name>(x, {a});        \
  }
#define ANTHER_POINTWISE_2(name, a, a_default, b, b_default, ...)                  \
  template <class T>                                                               \
  Variable<T> name(const Variable<T>& x, double a a_default, double b b_default) { \
    return pointwise<kernels::Pointwise::name>(x, {a, b});                         \
  }
#include "anther/kernels/pointwise_table.inl"

template <class T>
Variable<T> operator-(const Variable<T>& x) {
  return neg(x);
}

}  // namespace anther::inline v0_1
