// The main function of every test program. It ends with status 77, which CTest counts as skipped,
// where ANTHER_ISA asks for an instruction set that this processor lacks; and where CTest runs the
// tests again on the other instruction sets (ANTHER_TEST_AGAIN) and this is the best one.
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
    const bool again = std::getenv("ANTHER_TEST_AGAIN") != nullptr && isa == anther::best_isa();
    if (isa <= anther::best_isa() && !again) continue;
    std::printf(again ? "skipped: %s is this processor's best, with which the tests run anyway\n"
                      : "skipped: this processor has no %s\n",
                forced);
    return 77;
  }
  doctest::Context context(argc, argv);
  return context.run();
}
