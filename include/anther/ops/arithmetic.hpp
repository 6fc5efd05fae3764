// a + b for values of one shape, and s x for a number s. If a or b is the result of the op just
// before, and that op can add in its own pass, the sum costs no pass: x + conv(x). Backward keeps
// nothing, and that of a sum copies nothing.
#pragma once

#include "anther/autograd/tape.hpp"
#include "anther/kernels/elementwise.hpp"

namespace anther::inline v0_1 {

inline constexpr char add_op_name[] = "add";
template <class T>
inline constexpr Op<T> add_op = {
    .name = add_op_name,
    .forward =
        [](Call<T>& call) {
          kernels::add<T>(call.output(), call.input(0), call.input(1), call.output_shape().numel());
        },
    .backward =
        [](Call<T>& call) {
          call.pass_gradient(0);
          call.pass_gradient(1);
        },
    .is_addition = true,
};

template <class T>
Variable<T> operator+(const Variable<T>& a, const Variable<T>& b) {
  Tape<T>& tape = a.tape();
  tape.check(a.shape() == b.shape(), "add: expected two tensors of one shape, got ", a.shape(),
             " and ", b.shape());
  return tape.apply(add_op<T>, 0, {a, b}, a.shape());
}

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

template <class T>
Variable<T> operator*(const Variable<T>& x, double factor) {
  return x.tape().apply(scale_op<T>, factor, {x}, x.shape());
}
template <class T>
Variable<T> operator*(double factor, const Variable<T>& x) {
  return x * factor;
}

}  // namespace anther::inline v0_1
