// The instruction sets that kernels have bodies for, and which of them the processor has.
#pragma once

namespace anther::inline v0_1 {

// In ascending order (kernels/for_each_isa.inl).
enum class Isa { baseline, avx2, avx512 };

inline constexpr Isa every_isa[] = {Isa::baseline, Isa::avx2, Isa::avx512};

inline const char* to_string(Isa isa) {
  switch (isa) {
    case Isa::avx512:
      return "avx512";
    case Isa::avx2:
      return "avx2";
    case Isa::baseline:
      break;
  }
  return "baseline";
}

// The best instruction set that this processor (and its operating system) has.
inline Isa best_isa() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq"))
    return Isa::avx512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return Isa::avx2;
#endif
  return Isa::baseline;
}

// Clears the upper halves of the vector registers. Where a kernel leaves them in use, all other
// code is up to 20 times slower, as far as it uses the lower halves (SSE). GCC has functions clear
// them from -O2 on, Clang always: this is for what GCC compiles below -O2, or with -Os.
inline void clear_upper_vectors() {
#if defined(__x86_64__)
  static const bool has_upper = best_isa() != Isa::baseline;
  if (has_upper)
    asm volatile("vzeroupper" ::
                     : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
                       "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
#endif
}

}  // namespace anther::inline v0_1
