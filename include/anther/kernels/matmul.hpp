// Batched matrix products: y = a b, for each of many pairs of matrices. a (batches of a, rows,
// depth), b (batches of b, depth, columns), y (batches, rows, columns); the batch axes of a and b
// are broadcast as NumPy does it. Backward needs a and b:
//   da = da_add + dy b^T,  db += a^T dy,  each summed over the batches that share a matrix.
// Many small products are shared among the threads, a large product is cut into tiles. Which of the
// two it is follows from the shapes alone.
#pragma once

#include <algorithm>
#include <cstdint>

#include "anther/kernels/gemm.hpp"

namespace anther::inline v0_1::kernels {

// The numbers of the matrices in a, b and y.
struct MatmulPlace {
  std::int64_t a = 0, b = 0, y = 0;
};

// A step is the distance, in matrices, from one place of a batch axis to the next; 0 where the axis
// is broadcast. Axes that are not needed come first, with an extent of 1.
struct MatmulDims {
  static constexpr int axes = 4;

  std::int64_t rows = 0, columns = 0, depth = 0;
  std::int64_t extents[axes] = {1, 1, 1, 1};
  std::int64_t a_steps[axes] = {}, b_steps[axes] = {};

  // Calls visit with all members, in their order.
  template <class Visit>
  constexpr decltype(auto) members(const Visit& visit) const {
    return visit(rows, columns, depth, extents[0], extents[1], extents[2], extents[3], a_steps[0],
                 a_steps[1], a_steps[2], a_steps[3], b_steps[0], b_steps[1], b_steps[2],
                 b_steps[3]);
  }

  // How many batches the axes have that `chosen` says, and the place of number `index` of them.
  std::int64_t count(const bool (&chosen)[axes]) const {
    std::int64_t all = 1;
    for (int i = 0; i < axes; ++i) all *= chosen[i] ? extents[i] : 1;
    return all;
  }
  MatmulPlace place(const bool (&chosen)[axes], std::int64_t index) const {
    MatmulPlace at;
    std::int64_t y_step = 1;
    for (int i = axes - 1; i >= 0; --i) {
      if (chosen[i]) {
        const std::int64_t number = index % extents[i];
        index /= extents[i];
        at.a += number * a_steps[i];
        at.b += number * b_steps[i];
        at.y += number * y_step;
      }
      y_step *= extents[i];
    }
    return at;
  }
  std::int64_t batches() const { return extents[0] * extents[1] * extents[2] * extents[3]; }
};

// Scratch memory is for at most this many products at once.
inline constexpr std::int64_t matmul_tiles = 64;

// Whether `products` products (or sums of them) are shared among the threads whole.
inline bool matmul_is_shared(const MatmulDims& d, std::int64_t products) {
  return products >= 4 && d.rows * d.columns * d.depth < std::int64_t{1} << 22;
}

// Elements of workspace for a product whose packed matrix is (depth, columns).
template <class T>
std::int64_t matmul_scratch(const MatmulDims& d, std::int64_t columns, std::int64_t depth) {
  const std::int64_t at_once =
      matmul_is_shared(d, d.batches()) ? std::min(d.batches(), matmul_tiles) : 1;
  return at_once * gemm_packed_size<T>(columns, depth);
}
template <class T>
std::int64_t matmul_workspace(const MatmulDims& d) {
  return matmul_scratch<T>(d, d.columns, d.depth);
}
template <class T>
std::int64_t matmul_backward_workspace(const MatmulDims& d) {
  const GemmTnDims product{.rows = d.rows, .outs = d.depth, .columns = d.columns};
  return std::max(matmul_scratch<T>(d, d.depth, d.columns), gemm_tn_workspace<T>(product));
}

// Calls body(first, last, tile) for ranges of `products` products, of which each has a workspace of
// its own.
template <class Body>
void for_matmuls(const MatmulDims& d, std::int64_t products, const Body& body) {
  if (!matmul_is_shared(d, products)) {
    body(std::int64_t{0}, products, std::int64_t{0});
    return;
  }
  const std::int64_t tiles = std::min(products, matmul_tiles);
  parallel_for(tiles, d.batches() * d.rows * d.columns * d.depth / 50, [&](std::int64_t tile) {
    body(products * tile / tiles, products * (tile + 1) / tiles, tile);
  });
}

template <class T>
void matmul_forward(T* y, const T* a, const T* b, T* workspace, const MatmulDims& d) {
  constexpr bool all[] = {true, true, true, true};
  const std::int64_t size = gemm_packed_size<T>(d.columns, d.depth);
  for_matmuls(d, d.batches(), [&](std::int64_t first, std::int64_t last, std::int64_t tile) {
    T* const packed = workspace + tile * size;
    std::int64_t is_packed = -1;
    for (std::int64_t i = first; i < last; ++i) {
      const MatmulPlace at = d.place(all, i);
      if (at.b != is_packed)
        gemm_pack<T>(packed, b + at.b * d.depth * d.columns, {d.columns, d.depth, 1, d.columns});
      is_packed = at.b;
      gemm<T>(y + at.y * d.rows * d.columns, nullptr, a + at.a * d.rows * d.depth, packed, nullptr,
              dense_gemm(d.rows, d.columns, d.depth));
    }
  });
}

// da_add may be null, or da.
template <class T>
void matmul_backward_a(T* da, const T* da_add, const T* dy, const T* b, T* workspace,
                       const MatmulDims& d) {
  bool own[MatmulDims::axes], summed[MatmulDims::axes];
  for (int i = 0; i < MatmulDims::axes; ++i) summed[i] = !(own[i] = d.a_steps[i] != 0);
  const std::int64_t size = gemm_packed_size<T>(d.depth, d.columns);
  for_matmuls(d, d.count(own), [&](std::int64_t first, std::int64_t last, std::int64_t tile) {
    T* const packed = workspace + tile * size;
    std::int64_t is_packed = -1;
    for (std::int64_t i = first; i < last; ++i) {
      const MatmulPlace matrix = d.place(own, i);
      const std::int64_t to = matrix.a * d.rows * d.depth;
      const T* add = da_add ? da_add + to : nullptr;
      for (std::int64_t s = 0; s < d.count(summed); ++s) {
        const MatmulPlace at = d.place(summed, s);
        const std::int64_t from = matrix.b + at.b;
        if (from != is_packed)
          gemm_pack<T>(packed, b + from * d.depth * d.columns, {d.depth, d.columns, d.columns, 1});
        is_packed = from;
        gemm<T>(da + to, add, dy + (matrix.y + at.y) * d.rows * d.columns, packed, nullptr,
                dense_gemm(d.rows, d.depth, d.columns));
        add = da + to;
      }
    }
  });
}

// db is added to.
template <class T>
void matmul_backward_b(T* db, const T* dy, const T* a, T* workspace, const MatmulDims& d) {
  bool own[MatmulDims::axes], summed[MatmulDims::axes];
  for (int i = 0; i < MatmulDims::axes; ++i) summed[i] = !(own[i] = d.b_steps[i] != 0);
  const GemmTnDims product{.rows = d.rows,
                           .outs = d.depth,
                           .columns = d.columns,
                           .dy_stride = d.depth,
                           .x_stride = d.columns,
                           .dw_stride = d.columns};
  T* const sums = matmul_is_shared(d, d.count(own)) ? nullptr : workspace;
  for_matmuls(d, d.count(own), [&](std::int64_t first, std::int64_t last, std::int64_t) {
    for (std::int64_t i = first; i < last; ++i) {
      const MatmulPlace matrix = d.place(own, i);
      for (std::int64_t s = 0; s < d.count(summed); ++s) {
        const MatmulPlace at = d.place(summed, s);
        gemm_tn<T>(db + matrix.b * d.depth * d.columns, a + (matrix.a + at.a) * d.rows * d.depth,
                   dy + (matrix.y + at.y) * d.rows * d.columns, sums, product);
      }
    }
  });
}

}  // namespace anther::inline v0_1::kernels
