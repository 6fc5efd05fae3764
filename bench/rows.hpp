// The rows of a bench of Google Benchmark: times, and the shares of this machine's peaks.
#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "bench/peaks.hpp"

namespace bench {

struct Peaks {
  using Clock = std::chrono::steady_clock;
  double gflops = 0, gbytes = 0;
  Clock::time_point measured;

  // At most once a second: Google Benchmark calls a row several times.
  void measure() {
    if (gflops > 0 && Clock::now() - measured < std::chrono::seconds(1)) return;
    gflops = std::max(gflops, fma_peak(anther::num_threads()));
    gbytes = std::max(gbytes, copy_peak(anther::num_threads()));
    measured = Clock::now();
  }
};
inline Peaks peaks;

// macs: multiply-accumulates of one call. bytes: what it cannot but read and write.
struct Cost {
  double macs = 0, bytes = 0;
};

inline double median(std::vector<double> of) {
  if (of.empty()) return 0;
  const auto middle = of.begin() + static_cast<std::ptrdiff_t>(of.size() / 2);
  std::nth_element(of.begin(), middle, of.end());
  return *middle;
}

// For what waits for memory, whose speed changes from one moment to the next where others share
// it: after each call a copy, by memcpy and by streaming stores in turn. The row's time is the
// median call's, and what it is compared with the better of the two median copies.
inline void add_memory_row(const std::string& name, double bytes, std::function<void()> call) {
  benchmark::RegisterBenchmark(
      name.c_str(),
      [=](benchmark::State& state) {
        call();
        std::vector<double> seconds, copies[2];
        for (auto _ : state) {
          seconds.push_back(seconds_of(call));
          state.SetIterationTime(seconds.back());
          const bool streaming = seconds.size() % 2 == 0;
          copies[streaming].push_back(copy_rate(anther::num_threads(), streaming));
        }
        const double copy = std::max(median(copies[0]), median(copies[1]));
        const double rate = 1e-9 * bytes / median(seconds);
        state.counters["median_us"] = 1e6 * median(seconds);
        state.counters["gbytes_per_s"] = rate;
        state.counters["copy_gbytes_per_s"] = copy;
        state.counters["copy_peak_share"] = rate / copy;
      })
      ->Unit(benchmark::kMicrosecond)
      ->UseManualTime();
}

// From this many bytes on an op's maps do not fit the caches.
inline constexpr double beyond_caches = 100e6;

inline void add_row(const std::string& name, const Cost& cost, std::function<void()> call) {
  if (cost.macs == 0 && cost.bytes > beyond_caches) return add_memory_row(name, cost.bytes, call);
  benchmark::RegisterBenchmark(
      name.c_str(),
      [=](benchmark::State& state) {
        call();
        const double seconds = seconds_of([&] {
          for (auto _ : state) call();
        });
        const double rate = 1e-9 * static_cast<double>(state.iterations()) / seconds;
        peaks.measure();
        if (cost.macs > 0) {
          state.counters["gflops"] = 2 * cost.macs * rate;
          state.counters["fma_peak_share"] = 2 * cost.macs * rate / peaks.gflops;
        }
        state.counters["gbytes_per_s"] = cost.bytes * rate;
        state.counters["copy_peak_share"] = cost.bytes * rate / peaks.gbytes;
      })
      ->Unit(benchmark::kMicrosecond)
      ->UseRealTime();
}

// Elements, as a number to compute costs with.
inline double floats(std::int64_t count) {
  return 4.0 * static_cast<double>(count);
}
inline double macs(std::int64_t count) {
  return static_cast<double>(count);
}

}  // namespace bench
