// The matrix products at the shapes that EdgeViT has: forward, input gradient, weight gradient.
//
//   bench_gemm [--benchmark_filter=forward] [--benchmark_format=json]
//
// A row is named form/rows x depth -> columns: of the layer, whatever the form. Counters: gflops,
// and the share of the FMA peak, measured before the first row and again after each (the better
// counts). One thread; OMP_NUM_THREADS does not matter. Activations are warm; `cold` rows read
// weights that a walk over 64 MiB has driven out of the caches.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "anther/core/version.hpp"
#include "anther/kernels/gemm.hpp"
#include "bench/numbers.hpp"
#include "bench/peaks.hpp"

namespace {

using namespace anther;
using bench::numbers;

double peak = 0;

// A layer's product: rows of x, its input channels, its output channels.
struct Layer {
  std::int64_t rows, in, out;
};

// Of every stage, for one image: embedding, point-wise, qkv, projection, FFN.
std::vector<Layer> layers() {
  std::vector<Layer> all;
  const auto add = [&](std::int64_t rows, std::int64_t in, std::int64_t out) {
    const auto same = [&](const Layer& l) { return l.rows == rows && l.in == in && l.out == out; };
    if (std::none_of(all.begin(), all.end(), same)) all.push_back({rows, in, out});
  };
  const std::int64_t sizes[] = {56, 28, 14, 7}, rates[] = {4, 2, 2, 1};
  const std::int64_t dims[2][4] = {{36, 72, 144, 288}, {48, 96, 240, 384}};
  for (const auto& channels : dims)
    for (int s = 0; s < 4; ++s) {
      const std::int64_t rows = sizes[s] * sizes[s], c = channels[s];
      add(rows, s == 0 ? 48 : 4 * channels[s - 1], c);
      add(rows, c, c);
      add(rows / (rates[s] * rates[s]), c, 3 * c);
      add(rows, c, 4 * c);
      add(rows, 4 * c, c);
    }
  return all;
}

void add_row(const std::string& form, const Layer& l, const std::function<void()>& call,
             const std::function<void()>& before = {}) {
  benchmark::RegisterBenchmark(
      text_of(form, "/", l.rows, "x", l.in, "->", l.out).c_str(),
      [=](benchmark::State& state) {
        call();
        double seconds = 0;
        std::int64_t calls = 0;
        for (auto _ : state) {
          if (before) before();
          // A product takes microseconds: several between two looks at the clock, unless cold.
          const int times = before ? 1 : 8;
          const double passed = bench::seconds_of([&] {
            for (int i = 0; i < times; ++i) call();
          });
          state.SetIterationTime(passed / times);
          seconds += passed;
          calls += times;
        }
        peak = std::max(peak, bench::fma_peak(1));
        const double gflops = 2e-9 * static_cast<double>(l.rows * l.in * l.out * calls) / seconds;
        state.counters["gflops"] = gflops;
        state.counters["fma_peak_share"] = gflops / peak;
        state.counters["peak_gflops"] = peak;
      })
      ->Unit(benchmark::kMicrosecond)
      ->UseManualTime()
      ->MinTime(0.05);
}

void add_layer(const Layer& l) {
  const std::int64_t rows = l.rows, in = l.in, out = l.out;
  const auto share = [](AlignedBuffer<float> buffer) {
    return std::make_shared<AlignedBuffer<float>>(std::move(buffer));
  };
  auto x = share(numbers(rows * in)), y = share(numbers(rows * out));
  auto weight = share(numbers(in * out)), bias = share(numbers(out));
  auto to = share(AlignedBuffer<float>(std::max({rows * in, rows * out, in * out})));
  auto forward = share(AlignedBuffer<float>(gemm_packed_size<float>(out, in)));
  auto backward = share(AlignedBuffer<float>(gemm_packed_size<float>(in, out)));
  gemm_pack<float>(forward->data(), weight->data(), out, in, in, 1);
  gemm_pack<float>(backward->data(), weight->data(), in, out, 1, in);
  const auto product = [=] {
    gemm<float>(to->data(), nullptr, x->data(), forward->data(), bias->data(),
                {.rows = rows, .columns = out, .depth = in, .x_stride = in, .y_stride = out});
  };
  add_row("forward", l, product);
  add_row("forward_cold", l, product, [] {
    static AlignedBuffer<float> far(1 << 24);
    for (std::int64_t i = 0; i < far.size(); i += 16) far[i] += 1;
  });
  add_row("input_gradient", l, [=] {
    gemm<float>(to->data(), nullptr, y->data(), backward->data(), nullptr,
                {.rows = rows, .columns = in, .depth = out, .x_stride = out, .y_stride = in});
  });
  const GemmTnDims tn{
      .rows = rows, .outs = out, .columns = in, .dy_stride = out, .x_stride = in, .dw_stride = in};
  auto workspace = share(AlignedBuffer<float>(gemm_tn_workspace<float>(tn)));
  add_row("weight_gradient", l,
          [=] { gemm_tn<float>(to->data(), y->data(), x->data(), workspace->data(), tn); });
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  set_num_threads(1);
  peak = bench::fma_peak(1);
  std::fprintf(stderr, "anther %s  %s  1 thread  FMA peak %.0f GFLOP/s\n", version,
               to_string(isa()), peak);
  for (const Layer& layer : layers()) add_layer(layer);
  benchmark::RunSpecifiedBenchmarks();
}
