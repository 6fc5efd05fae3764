// The matrix products of gemm.hpp of operands in bfloat16, with sums in float.
//
// Both operands are rounded to bfloat16, to nearest (ties to even); denormals are zeros everywhere.
// The sums are those of AMX. For each 32 of the depth there are two chains of fused multiply-adds,
// each from 0: over the even k, and over the odd ones. They are added, and their sum is added to
// the element:
//   y  = ((bias or 0) + block 0 + block 1 + ...) + add     (gemm)
//   dw = dw + block 0 + block 1 + ...                      (gemm_tn; blocks of 32 rows)
// AMX does this in one instruction, and the other instruction sets do the same by FMA: all give the
// same bits. A depth of more than 4096 is cut: add is added after the first 4096. Where there is no
// bias and add is y, the sums start from it.
#pragma once

#include <algorithm>
#include <cstdint>

#include "anther/core/amx.hpp"
#include "anther/kernels/bf16.hpp"
#include "anther/kernels/bf16_map.hpp"
#include "anther/kernels/gemm_dims.hpp"
#include "anther/kernels/vec.hpp"

namespace anther::inline v0_1::kernels {

// Both operands are copied into tiles, each of 32 elements of the depth. This is how many elements
// a tile has. One of A for FMA has floats, rounded, which takes twice the bytes.
inline constexpr std::int64_t bf16_tile = 512;

// The columns of B are cut into panels of two tiles, and one of one tile where their number is odd.
// Within a panel, the tiles of the same depth stand side by side.
inline std::int64_t bf16_steps(std::int64_t depth) {
  return (depth + 31) / 32;
}
inline std::int64_t bf16_b_stride(std::int64_t columns) {
  return (columns > 16 ? 2 : 1) * bf16_tile;
}

// The tiles of A: how many elements lie between a row of a tile and the next, a tile and that of
// the next rows, and a step and the next. FMA takes them only as they are packed, one after
// another.
struct Bf16Tiles {
  std::int64_t row, tile, step;
};

// y = start + A B for up to two tiles of rows by two of columns, `steps` tiles deep. start and y
// are whole tiles; start may be null, or have a stride of 0.
template <class T>
struct Bf16Block {
  const std::uint16_t* a;
  Bf16Tiles a_tiles;
  const std::uint16_t* b;
  std::int64_t b_stride;  // from a step to the next
  std::int64_t steps;
  const T* start;
  std::int64_t start_stride;
  T* y;
  std::int64_t y_stride;
};

#define ANTHER_BODY "anther/kernels/gemm_bf16_pack.inl"
#include "anther/kernels/for_each_isa.inl"
#define ANTHER_BODY "anther/kernels/gemm_bf16.inl"
#include "anther/kernels/for_each_isa.inl"

// What a product is made of. Only the sums by FMA are compiled for each instruction set. All else
// that is not for AMX is compiled once, for the baseline: every program pays for the time that it
// takes to compile.
template <class T>
struct Bf16Unit {
  std::int64_t a_tile;  // how many pairs of bytes a packed tile of A has
  bool reads_rows;      // whether A can be a map in bfloat16 that is not packed
  decltype(&baseline::bf16_pack_a<T, false, T>) pack_a;
  decltype(&baseline::bf16_pack_b<T, false, T>) pack_b;
  decltype(&baseline::bf16_pack_transposed<T, false, T>) pack_transposed;
  // The same of maps in bfloat16.
  decltype(&baseline::bf16_pack_a<T, false, std::uint16_t>) pack_map_a;
  decltype(&baseline::bf16_pack_b<T, false, std::uint16_t>) pack_map_b;
  decltype(&baseline::bf16_pack_transposed<T, false, std::uint16_t>) pack_map_transposed;
  decltype(&baseline::bf16_pack_rows<T, false>) pack_rows;
  decltype(&baseline::bf16_copy_columns<T>) copy_columns;
  decltype(&baseline::bf16_narrow_columns<T, false, T>) narrow_columns;
  decltype(&baseline::bf16_narrow_columns<T, false, std::uint16_t>) narrow_map_columns;
  void (*block)(const Bf16Block<T>& p, int row_tiles, int column_tiles);
};
template <class T>
Bf16Unit<T> bf16_fma_unit(decltype(Bf16Unit<T>::block) block) {
  return {2 * bf16_tile,
          false,
          &baseline::bf16_pack_a<T, false, T>,
          &baseline::bf16_pack_b<T, false, T>,
          &baseline::bf16_pack_transposed<T, false, T>,
          &baseline::bf16_pack_a<T, false, std::uint16_t>,
          &baseline::bf16_pack_b<T, false, std::uint16_t>,
          &baseline::bf16_pack_transposed<T, false, std::uint16_t>,
          &baseline::bf16_pack_rows<T, false>,
          &baseline::bf16_copy_columns<T>,
          &baseline::bf16_narrow_columns<T, false, T>,
          &baseline::bf16_narrow_columns<T, false, std::uint16_t>,
          block};
}
#if defined(__x86_64__) && !defined(ANTHER_TEST_BASELINE_VECTOR_BYTES)
template <class T>
Bf16Unit<T> bf16_amx_unit() {
  return {bf16_tile,
          true,
          &avx512::bf16_pack_a<T, true, T>,
          &avx512::bf16_pack_b<T, true, T>,
          &avx512::bf16_pack_transposed<T, true, T>,
          &avx512::bf16_pack_a<T, true, std::uint16_t>,
          &avx512::bf16_pack_b<T, true, std::uint16_t>,
          &avx512::bf16_pack_transposed<T, true, std::uint16_t>,
          &avx512::bf16_pack_rows<T, true>,
          &avx512::bf16_copy_columns<T>,
          &avx512::bf16_narrow_columns<T, true, T>,
          &avx512::bf16_narrow_columns<T, true, std::uint16_t>,
          &avx512::bf16_amx_block<T>};
}
#endif
template <class T>
Bf16Unit<T> bf16_best_unit() {
#if defined(__x86_64__) && !defined(ANTHER_TEST_BASELINE_VECTOR_BYTES)
  if (uses_amx()) return bf16_amx_unit<T>();
#endif
  return bf16_fma_unit<T>(ANTHER_SELECT(bf16_fma_block<T>));
}
template <class T>
const Bf16Unit<T>& bf16_unit_in_use() {
  static const Bf16Unit<T> unit = bf16_best_unit<T>();
  return unit;
}

// Within its life, denormals are zeros in this thread.
class DenormalsAsZeros {
 public:
#if defined(__x86_64__)
  DenormalsAsZeros() {
    asm volatile("stmxcsr %0" : "=m"(before_) : : "memory");
    constexpr unsigned nearest_and_zeros = 0x9fc0;
    asm volatile("ldmxcsr %0" : : "m"(nearest_and_zeros) : "memory");
  }
  ~DenormalsAsZeros() {
    asm volatile("ldmxcsr %0" : : "m"(before_) : "memory");
  }

 private:
  unsigned before_;
#elif defined(__aarch64__)
  DenormalsAsZeros() {
    asm volatile("mrs %0, fpcr" : "=r"(before_) : : "memory");
    asm volatile("msr fpcr, %0" : : "r"(1ull << 24) : "memory");
  }
  ~DenormalsAsZeros() {
    asm volatile("msr fpcr, %0" : : "r"(before_) : "memory");
  }

 private:
  unsigned long long before_;
#endif
 public:
  DenormalsAsZeros(const DenormalsAsZeros&) = delete;
  DenormalsAsZeros& operator=(const DenormalsAsZeros&) = delete;
};

// Computes the blocks of a product. Where tiles are partial, the sums go to memory of this object,
// and from there to y while the next block is computed: the matrix unit and the vector unit then
// work at the same time. finish() writes the last of them.
template <class T>
class Bf16Blocks {
 public:
  explicit Bf16Blocks(const Bf16Unit<T>& unit) : unit_(unit) {}

  // y = start + A B, of which rows x columns exist. p is changed: a copy of it would wait for all
  // stores of the block before.
  void compute(Bf16Block<T>&& p, std::int64_t rows, std::int64_t columns) {
    const int row_tiles = rows > 16 ? 2 : 1, column_tiles = columns > 16 ? 2 : 1;
    if (rows == 16 * row_tiles && columns == 16 * column_tiles) {
      unit_.block(p, row_tiles, column_tiles);
      return;
    }
    if (p.start_stride != 0) {
      unit_.copy_columns(start_, 32, p.start, p.start_stride, nullptr, 0, rows, columns);
      p.start = start_;
      p.start_stride = 32;
    }
    const Unwritten block = {sums_[turn_], p.y, p.y_stride, rows, columns};
    p.y = sums_[turn_];
    p.y_stride = 32;
    unit_.block(p, row_tiles, column_tiles);
    finish();
    unwritten_ = block;
    turn_ = 1 - turn_;
  }
  void finish() {
    const Unwritten& block = unwritten_;
    if (block.sums)
      unit_.copy_columns(block.y, block.y_stride, block.sums, 32, nullptr, 0, block.rows,
                         block.columns);
    unwritten_.sums = nullptr;
  }

 private:
  struct Unwritten {
    const T* sums;
    T* y;
    std::int64_t y_stride, rows, columns;
  };
  const Bf16Unit<T>& unit_;
  Unwritten unwritten_ = {};
  int turn_ = 0;
  alignas(64) T sums_[2][32 * 32];
  alignas(64) T start_[32 * 32] = {};
};

// Whether the matrix unit can read x where it is: whole tiles, whose rows are each a cache line.
template <class T>
bool bf16_in_lines(const T* x, const GemmDims& d) {
  return d.x_bf16 != 0 && d.depth % 32 == 0 && d.x_stride % 32 == 0 &&
         reinterpret_cast<std::uintptr_t>(x) % 64 == 0;
}

// y (rows, columns) = x (rows, depth) B + bias + add, for the panels first to last - 1. Where there
// is no bias and add is y, the sums start from it. A y in bfloat16 needs a depth of at most 4096.
template <class T>
void bf16_gemm(const Bf16Unit<T>& unit, const GemmOperands<T>& o, const GemmDims& d,
               std::int64_t first, std::int64_t last) {
  constexpr std::int64_t most_steps = bf16_most_depth / 32, room = most_steps * 2 * bf16_tile;
  // 16 more: rows of 1 KiB or so would share the first-level cache's sets.
  constexpr std::int64_t most_panels = 9, sums_stride = 32 * most_panels + 16;
  alignas(64) std::uint16_t a[room];
  alignas(64) T sums[32 * sums_stride], last_bias[32] = {};
  Bf16Blocks<T> blocks(unit);
  const auto* const packed = reinterpret_cast<const std::uint16_t*>(o.packed);
  const std::int64_t all_steps = bf16_steps(d.depth);
  // The bias of the last panel, as whole tiles.
  const std::int64_t last_column = (d.columns - 1) / 32 * 32;
  const bool in_lines = unit.reads_rows && bf16_in_lines(o.x, d);
  if (o.bias) std::copy_n(o.bias + last_column, d.columns - last_column, last_bias);
  for (std::int64_t done = 0;; done += most_steps) {
    const std::int64_t steps = all_steps - done < most_steps ? all_steps - done : most_steps;
    const bool goes_on = done > 0 || (!o.bias && o.add == o.y);
    const T* const add = goes_on ? nullptr : o.add;
    // Where sums are rounded or added to, they are kept for several panels, so that y is then
    // written by rows: a row's part of one panel is hardly a cache line, and caches fetch what
    // follows. Else they go to y at once.
    const bool by_rows = d.y_bf16 != 0 || add;
    const std::int64_t a_stride = steps * unit.a_tile;
    // So many tiles of rows at a time stay in the first-level cache beside a panel of B.
    std::int64_t at_once = 24 * bf16_tile / (a_stride + 1) * 2;
    at_once = by_rows || at_once < 2 ? 2 : at_once > 6 ? 6 : at_once;
    if (at_once * a_stride > room) at_once = 1;
    const std::int64_t pair = at_once > 1 ? 32 : 16;
    const std::int64_t depth =
        all_steps - done > most_steps ? bf16_most_depth : d.depth - 32 * done;
    const auto columns_of = [&](std::int64_t from, std::int64_t to) {
      return (32 * to < d.columns ? 32 * to : d.columns) - 32 * from;
    };
    for (std::int64_t row = 0; row < d.rows; row += 16 * at_once) {
      const std::int64_t rows = d.rows - row < 16 * at_once ? d.rows - row : 16 * at_once;
      const bool packs = !in_lines || rows % 16 != 0;
      const auto* const tiles =
          packs ? a : as_bf16(map_at(o.x, row * d.x_stride + 32 * done, d.x_bf16));
      const Bf16Tiles a_tiles =
          packs ? Bf16Tiles{32, a_stride, unit.a_tile} : Bf16Tiles{d.x_stride, 16 * d.x_stride, 32};
      for (std::int64_t i = 0; packs && i < rows; i += 16) {
        const T* const x = map_at(o.x, (row + i) * d.x_stride + 32 * done, d.x_bf16);
        const std::int64_t here = rows - i < 16 ? rows - i : 16;
        if (d.x_bf16 != 0)
          unit.pack_map_a(a + i / 16 * a_stride, as_bf16(x), d.x_stride, here, depth);
        else
          unit.pack_a(a + i / 16 * a_stride, x, d.x_stride, here, depth);
      }
      const auto block = [&](std::int64_t panel, std::int64_t i, T* y, std::int64_t y_stride) {
        const std::int64_t column = 32 * panel;
        const std::int64_t b_stride = bf16_b_stride(columns_of(panel, panel + 1));
        return Bf16Block<T>{.a = tiles + i / 16 * a_tiles.tile,
                            .a_tiles = a_tiles,
                            .b = packed + column * 32 * all_steps + done * b_stride,
                            .b_stride = b_stride,
                            .steps = steps,
                            .start = goes_on                 ? y
                                     : !o.bias               ? nullptr
                                     : column == last_column ? last_bias
                                                             : o.bias + column,
                            .start_stride = goes_on ? y_stride : 0,
                            .y = y,
                            .y_stride = y_stride};
      };
      for (std::int64_t panel = first; !by_rows && panel < last; ++panel)
        for (std::int64_t i = 0; i < rows; i += pair)
          blocks.compute(block(panel, i, o.y + (row + i) * d.y_stride + 32 * panel, d.y_stride),
                         rows - i < pair ? rows - i : pair, columns_of(panel, panel + 1));
      for (std::int64_t from = first; by_rows && from < last; from += most_panels) {
        const std::int64_t to = from + most_panels < last ? from + most_panels : last;
        for (std::int64_t panel = from; panel < to; ++panel)
          unit.block(block(panel, 0, sums + 32 * (panel - from), sums_stride), rows > 16 ? 2 : 1,
                     columns_of(panel, panel + 1) > 16 ? 2 : 1);
        T* const y = map_at(o.y, row * d.y_stride + 32 * from, d.y_bf16);
        const T* const more =
            add ? map_at(add, row * d.add_stride + 32 * from, d.add_bf16) : nullptr;
        const std::int64_t columns = columns_of(from, to);
        if (d.add_bf16 != 0)
          unit.narrow_map_columns(as_bf16(y), d.y_stride, sums, sums_stride, as_bf16(more),
                                  d.add_stride, rows, columns);
        else if (d.y_bf16 != 0)
          unit.narrow_columns(as_bf16(y), d.y_stride, sums, sums_stride, more, d.add_stride, rows,
                              columns);
        else
          unit.copy_columns(y, d.y_stride, sums, sums_stride, more, d.add_stride, rows, columns);
      }
    }
    blocks.finish();
    if (done + most_steps >= all_steps) return;
  }
}

// Asks for 32 columns of up to 32 rows, which will be read and written soon.
template <class T>
void bf16_fetch_block(const T* from, std::int64_t stride, std::int64_t rows) {
  constexpr std::int64_t line = 64 / sizeof(T);
  for (std::int64_t i = 0; i < 32 && i < rows; ++i, from += stride) {
    for (std::int64_t n = 0; n < 32; n += line) __builtin_prefetch(from + n, 1);
    __builtin_prefetch(from + 31, 1);
  }
}

// dw (outs, columns) += dy^T x: to each element, the sums of blocks of 32 rows, in rising order.
template <class T>
void bf16_gemm_tn(const Bf16Unit<T>& unit, T* dw, const T* dy, const T* x, const GemmTnDims& d) {
  constexpr std::int64_t most_columns = 512, most_steps = 8, most_rows = 32 * most_steps;
  const std::int64_t a_stride = most_steps * unit.a_tile;
  alignas(64) std::uint16_t b[most_columns * most_rows], a[2 * most_steps * 2 * bf16_tile];
  Bf16Blocks<T> blocks(unit);
  for (std::int64_t column = 0; column < d.columns; column += most_columns) {
    const std::int64_t columns =
        d.columns - column < most_columns ? d.columns - column : most_columns;
    for (std::int64_t row = 0; row < d.rows; row += most_rows) {
      const std::int64_t rows = d.rows - row < most_rows ? d.rows - row : most_rows;
      const std::int64_t steps = bf16_steps(rows);
      const T* const here = map_at(x, row * d.x_stride + column, d.x_bf16);
      if (d.x_bf16 != 0)
        unit.pack_map_b(b, as_bf16(here), d.x_stride, rows, columns);
      else
        unit.pack_b(b, here, d.x_stride, rows, columns);
      for (std::int64_t out = 0; out < d.outs; out += 32) {
        const std::int64_t outs = d.outs - out < 32 ? d.outs - out : 32;
        for (std::int64_t i = 0; i < outs; i += 16)
          for (std::int64_t step = 0; step < steps; ++step) {
            std::uint16_t* const tile = a + i / 16 * a_stride + step * unit.a_tile;
            const T* const from = map_at(dy, (row + 32 * step) * d.dy_stride + out + i, d.dy_bf16);
            if (d.dy_bf16 != 0)
              unit.pack_map_transposed(tile, as_bf16(from), d.dy_stride, rows - 32 * step,
                                       outs - i);
            else
              unit.pack_transposed(tile, from, d.dy_stride, rows - 32 * step, outs - i);
          }
        for (std::int64_t n = 0; n < columns; n += 32) {
          T* const to = dw + out * d.dw_stride + column + n;
          if (row == 0) {
            const bool same = n + 32 < columns;
            bf16_fetch_block(same ? to + 32 : dw + (out + 32) * d.dw_stride + column, d.dw_stride,
                             same ? outs : d.outs - out - 32);
          }
          blocks.compute({.a = a,
                          .a_tiles = {32, a_stride, unit.a_tile},
                          .b = b + n * 32 * steps,
                          .b_stride = bf16_b_stride(columns - n),
                          .steps = steps,
                          .start = to,
                          .start_stride = d.dw_stride,
                          .y = to,
                          .y_stride = d.dw_stride},
                         outs, columns - n < 32 ? columns - n : 32);
        }
      }
      blocks.finish();
    }
  }
}

// The bodies that use_bf16.hpp names.
template <class T>
void bf16_product(const GemmOperands<T>& o, const GemmDims& d, std::int64_t first,
                  std::int64_t last) {
  const DenormalsAsZeros zeros;
  if (uses_amx()) configure_amx();
  bf16_gemm(bf16_unit_in_use<T>(), o, d, first, last);
}
template <class T>
void bf16_product_tn(T* dw, const T* dy, const T* x, const GemmTnDims& d) {
  const DenormalsAsZeros zeros;
  if (uses_amx()) configure_amx();
  bf16_gemm_tn(bf16_unit_in_use<T>(), dw, dy, x, d);
}
template <class T>
void bf16_pack(T* packed, const T* b, const PackOptions& pack, const PackRows& rows,
               std::int64_t panel) {
  bf16_unit_in_use<T>().pack_rows(reinterpret_cast<std::uint16_t*>(packed), b, pack, rows, panel);
}

}  // namespace anther::inline v0_1::kernels
