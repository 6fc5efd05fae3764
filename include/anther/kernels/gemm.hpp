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
#include "anther/kernels/bf16.hpp"
#include "anther/kernels/gemm_dims.hpp"
#include "anther/kernels/vec.hpp"

namespace anther::inline v0_1::kernels {

#define ANTHER_BODY "anther/kernels/gemm.inl"
#include "anther/kernels/for_each_isa.inl"
#define ANTHER_BODY "anther/kernels/gemm_tn.inl"
#include "anther/kernels/for_each_isa.inl"

// Elements of the packed B (depth, columns).
template <class T>
std::int64_t gemm_packed_size(std::int64_t columns, std::int64_t depth) {
  return ANTHER_SELECT(gemm_packed_size<T>)(columns, depth);
}

// packed = B, where B[k][n] = b[k depth_stride + n column_stride]. So for W (out, in), W^T has
// column_stride = in and depth_stride = 1, and W has column_stride = 1 and depth_stride = in.
template <class T>
void gemm_pack(T* packed, const T* b, const PackOptions& pack) {
  parallel_for(ANTHER_SELECT(gemm_panels<T>)(pack.columns), pack.columns * pack.depth / 2,
               [&](std::int64_t panel) {
                 ANTHER_SELECT(gemm_pack_panel<T>)(packed, b, pack, panel);
               });
}

// The same of B as a product in bfloat16 reads it, or not: elements of T, panels, and the body that
// computes a part of the product.
template <class T>
std::int64_t packed_size_of(std::int64_t columns, std::int64_t depth, bool bf16) {
  return bf16 ? bf16_packed_size<T>(columns, depth) : gemm_packed_size<T>(columns, depth);
}
template <class T>
std::int64_t panels_of(std::int64_t columns, bool bf16) {
  return bf16 ? bf16_panels(columns) : ANTHER_SELECT(gemm_panels<T>)(columns);
}
template <class T>
auto gemm_body(bool bf16) {
  return bf16 ? bf16_kernels<T>().product : ANTHER_SELECT(gemm<T>);
}
template <class T>
auto gemm_tn_body(bool bf16) {
  return bf16 ? bf16_kernels<T>().product_tn : ANTHER_SELECT(gemm_tn<T>);
}

// How a product is cut into tiles for parallel_for: its rows by about 96, into as many tiles for
// each thread, or where they are too few for that its panels too. Every element is summed in the
// same order whatever its tile, so that the bits do not depend on the number of threads.
struct GemmTiles {
  std::int64_t rows, unit;
  std::int64_t row_tiles = 1, panel_tiles = 1;

  GemmTiles(std::int64_t row_count, std::int64_t panels, std::int64_t threads, bool bf16)
      : rows(row_count), unit(bf16 ? 32 : 1) {
    constexpr std::int64_t tile_rows = 96;
    const std::int64_t rounded = (rows + tile_rows * threads / 2) / (tile_rows * threads);
    row_tiles = std::max<std::int64_t>(rounded, 1) * threads;
    if (rounded > 0 || threads == 1) return;
    row_tiles = std::max<std::int64_t>((rows + tile_rows - 1) / tile_rows, 1);
    panel_tiles = std::clamp<std::int64_t>(2 * threads / row_tiles, 1, panels);
  }
  // Where a tile of `count` rows, cut into so many, begins. In bfloat16 that is at whole pairs of
  // the matrix unit's tiles.
  std::int64_t row(std::int64_t count, std::int64_t tile, std::int64_t tiles) const {
    return std::min(count, begin((count + unit - 1) / unit, tile, tiles) * unit);
  }
  std::int64_t row(std::int64_t tile) const { return row(rows, tile, row_tiles); }
  // The rows of a tile, at most.
  std::int64_t most_rows() const {
    const std::int64_t units = (rows + unit - 1) / unit;
    return (units + row_tiles - 1) / row_tiles * unit;
  }
  // Tile t of `tiles` of `size` rows or panels begins here, and ends where the next one begins.
  static std::int64_t begin(std::int64_t size, std::int64_t t, std::int64_t tiles) {
    return size * t / tiles;
  }
};

// About the nanoseconds of a product.
inline std::int64_t gemm_work(const GemmDims& d) {
  return d.rows * d.columns * d.depth / 50;
}

// finish(first, count) for all of so many rows, which the threads share.
template <class Finish>
void finish_all(std::int64_t rows, std::int64_t work, const Finish& finish) {
  constexpr std::int64_t tile_rows = 8;
  parallel_for((rows + tile_rows - 1) / tile_rows, work, [&](std::int64_t tile) {
    finish(tile * tile_rows, std::min(tile_rows, rows - tile * tile_rows));
  });
}
// A finish that does nothing.
inline constexpr auto no_finish = [](std::int64_t, std::int64_t) {};

// y = x B + bias + add, and then finish(first, count) for rows of y, by the thread that has
// computed them where that is one. bias (columns) and add may be null; add may be y. y overlaps
// neither x nor packed.
template <class T, class Finish>
void gemm_and(T* y, const T* add, const T* x, const T* packed, const T* bias, const GemmDims& d,
              const Finish& finish) {
  const std::int64_t panels = panels_of<T>(d.columns, d.bf16);
  const GemmTiles tiles(d.rows, panels, available_threads(), d.bf16);
  const auto body = gemm_body<T>(d.bf16);
  parallel_for(tiles.row_tiles * tiles.panel_tiles, gemm_work(d), [&](std::int64_t tile) {
    const std::int64_t row_tile = tile / tiles.panel_tiles, panel_tile = tile % tiles.panel_tiles;
    const std::int64_t row = tiles.row(row_tile);
    GemmDims part = d;
    part.rows = tiles.row(row_tile + 1) - row;
    body({map_at(y, row * d.y_stride, d.y_bf16),
          add ? map_at(add, row * d.add_stride, d.add_bf16) : nullptr,
          map_at(x, row * d.x_stride, d.x_bf16), packed, bias},
         part, tiles.begin(panels, panel_tile, tiles.panel_tiles),
         tiles.begin(panels, panel_tile + 1, tiles.panel_tiles));
    if (tiles.panel_tiles == 1) finish(row, part.rows);
  });
  if (tiles.panel_tiles > 1) finish_all(d.rows, d.rows * d.columns / 4, finish);
}
template <class T>
void gemm(T* y, const T* add, const T* x, const T* packed, const T* bias, const GemmDims& d) {
  gemm_and(y, add, x, packed, bias, d, no_finish);
}

// The dims where rows follow each other at once.
inline GemmDims dense_gemm(std::int64_t rows, std::int64_t columns, std::int64_t depth,
                           std::int64_t bf16 = 0) {
  return {.rows = rows,
          .columns = columns,
          .depth = depth,
          .x_stride = depth,
          .y_stride = columns,
          .add_stride = columns,
          .bf16 = bf16};
}

// Rows that are computed when they are read take turns in the cache. A thread computes a tile of
// them at a time; each of so many groups of tiles has room for one.
inline std::int64_t computed_groups(const GemmTiles& tiles, std::int64_t threads) {
  return threads == 1 ? 1 : std::min(4 * threads, tiles.row_tiles);
}
// All the rows that there is room for.
inline std::int64_t computed_rows(std::int64_t rows, std::int64_t threads, bool bf16 = false) {
  const GemmTiles tiles(rows, 1, threads, bf16);
  return computed_groups(tiles, threads) * tiles.most_rows();
}
// The rows of a lazy result's gradient that are there at once: those of one tile, or about a
// mebibyte where threads share them.
inline std::int64_t gradient_rows(std::int64_t rows, std::int64_t columns, std::int64_t threads,
                                  bool bf16 = false) {
  if (threads == 1) return computed_rows(rows, 1, bf16);
  const std::int64_t unit = 96 * threads, size = 1 << 18;
  const std::int64_t row = std::max<std::int64_t>(columns, 1);
  return std::min(rows, std::max<std::int64_t>(size / (row * unit), 1) * unit);
}

// gemm_and where x is not stored: rows_of(to, first, count) computes rows of it, one after another,
// by the calling thread alone, just before the product reads them. The workspace holds
// computed_rows(d.rows, available_threads(), d.bf16) rows of d.depth elements.
template <class T, class RowsOf, class Finish>
void gemm_of_rows(T* y, const T* add, const RowsOf& rows_of, const T* packed, const T* bias,
                  T* workspace, const GemmDims& d, const Finish& finish) {
  const std::int64_t panels = panels_of<T>(d.columns, d.bf16);
  const std::int64_t threads = available_threads();
  const GemmTiles tiles(d.rows, panels, threads, d.bf16);
  if (tiles.panel_tiles > 1) {  // so few rows that all tiles read the same
    GemmDims dense = d;
    dense.x_stride = d.depth;
    rows_of(workspace, 0, d.rows);
    gemm_and<T>(y, add, workspace, packed, bias, dense, finish);
    return;
  }
  const auto body = gemm_body<T>(d.bf16);
  const std::int64_t groups = computed_groups(tiles, threads);
  parallel_for(groups, gemm_work(d), [&](std::int64_t group) {
    T* const x = map_at(workspace, group * tiles.most_rows() * d.depth, d.x_bf16);
    const std::int64_t end = tiles.begin(tiles.row_tiles, group + 1, groups);
    for (std::int64_t tile = tiles.begin(tiles.row_tiles, group, groups); tile < end; ++tile) {
      const std::int64_t row = tiles.row(tile), count = tiles.row(tile + 1) - row;
      rows_of(x, row, count);
      GemmDims part = d;
      part.rows = count;
      part.x_stride = d.depth;
      body({map_at(y, row * d.y_stride, d.y_bf16),
            add ? map_at(add, row * d.add_stride, d.add_bf16) : nullptr, x, packed, bias},
           part, 0, panels);
      finish(row, count);
    }
  });
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
    constexpr std::int64_t largest_chunked = 1 << 16, largest = 1 << 17, least_outs = 12;
    constexpr std::int64_t least_columns = 48;  // whole panels with every instruction set
    if (chunked && d.outs * d.columns <= largest_chunked)
      chunks = std::clamp<std::int64_t>(d.rows / 2048, 1, 16);
    chunk_rows = (d.rows + chunks - 1) / chunks;
    const std::int64_t wanted = threads > 1 ? (3 * threads + chunks - 1) / chunks : 1;
    const auto cut = [](std::int64_t size, std::int64_t parts, std::int64_t unit) {
      return std::max<std::int64_t>(((size + parts - 1) / parts + unit - 1) / unit * unit, unit);
    };
    std::int64_t out_parts = 1, column_parts = 1;
    for (;;) {
      outs = cut(d.outs, out_parts, least_outs);
      columns = cut(d.columns, column_parts, least_columns);
      out_tiles = (d.outs + outs - 1) / outs;
      column_tiles = (d.columns + columns - 1) / columns;
      if (out_tiles * column_tiles >= wanted && outs * columns <= largest) break;
      if (outs > least_outs && (outs >= columns || columns <= least_columns))
        ++out_parts;
      else if (columns > least_columns)
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
  const GemmTnTiles tiles(d, workspace != nullptr, available_threads());
  const auto body = gemm_tn_body<T>(d.bf16);
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
    GemmTnDims part = d;
    part.rows = std::min(tiles.chunk_rows, d.rows - row);
    part.outs = outs;
    part.columns = columns;
    part.dw_stride = to_stride;
    body(to, map_at(dy, row * d.dy_stride + out, d.dy_bf16),
         map_at(x, row * d.x_stride + column, d.x_bf16), part);
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

}  // namespace anther::inline v0_1::kernels
