// The text of Anther's kernels, which the build puts into `embed` (cmake/kernel_sources.cmake), so
// that the program needs no source tree.
#pragma once

#include <span>

struct KernelSource {
  const char* path;  // as in an include line
  const char* text;
};

extern const std::span<const KernelSource> kernel_sources;
