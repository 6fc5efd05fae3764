// Matrix products; all matrices are row-major, with rows at least as far apart as they are wide.
//   gemm:    y = x B + bias + add      y, add (rows, columns), x (rows, depth), B (depth, columns)
//   gemm_tn: dw += dy^T x              dw (outs, columns), dy (rows, outs), x (rows, columns)
// B is packed beforehand. A linear layer y = x W^T + bias, W (out, in), has B = W^T, columns = out,
// depth = in. Its backward keeps x: dx = dy W has B = W, columns = in, depth = out, and dW += dy^T
// x has outs = out, columns = in.
#pragma once

#include <algorithm>
#include <cstdint>

#include "anther/core/parallel_for.hpp"
#include "anther/kernels/vec.hpp"

#define ANTHER_BODY "anther/kernels/gemm.inl"
#include "anther/kernels/for_each_isa.inl"

namespace anther::inline v0_1 {

// A stride is the distance from one row to the next, at least the width.
struct GemmDims {
  std::int64_t rows = 0, columns = 0, depth = 0;
  std::int64_t x_stride = 0, y_stride = 0, add_stride = 0;
};

struct GemmTnDims {
  std::int64_t rows = 0, outs = 0, columns = 0;
  std::int64_t dy_stride = 0, x_stride = 0, dw_stride = 0;
};

// Elements of the packed B (depth, columns).
template <class T>
std::int64_t gemm_packed_size(std::int64_t columns, std::int64_t depth) {
  return ANTHER_SELECT(gemm_packed_size<T>)(columns, depth);
}

// packed = B, where B[k][n] = b[k depth_stride + n column_stride]. So for W (out, in), W^T has
// column_stride = in and depth_stride = 1, and W has column_stride = 1 and depth_stride = in.
template <class T>
void gemm_pack(T* packed, const T* b, std::int64_t columns, std::int64_t depth,
               std::int64_t column_stride, std::int64_t depth_stride) {
  parallel_for(ANTHER_SELECT(gemm_panels<T>)(columns), columns * depth / 2,
               [&](std::int64_t panel) {
                 ANTHER_SELECT(gemm_pack_panel<T>)
                 (packed, b, columns, depth, column_stride, depth_stride, panel);
               });
}

// How a product's rows and panels are cut into tiles for parallel_for. Follows from shapes alone.
struct GemmTiles {
  std::int64_t rows, panels;            // of one tile
  std::int64_t row_tiles, panel_tiles;  // how many

  GemmTiles(std::int64_t all_rows, std::int64_t all_panels) {
    row_tiles = (all_rows + 95) / 96;
    rows = row_tiles == 0 ? 0 : ((all_rows + row_tiles - 1) / row_tiles + 7) / 8 * 8;
    // Few rows: there are at least about 8 tiles nevertheless.
    const std::int64_t wanted = row_tiles == 0 ? 1 : (8 + row_tiles - 1) / row_tiles;
    panels = std::max<std::int64_t>(all_panels / wanted, 1);
    panel_tiles = (all_panels + panels - 1) / panels;
  }
};

// y = x B + bias + add. bias (columns) and add may be null; add may be y. y overlaps neither x nor
// packed.
template <class T>
void gemm(T* y, const T* add, const T* x, const T* packed, const T* bias, const GemmDims& d) {
  const std::int64_t all_panels = ANTHER_SELECT(gemm_panels<T>)(d.columns);
  const GemmTiles tiles(d.rows, all_panels);
  const auto body = ANTHER_SELECT(gemm<T>);
  parallel_for(tiles.row_tiles * tiles.panel_tiles, d.rows * d.columns * d.depth / 50,
               [&](std::int64_t tile) {
                 const std::int64_t row = tile / tiles.panel_tiles * tiles.rows;
                 const std::int64_t panel = tile % tiles.panel_tiles * tiles.panels;
                 body(std::min(tiles.rows, d.rows - row), d.columns, d.depth, x + row * d.x_stride,
                      d.x_stride, packed, y + row * d.y_stride, d.y_stride, bias,
                      add ? add + row * d.add_stride : nullptr, d.add_stride, panel,
                      std::min(panel + tiles.panels, all_panels));
               });
}

// How dw is cut into blocks: small enough for the second-level cache, and a few for each thread, of
// which there is one within another parallel_for. Every element of dw is summed in the same order
// whatever its block is, so the bits do not depend on the number of threads.
struct GemmTnTiles {
  std::int64_t outs, columns;            // of one tile
  std::int64_t out_tiles, column_tiles;  // how many

  GemmTnTiles(std::int64_t all_outs, std::int64_t all_columns, std::int64_t threads) {
    const std::int64_t wanted = threads > 1 ? 3 * threads : 1;
    constexpr std::int64_t largest = 1 << 16;
    const auto cut = [](std::int64_t size, std::int64_t parts, std::int64_t unit) {
      return std::max<std::int64_t>(((size + parts - 1) / parts + unit - 1) / unit * unit, unit);
    };
    std::int64_t out_parts = 1, column_parts = 1;
    for (;;) {
      outs = cut(all_outs, out_parts, 12);
      columns = cut(all_columns, column_parts, 24);
      out_tiles = (all_outs + outs - 1) / outs;
      column_tiles = (all_columns + columns - 1) / columns;
      if (out_tiles * column_tiles >= wanted && outs * columns <= largest) break;
      if (outs > 12 && (outs >= columns || columns <= 48))
        ++out_parts;
      else if (columns > 24)
        ++column_parts;
      else
        break;
    }
  }
};

// dw += dy^T x.
template <class T>
void gemm_tn(T* dw, const T* dy, const T* x, const GemmTnDims& d) {
  const GemmTnTiles tiles(d.outs, d.columns, inside_parallel_for ? 1 : num_threads());
  const auto body = ANTHER_SELECT(gemm_tn<T>);
  parallel_for(tiles.out_tiles * tiles.column_tiles, d.rows * d.outs * d.columns / 50,
               [&](std::int64_t tile) {
                 const std::int64_t out = tile % tiles.out_tiles * tiles.outs;
                 const std::int64_t column = tile / tiles.out_tiles * tiles.columns;
                 body(d.rows, std::min(tiles.outs, d.outs - out),
                      std::min(tiles.columns, d.columns - column), dy + out, d.dy_stride,
                      x + column, d.x_stride, dw + out * d.dw_stride + column, d.dw_stride);
               });
}

}  // namespace anther::inline v0_1
