// Softmax over an axis: y = e^x / sum(e^x), and log_softmax, its logarithm; both computed after the
// greatest x is taken off. Backward keeps y:
//   softmax: dx = y (dy - sum(dy y)),  log_softmax: dx = dy - e^y sum(dy).
#pragma once

#include "anther/autograd/tape.hpp"
#include "anther/kernels/softmax.hpp"
#include "anther/kernels/softmax_axis.hpp"
#include "anther/ops/shape.hpp"

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

struct SoftmaxAxisAttributes {
  kernels::SoftmaxAxisDims dims;
  int axis;
};

// Over an axis that is not the last.
inline constexpr char softmax_axis_op_name[] = "softmax_axis";
template <class T>
inline constexpr Op<T> softmax_axis_op = {
    .name = softmax_axis_op_name,
    .forward =
        [](Call<T>& call) {
          kernels::softmax_axis_forward(call.output(), call.input(0),
                                        call.template attributes<SoftmaxAxisAttributes>().dims);
        },
    .backward =
        [](Call<T>& call) {
          if (const auto dx = call.input_gradient(0))
            kernels::softmax_axis_backward<T>(
                dx.to, dx.add, call.output_gradient(), call.output(),
                call.template attributes<SoftmaxAxisAttributes>().dims);
        },
};

inline constexpr char log_softmax_op_name[] = "log_softmax";
template <class T>
inline constexpr Op<T> log_softmax_op = {
    .name = log_softmax_op_name,
    .forward =
        [](Call<T>& call) {
          kernels::log_softmax_forward(call.output(), call.input(0),
                                       call.template attributes<SoftmaxAxisAttributes>().dims);
        },
    .backward =
        [](Call<T>& call) {
          if (const auto dx = call.input_gradient(0))
            kernels::log_softmax_backward<T>(
                dx.to, dx.add, call.output_gradient(), call.output(),
                call.template attributes<SoftmaxAxisAttributes>().dims);
        },
};

template <class T>
SoftmaxAxisAttributes softmax_attributes(const Variable<T>& x, int dim, const char* op) {
  const int axis = checked_axis(x, dim, op);
  const AxisParts parts = axis_parts(x.shape(), axis);
  return {{parts.outer, parts.extent, parts.inner}, axis};
}

// dim: an axis; -1 is the last. Throws if there is no such axis.
template <class T>
Variable<T> softmax(const Variable<T>& x, int dim = -1) {
  const SoftmaxAxisAttributes attributes = softmax_attributes(x, dim, "softmax");
  const Shape& in = x.shape();
  if (attributes.axis == in.rank() - 1)
    return x.tape().apply(softmax_op<T>, softmax_dims(in), {x}, in);
  return x.tape().apply(softmax_axis_op<T>, attributes, {x}, in);
}
template <class T>
Variable<T> log_softmax(const Variable<T>& x, int dim = -1) {
  return x.tape().apply(log_softmax_op<T>, softmax_attributes(x, dim, "log_softmax"), {x},
                        x.shape());
}

}  // namespace anther::inline v0_1
