// Backward against central differences where ops meet: what is fused, shared, viewed or absent. A
// single op's row stands in tests/op_cases.hpp.
#include <doctest/doctest.h>

#include <functional>
#include <string>
#include <vector>

#include "anther/anther.hpp"

namespace {

using namespace anther;
using Variables = std::vector<Variable<double>>;

struct Row {
  std::string name;
  std::vector<Shape> inputs;
  std::function<Variable<double>(const Variables&)> op;
  GradientCheckOptions options = {};
  double offset = 0;  // of the inputs, which are normal otherwise
};

const std::vector<std::int32_t> labels = {1, 0, 4}, labels2 = {3, 0, 2};
const std::vector<double> lambda = {0.3, 0.9, 0};
// Running statistics of five channels.
struct RunningStatistics {
  RunningStatistics() {
    const auto edit = store.edit();
    std::ranges::copy(std::initializer_list{0.1, -0.2, 0.3, 0.5, 0.0}, edit.buffer(0).begin());
    std::ranges::copy(std::initializer_list{1.1, 0.7, 2.0, 0.4, 1.0}, edit.buffer(1).begin());
  }
  ParameterStore<double> store;
  const Buffer<double> mean{&store, store.add_buffer("mean", {.shape = Shape{5}})};
  const Buffer<double> var{&store, store.add_buffer("var", {.shape = Shape{5}})};
} running;

const std::vector<Row> rows = {
    {"add to itself", {{2, 3}}, [](const Variables& v) { return v[0] + v[0]; }},
    {"matmul of vectors", {{5}, {5}}, [](const Variables& v) { return matmul(v[0], v[1]); }},
    {"matmul of a vector and matrices",
     {{5}, {2, 5, 3}},
     [](const Variables& v) { return matmul(v[0], v[1]); }},
    {"matmul of matrices and a vector",
     {{2, 3, 5}, {5}},
     [](const Variables& v) { return matmul(v[0], v[1]); }},
    {"matmul, one matrix for all",
     {{2, 3, 4, 5}, {5, 3}},
     [](const Variables& v) { return matmul(v[0], v[1]); }},
    {"matmul, broadcast both ways",
     {{2, 1, 3, 4}, {3, 4, 2}},
     [](const Variables& v) { return matmul(v[0], v[1]); }},
    {"matmul of a value and itself",
     {{4, 3, 3}},
     [](const Variables& v) { return matmul(v[0], v[0]); }},
    {"conv2d 2x2 stride 2",
     {{2, 4, 6, 3}, {5, 2, 2, 3}, {5}},
     [](const Variables& v) { return conv2d(v[0], v[1], v[2], {.stride = 2}); }},
    {"conv2d 3x3 padding 1",
     {{2, 4, 3, 3}, {4, 3, 3, 3}, {4}},
     [](const Variables& v) { return conv2d(v[0], v[1], v[2], {.padding = 1}); }},
    {"conv2d 3x2 groups 2",
     {{1, 5, 4, 4}, {6, 3, 2, 2}, {6}},
     [](const Variables& v) {
       return conv2d(v[0], v[1], v[2], {.stride = {2, 1}, .padding = {1, 0}, .groups = 2});
     }},
    {"conv2d 3x3 stride 2, merged residual",
     {{2, 3, 4, 3}, {2, 5, 7, 4}, {3, 3, 3, 4}},
     [](const Variables& v) { return v[0] + conv2d(v[1], v[2], {}, {.stride = 2, .padding = 1}); }},
    {"depthwise_conv2d 3x3",
     {{2, 5, 6, 5}, {3, 3, 5}, {5}},
     [](const Variables& v) { return depthwise_conv2d(v[0], v[1], v[2], {.padding = 1}); }},
    {"depthwise_conv2d 5x5, merged residual",
     {{1, 7, 6, 37}, {5, 5, 37}, {37}},
     [](const Variables& v) { return v[0] + depthwise_conv2d(v[0], v[1], v[2], {.padding = 2}); }},
    {"conv_transpose2d 3x3, groups, output padding, merged residual",
     {{1, 7, 11, 6}, {1, 4, 4, 4}, {4, 3, 3, 3}},
     [](const Variables& v) {
       return v[0] + conv_transpose2d(
                         v[1], v[2], {},
                         {.stride = {2, 3}, .padding = 1, .output_padding = {0, 1}, .groups = 2});
     }},
    {"interpolate, bilinear, of a value that others read",
     {{1, 4, 5, 3}},
     [](const Variables& v) {
       const Variable<double> y = gelu(v[0]);
       return global_average_pool(y) +
              global_average_pool(interpolate(
                  y, {.size = {9, 3}, .mode = InterpolateMode::bilinear, .align_corners = true}));
     }},
    {"group_norm, one group, far from zero",
     {{2, 3, 3, 5}, {5}, {5}},
     [](const Variables& v) { return group_norm(v[0], 1, v[1], v[2]); },
     {},
     50},
    {"instance_norm",
     {{2, 3, 4, 5}, {5}, {5}},
     [](const Variables& v) { return instance_norm(v[0], v[1], v[2]); }},
    {"layer_norm",
     {{2, 3, 13}, {13}, {13}},
     [](const Variables& v) { return layer_norm(v[0], v[1], v[2]); }},
    {"rms_norm", {{2, 3, 13}, {13}}, [](const Variables& v) { return rms_norm(v[0], v[1]); }},
    {"rms_norm without weight", {{3, 37}}, [](const Variables& v) { return rms_norm(v[0]); }},
    {"batch_norm, training",
     {{3, 2, 2, 5}, {5}, {5}},
     [](const Variables& v) { return batch_norm(v[0], v[1], v[2], running.mean, running.var); }},
    {"batch_norm, frozen",
     {{3, 7, 5}, {5}, {5}},
     [](const Variables& v) {
       return batch_norm(v[0], v[1], v[2], running.mean, running.var, {.frozen = true});
     }},
    {"batch_norm, evaluation",
     {{3, 2, 2, 5}, {5}, {5}},
     [](const Variables& v) { return batch_norm(v[0], v[1], v[2], running.mean, running.var); },
     {.tape = {.training = false}}},
    {"self_attention", {{2, 5, 24}}, [](const Variables& v) { return self_attention(v[0], 2); }},
    {"scaled_dot_product_attention",
     {{2, 3, 6}, {2, 7, 6}, {2, 7, 6}},
     [](const Variables& v) { return scaled_dot_product_attention(v[0], v[1], v[2], 3); }},
    {"self_attention, causal",
     {{2, 5, 24}},
     [](const Variables& v) { return self_attention(v[0], 2, {.is_causal = true}); }},
    {"attention, causal, more queries than keys, blocks of queries",
     {{1, 75, 4}, {1, 70, 4}, {1, 70, 4}},
     [](const Variables& v) {
       return scaled_dot_product_attention(v[0], v[1], v[2], 2, {.is_causal = true});
     }},
    {"attention, a mask for each head",
     {{2, 5, 6}, {2, 7, 6}, {2, 7, 6}, {3, 5, 7}},
     [](const Variables& v) {
       return scaled_dot_product_attention(v[0], v[1], v[2], 3, {.attn_mask = v[3]});
     }},
    {"attention, a mask for each sample's keys, causal",
     {{2, 5, 6}, {2, 7, 6}, {2, 7, 6}, {2, 1, 1, 7}},
     [](const Variables& v) {
       return scaled_dot_product_attention(v[0], v[1], v[2], 3,
                                           {.attn_mask = v[3], .is_causal = true});
     }},
    {"attention, a mask for each sample's queries",
     {{2, 5, 18}, {2, 1, 5, 1}},
     [](const Variables& v) { return self_attention(v[0], 3, {.attn_mask = v[1]}); }},
    {"attention, dropout",
     {{2, 5, 6}, {2, 7, 6}, {2, 7, 6}},
     [](const Variables& v) {
       return scaled_dot_product_attention(v[0], v[1], v[2], 3, {.dropout_p = 0.4});
     }},
    {"attention, what is hidden, causal, dropout",
     {{2, 5, 18}},
     [](const Variables& v) {
       const std::int32_t seen[] = {1, 1, 1, 1, 0,  // query 2 sees no key
                                    0, 1, 0, 1, 1, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 0, 1, 0, 1};
       return self_attention(
           v[0], 3,
           {.attn_mask = v[0].tape().integers({5, 5}, seen), .is_causal = true, .dropout_p = 0.4});
     }},
    {"softmax over channels of a map, and over samples",
     {{2, 3, 2, 5}},
     [](const Variables& v) { return softmax(v[0], 1) + softmax(v[0], 0); }},
    {"rms_norm without weight", {{3, 37}}, [](const Variables& v) { return rms_norm(v[0]); }},
    {"linear, merged residual",
     {{4, 6}, {6, 6}, {6}},
     [](const Variables& v) { return v[0] + linear(v[0], v[1], v[2]); }},
    {"linear of gelu, more than a block of rows",
     {{100, 3}, {2, 3}, {2}},
     [](const Variables& v) { return linear(gelu(v[0]), v[1], v[2]); }},
    {"gelu read by two linear layers and as a whole",
     {{4, 3}, {3, 3}, {3, 3}},
     [](const Variables& v) {
       const Variable<double> g = gelu(v[0]);
       const Variable<double> y = linear(g, v[1]) + linear(g, v[2]);
       return y + g;
     }},
    {"gelu added to a linear layer of it",
     {{4, 3}, {3, 3}},
     [](const Variables& v) {
       const Variable<double> g = gelu(v[0]);
       return g + linear(g, v[1]);
     }},
    {"linear of gelu of what needs no gradient",
     {{3, 4}},
     [](const Variables& v) {
       const Variable<double> x = v[0].tape().input(Tensor<double>({5, 4}));
       return linear(gelu(x), v[0]);
     }},
    {"conv2d 1x1 stride 2",
     {{2, 5, 4, 3}, {4, 1, 1, 3}},
     [](const Variables& v) { return conv2d(v[0], v[1], {}, {.stride = 2}); }},
    {"conv2d 3x3 stride 2, merged residual",
     {{2, 3, 4, 3}, {2, 5, 7, 4}, {3, 3, 3, 4}},
     [](const Variables& v) { return v[0] + conv2d(v[1], v[2], {}, {.stride = 2, .padding = 1}); }},
    {"conv2d 3x3 dilated, with strides that share a factor with the dilation and do not",
     {{1, 9, 11, 2}, {3, 3, 3, 2}, {3}},
     [](const Variables& v) {
       return conv2d(v[0], v[1], v[2], {.stride = {4, 3}, .padding = {3, 2}, .dilation = {2, 4}});
     }},
    {"depthwise_conv2d 5x5, merged residual",
     {{1, 7, 6, 37}, {5, 5, 37}, {37}},
     [](const Variables& v) { return v[0] + depthwise_conv2d(v[0], v[1], v[2], {.padding = 2}); }},
    {"group_norm, one group, far from zero",
     {{2, 3, 3, 5}, {5}, {5}},
     [](const Variables& v) { return group_norm(v[0], 1, v[1], v[2]); },
     {},
     50},
    {"batch_norm, frozen",
     {{3, 7, 5}, {5}, {5}},
     [](const Variables& v) {
       return batch_norm(v[0], v[1], v[2], running.mean, running.var, {.frozen = true});
     }},
    {"batch_norm, evaluation",
     {{3, 2, 2, 5}, {5}, {5}},
     [](const Variables& v) { return batch_norm(v[0], v[1], v[2], running.mean, running.var); },
     {.tape = {.training = false}}},
    {"self_attention", {{2, 5, 24}}, [](const Variables& v) { return self_attention(v[0], 2); }},
    {"global_average_pool",
     {{2, 3, 4, 5}},
     [](const Variables& v) { return global_average_pool(v[0]); }},
    {"max_pool2d, dilated, to the ceiling, of a value that others read",
     {{1, 7, 8, 3}},
     [](const Variables& v) {
       const Variable<double> y = gelu(v[0]);
       return global_average_pool(y) +
              global_average_pool(max_pool2d(
                  y, {2, 3},
                  {.stride = {2, 3}, .padding = {1, 2}, .dilation = 2, .ceil_mode = true}));
     }},
    {"avg_pool2d, to the ceiling, of a value that others read",
     {{1, 5, 6, 3}},
     [](const Variables& v) {
       const Variable<double> y = gelu(v[0]);
       return global_average_pool(y) +
              global_average_pool(
                  avg_pool2d(y, {3, 2}, {.stride = 2, .padding = 1, .ceil_mode = true}));
     }},
    {"adaptive_avg_pool2d to a pixel, and to a larger map",
     {{2, 3, 2, 3}},
     [](const Variables& v) { return adaptive_avg_pool2d(adaptive_avg_pool2d(v[0], 4), 1); }},
    {"dropout", {{4, 9}}, [](const Variables& v) { return dropout(v[0], 0.3); }},
    {"drop_path", {{8, 2, 2, 3}}, [](const Variables& v) { return drop_path(v[0], 0.4); }},
    {"drop_path, merged residual",
     {{8, 2, 2, 3}, {8, 2, 2, 3}},
     [](const Variables& v) { return v[1] + drop_path(gelu(v[0]), 0.4); }},
    {"cross_entropy",
     {{3, 5}},
     [](const Variables& v) { return cross_entropy<double>(v[0], labels); }},
    {"cross_entropy of maps",
     {{1, 3, 1, 5}},
     [](const Variables& v) { return cross_entropy<double>(v[0], labels); }},
    {"mse_loss, of what else reads the prediction",
     {{2, 5}, {2, 5}},
     [](const Variables& v) {
       return mse_loss(v[0], v[1], {.count = 2}) + mse_loss(v[0] + v[0], v[1]);
     }},
    {"cross_entropy of mixed images",
     {{3, 5}},
     [](const Variables& v) {
       return cross_entropy<double>(v[0], {labels, labels2, lambda}, {.label_smoothing = 0.1});
     }},
    {"reshape",
     {{2, 6}},
     [](const Variables& v) {
       return gelu(reshape(v[0], {3, -1}));
     }},
    {"flatten",
     {{2, 3, 2, 2}, {5, 12}},
     [](const Variables& v) { return linear(flatten(v[0]), v[1]); }},
    {"narrow, rows",
     {{5, 3}},
     [](const Variables& v) {
       return relu(narrow(v[0], 0, 1, 3)) +
              (narrow(v[0], 0, 0, 3) + narrow(narrow(v[0], 0, 1, 4), 0, 1, 3));
     }},
    {"narrow, columns",
     {{3, 4, 5}},
     [](const Variables& v) { return gelu(narrow(v[0], -2, 1, 2)); }},
    {"a value beside a view of it",
     {{4, 3}},
     [](const Variables& v) {
       return gelu(v[0]) + gelu(reshape(v[0], {4, 3}));
     }},
    {"a view of a lazy result, and of a pending one",
     {{4, 3}, {3, 3}},
     [](const Variables& v) {
       return reshape(gelu(v[0]), {6, 2}) + reshape(linear(v[0], v[1]), {6, 2});
     }},
    {"cat",
     {{2, 3, 2}, {2, 1, 2}, {2, 2, 2}},
     [](const Variables& v) {
       return gelu(cat({v[0], v[1], v[2], v[1]}, 1));
     }},
    {"split",
     {{2, 7, 3}},
     [](const Variables& v) {
       const auto parts = split(v[0], {2, 3, 2}, 1);
       return gelu(parts[0]) + parts[2];  // nothing reads the second
     }},
    {"adjust_logits",
     {{3, 5}},
     [](const Variables& v) { return adjust_logits<double>(v[0], running.store.buffer(0)); }},
    {"an input that two ops read",
     {{2, 6}, {6, 6}},
     [](const Variables& v) {
       const Variable<double> y = linear(v[0], v[1]);
       return gelu(y) + (y + relu(y));
     }},
};

}  // namespace

TEST_CASE("gradients of ops together") {
  for (const Row& row : rows) {
    CAPTURE(row.name);
    std::vector<Tensor<double>> inputs;
    for (const Shape& shape : row.inputs) {
      const RandomKey key = RandomKey(7).fold(row.name).fold(inputs.size());
      inputs.emplace_back(shape);
      for (std::int64_t i = 0; i < shape.numel(); ++i)
        inputs.back()[i] = row.offset + normal(key, static_cast<std::uint64_t>(i));
    }
    const GradientCheckResult result = check_gradients(
        inputs, [&](Tape<double>&, const Variables& v) { return row.op(v); }, row.options);
    CHECK_MESSAGE(result.worst < 1e-7, row.name, ": ", result.where);
  }
}
