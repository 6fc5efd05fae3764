// Rows of every op that the kernels' rows at EdgeViT's shapes do not have, as users call it: on a
// tape, forward and backward.
#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "anther/anther.hpp"
#include "bench/numbers.hpp"
#include "bench/rows.hpp"

namespace bench {

using namespace anther;

using V = Variable<float>;
using Values = std::vector<V>;
using Clock = Peaks::Clock;

inline double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// The end of a pass: its backward gives the op before it a gradient, and then looks at the clock.
inline Clock::time_point backward_begin;
inline constexpr Op<float> end_op = {
    .name = "end",
    .forward = [](Call<float>& call) { *call.output() = 0; },
    .backward =
        [](Call<float>& call) {
          std::fill_n(call.input_gradient(0).to, call.input_shape(0).numel(), 1.0f);
          backward_begin = Clock::now();
        },
};

// One op: inputs, weights (which are kept packed), and how it is called with them, in this order.
struct OpRow {
  std::string name;
  std::vector<Shape> inputs, weights = {};
  std::function<V(const Values&)> call;
  bool backward = true;  // false: its results are integers
};

// Passes over one op.
class OpPass {
 public:
  explicit OpPass(const OpRow& row) : row_(row) {
    for (const Shape& shape : row.inputs)
      inputs_.push_back(Tensor<float>(shape, numbers(shape.numel()).span()));
    for (const Shape& shape : row.weights)
      weights_.push_back(
          {&store_, store_.add_parameter(std::to_string(weights_.size()), "weight",
                                         {.shape = shape, .init = Init::normal(1)})});
    store_.initialize(1);
  }

  // The seconds that the op takes in one pass: those of forward, or of backward.
  double run(bool backward) {
    tape_.begin({.backward = backward});
    Values values;
    for (const Tensor<float>& tensor : inputs_) values.push_back(tape_.input(tensor, backward));
    for (const Parameter<float>& weight : weights_) values.push_back(tape_.parameter(weight));
    const auto begin = Clock::now();
    const V y = row_.call(values);
    results_ = y.shape().numel();
    if (!backward) {
      if (row_.backward) y.value();  // integers are there already
      return seconds_since(begin);
    }
    tape_.backward(tape_.apply(end_op, 0, {y}, Shape{}));
    return seconds_since(backward_begin);
  }

  // What the last pass cost: each value read or written once.
  Cost cost(bool backward) {
    Cost cost;
    for (const auto& entry : tape_.entries())
      if (entry.op->macs) cost.macs += macs(entry.op->macs(Call<float>(tape_, entry)));
    if (backward) cost.macs *= 2;
    for (const Tensor<float>& tensor : inputs_) cost.bytes += floats(tensor.size());
    for (const Parameter<float>& weight : weights_) cost.bytes += floats(weight.info().size);
    cost.bytes += floats(results_);
    return cost;
  }

 private:
  const OpRow& row_;
  std::vector<Tensor<float>> inputs_;
  ParameterStore<float> store_;
  std::vector<Parameter<float>> weights_;
  Tape<float> tape_;
  std::int64_t results_ = 0;
};

// Bytes: x and y forward, dy and dx backward. Beyond the caches a pass takes turns with a copy.
inline void add_op_row(const OpRow& row) {
  for (const bool backward : {false, true}) {
    if (backward && !row.backward) continue;
    std::string name = row.name + (backward ? "/backward/" : "/forward/");
    for (int axis = 0; axis < row.inputs[0].rank(); ++axis)
      name += (axis > 0 ? "x" : "") + std::to_string(row.inputs[0][axis]);
    benchmark::RegisterBenchmark(
        name.c_str(),
        [=](benchmark::State& state) {
          OpPass pass(row);
          for (int i = 0; i < 2; ++i) pass.run(backward);  // the tape then has its memory
          const Cost cost = pass.cost(backward);
          std::vector<double> seconds, copies[2];
          for (auto _ : state) {
            seconds.push_back(pass.run(backward));
            state.SetIterationTime(seconds.back());
            const bool streaming = seconds.size() % 2 == 0;
            if (cost.bytes > beyond_caches)
              copies[streaming].push_back(copy_rate(num_threads(), streaming));
          }
          peaks.measure();
          const double rate = 1e-9 / median(seconds);
          const double copy = cost.bytes > beyond_caches
                                  ? std::max(median(copies[0]), median(copies[1]))
                                  : peaks.gbytes;
          state.counters["median_us"] = 1e6 * median(seconds);
          if (cost.macs > 0) {
            state.counters["gflops"] = 2 * cost.macs * rate;
            state.counters["fma_peak_share"] = 2 * cost.macs * rate / peaks.gflops;
          }
          state.counters["gbytes_per_s"] = cost.bytes * rate;
          state.counters["copy_peak_share"] = cost.bytes * rate / copy;
        })
        ->Unit(benchmark::kMicrosecond)
        ->UseManualTime();
  }
}

// The rows of the tables of element-wise ops: what is added there is here by itself.
inline void add_elementwise_ops(const Shape& map) {
#define ANTHER_POINTWISE(name, ...) \
  add_op_row({#name, {map}, {}, [](const Values& v) { return anther::name(v[0]); }});
#define ANTHER_POINTWISE_1(name, ...) \
  add_op_row({#name, {map}, {}, [](const Values& v) { return anther::name(v[0], 0.5); }});
#define ANTHER_POINTWISE_2(name, ...) \
  add_op_row({#name, {map}, {}, [](const Values& v) { return anther::name(v[0], 0.5, 1); }});
#include "anther/kernels/pointwise_table.inl"
#define ANTHER_BINARY(name, ...)                                                   \
  add_op_row({#name " by channels", {map, {map.back()}}, {}, [](const Values& v) { \
                return binary<kernels::Binary::name>(v[0], v[1]);                  \
              }});
#include "anther/kernels/binary_table.inl"
}

// Numbers below `most` for as many elements as a shape has, as a value on the tape of `like`.
inline V integers_like(const V& like, const Shape& shape, std::int64_t most) {
  std::vector<std::int32_t> numbers(static_cast<std::size_t>(shape.numel()));
  for (std::size_t i = 0; i < numbers.size(); ++i)
    numbers[i] = static_cast<std::int32_t>(static_cast<std::int64_t>(i) * 7919 / 13 % most);
  return like.tape().integers(shape, numbers);
}

inline void add_shape_ops(const Shape& map) {
  const std::int64_t height = map[1], channels = map[3];
  add_op_row({"where", {map, map}, {}, [=](const Values& v) {
                return where(integers_like(v[0], {height, channels}, 2), v[0], v[1]);
              }});
  add_op_row({"permute", {map}, {}, [](const Values& v) { return permute(v[0], {0, 3, 1, 2}); }});
  add_op_row({"cat", {map, map}, {}, [](const Values& v) { return cat({v[0], v[1]}, -1); }});
  add_op_row(
      {"narrow", {map}, {}, [=](const Values& v) { return narrow(v[0], 1, 1, height - 2); }});
  add_op_row({"pad", {map}, {}, [](const Values& v) {
                return pad(v[0], {1, 1, 1, 1}, PadMode::reflect);
              }});
  add_op_row({"index_select", {map}, {}, [=](const Values& v) {
                return index_select(v[0], 1, integers_like(v[0], {height}, height));
              }});
  add_op_row({"pixel_shuffle", {map}, {}, [](const Values& v) { return pixel_shuffle(v[0], 2); }});
  add_op_row({"dropout", {map}, {}, [](const Values& v) { return dropout(v[0], 0.1); }});
  add_op_row({"interpolate nearest", {map}, {}, [](const Values& v) {
                return interpolate(v[0], {.scale_factor = 2});
              }});
  add_op_row({"interpolate bilinear", {map}, {}, [](const Values& v) {
                return interpolate(v[0], {.scale_factor = 2, .mode = InterpolateMode::bilinear});
              }});
  add_op_row({"max_pool2d", {map}, {}, [](const Values& v) {
                return max_pool2d(v[0], 3, {.stride = 2, .padding = 1});
              }});
  add_op_row({"avg_pool2d", {map}, {}, [](const Values& v) { return avg_pool2d(v[0], 2); }});
  add_op_row({"adaptive_avg_pool2d", {map}, {}, [](const Values& v) {
                return adaptive_avg_pool2d(v[0], 7);
              }});
}

inline void add_reductions(const Shape& map) {
#define ANTHER_REDUCTION(name)                                                                   \
  add_op_row({#name " of maps", {map}, {}, [](const Values& v) { return name(v[0], {1, 2}); }}); \
  add_op_row({#name " of channels", {map}, {}, [](const Values& v) { return name(v[0], 3); }});
  ANTHER_REDUCTION(sum)
  ANTHER_REDUCTION(amax)
  ANTHER_REDUCTION(var)
  ANTHER_REDUCTION(norm)
#undef ANTHER_REDUCTION
  add_op_row({"softmax of rows", {map}, {}, [](const Values& v) { return softmax(v[0], 1); }});
  add_op_row({"log_softmax", {map}, {}, [](const Values& v) { return log_softmax(v[0]); }});
  add_op_row(
      {"rms_norm", {map}, {{map.back()}}, [](const Values& v) { return rms_norm(v[0], v[1]); }});
  add_op_row({"argmax", {map}, {}, [](const Values& v) { return argmax(v[0]); }, false});
  add_op_row({"topk", {map}, {}, [](const Values& v) { return topk(v[0], 5).values; }});
}

inline void add_products() {
  const Shape tokens{4, 196, 192};
  add_op_row({"matmul", {{8, 196, 64}, {8, 64, 196}}, {}, [](const Values& v) {
                return matmul(v[0], v[1]);
              }});
  const auto add_attention_op = [&](const char* name, const auto& options) {
    add_op_row({name, {tokens, tokens, tokens}, {}, [=](const Values& v) {
                  return scaled_dot_product_attention(v[0], v[1], v[2], 3, options(v[0]));
                }});
  };
  using Options = AttentionOptions<float>;
  add_attention_op("attention", [](const V&) { return Options{}; });
  add_attention_op("attention causal", [](const V&) { return Options{.is_causal = true}; });
  add_attention_op("attention dropout", [](const V&) { return Options{.dropout_p = 0.1}; });
  add_attention_op("attention mask", [](const V& q) {
    return Options{.attn_mask = integers_like(q, {196, 196}, 2)};
  });
  const Shape map{4, 28, 28, 128};
  const auto add_conv = [&](const char* name, const Shape& x, const Shape& weight,
                            const Conv2dOptions& options) {
    add_op_row(
        {name, {x}, {weight}, [=](const Values& v) { return conv2d(v[0], v[1], {}, options); }});
  };
  add_conv("conv2d 3x3", map, {128, 3, 3, 128}, {.padding = 1});
  add_conv("conv2d 3x3 by 2", map, {256, 3, 3, 128}, {.stride = 2, .padding = 1});
  add_conv("conv2d 3x3 dilated", map, {128, 3, 3, 128}, {.padding = 2, .dilation = 2});
  add_conv("conv2d 3x3 grouped", map, {128, 3, 3, 16}, {.padding = 1, .groups = 8});
  add_conv("conv2d 7x7 by 2", {4, 224, 224, 3}, {64, 7, 7, 3}, {.stride = 2, .padding = 3});
  add_op_row({"conv_transpose2d 2x2", {map}, {{128, 2, 2, 64}}, [](const Values& v) {
                return conv_transpose2d(v[0], v[1], {}, {.stride = 2});
              }});
  add_op_row({"conv1d 3", {{8, 512, 128}}, {{128, 3, 128}}, [](const Values& v) {
                return conv1d(v[0], v[1], {}, {.padding = 1});
              }});
}

inline void add_sequences() {
  add_op_row({"embedding", {{10'000, 128}}, {}, [](const Values& v) {
                return embedding(integers_like(v[0], {32, 128}, 10'000), v[0]);
              }});
  // The recurrent part: the products with the inputs are a Linear before it.
  add_op_row({"lstm", {{32, 64, 512}}, {{512, 128}}, [](const Values& v) {
                return lstm<float>(v[0], v[1], {}, {}, {}).y;
              }});
  add_op_row({"gru", {{32, 64, 384}}, {{384, 128}}, [](const Values& v) {
                return gru<float>(v[0], v[1], {}, {});
              }});
}

inline void add_losses() {
  const Shape rows{1024, 1000};
#define ANTHER_LOSS(name) \
  add_op_row({#name, {rows, rows}, {}, [](const Values& v) { return name(v[0], v[1]); }});
  ANTHER_LOSS(mse_loss)
  ANTHER_LOSS(l1_loss)
  ANTHER_LOSS(smooth_l1_loss)
  ANTHER_LOSS(huber_loss)
  ANTHER_LOSS(kl_div)
  ANTHER_LOSS(binary_cross_entropy_with_logits)
  ANTHER_LOSS(cosine_similarity)
#undef ANTHER_LOSS
  const std::vector<std::int32_t> labels(static_cast<std::size_t>(rows[0]), 7);
  add_op_row({"cross_entropy", {rows}, {}, [=](const Values& v) {
                return cross_entropy<float>(v[0], labels);
              }});
  add_op_row(
      {"nll_loss", {rows}, {}, [=](const Values& v) { return nll_loss<float>(v[0], labels); }});
  add_op_row({"triplet_margin_loss", {rows, rows, rows}, {}, [](const Values& v) {
                return triplet_margin_loss(v[0], v[1], v[2]);
              }});
}

}  // namespace bench
