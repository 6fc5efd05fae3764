// Which instruction sets the processor has, and which one the kernels use.
#pragma once

#include <cstdlib>
#include <string_view>

#include "anther/core/check.hpp"

namespace anther::inline v0_1 {

// In rising order; each kernel has a body for every one (kernels/for_each_isa.inl).
enum class Isa { baseline, avx2, avx512 };

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

// The instruction set that the kernels use: the best, or the lower one that the environment
// variable ANTHER_ISA names (baseline, avx2, avx512). Throws where it names another, or one that
// this processor lacks. Decided once.
inline Isa isa() {
  static const Isa chosen = [] {
    const Isa best = best_isa();
    const char* forced = std::getenv("ANTHER_ISA");
    if (!forced || !*forced) return best;
    for (const Isa candidate : {Isa::baseline, Isa::avx2, Isa::avx512}) {
      if (std::string_view(forced) != to_string(candidate)) continue;
      check(candidate <= best, "ANTHER_ISA=", forced, ": this processor has at most ",
            to_string(best));
      return candidate;
    }
    fail("ANTHER_ISA: expected baseline, avx2 or avx512, got ", forced);
  }();
  return chosen;
}

}  // namespace anther::inline v0_1
