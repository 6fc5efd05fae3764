// where(condition, a, b): the elements of a where the condition's are not 0, those of b elsewhere,
// all three with NumPy's broadcasting. The condition holds integers, as a mask of attention does
// (Tape::integers), and has no gradient. A NaN that is not taken leaves no trace, in backward
// either.
#pragma once

#include "anther/autograd/tape.hpp"
#include "anther/kernels/broadcast.hpp"
#include "anther/ops/arithmetic.hpp"

namespace anther::inline v0_1 {

inline constexpr char where_op_name[] = "where";
template <class T>
inline constexpr Op<T> where_op = {
    .name = where_op_name,
    .forward =
        [](Call<T>& call) {
          kernels::where_forward<T>(call.output(), call.integers(0), call.input(1), call.input(2),
                                    call.template attributes<kernels::BroadcastDims>());
        },
    .backward =
        [](Call<T>& call) {
          for (const int input : {1, 2})
            broadcast_input_backward(call, input, [&](T* t, const T* t_add) {
              kernels::where_backward<T>(t, t_add, call.output_gradient(), call.integers(0),
                                         input == 1,
                                         call.template attributes<kernels::BroadcastDims>());
            });
        },
    .integer_inputs = 1U,
};

template <class T>
Variable<T> where(const Variable<T>& condition, const Variable<T>& a, const Variable<T>& b) {
  Tape<T>& tape = condition.tape();
  const Shape values = broadcast_shape(tape, a.shape(), b.shape(), "where");
  const Shape shape = broadcast_shape(tape, condition.shape(), values, "where");
  return tape.apply(where_op<T>, broadcast_dims(shape, {condition.shape(), a.shape(), b.shape()}),
                    {condition, a, b}, shape);
}

}  // namespace anther::inline v0_1
