#include "anther/core/parallel_for.hpp"

#include <doctest/doctest.h>
#include <omp.h>

#include <atomic>
#include <cfenv>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "anther/core/openmp.hpp"
#include "tests/io/temporary_folder.hpp"

namespace {

using anther::parallel_for;

constexpr std::int64_t much = 1 << 30;  // work enough for threads

// Sets the number of threads for one test.
struct Threads {
  explicit Threads(int threads) { anther::set_num_threads(threads); }
  ~Threads() { anther::set_num_threads(0); }
};

// Waits until `count` threads have come here together; false where they do not within 20 seconds.
class Meeting {
 public:
  explicit Meeting(int count) : count_(count) {}
  bool wait() {
    std::unique_lock lock(mutex_);
    const int round = arrived_ / count_;
    ++arrived_;
    changed_.notify_all();
    return changed_.wait_for(lock, std::chrono::seconds(20),
                             [&] { return arrived_ / count_ > round; });
  }

 private:
  int count_, arrived_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
};

TEST_CASE("parallel_for: every tile runs once, for any number of threads") {
  for (const int threads : {1, 2, 3, 8}) {
    const Threads set(threads);
    for (const std::int64_t tiles : {0, 1, 2, 7, 1000}) {
      std::vector<std::atomic<int>> runs(static_cast<std::size_t>(tiles));
      parallel_for(tiles, much, [&](std::int64_t tile) { ++runs[static_cast<std::size_t>(tile)]; });
      bool once = true;
      for (const auto& run : runs) once &= run == 1;
      CHECK(once);
    }
  }
}

TEST_CASE("parallel_for: the team has as many threads as it was told") {
  const Threads set(4);
  Meeting meeting(4);
  std::mutex mutex;
  std::set<std::thread::id> ids;
  std::atomic<bool> met{true};
  parallel_for(16, much, [&](std::int64_t) {
    // A thread that has a tile waits for three others, so none can take all of them.
    if (met && !meeting.wait()) met = false;
    const std::lock_guard lock(mutex);
    ids.insert(std::this_thread::get_id());
  });
  CHECK(met);
  CHECK(ids.size() == 4);
  CHECK(ids.count(std::this_thread::get_id()) == 1);
}

TEST_CASE("parallel_for: each thread begins with a range of its own") {
  const Threads set(4);
  Meeting meeting(4);
  std::mutex mutex;
  std::set<std::thread::id> begun;
  std::set<std::int64_t> first;
  parallel_for(100, much, [&](std::int64_t tile) {
    {
      const std::lock_guard lock(mutex);
      if (!begun.insert(std::this_thread::get_id()).second) return;
      first.insert(tile);
    }
    meeting.wait();  // so that none takes from another's range meanwhile
  });
  CHECK(first == std::set<std::int64_t>{0, 25, 50, 75});
}

TEST_CASE("parallel_for: no more threads than tiles") {
  const Threads set(8);
  Meeting meeting(2);
  std::mutex mutex;
  std::set<std::thread::id> ids;
  parallel_for(2, much, [&](std::int64_t) {
    meeting.wait();
    const std::lock_guard lock(mutex);
    ids.insert(std::this_thread::get_id());
  });
  CHECK(ids.size() == 2);
}

// Runs a loop of 100 tiles and tells whether all of it was on the caller's thread, in order.
bool runs_serially(std::int64_t work) {
  const auto caller = std::this_thread::get_id();
  std::vector<std::int64_t> order;
  std::mutex mutex;
  bool serial = true;
  parallel_for(100, work, [&](std::int64_t tile) {
    const std::lock_guard lock(mutex);
    serial &= std::this_thread::get_id() == caller;
    order.push_back(tile);
  });
  for (std::size_t i = 0; i < order.size(); ++i) serial &= order[i] == static_cast<int>(i);
  return serial && order.size() == 100;
}

TEST_CASE("parallel_for: too little work runs serially, in order") {
  const Threads set(4);
  CHECK(runs_serially(0));
  CHECK(runs_serially(1000));
  const Threads one(1);
  CHECK(runs_serially(much));
}

TEST_CASE("parallel_for: within another one it runs serially") {
  const Threads set(4);
  // OpenMP itself would nest teams now: that there is none is parallel_for's doing.
  const int levels = omp_get_max_active_levels();
  omp_set_max_active_levels(3);
  Meeting meeting(4);
  std::atomic<int> serial{0};
  parallel_for(4, much, [&](std::int64_t) {
    meeting.wait();  // so that each of the four threads has one
    serial += runs_serially(much);
  });
  CHECK(serial == 4);
  // And threads are used again afterwards, also by a thread that was a worker.
  Meeting again(4);
  std::atomic<int> met{0};
  parallel_for(4, much, [&](std::int64_t) { met += again.wait(); });
  CHECK(met == 4);
  omp_set_max_active_levels(levels);
}

TEST_CASE(
    "parallel_for: every tile runs, then the exception of the lowest one that threw is here") {
  for (const int threads : {1, 4}) {
    const Threads set(threads);
    for (int repeat = 0; repeat < 20; ++repeat) {
      std::atomic<int> runs{0};
      const std::string message = error_of([&] {
        parallel_for(64, much, [&](std::int64_t tile) {
          ++runs;
          // The lowest is slower than the others, so that it is not the first.
          if (tile == 11) std::this_thread::sleep_for(std::chrono::microseconds(300));
          anther::detail::check(tile % 20 != 11, "tile ", tile);
        });
      });
      CHECK(message == "tile 11");
      CHECK(runs == 64);
    }
    // Of any type; and a loop after it is as before.
    CHECK_THROWS_AS(parallel_for(8, much, [](std::int64_t) { throw 5; }), int);
    std::atomic<int> runs{0};
    parallel_for(8, much, [&](std::int64_t) { ++runs; });
    CHECK(runs == 8);
  }
}

TEST_CASE("parallel_for: workers round as the caller does") {
  const Threads set(4);
  const int before = std::fegetround();
  for (const int mode : {FE_UPWARD, FE_DOWNWARD, FE_TONEAREST}) {
    std::fesetround(mode);
    Meeting meeting(4);
    std::atomic<int> same{0};
    parallel_for(4, much, [&](std::int64_t) {
      meeting.wait();
      same += std::fegetround() == mode;
    });
    std::fesetround(before);
    CHECK(same == 4);
  }
}

TEST_CASE("parallel_for: the number of threads is steady within an op, though somebody sets it") {
  anther::set_num_threads(3);
  {
    const anther::SteadyThreads steady;
    anther::set_num_threads(7);
    CHECK(anther::available_threads() == 3);
    const anther::SteadyThreads within;
    CHECK(anther::available_threads() == 3);
  }
  CHECK(anther::available_threads() == 7);
  anther::set_num_threads(0);
}

TEST_CASE("parallel_for: the number of threads is set for the whole process") {
  const int usual = anther::num_threads();
  CHECK(usual >= 1);
  anther::set_num_threads(3);
  CHECK(anther::num_threads() == 3);
  int elsewhere = 0;
  std::thread([&] { elsewhere = anther::num_threads(); }).join();
  CHECK(elsewhere == 3);
  CHECK(contains(error_of([] { anther::set_num_threads(-1); }), "expected 0 to 4096, got -1"));
  CHECK(contains(error_of([] { anther::set_num_threads(100'000); }), "got 100000"));
  CHECK(anther::num_threads() == 3);
  anther::set_num_threads(0);
  CHECK(anther::num_threads() == usual);
  CHECK(std::string(anther::parallel_backend_name()) == "OpenMP");
}

}  // namespace

#if defined(__x86_64__)
TEST_CASE("parallel_for leaves the upper halves of the vector registers clear") {
  if (anther::best_isa() == anther::Isa::baseline) return;
  const auto upper_half = [] {
    std::uint64_t numbers[2];
    asm volatile("vextractf128 $1, %%ymm7, %0" : "=m"(numbers));
    return numbers[0] | numbers[1];
  };
  std::uint64_t within = 0;
  parallel_for(1, 0, [&](std::int64_t) {
    asm volatile("vpcmpeqd %%ymm7, %%ymm7, %%ymm7" ::: "xmm7");
    within = upper_half();
  });
  CHECK(within != 0);
  CHECK(upper_half() == 0);
}
#endif
