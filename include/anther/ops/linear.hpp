// y = x W^T + bias over all rows of x: a fully connected layer, and a 1x1 convolution.
// x (..., C), weight (O, C) or (O, 1, 1, C), bias (O), y (..., O). Backward keeps x:
//   dx = dy W,  dW += dy^T x,  dbias += the sum of dy over rows.
// An x that is lazy (the result of gelu or a norm) is computed a block of rows at a time, just
// before it is read.
#pragma once

#include <algorithm>
#include <cstdint>

#include "anther/autograd/tape.hpp"
#include "anther/kernels/bf16.hpp"
#include "anther/kernels/elementwise.hpp"
#include "anther/kernels/gemm.hpp"
#include "anther/ops/affine.hpp"

namespace anther::inline v0_1 {

// How forward reads the weight (out, in).
inline kernels::PackOptions linear_pack(std::int64_t out, std::int64_t in, std::int64_t bf16 = 0) {
  return {.columns = out, .depth = in, .column_stride = in, .depth_stride = 1, .bf16 = bf16};
}

// The product of forward: which of its maps are stored in bfloat16, too.
template <class T>
kernels::GemmDims linear_dims(const Call<T>& call) {
  const std::int64_t in = call.input_shape(0).back(), bf16 = call.bf16();
  const auto lazy = call.lazy_input();
  kernels::GemmDims d =
      kernels::dense_gemm(call.input_shape(0).rows(), call.output_shape().back(), in, bf16);
  // Sums over a great depth cannot go by way of bfloat16.
  d.y_bf16 = call.output_is_bf16() && in <= kernels::bf16_most_depth;
  d.add_bf16 = d.y_bf16 != 0 && call.adds_bf16();
  d.x_bf16 = bf16 != 0 && (lazy ? lazy->has_bf16_rows() : call.bf16_input() != nullptr);
  return d;
}

inline constexpr char linear_op_name[] = "linear";
template <class T>
inline constexpr Op<T> linear_op = {
    .name = linear_op_name,
    .forward =
        [](Call<T>& call) {
          const kernels::GemmDims d = linear_dims(call);
          const std::int64_t rows = d.rows, in = d.depth, out = d.columns;
          const T* packed = call.packed(1, PackUse::forward, linear_pack(out, in, d.bf16));
          const auto lazy = call.lazy_input();
          T* const y = d.y_bf16 != 0 ? call.output() : call.float_output();
          const T* const add = d.add_bf16 != 0 ? call.add_map().data : call.add();
          const auto apply = [&](std::int64_t first, std::int64_t count) {
            call.apply_rows(first, count);
          };
          if (lazy)
            kernels::gemm_of_rows<T>(
                y, add,
                [&](T* to, std::int64_t first, std::int64_t count) {
                  if (d.x_bf16 != 0)
                    lazy->compute_bf16_rows(kernels::as_bf16(to), first, count);
                  else
                    lazy->compute_rows(to, first, count);
                },
                packed, call.input(2),
                call.workspace(kernels::computed_rows(rows, available_threads(), d.bf16 != 0) * in),
                d, apply);
          else
            kernels::gemm_and<T>(y, add, call.map_input(), packed, call.input(2), d, apply);
          if (d.y_bf16 == 0) call.round_output(y);
        },
    .backward =
        [](Call<T>& call) {
          const std::int64_t rows = call.input_shape(0).rows(), in = call.input_shape(0).back();
          const std::int64_t out = call.output_shape().back(), bf16 = call.bf16();
          const T* dy = call.output_gradient();
          const std::int64_t dy_bf16 = call.output_gradient_is_bf16();
          const auto lazy = call.lazy_input();
          // Where the gradient goes through the lazy op while its rows are in the cache: as a map
          // in bfloat16, or as floats.
          std::uint16_t* const narrow_dx = bf16 != 0 && lazy && lazy->has_bf16_backward_rows()
                                               ? lazy->bf16_input_gradient()
                                               : nullptr;
          const bool through = lazy && !narrow_dx && lazy->has_backward_rows();
          // The gradient of an x in bfloat16, which the product writes so.
          std::uint16_t* const map_dx =
              !lazy && out <= kernels::bf16_most_depth ? call.bf16_input_gradient() : nullptr;
          const auto dx = narrow_dx || map_dx ? GradientTarget<T>{}
                          : through           ? lazy->input_gradient(0)
                                              : call.input_gradient(0);
          const auto dweight = call.input_gradient(1);

          const T* packed = dx || narrow_dx || map_dx ? call.packed(1, PackUse::input_gradient,
                                                                    {.columns = in,
                                                                     .depth = out,
                                                                     .column_stride = 1,
                                                                     .depth_stride = in,
                                                                     .bf16 = bf16})
                                                      : nullptr;
          const auto multiply = [&](T* to, const T* add, std::int64_t first, std::int64_t count) {
            kernels::GemmDims d = kernels::dense_gemm(count, in, out, bf16);
            d.x_bf16 = dy_bf16;
            d.y_bf16 = map_dx != nullptr;
            kernels::gemm<T>(to, add, kernels::map_at(dy, first * out, dy_bf16), packed, nullptr,
                             d);
          };
          const T* x = lazy ? nullptr : call.map_input();
          const std::int64_t x_bf16 = linear_dims(call).x_bf16;
          T* x_rows = nullptr;
          if (lazy && dweight)
            x = x_rows = call.workspace(x_bf16 ? (rows * in + 1) / 2 : rows * in);
          const auto x_at = [&](std::int64_t first) {
            return x_rows ? kernels::map_at(x_rows, first * in, x_bf16) : nullptr;
          };
          if (narrow_dx || (through && dx)) {
            const std::int64_t block =
                kernels::gradient_rows(rows, in, available_threads(), bf16 != 0);
            T* dx_rows = call.workspace(block * in);  // of the lazy result
            for (std::int64_t first = 0; first < rows; first += block) {
              const std::int64_t count = std::min(block, rows - first);
              multiply(dx_rows, nullptr, first, count);
              if (narrow_dx)
                lazy->bf16_backward_rows(narrow_dx, kernels::as_bf16(x_at(first)), dx_rows, first,
                                         count);
              else
                lazy->backward_rows(dx, x_bf16 ? nullptr : x_at(first), dx_rows, first, count);
            }
          } else if (map_dx) {
            multiply(reinterpret_cast<T*>(map_dx), nullptr, 0, rows);
          } else if (dx) {
            multiply(dx.to, dx.add, 0, rows);
          }
          if (x_rows && x_bf16 && !narrow_dx)
            lazy->bf16_forward_rows(kernels::as_bf16(x_rows), 0, rows);
          else if (x_rows && !x_bf16 && !(through && dx))
            lazy->forward_rows(x_rows, 0, rows);

          if (dweight) {
            call.start(dweight, out * in);
            const kernels::GemmTnDims product{.rows = rows,
                                              .outs = out,
                                              .columns = in,
                                              .dy_stride = out,
                                              .x_stride = in,
                                              .dw_stride = in,
                                              .bf16 = bf16,
                                              .dy_bf16 = dy_bf16,
                                              .x_bf16 = x_bf16};
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
    .stores_bf16 = true,
    .reads_bf16 = true,
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
