// What a matrix product is given: its sizes and strides, its operands, and how B is packed
// (gemm.hpp).
#pragma once

#include <cstdint>
#include <type_traits>

namespace anther::inline v0_1::kernels {

// A stride is the distance from one row to the next, at least the width.
struct GemmDims {
  std::int64_t rows = 0, columns = 0, depth = 0;
  std::int64_t x_stride = 0, y_stride = 0, add_stride = 0;
  std::int64_t bf16 = 0;  // 1: x and B are rounded to bfloat16 (gemm_bf16.hpp); B is packed so
  // 1: x, y or add is stored in bfloat16 (bf16_map.hpp), and its pointer is one to such a map. All
  // need bf16, and such an add needs such a y.
  std::int64_t x_bf16 = 0, y_bf16 = 0, add_bf16 = 0;

  // Calls visit with all members, in their order.
  template <class Visit>
  constexpr decltype(auto) members(const Visit& visit) const {
    return visit(rows, columns, depth, x_stride, y_stride, add_stride, bf16, x_bf16, y_bf16,
                 add_bf16);
  }
};

struct GemmTnDims {
  std::int64_t rows = 0, outs = 0, columns = 0;
  std::int64_t dy_stride = 0, x_stride = 0, dw_stride = 0;
  std::int64_t bf16 = 0;                 // 1: dy and x are rounded to bfloat16
  std::int64_t dy_bf16 = 0, x_bf16 = 0;  // 1: they are stored in bfloat16

  // Calls visit with all members, in their order.
  template <class Visit>
  constexpr decltype(auto) members(const Visit& visit) const {
    return visit(rows, outs, columns, dy_stride, x_stride, dw_stride, bf16, dy_bf16, x_bf16);
  }
};

// Element `first` of a map of T, or of a map in bfloat16 whose pointer is written as one to T.
template <class T>
T* map_at(T* map, std::int64_t first, std::int64_t bf16) {
  using Byte = std::conditional_t<std::is_const_v<T>, const char, char>;
  const auto size = bf16 != 0 ? 2 : static_cast<std::int64_t>(sizeof(T));
  return reinterpret_cast<T*>(reinterpret_cast<Byte*>(map) + first * size);
}
template <class T>
const std::uint16_t* as_bf16(const T* map) {
  return reinterpret_cast<const std::uint16_t*>(map);
}
template <class T>
std::uint16_t* as_bf16(T* map) {
  return reinterpret_cast<std::uint16_t*>(map);
}

// What a product writes and reads, or a part of it. add and bias may be null.
template <class T>
struct GemmOperands {
  T* y;
  const T *add, *x, *packed, *bias;
};

// How a weight is read by a matrix product: `groups` matrices one after another, of which
// B[k][n] = weight[group group_stride + n column_stride + k depth_stride].
struct PackOptions {
  std::int64_t columns = 0;
  std::int64_t depth = 0;
  std::int64_t column_stride = 0;
  std::int64_t depth_stride = 0;
  std::int64_t groups = 1;
  std::int64_t group_stride = 0;
  // B is packed in blocks of at most so many rows, each a matrix by itself; 0: as one matrix.
  std::int64_t most_rows = 0;
  // For the gradient of a convolution's input: k goes over the taps of a kernel, tap_stride apart
  // in the weight, from the last to the first, and over depth / taps elements of each. The taps
  // are cut into matrices: those whose row is r modulo step_height, and column c modulo step_width.
  std::int64_t kernel_height = 1, kernel_width = 1;
  std::int64_t step_height = 1, step_width = 1;
  std::int64_t tap_stride = 0;
  // 1: the 16 matrices of kernels/winograd.hpp, depth / 16 rows each, of a 3x3 kernel whose taps
  // are tap_stride apart; 2: the same of the kernel read from its last tap.
  std::int64_t winograd = 0;
  std::int64_t bf16 =
      0;  // 1: elements are rounded to bfloat16, and packed as gemm_bf16.hpp does it

  // Calls visit with all members, in their order.
  template <class Visit>
  constexpr decltype(auto) members(const Visit& visit) const {
    return visit(columns, depth, column_stride, depth_stride, groups, group_stride, most_rows,
                 kernel_height, kernel_width, step_height, step_width, tap_stride, winograd, bf16);
  }

  friend bool operator==(const PackOptions&, const PackOptions&) = default;
};

// Where B's rows stand in a weight: `inner` rows for each tap of a kernel, depth_stride apart. The
// first row is row `first` of those; a line of the kernel has `line` taps.
struct PackRows {
  std::int64_t first = 0, inner = 0, line = 1;
  std::int64_t tap_stride = 0, line_stride = 0;
};

}  // namespace anther::inline v0_1::kernels
