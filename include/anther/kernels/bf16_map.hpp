// Maps that are stored in bfloat16: half the memory of floats. Every number is rounded to nearest
// (ties to even), and denormals become zeros, as products in bfloat16 round their operands.
#pragma once

#include <algorithm>
#include <cstdint>

#include "anther/core/amx.hpp"
#include "anther/kernels/elementwise.hpp"
#include "anther/kernels/vec.hpp"

namespace anther::inline v0_1::kernels {

#define ANTHER_BODY "anther/kernels/bf16_map.inl"
#include "anther/kernels/for_each_isa.inl"

// ANTHER_SELECT for a body whose template arguments are the scalar and whether it rounds by
// AVX512-BF16: ANTHER_SELECT_BF16(bf16_narrow, T)(y, x, count).
#if defined(__x86_64__) && !defined(ANTHER_TEST_BASELINE_VECTOR_BYTES)
#define ANTHER_SELECT_BF16(name, ...) \
  (uses_amx() ? &avx512::name<__VA_ARGS__, true> : ANTHER_SELECT(name<__VA_ARGS__, false>))
#else
#define ANTHER_SELECT_BF16(name, ...) ANTHER_SELECT(name<__VA_ARGS__, false>)
#endif

// y = x, rounded, or as floats again.
template <class T>
void bf16_narrow(std::uint16_t* y, const T* x, std::int64_t count) {
  for_blocks(count, 200, [&](std::int64_t first, std::int64_t length, std::int64_t) {
    ANTHER_SELECT_BF16(bf16_narrow, T)(y + first, x + first, length);
  });
}
template <class T>
void bf16_widen(T* y, const std::uint16_t* x, std::int64_t count) {
  for_blocks(count, 200, [&](std::int64_t first, std::int64_t length, std::int64_t) {
    ANTHER_SELECT(bf16_widen<T>)(y + first, x + first, length);
  });
}

// column_sums of a dy in bfloat16.
template <class T>
void bf16_column_sums(T* dbias, const std::uint16_t* dy, T* workspace, const ColumnSumsDims& d) {
  const std::int64_t step = d.tile_rows(), padded = d.padded_columns();
  parallel_for(d.tiles(), d.rows * d.columns / 4, [&](std::int64_t tile) {
    T* sum = workspace + tile * padded;
    std::fill_n(sum, padded, T(0));
    ANTHER_SELECT(bf16_column_sums<T>)
    (sum, dy + tile * step * d.stride, std::min(step, d.rows - tile * step), d.columns, d.stride);
  });
  ANTHER_SELECT(column_sums<T>)(dbias, workspace, d.tiles(), d.columns, padded);
}

}  // namespace anther::inline v0_1::kernels
