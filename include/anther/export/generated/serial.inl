// What stands in for core/cpu.hpp and core/parallel_for.hpp in a generated header
// (export/cpp_header.hpp): one thread, no heap, no exceptions.
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "anther/core/isa.hpp"

namespace anther::inline v0_1 {

// The best instruction set that this processor has, or the lower one that the environment variable
// ANTHER_ISA names (baseline, avx2, avx512). Any other value is ignored: a device has nobody to
// tell.
inline Isa isa() {
  static const Isa chosen = [] {
    const Isa best = best_isa();
    const char* forced = std::getenv("ANTHER_ISA");
    for (const Isa candidate : every_isa)
      if (forced && candidate <= best && std::strcmp(forced, to_string(candidate)) == 0)
        return candidate;
    return best;
  }();
  return chosen;
}

// What core/amx.hpp wants done after a pass (generated/bf16.inl).
inline thread_local void (*at_thread_end)() = nullptr;

inline constexpr int available_threads() {
  return 1;
}

template <class Body>
void parallel_for(std::int64_t tiles, std::int64_t, const Body& body) {
  for (std::int64_t tile = 0; tile < tiles; ++tile) body(tile);
}

}  // namespace anther::inline v0_1
