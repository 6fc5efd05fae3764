// What does not fit must throw, and say what was expected and what came, with the layer's path.
#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "anther/anther.hpp"

namespace {

using namespace anther;

std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

}  // namespace

TEST_CASE("ops refuse what does not fit") {
  Tape<float> tape;
  const auto x = [&](const Shape& shape) { return tape.input(Tensor<float>(shape)); };
  struct Row {
    const char* expected;
    std::function<void()> call;
  };
  const std::int32_t label[] = {7}, zero[] = {0};
  const float weight[] = {1.5f};
  const std::vector<Row> rows = {
      {"add: expected shapes that are equal or 1 in each axis, counted from the last, got (2, 3) "
       "and "
       "(2, 4)",
       [&] {
         x({2, 3}) + x({2, 4});
       }},
      {"where: expected shapes that are equal or 1 in each axis, counted from the last, got (2) "
       "and "
       "(2, 3)",
       [&] {
         // The condition has fewer axes: it may; then one that does not fit.
         const auto a = x({2, 3});
         const std::int32_t condition[] = {1, 0};
         where(a.tape().integers({1}, zero), a, a);
         where(a.tape().integers({2}, condition), a, a);
       }},
      {"where: expected input 0 to hold integers",
       [&] {
         const auto a = x({2, 3});
         where(a, a, a);
       }},
      {"prelu: expected a weight for each of the last axis of (2, 3), or one, got (2)",
       [&] {
         prelu(x({2, 3}), x({2}));
       }},
      {"sum: expected each axis once, got one of them twice",
       [&] {
         sum(x({2, 3}), {1, -1});
       }},
      {"mean: expected an axis of (2, 3), got 2",
       [&] {
         mean(x({2, 3}), 2);
       }},
      {"amax: expected at least one element to choose from, got (2, 0)",
       [&] {
         amax(x({2, 0}), 1);
       }},
      {"var: expected more than 1 elements along the axes, got 1",
       [&] {
         var(x({2, 1}), 1);
       }},
      {"permute: expected 2 axes, those of (2, 3), got 1",
       [&] {
         permute(x({2, 3}), {0});
       }},
      {"permute: expected each axis once, got 0 twice",
       [&] {
         permute(x({2, 3}), {0, 0});
       }},
      {"stack: expected values of one shape, got (2, 3) and (3)",
       [&] {
         const auto a = x({2, 3});
         stack({a, a.tape().input(Tensor<float>({3}))});
       }},
      {"chunk: expected at least 1 part, got 0",
       [&] {
         chunk(x({2, 3}), 0);
       }},
      {"whose channels are a multiple of the factor's square, got (1, 2, 2, 6) and 2",
       [&] {
         pixel_shuffle(x({1, 2, 2, 6}), 2);
       }},
      {"pad: expected to fit the 3 places of axis 1, got 3 before and 0 after",
       [&] {
         pad(x({1, 3, 4, 1}), {.top = 3}, PadMode::reflect);
       }},
      {"index_select: expected indices less than 3, got 7",
       [&] {
         const auto a = x({2, 3});
         index_select(a, 1, a.tape().integers({1}, label)).value();
       }},
      {"expected 4 input channels, got 3",
       [&] {
         linear(x({2, 3}), x({5, 4}));
       }},
      {"expected a bias of the shape (5), got (4)",
       [&] {
         linear(x({2, 3}), x({5, 3}), x({4}));
       }},
      {"matmul: expected (..., m, k) and (..., k, n), or (k), got (2, 3) and (2, 3)",
       [&] {
         const auto a = x({2, 3});
         matmul(a, a);
       }},
      {"matmul: expected (..., m, k) and (..., k, n), or (k), got (2, 3, 4) and (3, 4, 5)",
       [&] {
         const auto a = x({2, 3, 4});
         matmul(a, a.tape().input(Tensor<float>({3, 4, 5})));
       }},
      {"expected an input (N, H, W, C)",
       [&] {
         conv2d(x({2, 3}), x({5, 1, 1, 3}));
       }},
      {"expected 4 input channels, got 3",
       [&] {
         conv2d(x({1, 4, 4, 3}), x({5, 2, 2, 4}));
       }},
      {"at most the padded map's 4x4, got 5x5",
       [&] {
         conv2d(x({1, 4, 4, 3}), x({5, 5, 5, 3}));
       }},
      {"stride of at least 1",
       [&] {
         conv2d(x({1, 4, 4, 3}), x({5, 2, 2, 3}), {}, {.stride = 0});
       }},
      {"dilation of at least 1, at most 2147483647, got 1x0",
       [&] {
         conv2d(x({1, 4, 4, 3}), x({5, 2, 2, 3}), {}, {.dilation = {1, 0}});
       }},
      {"at most the padded map's 4x4, got 5x3",
       [&] {
         conv2d(x({1, 4, 4, 3}), x({5, 3, 3, 3}), {}, {.dilation = {2, 1}});
       }},
      {"groups that divides 5",
       [&] {
         conv2d(x({1, 4, 4, 4}), x({5, 2, 2, 2}), {}, {.groups = 2});
       }},
      {"expected 4 input channels, got 3",
       [&] {
         depthwise_conv2d(x({1, 4, 4, 3}), x({3, 3, 4}));
       }},
      {"output padding less than the stride",
       [&] {
         depthwise_conv_transpose2d(x({1, 4, 4, 3}), x({2, 2, 3}), {},
                                    {.stride = 2, .output_padding = 2});
       }},
      {"padding of at most half of the kernel's 3x3, got 2x0",
       [&] {
         max_pool2d(x({1, 4, 4, 3}), 3, {.padding = {2, 0}});
       }},
      {"a map that holds a window 5x5, got 4x4",
       [&] {
         avg_pool2d(x({1, 4, 4, 3}), 5);
       }},
      {"a size of at least 1, got (1, 4, 4, 3) and 2x0",
       [&] {
         adaptive_avg_pool2d(x({1, 4, 4, 3}), {2, 0});
       }},
      {"expected 4 input channels, got 3",
       [&] {
         conv_transpose2d(x({1, 4, 4, 3}), x({4, 2, 2, 3}));
       }},
      {"groups that divides 3 input channels, got 2",
       [&] {
         conv_transpose2d(x({1, 4, 4, 3}), x({3, 2, 2, 3}), {}, {.groups = 2});
       }},
      {"output padding less than the stride 2x2, got 0x2",
       [&] {
         conv_transpose2d(x({1, 4, 4, 3}), x({3, 2, 2, 3}), {},
                          {.stride = 2, .output_padding = {0, 2}});
       }},
      {"nothing is left of the map with a padding of 5x5",
       [&] {
         conv_transpose2d(x({1, 4, 4, 3}), x({3, 2, 2, 3}), {}, {.padding = 5});
       }},
      {"expected an input (N, L, C)",
       [&] {
         conv1d(x({1, 4, 4, 3}), x({3, 2, 3}));
       }},
      {"a size or a scale factor, got neither",
       [&] {
         interpolate(x({1, 4, 4, 3}), {});
       }},
      {"bilinear mode with align_corners",
       [&] {
         interpolate(x({1, 4, 4, 3}), {.size = 3, .align_corners = true});
       }},
      {"a size of at least 1, at most 2147483647, got 0x0",
       [&] {
         interpolate(x({1, 4, 4, 3}), {.scale_factor = 0.1});
       }},
      {"groups that divides 5 channels, got 2",
       [&] {
         group_norm(x({1, 4, 4, 5}), 2);
       }},
      {"expected 4 channels, as the weight has, got 5",
       [&] {
         layer_norm(x({2, 5}), x({4}));
       }},
      {"more than one value a channel",
       [&] {
         batch_norm<float>(x({1, 1, 1, 5}), {}, {}, {}, {});
       }},
      {"expected a shape of 6 elements, as (2, 3) has, got (4, 2)",
       [&] {
         reshape(x({2, 3}), {4, 2});
       }},
      {"reshape: expected extents for the elements of (2, 3), at most one of them -1",
       [&] {
         reshape(x({2, 3}), {4, -1});
       }},
      {"narrow: expected places within the 3 of axis 1, got 2 from 2 on",
       [&] {
         narrow(x({2, 3}), 1, 2, 2);
       }},
      {"narrow: expected an axis of (2, 3), got 2",
       [&] {
         narrow(x({2, 3}), 2, 0, 1);
       }},
      {"cat: expected shapes that differ in axis 0 alone, got (2, 3) and (2, 4)",
       [&] {
         const auto a = x({2, 3});
         cat({a, a.tape().input(Tensor<float>({2, 4}))}, 0);
       }},
      {"split: expected sizes that add up to the 3 of axis 1, got 2 that add up to 4",
       [&] {
         split(x({2, 3}), {2, 2}, 1);
       }},
      {"log_softmax: expected an axis of (2, 3), got 2",
       [&] {
         log_softmax(x({2, 3}), 2);
       }},
      {"batch_norm: expected a running mean and variance, by which evaluation normalises",
       [&] {
         auto a = x({2, 3});
         a.tape().begin({.training = false});
         batch_norm<float>(a.tape().input(Tensor<float>({2, 3})), {}, {}, {}, {});
       }},
      {"q, k and v side by side",
       [&] {
         self_attention(x({1, 4, 8}), 2);
       }},
      {"heads that divides 4 channels, got 3",
       [&] {
         self_attention(x({1, 4, 12}), 3);
       }},
      {"expected a mask that can be broadcast to (1, 2, 4, 4), got (3, 4)",
       [&] {
         const auto a = x({1, 4, 12});
         self_attention(a, 2, {.attn_mask = a.tape().input(Tensor<float>({3, 4}))});
       }},
      {"attention: expected a dropout_p in [0, 1), got 1",
       [&] {
         self_attention(x({1, 4, 12}), 2, {.dropout_p = 1});
       }},
      {"stride of at least 1",
       [&] {
         subsample(x({1, 4, 4, 2}), 0);
       }},
      {"expected a map",
       [&] {
         global_average_pool(x({4, 2}));
       }},
      {"probability in [0, 1), got 1",
       [&] {
         dropout(x({4, 2}), 1);
       }},
      {"rate",
       [&] {
         ParameterStore<float> store;
         DropPath<float>(store, -0.5);
       }},
      {"as many labels",
       [&] {
         cross_entropy<float>(x({2, 10}), label);
       }},
      {"label of row 0 is 7, expected 0 to 4",
       [&] {
         cross_entropy<float>(x({1, 5}), label);
       }},
      {"a second label and a weight for each of 1 rows, or none, got 1 and 0",
       [&] {
         cross_entropy<float>(x({1, 10}), {label, label, {}});
       }},
      {"cross_entropy: expected a weight for each of 5 classes, got 1",
       [&] {
         const double one[] = {1};
         cross_entropy<float>(x({1, 5}), zero, {.weight = one});
       }},
      {"nll_loss: the label of row 0 is 7, expected 0 to 4",
       [&] {
         nll_loss<float>(x({1, 5}), label);
       }},
      {"nll_loss: expected no label smoothing, got 0.1",
       [&] {
         nll_loss<float>(x({1, 5}), zero, {.label_smoothing = 0.1});
       }},
      {"huber_loss: expected a target of the prediction's shape (2, 3), got (3)",
       [&] {
         const auto a = x({2, 3});
         huber_loss(a, a.tape().input(Tensor<float>({3})));
       }},
      {"flatten: expected (N, ...), got ()", [&] { flatten(x({})); }},
      {"gru: expected gates (N, T, 3 H) and a weight (3 H, H), got (2, 6) and (6, 2)",
       [&] {
         gru(x({2, 6}), x({6, 2}));
       }},
      {"gru: expected gates (N, T, 3 H) and a weight (3 H, H), got (2, 4, 6) and (6, 2, 1)",
       [&] {
         gru(x({2, 4, 6}), x({6, 2, 1}));
       }},
      {"gru: expected gates (N, T, 3 H) and a weight (3 H, H), got (2, 4, 8) and (8, 2)",
       [&] {
         gru(x({2, 4, 8}), x({8, 2}));
       }},
      {"lstm: expected gates (N, T, 4 H) and a weight (4 H, H), got (2, 4, 7) and (8, 2)",
       [&] {
         lstm(x({2, 4, 7}), x({8, 2}));
       }},
      {"smooth_l1_loss: expected a beta of at least 0, got -1",
       [&] {
         const auto a = x({2, 3});
         smooth_l1_loss(a, a, -1);
       }},
      {"huber_loss: expected a delta of more than 0, got 0",
       [&] {
         const auto a = x({2, 3});
         huber_loss(a, a, 0);
       }},
      {"expected a pos_weight for each place of the last axis of (2, 3), got 1",
       [&] {
         const double one[] = {1};
         const auto a = x({2, 3});
         binary_cross_entropy_with_logits(a, a, std::span<const double>(one));
       }},
      {"cosine_similarity: expected two tensors of one shape, got (2, 3) and (3)",
       [&] {
         const auto a = x({2, 3});
         cosine_similarity(a, a.tape().input(Tensor<float>({3})));
       }},
      {"triplet_margin_loss: expected three tensors (..., C) of one shape, got (2, 3), (2, 3) and",
       [&] {
         const auto a = x({2, 3});
         triplet_margin_loss(a, a, a.tape().input(Tensor<float>({3})));
       }},
      {"embedding: index 0 is 7, expected 0 to 4",
       [&] {
         const auto a = x({5, 3});
         embedding(a.tape().integers({1}, label), a);
       }},
      {"embedding: expected input 0 to hold integers",
       [&] {
         const auto a = x({5, 3});
         embedding(a, a);
       }},
      {"embedding: expected a padding_idx of 0 to 4, got 5",
       [&] {
         const auto a = x({5, 3});
         embedding(a.tape().integers({1}, zero), a, 5);
       }},
      {"topk: expected a k of 1 to 3, got 4",
       [&] {
         topk(x({5, 3}), 4);
       }},
      {"argmax: expected an axis of (5, 3), got 2",
       [&] {
         argmax(x({5, 3}), 2);
       }},
      {"weights of labels in [0, 1], got 1.5",
       [&] {
         cross_entropy<float>(x({1, 10}), {label, label, weight});
       }},
      {"label of row 0 is 7, expected 0 to 4",
       [&] {
         cross_entropy<float>(x({1, 5}), {zero, label, weight});
       }},
      {"expected logits (..., K) and K offsets, got (2, 3) and 1",
       [&] {
         adjust_logits<float>(x({2, 3}), weight);
       }},
      {"the shape (2, 3) has 6 elements, got 5",
       [&] {
         tape.input({2, 3}, std::vector<float>(5));
       }},
      {"expected a scalar",
       [&] {
         tape.backward(x({2, 3}));
       }},
      {"empty", [&] { gelu(Variable<float>()); }},
  };
  // Numbers whose sums and products overflow.
  constexpr std::int64_t huge = std::int64_t{1} << 62;
  const std::vector<Row> huge_rows = {
      {"conv2d: expected a stride of at least 1 and a padding of at least 0, both at most "
       "2147483647, got 4611686018427387904x4611686018427387904 and 0x0",
       [&] {
         conv2d(x({1, 4, 4, 3}), x({5, 2, 2, 3}), {}, {.stride = huge});
       }},
      {"both at most 2147483647, got 1x1 and 4611686018427387904x4611686018427387904",
       [&] {
         conv2d(x({1, 4, 4, 3}), x({5, 2, 2, 3}), {}, {.padding = huge});
       }},
      {"dilation of at least 1, at most 2147483647",
       [&] {
         conv2d(x({1, 4, 4, 3}), x({5, 2, 2, 3}), {}, {.dilation = huge});
       }},
      {"both at most 2147483647",
       [&] {
         conv1d(x({1, 4, 3}), x({5, 2, 3}), {}, {.padding = huge});
       }},
      {"both at most 2147483647",
       [&] {
         depthwise_conv2d(x({1, 4, 4, 3}), x({2, 2, 3}), {}, {.padding = huge});
       }},
      {"both at most 2147483647",
       [&] {
         conv_transpose2d(x({1, 4, 4, 3}), x({3, 2, 2, 5}), {}, {.stride = huge});
       }},
      {"both at most 2147483647",
       [&] {
         depthwise_conv_transpose2d(x({1, 4, 4, 3}), x({2, 2, 3}), {}, {.stride = huge});
       }},
      {"clamp: expected bounds that are numbers, got nan and 1",
       [&] { clamp(x({2}), std::numeric_limits<double>::quiet_NaN(), 1); }},
      {"norm: expected", [&] { norm(x({}), {5}); }},
      {"conv1d: expected a number of groups that divides 3 output channels, got 2",
       [&] {
         conv1d(x({1, 4, 2}), x({3, 1, 1}), {}, {.groups = 2});
       }},
      {"max_pool2d: expected a window of at most 16777216 pixels, got 4096x4097",
       [&] {
         max_pool2d(x({1, 4, 4, 3}), Extent2d{4096, 4097});
       }},
      {"max_pool2d: expected a map (N, H, W, C) of at least one pixel, got (1, 0, 4, 1)",
       [&] {
         max_pool2d(x({1, 0, 4, 1}), 2, {.stride = {3, 2}, .ceil_mode = true});
       }},
      {"max_pool2d: expected a kernel and a dilation of at least 1, at most 2147483647",
       [&] {
         max_pool2d(x({1, 4, 4, 3}), huge);
       }},
      {"avg_pool2d: expected a kernel and a stride of at least 1, at most 2147483647",
       [&] {
         avg_pool2d(x({1, 4, 4, 3}), 2, {.stride = huge});
       }},
      {"a size of at least 1",
       [&] {
         adaptive_avg_pool2d(x({1, 4, 4, 3}), huge);
       }},
      {"at most 2147483647, got 2147483648x2147483648",
       [&] {
         interpolate(x({1, 4, 4, 3}), {.scale_factor = 1e300});
       }},
      {"at most 2147483647",
       [&] {
         interpolate(x({1, 4, 4, 3}), {.size = huge});
       }},
      {"pad: expected numbers of places of at most 2147483647",
       [&] {
         pad(x({1, 4, 4, 3}), {.left = huge, .right = huge});
       }},
      {"pixel_shuffle: expected",
       [&] {
         pixel_shuffle(x({1, 4, 4, 4}), huge);
       }},
      {"reshape: expected extents",
       [&] {
         reshape(x({2, 3}), {huge, 4, -1});
       }},
      {"split: expected sizes that add up to",
       [&] {
         split(x({2, 3}), {huge, huge, huge, huge}, 1);
       }},
      {"the number of elements overflows",
       [&] {
         x({0, huge, huge});
       }},
      {"the number of elements of (1073741824, 1073741824, 1073741824, 0) overflows",
       [&] {
         constexpr std::int64_t many = 1 << 30;
         const auto a = x({many, 1, 1, 0});
         const auto b = a.tape().input(Tensor<float>({1, many, many, 0}));
         a + b;
       }},
      {"cross_entropy: expected at least one row and one class, got (0, 3)",
       [&] {
         cross_entropy<float>(x({0, 3}), std::span<const std::int32_t>());
       }},
      {"cross_entropy: expected at least one row and one class, got (1, 0)",
       [&] {
         cross_entropy<float>(x({1, 0}), zero);
       }},
      {"group_norm: expected (N, ..., C), got ()", [&] { instance_norm(x({})); }},
  };
  for (const auto& list : {rows, huge_rows})
    for (const Row& row : list) {
      tape.begin();
      const std::string message = message_of(row.call);
      CHECK_MESSAGE(message.find(row.expected) != std::string::npos, "expected: ", row.expected,
                    ", got: ", message);
    }
}

TEST_CASE("strides and sizes beyond the map are no error where they make sense") {
  Tape<float> tape;
  tape.begin();
  const auto x = tape.input(Tensor<float>({1, 4, 4, 3}));
  constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max();
  CHECK(subsample(x, std::int64_t{1} << 62).shape() == Shape{1, 1, 1, 3});
  CHECK(conv2d(x, tape.input(Tensor<float>({5, 2, 2, 3})), {}, {.stride = most}).shape() ==
        Shape{1, 1, 1, 5});
  CHECK(chunk(x, std::int64_t{1} << 62, 1).size() == 4);
  // Backward goes through the residues that the map has, not through those of the stride.
  const auto map = tape.input(Tensor<float>({1, 4, 4, 3}), true);
  tape.backward(sum(conv2d(map, tape.input(Tensor<float>({5, 2, 2, 3})), {}, {.stride = most})));
  CHECK(map.gradient().size() == 48);
}

// Nothing divides by the number of elements, samples or channels, and nothing reads or writes.
TEST_CASE("values without elements") {
  Tape<float> tape;
  tape.begin();
  const auto x = [&](const Shape& shape) { return tape.input(Tensor<float>(shape), true); };
  CHECK(self_attention(x({0, 4, 12}), 2).shape() == Shape{0, 4, 4});
  CHECK(self_attention(x({0, 4, 12}), 2, {.is_causal = true}).shape() == Shape{0, 4, 4});
  CHECK(group_norm(x({2, 3, 3, 0}), 1).shape() == Shape{2, 3, 3, 0});
  CHECK(batch_norm<float>(x({2, 3, 3, 0}), {}, {}, {}, {}).shape() == Shape{2, 3, 3, 0});
  CHECK(layer_norm(x({2, 0})).shape() == Shape{2, 0});
  CHECK(conv2d(x({0, 4, 4, 3}), x({5, 2, 2, 3})).shape() == Shape{0, 3, 3, 5});
  // A scalar is a row of one.
  CHECK(gelu(x({})).item() == 0);
  CHECK(relu(x({})).item() == 0);
  CHECK(softmax(x({2, 0})).value().empty());
  CHECK(sum(x({2, 0}), 1).value()[1] == 0);
  // Gradients of what has contributed nothing are zeros.
  const auto weight = x({5, 3});
  const auto y = linear(x({0, 3}), weight);
  tape.backward(sum(y));
  CHECK(weight.gradient().size() == 15);
  CHECK(std::ranges::count(weight.gradient(), 0.0f) == 15);
}

TEST_CASE("a model, and its planned pass, of a batch of no samples") {
  ParameterStore<float> store;
  const EdgeViT<float> model(store, edgevit_options("xxs", 10));
  store.initialize(1);
  Tape<float> tape;
  tape.begin({.training = false, .backward = false});
  CHECK(model(tape.input(Tensor<float>({0, 64, 64, 3}))).shape() == Shape{0, 10});
  Inference<float> inference(model, {0, 64, 64, 3});
  CHECK(inference(std::span<const float>()).empty());
}

TEST_CASE("a linear layer of no inputs starts with its bias alone, which is 0") {
  ParameterStore<float> store;
  const Linear<float> layer(Scope<float>(store), 0, 3);
  store.initialize(1);
  Tape<float> tape;
  tape.begin();
  const auto y = layer(tape.input(Tensor<float>({2, 0})));
  for (const float value : y.value()) CHECK(value == 0);
}

TEST_CASE("a message has the layer's path, and the throw ends the pass") {
  ParameterStore<float> store;
  const EdgeViT<float> model(store, edgevit_options("xxs", 10));
  store.initialize(1);
  Tape<float> tape;
  tape.begin();
  const Variable<float> wrong = tape.input(Tensor<float>({1, 64, 64, 4}));
  CHECK(message_of([&] { model(wrong); }) == "stages.0.0.conv: expected 3 input channels, got 4");
  CHECK(message_of([&] { gelu(wrong); }).find("earlier pass") != std::string::npos);
  tape.begin();
  CHECK(message_of([&] {
          model(tape.input(Tensor<float>({1, 200, 200, 3})));
        }).find("multiples of 32, got (1, 200, 200, 3)") != std::string::npos);
}

TEST_CASE("a variable of an earlier pass, or of another tape, is refused") {
  Tape<float> tape, other;
  tape.begin();
  other.begin();
  const Variable<float> x = tape.input(Tensor<float>({2, 3}));
  CHECK_THROWS_AS(x + other.input(Tensor<float>({2, 3})), Error);
  tape.begin();
  CHECK_THROWS_AS(gelu(x), Error);
}

TEST_CASE("flatten: of maps, and of samples that are single numbers") {
  Tape<float> tape;
  CHECK(flatten(tape.input(Tensor<float>({2, 3, 4}))).shape() == Shape{2, 12});
  CHECK(flatten(tape.input(Tensor<float>({3}))).shape() == Shape{3, 1});
  CHECK(flatten(tape.input(Tensor<float>({0, 4}))).shape() == Shape{0, 4});
}
