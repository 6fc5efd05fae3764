// Gives parallel_for its threads where this translation unit is compiled with OpenMP: the engine's
// own, as many as OpenMP says, and none within a parallel region of the user's.
// autograd/tape.hpp includes it; a program of kernels alone includes it by itself.
//
// Everything here has internal linkage: of two translation units, one with OpenMP and one without,
// the linker may not pick the wrong copy.
#pragma once

#include "anther/core/parallel_for.hpp"
#include "anther/core/thread_pool.hpp"

#ifdef _OPENMP
#include <omp.h>

#include <cstdlib>

#include "anther/core/cpu_quota.hpp"

namespace anther::inline v0_1 {
namespace {

// NOLINTBEGIN(misc-definitions-in-headers): internal linkage is meant
void run_team(int threads, void (*worker)(void*, int), void* context) {
  if (omp_in_parallel())  // the cores are the user's own team's
    worker(context, 0);
  else
    detail::ThreadPool::instance().run(threads, worker, context);
}

[[maybe_unused]] const bool openmp_registered = [] {
  static const ParallelBackend backend{
      &run_team,
      default_threads(omp_get_max_threads(), own_cpu_quota(), std::getenv("OMP_NUM_THREADS")),
      "OpenMP"};
  parallel_state.backend.store(&backend, std::memory_order_release);
  return true;
}();
// NOLINTEND(misc-definitions-in-headers)

}  // namespace
}  // namespace anther::inline v0_1
#endif
