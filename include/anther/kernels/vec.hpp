// The small vector type that kernel bodies are written over, once for each instruction set; and how
// a kernel's caller picks among the bodies.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>

#include "anther/core/cpu.hpp"

// What GCC needs at -O2 to keep a register tile in registers; without it the tile lives in memory.
#if defined(__clang__)
#define ANTHER_UNROLL _Pragma("clang loop unroll(full)")
#else
#define ANTHER_UNROLL _Pragma("GCC unroll 32")
#endif

// What a body's small functions are: a vector that crosses a call would have an ABI that depends on
// the instruction set.
#define ANTHER_INLINE __attribute__((always_inline)) inline

// The body of `function` for the instruction set in use: ANTHER_SELECT(gelu<T>)(y, x, count).
#if defined(__x86_64__) && !defined(ANTHER_TEST_BASELINE_VECTOR_BYTES)
#define ANTHER_SELECT(...)                                     \
  (anther::isa() == anther::Isa::avx512 ? &avx512::__VA_ARGS__ \
   : anther::isa() == anther::Isa::avx2 ? &avx2::__VA_ARGS__   \
                                        : &baseline::__VA_ARGS__)
#else
#define ANTHER_SELECT(...) (&baseline::__VA_ARGS__)
#endif

namespace anther::inline v0_1::kernels {
#define ANTHER_BODY "anther/kernels/vec.inl"
#include "anther/kernels/for_each_isa.inl"
#define ANTHER_BODY "anther/kernels/vec_math.inl"
#include "anther/kernels/for_each_isa.inl"
#define ANTHER_BODY "anther/kernels/vec_functions.inl"
#include "anther/kernels/for_each_isa.inl"
}  // namespace anther::inline v0_1::kernels
