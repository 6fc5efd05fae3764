// The kernels at the shapes that EdgeViT has, forward and backward; every other op at a shape of
// its own, as users call it; and where memory is what an op waits for, at sizes that do not fit the
// caches.
//
//   bench_ops [--benchmark_filter=gelu] [--benchmark_format=json]
//
// Counters of a row: gflops (2 a multiply-accumulate, where there are any), gbytes_per_s (only the
// bytes that the op cannot do without), and the shares of this machine's peaks, measured before the
// first row and after others, once a second; the best counts. Memory is warm; `cold` rows read
// weights that have left the caches. Rows beyond the caches take turns with copies, call by call,
// and their copy_peak_share is of the median copy. OMP_NUM_THREADS sets the threads.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "anther/kernels/attention.hpp"
#include "anther/kernels/batch_norm.hpp"
#include "anther/kernels/conv2d.hpp"
#include "anther/kernels/cross_entropy.hpp"
#include "anther/kernels/depthwise_conv2d.hpp"
#include "anther/kernels/depthwise_conv_transpose2d.hpp"
#include "anther/kernels/elementwise.hpp"
#include "anther/kernels/gelu.hpp"
#include "anther/kernels/gemm.hpp"
#include "anther/kernels/global_average_pool.hpp"
#include "anther/kernels/group_norm.hpp"
#include "anther/kernels/layer_norm.hpp"
#include "anther/kernels/optimizer.hpp"
#include "anther/kernels/softmax.hpp"
#include "anther/kernels/subsample.hpp"
#include "bench/numbers.hpp"
#include "bench/op_rows.hpp"
#include "bench/rows.hpp"

namespace {

using namespace anther;
using namespace bench;

constexpr std::int64_t batch = 4;  // a micro-batch

using Buffer = std::shared_ptr<AlignedBuffer<float>>;
Buffer numbers(std::int64_t size) {
  return std::make_shared<AlignedBuffer<float>>(bench::numbers(size));
}
Buffer memory(std::int64_t size) {
  return std::make_shared<AlignedBuffer<float>>(size);
}
// The same weights, warm and cold.
void add_rows(const std::string& op, const std::string& shape, const Cost& cost, Buffer weights,
              const std::function<void(const float*)>& call) {
  add_row(op + "/" + shape, cost, [=] { call(weights->data()); });
  auto cold = std::make_shared<bench::ColdWeights>(weights);
  add_row(op + "_cold/" + shape, cost, [=] { call(cold->next()); });
}

// A map (N, H, W, C) of a stage, and one more that ops write to.
struct Maps {
  std::int64_t n, size, channels;
  std::int64_t positions = size * size, rows = n * positions, count = rows * channels;
  std::string shape = detail::text_of(n, "x", size, "x", size, "x", channels);
  Buffer x = numbers(count), dy = numbers(count), y = memory(count);
  Buffer weight = numbers(64 * channels), gradient = memory(64 * channels);
};

void add_depthwise(const Maps& m) {
  for (const std::int64_t kernel : {3, 5}) {
    const kernels::DepthwiseConv2dDims d{.batch = m.n,
                                         .height = m.size,
                                         .width = m.size,
                                         .channels = m.channels,
                                         .kernel_height = kernel,
                                         .kernel_width = kernel,
                                         .padding_height = kernel / 2,
                                         .padding_width = kernel / 2};
    const std::string op = detail::text_of("depthwise_conv2d_", kernel, "x", kernel);
    const double forward = macs(m.count * kernel * kernel);
    const Buffer taps = numbers(kernel * kernel * m.channels);
    add_rows(op + "/forward", m.shape, {forward, floats(2 * m.count)}, taps, [=](const float* w) {
      kernels::depthwise_conv2d_forward<float>(m.y->data(), nullptr, m.x->data(), w,
                                               m.weight->data(), d);
    });
    const Buffer workspace = memory(kernels::depthwise_conv2d_backward_workspace(d));
    add_rows(op + "/backward", m.shape, {2 * forward, floats(3 * m.count)}, taps,
             [=](const float* w) {
               kernels::depthwise_conv2d_backward<float>(
                   m.y->data(), nullptr, m.gradient->data(), m.gradient->data() + 25 * m.channels,
                   m.dy->data(), m.x->data(), w, workspace->data(), d);
             });
  }
}

// What brings a map to a share of its positions, and back.
void add_sampling(const Maps& m, std::int64_t r) {
  const std::int64_t in = m.count / (r * r);
  const kernels::SubsampleDims s{
      .batch = m.n, .height = m.size, .width = m.size, .channels = m.channels, .stride = r};
  add_row("subsample/forward/" + m.shape, {0, floats(2 * in)},
          [=] { kernels::subsample_forward<float>(m.y->data(), m.x->data(), s); });
  add_row("subsample/backward/" + m.shape, {0, floats(m.count + in)},
          [=] { kernels::subsample_backward<float>(m.y->data(), nullptr, m.dy->data(), s); });

  const kernels::DepthwiseConvTranspose2dDims d{.batch = m.n,
                                                .height = m.size / r,
                                                .width = m.size / r,
                                                .channels = m.channels,
                                                .kernel_height = r,
                                                .kernel_width = r,
                                                .stride_height = r,
                                                .stride_width = r};
  const std::string op = detail::text_of("depthwise_conv_transpose2d_", r, "x", r);
  const Buffer taps = numbers(r * r * m.channels);
  add_rows(op + "/forward", m.shape, {macs(m.count), floats(m.count + in)}, taps,
           [=](const float* w) {
             kernels::depthwise_conv_transpose2d_forward<float>(m.y->data(), m.x->data(), w,
                                                                m.weight->data(), d);
           });
  const Buffer workspace = memory(kernels::depthwise_conv_transpose2d_backward_workspace(d));
  add_rows(op + "/backward", m.shape, {macs(2 * m.count), floats(m.count + 2 * in)}, taps,
           [=](const float* w) {
             kernels::depthwise_conv_transpose2d_backward<float>(
                 m.y->data(), nullptr, m.gradient->data(), m.gradient->data() + 25 * m.channels,
                 m.dy->data(), m.x->data(), w, workspace->data(), d);
           });
}

// Calls body(first, count) for tiles of a map's rows, as the tape does for a lazy op.
template <class Body>
void for_row_tiles(const Maps& m, const Body& body) {
  constexpr std::int64_t tile_rows = 96;
  parallel_for((m.rows + tile_rows - 1) / tile_rows, m.count / 2, [&](std::int64_t tile) {
    body(tile * tile_rows, std::min(tile_rows, m.rows - tile * tile_rows));
  });
}

void add_channel_norm(const std::string& name, const Maps& m, std::int64_t groups) {
  const kernels::GroupNormDims d{
      .batch = m.n, .positions = m.positions, .channels = m.channels, .groups = groups};
  const Buffer mean = memory(m.n * groups), rstd = memory(m.n * groups);
  const Buffer workspace = memory(kernels::group_norm_workspace(d));
  const Buffer affine = memory(kernels::group_norm_affine_size(d));
  add_row(name + "/statistics/" + m.shape, {0, floats(m.count)}, [=] {
    kernels::group_norm_statistics<float>(affine->data(), mean->data(), rstd->data(), m.x->data(),
                                          m.weight->data(), m.weight->data(), workspace->data(), d);
  });
  add_row(name + "/rows/" + m.shape, {0, floats(2 * m.count)}, [=] {
    for_row_tiles(m, [&](std::int64_t first, std::int64_t count) {
      kernels::group_norm_rows<float>(m.y->data() + first * m.channels,
                                      m.x->data() + first * m.channels, affine->data(), first,
                                      count, d);
    });
  });
  add_row(name + "/backward/" + m.shape, {0, floats(3 * m.count)}, [=] {
    kernels::group_norm_backward<float>(
        {m.y->data(), nullptr, m.gradient->data(), m.gradient->data() + m.channels, m.dy->data(),
         m.x->data(), mean->data(), rstd->data(), m.weight->data()},
        workspace->data(), d);
  });
}

void add_norms(const Maps& m) {
  add_channel_norm("group_norm", m, m.channels / 12);
  add_channel_norm("instance_norm", m, m.channels);

  const kernels::LayerNormDims l{.rows = m.rows, .channels = m.channels};
  const Buffer mean = memory(2 * m.rows), rstd = memory(m.rows);
  const Buffer layer_workspace = memory(kernels::layer_norm_workspace(l));
  add_row("layer_norm/forward/" + m.shape, {0, floats(2 * m.count)}, [=] {
    kernels::layer_norm_forward<float>(m.y->data(), mean->data(), rstd->data(), m.x->data(),
                                       m.weight->data(), m.weight->data(), l);
  });
  add_row("layer_norm/backward/" + m.shape, {0, floats(3 * m.count)}, [=] {
    kernels::layer_norm_backward<float>(
        {m.y->data(), nullptr, m.gradient->data(), m.gradient->data() + m.channels, m.dy->data(),
         m.x->data(), mean->data(), rstd->data(), m.weight->data()},
        layer_workspace->data(), l);
  });

  const kernels::BatchNormDims b{.rows = m.rows, .channels = m.channels};
  const Buffer statistics = memory(3 * m.channels);
  const Buffer affine = memory(kernels::batch_norm_affine_size(b));
  const Buffer workspace = memory(kernels::batch_norm_workspace(b));
  add_row("batch_norm/statistics/" + m.shape, {0, floats(m.count)}, [=] {
    float* s = statistics->data();
    kernels::batch_norm_statistics<float>({affine->data(), s, s + m.channels, s + 2 * m.channels},
                                          m.x->data(), m.weight->data(), m.weight->data(),
                                          workspace->data(), b);
  });
  // Its sums are there only once the whole batch has been read: a pass more.
  add_row("batch_norm/backward/" + m.shape, {0, floats(5 * m.count)}, [=] {
    float* s = statistics->data();
    kernels::batch_norm_backward<float>(
        {m.y->data(), nullptr, m.gradient->data(), m.gradient->data() + m.channels, m.dy->data(),
         m.x->data(), s, s + m.channels, m.weight->data()},
        workspace->data(), b);
  });
}

void add_activations(const Maps& m) {
  add_row("gelu/forward/" + m.shape, {0, floats(2 * m.count)},
          [=] { kernels::gelu_forward<float>(m.y->data(), m.x->data(), m.count); });
  add_row("gelu/backward/" + m.shape, {0, floats(3 * m.count)}, [=] {
    kernels::gelu_backward<float>(m.y->data(), nullptr, m.dy->data(), m.x->data(), m.count);
  });
  add_row("add/forward/" + m.shape, {0, floats(3 * m.count)},
          [=] { kernels::add<float>(m.y->data(), m.x->data(), m.dy->data(), m.count); });
}

// Over rows of as many columns as the attention of the first stages has keys.
void add_softmax(std::int64_t rows, std::int64_t columns) {
  const std::int64_t count = rows * columns;
  const Buffer x = numbers(count), dy = numbers(count), y = memory(count);
  const kernels::SoftmaxDims d{
      .rows = rows, .columns = columns, .x_stride = columns, .y_stride = columns, .scale = 1};
  const std::string shape = detail::text_of(rows, "x", columns);
  add_row("softmax/forward/" + shape, {0, floats(2 * count)},
          [=] { kernels::softmax_forward<float>(y->data(), x->data(), d); });
  add_row("softmax/backward/" + shape, {0, floats(3 * count)},
          [=] { kernels::softmax_backward<float>(x->data(), nullptr, dy->data(), y->data(), d); });
}

// A layer over all rows of a map: in -> out channels.
void add_linear(std::int64_t rows, std::int64_t in, std::int64_t out) {
  const std::string shape = detail::text_of(rows, "x", in, "->", out);
  const double forward = macs(rows * in * out);
  const Buffer x = numbers(rows * in), dy = numbers(rows * out), bias = numbers(out);
  const Buffer y = memory(rows * out), dx = memory(rows * in), dweight = memory(in * out);
  const Buffer weight = numbers(in * out);
  const Buffer packed = memory(kernels::gemm_packed_size<float>(out, in));
  const Buffer turned = memory(kernels::gemm_packed_size<float>(in, out));
  kernels::gemm_pack<float>(packed->data(), weight->data(), {out, in, in, 1});
  kernels::gemm_pack<float>(turned->data(), weight->data(), {in, out, 1, in});
  add_rows("linear/forward", shape, {forward, floats(rows * (in + out))}, packed,
           [=](const float* w) {
             kernels::gemm<float>(y->data(), nullptr, x->data(), w, bias->data(),
                                  kernels::dense_gemm(rows, out, in));
           });
  const kernels::GemmTnDims tn{
      .rows = rows, .outs = out, .columns = in, .dy_stride = out, .x_stride = in, .dw_stride = in};
  const Buffer workspace = memory(kernels::gemm_tn_workspace<float>(tn));
  add_rows("linear/backward", shape, {2 * forward, floats(2 * rows * (in + out))}, turned,
           [=](const float* w) {
             kernels::gemm<float>(dx->data(), nullptr, dy->data(), w, nullptr,
                                  kernels::dense_gemm(rows, in, out));
             kernels::gemm_tn<float>(dweight->data(), dy->data(), x->data(), workspace->data(), tn);
           });
}

// The patch embedding of a stage: kernel and stride p, from a map of p times the side.
void add_embedding(std::int64_t size, std::int64_t in, std::int64_t out, std::int64_t p) {
  const kernels::Conv2dDims d{.batch = batch,
                              .height = size * p,
                              .width = size * p,
                              .in_channels = in,
                              .out_channels = out,
                              .kernel_height = p,
                              .kernel_width = p,
                              .stride_height = p,
                              .stride_width = p,
                              .padding_height = 0,
                              .padding_width = 0,
                              .dilation_height = 1,
                              .dilation_width = 1,
                              .groups = 1};
  const std::string shape =
      detail::text_of(batch, "x", size * p, "x", size * p, "x", in, "->", out);
  const std::int64_t x_size = d.rows() * d.depth(), y_size = d.rows() * out;
  const double forward = macs(x_size * out);
  const Buffer x = numbers(x_size), dy = numbers(y_size), bias = numbers(out), y = memory(y_size);
  const Buffer dx = memory(x_size), dweight = memory(d.depth() * out);
  const Buffer weight = numbers(d.depth() * out);
  const Buffer workspace =
      memory(std::max({kernels::conv2d_forward_workspace(d, num_threads()),
                       kernels::conv2d_backward_input_workspace(d, num_threads()),
                       kernels::conv2d_backward_weight_workspace<float>(d)}));
  const kernels::PackOptions forward_pack = kernels::conv2d_pack(d);
  const kernels::PackOptions input_pack = kernels::conv2d_input_pack(d);
  const Buffer packed = memory(kernels::packed_size<float>(forward_pack));
  const Buffer turned = memory(kernels::packed_size<float>(input_pack));
  kernels::pack_weight<float>(packed->data(), weight->data(), forward_pack);
  kernels::pack_weight<float>(turned->data(), weight->data(), input_pack);
  add_rows("conv2d/forward", shape, {forward, floats(x_size + y_size)}, packed,
           [=](const float* w) {
             kernels::conv2d_forward<float>(y->data(), nullptr, x->data(), w, bias->data(),
                                            workspace->data(), d);
           });
  add_rows("conv2d/backward", shape, {2 * forward, floats(2 * (x_size + y_size))}, turned,
           [=](const float* w) {
             kernels::conv2d_backward_input<float>(dx->data(), nullptr, dy->data(), w, nullptr,
                                                   workspace->data(), d);
             kernels::conv2d_backward_weight<float>(dweight->data(), dy->data(), x->data(),
                                                    workspace->data(), d);
           });
}

void add_attention(std::int64_t tokens, std::int64_t channels, std::int64_t heads) {
  const std::int64_t count = batch * tokens * channels;
  const kernels::AttentionDims d{.batch = batch,
                                 .heads = heads,
                                 .queries = tokens,
                                 .keys = tokens,
                                 .head_dim = channels / heads,
                                 .q_stride = 3 * channels,
                                 .kv_stride = 3 * channels,
                                 .scale = 1 / std::sqrt(static_cast<double>(channels / heads))};
  const Buffer qkv = numbers(3 * count), dqkv = memory(3 * count), o = memory(count);
  const Buffer d_o = numbers(count), p = memory(d.probabilities());
  const Buffer workspace = memory(kernels::attention_workspace<float>(d, available_threads()));
  const double forward = macs(2 * d.probabilities() * d.head_dim);
  const std::string shape = detail::text_of(batch, "x", tokens, "x", channels, "/heads:", heads);
  add_row("self_attention/forward/" + shape, {forward, floats(4 * count)}, [=] {
    const float* q = qkv->data();
    kernels::attention_forward<float>(o->data(), p->data(), q, q + channels, q + 2 * channels,
                                      workspace->data(), d);
  });
  add_row("self_attention/backward/" + shape, {2 * forward, floats(7 * count)}, [=] {
    const float* q = qkv->data();
    float* dq = dqkv->data();
    kernels::attention_backward<float>({dq, dq + channels, dq + 2 * channels, d_o->data(),
                                        p->data(), q, q + channels, q + 2 * channels},
                                       workspace->data(), d);
  });
}

// One stage of EdgeViT: `size` is the side of its map, r its sampling rate, `in` the channels
// before it and p the kernel of its embedding.
void add_stage(std::int64_t size, std::int64_t channels, std::int64_t heads, std::int64_t r,
               std::int64_t in, std::int64_t p) {
  const Maps m{.n = batch, .size = size, .channels = channels};
  const std::int64_t tokens = m.positions / (r * r);
  add_embedding(size, in, channels, p);
  add_depthwise(m);
  add_norms(m);
  if (r > 1) add_sampling(m, r);
  add_linear(batch * tokens, channels, 3 * channels);
  add_attention(tokens, channels, heads);
  add_linear(m.rows, channels, channels);
  add_linear(m.rows, channels, 4 * channels);
  add_activations({.n = batch, .size = size, .channels = 4 * channels});
  add_linear(m.rows, 4 * channels, channels);
}

void add_head(std::int64_t channels, std::int64_t classes) {
  const Buffer x = numbers(batch * 49 * channels), y = memory(batch * 49 * channels);
  const kernels::GlobalAveragePoolDims pool{
      .batch = batch, .height = 7, .width = 7, .channels = channels};
  const std::string shape = detail::text_of(batch, "x7x7x", channels);
  add_row("global_average_pool/forward/" + shape, {0, floats(x->size())},
          [=] { kernels::global_average_pool_forward<float>(y->data(), x->data(), pool); });
  add_row("global_average_pool/backward/" + shape, {0, floats(x->size())}, [=] {
    kernels::global_average_pool_backward<float>(y->data(), nullptr, x->data(), pool);
  });
  add_linear(batch, channels, classes);
}

void add_loss(std::int64_t rows, std::int64_t classes) {
  const Buffer logits = numbers(rows * classes), out = memory(rows * classes + 3 * rows + 1);
  auto labels = std::make_shared<std::vector<std::int32_t>>(rows, 7);
  const kernels::CrossEntropyDims d{.rows = rows, .classes = classes, .scale = 1.0 / double(rows)};
  add_row(detail::text_of("cross_entropy/forward/", rows, "x", classes),
          {0, floats(rows * classes)}, [=] {
            float* losses = out->data() + rows * classes + 1;
            kernels::cross_entropy_forward<float>(out->data(), losses, losses + rows,
                                                  logits->data(), {.labels = labels->data()}, d);
          });
}

void add_optimizer(const std::string& model, std::int64_t parameters) {
  const Buffer values = numbers(4 * parameters);
  for (float& value : *values) value = std::abs(value);
  add_row("adam_step/" + model, {0, floats(7 * parameters)}, [=] {
    float* v = values->data();
    kernels::adam_step<float>(v, v + parameters, v + 2 * parameters, v + 3 * parameters, parameters,
                              {.learning_rate = 1e-6});
  });
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  peaks.measure();
  std::fprintf(stderr, "anther  %s  %d threads  FMA peak %.0f GFLOP/s  copy peak %.1f GB/s\n",
               to_string(isa()), num_threads(), peaks.gflops, peaks.gbytes);
  add_stage(56, 36, 1, 4, 3, 4);  // XXS
  add_stage(28, 72, 2, 2, 36, 2);
  add_stage(14, 144, 4, 2, 72, 2);
  add_stage(7, 288, 8, 1, 144, 2);
  add_head(288, 102);
  add_stage(56, 48, 1, 4, 3, 4);  // XS and S
  add_stage(28, 96, 2, 2, 48, 2);
  add_stage(14, 240, 5, 2, 96, 2);
  add_stage(7, 384, 8, 1, 240, 2);
  add_head(384, 102);
  add_loss(128, 102);
  add_optimizer("xxs", 3'808'182);
  // Beyond the caches: 55 MiB a map.
  const Maps large{.n = 64, .size = 56, .channels = 72};
  add_norms(large);
  add_activations(large);
  add_softmax(72'000, 196);
  // A shape that other frameworks are measured at.
  const Maps common{.n = 8, .size = 28, .channels = 72};
  add_depthwise(common);
  add_sampling(common, 2);
  const Shape map{common.n, common.size, common.size, common.channels};
  add_elementwise_ops(map);
  add_shape_ops(map);
  add_reductions(map);
  add_products();
  add_sequences();
  add_losses();
  const Shape large_map{large.n, large.size, large.size, large.channels};
  add_op_row({"relu", {large_map}, {}, [](const Values& v) { return relu(v[0]); }});
  add_op_row({"silu", {large_map}, {}, [](const Values& v) { return silu(v[0]); }});
  benchmark::RunSpecifiedBenchmarks();
}
