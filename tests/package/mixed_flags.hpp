#pragma once

// What a translation unit computes, and what it sees of the whole process.
struct MixedResults {
  double random_sum;    // of 100,000 normal numbers
  double parallel_sum;  // 1 + 2 + ... + 1,000, a tile a number
  float gelu_of_one;    // by a kernel
  const char* backend;
};

MixedResults results_of_native();
MixedResults results_of_plain();
