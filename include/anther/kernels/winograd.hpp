// 3x3 convolutions of stride 1 by Winograd's F(2x2, 3x3) (Lavin and Gray, "Fast algorithms for
// convolutional neural networks", 2016): a 2x2 tile of y is A^T [sum over c (G g G^T) (B^T x B)] A,
// 16 products instead of 36. The sums over c are 16 matrix products over many tiles.
// x (N, H, W, C), y (N, H', W', O). It rounds up to twice as coarsely as the plain sum.
#pragma once

#include <algorithm>
#include <cstdint>

#include "anther/core/parallel_for.hpp"
#include "anther/kernels/gemm.hpp"
#include "anther/kernels/vec.hpp"

namespace anther::inline v0_1::kernels {

struct WinogradDims {
  std::int64_t batch, height, width, channels;
  std::int64_t out_height, out_width, out_channels, padding_height, padding_width;

  std::int64_t tiles_high() const { return (out_height + 1) / 2; }
  std::int64_t tiles_wide() const { return (out_width + 1) / 2; }
  std::int64_t tiles() const { return batch * tiles_high() * tiles_wide(); }
  // Tiles whose transformed channels stay in the second-level cache.
  std::int64_t most_tiles() const {
    return std::clamp<std::int64_t>(8192 / channels / 16 * 16, 16, 96);
  }
  // Whether it is faster than the plain product: many tiles for each transformed weight, few of
  // them half empty, and channels enough that the transforms are a small part.
  bool pays() const {
    return channels % 16 == 0 && out_channels % 16 == 0 && std::min(channels, out_channels) >= 32 &&
           std::max(channels, out_channels) <= 256 && tiles() >= 48 &&
           tiles_high() * tiles_wide() * 3 <= out_height * out_width;
  }
};

// What the weight's gradient is made from: transformed tiles of x (16, room, channels), and of dy,
// A dy A^T (16, room, out_channels).
template <class T>
struct WinogradWeight {
  const T *x, *dy, *zeros;
  T *values, *gradients;
  std::int64_t room;
};

#define ANTHER_BODY "anther/kernels/winograd.inl"
#include "anther/kernels/for_each_isa.inl"

// The parts of a convolution that have a workspace each.
inline std::int64_t winograd_parts(const WinogradDims& d, std::int64_t threads) {
  return std::min((d.tiles() + 15) / 16, 2 * threads);
}
// Elements of workspace for one part, and for all: 0 unless d.pays().
inline std::int64_t winograd_part_workspace(const WinogradDims& d) {
  return d.channels + 16 * d.most_tiles() * (d.channels + 48);
}
inline std::int64_t winograd_workspace(const WinogradDims& d, std::int64_t threads) {
  return d.pays() ? winograd_parts(d, threads) * winograd_part_workspace(d) : 0;
}

// Calls finish(first, count) for the pixels of y that `count` tiles from `tile` on are.
template <class Finish>
void winograd_finish(std::int64_t tile, std::int64_t count, const WinogradDims& d,
                     const Finish& finish) {
  for (std::int64_t end = tile + count; tile < end;) {
    const std::int64_t line = tile / d.tiles_wide(), column = tile % d.tiles_wide();
    const std::int64_t here = std::min(end - tile, d.tiles_wide() - column);
    const std::int64_t i = line % d.tiles_high() * 2, n = line / d.tiles_high();
    for (std::int64_t row = i; row < std::min(i + 2, d.out_height); ++row)
      finish((n * d.out_height + row) * d.out_width + 2 * column,
             std::min(2 * here, d.out_width - 2 * column));
    tile += here;
  }
}

// y = ... + bias + add, and then finish(first, count) for rows of y (pixels), by the thread that
// has computed them; all.packed by pack_weight, with PackOptions::winograd. bias and add may be
// null; add may be y.
template <class T, class Finish>
void winograd_conv2d(const GemmOperands<T>& all, T* workspace, const WinogradDims& d,
                     const Finish& finish) {
  const std::int64_t parts = winograd_parts(d, available_threads());
  const auto body = ANTHER_SELECT(winograd_tiles<T>);
  parallel_for(parts, d.tiles() * 16 * d.channels * d.out_channels / 50, [&](std::int64_t part) {
    const std::int64_t first = d.tiles() * part / parts;
    const std::int64_t count = d.tiles() * (part + 1) / parts - first;
    const std::int64_t blocks = (count + d.most_tiles() - 1) / d.most_tiles();
    for (std::int64_t block = 0; block < blocks; ++block) {
      const std::int64_t tile = first + count * block / blocks;
      body(all, workspace + part * winograd_part_workspace(d), d, tile,
           first + count * (block + 1) / blocks - tile);
      winograd_finish(tile, first + count * (block + 1) / blocks - tile, d, finish);
    }
  });
}

// Tiles that are transformed at a time for the weight's gradient: some megabytes.
inline std::int64_t winograd_weight_room(const WinogradDims& d) {
  return std::min(d.tiles(), (std::int64_t{1} << 15) / (d.channels + d.out_channels) / 16 * 16);
}
// Whether the weight's gradient is faster so too: threads wait for each other at every such number
// of tiles, which takes long where they share their cores with others.
inline bool winograd_weight_pays(const WinogradDims& d) {
  return d.pays() && d.tiles() <= 16 * winograd_weight_room(d);
}
// Elements of workspace for the weight's gradient.
inline std::int64_t winograd_weight_workspace(const WinogradDims& d) {
  const std::int64_t transformed = winograd_weight_room(d) * (d.channels + d.out_channels);
  return d.channels + 16 * (transformed + d.channels * d.out_channels);
}

// dweight (O, 3, 3, C) += G^T [sum over the tiles (A dy A^T) (B^T x B)] G.
template <class T>
void winograd_backward_weight(T* dweight, const T* dy, const T* x, T* workspace,
                              const WinogradDims& d) {
  const std::int64_t room = winograd_weight_room(d), size = d.channels * d.out_channels;
  T* const zeros = workspace;
  T* const sums = zeros + d.channels;  // (16, O, C)
  T* const values = sums + 16 * size;
  const WinogradWeight<T> tiles{x, dy, zeros, values, values + 16 * room * d.channels, room};
  std::fill_n(zeros, d.channels + 16 * size, T(0));
  constexpr std::int64_t tile_step = 16;
  const std::int64_t out_parts =
      std::clamp<std::int64_t>(available_threads() / 8, 1, d.out_channels / 16);
  for (std::int64_t first = 0; first < d.tiles(); first += room) {
    const std::int64_t count = std::min(room, d.tiles() - first);
    const auto transform = ANTHER_SELECT(winograd_weight_tiles<T>);
    parallel_for((count + tile_step - 1) / tile_step, count * 4 * (d.channels + d.out_channels),
                 [&](std::int64_t step) {
                   const std::int64_t at = step * tile_step;
                   transform(tiles, d, first + at, at, std::min(tile_step, count - at));
                 });
    const auto multiply = ANTHER_SELECT(gemm_tn<T>);
    parallel_for(16 * out_parts, count * 16 * size / 50, [&](std::int64_t part) {
      const std::int64_t t = part / out_parts;
      const std::int64_t out = d.out_channels * (part % out_parts) / out_parts;
      const std::int64_t end = d.out_channels * (part % out_parts + 1) / out_parts;
      multiply(sums + t * size + out * d.channels,
               tiles.gradients + t * room * d.out_channels + out, values + t * room * d.channels,
               {.rows = count,
                .outs = end - out,
                .columns = d.channels,
                .dy_stride = d.out_channels,
                .x_stride = d.channels,
                .dw_stride = d.channels});
    });
  }
  const auto add_weight = ANTHER_SELECT(winograd_add_weight<T>);
  parallel_for(d.out_channels, 8 * size, [&](std::int64_t out) {
    add_weight(dweight + out * 9 * d.channels, sums + out * d.channels, size, d.channels);
  });
}

}  // namespace anther::inline v0_1::kernels
