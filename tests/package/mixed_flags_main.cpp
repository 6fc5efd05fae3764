#include <cmath>
#include <cstdio>
#include <cstring>
#include <initializer_list>

#include "mixed_flags.hpp"

int main() {
  const MixedResults native = results_of_native(), plain = results_of_plain();
  int failures = 0;
  const auto expect = [&](bool ok, const char* what) {
    if (ok) return;
    std::printf("failed: %s\n", what);
    ++failures;
  };
  for (const MixedResults& results : {native, plain}) {
    expect(results.parallel_sum == 500500, "parallel_for runs each tile once");
    expect(std::abs(results.gelu_of_one - 0.8413447461f) < 1e-6f, "the kernel is right");
    expect(std::strcmp(results.backend, "OpenMP") == 0, "both units use the OpenMP of one");
    // The sum of 100,000 normal numbers has the deviation 316.
    expect(std::abs(results.random_sum) < 2000, "normal numbers have the mean 0");
  }
  expect(std::abs(native.random_sum - plain.random_sum) < 1e-6, "both units draw the same numbers");
  return failures;
}
