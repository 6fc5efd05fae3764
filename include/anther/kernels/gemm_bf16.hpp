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

#include <cstdint>

#include "anther/core/amx.hpp"
#include "anther/kernels/gemm_dims.hpp"
#include "anther/kernels/vec.hpp"

namespace anther::inline v0_1::kernels {

#define ANTHER_BODY "anther/kernels/gemm_bf16_pack.inl"
#include "anther/kernels/for_each_isa.inl"
#define ANTHER_BODY "anther/kernels/gemm_bf16.inl"
#include "anther/kernels/for_each_isa.inl"

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

template <class T>
inline constexpr bool has_bf16 = sizeof(T) == 4;

// Panels of 32 columns: what threads may share.
inline std::int64_t bf16_panels(std::int64_t columns) {
  return (columns + 31) / 32;
}
// Elements of T that the packed B (depth, columns) takes.
template <class T>
std::int64_t bf16_packed_size(std::int64_t columns, std::int64_t depth) {
  constexpr std::int64_t in_one = sizeof(T) / 2;
  return (columns + 15) / 16 * 16 * ((depth + 31) / 32 * 32) / in_one;
}

// The bodies, as those of gemm.hpp, for the unit in use. They are of float alone: call them where
// has_bf16.
template <class T>
void bf16_product(const GemmOperands<T>& o, const GemmDims& d, std::int64_t first,
                  std::int64_t last) {
  if constexpr (has_bf16<T>) {
    const DenormalsAsZeros zeros;
#if defined(__x86_64__) && !defined(ANTHER_TEST_BASELINE_VECTOR_BYTES)
    if (uses_amx()) {
      configure_amx();
      return avx512::bf16_gemm<T, true>(o, d, first, last);
    }
#endif
    ANTHER_SELECT(bf16_gemm<T, false>)(o, d, first, last);
  }
}
template <class T>
void bf16_product_tn(T* dw, const T* dy, const T* x, const GemmTnDims& d) {
  if constexpr (has_bf16<T>) {
    const DenormalsAsZeros zeros;
#if defined(__x86_64__) && !defined(ANTHER_TEST_BASELINE_VECTOR_BYTES)
    if (uses_amx()) {
      configure_amx();
      return avx512::bf16_gemm_tn<T, true>(dw, dy, x, d);
    }
#endif
    ANTHER_SELECT(bf16_gemm_tn<T, false>)(dw, dy, x, d);
  }
}

template <class T>
void bf16_pack(T* packed, const T* b, const PackOptions& pack, const PackRows& rows,
               std::int64_t panel) {
  ANTHER_SELECT(bf16_pack_rows<T>)(reinterpret_cast<std::uint16_t*>(packed), b, pack, rows, panel);
}

}  // namespace anther::inline v0_1::kernels
