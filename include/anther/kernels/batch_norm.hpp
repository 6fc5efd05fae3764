// BatchNorm: y = (x - mean) rstd weight + bias, with each channel's mean and variance over all rows
// of the batch in training, and running averages of them in evaluation (Ioffe and Szegedy, "Batch
// normalization", ICML 2015).
// x, y, dy, dx (rows, channels); all else (channels). Backward needs x, and mean and rstd in
// training or the running averages in evaluation.
#pragma once

#include <cstdint>

#include "anther/kernels/channel_norm.hpp"

namespace anther::inline v0_1::kernels {

struct BatchNormDims {
  std::int64_t rows = 0, channels = 0;
  double eps = 1e-5;

  // Calls visit with all members, in their order.
  template <class Visit>
  constexpr decltype(auto) members(const Visit& visit) const {
    return visit(rows, channels, eps);
  }
};

inline ChannelNormDims channel_norm_dims(const BatchNormDims& d) {
  return {1, d.rows, d.channels, d.channels, d.eps};
}

// Elements of workspace for each of the functions here.
inline std::int64_t batch_norm_workspace(const BatchNormDims& d) {
  const ChannelNormDims dims = channel_norm_dims(d);
  return channel_norm_workspace(dims) + channel_norm_tiles(dims).stride;
}

// Elements of `affine`.
inline std::int64_t batch_norm_affine_size(const BatchNormDims& d) {
  return channel_norm_affine_size(channel_norm_dims(d));
}

// Forward in two halves: the statistics, here of training, and any rows of y from what they leave
// in to.affine. to.variance is the mean squared distance from the mean, for
// batch_norm_update_running; it may be null, as may weight and bias. x_bf16: x is a map in
// bfloat16, which channel_norm_reads_bf16(channel_norm_dims(d)).
template <class T>
void batch_norm_statistics(const ChannelNormStatistics<T>& to, const T* x, const T* weight,
                           const T* bias, T* workspace, const BatchNormDims& d,
                           std::int64_t x_bf16 = 0) {
  channel_norm_statistics<T>(to, x, weight, bias, workspace, channel_norm_dims(d), x_bf16);
}
template <class T>
void batch_norm_rows(T* y, const T* x, const T* affine, std::int64_t first, std::int64_t count,
                     const BatchNormDims& d) {
  channel_norm_rows(y, x, affine, first, count, channel_norm_dims(d));
}

// Training. dx = add + the gradient, and dweight and dbias are added to. All three may be null, as
// may add and weight. dx may be add or dy.
template <class T>
void batch_norm_backward(const ChannelNormBackward<T>& o, T* workspace, const BatchNormDims& d) {
  channel_norm_backward(o, false, workspace, channel_norm_dims(d));
}

// running = (1 - momentum) running + momentum value, as PyTorch does it: the value for running_var
// is the unbiased variance.
template <class T>
void batch_norm_update_running(T* running_mean, T* running_var, const T* mean, const T* variance,
                               T momentum, const BatchNormDims& d) {
  const T unbiased = static_cast<T>(d.rows) / static_cast<T>(d.rows - 1);
  for (std::int64_t c = 0; c < d.channels; ++c) {
    running_mean[c] = (T(1) - momentum) * running_mean[c] + momentum * mean[c];
    running_var[c] = (T(1) - momentum) * running_var[c] + momentum * (variance[c] * unbiased);
  }
}

// Evaluation: affine from constant statistics. weight and bias may be null.
template <class T>
void batch_norm_inference_affine(T* affine, const T* running_mean, const T* running_var,
                                 const T* weight, const T* bias, T* workspace,
                                 const BatchNormDims& d) {
  if (d.rows * d.channels == 0) return;
  const ChannelNormTiles plan = channel_norm_tiles(channel_norm_dims(d));
  ANTHER_SELECT(channel_norm_constants<T>)
  (affine, affine + plan.stride, workspace,
   {running_mean, running_var, weight, bias, static_cast<T>(d.eps)}, d.channels, plan);
}

// Evaluation: the statistics are constants, o.mean and running_var; o.rstd is not read. As
// batch_norm_backward otherwise.
template <class T>
void batch_norm_inference_backward(ChannelNormBackward<T> o, const T* running_var, T* workspace,
                                   const BatchNormDims& d) {
  if (d.rows * d.channels == 0) return;
  const ChannelNormDims dims = channel_norm_dims(d);
  const ChannelNormTiles plan = channel_norm_tiles(dims);
  T* const rstd = workspace;
  T* const rest = workspace + plan.stride;
  ANTHER_SELECT(channel_norm_constants<T>)
  (rstd, rest, rest + plan.stride, {o.mean, running_var, nullptr, nullptr, static_cast<T>(d.eps)},
   d.channels, plan);
  o.rstd = rstd;
  channel_norm_backward(o, true, rest, dims);
}

}  // namespace anther::inline v0_1::kernels
