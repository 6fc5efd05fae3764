// Arithmetic of two values with NumPy's broadcasting (an axis of extent 1, or one that is missing
// in front, is repeated), and of a value and a number. Their formulas are the rows of
// kernels/binary_table.inl. The sum of two values of one shape costs no pass where the op just
// before can add in its own: x + conv(x).
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <span>

#include "anther/autograd/tape.hpp"
#include "anther/kernels/broadcast.hpp"
#include "anther/kernels/elementwise.hpp"
#include "anther/kernels/mixed_maps.hpp"
#include "anther/kernels/reduce.hpp"
#include "anther/ops/pointwise.hpp"

namespace anther::inline v0_1 {

inline constexpr char add_op_name[] = "add";
template <class T>
inline constexpr Op<T> add_op = {
    .name = add_op_name,
    .forward =
        [](Call<T>& call) {
          kernels::add<T>(call.output_map(), call.input_map(0), call.input_map(1),
                          call.output_shape().numel());
        },
    .backward =
        [](Call<T>& call) {
          call.pass_gradient(0);
          call.pass_gradient(1);
        },
    .is_addition = true,
    .stores_bf16 = true,
};

inline constexpr char scale_op_name[] = "scale";
template <class T>
inline constexpr Op<T> scale_op = {
    .name = scale_op_name,
    .forward =
        [](Call<T>& call) {
          kernels::scale<T>(call.output(), nullptr, call.input(0),
                            static_cast<T>(call.template attributes<double>()),
                            call.output_shape().numel());
        },
    .backward =
        [](Call<T>& call) {
          if (const auto dx = call.input_gradient(0))
            kernels::scale(dx.to, dx.add, call.output_gradient(),
                           static_cast<T>(call.template attributes<double>()),
                           call.output_shape().numel());
        },
};

// The shape that two shapes are broadcast to. Throws if they do not fit.
template <class T>
Shape broadcast_shape(Tape<T>& tape, const Shape& a, const Shape& b, const char* op) {
  Shape shape;
  const int rank = std::max(a.rank(), b.rank());
  for (int axis = 0; axis < rank; ++axis) {
    const int at_a = axis - (rank - a.rank()), at_b = axis - (rank - b.rank());
    const std::int64_t of_a = at_a < 0 ? 1 : a[at_a], of_b = at_b < 0 ? 1 : b[at_b];
    tape.check(of_a == of_b || of_a == 1 || of_b == 1, op,
               ": expected shapes that are equal or 1 in each axis, counted from the last, got ", a,
               " and ", b);
    shape.push_back(of_a == 1 ? of_b : of_a);
  }
  tape.check(shape.can_be_counted(), op, ": the number of elements of ", shape, " overflows");
  return shape;
}
// How the elements of values of these shapes meet.
inline kernels::BroadcastDims broadcast_dims(const Shape& result,
                                             std::initializer_list<Shape> inputs) {
  kernels::BroadcastDims d;
  std::int64_t stride[kernels::BroadcastDims::max_inputs] = {};
  std::transform(inputs.begin(), inputs.end(), stride,
                 [](const Shape& input) { return input.numel(); });
  for (int axis = 0; axis < result.rank(); ++axis) {
    std::int64_t steps[kernels::BroadcastDims::max_inputs] = {};
    int i = 0;
    for (const Shape& input : inputs) {
      const int at = axis - (result.rank() - input.rank());
      const std::int64_t extent = at < 0 ? 1 : input[at];
      if (extent > 0) stride[i] /= extent;
      steps[i] = extent == 1 ? 0 : stride[i];
      ++i;
    }
    d.add_axis(result[axis], steps);
  }
  return d;
}

// dx = dx.add + the sums of t, which has the result's shape, over the axes in which the input was
// repeated: those whose stride is 0.
template <class T>
void sum_repetitions(const Call<T>& call, const GradientTarget<T>& dx, const T* t,
                     const kernels::BroadcastDims& d, const std::int64_t* stride) {
  std::int64_t inner = 1, outer = d.count();
  for (auto axis = d.rank - 1; axis >= 0;) {
    kernels::ReduceDims step{.outer = outer, .extent = 1, .inner = inner};
    for (; axis >= 0 && stride[axis] != 0; --axis) step.inner *= d.extent[axis];
    for (; axis >= 0 && stride[axis] == 0; --axis) step.extent *= d.extent[axis];
    step.outer /= step.inner / inner * step.extent;
    if (step.extent > 1) {
      T* sums = call.workspace(step.results());
      kernels::reduce<T, kernels::Reduction::sum>(
          sums, t, call.workspace(kernels::reduce_workspace(step)), step);
      t = sums;
    }
    outer = step.outer, inner = step.inner;
  }
  if (dx.add)
    kernels::add<T>(dx.to, dx.add, t, inner);
  else
    std::copy_n(t, inner, dx.to);
}

// The gradient of input i of an op that broadcasts. compute(t, t_add): t = t_add + what each
// element of the result gives it. given: this, where it is there already.
template <class T, class Compute>
void broadcast_input_backward(const Call<T>& call, int i, const Compute& compute,
                              const T* given = nullptr) {
  const auto& d = call.template attributes<kernels::BroadcastDims>();
  const std::int64_t count = call.output_shape().numel();
  if (count == 0) return;
  const auto dx = call.input_gradient(i);
  if (!dx) return;
  if (call.input_shape(i).numel() == count) {
    compute(dx.to, dx.add);
    return;
  }
  if (given == nullptr) {
    T* computed = call.workspace(count);
    compute(computed, nullptr);
    given = computed;
  }
  sum_repetitions(call, dx, given, d, d.stride[i]);
}
template <int input, class T, kernels::Binary op>
void binary_input_backward(const Call<T>& call) {
  const T* dy = call.output_gradient();
  broadcast_input_backward(
      call, input,
      [&](T* t, const T* t_add) {
        kernels::binary_backward<T, op, input>(t, t_add, dy, call.input(0), call.input(1),
                                               call.template attributes<kernels::BroadcastDims>());
      },
      op == kernels::Binary::add ? dy : nullptr);
}

#define ANTHER_BINARY(name, ...) inline constexpr char name##_broadcast_op_name[] = #name;
#include "anther/kernels/binary_table.inl"
#define ANTHER_BINARY(name, ...) name##_broadcast_op_name,
inline constexpr const char* binary_op_names[] = {
#include "anther/kernels/binary_table.inl"
};

template <class T, kernels::Binary op>
inline constexpr Op<T> binary_op = {
    .name = binary_op_names[static_cast<int>(op)],
    .forward =
        [](Call<T>& call) {
          kernels::binary_forward<T, op>(call.output(), call.input(0), call.input(1),
                                         call.template attributes<kernels::BroadcastDims>());
        },
    .backward =
        [](Call<T>& call) {
          binary_input_backward<0, T, op>(call);
          binary_input_backward<1, T, op>(call);
        },
};

// The op of a row of the table.
template <kernels::Binary op, class T>
Variable<T> binary(const Variable<T>& a, const Variable<T>& b) {
  Tape<T>& tape = a.tape();
  const char* name = binary_op_names[static_cast<int>(op)];
  const Shape shape = broadcast_shape(tape, a.shape(), b.shape(), name);
  return tape.apply(binary_op<T, op>, broadcast_dims(shape, {a.shape(), b.shape()}), {a, b}, shape);
}

template <class T>
Variable<T> operator+(const Variable<T>& a, const Variable<T>& b) {
  if (a.shape() == b.shape()) return a.tape().apply(add_op<T>, 0, {a, b}, a.shape());
  return binary<kernels::Binary::add>(a, b);
}
template <class T>
Variable<T> operator-(const Variable<T>& a, const Variable<T>& b) {
  return binary<kernels::Binary::sub>(a, b);
}
template <class T>
Variable<T> operator*(const Variable<T>& a, const Variable<T>& b) {
  return binary<kernels::Binary::mul>(a, b);
}
template <class T>
Variable<T> operator/(const Variable<T>& a, const Variable<T>& b) {
  return binary<kernels::Binary::div>(a, b);
}
template <class T>
Variable<T> maximum(const Variable<T>& a, const Variable<T>& b) {
  return binary<kernels::Binary::maximum>(a, b);
}
template <class T>
Variable<T> minimum(const Variable<T>& a, const Variable<T>& b) {
  return binary<kernels::Binary::minimum>(a, b);
}
// x for x > 0, weight x below. weight (C), for the last axis, or (1).
template <class T>
Variable<T> prelu(const Variable<T>& x, const Variable<T>& weight) {
  const Shape& w = weight.shape();
  x.tape().check(x.shape().rank() >= 1 && w.rank() == 1 && (w[0] == 1 || w[0] == x.shape().back()),
                 "prelu: expected a weight for each of the last axis of ", x.shape(),
                 ", or one, got ", w);
  return binary<kernels::Binary::prelu>(x, weight);
}

template <class T>
Variable<T> operator*(const Variable<T>& x, double factor) {
  return x.tape().apply(scale_op<T>, factor, {x}, x.shape());
}
template <class T>
Variable<T> operator*(double factor, const Variable<T>& x) {
  return x * factor;
}
template <class T>
Variable<T> operator/(const Variable<T>& x, double divisor) {
  const T number = static_cast<T>(divisor);
  return x / x.tape().input(Shape{}, std::span<const T>(&number, 1));
}
template <class T>
Variable<T> operator/(double number, const Variable<T>& x) {
  return number * reciprocal(x);
}
template <class T>
Variable<T> operator+(const Variable<T>& x, double number) {
  return shift(x, number);
}
template <class T>
Variable<T> operator+(double number, const Variable<T>& x) {
  return shift(x, number);
}
template <class T>
Variable<T> operator-(const Variable<T>& x, double number) {
  return shift(x, -number);
}
template <class T>
Variable<T> operator-(double number, const Variable<T>& x) {
  return shift(-x, number);
}

}  // namespace anther::inline v0_1
