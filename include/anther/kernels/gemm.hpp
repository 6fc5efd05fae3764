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
#define ANTHER_BODY "anther/kernels/gemm_tn.inl"
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

// The dims where rows follow each other at once.
inline GemmDims dense_gemm(std::int64_t rows, std::int64_t columns, std::int64_t depth) {
  return {.rows = rows,
          .columns = columns,
          .depth = depth,
          .x_stride = depth,
          .y_stride = columns,
          .add_stride = columns};
}

// The same where x is not stored: rows_of(to, first, count) computes rows of it, one after another,
// `block` of them at a time, which the workspace holds: block d.depth elements.
template <class T, class RowsOf>
void gemm_of_rows(T* y, const T* add, const RowsOf& rows_of, const T* packed, const T* bias,
                  T* workspace, std::int64_t block, const GemmDims& d) {
  GemmDims part = d;
  part.x_stride = d.depth;
  for (std::int64_t first = 0; first < d.rows; first += block) {
    part.rows = std::min(block, d.rows - first);
    rows_of(workspace, first, part.rows);
    gemm<T>(y + first * d.y_stride, add ? add + first * d.add_stride : nullptr, workspace, packed,
            bias, part);
  }
}

// How gemm_tn is cut into tiles for parallel_for: the rows into chunks, which sum to partial
// results in the workspace, and dw into blocks. The chunks follow from shapes alone. The blocks are
// small enough for the second-level cache, and a few for each thread (one within another
// parallel_for): every element of dw is summed in the same order whatever its block, so that the
// bits do not depend on the number of threads.
struct GemmTnTiles {
  std::int64_t chunks = 1, chunk_rows;
  std::int64_t outs, columns;            // of one block
  std::int64_t out_tiles, column_tiles;  // how many blocks

  GemmTnTiles(const GemmTnDims& d, bool chunked, std::int64_t threads) {
    constexpr std::int64_t largest = 1 << 16;
    if (chunked && d.outs * d.columns <= largest)
      chunks = std::clamp<std::int64_t>(d.rows / 384, 1, 16);
    chunk_rows = std::max<std::int64_t>(((d.rows + chunks - 1) / chunks + 95) / 96 * 96, 96);
    chunks = std::max<std::int64_t>((d.rows + chunk_rows - 1) / chunk_rows, 1);
    const std::int64_t wanted = threads > 1 ? (3 * threads + chunks - 1) / chunks : 1;
    const auto cut = [](std::int64_t size, std::int64_t parts, std::int64_t unit) {
      return std::max<std::int64_t>(((size + parts - 1) / parts + unit - 1) / unit * unit, unit);
    };
    std::int64_t out_parts = 1, column_parts = 1;
    for (;;) {
      outs = cut(d.outs, out_parts, 12);
      columns = cut(d.columns, column_parts, 24);
      out_tiles = (d.outs + outs - 1) / outs;
      column_tiles = (d.columns + columns - 1) / columns;
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

// Elements of workspace for gemm_tn, where it is given one.
template <class T>
std::int64_t gemm_tn_workspace(const GemmTnDims& d) {
  return (GemmTnTiles(d, true, 1).chunks - 1) * d.outs * d.columns;
}

// dw += dy^T x. Without a workspace each thread reads all of dy and x; with one, threads share
// small dw's rows. The two round differently.
template <class T>
void gemm_tn(T* dw, const T* dy, const T* x, T* workspace, const GemmTnDims& d) {
  const GemmTnTiles tiles(d, workspace != nullptr, inside_parallel_for ? 1 : num_threads());
  const auto body = ANTHER_SELECT(gemm_tn<T>);
  const std::int64_t blocks = tiles.out_tiles * tiles.column_tiles, size = d.outs * d.columns;
  parallel_for(tiles.chunks * blocks, d.rows * size / 50, [&](std::int64_t tile) {
    const std::int64_t chunk = tile / blocks, row = chunk * tiles.chunk_rows;
    const std::int64_t out = tile % tiles.out_tiles * tiles.outs;
    const std::int64_t column = tile % blocks / tiles.out_tiles * tiles.columns;
    const std::int64_t outs = std::min(tiles.outs, d.outs - out);
    const std::int64_t columns = std::min(tiles.columns, d.columns - column);
    T* to = dw + out * d.dw_stride + column;
    std::int64_t to_stride = d.dw_stride;
    if (chunk > 0) {
      to = workspace + (chunk - 1) * size + out * d.columns + column;
      to_stride = d.columns;
      for (std::int64_t i = 0; i < outs; ++i) std::fill_n(to + i * to_stride, columns, T(0));
    }
    body(std::min(tiles.chunk_rows, d.rows - row), outs, columns, dy + row * d.dy_stride + out,
         d.dy_stride, x + row * d.x_stride + column, d.x_stride, to, to_stride);
  });
  if (tiles.chunks == 1) return;
  const auto add_row = ANTHER_SELECT(gemm_tn_add_row<T>);
  parallel_for(d.outs, size * tiles.chunks / 8, [&](std::int64_t out) {
    add_row(dw + out * d.dw_stride, workspace + out * d.columns, d.columns, size, tiles.chunks - 1);
  });
}
template <class T>
void gemm_tn(T* dw, const T* dy, const T* x, const GemmTnDims& d) {
  gemm_tn<T>(dw, dy, x, static_cast<T*>(nullptr), d);
}

}  // namespace anther::inline v0_1
