// What the machine can do, measured in the same run as what is compared with it: fused
// multiply-adds with the instruction set in use, and copying memory.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "anther/core/openmp.hpp"
#include "anther/core/parallel_for.hpp"
#include "anther/core/tensor.hpp"
#include "anther/kernels/gemm_bf16.hpp"
#include "anther/kernels/vec.hpp"

namespace bench {

#define ANTHER_BODY "bench/fma_peak.inl"
#include "anther/kernels/for_each_isa.inl"

inline double seconds_of(const auto& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// GFLOP/s of `threads` threads: the best of five runs of about 20 ms.
template <class T = float>
double fma_peak(int threads) {
  using namespace anther;
  const std::int64_t count = 5'000'000;
  const double flops = 2.0 * 12 * ANTHER_SELECT(fma_lanes<T>)() * static_cast<double>(count);
  volatile T sink = 0, start = T(0.5);
  double best = 0;
  for (int run = 0; run < 5; ++run) {
    const double seconds = seconds_of([&] {
      parallel_for(threads, 1 << 30,
                   [&](std::int64_t) { sink = ANTHER_SELECT(fma_chains<T>)(count, start); });
    });
    best = std::max(best, flops * threads / seconds * 1e-9);
  }
  return best;
}

// The same of products in bfloat16, of one thread: AMX's tiles, from the first-level cache; the FMA
// peak where there is no AMX.
inline double bf16_peak() {
#if defined(__x86_64__)
  using namespace anther;
  if (!uses_amx()) return fma_peak(1);
  constexpr std::int64_t steps = 9, calls = 10'000;
  static AlignedBuffer<std::uint16_t> a(2 * steps * 512), b(2 * steps * 512);
  static AlignedBuffer<float> y(32 * 32);
  double best = 0;
  for (int run = 0; run < 5; ++run) {
    const double seconds = seconds_of([&] {
      parallel_for(1, 0, [&](std::int64_t) {
        configure_amx();
        for (std::int64_t i = 0; i < calls; ++i)
          kernels::avx512::bf16_amx_tiles<float, 2, 2>({.a = a.data(),
                                                        .a_tiles = {32, steps * 512, 512},
                                                        .b = b.data(),
                                                        .b_stride = 1024,
                                                        .steps = steps,
                                                        .start = nullptr,
                                                        .start_stride = 0,
                                                        .y = y.data(),
                                                        .y_stride = 32});
      });
    });
    best = std::max(best, 2e-9 * 32 * 32 * 32 * steps * calls / seconds);
  }
  return best;
#else
  return fma_peak(1);
#endif
}

// Copies by stores that do not pass through the caches, where the processor has them.
inline void copy_streaming(char* to, const char* from, std::int64_t bytes) {
#ifdef __SSE2__
  for (std::int64_t i = 0; i < bytes; i += 16)
    _mm_stream_si128(reinterpret_cast<__m128i*>(to + i),
                     _mm_load_si128(reinterpret_cast<const __m128i*>(from + i)));
  _mm_sfence();
#else
  std::memcpy(to, from, static_cast<std::size_t>(bytes));
#endif
}

// A copy of 256 MiB, by memcpy or by streaming stores: GB/s, bytes read and bytes written together.
// Arrays of less than a few times the last-level cache are read from it in part (McCalpin's rule
// for STREAM: at least four times).
inline double copy_rate(int threads, bool streaming) {
  using namespace anther;
  constexpr std::int64_t bytes = 256 << 20;
  static AlignedBuffer<char> from(bytes), to(bytes);
  const std::int64_t part = bytes / threads / 64 * 64;
  const double seconds = seconds_of([&] {
    parallel_for(threads, 1 << 30, [&](std::int64_t t) {
      if (streaming)
        copy_streaming(to.data() + t * part, from.data() + t * part, part);
      else
        std::memcpy(to.data() + t * part, from.data() + t * part, static_cast<std::size_t>(part));
    });
  });
  return 2e-9 * static_cast<double>(part * threads) / seconds;
}

// The best of five copies of either kind.
inline double copy_peak(int threads) {
  double best = 0;
  for (int run = 0; run < 10; ++run) best = std::max(best, copy_rate(threads, run % 2 == 1));
  return best;
}

}  // namespace bench
