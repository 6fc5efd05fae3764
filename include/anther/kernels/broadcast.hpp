// Element-wise ops of two inputs with NumPy's broadcasting: an axis of extent 1 is repeated. The
// formulas are in binary_table.inl. And `where`, which takes its elements from one or the other.
#pragma once

#include <algorithm>
#include <cstdint>

#include "anther/kernels/map.hpp"

namespace anther::inline v0_1::kernels {

enum class Binary {
#define ANTHER_BINARY(name, ...) name,
#include "anther/kernels/binary_table.inl"
};

// How the elements of up to three inputs meet: for each axis of the result its extent, and how far
// each input goes on with it (0: its element is repeated). The result is contiguous.
struct BroadcastDims {
  static constexpr int max_rank = 6, max_inputs = 3;
  std::int64_t rank = 1;
  std::int64_t extent[max_rank] = {1, 1, 1, 1, 1, 1};
  std::int64_t stride[max_inputs][max_rank] = {};

  std::int64_t count() const {
    std::int64_t product = 1;
    for (int axis = 0; axis < rank; ++axis) product *= extent[axis];
    return product;
  }
  // Adds an axis, outermost first; one that goes on where the last one ends becomes part of it.
  void add_axis(std::int64_t size, const std::int64_t (&steps)[max_inputs]) {
    if (size == 1) return;
    bool goes_on = true;
    for (int i = 0; i < max_inputs; ++i) goes_on &= stride[i][rank - 1] == steps[i] * size;
    if (extent[rank - 1] == 1)
      extent[rank - 1] = size;
    else if (goes_on)
      extent[rank - 1] *= size;
    else
      extent[rank++] = size;
    for (int i = 0; i < max_inputs; ++i) stride[i][rank - 1] = steps[i];
  }

  // Calls visit with all members, in their order.
  template <class Visit>
  constexpr decltype(auto) members(const Visit& visit) const {
    return visit(rank, Members{extent}, Strides{stride});
  }
  struct Members {
    const std::int64_t (&of)[max_rank];
    template <class Visit>
    constexpr decltype(auto) members(const Visit& visit) const {
      return visit(of[0], of[1], of[2], of[3], of[4], of[5]);
    }
  };
  struct Strides {
    const std::int64_t (&of)[max_inputs][max_rank];
    template <class Visit>
    constexpr decltype(auto) members(const Visit& visit) const {
      return visit(Members{of[0]}, Members{of[1]}, Members{of[2]});
    }
  };
};

// A piece of it: rows of `columns` elements of the result. From one row to the next input i goes on
// by row_stride[i], within a row by step[i], which is 0 or 1.
struct BroadcastRows {
  std::int64_t rows, columns;
  std::int64_t row_stride[BroadcastDims::max_inputs], step[BroadcastDims::max_inputs];
};
// Where each input begins.
using BroadcastStart = std::int64_t[BroadcastDims::max_inputs];

#define ANTHER_BODY "anther/kernels/broadcast.inl"
#include "anther/kernels/for_each_isa.inl"

// Calls body(piece, first, start) for pieces of the result, in parallel: `first` is the number of
// the piece's first element, start[i] that of input i's element there.
template <class Body>
void for_broadcast_rows(const BroadcastDims& d, std::int64_t cost, const Body& body) {
  constexpr int inputs = BroadcastDims::max_inputs;
  const auto last = d.rank - 1;
  const std::int64_t columns = d.extent[last], count = d.count();
  if (count == 0) return;
  BroadcastRows piece{1, columns, {}, {}};
  for (int i = 0; i < inputs; ++i) piece.step[i] = d.stride[i][last];
  if (d.rank == 1) {
    for_blocks(count, cost, [&](std::int64_t first, std::int64_t length, std::int64_t) {
      BroadcastRows block = piece;
      BroadcastStart start;
      block.columns = length;
      for (int i = 0; i < inputs; ++i) start[i] = first * piece.step[i];
      body(block, first, start);
    });
    return;
  }
  for (int i = 0; i < inputs; ++i) piece.row_stride[i] = d.stride[i][last - 1];
  const std::int64_t inner = d.extent[last - 1], rows = count / columns;
  const std::int64_t tile_rows = std::max<std::int64_t>(map_block / columns, 1);
  parallel_for((rows + tile_rows - 1) / tile_rows, count * cost / 1000, [&](std::int64_t tile) {
    const std::int64_t end = std::min(rows, (tile + 1) * tile_rows);
    for (std::int64_t row = tile * tile_rows; row < end;) {
      BroadcastStart start = {};
      std::int64_t rest = row;
      for (auto axis = last - 1; axis >= 0; --axis) {
        const std::int64_t index = rest % d.extent[axis];
        rest /= d.extent[axis];
        for (int i = 0; i < inputs; ++i) start[i] += index * d.stride[i][axis];
      }
      BroadcastRows run = piece;
      run.rows = std::min(inner - row % inner, end - row);
      body(run, row * columns, start);
      row += run.rows;
    }
  });
}

template <class T, Binary op>
void binary_forward(T* y, const T* a, const T* b, const BroadcastDims& d) {
  for_broadcast_rows(
      d, 500, [&](const BroadcastRows& rows, std::int64_t first, const BroadcastStart& start) {
        ANTHER_SELECT(binary_forward<T, op>)(y + first, a + start[0], b + start[1], rows);
      });
}

// t = t_add + dy times the derivative by input 0 (a) or 1 (b), for every element of the result;
// t_add may be null. Where the input is repeated, its gradient is the sum over its repetitions.
template <class T, Binary op, int input>
void binary_backward(T* t, const T* t_add, const T* dy, const T* a, const T* b,
                     const BroadcastDims& d) {
  for_broadcast_rows(
      d, 700, [&](const BroadcastRows& rows, std::int64_t first, const BroadcastStart& start) {
        ANTHER_SELECT(binary_backward<T, op, input>)
        (t + first, t_add ? t_add + first : nullptr, dy + first, a + start[0], b + start[1], rows);
      });
}

// y = a where the condition is not 0, else b. Inputs of d: condition, a, b.
template <class T>
void where_forward(T* y, const std::int32_t* condition, const T* a, const T* b,
                   const BroadcastDims& d) {
  for_broadcast_rows(
      d, 500, [&](const BroadcastRows& rows, std::int64_t first, const BroadcastStart& start) {
        ANTHER_SELECT(where_forward<T>)
        (y + first, condition + start[0], a + start[1], b + start[2], rows);
      });
}

// t = t_add + dy where a (or b) was taken, t_add elsewhere, for every element of the
// result; t_add may be null.
template <class T>
void where_backward(T* t, const T* t_add, const T* dy, const std::int32_t* condition, bool of_a,
                    const BroadcastDims& d) {
  for_broadcast_rows(
      d, 500, [&](const BroadcastRows& rows, std::int64_t first, const BroadcastStart& start) {
        ANTHER_SELECT(where_backward<T>)
        (t + first, t_add ? t_add + first : nullptr, dy + first, condition + start[0], of_a, rows);
      });
}

}  // namespace anther::inline v0_1::kernels
