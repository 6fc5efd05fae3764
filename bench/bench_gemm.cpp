// The matrix products at the shapes that EdgeViT has: forward, input gradient, weight gradient.
//
//   bench_gemm [--benchmark_filter=forward] [--benchmark_format=json]
//
// A row is named form/rows x depth -> columns: of the layer, whatever the form. Counters: gflops,
// and the share of the FMA peak, measured before the first row and again after each (the better
// counts). Rows named _bf16 are the same products in bfloat16, with their share of AMX's peak. One
// thread; OMP_NUM_THREADS does not matter. All is warm; `cold` rows read weights that
// have left the caches. Small weight gradients are those of eight images merged, as a larger
// micro-batch has them.
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
#include "anther/kernels/packed_weight.hpp"
#include "anther/kernels/use_bf16.hpp"
#include "bench/numbers.hpp"
#include "bench/peaks.hpp"

namespace {

using namespace anther;
using bench::numbers;

double peak = 0, peak_bf16 = 0;

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

void add_row(const std::string& form, const Layer& l, const std::function<void()>& call) {
  const bool bf16 = form.ends_with("bf16");
  benchmark::RegisterBenchmark(
      detail::text_of(form, "/", l.rows, "x", l.in, "->", l.out).c_str(),
      [=](benchmark::State& state) {
        call();
        double seconds = 0;
        std::int64_t calls = 0;
        for (auto _ : state) {
          const int times = 8;  // a product takes microseconds
          const double passed = bench::seconds_of([&] {
            for (int i = 0; i < times; ++i) call();
          });
          state.SetIterationTime(passed / times);
          seconds += passed;
          calls += times;
        }
        double& best = bf16 ? peak_bf16 : peak;
        best = std::max(best, bf16 ? bench::bf16_peak() : bench::fma_peak(1));
        const double gflops = 2e-9 * static_cast<double>(l.rows * l.in * l.out * calls) / seconds;
        state.counters["gflops"] = gflops;
        state.counters[bf16 ? "bf16_peak_share" : "fma_peak_share"] = gflops / best;
        state.counters["peak_gflops"] = best;
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
  auto forward = share(AlignedBuffer<float>(kernels::gemm_packed_size<float>(out, in)));
  auto backward = share(AlignedBuffer<float>(kernels::gemm_packed_size<float>(in, out)));
  kernels::gemm_pack<float>(forward->data(), weight->data(), {out, in, in, 1});
  kernels::gemm_pack<float>(backward->data(), weight->data(), {in, out, 1, in});
  const kernels::GemmDims d{
      .rows = rows, .columns = out, .depth = in, .x_stride = in, .y_stride = out};
  add_row("forward", l, [=] {
    kernels::gemm<float>(to->data(), nullptr, x->data(), forward->data(), bias->data(), d);
  });
  auto cold = std::make_shared<bench::ColdWeights>(forward);
  add_row("forward_cold", l, [=] {
    kernels::gemm<float>(to->data(), nullptr, x->data(), cold->next(), bias->data(), d);
  });
  add_row("input_gradient", l, [=] {
    kernels::gemm<float>(
        to->data(), nullptr, y->data(), backward->data(), nullptr,
        {.rows = rows, .columns = in, .depth = out, .x_stride = out, .y_stride = in});
  });
  // Few rows are merged over images.
  const Layer merged{rows < 196 ? 8 * rows : rows, in, out};
  const kernels::GemmTnDims tn{.rows = merged.rows,
                               .outs = out,
                               .columns = in,
                               .dy_stride = out,
                               .x_stride = in,
                               .dw_stride = in};
  auto x_merged = share(numbers(merged.rows * in)), dy = share(numbers(merged.rows * out));
  auto workspace = share(AlignedBuffer<float>(kernels::gemm_tn_workspace<float>(tn)));
  add_row("weight_gradient", merged, [=] {
    kernels::gemm_tn<float>(to->data(), dy->data(), x_merged->data(), workspace->data(), tn);
  });
  // The same in bfloat16.
  kernels::use_bf16<float>();
  auto forward_bf16 = share(AlignedBuffer<float>(kernels::bf16_packed_size<float>(out, in)));
  auto backward_bf16 = share(AlignedBuffer<float>(kernels::bf16_packed_size<float>(in, out)));
  kernels::pack_weight<float>(
      forward_bf16->data(), weight->data(),
      {.columns = out, .depth = in, .column_stride = in, .depth_stride = 1, .bf16 = 1});
  kernels::pack_weight<float>(
      backward_bf16->data(), weight->data(),
      {.columns = in, .depth = out, .column_stride = 1, .depth_stride = in, .bf16 = 1});
  add_row("forward_bf16", l, [=] {
    kernels::gemm<float>(to->data(), nullptr, x->data(), forward_bf16->data(), bias->data(),
                         kernels::dense_gemm(rows, out, in, 1));
  });
  add_row("input_gradient_bf16", l, [=] {
    kernels::gemm<float>(to->data(), nullptr, y->data(), backward_bf16->data(), nullptr,
                         kernels::dense_gemm(rows, in, out, 1));
  });
  kernels::GemmTnDims tn_bf16 = tn;
  tn_bf16.bf16 = 1;
  add_row("weight_gradient_bf16", merged, [=] {
    kernels::gemm_tn<float>(to->data(), dy->data(), x_merged->data(), workspace->data(), tn_bf16);
  });
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  set_num_threads(1);
  peak = bench::fma_peak(1);
  peak_bf16 = bench::bf16_peak();
  std::fprintf(stderr, "anther %s  %s  1 thread  FMA peak %.0f GFLOP/s, bf16 (%s) %.0f\n", version,
               to_string(isa()), peak, bf16_unit(), peak_bf16);
  for (const Layer& layer : layers()) add_layer(layer);
  benchmark::RunSpecifiedBenchmarks();
}
