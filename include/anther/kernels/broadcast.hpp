// Element-wise ops of two inputs with NumPy's broadcasting: an axis of extent 1 is repeated. The
// formulas are in binary_table.inl.
#pragma once

#include <algorithm>
#include <cstdint>

#include "anther/kernels/map.hpp"

namespace anther::inline v0_1::kernels {

enum class Binary {
#define ANTHER_BINARY(name, ...) name,
#include "anther/kernels/binary_table.inl"
};

// How the elements of a and b meet: for each axis of the result its extent, and how far a and b go
// on with it (0: their element is repeated). The result is contiguous.
struct BroadcastDims {
  static constexpr int max_rank = 6;
  std::int64_t rank = 1;
  std::int64_t extent[max_rank] = {1, 1, 1, 1, 1, 1};
  std::int64_t a_stride[max_rank] = {}, b_stride[max_rank] = {};

  std::int64_t count() const {
    std::int64_t product = 1;
    for (int axis = 0; axis < rank; ++axis) product *= extent[axis];
    return product;
  }
  // Adds an axis, outermost first; one that goes on where the last one ends becomes part of it.
  void add_axis(std::int64_t size, std::int64_t a, std::int64_t b) {
    const auto last = rank - 1;
    if (size == 1) return;
    if (extent[last] == 1) {
      extent[last] = size, a_stride[last] = a, b_stride[last] = b;
    } else if (a_stride[last] == a * size && b_stride[last] == b * size) {
      extent[last] *= size, a_stride[last] = a, b_stride[last] = b;
    } else {
      extent[rank] = size, a_stride[rank] = a, b_stride[rank] = b;
      ++rank;
    }
  }

  // Calls visit with all members, in their order.
  template <class Visit>
  constexpr decltype(auto) members(const Visit& visit) const {
    return visit(rank, Members{extent}, Members{a_stride}, Members{b_stride});
  }
  struct Members {
    const std::int64_t (&of)[max_rank];
    template <class Visit>
    constexpr decltype(auto) members(const Visit& visit) const {
      return visit(of[0], of[1], of[2], of[3], of[4], of[5]);
    }
  };
};

// A piece of it: rows of `columns` elements of the result. From one row to the next a goes on by
// a_row, within a row by a_step, which is 0 or 1.
struct BroadcastRows {
  std::int64_t rows, columns, a_row, b_row, a_step, b_step;
};

#define ANTHER_BODY "anther/kernels/broadcast.inl"
#include "anther/kernels/for_each_isa.inl"

// Calls body(piece, first, a, b) for pieces of the result, in parallel: `first` is the number of
// the piece's first element, a and b are those of the inputs' elements there.
template <class Body>
void for_broadcast_rows(const BroadcastDims& d, std::int64_t cost, const Body& body) {
  const auto last = d.rank - 1;
  const std::int64_t columns = d.extent[last], count = d.count();
  if (count == 0) return;
  BroadcastRows piece{1, columns, 0, 0, d.a_stride[last], d.b_stride[last]};
  if (d.rank == 1) {
    for_blocks(count, cost, [&](std::int64_t first, std::int64_t length, std::int64_t) {
      BroadcastRows block = piece;
      block.columns = length;
      body(block, first, first * piece.a_step, first * piece.b_step);
    });
    return;
  }
  piece.a_row = d.a_stride[last - 1], piece.b_row = d.b_stride[last - 1];
  const std::int64_t inner = d.extent[last - 1], rows = count / columns;
  const std::int64_t tile_rows = std::max<std::int64_t>(map_block / columns, 1);
  parallel_for((rows + tile_rows - 1) / tile_rows, count * cost / 1000, [&](std::int64_t tile) {
    const std::int64_t end = std::min(rows, (tile + 1) * tile_rows);
    for (std::int64_t row = tile * tile_rows; row < end;) {
      std::int64_t a = 0, b = 0, rest = row;
      for (auto axis = last - 1; axis >= 0; --axis) {
        const std::int64_t index = rest % d.extent[axis];
        rest /= d.extent[axis];
        a += index * d.a_stride[axis], b += index * d.b_stride[axis];
      }
      BroadcastRows run = piece;
      run.rows = std::min(inner - row % inner, end - row);
      body(run, row * columns, a, b);
      row += run.rows;
    }
  });
}

template <class T, Binary op>
void binary_forward(T* y, const T* a, const T* b, const BroadcastDims& d) {
  for_broadcast_rows(d, 500,
                     [&](const BroadcastRows& rows, std::int64_t first, std::int64_t a_first,
                         std::int64_t b_first) {
                       ANTHER_SELECT(binary_forward<T, op>)
                       (y + first, a + a_first, b + b_first, rows);
                     });
}

// t = t_add + dy times the derivative by input 0 (a) or 1 (b), for every element of the result;
// t_add may be null. Where the input is repeated, its gradient is the sum over its repetitions.
template <class T, Binary op, int input>
void binary_backward(T* t, const T* t_add, const T* dy, const T* a, const T* b,
                     const BroadcastDims& d) {
  for_broadcast_rows(d, 700,
                     [&](const BroadcastRows& rows, std::int64_t first, std::int64_t a_first,
                         std::int64_t b_first) {
                       ANTHER_SELECT(binary_backward<T, op, input>)
                       (t + first, t_add ? t_add + first : nullptr, dy + first, a + a_first,
                        b + b_first, rows);
                     });
}

}  // namespace anther::inline v0_1::kernels
