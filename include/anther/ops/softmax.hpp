// Softmax over the last axis: y = e^x / sum(e^x), computed after each row's maximum is taken off.
// Backward keeps y: dx = y (dy - sum(dy y)).
#pragma once

#include "anther/autograd/tape.hpp"
#include "anther/kernels/softmax.hpp"

namespace anther::inline v0_1 {

inline kernels::SoftmaxDims softmax_dims(const Shape& x) {
  return {.rows = x.rows(), .columns = x.back(), .x_stride = x.back(), .y_stride = x.back()};
}

inline constexpr char softmax_op_name[] = "softmax";
template <class T>
inline constexpr Op<T> softmax_op = {
    .name = softmax_op_name,
    .forward =
        [](Call<T>& call) {
          kernels::softmax_forward(call.output(), call.input(0),
                                   call.template attributes<kernels::SoftmaxDims>());
        },
    .backward =
        [](Call<T>& call) {
          if (const auto dx = call.input_gradient(0))
            kernels::softmax_backward(dx.to, dx.add, call.output_gradient(),
                                      static_cast<const T*>(call.output()),
                                      call.template attributes<kernels::SoftmaxDims>());
        },
};

// dim: the last axis, which may be given as -1. Throws for any other.
template <class T>
Variable<T> softmax(const Variable<T>& x, int dim = -1) {
  const Shape& in = x.shape();
  x.tape().check(in.rank() >= 1 && (dim == -1 || dim == in.rank() - 1),
                 "softmax: expected the last axis of ", in, ", got ", dim);
  return x.tape().apply(softmax_op<T>, softmax_dims(in), {x}, in);
}

}  // namespace anther::inline v0_1
