// AMX: the matrix unit of Intel's processors since Sapphire Rapids, for products in bfloat16.
//
// Its registers are eight tiles of 16 rows of 64 bytes. A process asks Linux for them once. A
// thread says how large its tiles are before it uses them, and gives them up after its part of a
// parallel_for: else every switch of threads would save them.
#pragma once

#include <cstdint>

#include "anther/core/cpu.hpp"
#include "anther/core/parallel_for.hpp"

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace anther::inline v0_1 {

// Whether the processor has AMX for bfloat16 (and AVX512-BF16, which rounds to it), and Linux lets
// this process use it.
inline bool amx_is_there() {
#if defined(__x86_64__) && defined(__linux__)
  unsigned a = 0, b = 0, c = 0, d = 0;
  constexpr unsigned amx_bf16 = 1u << 22, amx_tile = 1u << 24, avx512_bf16 = 1u << 5;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
  if ((d & amx_bf16) == 0 || (d & amx_tile) == 0) return false;
  if (!__get_cpuid_count(7, 1, &a, &b, &c, &d) || (a & avx512_bf16) == 0) return false;
  constexpr long request = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, request, tile_data) == 0;
#else
  return false;
#endif
}

// Whether products in bfloat16 use AMX. An ANTHER_ISA (core/cpu.hpp) turns it off: for Valgrind,
// say, which does not know it. Decided once.
inline bool uses_amx() {
  static const bool uses = [] {
    const char* forced = std::getenv("ANTHER_ISA");
    return (!forced || !*forced) && isa() == Isa::avx512 && amx_is_there();
  }();
  return uses;
}

// What bfloat16 products run on: "AMX", or "FMA", whose bits are the same.
inline const char* bf16_unit() {
  return uses_amx() ? "AMX" : "FMA";
}

// Makes this thread's eight tiles 16 rows of 64 bytes, until its part of the parallel_for ends.
inline void configure_amx() {
#if defined(__x86_64__)
  if (at_thread_end != nullptr) return;
  struct alignas(64) Config {
    std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
    std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  };
  static constexpr Config config;
  asm volatile("ldtilecfg %0" : : "m"(config));
  at_thread_end = [] { asm volatile("tilerelease" : : : "memory"); };
#endif
}

}  // namespace anther::inline v0_1
