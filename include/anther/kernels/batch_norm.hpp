// BatchNorm: y = (x - mean) rstd weight + bias, with each channel's mean and variance over all rows
// of the batch in training, and running averages of them in evaluation (Ioffe and Szegedy, "Batch
// normalization", ICML 2015).
// x, y, dy, dx (rows, channels); all else (channels). Backward needs x, and mean and rstd in
// training or the running averages in evaluation.
#pragma once

#include <cstdint>

#include "anther/kernels/channel_norm.hpp"

namespace anther::inline v0_1::kernels {

inline ChannelNormDims batch_norm_dims(std::int64_t rows, std::int64_t channels) {
  return {1, rows, channels, channels};
}

// Elements of workspace for each of the functions here.
inline std::int64_t batch_norm_workspace(std::int64_t rows, std::int64_t channels) {
  const ChannelNormDims dims = batch_norm_dims(rows, channels);
  return channel_norm_workspace(dims) + channel_norm_tiles(dims).stride;
}

// Training. variance is the mean squared distance from the mean, for batch_norm_update_running; it
// may be null, as may weight and bias. y may be x.
template <class T>
void batch_norm_forward(T* y, T* mean, T* rstd, T* variance, const T* x, const T* weight,
                        const T* bias, T eps, T* workspace, std::int64_t rows,
                        std::int64_t channels) {
  channel_norm_forward<T>(y, nullptr, mean, rstd, variance, x, weight, bias, eps, workspace,
                          batch_norm_dims(rows, channels));
}

// The two halves of it: the statistics, and any rows of y from what that, or
// batch_norm_inference_affine, leaves in affine (channel_norm_affine_size elements).
template <class T>
void batch_norm_statistics(T* affine, T* mean, T* rstd, T* variance, const T* x, const T* weight,
                           const T* bias, T eps, T* workspace, std::int64_t rows,
                           std::int64_t channels) {
  channel_norm_forward<T>(nullptr, affine, mean, rstd, variance, x, weight, bias, eps, workspace,
                          batch_norm_dims(rows, channels));
}
template <class T>
void batch_norm_rows(T* y, const T* x, const T* affine, std::int64_t first, std::int64_t count,
                     std::int64_t rows, std::int64_t channels) {
  channel_norm_rows(y, x, affine, first, count, batch_norm_dims(rows, channels));
}

// Training. dx = dx_add + the gradient, and dweight and dbias are added to. All three may be null,
// as may dx_add and weight. dx may be dx_add or dy.
template <class T>
void batch_norm_backward(T* dx, const T* dx_add, T* dweight, T* dbias, const T* dy, const T* x,
                         const T* mean, const T* rstd, const T* weight, T* workspace,
                         std::int64_t rows, std::int64_t channels) {
  channel_norm_backward(dx, dx_add, dweight, dbias, dy, x, mean, rstd, weight, false, workspace,
                        batch_norm_dims(rows, channels));
}

// running = (1 - momentum) running + momentum value, as PyTorch does it: the value for running_var
// is the unbiased variance. rows is what the statistics were taken over.
template <class T>
void batch_norm_update_running(T* running_mean, T* running_var, const T* mean, const T* variance,
                               T momentum, std::int64_t rows, std::int64_t channels) {
  const T unbiased = static_cast<T>(rows) / static_cast<T>(rows - 1);
  for (std::int64_t c = 0; c < channels; ++c) {
    running_mean[c] = (T(1) - momentum) * running_mean[c] + momentum * mean[c];
    running_var[c] = (T(1) - momentum) * running_var[c] + momentum * (variance[c] * unbiased);
  }
}

// Evaluation: affine from constant statistics. weight and bias may be null.
template <class T>
void batch_norm_inference_affine(T* affine, const T* running_mean, const T* running_var,
                                 const T* weight, const T* bias, T eps, T* workspace,
                                 std::int64_t rows, std::int64_t channels) {
  if (rows * channels == 0) return;
  const ChannelNormTiles plan = channel_norm_tiles(batch_norm_dims(rows, channels));
  ANTHER_SELECT(channel_norm_constants<T>)
  (affine, affine + plan.stride, workspace, running_mean, running_var, weight, bias, eps, channels,
   plan.folded, plan.stride);
}

// Evaluation. weight and bias may be null. y may be x.
template <class T>
void batch_norm_inference(T* y, const T* x, const T* running_mean, const T* running_var,
                          const T* weight, const T* bias, T eps, T* workspace, std::int64_t rows,
                          std::int64_t channels) {
  if (rows * channels == 0) return;
  const ChannelNormTiles plan = channel_norm_tiles(batch_norm_dims(rows, channels));
  T* const affine = workspace;
  batch_norm_inference_affine(affine, running_mean, running_var, weight, bias, eps,
                              workspace + 2 * plan.stride, rows, channels);
  parallel_for(plan.tiles, rows * channels / 4, [&](std::int64_t tile) {
    const std::int64_t first = tile * plan.tile_rows;
    batch_norm_rows(y + first * channels, x, affine, first, std::min(plan.tile_rows, rows - first),
                    rows, channels);
  });
}

// Evaluation: the statistics are constants. As batch_norm_backward otherwise.
template <class T>
void batch_norm_inference_backward(T* dx, const T* dx_add, T* dweight, T* dbias, const T* dy,
                                   const T* x, const T* running_mean, const T* running_var,
                                   const T* weight, T eps, T* workspace, std::int64_t rows,
                                   std::int64_t channels) {
  if (rows * channels == 0) return;
  const ChannelNormDims dims = batch_norm_dims(rows, channels);
  const ChannelNormTiles plan = channel_norm_tiles(dims);
  T* const rstd = workspace;
  T* const rest = workspace + plan.stride;
  const T* const none = nullptr;
  ANTHER_SELECT(channel_norm_constants<T>)
  (rstd, rest, rest + plan.stride, running_mean, running_var, none, none, eps, channels,
   plan.folded, plan.stride);
  channel_norm_backward<T>(dx, dx_add, dweight, dbias, dy, x, running_mean, rstd, weight, true,
                           rest, dims);
}

}  // namespace anther::inline v0_1::kernels
