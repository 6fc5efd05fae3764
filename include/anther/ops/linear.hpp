// y = x W^T + bias over all rows of x: a fully connected layer, and a 1x1 convolution.
// x (..., C), weight (O, C) or (O, 1, 1, C), bias (O), y (..., O). Backward keeps x:
//   dx = dy W,  dW += dy^T x,  dbias += the sum of dy over rows.
#pragma once

#include "anther/autograd/tape.hpp"
#include "anther/kernels/elementwise.hpp"
#include "anther/kernels/gemm.hpp"

namespace anther::inline v0_1 {

template <class T>
inline constexpr Op<T> linear_op = {
    .name = "linear",
    .forward =
        [](Call<T>& call) {
          const std::int64_t rows = call.input_shape(0).rows(), in = call.input_shape(0).back();
          const std::int64_t out = call.output_shape().back();
          const T* packed =
              call.packed(1, PackUse::forward,
                          {.columns = out, .depth = in, .column_stride = in, .depth_stride = 1});
          gemm<T>(call.output(), call.add(), call.input(0), packed, call.input(2),
                  {.rows = rows,
                   .columns = out,
                   .depth = in,
                   .x_stride = in,
                   .y_stride = out,
                   .add_stride = out});
        },
    .backward =
        [](Call<T>& call) {
          const std::int64_t rows = call.input_shape(0).rows(), in = call.input_shape(0).back();
          const std::int64_t out = call.output_shape().back();
          const T* dy = call.output_gradient();
          if (const auto dx = call.input_gradient(0)) {
            const T* packed =
                call.packed(1, PackUse::input_gradient,
                            {.columns = in, .depth = out, .column_stride = 1, .depth_stride = in});
            gemm<T>(dx.to, dx.add, dy, packed, nullptr,
                    {.rows = rows,
                     .columns = in,
                     .depth = out,
                     .x_stride = out,
                     .y_stride = in,
                     .add_stride = in});
          }
          if (const auto dweight = call.input_gradient(1)) {
            call.start(dweight, out * in);
            const GemmTnDims product{.rows = rows,
                                     .outs = out,
                                     .columns = in,
                                     .dy_stride = out,
                                     .x_stride = in,
                                     .dw_stride = in};
            gemm_tn<T>(dweight.to, dy, call.input(0), call.workspace(gemm_tn_workspace<T>(product)),
                       product);
          }
          if (const auto dbias = call.input_gradient(2)) {
            call.start(dbias, out);
            const ColumnSumsDims sums{.rows = rows, .columns = out, .stride = out};
            column_sums(dbias.to, dy, call.workspace(column_sums_workspace(sums)), sums);
          }
        },
    .macs =
        [](const Call<T>& call) {
          return call.output_shape().numel() * call.input_shape(0).back();
        },
    .takes_add = true,
};

// x (..., C), weight (O, C) or (O, 1, 1, C), bias (O) or empty. Throws where they do not fit.
template <class T>
Variable<T> linear(const Variable<T>& x, const Variable<T>& weight, const Variable<T>& bias = {}) {
  Tape<T>& tape = x.tape();
  const Shape& w = weight.shape();
  tape.check_layer(x.shape().rank() >= 2 && w.rank() >= 2 && w.numel() == w[0] * w.back(),
                   "linear: expected an input (..., C) and a weight (O, C), got ", x.shape(),
                   " and ", w);
  tape.check_layer(x.shape().back() == w.back(), "expected ", w.back(), " input channels, got ",
                   x.shape().back());
  check_bias(tape, bias, w[0]);
  Shape y = x.shape();
  y[y.rank() - 1] = w[0];
  return tape.record(linear_op<T>, 0, {x, weight, bias}, {y});
}

}  // namespace anther::inline v0_1
