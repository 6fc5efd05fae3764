// A picture that cannot be written is no reason to lose a training.
#pragma once

#include <cstdio>

#include "anther/core/check.hpp"

namespace anther::inline v0_1::report {

// Runs draw(). If it throws Error, says so on the standard error, and goes on.
template <class Draw>
void draw_or_tell(const Draw& draw) {
  try {
    draw();
  } catch (const Error& error) {
    std::fprintf(stderr, "Warning: %s; the training goes on without this picture\n", error.what());
  }
}

}  // namespace anther::inline v0_1::report
