// Every op under the name that it has in torch.nn.functional or torch, with its arguments by their
// names there. What tests and comparisons call ops by: see op_cases.hpp.
#pragma once

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "anther/anther.hpp"

namespace op_tests {

using namespace anther;

// How an argument of PyTorch's stands in Anther: a map's channels come last.
enum class Layout {
  plain,             // the same
  map,               // (N, C, ...) -> (N, ..., C)
  conv_weight,       // (O, C, kh, kw) -> (O, kh, kw, C), with one axis less for sequences
  depthwise_weight,  // (C, 1, kh, kw) -> (kh, kw, C, 1)
  heads,             // (N, heads, L, E) -> (N, L, heads E)
};

// Axis i in Anther is PyTorch's axis layout_axes(...)[i]. Not for heads, whose axes are joined.
inline std::vector<int> layout_axes(Layout layout, int rank) {
  std::vector<int> axes;
  if (layout == Layout::depthwise_weight) return {2, 3, 0, 1};
  const bool moved = layout == Layout::map || layout == Layout::conv_weight;
  for (int axis = 0; axis < rank; ++axis)
    if (!moved || axis != 1) axes.push_back(axis);
  if (moved) axes.push_back(1);
  return axes;
}
inline Shape layout_shape(Layout layout, const Shape& torch) {
  if (layout == Layout::heads) return {torch[0], torch[2], torch[1] * torch[3]};
  Shape shape;
  for (const int axis : layout_axes(layout, torch.rank())) shape.push_back(torch[axis]);
  return shape;
}

// The arguments of one call. Where they come from, the caller knows: a file in PyTorch's layout, or
// random numbers in Anther's.
template <class T>
class OpArguments {
 public:
  explicit OpArguments(nlohmann::json attributes) : attributes_(std::move(attributes)) {}
  virtual ~OpArguments() = default;

  // A tensor; the empty variable if it is absent.
  virtual Variable<T> get(const std::string& name, Layout layout) = 0;
  Variable<T> operator[](const std::string& name) { return get(name, Layout::plain); }
  Variable<T> map(const std::string& name) { return get(name, Layout::map); }
  // Labels or indices, as numbers and as a value on the tape.
  virtual std::span<const std::int32_t> integers(const std::string& name) = 0;
  virtual Variable<T> integer_value(const std::string& name) = 0;
  // The shape of a tensor as it was given.
  virtual Shape shape(const std::string& name) = 0;
  // A buffer of a store, with the values of a tensor.
  virtual Buffer<T> buffer(const std::string& name) = 0;

  bool has(const char* name) const { return attributes_.contains(name); }
  template <class Value>
  Value value(const char* name, Value otherwise) const {
    const auto found = attributes_.find(name);
    return found == attributes_.end() || found->is_null() ? otherwise
                                                          : found->template get<Value>();
  }
  double number(const char* name, double otherwise) const { return value(name, otherwise); }
  std::int64_t integer(const char* name, std::int64_t otherwise) const {
    return value(name, otherwise);
  }
  int dim(const char* name = "dim", int otherwise = -1) const { return value(name, otherwise); }
  bool flag(const char* name, bool otherwise) const { return value(name, otherwise); }
  std::string text(const char* name, const char* otherwise) const {
    return value(name, std::string(otherwise));
  }
  // One number or a list of them.
  std::vector<std::int64_t> list(const char* name) const {
    const auto found = attributes_.find(name);
    if (found == attributes_.end() || found->is_null()) return {};
    if (found->is_array()) return found->template get<std::vector<std::int64_t>>();
    return {found->template get<std::int64_t>()};
  }
  std::vector<int> dims(const char* name = "dim") const {
    const std::vector<std::int64_t> numbers = list(name);
    return {numbers.begin(), numbers.end()};
  }
  Extent2d extent(const char* name, Extent2d otherwise) const {
    const std::vector<std::int64_t> numbers = list(name);
    if (numbers.empty()) return otherwise;
    return numbers.size() == 1 ? Extent2d{numbers[0]} : Extent2d{numbers[0], numbers[1]};
  }
  const nlohmann::json& attributes() const { return attributes_; }
  using Scalar = T;

 private:
  nlohmann::json attributes_;
};

// An op by name. call: a generic lambda, [](auto& a) { return relu(a["input"]); }.
struct OpCall {
  template <class Call>
  OpCall(const char* op_name, Call call, Layout result_layout = Layout::plain)
      : name(op_name),
        call_float(static_cast<Variable<float> (*)(OpArguments<float>&)>(call)),
        call_double(static_cast<Variable<double> (*)(OpArguments<double>&)>(call)),
        result(result_layout) {}

  template <class T>
  Variable<T> operator()(OpArguments<T>& arguments) const {
    if constexpr (std::is_same_v<T, float>)
      return call_float(arguments);
    else
      return call_double(arguments);
  }

  std::string_view name;
  Variable<float> (*call_float)(OpArguments<float>&);
  Variable<double> (*call_double)(OpArguments<double>&);
  Layout result;
};

// The element-wise ops of kernels/pointwise_table.inl, which need no line of their own.
inline void add_pointwise_calls(std::vector<OpCall>& calls) {
  using namespace kernels;
#define ANTHER_POINTWISE(name, ...) \
  calls.emplace_back(#name, [](auto& a) { return anther::name(a["input"]); });
#define ANTHER_POINTWISE_1(name, number_1, ...)                                               \
  calls.emplace_back(#name, [](auto& a) {                                                     \
    const PointwiseNumbers& defaults = pointwise_defaults[static_cast<int>(Pointwise::name)]; \
    return anther::name(a["input"], a.number(#number_1, defaults.first));                     \
  });
#define ANTHER_POINTWISE_2(name, number_1, default_1, number_2, ...)                          \
  calls.emplace_back(#name, [](auto& a) {                                                     \
    const PointwiseNumbers& defaults = pointwise_defaults[static_cast<int>(Pointwise::name)]; \
    return anther::name(a["input"], a.number(#number_1, defaults.first),                      \
                        a.number(#number_2, defaults.second));                                \
  });
#include "anther/kernels/pointwise_table.inl"
}

// Runs the op that a layer would choose: a product, a depth-wise convolution, or the general one.
template <class T>
Variable<T> conv2d_call(OpArguments<T>& a) {
  const Variable<T> x = a.map("input");
  const Extent2d stride = a.extent("stride", 1), padding = a.extent("padding", 0);
  const Extent2d dilation = a.extent("dilation", 1);
  const std::int64_t groups = a.integer("groups", 1), channels = x.shape().back();
  const Shape weight = a.shape("weight");
  if (groups == channels && weight[0] == channels && channels > 1 && dilation == Extent2d{1})
    return depthwise_conv2d(x, a.get("weight", Layout::depthwise_weight), a["bias"],
                            {.stride = stride, .padding = padding});
  const Variable<T> w = a.get("weight", Layout::conv_weight);
  const bool one = weight[2] == 1 && weight[3] == 1;
  if (one && stride == Extent2d{1} && padding == Extent2d{0} && groups == 1)
    return linear(x, w, a["bias"]);
  return conv2d(x, w, a["bias"],
                {.stride = stride, .padding = padding, .dilation = dilation, .groups = groups});
}
template <class T>
Variable<T> conv_transpose2d_call(OpArguments<T>& a) {
  const Variable<T> x = a.map("input");
  const Extent2d stride = a.extent("stride", 1), padding = a.extent("padding", 0);
  const Extent2d output_padding = a.extent("output_padding", 0);
  const Extent2d dilation = a.extent("dilation", 1);
  const std::int64_t groups = a.integer("groups", 1);
  if (groups == x.shape().back() && a.shape("weight")[1] == 1 && dilation == Extent2d{1})
    return depthwise_conv_transpose2d(
        x, a.get("weight", Layout::depthwise_weight), a["bias"],
        {.stride = stride, .padding = padding, .output_padding = output_padding});
  return conv_transpose2d(x, a.get("weight", Layout::conv_weight), a["bias"],
                          {.stride = stride,
                           .padding = padding,
                           .output_padding = output_padding,
                           .groups = groups,
                           .dilation = dilation});
}
template <class T>
Variable<T> conv1d_call(OpArguments<T>& a) {
  return conv1d(a.map("input"), a.get("weight", Layout::conv_weight), a["bias"],
                {.stride = a.integer("stride", 1),
                 .padding = a.integer("padding", 0),
                 .dilation = a.integer("dilation", 1),
                 .groups = a.integer("groups", 1)});
}
template <class T>
Variable<T> max_pool2d_call(OpArguments<T>& a) {
  return max_pool2d(a.map("input"), a.extent("kernel_size", 1),
                    {.stride = a.extent("stride", 0),
                     .padding = a.extent("padding", 0),
                     .dilation = a.extent("dilation", 1),
                     .ceil_mode = a.flag("ceil_mode", false)});
}
template <class T>
Variable<T> avg_pool2d_call(OpArguments<T>& a) {
  return avg_pool2d(a.map("input"), a.extent("kernel_size", 1),
                    {.stride = a.extent("stride", 0),
                     .padding = a.extent("padding", 0),
                     .ceil_mode = a.flag("ceil_mode", false),
                     .count_include_pad = a.flag("count_include_pad", true)});
}
template <class T>
Variable<T> interpolate_call(OpArguments<T>& a) {
  InterpolateOptions options{.size = a.extent("size", 0)};
  if (a.has("scale_factor")) {
    const nlohmann::json& factor = a.attributes().at("scale_factor");
    options.scale_factor = factor.is_array() ? Scale2d(factor[0].template get<double>(),
                                                       factor[1].template get<double>())
                                             : Scale2d(factor.template get<double>());
  }
  if (a.text("mode", "nearest") == "bilinear") options.mode = InterpolateMode::bilinear;
  options.align_corners = a.flag("align_corners", false);
  return interpolate(a.map("input"), options);
}

template <class T>
Variable<T> pad_call(OpArguments<T>& a) {
  const std::vector<std::int64_t> pad_of = a.list("pad");  // left, right, top, bottom
  const std::string mode = a.text("mode", "constant");
  return pad(a.map("input"),
             {.left = pad_of[0], .right = pad_of[1], .top = pad_of[2], .bottom = pad_of[3]},
             mode == "reflect"     ? PadMode::reflect
             : mode == "replicate" ? PadMode::replicate
                                   : PadMode::constant,
             a.number("value", 0));
}
template <class T>
Reduction reduction(const OpArguments<T>& a) {
  const std::string name = a.text("reduction", "mean");
  return name == "sum" ? Reduction::sum : name == "none" ? Reduction::none : Reduction::mean;
}
template <class T>
LossOptions loss_options(const OpArguments<T>& a) {
  return {.reduction = reduction(a)};
}
template <class T>
Variable<T> attention_call(OpArguments<T>& a) {
  const Variable<T> q = a.get("query", Layout::heads), k = a.get("key", Layout::heads),
                    v = a.get("value", Layout::heads);
  return scaled_dot_product_attention(
      q, k, v, a.integer("num_heads", a.shape("query")[1]),
      {.attn_mask = a.flag("bool_mask", false) ? a.integer_value("attn_mask") : a["attn_mask"],
       .is_causal = a.flag("is_causal", false)});
}
// Weights of classes are numbers among the attributes.
template <class T>
Variable<T> class_loss_call(OpArguments<T>& a, bool logits) {
  const Variable<T> x = a.map("input");
  const auto weight = a.value("weight", std::vector<double>{});
  const CrossEntropyOptions options{.label_smoothing = a.number("label_smoothing", 0),
                                    .weight = weight,
                                    .ignore_index = a.integer("ignore_index", -100),
                                    .reduction = reduction(a)};
  return logits ? cross_entropy(x, a.integers("target"), options)
                : nll_loss(x, a.integers("target"), options);
}
template <class T>
Variable<T> triplet_margin_loss_call(OpArguments<T>& a) {
  const Variable<T> anchor = a["anchor"], positive = a["positive"], negative = a["negative"];
  return triplet_margin_loss(anchor, positive, negative,
                             {.margin = a.number("margin", 1),
                              .p = a.number("p", 2),
                              .swap = a.flag("swap", false),
                              .reduction = reduction(a)});
}

// All steps' h, and after them the last cell.
template <class T>
Variable<T> lstm_call(OpArguments<T>& a) {
  const Variable<T> gx = a["input"], w = a["weight"], b = a["bias"], h = a["h0"], c = a["c0"];
  const bool batch_first = a.flag("batch_first", true);
  const LstmResult<T> result = lstm(gx, w, b, h, c, batch_first);
  const Shape& y = result.y.shape();
  const Shape cell = batch_first ? Shape{y[0], 1, y[2]} : Shape{1, y[1], y[2]};
  return cat({result.y, reshape(result.cell, cell)}, batch_first ? 1 : 0);
}

inline const std::vector<OpCall>& op_calls() {
  static const std::vector<OpCall> calls = [] {
    constexpr double infinity = std::numeric_limits<double>::infinity();
    std::vector<OpCall> all = {
        {"clamp",
         [](auto& a) {
           return clamp(a["input"], a.number("min", -infinity), a.number("max", infinity));
         }},
        {"linear", [](auto& a) { return linear(a["input"], a["weight"], a["bias"]); }},
        {"gelu",
         [](auto& a) {
           return a.text("approximate", "none") == "tanh" ? gelu_tanh(a["input"])
                                                          : gelu(a["input"]);
         }},
        {"conv2d", [](auto& a) { return conv2d_call(a); }, Layout::map},
        {"conv_transpose2d", [](auto& a) { return conv_transpose2d_call(a); }, Layout::map},
        // `other` may be a number.
        {"add",
         [](auto& a) {
           return a.has("other") ? a["input"] + a.number("other", 0) : a["input"] + a["other"];
         }},
        {"sub",
         [](auto& a) {
           return a.has("other") ? a["input"] - a.number("other", 0) : a["input"] - a["other"];
         }},
        {"mul",
         [](auto& a) {
           return a.has("other") ? a["input"] * a.number("other", 0) : a["input"] * a["other"];
         }},
        {"div",
         [](auto& a) {
           return a.has("other") ? a["input"] / a.number("other", 0) : a["input"] / a["other"];
         }},
        {"maximum", [](auto& a) { return maximum(a["input"], a["other"]); }},
        {"minimum", [](auto& a) { return minimum(a["input"], a["other"]); }},
        {"where",
         [](auto& a) { return where(a.integer_value("condition"), a["input"], a["other"]); }},
        {"prelu", [](auto& a) { return prelu(a.map("input"), a["weight"]); }, Layout::map},
        {"sum",
         [](auto& a) { return sum(a["input"], a.dims(), {.keepdim = a.flag("keepdim", false)}); }},
        {"mean",
         [](auto& a) { return mean(a["input"], a.dims(), {.keepdim = a.flag("keepdim", false)}); }},
        {"amax",
         [](auto& a) { return amax(a["input"], a.dims(), {.keepdim = a.flag("keepdim", false)}); }},
        {"amin",
         [](auto& a) { return amin(a["input"], a.dims(), {.keepdim = a.flag("keepdim", false)}); }},
        {"norm",
         [](auto& a) { return norm(a["input"], a.dims(), {.keepdim = a.flag("keepdim", false)}); }},
        {"var",
         [](auto& a) {
           return var(
               a["input"], a.dims(),
               {.keepdim = a.flag("keepdim", false), .correction = a.integer("correction", 1)});
         }},
        {"permute", [](auto& a) { return permute(a["input"], a.dims("dims")); }},
        {"transpose", [](auto& a) { return transpose(a["input"], a.dim("dim0"), a.dim("dim1")); }},
        {"reshape",
         [](auto& a) {
           return reshape(a["input"], std::span<const std::int64_t>(a.list("shape")));
         }},
        {"narrow",
         [](auto& a) {
           return narrow(a["input"], a.dim(), a.integer("start", 0), a.integer("length", 1));
         }},
        {"cat",
         [](auto& a) {
           return cat({a["input"], a["other"]}, a.dim("dim", 0));
         }},
        {"stack",
         [](auto& a) {
           return stack({a["input"], a["other"]}, a.dim("dim", 0));
         }},
        // The second of the parts.
        {"chunk",
         [](auto& a) {
           const auto parts = chunk(a["input"], a.integer("chunks", 2), a.dim("dim", 0));
           detail::check(parts.size() > 1, "chunk: expected a second part, got ", parts.size());
           return parts[1];
         }},
        {"pixel_shuffle",
         [](auto& a) { return pixel_shuffle(a.map("input"), a.integer("upscale_factor", 1)); },
         Layout::map},
        {"index_select",
         [](auto& a) { return index_select(a["input"], a.dim(), a.integer_value("index")); }},
        {"pad", [](auto& a) { return pad_call(a); }, Layout::map},
        {"conv1d", [](auto& a) { return conv1d_call(a); }, Layout::map},
        {"max_pool2d", [](auto& a) { return max_pool2d_call(a); }, Layout::map},
        {"avg_pool2d", [](auto& a) { return avg_pool2d_call(a); }, Layout::map},
        {"adaptive_avg_pool2d",
         [](auto& a) { return adaptive_avg_pool2d(a.map("input"), a.extent("output_size", 1)); },
         Layout::map},
        {"interpolate", [](auto& a) { return interpolate_call(a); }, Layout::map},
        {"dropout", [](auto& a) { return dropout(a["input"], a.number("p", 0.5)); }},
        {"softmax", [](auto& a) { return softmax(a["input"], a.dim()); }},
        {"layer_norm",
         [](auto& a) {
           return layer_norm(a["input"], a["weight"], a["bias"], a.number("eps", 1e-5));
         }},
        {"group_norm",
         [](auto& a) {
           return group_norm(a.map("input"), a.integer("num_groups", 1), a["weight"], a["bias"],
                             a.number("eps", 1e-5));
         },
         Layout::map},
        {"instance_norm",
         [](auto& a) {
           return instance_norm(a.map("input"), a["weight"], a["bias"], a.number("eps", 1e-5));
         },
         Layout::map},
        {"batch_norm",
         [](auto& a) {
           // The order of these calls is that of the buffers.
           const auto mean = a.buffer("running_mean"), var = a.buffer("running_var");
           return batch_norm(a.map("input"), a["weight"], a["bias"], mean, var,
                             {.momentum = a.number("momentum", 0.1), .eps = a.number("eps", 1e-5)});
         },
         Layout::map},
        {"subsample", [](auto& a) { return subsample(a.map("input"), a.integer("stride", 1)); },
         Layout::map},
        {"scaled_dot_product_attention", [](auto& a) { return attention_call(a); }, Layout::heads},
        {"matmul", [](auto& a) { return matmul(a["input"], a["other"]); }},
        {"log_softmax", [](auto& a) { return log_softmax(a["input"], a.dim()); }},
        {"rms_norm",
         [](auto& a) { return rms_norm(a["input"], a["weight"], a.number("eps", 1e-6)); }},
        {"cross_entropy", [](auto& a) { return class_loss_call(a, true); }},
        {"nll_loss", [](auto& a) { return class_loss_call(a, false); }},
        {"mse_loss", [](auto& a) { return mse_loss(a["input"], a["target"], loss_options(a)); }},
        {"l1_loss", [](auto& a) { return l1_loss(a["input"], a["target"], loss_options(a)); }},
        {"smooth_l1_loss",
         [](auto& a) {
           return smooth_l1_loss(a["input"], a["target"], a.number("beta", 1), loss_options(a));
         }},
        {"huber_loss",
         [](auto& a) {
           return huber_loss(a["input"], a["target"], a.number("delta", 1), loss_options(a));
         }},
        {"binary_cross_entropy_with_logits",
         [](auto& a) {
           const auto weight = a.value("pos_weight", std::vector<double>{});
           return binary_cross_entropy_with_logits(a["input"], a["target"], weight,
                                                   loss_options(a));
         }},
        {"kl_div",
         [](auto& a) {
           return kl_div(a["input"], a["target"], a.flag("log_target", false), loss_options(a));
         }},
        {"cosine_similarity",
         [](auto& a) { return cosine_similarity(a["x1"], a["x2"], a.dim("dim", 1)); }},
        {"embedding",
         [](auto& a) {
           using Index = std::optional<std::int64_t>;
           const auto indices = a.integer_value("input");
           return embedding(indices, a["weight"],
                            a.has("padding_idx") ? Index(a.integer("padding_idx", 0)) : Index());
         }},
        {"topk",
         [](auto& a) {
           return topk(a["input"], a.integer("k", 1), a.dim(), a.flag("largest", true)).values;
         }},
        {"gru",
         [](auto& a) {
           const auto gx = a["input"], w = a["weight"], b = a["bias"], h = a["h0"];
           return gru(gx, w, b, h, a.flag("batch_first", true));
         }},
        {"lstm", [](auto& a) { return lstm_call(a); }},
        {"triplet_margin_loss", [](auto& a) { return triplet_margin_loss_call(a); }},
    };
    add_pointwise_calls(all);
    return all;
  }();
  return calls;
}

// Throws if there is no such op.
inline const OpCall& op_call(std::string_view name) {
  for (const OpCall& call : op_calls())
    if (call.name == name) return call;
  detail::fail("unknown op ", name);
}

}  // namespace op_tests
