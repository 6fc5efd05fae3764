// The table of cases that every check of an op reads: its gradient and its bits for any number of
// threads (tests/ops/op_cases_test.cpp), PyTorch (tests/parity/compare_pytorch.py), ONNX Runtime
// (tests/parity/compare_onnx.py) and the C++ header (tests/export/op_cases_test.cpp). An op's row
// here is what it takes to be in all of them.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "tests/op_calls.hpp"

namespace op_tests {

struct CaseInput {
  std::string name;
  Shape shape;  // PyTorch's
};

struct OpCase {
  std::string op;
  std::string attributes;  // JSON
  std::vector<CaseInput> inputs;
  // Inputs are uniform between low and high; normal where both are 0.
  double low = 0, high = 0;
  int classes = 0;           // labels, indices and conditions are less than it
  bool training = true;      // whether the pass is one of training
  bool exported = true;      // whether the op has forms in ONNX and in C++
  bool elementwise = false;  // any shape will do, so that comparisons draw their own

  std::string name() const { return op + " " + attributes + " " + to_string(inputs[0].shape); }
};

// An op of one input, element by element.
inline OpCase elementwise(const char* op, const char* attributes = "{}", double low = 0,
                          double high = 0) {
  return {.op = op,
          .attributes = attributes,
          .inputs = {{"input", {3, 37}}},
          .low = low,
          .high = high,
          .elementwise = true};
}

// A loss of numbers and a target of as many.
inline OpCase loss(const char* op, const char* attributes = "{}", double low = 0, double high = 0) {
  return {.op = op,
          .attributes = attributes,
          .inputs = {{"input", {3, 7}}, {"target", {3, 7}}},
          .low = low,
          .high = high,
          .exported = false};
}

inline const std::vector<OpCase>& op_cases() {
  static const std::vector<OpCase> cases = {
      elementwise("neg"),
      elementwise("abs"),
      elementwise("square"),
      elementwise("reciprocal", "{}", 0.2, 3),
      elementwise("sqrt", "{}", 0.2, 3),
      elementwise("rsqrt", "{}", 0.2, 3),
      elementwise("exp"),
      elementwise("log", "{}", 0.2, 3),
      elementwise("pow", R"({"exponent": 3})"),
      elementwise("pow", R"({"exponent": -2})", 0.3, 2),
      elementwise("pow", R"({"exponent": 1.7})", 0.3, 2),
      elementwise("clamp", R"({"min": -0.5, "max": 0.8})"),
      elementwise("clamp", R"({"min": 0.1})"),
      elementwise("relu"),
      elementwise("relu6", "{}", -4, 9),
      elementwise("leaky_relu", R"({"negative_slope": 0.2})"),
      elementwise("elu", R"({"alpha": 0.7})"),
      elementwise("selu"),
      elementwise("sigmoid", "{}", -6, 6),
      elementwise("tanh", "{}", -4, 4),
      elementwise("silu", "{}", -6, 6),
      elementwise("hardsigmoid", "{}", -5, 5),
      elementwise("hardswish", "{}", -5, 5),
      elementwise("softplus", "{}", -6, 6),
      elementwise("softplus", R"({"beta": 2, "threshold": 3})", -4, 4),
      elementwise("mish", "{}", -6, 6),
      elementwise("gelu"),
      elementwise("gelu", R"({"approximate": "tanh"})"),
      {.op = "add", .attributes = "{}", .inputs = {{"input", {2, 3}}, {"other", {2, 3}}}},
      {.op = "add", .attributes = "{}", .inputs = {{"input", {2, 3, 4}}, {"other", {3, 1}}}},
      {.op = "add", .attributes = R"({"other": -0.3})", .inputs = {{"input", {2, 3}}}},
      {.op = "sub", .attributes = "{}", .inputs = {{"input", {5, 1}}, {"other", {2, 1, 3}}}},
      {.op = "sub", .attributes = R"({"other": 0.3})", .inputs = {{"input", {2, 3}}}},
      {.op = "mul", .attributes = R"({"other": 0.7})", .inputs = {{"input", {2, 3}}}},
      {.op = "mul", .attributes = "{}", .inputs = {{"input", {2, 3, 19}}, {"other", {2, 3, 19}}}},
      {.op = "mul", .attributes = "{}", .inputs = {{"input", {3, 4, 5}}, {"other", {5}}}},
      {.op = "mul", .attributes = "{}", .inputs = {{"input", {2, 1, 5, 1}}, {"other", {3, 1, 7}}}},
      {.op = "div",
       .attributes = "{}",
       .inputs = {{"input", {3, 4, 5}}, {"other", {3, 1, 5}}},
       .low = 0.4,
       .high = 2},
      {.op = "div", .attributes = R"({"other": 0.7})", .inputs = {{"input", {2, 3}}}},
      {.op = "maximum", .attributes = "{}", .inputs = {{"input", {2, 19}}, {"other", {2, 19}}}},
      {.op = "minimum", .attributes = "{}", .inputs = {{"input", {3, 4}}, {"other", {1}}}},
      {.op = "prelu", .attributes = "{}", .inputs = {{"input", {2, 5, 3, 2}}, {"weight", {5}}}},
      {.op = "prelu", .attributes = "{}", .inputs = {{"input", {2, 5, 3, 2}}, {"weight", {1}}}},
      {.op = "where",
       .attributes = "{}",
       .inputs = {{"condition", {2, 3, 7}}, {"input", {2, 3, 7}}, {"other", {2, 3, 7}}},
       .classes = 2},
      {.op = "where",
       .attributes = "{}",
       .inputs = {{"condition", {2, 1, 4, 19}}, {"input", {3, 1, 19}}, {"other", {2, 3, 4, 1}}},
       .classes = 2},
      {.op = "where",
       .attributes = "{}",
       .inputs = {{"condition", {3, 5, 1}}, {"input", {3, 5, 4}}, {"other", {1}}},
       .classes = 2},
      {.op = "sum", .attributes = "{}", .inputs = {{"input", {2, 3, 5}}}},
      {.op = "sum", .attributes = R"({"dim": -1})", .inputs = {{"input", {2, 3, 37}}}},
      {.op = "sum",
       .attributes = R"({"dim": [0, 2], "keepdim": true})",
       .inputs = {{"input", {3, 4, 2, 5}}}},
      {.op = "mean", .attributes = R"({"dim": [1, 2]})", .inputs = {{"input", {2, 3, 4, 5}}}},
      {.op = "mean", .attributes = R"({"dim": [0, 3]})", .inputs = {{"input", {2, 3, 4, 5}}}},
      {.op = "amax", .attributes = R"({"dim": -1})", .inputs = {{"input", {2, 3, 19}}}},
      {.op = "amax", .attributes = R"({"dim": [0, 2]})", .inputs = {{"input", {3, 4, 5}}}},
      {.op = "amin",
       .attributes = R"({"dim": 1, "keepdim": true})",
       .inputs = {{"input", {2, 7, 3}}}},
      {.op = "norm", .attributes = R"({"dim": 1})", .inputs = {{"input", {3, 5, 2}}}},
      {.op = "norm", .attributes = "{}", .inputs = {{"input", {3, 5}}}},
      {.op = "var", .attributes = R"({"dim": [1]})", .inputs = {{"input", {3, 6, 2}}}},
      {.op = "var",
       .attributes = R"({"dim": [0, 2], "correction": 0, "keepdim": true})",
       .inputs = {{"input", {3, 2, 4}}}},
      {.op = "permute", .attributes = R"({"dims": [2, 0, 1]})", .inputs = {{"input", {2, 3, 5}}}},
      {.op = "permute",
       .attributes = R"({"dims": [0, 3, 1, 2]})",
       .inputs = {{"input", {2, 3, 4, 5}}}},
      {.op = "transpose",
       .attributes = R"({"dim0": -1, "dim1": 1})",
       .inputs = {{"input", {2, 33, 3, 21}}}},
      {.op = "reshape", .attributes = R"({"shape": [-1, 9]})", .inputs = {{"input", {4, 3, 3}}}},
      {.op = "narrow",
       .attributes = R"({"dim": 1, "start": 1, "length": 2})",
       .inputs = {{"input", {3, 4, 5}}}},
      {.op = "cat",
       .attributes = R"({"dim": 1})",
       .inputs = {{"input", {2, 3, 2}}, {"other", {2, 1, 2}}}},
      {.op = "stack",
       .attributes = R"({"dim": -1})",
       .inputs = {{"input", {2, 3, 2}}, {"other", {2, 3, 2}}}},
      {.op = "chunk", .attributes = R"({"chunks": 3, "dim": 1})", .inputs = {{"input", {2, 7, 3}}}},
      {.op = "pixel_shuffle",
       .attributes = R"({"upscale_factor": 2})",
       .inputs = {{"input", {2, 12, 3, 2}}}},
      {.op = "index_select",
       .attributes = R"({"dim": 1})",
       .inputs = {{"input", {2, 5, 3}}, {"index", {7}}},
       .classes = 5},
      {.op = "pad", .attributes = R"({"pad": [1, 2, 0, 3]})", .inputs = {{"input", {2, 3, 4, 5}}}},
      {.op = "pad",
       .attributes = R"({"pad": [1, 2, 2, 0], "mode": "reflect"})",
       .inputs = {{"input", {2, 3, 4, 5}}}},
      {.op = "pad",
       .attributes = R"({"pad": [3, 0, 1, 5], "mode": "replicate"})",
       .inputs = {{"input", {2, 3, 2, 3}}}},
      {.op = "pad",
       .attributes = R"({"pad": [-1, 1, 0, -1], "value": 0.5})",
       .inputs = {{"input", {2, 3, 4, 5}}}},
      {.op = "linear",
       .attributes = "{}",
       .inputs = {{"input", {3, 2, 7}}, {"weight", {5, 7}}, {"bias", {5}}}},
      {.op = "linear", .attributes = "{}", .inputs = {{"input", {9, 13}}, {"weight", {36, 13}}}},
      {.op = "conv2d",
       .attributes = R"({"stride": 2})",
       .inputs = {{"input", {2, 3, 4, 6}}, {"weight", {5, 3, 2, 2}}, {"bias", {5}}}},
      {.op = "conv2d",
       .attributes = R"({"padding": 1})",
       .inputs = {{"input", {2, 3, 4, 3}}, {"weight", {4, 3, 3, 3}}, {"bias", {4}}}},
      {.op = "conv2d",
       .attributes = R"({"stride": [2, 1], "padding": [1, 0], "groups": 2})",
       .inputs = {{"input", {1, 4, 5, 4}}, {"weight", {6, 2, 3, 2}}, {"bias", {6}}}},
      {.op = "conv2d",
       .attributes = R"({"padding": 1, "groups": 5})",
       .inputs = {{"input", {2, 5, 5, 6}}, {"weight", {5, 1, 3, 3}}, {"bias", {5}}}},
      {.op = "conv2d",
       .attributes = R"({"stride": 2, "padding": 1, "groups": 4})",
       .inputs = {{"input", {1, 4, 6, 5}}, {"weight", {4, 1, 3, 3}}}},
      {.op = "conv_transpose2d",
       .attributes = R"({"stride": 2, "groups": 5})",
       .inputs = {{"input", {2, 5, 3, 2}}, {"weight", {5, 1, 2, 2}}, {"bias", {5}}}},
      {.op = "conv_transpose2d",
       .attributes = R"({"stride": 2, "padding": 1, "output_padding": 1, "groups": 3})",
       .inputs = {{"input", {1, 3, 3, 4}}, {"weight", {3, 1, 3, 3}}, {"bias", {3}}}},
      {.op = "conv2d",  // by Winograd's way
       .attributes = R"({"padding": 1})",
       .inputs = {{"input", {1, 32, 14, 14}}, {"weight", {48, 32, 3, 3}}, {"bias", {48}}}},
      {.op = "conv2d",
       .attributes = R"({"stride": [4, 3], "padding": [3, 2], "dilation": [2, 4]})",
       .inputs = {{"input", {1, 2, 9, 11}}, {"weight", {3, 2, 3, 3}}, {"bias", {3}}}},
      {.op = "conv2d",
       .attributes = R"({"stride": 2})",
       .inputs = {{"input", {2, 3, 5, 4}}, {"weight", {4, 3, 1, 1}}}},
      {.op = "conv_transpose2d",
       .attributes = R"({"stride": 2})",
       .inputs = {{"input", {2, 5, 3, 2}}, {"weight", {5, 4, 2, 2}}, {"bias", {4}}}},
      {.op = "conv_transpose2d",
       .attributes = R"({"stride": [2, 3], "padding": 1, "output_padding": [0, 1], "groups": 2})",
       .inputs = {{"input", {1, 4, 4, 4}}, {"weight", {4, 3, 3, 3}}}},
      {.op = "conv_transpose2d",
       .attributes = R"({"stride": 2, "padding": [2, 1], "dilation": [2, 3]})",
       .inputs = {{"input", {1, 2, 3, 4}}, {"weight", {2, 3, 3, 2}}, {"bias", {3}}}},
      {.op = "conv1d",
       .attributes = R"({"stride": 2, "padding": 1, "dilation": 2, "groups": 2})",
       .inputs = {{"input", {2, 6, 9}}, {"weight", {4, 3, 3}}, {"bias", {4}}}},
      {.op = "group_norm",
       .attributes = R"({"num_groups": 3})",
       .inputs = {{"input", {2, 12, 3, 2}}, {"weight", {12}}, {"bias", {12}}}},
      {.op = "instance_norm",
       .attributes = "{}",
       .inputs = {{"input", {2, 5, 3, 4}}, {"weight", {5}}, {"bias", {5}}}},
      {.op = "layer_norm",
       .attributes = "{}",
       .inputs = {{"input", {2, 3, 13}}, {"weight", {13}}, {"bias", {13}}}},
      {.op = "batch_norm",
       .attributes = R"({"training": true})",
       .inputs = {{"input", {3, 5, 2, 2}},
                  {"weight", {5}},
                  {"bias", {5}},
                  {"running_mean", {5}},
                  {"running_var", {5}}},
       .low = 0.4,
       .high = 2,
       .exported = false},
      {.op = "scaled_dot_product_attention",
       .attributes = "{}",
       .inputs = {{"query", {2, 3, 3, 2}}, {"key", {2, 3, 7, 2}}, {"value", {2, 3, 7, 2}}}},
      {.op = "scaled_dot_product_attention",
       .attributes = R"({"is_causal": true})",
       .inputs = {{"query", {2, 3, 5, 2}}, {"key", {2, 3, 5, 2}}, {"value", {2, 3, 5, 2}}}},
      {.op = "scaled_dot_product_attention",
       .attributes = "{}",
       .inputs = {{"query", {1, 2, 3, 2}},
                  {"key", {1, 2, 7, 2}},
                  {"value", {1, 2, 7, 2}},
                  {"attn_mask", {3, 7}}}},
      {.op = "scaled_dot_product_attention",
       .attributes = R"({"bool_mask": true})",
       .inputs = {{"query", {2, 3, 5, 2}},
                  {"key", {2, 3, 7, 2}},
                  {"value", {2, 3, 7, 2}},
                  {"attn_mask", {3, 1, 7}}},
       .classes = 2},
      {.op = "matmul", .attributes = "{}", .inputs = {{"input", {3, 5}}, {"other", {5, 7}}}},
      {.op = "matmul", .attributes = "{}", .inputs = {{"input", {2, 3, 5}}, {"other", {5, 4}}}},
      {.op = "matmul",
       .attributes = "{}",
       .inputs = {{"input", {4, 1, 3, 5}}, {"other", {2, 5, 4}}},
       .exported = false},
      {.op = "matmul",
       .attributes = "{}",
       .inputs = {{"input", {4, 5}}, {"other", {5}}},
       .exported = false},
      {.op = "log_softmax", .attributes = R"({"dim": -1})", .inputs = {{"input", {2, 3, 19}}}},
      {.op = "log_softmax", .attributes = R"({"dim": 1})", .inputs = {{"input", {2, 5, 19}}}},
      {.op = "softmax", .attributes = R"({"dim": 1})", .inputs = {{"input", {2, 5, 19}}}},
      {.op = "rms_norm", .attributes = "{}", .inputs = {{"input", {2, 3, 13}}, {"weight", {13}}}},
      {.op = "subsample", .attributes = R"({"stride": 2})", .inputs = {{"input", {2, 3, 5, 4}}}},
      {.op = "adaptive_avg_pool2d",
       .attributes = R"({"output_size": 1})",
       .inputs = {{"input", {2, 5, 3, 4}}}},
      {.op = "adaptive_avg_pool2d",
       .attributes = R"({"output_size": [3, 4]})",
       .inputs = {{"input", {2, 3, 5, 7}}}},
      {.op = "max_pool2d",
       .attributes = R"({"kernel_size": 3, "stride": 2, "padding": 1})",
       .inputs = {{"input", {2, 5, 6, 5}}}},
      {.op = "max_pool2d",
       .attributes =
           R"({"kernel_size": [2, 3], "stride": [2, 1], "padding": [1, 2], "dilation": [3, 2],
               "ceil_mode": true})",
       .inputs = {{"input", {1, 3, 7, 8}}}},
      {.op = "avg_pool2d",
       .attributes = R"({"kernel_size": 2})",
       .inputs = {{"input", {2, 3, 5, 4}}}},
      {.op = "avg_pool2d",
       .attributes = R"({"kernel_size": [4, 3], "stride": 2, "padding": 1, "ceil_mode": true})",
       .inputs = {{"input", {1, 3, 7, 6}}}},
      {.op = "avg_pool2d",
       .attributes = R"({"kernel_size": 3, "stride": 2, "padding": 1, "count_include_pad": false})",
       .inputs = {{"input", {1, 3, 6, 6}}}},
      {.op = "interpolate",
       .attributes = R"({"scale_factor": 2})",
       .inputs = {{"input", {2, 5, 4, 3}}}},
      {.op = "interpolate",
       .attributes = R"({"size": [7, 5]})",
       .inputs = {{"input", {2, 5, 4, 3}}}},
      {.op = "interpolate",
       .attributes = R"({"scale_factor": [2.3, 0.7], "mode": "bilinear"})",
       .inputs = {{"input", {2, 3, 4, 3}}}},
      {.op = "interpolate",
       .attributes = R"({"size": [9, 3], "mode": "bilinear", "align_corners": true})",
       .inputs = {{"input", {1, 3, 4, 5}}}},
      {.op = "softmax", .attributes = R"({"dim": -1})", .inputs = {{"input", {2, 3, 19}}}},
      {.op = "cross_entropy",
       .attributes = R"({"label_smoothing": 0.1})",
       .inputs = {{"input", {3, 5}}, {"target", {3}}},
       .classes = 5,
       .exported = false},
      {.op = "cross_entropy",
       .attributes =
           R"({"label_smoothing": 0.2, "ignore_index": 1, "weight": [1, 0.5, 2, 3, 0.1]})",
       .inputs = {{"input", {2, 5, 3, 4}}, {"target", {2, 3, 4}}},
       .classes = 5,
       .exported = false},
      {.op = "cross_entropy",
       .attributes = R"({"label_smoothing": 0.1, "reduction": "none"})",
       .inputs = {{"input", {3, 5}}, {"target", {3}}},
       .classes = 5,
       .exported = false},
      {.op = "nll_loss",
       .attributes = R"({"ignore_index": 2, "weight": [1, 0.5, 2, 3, 0.1]})",
       .inputs = {{"input", {3, 5, 4}}, {"target", {3, 4}}},
       .classes = 5,
       .exported = false},
      {.op = "nll_loss",
       .attributes = R"({"reduction": "none"})",
       .inputs = {{"input", {3, 5}}, {"target", {3}}},
       .classes = 5,
       .exported = false},
      loss("mse_loss"),
      loss("l1_loss"),
      loss("smooth_l1_loss", R"({"beta": 0.7})"),
      loss("huber_loss", R"({"delta": 0.7})"),
      loss("binary_cross_entropy_with_logits"),
      loss("binary_cross_entropy_with_logits",
           R"({"pos_weight": [1, 2, 0.5, 3, 1, 1, 4], "reduction": "sum"})"),
      loss("kl_div", R"({"reduction": "none"})", 0.1, 0.9),
      loss("kl_div", R"({"log_target": true})"),
      {.op = "embedding",
       .attributes = R"({"padding_idx": 6})",
       .inputs = {{"input", {4, 5}}, {"weight", {7, 3}}},
       .classes = 6},
      {.op = "embedding",
       .attributes = "{}",
       .inputs = {{"input", {6}}, {"weight", {3, 70}}},
       .classes = 3},
      {.op = "topk", .attributes = R"({"k": 3})", .inputs = {{"input", {3, 37}}}},
      {.op = "topk",
       .attributes = R"({"k": 1, "dim": 1, "largest": false})",
       .inputs = {{"input", {3, 7, 2}}}},
      {.op = "gru",
       .attributes = "{}",
       .inputs = {{"input", {2, 4, 15}}, {"weight", {15, 5}}, {"bias", {15}}}},
      {.op = "gru",
       .attributes = R"({"batch_first": false})",
       .inputs = {{"input", {3, 2, 51}}, {"weight", {51, 17}}, {"bias", {51}}, {"h0", {2, 17}}}},
      {.op = "gru",
       .attributes = R"({"batch_first": false})",
       .inputs = {{"input", {4, 1, 15}}, {"weight", {15, 5}}}},
      {.op = "lstm",
       .attributes = "{}",
       .inputs = {{"input", {2, 4, 20}}, {"weight", {20, 5}}, {"bias", {20}}}},
      {.op = "lstm",
       .attributes = R"({"batch_first": false})",
       .inputs = {{"input", {3, 2, 68}}, {"weight", {68, 17}}, {"h0", {2, 17}}, {"c0", {2, 17}}}},
      {.op = "lstm",
       .attributes = R"({"batch_first": false})",
       .inputs = {{"input", {4, 1, 20}}, {"weight", {20, 5}}, {"bias", {20}}}},
      {.op = "cosine_similarity",
       .attributes = R"({"dim": 1})",
       .inputs = {{"x1", {3, 7, 2}}, {"x2", {3, 7, 2}}},
       .exported = false},
      {.op = "triplet_margin_loss",
       .attributes = R"({"margin": 2, "swap": true})",
       .inputs = {{"anchor", {5, 7}}, {"positive", {5, 7}}, {"negative", {5, 7}}},
       .exported = false},
      {.op = "triplet_margin_loss",
       .attributes = R"({"margin": 3, "p": 3, "reduction": "none"})",
       .inputs = {{"anchor", {5, 7}}, {"positive", {5, 7}}, {"negative", {5, 7}}},
       .exported = false},
  };
  return cases;
}

// The arguments of a row, as random numbers in Anther's layout. The first call makes them; later
// calls take variables with the values of tensors(), or of others, in their order.
template <class T>
class CaseArguments : public OpArguments<T> {
 public:
  // samples: what the first extent of every input that has that of the first input is multiplied
  // by.
  explicit CaseArguments(const OpCase& of, std::int64_t samples = 1)
      : OpArguments<T>(nlohmann::json::parse(of.attributes)), case_(of), samples_(samples) {
    const Shape& first = of.inputs[0].shape;
    for (const CaseInput& input : of.inputs) {
      Shape shape = input.shape;
      if (samples > 1 && input.name != "weight" && input.name != "bias" && shape[0] == first[0])
        shape[0] *= samples;
      shapes_.emplace(input.name, shape);
    }
  }

  // Variables for the tensors, in their order: what the next call is computed from.
  void set(Tape<T>& tape, std::span<const Variable<T>> variables) {
    tape_ = &tape;
    variables_.assign(variables.begin(), variables.end());
  }
  // Makes variables of the tensors on a tape.
  void set(Tape<T>& tape) {
    tape_ = &tape;
    variables_.clear();
    for (const Tensor<T>& tensor : tensors_) variables_.push_back(tape.input(tensor, true));
  }
  const std::vector<Tensor<T>>& tensors() const { return tensors_; }
  const std::vector<std::string>& names() const { return names_; }
  const std::vector<Layout>& layouts() const { return layouts_; }
  std::span<const Variable<T>> variables() const { return variables_; }

  Variable<T> get(const std::string& name, Layout layout) override {
    const auto found = shapes_.find(name);
    if (found == shapes_.end()) return {};
    for (std::size_t i = 0; i < names_.size(); ++i)
      if (names_[i] == name) return variables_[i];
    names_.push_back(name);
    layouts_.push_back(layout);
    tensors_.push_back(numbers(name, layout_shape(layout, found->second)));
    variables_.push_back(tape_->input(tensors_.back(), true));
    return variables_.back();
  }
  std::span<const std::int32_t> integers(const std::string& name) override {
    std::vector<std::int32_t>& made = integers_[name];
    const std::int64_t count = shapes_.at(name).numel();
    for (std::int64_t i = std::ssize(made); i < count; ++i)
      made.push_back(static_cast<std::int32_t>(uniform(key(name), static_cast<std::uint64_t>(i)) *
                                               case_.classes));
    return made;
  }
  Variable<T> integer_value(const std::string& name) override {
    return tape_->integers(shapes_.at(name), integers(name));
  }
  Shape shape(const std::string& name) override { return shapes_.at(name); }
  Buffer<T> buffer(const std::string& name) override {
    const auto found = buffers_.find(name);
    if (found != buffers_.end()) return found->second;
    const Tensor<T> values = numbers(name, shapes_.at(name));
    ParameterStore<T>& store = stores_[name];  // one that is in use takes no more buffers
    const Buffer<T> added{&store, store.add_buffer(name, {.shape = values.shape()})};
    std::ranges::copy(values.span(), store.edit().buffer(added.number).begin());
    return buffers_.emplace(name, added).first->second;
  }

 private:
  RandomKey key(const std::string& name) const {
    return RandomKey(7).fold(case_.name()).fold(name);
  }
  Tensor<T> numbers(const std::string& name, const Shape& shape) const {
    Tensor<T> tensor(shape);
    const RandomKey of_input = key(name);
    for (std::int64_t i = 0; i < tensor.size(); ++i) {
      const auto at = static_cast<std::uint64_t>(i);
      // Such as float has, so that both types compute from the same numbers.
      tensor[i] = static_cast<T>(static_cast<float>(
          case_.low == case_.high ? normal(of_input, at)
                                  : case_.low + (case_.high - case_.low) * uniform(of_input, at)));
    }
    return tensor;
  }

  const OpCase& case_;
  std::int64_t samples_;
  std::map<std::string, Shape> shapes_;
  Tape<T>* tape_ = nullptr;
  std::vector<std::string> names_;
  std::vector<Layout> layouts_;
  std::vector<Tensor<T>> tensors_;
  std::vector<Variable<T>> variables_;
  std::map<std::string, std::vector<std::int32_t>> integers_;
  std::map<std::string, ParameterStore<T>> stores_;  // of the buffers
  std::map<std::string, Buffer<T>> buffers_;
};

}  // namespace op_tests
