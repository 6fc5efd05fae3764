// Every op at the shapes that EdgeViT has, forward and backward.
//
//   bench_ops [--benchmark_filter=gelu] [--benchmark_format=json]
//
// Counters of a row: gflops (2 a multiply-accumulate, where there are any), gbytes_per_s (only the
// bytes that the op cannot do without, each map read or written once), and the shares of this
// machine's peaks, measured before the first row. Memory is warm. OMP_NUM_THREADS sets the threads.
#include <benchmark/benchmark.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "anther/kernels/attention.hpp"
#include "anther/kernels/batch_norm.hpp"
#include "anther/kernels/cross_entropy.hpp"
#include "anther/kernels/depthwise_conv2d.hpp"
#include "anther/kernels/depthwise_conv_transpose2d.hpp"
#include "anther/kernels/gelu.hpp"
#include "anther/kernels/gemm.hpp"
#include "anther/kernels/group_norm.hpp"
#include "anther/kernels/layer_norm.hpp"
#include "anther/kernels/optimizer.hpp"
#include "bench/numbers.hpp"
#include "bench/peaks.hpp"

namespace {

using namespace anther;
using bench::numbers;

constexpr std::int64_t batch = 4;  // a micro-batch

struct Peaks {
  double gflops, gbytes;
};
Peaks peaks;

// flops and bytes: of one call.
void add_row(const std::string& name, double flops, double bytes, std::function<void()> call) {
  benchmark::RegisterBenchmark(name.c_str(),
                               [=](benchmark::State& state) {
                                 call();
                                 const double seconds = bench::seconds_of([&] {
                                   for (auto _ : state) call();
                                 });
                                 const double rate =
                                     1e-9 * static_cast<double>(state.iterations()) / seconds;
                                 if (flops > 0) {
                                   state.counters["gflops"] = flops * rate;
                                   state.counters["fma_peak_share"] = flops * rate / peaks.gflops;
                                 }
                                 state.counters["gbytes_per_s"] = bytes * rate;
                                 state.counters["copy_peak_share"] = bytes * rate / peaks.gbytes;
                               })
      ->Unit(benchmark::kMicrosecond)
      ->UseRealTime();
}

// The rows of all ops on the maps of one stage.
void add_stage(std::int64_t size, std::int64_t channels, std::int64_t heads, std::int64_t r) {
  const std::int64_t rows = batch * size * size, map = rows * channels;
  const std::string shape = text_of(batch, "x", size, "x", size, "x", channels);
  const auto floats = [](std::int64_t count) { return 4.0 * static_cast<double>(count); };
  // The maps are kept by the closures.
  auto x = std::make_shared<AlignedBuffer<float>>(numbers(map));
  auto dy = std::make_shared<AlignedBuffer<float>>(numbers(map));
  auto y = std::make_shared<AlignedBuffer<float>>(map);
  auto small = std::make_shared<AlignedBuffer<float>>(numbers(64 * channels));
  auto gradient = std::make_shared<AlignedBuffer<float>>(64 * channels);

  for (const std::int64_t kernel : {3, 5}) {
    const DepthwiseConv2dDims d{.batch = batch,
                                .height = size,
                                .width = size,
                                .channels = channels,
                                .kernel_height = kernel,
                                .kernel_width = kernel,
                                .padding_height = kernel / 2,
                                .padding_width = kernel / 2};
    const std::string op = text_of("depthwise_conv2d_", kernel, "x", kernel);
    const double flops = 2.0 * static_cast<double>(map * kernel * kernel);
    add_row(op + "/forward/" + shape, flops, floats(2 * map), [=] {
      depthwise_conv2d_forward<float>(y->data(), nullptr, x->data(), small->data(), small->data(),
                                      d);
    });
    auto workspace =
        std::make_shared<AlignedBuffer<float>>(depthwise_conv2d_backward_weight_workspace(d));
    add_row(op + "/backward/" + shape, 2 * flops, floats(3 * map), [=] {
      depthwise_conv2d_backward_input<float>(y->data(), nullptr, dy->data(), small->data(), d);
      depthwise_conv2d_backward_weight<float>(gradient->data(), gradient->data() + 25 * channels,
                                              dy->data(), x->data(), workspace->data(), d);
    });
  }
  if (r > 1) {
    const DepthwiseConvTranspose2dDims d{.batch = batch,
                                         .height = size / r,
                                         .width = size / r,
                                         .channels = channels,
                                         .kernel_height = r,
                                         .kernel_width = r,
                                         .stride_height = r,
                                         .stride_width = r};
    const std::string op = text_of("depthwise_conv_transpose2d_", r, "x", r);
    const std::int64_t in = map / (r * r);
    add_row(op + "/forward/" + shape, 2.0 * static_cast<double>(map), floats(map + in), [=] {
      depthwise_conv_transpose2d_forward<float>(y->data(), x->data(), small->data(), small->data(),
                                                d);
    });
    auto workspace = std::make_shared<AlignedBuffer<float>>(
        depthwise_conv_transpose2d_backward_weight_workspace(d));
    add_row(op + "/backward/" + shape, 4.0 * static_cast<double>(map), floats(map + 2 * in), [=] {
      depthwise_conv_transpose2d_backward_input<float>(y->data(), nullptr, dy->data(),
                                                       small->data(), d);
      depthwise_conv_transpose2d_backward_weight<float>(
          gradient->data(), gradient->data() + 25 * channels, dy->data(), x->data(),
          workspace->data(), d);
    });
  }
  {
    const GroupNormDims d{
        .batch = batch, .positions = size * size, .channels = channels, .groups = channels / 12};
    auto statistics = std::make_shared<AlignedBuffer<float>>(2 * batch * channels);
    auto workspace = std::make_shared<AlignedBuffer<float>>(group_norm_workspace(d));
    float* mean = statistics->data();
    float* rstd = mean + batch * channels;
    add_row("group_norm/forward/" + shape, 0, floats(2 * map), [=, keep = statistics] {
      group_norm_forward<float>(y->data(), mean, rstd, x->data(), small->data(), small->data(),
                                1e-5f, workspace->data(), d);
    });
    add_row("group_norm/backward/" + shape, 0, floats(3 * map), [=, keep = statistics] {
      group_norm_backward<float>(y->data(), nullptr, gradient->data(), gradient->data() + channels,
                                 dy->data(), x->data(), mean, rstd, small->data(),
                                 workspace->data(), d);
    });
  }
  {
    auto statistics = std::make_shared<AlignedBuffer<float>>(2 * rows);
    auto workspace = std::make_shared<AlignedBuffer<float>>(layer_norm_workspace(rows, channels));
    float* mean = statistics->data();
    float* rstd = mean + rows;
    add_row("layer_norm/forward/" + shape, 0, floats(2 * map), [=, keep = statistics] {
      layer_norm_forward<float>(y->data(), mean, rstd, x->data(), small->data(), small->data(),
                                1e-5f, rows, channels);
    });
    add_row("layer_norm/backward/" + shape, 0, floats(3 * map), [=, keep = statistics] {
      layer_norm_backward<float>(y->data(), nullptr, gradient->data(), gradient->data() + channels,
                                 dy->data(), x->data(), mean, rstd, small->data(),
                                 workspace->data(), rows, channels);
    });
  }
  {
    auto statistics = std::make_shared<AlignedBuffer<float>>(3 * channels);
    auto workspace = std::make_shared<AlignedBuffer<float>>(batch_norm_workspace(rows, channels));
    float* mean = statistics->data();
    add_row("batch_norm/forward/" + shape, 0, floats(3 * map), [=, keep = statistics] {
      batch_norm_forward<float>(y->data(), mean, mean + channels, mean + 2 * channels, x->data(),
                                small->data(), small->data(), 1e-5f, workspace->data(), rows,
                                channels);
    });
    add_row("batch_norm/backward/" + shape, 0, floats(5 * map), [=, keep = statistics] {
      batch_norm_backward<float>(y->data(), nullptr, gradient->data(), gradient->data() + channels,
                                 dy->data(), x->data(), mean, mean + channels, small->data(),
                                 workspace->data(), rows, channels);
    });
  }
  {
    const std::int64_t hidden = 4 * map;
    auto h = std::make_shared<AlignedBuffer<float>>(numbers(hidden));
    auto out = std::make_shared<AlignedBuffer<float>>(hidden);
    const std::string hidden_shape = text_of(batch, "x", size, "x", size, "x", 4 * channels);
    add_row("gelu/forward/" + hidden_shape, 0, floats(2 * hidden),
            [=] { gelu_forward<float>(out->data(), h->data(), hidden); });
    add_row("gelu/backward/" + hidden_shape, 0, floats(3 * hidden),
            [=] { gelu_backward<float>(out->data(), nullptr, out->data(), h->data(), hidden); });

    // The FFN's first product, and its gradients.
    const std::int64_t wide = 4 * channels;
    auto weight = std::make_shared<AlignedBuffer<float>>(numbers(wide * channels));
    auto dweight = std::make_shared<AlignedBuffer<float>>(wide * channels);
    auto forward = std::make_shared<AlignedBuffer<float>>(gemm_packed_size<float>(wide, channels));
    auto backward = std::make_shared<AlignedBuffer<float>>(gemm_packed_size<float>(channels, wide));
    gemm_pack<float>(forward->data(), weight->data(), wide, channels, channels, 1);
    gemm_pack<float>(backward->data(), weight->data(), channels, wide, 1, channels);
    const double flops = 2.0 * static_cast<double>(rows * channels * wide);
    add_row(text_of("linear/forward/", shape, "->", wide), flops, floats(map + hidden), [=] {
      gemm<float>(out->data(), nullptr, x->data(), forward->data(), small->data(),
                  {.rows = rows,
                   .columns = wide,
                   .depth = channels,
                   .x_stride = channels,
                   .y_stride = wide});
    });
    const GemmTnDims tn{.rows = rows,
                        .outs = wide,
                        .columns = channels,
                        .dy_stride = wide,
                        .x_stride = channels,
                        .dw_stride = channels};
    auto workspace = std::make_shared<AlignedBuffer<float>>(gemm_tn_workspace<float>(tn));
    add_row(text_of("linear/backward/", shape, "->", wide), 2 * flops, floats(2 * map + 2 * hidden),
            [=] {
              gemm<float>(y->data(), nullptr, h->data(), backward->data(), nullptr,
                          {.rows = rows,
                           .columns = channels,
                           .depth = wide,
                           .x_stride = wide,
                           .y_stride = channels});
              gemm_tn<float>(dweight->data(), h->data(), x->data(), workspace->data(), tn);
            });
  }
  {
    const std::int64_t tokens = size * size / (r * r);
    const AttentionDims d{.batch = batch,
                          .heads = heads,
                          .queries = tokens,
                          .keys = tokens,
                          .head_dim = channels / heads,
                          .q_stride = 3 * channels,
                          .kv_stride = 3 * channels,
                          .scale = 1 / std::sqrt(static_cast<double>(channels / heads))};
    auto qkv = std::make_shared<AlignedBuffer<float>>(numbers(3 * batch * tokens * channels));
    auto dqkv = std::make_shared<AlignedBuffer<float>>(3 * batch * tokens * channels);
    auto p = std::make_shared<AlignedBuffer<float>>(d.probabilities());
    auto workspace = std::make_shared<AlignedBuffer<float>>(attention_workspace<float>(d));
    const float* q = qkv->data();
    float* dq = dqkv->data();
    const double flops = 4.0 * static_cast<double>(d.probabilities() * d.head_dim);
    const std::int64_t token_map = batch * tokens * channels;
    const std::string tokens_shape = text_of(batch, "x", tokens, "x", channels, "/heads:", heads);
    add_row("self_attention/forward/" + tokens_shape, flops, floats(4 * token_map),
            [=, keep = qkv] {
              attention_forward<float>(y->data(), p->data(), q, q + channels, q + 2 * channels,
                                       workspace->data(), d);
            });
    add_row("self_attention/backward/" + tokens_shape, 2 * flops, floats(7 * token_map),
            [=, keep = qkv, keep2 = dqkv] {
              attention_backward<float>(dq, dq + channels, dq + 2 * channels, dy->data(), p->data(),
                                        q, q + channels, q + 2 * channels, workspace->data(), d);
            });
  }
}

void add_rest() {
  const std::int64_t rows = 128, classes = 102;
  auto logits = std::make_shared<AlignedBuffer<float>>(numbers(rows * classes));
  auto out = std::make_shared<AlignedBuffer<float>>(rows * classes + 2 * rows + 1);
  auto labels = std::make_shared<std::vector<std::int32_t>>(rows, 7);
  const CrossEntropyDims d{.rows = rows, .classes = classes, .scale = 1.0 / rows};
  add_row(text_of("cross_entropy/forward/", rows, "x", classes), 0, 4.0 * rows * classes, [=] {
    float* losses = out->data() + rows * classes + 1;
    cross_entropy_forward<float>(out->data(), losses, losses + rows, logits->data(),
                                 {.labels = labels->data()}, d);
  });
  const std::int64_t parameters = 3'808'182;  // of XXS with 102 classes
  auto adam = std::make_shared<AlignedBuffer<float>>(numbers(4 * parameters));
  for (float& value : *adam) value = std::abs(value);
  add_row("adam_step/xxs", 0, 7 * 4.0 * static_cast<double>(parameters), [=] {
    float* v = adam->data();
    adam_step<float>(v, v + parameters, v + 2 * parameters, v + 3 * parameters, parameters,
                     {.learning_rate = 1e-6});
  });
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  peaks = {bench::fma_peak(num_threads()), bench::copy_peak(num_threads())};
  std::fprintf(stderr, "anther  %s  %d threads  FMA peak %.0f GFLOP/s  copy peak %.1f GB/s\n",
               to_string(isa()), num_threads(), peaks.gflops, peaks.gbytes);
  add_stage(56, 36, 1, 4);  // XXS
  add_stage(28, 72, 2, 2);
  add_stage(14, 144, 4, 2);
  add_stage(7, 288, 8, 1);
  add_stage(56, 48, 1, 4);  // XS and S
  add_stage(28, 96, 2, 2);
  add_stage(14, 240, 5, 2);
  add_stage(7, 384, 8, 1);
  add_rest();
  benchmark::RunSpecifiedBenchmarks();
}
