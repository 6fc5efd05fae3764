// A clock that is never set back. What <chrono> costs each program that it is compiled with is a
// tenth of its memory, so it is used only where the system has no other clock.
#pragma once

#if defined(__unix__) || defined(__APPLE__)
#include <time.h>
#else
#include <chrono>
#endif

namespace anther::inline v0_1::detail {

// Seconds since some moment that is the same for all threads.
inline double steady_seconds() {
#if defined(__unix__) || defined(__APPLE__)
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
#else
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
#endif
}

}  // namespace anther::inline v0_1::detail
