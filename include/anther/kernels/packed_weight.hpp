// A weight in the order in which a matrix product reads it (kernels/gemm.hpp).
#pragma once

#include <cstdint>

#include "anther/kernels/gemm.hpp"

namespace anther::inline v0_1::kernels {

// How a weight is read by a matrix product: `groups` matrices one after another, of which
// B[k][n] = weight[group group_stride + n column_stride + k depth_stride].
struct PackOptions {
  std::int64_t columns = 0;
  std::int64_t depth = 0;
  std::int64_t column_stride = 0;
  std::int64_t depth_stride = 0;
  std::int64_t groups = 1;
  std::int64_t group_stride = 0;

  // Calls visit with all members, in their order.
  template <class Visit>
  constexpr decltype(auto) members(const Visit& visit) const {
    return visit(columns, depth, column_stride, depth_stride, groups, group_stride);
  }

  friend bool operator==(const PackOptions&, const PackOptions&) = default;
};

template <class T>
std::int64_t packed_size(const PackOptions& pack) {
  return pack.groups * gemm_packed_size<T>(pack.columns, pack.depth);
}

template <class T>
void pack_weight(T* packed, const T* weight, const PackOptions& pack) {
  const std::int64_t size = gemm_packed_size<T>(pack.columns, pack.depth);
  for (std::int64_t group = 0; group < pack.groups; ++group)
    gemm_pack<T>(packed + group * size, weight + group * pack.group_stride, pack.columns,
                 pack.depth, pack.column_stride, pack.depth_stride);
}

}  // namespace anther::inline v0_1::kernels
