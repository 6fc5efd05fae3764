// LayerNorm: y = (x - mean) rstd weight + bias, with the mean and the variance over the channels of
// each row, rstd = 1 / sqrt(variance + eps) (Ba, Kiros and Hinton, "Layer normalization", 2016).
// x, y, dy, dx (rows, channels); rstd (rows); weight, bias (channels). mean (rows, 2): the number
// nearest to a row's mean, and what is left to it.
// Backward needs x, mean and rstd.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

#include "anther/core/parallel_for.hpp"
#include "anther/kernels/stream.hpp"
#include "anther/kernels/vec.hpp"

namespace anther::inline v0_1::kernels {

struct LayerNormDims {
  std::int64_t rows = 0, channels = 0;
  double eps = 1e-5;

  // Calls visit with all members, in their order.
  template <class Visit>
  constexpr decltype(auto) members(const Visit& visit) const {
    return visit(rows, channels, eps);
  }
};

// What forward and backward write and read, or a part of it.
template <class T>
struct LayerNormForward {
  T *y, *mean, *rstd;
  const T *x, *weight, *bias;
};
template <class T>
struct LayerNormBackward {
  T* dx;
  const T* add;
  T *dweight, *dbias;
  const T *dy, *x, *mean, *rstd, *weight;
};

#define ANTHER_BODY "anther/kernels/layer_norm.inl"
#include "anther/kernels/for_each_isa.inl"
#define ANTHER_BODY "anther/kernels/layer_norm_backward.inl"
#include "anther/kernels/for_each_isa.inl"

// Multiples of the rows that are summed at once: as many as a vector has lanes, in backward half.
inline constexpr std::int64_t layer_norm_unit = 16, layer_norm_backward_unit = 8;

// Rows are worked on in tiles of about 16 K elements, of a result that is streamed larger ones.
inline std::int64_t layer_norm_tile_rows(std::int64_t channels, bool streamed) {
  const std::int64_t elements = streamed ? streamed_tile : std::int64_t{1} << 14;
  return std::max(elements / channels / layer_norm_unit, std::int64_t{1}) * layer_norm_unit;
}

// A tile's part of dweight or of dbias, in elements.
inline std::int64_t layer_norm_part(std::int64_t channels) {
  return (channels + 15) / 16 * 16;
}

// Elements of workspace for backward, streamed or not.
inline std::int64_t layer_norm_workspace(const LayerNormDims& d) {
  if (d.rows * d.channels == 0) return 0;
  const std::int64_t tile_rows = layer_norm_tile_rows(d.channels, false);
  return (d.rows + tile_rows - 1) / tile_rows * 2 * layer_norm_part(d.channels);
}

// weight and bias may be null. y may be x.
template <class T>
void layer_norm_forward(T* y, T* mean, T* rstd, const T* x, const T* weight, const T* bias,
                        const LayerNormDims& d) {
  const std::int64_t rows = d.rows, channels = d.channels;
  if (rows * channels == 0) return;
  const bool streamed = is_streamed<T>(rows * channels);
  const std::int64_t tile_rows = layer_norm_tile_rows(channels, streamed);
  const T* const none = nullptr;
  parallel_for((rows + tile_rows - 1) / tile_rows, rows * channels / 4, [&](std::int64_t tile) {
    const std::int64_t row = tile * tile_rows, at = row * channels;
    stream_pieces(streamed, y + at, x + at, none, none, std::min(tile_rows, rows - row) * channels,
                  layer_norm_unit * channels,
                  [&](T* to, std::int64_t i, std::int64_t length, StreamedPiece<T>& before) {
                    const std::int64_t first = row + i / channels;
                    ANTHER_SELECT(layer_norm_forward_tile<T>)
                    ({to, mean + 2 * first, rstd + first, x + at + i, weight, bias},
                     {length / channels, channels, d.eps}, before);
                  });
  });
}

// dx = add + the gradient, and dweight and dbias are added to. All three may be null, as may add
// and weight. dx may be add or dy.
template <class T>
void layer_norm_backward(const LayerNormBackward<T>& o, T* workspace, const LayerNormDims& d) {
  const std::int64_t rows = d.rows, channels = d.channels;
  if (rows * channels == 0) return;
  const bool streamed = is_streamed<T>(rows * channels);
  const std::int64_t tile_rows = layer_norm_tile_rows(channels, streamed);
  const std::int64_t tiles = (rows + tile_rows - 1) / tile_rows;
  const std::int64_t part = layer_norm_part(channels);
  parallel_for(tiles, rows * channels / 2, [&](std::int64_t tile) {
    const std::int64_t row = tile * tile_rows, at = row * channels;
    T* const dweight_part = workspace + 2 * tile * part;
    std::fill_n(dweight_part, 2 * part, T(0));
    const T* const add = o.add ? o.add + at : nullptr;
    stream_pieces(o.dx && streamed, o.dx ? o.dx + at : nullptr, add, o.dy + at, o.x + at,
                  std::min(tile_rows, rows - row) * channels, layer_norm_backward_unit * channels,
                  [&](T* to, std::int64_t i, std::int64_t length, StreamedPiece<T>& before) {
                    const std::int64_t first = row + i / channels;
                    ANTHER_SELECT(layer_norm_backward_tile<T>)
                    ({to, add ? add + i : nullptr, dweight_part, dweight_part + part, o.dy + at + i,
                      o.x + at + i, o.mean + 2 * first, o.rstd + first, o.weight},
                     {length / channels, channels, d.eps}, before);
                  });
  });
  if (o.dweight) {
    ANTHER_SELECT(layer_norm_add_parts<T>)(o.dweight, workspace, tiles, channels, 2 * part);
  }
  if (o.dbias) {
    ANTHER_SELECT(layer_norm_add_parts<T>)(o.dbias, workspace + part, tiles, channels, 2 * part);
  }
}

}  // namespace anther::inline v0_1::kernels
