#include "anther/core/cpu.hpp"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "tests/io/temporary_folder.hpp"

namespace {

using anther::Isa;

// What isa() gives in a process whose ANTHER_ISA is this: 10 + its number, or 1 for an Error with
// the text in its message. A process decides once, so each asks in a child. (The other tests of
// this program run no kernel, so it is not decided yet.)
int isa_in_child(const char* forced, const std::string& text = "ANTHER_ISA") {
  const pid_t child = ::fork();
  if (child == 0) {
    ::setenv("ANTHER_ISA", forced, 1);
    int status = 2;
    try {
      status = 10 + static_cast<int>(anther::isa());
    } catch (const anther::Error& error) {
      if (contains(error.what(), text)) status = 1;
    }
    ::_exit(status);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST_CASE("cpu: ANTHER_ISA chooses among what the processor has") {
  const Isa best = anther::best_isa();
  CHECK(isa_in_child("") == 10 + static_cast<int>(best));
  for (const Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512}) {
    const bool has = isa <= best;
    CHECK(isa_in_child(to_string(isa), "at most " + std::string(to_string(best))) ==
          (has ? 10 + static_cast<int>(isa) : 1));
  }
}

TEST_CASE("cpu: another name is refused, with the names that there are") {
  CHECK(isa_in_child("avx", "expected baseline, avx2 or avx512, got avx") == 1);
  CHECK(isa_in_child("AVX2") == 1);
}

}  // namespace
