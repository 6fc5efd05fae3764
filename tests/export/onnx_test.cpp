// The wire format, and what stands in an exported file, read back by a parser of the test's own.
// That ONNX Runtime computes the same as the engine is compared by tests/parity/compare_onnx.py.
#include "anther/export/onnx.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <cstring>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "anther/anther.hpp"
#include "tests/io/temporary_folder.hpp"

namespace {

using namespace anther;
using namespace anther::detail;
using namespace anther::exports;
using namespace anther::io;

// A parsed message: by field number, what the fields hold, in order.
struct Message {
  std::map<int, std::vector<std::uint64_t>> integers;
  std::map<int, std::vector<float>> numbers;
  std::map<int, std::vector<std::string>> texts;

  explicit Message(std::string_view bytes) {
    std::size_t at = 0;
    const auto varint = [&] {
      std::uint64_t value = 0;
      for (int shift = 0;; shift += 7) {
        REQUIRE(at < bytes.size());
        const auto byte = static_cast<unsigned char>(bytes[at++]);
        value |= static_cast<std::uint64_t>(byte & 127) << shift;
        if (byte < 128) return value;
      }
    };
    while (at < bytes.size()) {
      const std::uint64_t key = varint();
      const int field = static_cast<int>(key >> 3);
      switch (key & 7) {
        case 0:
          integers[field].push_back(varint());
          break;
        case 2: {
          const std::uint64_t length = varint();
          REQUIRE(at + length <= bytes.size());
          texts[field].emplace_back(bytes.substr(at, length));
          at += length;
          break;
        }
        default: {
          REQUIRE((key & 7) == 5);
          REQUIRE(at + 4 <= bytes.size());
          float value;
          std::memcpy(&value, bytes.data() + at, 4);
          numbers[field].push_back(value);
          at += 4;
        }
      }
    }
  }
  std::string text(int field) const { return texts.at(field).at(0); }
  std::uint64_t integer(int field) const { return integers.at(field).at(0); }
  Message message(int field) const { return Message(text(field)); }
  std::vector<Message> messages(int field) const {
    std::vector<Message> result;
    if (const auto found = texts.find(field); found != texts.end())
      for (const std::string& bytes : found->second) result.emplace_back(bytes);
    return result;
  }
};

// "batch, 3, 32, 32"
std::string extents_of(const Message& value_info) {
  std::string text;
  for (const Message& extent : value_info.message(2).message(1).message(2).messages(1))
    text += text_of(text.empty() ? "" : ", ",
                    extent.texts.count(2) ? extent.text(2) : std::to_string(extent.integer(1)));
  return text;
}

std::string types_of(const Message& graph) {
  std::string text;
  for (const Message& node : graph.messages(1)) text += (text.empty() ? "" : " ") + node.text(4);
  return text;
}

struct Initializer {
  std::vector<std::uint64_t> shape;
  std::string data;
  float at(std::size_t i) const {
    float value;
    REQUIRE(4 * i + 4 <= data.size());
    std::memcpy(&value, data.data() + 4 * i, 4);
    return value;
  }
};

std::map<std::string, Initializer> initializers_of(const Message& graph) {
  std::map<std::string, Initializer> result;
  for (const Message& tensor : graph.messages(5)) {
    Initializer initializer;
    if (tensor.integers.count(1)) initializer.shape = tensor.integers.at(1);
    initializer.data = tensor.text(9);
    REQUIRE(result.emplace(tensor.text(8), initializer).second);
  }
  return result;
}

// A layer that calls a function.
struct Apply : Module<float> {
  using Function = Variable<float> (*)(Variable<float>);
  Apply(const Scope<float>& scope, Function function_)
      : Module(scope, "Apply"), function(function_) {}
  Variable<float> forward(Variable<float> x) const override { return function(x); }
  Function function;
};

// Ops of a user's own.
void square_forward(Call<float>& call) {
  for (std::int64_t i = 0; i < call.output_shape().numel(); ++i)
    call.output()[i] = call.input(0)[i] * call.input(0)[i];
}
constexpr Op<float> square_op = {
    .name = "square", .forward = square_forward, .backward = [](Call<float>&) {}};
constexpr Op<float> silent_op = {
    .name = "silent", .forward = square_forward, .backward = [](Call<float>&) {}};

template <const Op<float>& op>
Variable<float> apply(Variable<float> x) {
  return x.tape().apply(op, 0, {x}, x.shape());
}

struct Net : Module<float> {
  explicit Net(const Scope<float>& scope)
      : Module(scope, "Net"),
        conv(scope / "conv", 3, 4, {.kernel_size = {2, 3}, .stride = 2}),
        mix(scope / "mix", 4, 4),
        norm(scope / "norm", 2, 4),
        head(scope / "head", 4, 5) {}
  Variable<float> forward(Variable<float> x) const override {
    x = conv(x);
    x = x + mix(norm(x));
    return head(global_average_pool(x));
  }
  Conv2d<float> conv;
  Linear<float> mix;
  GroupNorm<float> norm;
  Linear<float> head;
};

TEST_CASE("protobuf: integers, floats, text and messages as the format has them") {
  CHECK(ProtobufMessage().integer(1, 150).bytes() == "\x08\x96\x01");
  CHECK(ProtobufMessage().integer(3, 0).bytes() == std::string_view("\x18\0", 2));
  CHECK(ProtobufMessage().integer(1, -1).bytes() == "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
  CHECK(ProtobufMessage().text(2, "testing").bytes() == "\x12\x07testing");
  CHECK(ProtobufMessage().number(2, 1.0f).bytes() == std::string_view("\x15\0\0\x80\x3f", 5));
  CHECK(ProtobufMessage().number(2, 1.0).bytes() ==
        std::string_view("\x11\0\0\0\0\0\0\xf0\x3f", 9));
  // A field number above 15 makes the key two bytes.
  CHECK(ProtobufMessage().integer(20, 7).bytes() == "\xa0\x01\x07");
  CHECK(ProtobufMessage().message(3, ProtobufMessage().integer(1, 150)).bytes() ==
        "\x1a\x03\x08\x96\x01");
  const std::string long_text(300, 'x');
  CHECK(ProtobufMessage().text(1, long_text).bytes() == "\x0a\xac\x02" + long_text);
}

TEST_CASE("onnx: a file says what it is, what comes in and goes out, and the metadata") {
  ParameterStore<float> store;
  const Net net(store);
  store.initialize(1);
  const Message model(
      to_onnx(net, {1, 8, 9, 3},
              {.input = "images", .output = "logits", .metadata = {{"class_names", "[\"a\"]"}}}));
  CHECK(model.integer(1) == 8);
  CHECK(model.text(2) == "anther");
  REQUIRE(model.messages(8).size() == 1);
  CHECK(model.message(8).integer(2) == 17);
  REQUIRE(model.messages(14).size() == 1);
  CHECK(model.message(14).text(1) == "class_names");
  CHECK(model.message(14).text(2) == "[\"a\"]");

  const Message graph = model.message(7);
  CHECK(graph.text(2) == "Net");
  CHECK(graph.message(11).text(1) == "images");
  CHECK(extents_of(graph.message(11)) == "batch, 3, 8, 9");
  CHECK(graph.message(11).message(2).message(1).integer(1) == 1);
  CHECK(graph.message(12).text(1) == "logits");
  CHECK(extents_of(graph.message(12)) == "batch, 5");
  // The addition is the linear op's on the tape; it comes after it in the graph.
  CHECK(types_of(graph) ==
        "Conv Reshape InstanceNormalization Reshape Mul Add Conv Add GlobalAveragePool Flatten "
        "Gemm Identity");
}

TEST_CASE("onnx: weights have PyTorch's names, shapes and order") {
  ParameterStore<float> store;
  const Net net(store);
  store.initialize(1);
  const auto tensors = initializers_of(Message(to_onnx(net, {1, 8, 9, 3})).message(7));
  const Initializer& conv = tensors.at("conv.weight");
  CHECK(conv.shape == std::vector<std::uint64_t>{4, 3, 2, 3});
  const std::span<const float> weight = std::as_const(store).value(0);  // (O, kh, kw, C)
  for (std::size_t o = 0; o < 4; ++o)
    for (std::size_t c = 0; c < 3; ++c)
      for (std::size_t h = 0; h < 2; ++h)
        for (std::size_t w = 0; w < 3; ++w)
          CHECK(conv.at(((o * 3 + c) * 2 + h) * 3 + w) == weight[((o * 2 + h) * 3 + w) * 3 + c]);
  // A fully connected layer on a map is a 1x1 convolution; one weight in two shapes has two names.
  CHECK(tensors.at("mix.weight (4, 4, 1, 1)").shape == std::vector<std::uint64_t>{4, 4, 1, 1});
  CHECK(tensors.at("norm.weight (4, 1, 1)").shape == std::vector<std::uint64_t>{4, 1, 1});
  CHECK(tensors.at("head.weight").shape == std::vector<std::uint64_t>{5, 4});
  CHECK(tensors.at("head.bias").shape == std::vector<std::uint64_t>{5});
}

TEST_CASE("onnx: attention has what makes a query that sees no key 0 only where there is a mask") {
  const Apply::Function functions[] = {
      [](Variable<float> x) { return self_attention(x, 1); },
      [](Variable<float> x) { return self_attention(x, 1, {.is_causal = true}); },
      [](Variable<float> x) {
        return self_attention(x, 1, {.attn_mask = x.tape().input(Tensor<float>({2, 2}))});
      }};
  for (const auto& function : functions) {
    ParameterStore<float> store;
    const std::string types =
        types_of(Message(to_onnx(Apply(store, function), {1, 2, 6})).message(7));
    CHECK((types.find("Softmax ReduceMax Equal Where MatMul") != types.npos) ==
          (function == functions[2]));
  }
}

// Parameters of four axes, of which PyTorch's order is that of the tape, or that of a map.
struct MapParameters : Module<float> {
  using Function = Variable<float> (*)(Variable<float> x, Variable<float> p, Variable<float> q);
  MapParameters(const Scope<float>& scope, Function function_)
      : Module(scope, "MapParameters"),
        plain(scope.parameter("plain", {.shape = {1, 2, 3, 4}})),
        turned(scope.parameter(
            "turned", {.shape = {1, 2, 3, 4}, .torch_axes = {0, 3, 1, 2}, .torch_order = false})),
        function(function_) {}
  Variable<float> forward(Variable<float> x) const override {
    return function(x, x.tape().parameter(plain), x.tape().parameter(turned));
  }
  Parameter<float> plain, turned;
  Function function;
};

TEST_CASE("onnx: a parameter beside a map is in the graph's order") {
  using V = Variable<float>;
  const struct {
    MapParameters::Function function;
    std::string_view types;
  } rows[] = {
      {[](V x, V p, V) { return x + p; }, "Transpose Add Identity"},
      {[](V x, V, V q) { return x + q; }, "Add Identity"},
      {[](V x, V p, V) { return x * sigmoid(p) + p; }, "Transpose Sigmoid Mul Add Identity"},
      {[](V x, V p, V q) {
         return cat({x, p, q}, 3);
       },
       "Transpose Concat Identity"},
      // Beside more axes than a map has, its channels are last.
      {[](V x, V, V q) {
         return reshape(x, {1, 1, 2, 3, 4}) * q;
       },
       "Transpose Reshape Transpose Mul Identity"},
      {[](V x, V, V q) {
         return reshape(x, {2, 3, 4}) + reshape(q, {2, 3, 4});
       },
       "Transpose Reshape Transpose Reshape Add Identity"},
  };
  for (const auto& row : rows) {
    ParameterStore<float> store;
    const MapParameters net(store, row.function);
    CHECK_THROWS_WITH_AS(to_onnx(net, {1, 2, 3, 4}), doctest::Contains("no values yet"), Error);
    store.initialize(1);
    const Message graph = Message(to_onnx(net, {1, 2, 3, 4})).message(7);
    CHECK(types_of(graph) == row.types);
    const auto tensors = initializers_of(graph);
    if (const auto plain = tensors.find("plain"); plain != tensors.end())
      CHECK(plain->second.shape == std::vector<std::uint64_t>{1, 2, 3, 4});
    if (const auto turned = tensors.find("turned"); turned != tensors.end())
      CHECK(turned->second.shape == std::vector<std::uint64_t>{1, 4, 2, 3});
  }
}

TEST_CASE("onnx: sequences are turned only where the batch is first, whatever the extents are") {
  for (const bool batch_first : {false, true})
    for (const Shape& shape : {Shape{4, 1, 3}, Shape{1, 4, 3}, Shape{1, 1, 3}, Shape{2, 4, 3}}) {
      ParameterStore<float> store;
      const GRU<float> gru(store, 3, 2, {.batch_first = batch_first});
      store.initialize(1);
      const std::string types = types_of(Message(to_onnx(gru, shape)).message(7));
      CHECK(types.ends_with(batch_first ? "Transpose Identity" : "Squeeze Identity"));
    }
}

TEST_CASE("onnx: the batch of the recorded pass leaves no trace") {
  for (const char* preset : {"improved", "original"}) {
    ParameterStore<float> store;
    const EdgeViT<float> model(store, edgevit_options("xxs", 10, preset));
    store.initialize(1);
    const std::string one = to_onnx(model, {1, 32, 32, 3}), seven = to_onnx(model, {7, 32, 32, 3});
    CHECK(one == seven);
  }
}

TEST_CASE("onnx: preprocessing takes bytes, channels last") {
  ParameterStore<float> store;
  const Net net(store);
  store.initialize(1);
  const OnnxOptions options{.preprocess = OnnxPreprocess{{0.5f, 0.25f, 0}, {0.5f, 1, 2}}};
  const Message graph = Message(to_onnx(net, {1, 8, 9, 3}, options)).message(7);
  CHECK(extents_of(graph.message(11)) == "batch, 8, 9, 3");
  CHECK(graph.message(11).message(2).message(1).integer(1) == 2);  // UINT8
  CHECK(types_of(graph).starts_with("Cast Transpose Mul Add Conv "));
  const auto tensors = initializers_of(graph);
  const Initializer &factor = tensors.at("preprocess/constant"),
                    &shift = tensors.at("preprocess/constant_2");
  for (const Initializer* each : {&factor, &shift})
    CHECK(each->shape == std::vector<std::uint64_t>{3, 1, 1});
  CHECK(factor.at(0) == doctest::Approx(2 / 255.0));
  CHECK(factor.at(2) == doctest::Approx(0.5 / 255));
  CHECK(shift.at(0) == doctest::Approx(-1));
  CHECK(shift.at(1) == doctest::Approx(-0.25));

  const Apply apply_gelu(store, [](Variable<float> x) { return gelu(x); });
  CHECK_THROWS_WITH_AS(to_onnx(apply_gelu, {1, 8, 8, 4}, options),
                       "preprocessing: expected a model of images (N, H, W, 3), got (1, 8, 8, 4)",
                       Error);
}

TEST_CASE("onnx: a user's op is exported as its row says, or fails by name and layer") {
  ParameterStore<float> store;
  const Scope<float> scope(store);
  const Apply square(scope / "deep" / 3, apply<square_op>),
      silent(scope / "silent", apply<silent_op>);
  CHECK_FALSE(static_cast<bool>(onnx_form(square_op)));
  CHECK_THROWS_WITH_AS(
      to_onnx(square, {1, 4}),
      "deep.3: square: this op has no form in ONNX (exports::add_onnx_form gives it one)", Error);

  add_onnx_form(square_op, [](GraphBuilder& graph, const Call<float>&) {
    const std::string x = graph.input(0);
    graph.output(graph.node("Mul", {x, x}));
  });
  const Message graph = Message(to_onnx(square, {1, 4})).message(7);
  CHECK(types_of(graph) == "Mul Identity");
  CHECK(graph.messages(1)[0].texts.at(1) == std::vector<std::string>{"input", "input"});
  CHECK(graph.messages(1)[0].texts.at(2) == std::vector<std::string>{"deep.3/Mul"});

  // A second form takes the place of the first.
  add_onnx_form(square_op, [](auto& builder, const auto&) {
    builder.output(builder.node("Pow", {builder.input(0), builder.constant({}, {2.0})}));
  });
  CHECK(types_of(Message(to_onnx(square, {1, 4})).message(7)) == "Pow Identity");

  add_onnx_form(silent_op, [](auto&, const auto&) {});
  CHECK_THROWS_WITH_AS(to_onnx(silent, {1, 4}),
                       "silent: silent: cannot be exported to ONNX: its form named no output",
                       Error);
  CHECK_THROWS_WITH_AS(add_onnx_form(silent_op, nullptr),
                       "silent: expected a form, got a null pointer", Error);
}

TEST_CASE("onnx: a view is a Reshape or a Slice, and a map is channels last for it") {
  ParameterStore<float> store;
  const Scope<float> scope(store);
  const auto types = [](const Module<float>& model, const Shape& shape) {
    return types_of(Message(to_onnx(model, shape)).message(7));
  };
  const Apply flat(scope / "flat", [](Variable<float> x) { return flatten(x); });
  CHECK(types(flat, {1, 6, 8}) == "Reshape Identity");
  CHECK(types(flat, {1, 2, 3, 8}) == "Transpose Reshape Identity");
  CHECK(types(flat, {1, 48}) == "Identity");
  const Message graph = Message(to_onnx(flat, {1, 6, 8})).message(7);
  CHECK(initializers_of(graph).count("integers_0_48") == 1);  // N stays open

  const Apply merged(scope / "merged", [](Variable<float> x) {
    return reshape(reshape(x, {x.shape()[0] * 6, 8}), {x.shape()[0], 2, 3, 8});
  });
  CHECK(types(merged, {1, 6, 8}) == "Reshape Reshape Transpose Identity");
  const auto constants = initializers_of(Message(to_onnx(merged, {1, 6, 8})).message(7));
  CHECK(constants.count("integers_-1_8") == 1);
  CHECK(constants.count("integers_-1_2_3_8") == 1);

  const Apply part(scope / "part", [](Variable<float> x) { return narrow(x, 1, 2, 3); });
  CHECK(types(part, {1, 6, 8}) == "Slice Identity");
  const auto ends = initializers_of(Message(to_onnx(part, {1, 6, 8})).message(7));
  for (const char* each : {"integers_2", "integers_5", "integers_1"}) CHECK(ends.count(each) == 1);
  const Apply columns(scope / "columns", [](Variable<float> x) {
    return x.tape().view(reshape_op<float>, 0, x, 3, {1, 3, 8});
  });
  CHECK_THROWS_WITH_AS(
      to_onnx(columns, {1, 6, 8}),
      "columns: reshape: cannot be exported to ONNX: expected a view of all elements, "
      "or of rows of (1, 6, 8), got one of (1, 3, 8) from element 3 on",
      Error);
}

// An op of two results.
constexpr Op<float> halves_op = {.name = "halves",
                                 .forward =
                                     [](Call<float>& call) {
                                       const std::int64_t size = call.output_shape().numel();
                                       for (std::int64_t i = 0; i < 2 * size; ++i)
                                         call.output(i < size ? 0 : 1)[i % size] = call.input(0)[i];
                                     },
                                 .backward = [](Call<float>&) {}};

TEST_CASE("onnx: a form names all results of its op") {
  ParameterStore<float> store;
  const Apply second(store, [](Variable<float> x) {
    const Shape half{x.shape()[0] / 2, x.shape()[1]}, results[] = {half, half};
    return x.tape().apply_many(halves_op, 0, std::span<const Variable<float>>(&x, 1), results)[1];
  });
  add_onnx_form(halves_op, [](auto& graph, const auto&) {
    const std::vector<std::string> halves = graph.nodes("Split", {graph.input(0)}, {}, 2);
    graph.output(halves[0]);
    graph.output(halves[1], 1);
  });
  const Message graph = Message(to_onnx(second, {2, 4})).message(7);
  CHECK(types_of(graph) == "Split Identity");
  CHECK(graph.messages(1)[1].texts.at(1) == std::vector<std::string>{"Split_2"});
  add_onnx_form(halves_op, [](auto& builder, const auto&) { builder.output(builder.input(0)); });
  CHECK(error_of([&] {
          to_onnx(second, {2, 4});
        }) == "halves: cannot be exported to ONNX: its form named no output 1");
  add_onnx_form(halves_op, [](auto& builder, const auto&) { builder.output("", 2); });
  CHECK(error_of([&] {
          to_onnx(second, {2, 4});
        }) == "halves: cannot be exported to ONNX: expected a result of 0 to 1, got 2");
}

TEST_CASE("onnx: parameters of two stores, and one that has the input's name") {
  ParameterStore<float> first_store, second_store;
  const Linear<float> first(Scope<float>(first_store) / "input", 2, 3);
  const Linear<float> second(Scope<float>(second_store) / "input", 3, 2);
  first_store.initialize(1);
  second_store.initialize(2);
  static const Linear<float>* layers[2];
  layers[0] = &first, layers[1] = &second;
  ParameterStore<float> store;
  const Apply both(store, [](Variable<float> x) { return (*layers[1])((*layers[0])(x)); });
  const auto tensors =
      initializers_of(Message(to_onnx(both, {1, 2}, {.input = "input.weight"})).message(7));
  CHECK(tensors.at("input.weight_2").shape == std::vector<std::uint64_t>{3, 2});
  CHECK(tensors.at("input.weight_3").shape == std::vector<std::uint64_t>{2, 3});
  CHECK(tensors.at("input.weight_3").at(1) == std::as_const(second_store).value(0)[1]);
}

TEST_CASE("onnx: a constant of the model is an initializer, integers are INT64") {
  ParameterStore<float> store;
  const Apply net(Scope<float>(store) / "net", [](Variable<float> x) {
    const std::int32_t rows[] = {2, 0};
    const float table[] = {1, 2, 3};
    Tape<float>& tape = x.tape();
    const auto picked = embedding(tape.integers({2}, rows), tape.input({3, 1}, table));
    return embedding(x, picked);
  });
  const Message graph = Message(to_onnx(net, {1, 4})).message(7);
  CHECK(types_of(graph) == "Gather Gather Identity");
  const auto tensors = initializers_of(graph);
  CHECK(tensors.size() == 2);
  CHECK(tensors.at("net/constant").shape == std::vector<std::uint64_t>{2});
  CHECK(tensors.at("net/constant").data == std::string("\2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16));
  CHECK(tensors.at("net/constant_2").shape == std::vector<std::uint64_t>{3, 1});
  CHECK(tensors.at("net/constant_2").at(1) == 2.0f);
}

TEST_CASE("onnx: what has no form fails with a reason") {
  ParameterStore<float> store;
  const Scope<float> scope(store);
  const auto error = [](const Module<float>& model, const Shape& shape) {
    return error_of([&] { to_onnx(model, shape); });
  };
  const Apply computed(scope / "computed", [](Variable<float> x) { return linear(x, x); });
  CHECK(error(computed, {1, 1}) ==
        "computed: linear: cannot be exported to ONNX: input 1: expected a parameter; computed "
        "weights have no form here");
  const Apply loss(scope / "loss", [](Variable<float> x) {
    return cross_entropy<float>(x, std::vector<std::int32_t>{0});
  });
  CHECK(error(loss, {1, 2}) ==
        "loss: cross_entropy: this op has no form in ONNX (exports::add_onnx_form gives it one)");
}

TEST_CASE("onnx: a result of any rank is as on the tape, but a map") {
  ParameterStore<float> store;
  const Apply same(store, [](Variable<float> x) { return relu(x); });
  const auto extents = [&](const Shape& shape) {
    const Message graph = Message(to_onnx(same, shape)).message(7);
    CHECK(graph.message(11).text(1) == "input");
    CHECK(graph.message(12).text(1) == "output");
    CHECK(extents_of(graph.message(11)) == extents_of(graph.message(12)));
    return extents_of(graph.message(12));
  };
  CHECK(extents({3}) == "batch");
  CHECK(extents({1, 5}) == "batch, 5");
  CHECK(extents({1, 5, 6}) == "batch, 5, 6");
  CHECK(extents({1, 5, 6, 7}) == "batch, 7, 5, 6");
  CHECK(extents({1, 5, 6, 7, 8}) == "batch, 5, 6, 7, 8");
}

TEST_CASE("onnx: a model that does nothing, and a file that is written whole") {
  ParameterStore<float> store;
  const Apply nothing(store, [](Variable<float> x) { return x; });
  CHECK(types_of(Message(to_onnx(nothing, {1, 4})).message(7)) == "Identity");
  const TemporaryFolder folder;
  write_onnx(folder / "nothing.onnx", nothing, {1, 4});
  CHECK(read_text_file(folder / "nothing.onnx") == to_onnx(nothing, {1, 4}));
}

}  // namespace
