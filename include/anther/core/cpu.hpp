// Which instruction set the kernels use.
#pragma once

#include <cstdlib>
#include <string_view>

#include "anther/core/check.hpp"
#include "anther/core/isa.hpp"

namespace anther::inline v0_1 {

// The instruction set that the kernels use: the best one, or a lower one that the environment
// variable ANTHER_ISA names (baseline, avx2, avx512). Throws if the variable names anything else,
// or one that this processor lacks. Decided once.
inline Isa isa() {
  static const Isa chosen = [] {
    const Isa best = best_isa();
    const char* forced = std::getenv("ANTHER_ISA");
    if (!forced || !*forced) return best;
    for (const Isa candidate : every_isa) {
      if (std::string_view(forced) != to_string(candidate)) continue;
      detail::check(candidate <= best, "ANTHER_ISA=", forced, ": this processor has at most ",
                    to_string(best));
      return candidate;
    }
    detail::fail("ANTHER_ISA: expected baseline, avx2 or avx512, got ", forced);
  }();
  return chosen;
}

}  // namespace anther::inline v0_1
