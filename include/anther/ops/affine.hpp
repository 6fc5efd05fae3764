// What layers with a weight and a bias require of them.
#pragma once

#include <cstdint>

#include "anther/autograd/tape.hpp"
#include "anther/kernels/elementwise.hpp"

namespace anther::inline v0_1 {

// Throws unless bias is empty or (channels).
template <class T>
void check_bias(Tape<T>& tape, const Variable<T>& bias, std::int64_t channels) {
  if (bias)
    tape.check(bias.shape() == Shape{channels}, "expected a bias of the shape ", Shape{channels},
               ", got ", bias.shape());
}

// The gradient of the bias, which is input 2: the sums of dy (rows, channels) over its rows.
template <class T>
void bias_backward(const Call<T>& call, const T* dy, std::int64_t rows) {
  const auto dbias = call.input_gradient(2);
  if (!dbias) return;
  const std::int64_t channels = call.input_shape(2).numel();
  call.start(dbias, channels);
  const kernels::ColumnSumsDims sums{.rows = rows, .columns = channels, .stride = channels};
  T* workspace = call.workspace(kernels::column_sums_workspace(sums));
  if (call.output_gradient_is_bf16())
    kernels::bf16_kernels<T>().column_sums(dbias.to, kernels::as_bf16(dy), workspace, sums);
  else
    kernels::column_sums(dbias.to, dy, workspace, sums);
}

// Throws unless weight and bias are empty, or have one element for each channel.
template <class T>
void check_affine(Tape<T>& tape, const Variable<T>& weight, const Variable<T>& bias,
                  std::int64_t channels) {
  if (weight)
    tape.check(weight.shape() == Shape{channels}, "expected ", weight.shape().numel(),
               " channels, as the weight has, got ", channels);
  check_bias(tape, bias, channels);
}

}  // namespace anther::inline v0_1
