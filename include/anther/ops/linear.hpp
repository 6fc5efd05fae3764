// y = x W^T + bias over all rows of x: a fully connected layer, and a 1x1 convolution.
// x (..., C), weight (O, C) or (O, 1, 1, C), bias (O), y (..., O). Backward keeps x:
//   dx = dy W,  dW += dy^T x,  dbias += the sum of dy over rows.
// An x that is lazy (the result of gelu or a norm) is computed a block of rows at a time, just
// before it is read.
#pragma once

#include <algorithm>
#include <cstdint>

#include "anther/autograd/tape.hpp"
#include "anther/kernels/elementwise.hpp"
#include "anther/kernels/gemm.hpp"
#include "anther/ops/affine.hpp"

namespace anther::inline v0_1 {

// How forward reads the weight (out, in).
inline kernels::PackOptions linear_pack(std::int64_t out, std::int64_t in, std::int64_t bf16 = 0) {
  return {.columns = out, .depth = in, .column_stride = in, .depth_stride = 1, .bf16 = bf16};
}

inline constexpr char linear_op_name[] = "linear";
template <class T>
inline constexpr Op<T> linear_op = {
    .name = linear_op_name,
    .forward =
        [](Call<T>& call) {
          const std::int64_t rows = call.input_shape(0).rows(), in = call.input_shape(0).back();
          const std::int64_t out = call.output_shape().back();
          const T* packed = call.packed(1, PackUse::forward, linear_pack(out, in, call.bf16()));
          const kernels::GemmDims d = kernels::dense_gemm(rows, out, in, call.bf16());
          const auto lazy = call.lazy_input();
          const auto apply = [&](std::int64_t first, std::int64_t count) {
            call.apply_rows(first, count);
          };
          if (!lazy) {
            kernels::gemm_and<T>(call.output(), call.add(), call.input(0), packed, call.input(2), d,
                                 apply);
            return;
          }
          kernels::gemm_of_rows<T>(
              call.output(), call.add(),
              [&](T* to, std::int64_t first, std::int64_t count) {
                lazy->compute_rows(to, first, count);
              },
              packed, call.input(2),
              call.workspace(kernels::computed_rows(rows, available_threads(), call.bf16()) * in),
              d, apply);
        },
    .backward =
        [](Call<T>& call) {
          const std::int64_t rows = call.input_shape(0).rows(), in = call.input_shape(0).back();
          const std::int64_t out = call.output_shape().back();
          const T* dy = call.output_gradient();
          const auto lazy = call.lazy_input();
          const bool through = lazy && lazy->has_backward_rows();
          const auto dx = through ? lazy->input_gradient(0) : call.input_gradient(0);
          const auto dweight = call.input_gradient(1);

          const T* packed = dx ? call.packed(1, PackUse::input_gradient,
                                             {.columns = in,
                                              .depth = out,
                                              .column_stride = 1,
                                              .depth_stride = in,
                                              .bf16 = call.bf16()})
                               : nullptr;
          const auto multiply = [&](T* to, const T* add, std::int64_t first, std::int64_t count) {
            kernels::gemm<T>(to, add, dy + first * out, packed, nullptr,
                             kernels::dense_gemm(count, in, out, call.bf16()));
          };
          const T* x = call.input(0);
          T* x_rows = nullptr;
          if (lazy && dweight) x = x_rows = call.workspace(rows * in);
          if (through && dx) {
            const std::int64_t block =
                kernels::computed_rows(rows, available_threads(), call.bf16());
            T* dx_rows = call.workspace(block * in);  // of the lazy result
            for (std::int64_t first = 0; first < rows; first += block) {
              const std::int64_t count = std::min(block, rows - first);
              multiply(dx_rows, nullptr, first, count);
              lazy->backward_rows(dx, x_rows ? x_rows + first * in : nullptr, dx_rows, first,
                                  count);
            }
          } else {
            if (dx) multiply(dx.to, dx.add, 0, rows);
            if (x_rows) lazy->forward_rows(x_rows, 0, rows);
          }

          if (dweight) {
            call.start(dweight, out * in);
            const kernels::GemmTnDims product{.rows = rows,
                                              .outs = out,
                                              .columns = in,
                                              .dy_stride = out,
                                              .x_stride = in,
                                              .dw_stride = in,
                                              .bf16 = call.bf16()};
            kernels::gemm_tn<T>(dweight.to, dy, x,
                                call.workspace(kernels::gemm_tn_workspace<T>(product)), product);
          }
          bias_backward(call, dy, rows);
        },
    .macs =
        [](const Call<T>& call) {
          return call.output_shape().numel() * call.input_shape(0).back();
        },
    .takes_add = true,
    .takes_lazy = true,
    .applies_rows = true,
    .takes_bf16 = true,
};

// x (..., C), weight (O, C) or (O, 1, 1, C), bias (O) or empty. Throws if they do not fit.
template <class T>
Variable<T> linear(const Variable<T>& x, const Variable<T>& weight, const Variable<T>& bias = {}) {
  Tape<T>& tape = x.tape();
  const Shape& w = weight.shape();
  tape.check(x.shape().rank() >= 2 && w.rank() >= 2 && w.numel() == w[0] * w.back(),
             "linear: expected an input (..., C) and a weight (O, C), got ", x.shape(), " and ", w);
  tape.check(x.shape().back() == w.back(), "expected ", w.back(), " input channels, got ",
             x.shape().back());
  check_bias(tape, bias, w[0]);
  Shape y = x.shape();
  y[y.rank() - 1] = w[0];
  return tape.apply(linear_op<T>, 0, {x, weight, bias}, y);
}

}  // namespace anther::inline v0_1
