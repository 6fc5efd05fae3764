// The threads that parallel_for's loops share: they are kept from one loop to the next.
//
// A thread that waits, for the next loop or for the others' last tiles, spins for some microseconds
// and then sleeps, so that on a machine where other programs run it does not take their time, nor
// its own team's. A loop does not wait for threads that have not begun when its last tile is
// taken: a thread that the system puts off holds up the one tile that it has, and no more.
#pragma once

#include <atomic>
#include <cstdint>

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#else
#include <system_error>
#include <thread>
#endif
#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "anther/core/clock.hpp"

namespace anther::inline v0_1::detail {

// Waits until `word` is not `old`, and returns what it is.
inline std::uint32_t wait_while(const std::atomic<std::uint32_t>& word, std::uint32_t old) {
  // Loops of a pass follow each other within microseconds. To wake a thread takes tens of them on
  // an idle machine, but up to a time slice where other programs run on its core.
  constexpr double longest_spin = 100e-6;  // seconds
  std::uint32_t value = word.load(std::memory_order_acquire);
  if (value != old) return value;
  const double begin = steady_seconds();
  do {
    for (int i = 0; i < 16; ++i) {
#if defined(__x86_64__) || defined(__i386__)
      __builtin_ia32_pause();
#elif defined(__aarch64__)
      asm volatile("yield");
#endif
      value = word.load(std::memory_order_acquire);
      if (value != old) return value;
    }
  } while (steady_seconds() - begin < longest_spin);
  while ((value = word.load(std::memory_order_acquire)) == old) word.wait(old);
  return value;
}

// Asks Linux (6.12 and later) to give this thread its share of the processor in short slices. Then
// a thread that wakes on a core where another program runs comes on at once, for a short time, and
// not after that program's slice, when its team has done the loop without it.
inline void ask_for_short_slices() {
#if defined(__linux__) && defined(SYS_sched_getattr) && defined(SYS_sched_setattr)
  struct {
    std::uint32_t size, policy;
    std::uint64_t flags;
    std::int32_t nice;
    std::uint32_t priority;
    std::uint64_t runtime, deadline, period;
  } attributes{};
  attributes.size = sizeof attributes;
  constexpr std::uint32_t usual_policy = 0;  // SCHED_OTHER
  if (::syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0) != 0 ||
      attributes.policy != usual_policy)
    return;
  attributes.runtime = 100'000;  // nanoseconds: the least that can be asked for
  // Without it, or where it is not allowed, the thread only waits longer.
  static_cast<void>(::syscall(SYS_sched_setattr, 0, &attributes, 0));
#endif
}

class ThreadPool {
 public:
  // The process's only one. It is never destroyed: threads may be in it when the process ends.
  static ThreadPool& instance() {
    static ThreadPool* const pool = [] {
      auto* made = new ThreadPool;
#if defined(__unix__) || defined(__APPLE__)
      // A child process has none of the threads: it begins anew.
      ::pthread_atfork(nullptr, nullptr, [] { instance().forget_threads(); });
#endif
      return made;
    }();
    return *pool;
  }

  // Runs worker(context, 0) on the calling thread, and worker(context, i) with i of 1 to threads -
  // 1 on each further thread that comes before the caller has finished. While another thread has
  // the pool, the caller runs alone: so worker must be done with the whole loop when one has
  // finished.
  void run(int threads, void (*worker)(void*, int), void* context) {
    if (busy_.exchange(true, std::memory_order_acquire)) {
      worker(context, 0);
      return;
    }
    start_threads(threads - 1);
    worker_ = worker;
    context_ = context;
    threads_ = threads;
    gate_.store(open, std::memory_order_release);
    loops_.fetch_add(1, std::memory_order_release);
    loops_.notify_all();
    worker(context, 0);
    std::uint32_t inside = gate_.fetch_and(~open, std::memory_order_acq_rel) & ~open;
    while (inside != 0) inside = wait_while(gate_, inside);
    busy_.store(false, std::memory_order_release);
  }

 private:
  static constexpr std::uint32_t open = 1U << 31;

  void start_threads(int count) {
    for (; started_ < count; ++started_) {
      auto* const start = new Start{this, started_ + 1, loops_.load(std::memory_order_relaxed)};
      if (!start_thread(start)) {
        delete start;
        return;  // no more can be had
      }
    }
  }

  // What a new thread is told, and deletes.
  struct Start {
    ThreadPool* pool;
    int number;
    std::uint32_t seen;
  };
  static void* begin_thread(void* context) {
    const Start start = *static_cast<const Start*>(context);
    delete static_cast<const Start*>(context);
    start.pool->serve(start.number, start.seen);
    return nullptr;
  }
  // <thread> costs every program more to compile than all of core/: it is for systems without
  // POSIX's threads.
  static bool start_thread(Start* start) {
#if defined(__unix__) || defined(__APPLE__)
    pthread_t thread;
    if (::pthread_create(&thread, nullptr, begin_thread, start) != 0) return false;
    ::pthread_detach(thread);
    return true;
#else
    try {
      std::thread(begin_thread, start).detach();
      return true;
    } catch (const std::system_error&) {
      return false;
    }
#endif
  }

  void serve(int number, std::uint32_t seen) {
    ask_for_short_slices();
    while (true) {
      seen = wait_while(loops_, seen);
      std::uint32_t gate = gate_.load(std::memory_order_acquire);
      while ((gate & open) != 0) {
        // A loop's threads are counted while they are in it.
        if (!gate_.compare_exchange_weak(gate, gate + 1, std::memory_order_acq_rel)) continue;
        if (number < threads_) worker_(context_, number);
        if (gate_.fetch_sub(1, std::memory_order_acq_rel) == 1) gate_.notify_one();
        break;
      }
    }
  }

  void forget_threads() {
    started_ = 0;
    gate_.store(0, std::memory_order_relaxed);
    busy_.store(false, std::memory_order_relaxed);
  }

  std::atomic<bool> busy_{false};
  int started_ = 0;  // of the caller that has made the pool busy
  // The loop that runs.
  void (*worker_)(void*, int) = nullptr;
  void* context_ = nullptr;
  int threads_ = 0;
  alignas(64) std::atomic<std::uint32_t> loops_{0};  // how many there were; threads wait for more
  alignas(64) std::atomic<std::uint32_t> gate_{0};   // `open`, and the number of threads inside
};

}  // namespace anther::inline v0_1::detail
