// The main function of every test program. It ends with status 77, which CTest counts as skipped,
// where ANTHER_ISA asks for an instruction set that this processor lacks.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "anther/core/cpu.hpp"

int main(int argc, char** argv) {
  const char* forced = std::getenv("ANTHER_ISA");
  for (const anther::Isa isa : {anther::Isa::avx2, anther::Isa::avx512}) {
    if (!forced || std::string_view(forced) != anther::to_string(isa)) continue;
    if (isa <= anther::best_isa()) continue;
    std::printf("skipped: this processor has no %s\n", forced);
    return 77;
  }
  doctest::Context context(argc, argv);
  return context.run();
}
