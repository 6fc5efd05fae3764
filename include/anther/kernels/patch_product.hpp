// Products of patches of a map with packed matrices: what convolutions are made of (conv2d.hpp).
// Patches are made a tile at a time, on the stack, just before the product reads them.
#pragma once

#include <algorithm>
#include <cstdint>

#include "anther/core/parallel_for.hpp"
#include "anther/kernels/gemm.hpp"
#include "anther/kernels/packed_weight.hpp"
#include "anther/kernels/vec.hpp"

namespace anther::inline v0_1::kernels {

// A tile of patches is at most so large: it stays in the second-level cache beside a block of the
// weight, which is of so many rows.
inline constexpr std::int64_t patch_tile_rows = 112, patch_tile_depth = 288;

// How patches lie in a map (N, height, width, channels), of which they take in_channels. Element
// (a, b, c) of patch (i, j) is at row i stride + a dilation + start, and in a column as much.
struct PatchDims {
  std::int64_t height, width, channels, in_channels;
  std::int64_t kernel_height, kernel_width, stride_height, stride_width;
  std::int64_t dilation_height, dilation_width, start_height, start_width;
  std::int64_t out_height, out_width;  // how many patches there are
  std::int64_t bf16 = 0;  // 1: the map is one in bfloat16, of which all channels are even

  std::int64_t depth() const { return kernel_height * kernel_width * in_channels; }
  // Whether a patch is a pixel, and patches follow each other as pixels do.
  bool is_map() const {
    return kernel_height * kernel_width == 1 && stride_height == 1 && stride_width == 1 &&
           start_height == 0 && start_width == 0 && out_height == height && out_width == width;
  }
};

// The elements first, ..., last - 1 of `count` patches from `patch` on.
struct PatchPart {
  std::int64_t patch, count, first, last;
};

#define ANTHER_BODY "anther/kernels/patch_product.inl"
#include "anther/kernels/for_each_isa.inl"

// Patches of a map of floats, or of one in bfloat16, whose pairs of numbers are moved as floats
// are.
template <class T>
void patch_gather_map(T* to, const T* x, PatchDims d, PatchPart part) {
  if (d.bf16 != 0) {
    d.channels /= 2;
    d.in_channels /= 2;
    part.first /= 2;
    part.last /= 2;
  }
  ANTHER_SELECT(patch_gather<T>)(to, x, d, part);
}

// A product of patches with a matrix. Patch (i, j) is a row of the result, which is at pixel
// (i step + first, j step + first) of a map (N, height, width, channels).
struct PatchProduct {
  PatchDims patches;
  std::int64_t height, width, channels;
  std::int64_t step_height, step_width, first_height, first_width;
  std::int64_t packed_rows;  // rows of the packed weight that stand before this product's

  bool has_lines() const { return step_height > 1 || step_width > 1; }
  std::int64_t pixel(std::int64_t patch) const {
    const std::int64_t line = patch / patches.out_width, j = patch % patches.out_width;
    const std::int64_t i = line % patches.out_height, n = line / patches.out_height;
    return (n * height + i * step_height + first_height) * width + j * step_width + first_width;
  }
};

// One tile of a product, for one group: `count` patches from `patch` on, panels `first_panel` to
// `last_panel` - 1. `all` points at the group's first channels; packed at its matrices.
template <class T>
void patch_product_tile(const GemmOperands<T>& all, const PatchProduct& p, const PackOptions& pack,
                        std::int64_t patch, std::int64_t count, std::int64_t first_panel,
                        std::int64_t last_panel) {
  alignas(64) T tile[patch_tile_rows * patch_tile_depth];
  const auto product = gemm_body<T>(pack.bf16);
  const std::int64_t depth = p.patches.depth(), columns = pack.columns;
  const std::int64_t block = pack_block(depth, patch_tile_depth, pack.bf16);
  for (std::int64_t k = 0;; k += block) {
    const PatchPart part{patch, count, k, std::min(k + block, depth)};
    const std::int64_t width = part.last - k;
    const std::int64_t x_bf16 = p.patches.bf16;
    const T* x = map_at(all.x, patch * p.patches.channels + k, x_bf16);
    std::int64_t x_stride = p.patches.channels;
    if (!p.patches.is_map() && width > 0) {
      patch_gather_map(tile, all.x, p.patches, part);
      x = tile;
      x_stride = width;
    }
    const T* const packed = all.packed + packed_size_of<T>(columns, p.packed_rows + k, pack.bf16);
    // Rows of the result that are evenly spaced: all, or a line of the map at a time.
    for (std::int64_t done = 0; done < count;) {
      const std::int64_t left = p.patches.out_width - (patch + done) % p.patches.out_width;
      const std::int64_t rows = p.has_lines() ? std::min(left, count - done) : count;
      const std::int64_t at = p.pixel(patch + done) * p.channels;
      T* const y = all.y + at;
      const T* const add = k > 0 ? y : all.add ? all.add + at : nullptr;
      product({y, add, map_at(x, done * x_stride, x_bf16), packed, k > 0 ? nullptr : all.bias},
              {.rows = rows,
               .columns = columns,
               .depth = width,
               .x_stride = x_stride,
               .y_stride = p.step_width * p.channels,
               .add_stride = p.step_width * p.channels,
               .bf16 = pack.bf16,
               .x_bf16 = x_bf16},
              first_panel, last_panel);
      done += rows;
    }
    if (part.last == depth) return;  // also where a product has no taps: y = add + bias
  }
}

// The products of one convolution: each group's patches with each of its matrices, and then
// finish(first, count) for rows of the result, which are patches, where there is one product.
template <class T, class ProductAt, class Finish>
void patch_products(const GemmOperands<T>& all, const ProductAt& product_at, std::int64_t products,
                    std::int64_t batch, std::int64_t groups, const PackOptions& pack,
                    const Finish& finish) {
  std::int64_t most_rows = 0;
  for (std::int64_t i = 0; i < products; ++i) {
    const PatchDims p = product_at(i).patches;
    most_rows = std::max(most_rows, batch * p.out_height * p.out_width);
  }
  const std::int64_t panels = panels_of<T>(pack.columns, pack.bf16);
  const std::int64_t threads = available_threads();
  const GemmTiles tiles(most_rows, panels, threads, pack.bf16);
  const std::int64_t packed_group = packed_group_size<T>(pack);
  const std::int64_t in_row = products * groups * tiles.panel_tiles;
  parallel_for(tiles.row_tiles * in_row, groups * most_rows * pack.columns * pack.depth / 50,
               [&](std::int64_t tile) {
                 const std::int64_t row_tile = tile / in_row, panel_tile = tile % tiles.panel_tiles;
                 const std::int64_t group = tile / tiles.panel_tiles % groups;
                 const PatchProduct p = product_at(tile % in_row / (groups * tiles.panel_tiles));
                 const std::int64_t rows = batch * p.patches.out_height * p.patches.out_width;
                 const std::int64_t row = tiles.row(rows, row_tile, tiles.row_tiles);
                 const std::int64_t count = tiles.row(rows, row_tile + 1, tiles.row_tiles) - row;
                 const std::int64_t out = group * pack.columns;
                 const GemmOperands<T> here = {
                     all.y + out, all.add ? all.add + out : nullptr,
                     map_at(all.x, group * p.patches.in_channels, p.patches.bf16),
                     all.packed + group * packed_group, all.bias ? all.bias + out : nullptr};
                 const std::int64_t most = patch_tile_rows / tiles.unit * tiles.unit;
                 const std::int64_t parts = (count + most - 1) / most;
                 for (std::int64_t part = 0; part < parts; ++part) {
                   const std::int64_t first = tiles.row(count, part, parts);
                   patch_product_tile(here, p, pack, row + first,
                                      tiles.row(count, part + 1, parts) - first,
                                      tiles.begin(panels, panel_tile, tiles.panel_tiles),
                                      tiles.begin(panels, panel_tile + 1, tiles.panel_tiles));
                 }
                 if (in_row == 1) finish(row, count);
               });
  if (in_row > 1 && products == 1)
    finish_all(most_rows, most_rows * groups * pack.columns / 4, finish);
}
template <class T, class ProductAt>
void patch_products(const GemmOperands<T>& all, const ProductAt& product_at, std::int64_t products,
                    std::int64_t batch, std::int64_t groups, const PackOptions& pack) {
  patch_products(all, product_at, products, batch, groups, pack, no_finish);
}

}  // namespace anther::inline v0_1::kernels
