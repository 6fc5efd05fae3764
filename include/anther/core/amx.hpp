// AMX: the matrix unit of Intel's processors since Sapphire Rapids, for products in bfloat16.
//
// Its registers are eight tiles of 16 rows of 64 bytes. A process asks Linux for them once. A
// thread says how large its tiles are before it uses them, and gives them up after its part of a
// parallel_for: else every switch of threads would save them.
#pragma once

#include <cstdint>
#include <cstdlib>

#include "anther/core/cpu.hpp"
#include "anther/core/parallel_for.hpp"

namespace anther::inline v0_1 {

// Whether the processor has AMX for bfloat16 (and AVX512-BF16, which rounds to it), and Linux lets
// this process use it.
inline bool amx_is_there() {
#if defined(__x86_64__) && defined(__linux__)
  // By the instructions themselves: a generated header (export/cpp_header.hpp) can include no
  // headers of the system's here.
  unsigned a = 0, b = 0, c = 0, d = 0;
  const auto cpuid = [&](unsigned leaf, unsigned part) {
    asm volatile("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(leaf), "c"(part));
  };
  constexpr unsigned amx_bf16 = 1u << 22, amx_tile = 1u << 24, avx512_bf16 = 1u << 5;
  cpuid(0, 0);
  if (a < 7) return false;
  cpuid(7, 0);
  const unsigned parts = a;
  if ((d & amx_bf16) == 0 || (d & amx_tile) == 0 || parts < 1) return false;
  cpuid(7, 1);
  if ((a & avx512_bf16) == 0) return false;
  constexpr long arch_prctl = 158, request = 0x1023, tile_data = 18;
  long result = arch_prctl;  // of ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  asm volatile("syscall"
               : "+a"(result)
               : "D"(request), "S"(tile_data)
               : "rcx", "r11", "memory", "cc");
  return result == 0;
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
