// parallel_for: the only place in Anther with threads that compute.
//
// It hands out fixed tile numbers. What a tile is follows from shapes and options, never from the
// number of threads, so a result has the same bits for any number of threads. The code here is
// serial; core/openmp.hpp adds OpenMP where a translation unit is compiled with it, by storing a
// function pointer, so that no inline function depends on the flags of its translation unit.
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

namespace anther::inline v0_1 {

// Runs worker(context) once on each of a team of `threads` threads, the caller's among them.
using RunTeam = void (*)(int threads, void (*worker)(void*), void* context);

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

// How many threads parallel_for may use. OMP_NUM_THREADS sets the default.
inline int num_threads() {
  const int chosen = parallel_state.threads.load(std::memory_order_relaxed);
  if (chosen > 0) return chosen;
  const ParallelBackend* backend = parallel_state.backend.load(std::memory_order_acquire);
  return backend ? backend->default_threads : 1;
}

// Sets the number of threads for the whole process; 0 brings the default back.
inline void set_num_threads(int threads) {
  check(threads >= 0, "set_num_threads: expected at least 0, got ", threads);
  parallel_state.threads.store(threads, std::memory_order_relaxed);
}

// "OpenMP", or "serial" where no translation unit was compiled with it.
inline const char* parallel_backend_name() {
  const ParallelBackend* backend = parallel_state.backend.load(std::memory_order_acquire);
  return backend ? backend->name : "serial";
}

// Calls body(tile) for tile = 0, ..., tiles - 1, each once. Runs serially, in this order, where it
// is called from within another parallel_for, or where `work` (in units of about a nanosecond) is
// too little to be worth waking a thread. Workers take over the caller's floating-point control
// state. Every tile runs; then the exception of the lowest tile that threw, if any, is rethrown.
template <class Body>
void parallel_for(std::int64_t tiles, std::int64_t work, const Body& body) {
  constexpr std::int64_t least_work = 20'000;
  const ParallelBackend* backend = parallel_state.backend.load(std::memory_order_acquire);
  const std::int64_t threads = std::min<std::int64_t>(num_threads(), tiles);
  const bool serial = !backend || threads <= 1 || inside_parallel_for || work < least_work;

  struct Team {
    const Body& body;
    const std::int64_t tiles;
    std::fenv_t floating_point{};
    std::atomic<std::int64_t> next{0};
    std::mutex mutex{};
    std::int64_t failed_tile = std::numeric_limits<std::int64_t>::max();
    std::exception_ptr failure{};

    void run_tile(std::int64_t tile) {
      try {
        body(tile);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (tile < failed_tile) {
          failed_tile = tile;
          failure = std::current_exception();
        }
      }
    }
    static void work(void* context) {
      Team& team = *static_cast<Team*>(context);
      std::fesetenv(&team.floating_point);
      inside_parallel_for = true;
      for (std::int64_t tile; (tile = team.next.fetch_add(1)) < team.tiles;) team.run_tile(tile);
      inside_parallel_for = false;
    }
  } team{body, tiles};

  if (serial) {
    for (std::int64_t tile = 0; tile < tiles; ++tile) team.run_tile(tile);
  } else {
    std::fegetenv(&team.floating_point);
    backend->run(static_cast<int>(threads), &Team::work, &team);
  }
  if (team.failure) std::rethrow_exception(team.failure);
}

}  // namespace anther::inline v0_1
