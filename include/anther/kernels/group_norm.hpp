// GroupNorm: y = (x - mean) rstd weight + bias, with the mean and the variance over the positions
// and a group's channels of each sample (Wu and He, "Group normalization", ECCV 2018). InstanceNorm
// is groups == channels. x, y, dy, dx (batch, positions, channels); mean, rstd (batch, groups);
// weight, bias (channels). Backward needs x, mean and rstd.
#pragma once

#include <cstdint>

#include "anther/kernels/channel_norm.hpp"

namespace anther::inline v0_1::kernels {

struct GroupNormDims {
  std::int64_t batch = 0;
  std::int64_t positions = 0;  // height * width
  std::int64_t channels = 0;
  std::int64_t groups = 0;  // divides channels
  double eps = 1e-5;

  // Calls visit with all members, in their order.
  template <class Visit>
  constexpr decltype(auto) members(const Visit& visit) const {
    return visit(batch, positions, channels, groups, eps);
  }
};

inline ChannelNormDims channel_norm_dims(const GroupNormDims& dims) {
  return {dims.batch, dims.positions, dims.channels, dims.groups, dims.eps};
}

// Elements of workspace for forward or backward.
inline std::int64_t group_norm_workspace(const GroupNormDims& dims) {
  return channel_norm_workspace(channel_norm_dims(dims));
}

// Elements of `affine`.
inline std::int64_t group_norm_affine_size(const GroupNormDims& dims) {
  return channel_norm_affine_size(channel_norm_dims(dims));
}

// Forward in two halves: the statistics, and any rows of y from what that leaves in affine. weight
// and bias may be null. x_bf16: x is a map in bfloat16, which
// channel_norm_reads_bf16(channel_norm_dims(dims)).
template <class T>
void group_norm_statistics(T* affine, T* mean, T* rstd, const T* x, const T* weight, const T* bias,
                           T* workspace, const GroupNormDims& dims, std::int64_t x_bf16 = 0) {
  channel_norm_statistics<T>({affine, mean, rstd, nullptr}, x, weight, bias, workspace,
                             channel_norm_dims(dims), x_bf16);
}
template <class T>
void group_norm_rows(T* y, const T* x, const T* affine, std::int64_t first, std::int64_t count,
                     const GroupNormDims& dims) {
  channel_norm_rows(y, x, affine, first, count, channel_norm_dims(dims));
}

// dx = add + the gradient, and dweight and dbias are added to. All three may be null, as may add
// and weight. dx may be add or dy.
template <class T>
void group_norm_backward(const ChannelNormBackward<T>& o, T* workspace, const GroupNormDims& dims) {
  channel_norm_backward(o, false, workspace, channel_norm_dims(dims));
}

}  // namespace anther::inline v0_1::kernels
