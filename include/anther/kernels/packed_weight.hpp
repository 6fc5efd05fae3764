// A weight in the order in which a matrix product reads it (kernels/gemm.hpp).
#pragma once

#include <cstdint>

#include "anther/kernels/gemm.hpp"

namespace anther::inline v0_1::kernels {

template <class T>
std::int64_t packed_size(const PackOptions& pack) {
  return pack.groups * gemm_packed_size<T>(pack.columns, pack.depth);
}

template <class T>
void pack_weight(T* packed, const T* weight, const PackOptions& pack) {
  const std::int64_t size = gemm_packed_size<T>(pack.columns, pack.depth);
  for (std::int64_t group = 0; group < pack.groups; ++group)
    gemm_pack<T>(packed + group * size, weight + group * pack.group_stride, pack);
}

}  // namespace anther::inline v0_1::kernels
