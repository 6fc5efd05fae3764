// A weight in the order in which matrix products read it (kernels/gemm.hpp, kernels/conv2d.hpp).
#pragma once

#include <algorithm>
#include <cstdint>

#include "anther/kernels/gemm.hpp"
#include "anther/kernels/winograd.hpp"

namespace anther::inline v0_1::kernels {

// Where the matrix begins, in rows, before which `matrices` others stand, of `rows` rows together:
// in bfloat16 each ends with up to 31 rows of zeros.
inline std::int64_t pack_rows_at(std::int64_t rows, std::int64_t matrices, bool bf16) {
  return bf16 ? (rows + 31) / 32 * 32 + 32 * matrices : rows;
}

// Elements of a group's matrices, and of all.
template <class T>
std::int64_t packed_group_size(const PackOptions& pack) {
  const std::int64_t matrices = pack.tap_stride != 0 ? pack.step_height * pack.step_width : 0;
  return packed_size_of<T>(pack.columns, pack_rows_at(pack.depth, matrices, pack.bf16), pack.bf16);
}
template <class T>
std::int64_t packed_size(const PackOptions& pack) {
  return pack.groups * packed_group_size<T>(pack);
}

// The rows of a block where `depth` rows are cut into blocks of at most `most` (0: one block).
inline std::int64_t pack_block(std::int64_t depth, std::int64_t most, bool bf16) {
  if (most == 0 || depth <= most) return depth;
  const std::int64_t blocks = (depth + most - 1) / most, unit = bf16 ? 32 : 16;
  return ((depth + blocks - 1) / blocks + unit - 1) / unit * unit;
}

// The taps of one axis of a kernel of `size` whose number is `residue` modulo `step`: how many, and
// how many have a smaller residue.
struct TapClass {
  std::int64_t count = 0, before = 0;

  TapClass(std::int64_t size, std::int64_t step, std::int64_t residue) {
    for (std::int64_t tap = 0; tap < size; ++tap) {
      count += tap % step == residue;
      before += tap % step < residue;
    }
  }
};

// A class of a kernel's taps is a matrix by itself. This is how many rows of all matrices stand
// before it; `inner` rows belong to a tap.
inline std::int64_t pack_rows_before(const TapClass& row, const TapClass& column,
                                     std::int64_t kernel_width, std::int64_t inner) {
  return (row.before * kernel_width + row.count * column.before) * inner;
}

// The body that packs a panel.
template <class T>
auto gemm_pack_body(bool bf16) {
  return bf16 ? bf16_kernels<T>().pack : ANTHER_SELECT(gemm_pack_rows<T>);
}

template <class T>
void pack_weight(T* packed, const T* weight, const PackOptions& pack) {
  if (pack.winograd != 0) {
    parallel_for(ANTHER_SELECT(gemm_panels<T>)(pack.columns), pack.columns * pack.depth / 2,
                 [&](std::int64_t panel) {
                   ANTHER_SELECT(winograd_pack_panel<T>)(packed, weight, pack, panel);
                 });
    return;
  }
  const std::int64_t inner = pack.depth / (pack.kernel_height * pack.kernel_width);
  const std::int64_t panels = panels_of<T>(pack.columns, pack.bf16);
  const auto body = gemm_pack_body<T>(pack.bf16);
  // One matrix, of which b is the first element of the first tap.
  const auto pack_matrix = [&](T* to, const T* b, std::int64_t depth, PackRows rows) {
    const std::int64_t block = pack_block(depth, pack.most_rows, pack.bf16);
    const std::int64_t blocks = depth == 0 ? 0 : (depth + block - 1) / block;
    parallel_for(blocks * panels, pack.columns * depth / 2, [&](std::int64_t tile) {
      PackOptions part = pack;
      PackRows part_rows = rows;
      part_rows.first = tile / panels * block;
      part.depth = std::min(block, depth - part_rows.first);
      body(to + packed_size_of<T>(pack.columns, part_rows.first, pack.bf16), b, part, part_rows,
           tile % panels);
    });
  };
  for (std::int64_t group = 0; group < pack.groups; ++group) {
    T* to = packed + group * packed_group_size<T>(pack);
    const T* b = weight + group * pack.group_stride;
    if (pack.tap_stride == 0) {
      pack_matrix(to, b, pack.depth, {.inner = pack.depth});
      continue;
    }
    for (std::int64_t r = 0; r < std::min(pack.step_height, pack.kernel_height); ++r)
      for (std::int64_t c = 0; c < std::min(pack.step_width, pack.kernel_width); ++c) {
        const TapClass row(pack.kernel_height, pack.step_height, r);
        const TapClass column(pack.kernel_width, pack.step_width, c);
        const std::int64_t last_row = r + (row.count - 1) * pack.step_height;
        const std::int64_t last_column = c + (column.count - 1) * pack.step_width;
        const std::int64_t before =
            pack_rows_at(pack_rows_before(row, column, pack.kernel_width, inner),
                         r * pack.step_width + c, pack.bf16);
        pack_matrix(to + packed_size_of<T>(pack.columns, before, pack.bf16),
                    b + (last_row * pack.kernel_width + last_column) * pack.tap_stride,
                    row.count * column.count * inner,
                    {.inner = inner,
                     .line = column.count,
                     .tap_stride = -pack.step_width * pack.tap_stride,
                     .line_stride = -pack.step_height * pack.kernel_width * pack.tap_stride});
      }
  }
}

}  // namespace anther::inline v0_1::kernels
