// RMSNorm: y = x rstd weight, rstd = 1 / sqrt(mean(x^2) + eps), the mean over the channels of each
// row (Zhang and Sennrich, "Root mean square layer normalization", 2019).
// x, y, dy, dx (rows, channels); rstd (rows); weight (channels). Backward needs x and rstd:
//   dx = rstd (weight dy - x rstd^2 mean(weight dy x)),  dweight += the sum over rows of dy x rstd.
#pragma once

#include <algorithm>
#include <cstdint>

#include "anther/core/parallel_for.hpp"
#include "anther/kernels/elementwise.hpp"
#include "anther/kernels/vec.hpp"

namespace anther::inline v0_1::kernels {

struct RMSNormDims {
  std::int64_t rows = 0, channels = 0;
  double eps = 1e-6;

  // Calls visit with all members, in their order.
  template <class Visit>
  constexpr decltype(auto) members(const Visit& visit) const {
    return visit(rows, channels, eps);
  }

  // The rows of a tile, whose part of dweight is summed by itself.
  std::int64_t tile_rows() const {
    return std::max<std::int64_t>(map_block / std::max<std::int64_t>(channels, 1), 4);
  }
  std::int64_t tiles() const { return (rows + tile_rows() - 1) / tile_rows(); }
  std::int64_t part() const { return (channels + 15) / 16 * 16; }
};

// What backward writes and reads, or a part of it. add and weight may be null.
template <class T>
struct RMSNormBackward {
  T* dx;
  const T* add;
  T* dweight;
  const T *dy, *x, *rstd, *weight;
};

#define ANTHER_BODY "anther/kernels/rms_norm.inl"
#include "anther/kernels/for_each_isa.inl"

// weight may be null. y may be x.
template <class T>
void rms_norm_forward(T* y, T* rstd, const T* x, const T* weight, const RMSNormDims& d) {
  parallel_for(d.tiles(), d.rows * d.channels / 4, [&](std::int64_t tile) {
    const std::int64_t row = tile * d.tile_rows(), at = row * d.channels;
    ANTHER_SELECT(rms_norm_forward_rows<T>)
    (y + at, rstd + row, x + at, weight,
     {std::min(d.tile_rows(), d.rows - row), d.channels, d.eps});
  });
}

// Elements of workspace for backward.
inline std::int64_t rms_norm_workspace(const RMSNormDims& d) {
  return d.tiles() * d.part();
}

// dx = add + the gradient, and dweight is added to. Both may be null. dx may be add or dy.
template <class T>
void rms_norm_backward(const RMSNormBackward<T>& o, T* workspace, const RMSNormDims& d) {
  parallel_for(d.tiles(), d.rows * d.channels / 2, [&](std::int64_t tile) {
    const std::int64_t row = tile * d.tile_rows(), at = row * d.channels;
    T* const part = workspace + tile * d.part();
    std::fill_n(part, d.part(), T(0));
    ANTHER_SELECT(rms_norm_backward_rows<T>)
    ({o.dx ? o.dx + at : nullptr, o.add ? o.add + at : nullptr, part, o.dy + at, o.x + at,
      o.rstd + row, o.weight},
     {std::min(d.tile_rows(), d.rows - row), d.channels, d.eps});
  });
  if (o.dweight)
    ANTHER_SELECT(column_sums<T>)(o.dweight, workspace, d.tiles(), d.channels, d.part());
}

}  // namespace anther::inline v0_1::kernels
