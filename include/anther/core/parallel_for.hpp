// parallel_for: the only place in Anther with threads that compute.
//
// It hands out fixed tile numbers. What a tile is follows from shapes and options, never from the
// number of threads, so a result has the same bits for any number of threads. The code here is
// serial; core/openmp.hpp adds threads where a translation unit is compiled with OpenMP, by storing
// a function pointer, so that no inline function depends on the flags of its translation unit.
#pragma once

#include <atomic>
#include <cfenv>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <limits>
#include <mutex>
#include <string>

#include "anther/core/check.hpp"
#include "anther/core/isa.hpp"

namespace anther::inline v0_1 {

// Runs worker(context, thread) on each thread of a team. Threads are numbered from 0, which is the
// caller. There are `threads` of them, or fewer if no more can be had.
using RunTeam = void (*)(int threads, void (*worker)(void*, int), void* context);

struct ParallelBackend {
  RunTeam run = nullptr;  // null: serial
  int default_threads = 1;
  const char* name = "serial";
};

// State of the whole process.
struct ParallelState {
  std::atomic<const ParallelBackend*> backend{nullptr};
  std::atomic<int> threads{0};  // 0: the backend's default
};
inline ParallelState parallel_state;
inline thread_local bool inside_parallel_for = false;
// What this thread does when its part of a parallel_for ends, unless null: what a tile has set up
// for the tiles after it (core/amx.hpp) is given up.
inline thread_local void (*at_thread_end)() = nullptr;
inline void end_thread() {
  clear_upper_vectors();
  if (at_thread_end != nullptr) at_thread_end();
  at_thread_end = nullptr;
}

// How many threads parallel_for may use. OMP_NUM_THREADS sets the default.
inline int num_threads() {
  const int chosen = parallel_state.threads.load(std::memory_order_relaxed);
  if (chosen > 0) return chosen;
  const ParallelBackend* backend = parallel_state.backend.load(std::memory_order_acquire);
  return backend ? backend->default_threads : 1;
}

// Within its life num_threads() is the same for this thread, though another thread may set it: an
// op that takes memory for each thread must not find more of them later.
class SteadyThreads {
 public:
  SteadyThreads() : before_(steady) {
    if (steady == 0) steady = num_threads();
  }
  ~SteadyThreads() { steady = before_; }
  SteadyThreads(const SteadyThreads&) = delete;
  SteadyThreads& operator=(const SteadyThreads&) = delete;

  inline static thread_local int steady = 0;  // 0: none lives

 private:
  int before_;
};

// How many threads a parallel_for that is called here may use: one, inside another parallel_for.
inline int available_threads() {
  if (inside_parallel_for) return 1;
  return SteadyThreads::steady > 0 ? SteadyThreads::steady : num_threads();
}

// Sets the number of threads for the whole process, from each thread's next op on; 0 restores the
// default. Throws if the number
// cannot be meant: each thread takes memory.
inline void set_num_threads(int threads) {
  constexpr int most = 4096;
  detail::check(threads >= 0 && threads <= most, "set_num_threads: expected 0 to ", most, ", got ",
                threads);
  parallel_state.threads.store(threads, std::memory_order_relaxed);
}

// "OpenMP", or "serial" where no translation unit was compiled with it.
inline const char* parallel_backend_name() {
  const ParallelBackend* backend = parallel_state.backend.load(std::memory_order_acquire);
  return backend ? backend->name : "serial";
}

// Keeps the exception of the lowest tile that threw.
class TileFailure {
 public:
  void run(void (*body)(const void*, std::int64_t), const void* context, std::int64_t tile) {
    try {
      body(context, tile);
    } catch (...) {
      const std::lock_guard lock(mutex_);
      if (tile < tile_) {
        tile_ = tile;
        exception_ = std::current_exception();
      }
    }
  }
  void rethrow() const {
    if (exception_) std::rethrow_exception(exception_);
  }

 private:
  std::mutex mutex_;
  std::int64_t tile_ = std::numeric_limits<std::int64_t>::max();
  std::exception_ptr exception_;
};

// parallel_for with the body as a function pointer and a context: compiled once, not for each body.
inline void parallel_for_erased(std::int64_t tiles, std::int64_t work,
                                void (*body)(const void*, std::int64_t), const void* context) {
  constexpr std::int64_t least_work = 8'000, most_ranges = 64;
  const ParallelBackend* backend = parallel_state.backend.load(std::memory_order_acquire);
  const std::int64_t threads = std::min<std::int64_t>(available_threads(), tiles);
  TileFailure failure;
  if (!backend || threads <= 1 || inside_parallel_for || work < least_work) {
    for (std::int64_t tile = 0; tile < tiles; ++tile) failure.run(body, context, tile);
    if (!inside_parallel_for) end_thread();
    failure.rethrow();
    return;
  }

  struct alignas(64) Range {  // a cache line of its own
    std::atomic<std::int64_t> taken{0};
  };
  struct Team {
    void (*body)(const void*, std::int64_t);
    const void* context;
    TileFailure& failure;
    const std::int64_t tiles, ranges;
    std::fenv_t floating_point{};
    Range range[most_ranges]{};

    static void work(void* of, int thread) {
      Team& team = *static_cast<Team*>(of);
      std::fesetenv(&team.floating_point);
      inside_parallel_for = true;
      for (std::int64_t i = 0; i < team.ranges; ++i) team.run_range((thread + i) % team.ranges);
      end_thread();
      inside_parallel_for = false;
    }
    void run_range(std::int64_t number) {
      const std::int64_t first = tiles * number / ranges;
      const std::int64_t count = tiles * (number + 1) / ranges - first;
      std::atomic<std::int64_t>& taken = range[number].taken;
      for (std::int64_t i; (i = taken.fetch_add(1, std::memory_order_relaxed)) < count;)
        failure.run(body, context, first + i);
    }
  } team{body, context, failure, tiles, std::min(threads, most_ranges)};
  std::fegetenv(&team.floating_point);
  backend->run(static_cast<int>(threads), &Team::work, &team);
  failure.rethrow();
}

// Calls body(tile) once for each tile = 0, ..., tiles - 1. Runs serially, in this order, inside
// another parallel_for, or if `work` (in units of about a nanosecond) is too little to be worth
// waking a thread. Workers take over the caller's floating-point control state. Every tile runs;
// then, if tiles threw, the exception of the lowest one is rethrown.
//
// Each thread has a range of the tiles, and takes tiles of the others when its own are done. So,
// when loops over the same rows follow each other, it finds in its cache what it wrote before.
template <class Body>
void parallel_for(std::int64_t tiles, std::int64_t work, const Body& body) {
  parallel_for_erased(
      tiles, work,
      [](const void* context, std::int64_t tile) { (*static_cast<const Body*>(context))(tile); },
      &body);
}

}  // namespace anther::inline v0_1
