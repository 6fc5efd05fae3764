// Generated headers are compiled as a user compiles them, alone and with warnings as errors, by the
// compiler of these tests, and their programs' logits compared with the engine's.
#include "anther/export/cpp_header.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <future>
#include <iterator>
#include <limits>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "anther/anther.hpp"
#include "anther/data/vision/transforms.hpp"
#include "tests/decimal_comma.hpp"
#include "tests/io/temporary_folder.hpp"
#include "tests/token_model.hpp"

namespace {

using namespace anther;
using namespace anther::detail;
using namespace anther::exports;
using namespace anther::io;
using namespace anther::kernels;
using namespace anther::vision;
using V = Variable<float>;

const SourceReader sources = sources_in("include");
constexpr std::array<float, 3> mean = {0.4f, 0.5f, 0.6f}, deviation = {0.2f, 0.3f, 0.25f};
const CppImageClassifier classifier{.mean = mean, .std = deviation};

// Weights, and norms and statistics away from 1 and 0.
void draw(ParameterStore<float>& store) {
  store.initialize(5);
  const auto shake = [](const ParameterInfo& info, std::span<float> values) {
    if (info.shape.rank() > 1) return;
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] += static_cast<float>(0.4 * uniform(RandomKey(6).fold(info.name), i) - 0.2);
  };
  const auto edit = store.edit();
  for (std::size_t i = 0; i < store.parameters().size(); ++i)
    shake(store.parameters()[i], edit.value(static_cast<int>(i)));
  for (std::size_t i = 0; i < store.buffers().size(); ++i)
    shake(store.buffers()[i], edit.buffer(static_cast<int>(i)));
}

void round_to_half(std::span<float> values) {
  for (float& value : values) value = to_float(to_float16(static_cast<double>(value)));
}

// Bytes of an image, the same as the programs make.
std::vector<unsigned char> image_bytes(std::int64_t size) {
  std::vector<unsigned char> bytes(static_cast<std::size_t>(size * size * 3));
  for (std::size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<unsigned char>(i * 7919 / 13 % 256);
  return bytes;
}

std::vector<float> engine_logits(const Module<float>& model, std::int64_t size, bool amp) {
  const LevelTable levels = level_table(mean, deviation);
  const std::vector<unsigned char> bytes = image_bytes(size);
  std::vector<float> image(bytes.size());
  for (std::size_t i = 0; i < bytes.size(); ++i) image[i] = levels[i % 3][bytes[i]];
  Inference<float> inference(model, {1, size, size, 3}, nullptr, amp);
  const std::span<const float> logits = inference(image);
  return {logits.begin(), logits.end()};
}

// A program that prints, for each of its headers, the logits of bytes, those of the same image as
// floats where they differ, and the class.
std::string program_of(const std::vector<std::string>& names) {
  std::string code = "#include <cstdio>\n";
  for (const std::string& name : names) code += text_of("#include \"", name, ".hpp\"\n");
  code += "int main() {\n";
  for (const std::string& name : names)
    code += text_of("  {\n    using namespace ", name, R"(;
    static Model model;
    static unsigned char bytes[image_height * image_width * 3];
    static float image[image_height * image_width * 3];
    for (unsigned i = 0; i < sizeof bytes; ++i) {
      bytes[i] = static_cast<unsigned char>(i * 7919ul / 13 % 256);
      const float mean[] = {0.4f, 0.5f, 0.6f}, deviation[] = {0.2f, 0.3f, 0.25f};
      image[i] = (static_cast<float>(bytes[i]) / 255.0f - mean[i % 3]) / deviation[i % 3];
    }
    static float first[classes];
    for (int i = 0; i < classes; ++i) first[i] = model.logits(bytes)[i];
    const float* y = model.run(image);
    for (int i = 0; i < classes; ++i)
      std::printf("%a\n", static_cast<double>(y[i] == first[i] ? y[i] : 1e30f));
    std::printf("%s\n", class_names[model.classify(bytes)]);
  }
)");
  return code + "}\n";
}

int run(const std::string& command) {
  return std::system(command.c_str());
}

std::string compile_command(const std::filesystem::path& source) {
  return text_of(ANTHER_TEST_COMPILER,
                 " -std=c++20 -O2 -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror ",
                 source.string(), " -o ", source.string(), ".out");
}

struct Included {
  std::string name;
  std::vector<float> logits;  // the engine's
  bool is_bf16;
};

class Programs {
 public:
  // Writes a model's header; the program number `program` includes it.
  void add(std::size_t program, const std::string& name, const Module<float>& model,
           std::int64_t size, Dtype dtype = Dtype::f32, const SourceReader& reader = sources) {
    programs_.resize(std::max(programs_.size(), program + 1));
    programs_[program].push_back(
        {name, engine_logits(model, size, dtype == Dtype::bf16), dtype == Dtype::bf16});
    write_cpp_header(folder_ / (name + ".hpp"), model, {1, size, size, 3},
                     {.name = name, .dtype = dtype, .sources = reader, .images = classifier});
  }

  void compile_and_compare() {
    std::vector<std::future<int>> compilers;
    for (std::size_t i = 0; i < programs_.size(); ++i) {
      std::vector<std::string> names;
      for (const Included& each : programs_[i]) names.push_back(each.name);
      std::ofstream(source(i)) << program_of(names);
      compilers.push_back(std::async(std::launch::async, run, compile_command(source(i))));
    }
    for (auto& compiler : compilers) REQUIRE(compiler.get() == 0);
    for (std::size_t i = 0; i < programs_.size(); ++i)
      for (const Isa candidate : every_isa)
        if (candidate <= best_isa()) compare(i, candidate);
    // On the matrix unit too, where there is one.
    for (std::size_t i = 0; i < programs_.size(); ++i) compare(i, best_isa(), "env -u ANTHER_ISA ");
  }

  std::filesystem::path operator/(const std::string& name) const { return folder_ / name; }

 private:
  std::filesystem::path source(std::size_t program) const {
    return folder_ / text_of("main", program, ".cpp");
  }

  void compare(std::size_t program, Isa with) {
    compare(program, with, text_of("ANTHER_ISA=", to_string(with), " "));
  }
  void compare(std::size_t program, Isa with, const std::string& environment) {
    const std::string out = (folder_ / "logits").string();
    REQUIRE(run(text_of(environment, source(program).string(), ".out > ", out)) == 0);
    std::ifstream lines(out);
    for (const Included& each : programs_[program]) {
      const std::vector<float>& expected = each.logits;
      CAPTURE(each.name);
      CAPTURE(to_string(with));
      float largest = 0;
      for (const float logit : expected) largest = std::max(largest, std::abs(logit));
      // Of the same instruction set, optimised by the same compiler, the bits are the same.
      // Products in bfloat16 magnify other roundings elsewhere.
      float allowed = (each.is_bf16 ? 1e-2f : 1e-4f) * largest;
#if defined(__OPTIMIZE__) && !defined(__FMA__)
      if (with == isa()) allowed = 0;
#endif
      std::string line;
      std::size_t best = 0;
      for (std::size_t i = 0; i < expected.size(); ++i) {
        REQUIRE(std::getline(lines, line));
        CHECK(std::abs(std::strtof(line.c_str(), nullptr) - expected[i]) <= allowed);
        if (expected[i] > expected[best]) best = i;
      }
      REQUIRE(std::getline(lines, line));
      CHECK(line == std::to_string(best));
    }
  }

  TemporaryFolder folder_;
  std::vector<std::vector<Included>> programs_;
};

// A model and the store of its weights.
struct Vit {
  explicit Vit(const EdgeViTOptions& options) : net(store, options) { draw(store); }
  ParameterStore<float> store;
  EdgeViT<float> net;
};

template <class T>
class Apply : public Module<T> {
 public:
  Apply(const Scope<T>& scope, std::function<Variable<T>(Variable<T>)> function)
      : Module<T>(scope, "Apply"), function_(std::move(function)) {}
  Variable<T> forward(Variable<T> x) const override { return function_(x); }

 private:
  std::function<Variable<T>(Variable<T>)> function_;
};

// An op of a user's, with a kernel of its own for each instruction set.
const char* const halve_header = R"(#pragma once
#include <anther/kernels/vec.hpp>
namespace user {
#include <anther/kernels/next_isa.inl>  // avx2
#include "halve.inl"
#include <anther/kernels/next_isa.inl>  // avx512
#include "halve.inl"
#include <anther/kernels/next_isa.inl>  // baseline
#include "halve.inl"
#include <anther/kernels/next_isa.inl>
inline void halve(float* y, const float* x, std::int64_t count) {
  ANTHER_SELECT(halve<float>)(y, x, count);
}
}  // namespace user
)";
const char* const halve_body = R"(
template <class T>
void halve(T* y, const T* x, std::int64_t count) {
  for (std::int64_t i = 0; i < count; i += Vec<T>::lanes)
    (Vec<T>::load_partial(x + i, count - i) * Vec<T>::broadcast(T(0.5)))
        .store_partial(y + i, count - i);
}
)";
std::string with_halve(const std::string& path) {
  if (path == "halve.hpp") return halve_header;
  if (path == "halve.inl") return halve_body;
  return sources(path);
}

constexpr Op<float> halve_op = {
    .name = "halve",
    .forward =
        [](Call<float>& call) {
          for (std::int64_t i = 0; i < call.output_shape().numel(); ++i)
            call.output()[i] = call.input(0)[i] / 2;
        },
    .backward = nullptr,
};
void add_halve_form() {
  add_cpp_form(halve_op, [](CodeBuilder& code, const Call<float>& call) {
    code.include("halve.hpp");
    code.call("user::halve", code.output(), code.input(0), call.output_shape().numel());
  });
}
constexpr Op<float> secret_op = {
    .name = "secret", .forward = halve_op.forward, .backward = nullptr};
V apply(const Op<float>& op, const V& x) {
  return x.tape().apply(op, 0, {x}, x.shape());
}

// Everything that EdgeViT has not.
struct Layers {
  Layers() : net(store) {
    net.add<Conv2d>(3, 8, Conv2dLayerOptions{.kernel_size = {3, 2}, .stride = {2, 1}, .padding = 1})
        .add<Apply>([](V x) { return relu(x); })
        .add<Conv2d>(8, 8, Conv2dLayerOptions{.kernel_size = 3, .padding = 1})
        .add<Apply>([](V x) { return gelu(x); })
        .add<Conv2d>(8, 6, Conv2dLayerOptions{.kernel_size = 3, .padding = {0, 1}, .groups = 2})
        .add<Apply>([](V x) { return group_norm(x, 3); })
        .add<Conv2d>(6, 6,
                     Conv2dLayerOptions{.kernel_size = 3, .stride = 2, .padding = 1, .groups = 6})
        .add<Apply>([](V x) { return gelu(x); })
        .add<Conv2d>(6, 5, Conv2dLayerOptions{.bias = false})
        .add<ConvTranspose2d>(
            5, 5,
            ConvTranspose2dLayerOptions{.kernel_size = 3, .stride = 2, .padding = 1, .groups = 5})
        .add<Apply>([](V x) { return gelu(x); })
        .add<ConvTranspose2d>(5, 5, ConvTranspose2dLayerOptions{.kernel_size = 3, .stride = 2})
        .add<MaxPool2d>(2, MaxPool2dOptions{.ceil_mode = true})
        .add<Upsample>(InterpolateOptions{.scale_factor = 1.3, .mode = InterpolateMode::bilinear})
        .add<AvgPool2d>(2, AvgPool2dOptions{.stride = 1, .padding = 1})
        .add<Apply>([](V x) { return group_norm(x, 5) + instance_norm(x); })
        .add<BatchNorm2d>(5)
        .add<Apply>([](V x) { return subsample(gelu(x) * 0.7 + layer_norm(x), 2); })
        .add<Apply>([](V x) { return apply(halve_op, x) + x; })
        .add<Linear>(5, 12)
        .add<Apply>([](V x) { return gelu(self_attention(x, 2)); })
        .add<Linear>(4, 8)
        .add<Apply>([](V x) { return gelu(layer_norm(x)); })
        .add<Linear>(8, 8)
        .add<Apply>([](V x) { return gelu(rms_norm(x)); })
        .add<Linear>(8, 8)
        .add<Apply>([](V x) { return gelu(x) + reshape(reshape(x, {-1}), x.shape()); })
        .add<Linear>(8, 4)
        .add<Apply>([](V x) { return global_average_pool(x); })
        .add<Apply>([](V x) { return gelu(x); });
    draw(store);
  }
  ParameterStore<float> store;
  Sequential<float> net;
};

TEST_CASE("C++ header: compiled alone, the engine's logits") {
  Programs programs;
  // GroupNorm, and InstanceNorm where the model offers the choice.
  EdgeViTOptions options = edgevit_options("xxs", 7, "improved");
  options.local_norm = edgevit::NormKind::in;
  const Vit improved(options);
  programs.add(0, "improved", improved.net, 32);
  add_halve_form();
  const Layers layers;
  programs.add(0, "layers", layers.net, 17, Dtype::f32, with_halve);

  // In half precision: the engine's logits are of weights that are rounded.
  Vit original(edgevit_options("xxs", 10, "original"));
  TemporaryFolder folder;
  std::string text[2];
  for (const bool rounded : {false, true}) {
    if (rounded) {
      const auto edit = original.store.edit();
      round_to_half(edit.values());
      round_to_half(edit.buffer_values());
    }
    const Shape image{1, 64, 64, 3};
    write_cpp_header(folder / "original.hpp", original.net, image,
                     {.name = "original",
                      .dtype = Dtype::f16,
                      .sources = sources,
                      .images = CppImageClassifier{}});
    text[rounded] = read_text_file(folder / "original.hpp");
  }
  const bool same = text[0] == text[1];  // not compared in CHECK, which would print them
  CHECK(same);
  programs.add(1, "original", original.net, 64, Dtype::f16);
  // Products in bfloat16, of float weights that are stored so; the maps between in bfloat16 too.
  programs.add(2, "improved_bf16", improved.net, 32, Dtype::bf16);
  programs.add(2, "layers_bf16", layers.net, 17, Dtype::bf16, with_halve);
  const auto size_of = [&](const char* name) { return file_size(programs / name); };
  CHECK(size_of("improved_bf16.hpp") < 0.65 * static_cast<double>(size_of("improved.hpp")));
  programs.compile_and_compare();

  // The program in the header's own comment.
  std::string example;
  std::ifstream header(programs / "improved.hpp");
  for (std::string line; std::getline(header, line) && line != "#pragma once";)
    if (line.starts_with("//   ")) example += line.substr(5) + '\n';
  std::ofstream(programs / "example.cpp") << example;
  CHECK(example.find("int main() {\n") != example.npos);
  // Beside the engine, before and after.
  std::ofstream(programs / "beside.cpp") << "#include \"anther/kernels/gemm.hpp\"\n"
                                         << example << "#include \"anther/kernels/gelu.hpp\"\n"
                                         << "#include \"anther/kernels/softmax.hpp\"\n";
  const std::string check_syntax =
      text_of(ANTHER_TEST_COMPILER, " -std=c++20 -Wall -Wextra -Werror -fsyntax-only -Iinclude ");
  CHECK(run(check_syntax + (programs / "beside.cpp").string()) == 0);
}

// A program that runs each of its headers on numbers that are made as below.
std::string number_program_of(const std::vector<std::string>& names) {
  std::string code = "#include <cstdio>\n";
  for (const std::string& name : names) code += text_of("#include \"", name, ".hpp\"\n");
  code += "int main() {\n";
  for (const std::string& name : names)
    code += text_of("  {\n    using namespace ", name, R"(;
    static Model model;
    static float input[input_size];
    for (int i = 0; i < input_size; ++i) input[i] = static_cast<float>(i * 37 % 101) / 50 - 1;
    const float* output = model.run(input);
    for (int i = 0; i < output_size; ++i) std::printf("%a\n", static_cast<double>(output[i]));
  }
)");
  return code + "}\n";
}

TEST_CASE("C++ header: a model of anything, from numbers to numbers") {
  const TemporaryFolder folder;
  std::vector<std::string> names;
  std::vector<float> expected;
  const auto add = [&](const std::string& name, const Module<float>& model, const Shape& shape) {
    names.push_back(name);
    write_cpp_header(folder / (name + ".hpp"), model, shape, {.name = name});
    Tensor<float> x(shape);
    for (std::int64_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i * 37 % 101) / 50 - 1;
    Inference<float> inference(model, shape);
    for (const float number : inference(x.span())) expected.push_back(number);
  };
  // One number from a vector; then three vectors at once, tokens, and a map as the result.
  ParameterStore<float> regression_store;
  Sequential<float> regression(regression_store);
  regression.add<Linear>(8, 16).add<Apply>([](V x) { return gelu(x); }).add<Linear>(16, 1);
  draw(regression_store);
  add("regression", regression, {1, 8});
  add("three", regression, {3, 8});
  ParameterStore<float> token_store;
  Sequential<float> tokens(token_store);
  tokens.add<LayerNorm>(4)
      .add<RMSNorm>(4)
      .add<Linear>(4, 24)
      .add<Apply>([](V x) { return self_attention(x, 2); })
      .add<Linear>(8, 8)
      .add<Apply>([](V x) { return matmul(narrow(x, 2, 0, 6), x); })
      .add<MultiheadAttention>(8, 2, MultiheadAttentionOptions{.is_causal = true})
      .add<GRU>(8, 5)
      .add<LSTM>(5, 8, RecurrentOptions{.num_layers = 2})
      .add<Apply>([](V x) {
        const V part = narrow(x, 1, 0, 4);
        return x +
               scaled_dot_product_attention(x, part, part, 2, {.attn_mask = narrow(x, 2, 0, 4)});
      });
  draw(token_store);
  add("tokens", tokens, {1, 6, 4});
  ParameterStore<float> map_store;
  Sequential<float> map(map_store);
  map.add<Conv2d>(2, 3, Conv2dLayerOptions{.kernel_size = 3})
      .add<GroupNorm>(1, 3)
      .add<Apply>([](V x) {
        return pad(x, {1, 1, 1, 1}, PadMode::constant, -std::numeric_limits<double>::infinity());
      })
      .add<MaxPool2d>(3, MaxPool2dOptions{.stride = 1});
  draw(map_store);
  add("map", map, {1, 7, 5, 2});
  // Views: rows of a result, in another shape.
  ParameterStore<float> view_store;
  Sequential<float> views(view_store);
  views.add<Linear>(8, 6)
      .add<Apply>([](V x) {
        return reshape(narrow(x, 0, 2, 3), {3, 2, 3});
      })
      .add<Linear>(3, 3)
      .add<Apply>([](V x) { return x + x * 0.5; });
  draw(view_store);
  add("views", views, {6, 8});
  ParameterStore<float> shape_store;
  Sequential<float> shapes(shape_store);
  shapes.add<Linear>(4, 6)
      .add<Apply>([](V x) {
        const auto parts = split(x, {1, 2, 3}, -1);
        return cat({parts[2], narrow(x, 2, 1, 4), parts[0]}, -1);
      })
      .add<Apply>([](V x) {
        return cat({narrow(softmax(x), 1, 1, 2), x}, 1);
      })
      .add<Apply>([](V x) { return softmax(x, 1) + log_softmax(x, 0) + log_softmax(x); });
  draw(shape_store);
  add("shapes", shapes, {2, 3, 4});
  // Parameters of two stores.
  static const Linear<float>* foreign;
  ParameterStore<float> foreign_store, shared_store;
  const Linear<float> elsewhere(foreign_store, 3, 4);
  draw(foreign_store);
  foreign = &elsewhere;
  Sequential<float> shared(shared_store);
  shared.add<Linear>(4, 3).add<Apply>([](V x) { return (*foreign)(x); });
  draw(shared_store);
  add("two_stores", shared, {1, 4});

  std::ofstream(folder / "numbers.cpp") << number_program_of(names);
  REQUIRE(run(compile_command(folder / "numbers.cpp")) == 0);
  const std::string program = (folder / "numbers.cpp.out").string();
  REQUIRE(run(program + " > " + (folder / "numbers").string()) == 0);
  std::ifstream lines(folder / "numbers");
  for (const float number : expected) {
    std::string line;
    REQUIRE(std::getline(lines, line));
    CHECK(std::strtof(line.c_str(), nullptr) == doctest::Approx(number).epsilon(1e-4));
  }

  // The program in the header's own comment reads the numbers, and prints the result.
  std::string example;
  std::ifstream header(folder / "regression.hpp");
  for (std::string line; std::getline(header, line) && line != "#pragma once";)
    if (line.starts_with("//   ")) example += line.substr(5) + '\n';
  std::ofstream(folder / "example.cpp") << example;
  REQUIRE(run(compile_command(folder / "example.cpp")) == 0);
  std::ofstream numbers(folder / "input");
  for (int i = 0; i < 8; ++i) numbers << static_cast<float>(i * 37 % 101) / 50 - 1 << '\n';
  numbers.close();
  REQUIRE(run(text_of((folder / "example.cpp.out").string(), " < ", (folder / "input").string(),
                      " > ", (folder / "output").string())) == 0);
  CHECK(std::stof(read_text_file(folder / "output")) == doctest::Approx(expected[0]).epsilon(1e-4));
}

TEST_CASE("C++ header: a model of token ids, to numbers and to integers") {
  const TemporaryFolder folder;
  ParameterStore<float> store, best_store;
  const token_test::TokenModel model(store);
  draw(store);
  Sequential<float> best(best_store);
  best.add<Embedding>(11, 5).add<Apply>([](V x) { return argmax(x); });
  draw(best_store);
  write_cpp_header(folder / "tokens.hpp", model, {2, 6}, {.name = "tokens", .sources = sources});
  write_cpp_header(folder / "best.hpp", best, {12}, {.name = "best", .sources = sources});

  const std::vector<std::int32_t> ids = token_test::token_ids(12);
  std::ofstream input(folder / "input");
  for (const std::int32_t id : ids) input << id << '\n';
  input.close();
  // The program in the header's own comment reads the ids, and prints the result.
  const auto printed_by = [&](const std::string& name) {
    std::string example;
    std::ifstream header(folder / (name + ".hpp"));
    for (std::string line; std::getline(header, line) && line != "#pragma once";)
      if (line.starts_with("//   ")) example += line.substr(5) + '\n';
    std::ofstream(folder / (name + ".cpp")) << example;
    REQUIRE(run(compile_command(folder / (name + ".cpp"))) == 0);
    REQUIRE(run(text_of((folder / (name + ".cpp.out")).string(), " < ", (folder / "input").string(),
                        " > ", (folder / "output").string())) == 0);
    std::istringstream text(read_text_file(folder / "output"));
    return std::vector<float>(std::istream_iterator<float>(text), {});
  };
  // Nine digits say which float it is.
  Inference<float> inference(model, {2, 6});
  const std::span<const float> expected = inference(ids);
  CHECK(printed_by("tokens") == std::vector<float>(expected.begin(), expected.end()));
  Tape<float> tape;
  tape.begin({.training = false});
  const std::span<const std::int32_t> greatest = best(tape.integers({12}, ids)).integers();
  CHECK(printed_by("best") == std::vector<float>(greatest.begin(), greatest.end()));
}

std::string refusal(const Module<float>& model, const CppHeaderOptions& options,
                    const Shape& input = {1, 32, 32, 3}) {
  return error_of([&] { to_cpp_header(model, input, options); });
}

TEST_CASE("C++ header: what cannot be written in C++ fails with a reason") {
  const Vit vit(edgevit_options("xxs", 2, "improved"));
  CHECK(refusal(vit.net, {.sources = sources, .images = classifier}, {2, 32, 32, 3}) ==
        "C++ header: expected one image (1, H, W, 3), got (2, 32, 32, 3)");
  CHECK(refusal(vit.net, {.sources = sources}, {0, 32, 32, 3}) ==
        "C++ header: expected an input of 1 to 2^31 - 1 elements, got the shape (0, 32, 32, 3)");
  CHECK(refusal(vit.net, {.dtype = Dtype::f64, .sources = sources}) ==
        "C++ header: expected weights in F32, F16 or BF16, got F64");
  CHECK(refusal(vit.net, {.name = "float", .sources = sources}) ==
        "C++ header: expected a name for a namespace, got float");
  CHECK(refusal(vit.net, {.sources = nullptr}) ==
        "C++ header: expected where the kernels' text is (sources)");
  CHECK(refusal(vit.net,
                {.sources = sources, .images = CppImageClassifier{.class_names = {"rose"}}}) ==
        "C++ header: expected the names of 2 classes, got 1");

  ParameterStore<float> store;
  Sequential<float> net(store);
  net.add<Linear>(3, 5).add<Apply>([](V x) { return apply(secret_op, x); });
  CHECK(refusal(net, {.sources = sources}) ==
        "0: linear: cannot be written in C++: parameters: they have no values yet; call "
        "initialize(seed), or load weights");
  store.initialize(1);
  CHECK(refusal(net, {.sources = sources}) ==
        "1: secret: this op has no form in C++ (exports::add_cpp_form gives it one)");

  ParameterStore<float> other_store;
  Sequential<float> map(other_store);
  map.add<Linear>(3, 5);
  other_store.initialize(1);
  CHECK(refusal(map, {.sources = sources, .images = classifier}) ==
        "C++ header: expected a model whose result is the logits of one image (1, classes), got "
        "(1, 32, "
        "32, 5)");

  ParameterStore<float> constant_store;
  Sequential<float> constant(constant_store);
  constant.add<Apply>([](V x) { return x.tape().input(Shape{1, 2}); });
  CHECK(refusal(constant, {.sources = sources}) ==
        "C++: expected a model whose result is computed from its input");
  Sequential<float> nothing(constant_store);
  nothing.add<Apply>([](V x) { return relu(x); });
  CHECK(refusal(nothing, {.sources = sources}) == "C++ header: expected a model with weights");

  // Too large for half precision.
  ParameterStore<float> large_store;
  Sequential<float> large(large_store);
  large.add<Linear>(3, 2).add<Apply>([](V x) { return global_average_pool(x); });
  large_store.edit().values()[0] = 1e6f;
  const std::string error = refusal(large, {.dtype = Dtype::f16, .sources = sources});
  CHECK(error.find("0: linear: cannot be written in C++: ") == 0);
  CHECK(error.find("1000000") != error.npos);
}

TEST_CASE("C++ header: queries, keys and values that stand apart") {
  ParameterStore<float> store;
  Sequential<float> net(store);
  net.add<Apply>([](V x) { return x + scaled_dot_product_attention(x, gelu(x), x * 0.5, 4); });
  const CppPass pass(net, {1, 6, 8}, Dtype::f32, sources);
  CHECK(pass.statements().find("attention_forward<float>(") != std::string::npos);
  CHECK(pass.statements().find("{1, 4, 6, 6, 2, 8, 8, 0x1.6a09e667f3bccp-1, 0, 0}, {});") !=
        std::string::npos);
}

TEST_CASE("C++ header: text that stands in a program") {
  CHECK(string_literal("a\"b\\c?\?/\n\xC3\xA9 1") ==
        "\"a\\042b\\134c\\077\\077/\\012\\303\\251 1\"");
  for (const char* good : {"flowers", "a", "model_2", "stdio"}) CHECK(is_namespace_name(good));
  for (const char* bad : {"", "2a", "a b", "_a", "a__b", "std", "anther", "class", "xor_eq",
                          "index", "rindex", "time", "\xC3"})
    CHECK_FALSE(is_namespace_name(bad));
  CHECK(code_list(std::int64_t{-3}, 0.1, "x") == "-3, 0x1.999999999999ap-4, x");
  constexpr double infinity = std::numeric_limits<double>::infinity();
  CHECK(code_list(infinity, -infinity, -0.0) == "__builtin_inf(), -__builtin_inf(), -0x0p+0");
  CHECK(code_of(std::nan("")) == "__builtin_nan(\"\")");
  CHECK(code_list(0.1f, -std::numeric_limits<float>::infinity(), std::nanf("")) ==
        "0x1.99999ap-4f, static_cast<float>(-__builtin_inf()), "
        "static_cast<float>(__builtin_nan(\"\"))");
  CHECK(code_of(SoftmaxDims{2, 3, 4, 5, 0.5}) == "{2, 3, 4, 5, 0x1p-1}");
  const DecimalComma comma;
  CHECK(code_list(1.5, -0.1f) == "0x1.8p+0, -0x1.99999ap-4f");
}

TEST_CASE("base85: every digit, and back") {
  int wrong = 0;
  for (std::uint64_t i = 0; i < 20000; ++i) {
    const auto bits = i == 0 ? 0xFFFFFFFFu : static_cast<std::uint32_t>(i * 0x9E3779B97F4A7C15ull);
    char text[6] = {};
    to_base85(text, bits);
    wrong += from_base85(text) != bits;
    for (const char digit : std::string_view(text, 5))
      wrong += digit <= ' ' || digit > 'y' || digit == '"' || digit == '?' || digit == '\\';
  }
  CHECK(wrong == 0);
}

TEST_CASE("C++ header: the licence that a generated header carries is the project's") {
  std::string license;
  std::ifstream lines("include/anther/export/generated/license.inl");
  for (std::string line; std::getline(lines, line);)
    license += line.substr(std::min<std::size_t>(line.size(), 3)) + '\n';
  CHECK(license == read_text_file("LICENSE"));
}

}  // namespace
