// EdgeViT against PyTorch: logits, loss, every parameter's gradient, running statistics, and the
// losses of ten Adam steps, from the files that tests/golden/generate.py wrote. In double all of
// them; in float, the presets. The larger models take their steps on the best instruction set only,
// unless ANTHER_LONG_TESTS is set: that is most of the time, and xxs has all of their ops.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "anther/anther.hpp"
#include "anther/models/edgevit/config.hpp"
#include "anther/train/weights.hpp"
#include "tests/golden/formula.hpp"

namespace {

using namespace anther;
using namespace anther::detail;
using namespace anther::io;
using namespace anther::kernels;

using nlohmann::json;

json read_golden(const std::string& name) {
  std::ifstream file("tests/golden/" + name + ".json");
  REQUIRE_MESSAGE(file.good(), "tests/golden/", name, ".json");
  return json::parse(file);
}

std::string text_of_hex(std::uint64_t value) {
  char text[32];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(value));
  return text;
}

template <class T>
void fill_by_formula(const ParameterInfo& info, std::span<T> values) {
  const auto [offset, scale] = golden::distribution(info);
  const std::uint64_t hash = golden::fnv1a64(info.name);
  for_each_torch_index(info, [&](std::int64_t torch_index, std::int64_t index) {
    const double value = offset + scale * golden::element(hash, torch_index);
    values[static_cast<std::size_t>(index)] = static_cast<T>(golden::rounded(value));
  });
}

template <class T>
void fill_by_formula(ParameterStore<T>& store) {
  const auto edit = store.edit();
  for (int i = 0; i < static_cast<int>(store.parameters().size()); ++i)
    fill_by_formula(store.parameters()[static_cast<std::size_t>(i)], edit.value(i));
  for (int i = 0; i < static_cast<int>(store.buffers().size()); ++i)
    fill_by_formula(store.buffers()[static_cast<std::size_t>(i)], edit.buffer(i));
}

// (N, 3, size, size) of the formula, channels last.
template <class T>
Tensor<T> images_by_formula(std::int64_t batch, std::int64_t size) {
  Tensor<T> images({batch, size, size, 3});
  const std::uint64_t hash = golden::fnv1a64("images");
  for (std::int64_t n = 0; n < batch; ++n)
    for (std::int64_t c = 0; c < 3; ++c)
      for (std::int64_t p = 0; p < size * size; ++p)
        images[(n * size * size + p) * 3 + c] =
            static_cast<T>(golden::rounded(golden::element(hash, (n * 3 + c) * size * size + p)));
  return images;
}

// The norm and the products with four fixed vectors that a file has of a tensor.
template <class T>
void check_digest(const json& expected, const ParameterInfo& info, std::span<const T> values,
                  double floor, double tolerance) {
  double norm = 0;
  std::array<double, 4> dots{};
  std::array<std::uint64_t, 4> hash{};
  for (std::size_t d = 0; d < 4; ++d)
    hash[d] = golden::fnv1a64(info.name + "#dot" + std::to_string(d));
  for_each_torch_index(info, [&](std::int64_t torch_index, std::int64_t index) {
    const auto value = static_cast<double>(values[static_cast<std::size_t>(index)]);
    norm += value * value;
    for (std::size_t d = 0; d < 4; ++d) dots[d] += value * golden::element(hash[d], torch_index);
  });
  const double scale = std::max(expected["norm"].get<double>(), floor) * tolerance;
  CHECK_MESSAGE(std::abs(std::sqrt(norm) - expected["norm"].get<double>()) <= scale, info.name,
                ": norm ", std::sqrt(norm), ", expected ", expected["norm"].get<double>());
  for (std::size_t d = 0; d < 4; ++d)
    CHECK_MESSAGE(std::abs(dots[d] - expected["dots"][d].get<double>()) <= scale, info.name,
                  ": dot ", d, " ", dots[d], ", expected ", expected["dots"][d].get<double>());
}

template <class T>
void check_logits(const Variable<T>& logits, const json& expected, double tolerance) {
  double largest = 0, worst = 0;
  const auto classes = static_cast<std::size_t>(logits.shape().back());
  for (std::size_t i = 0; i < logits.value().size(); ++i) {
    const double want = expected[i / classes][i % classes].get<double>();
    largest = std::max(largest, std::abs(want));
    worst = std::max(worst, std::abs(static_cast<double>(logits.value()[i]) - want));
  }
  CHECK_MESSAGE(worst <= tolerance * largest, "logits off by ", worst, " of ", largest);
}

// A pass in evaluation and one in training: the outputs, the loss and all gradients.
template <class T>
void check_passes(const Module<T>& model, const ParameterStore<T>& store, const json& file,
                  double tolerance, bool amp = false) {
  const Tensor<T> images =
      images_by_formula<T>(file["batch"].get<std::int64_t>(), file["img_size"].get<std::int64_t>());
  const auto labels = file["labels"].get<std::vector<std::int32_t>>();
  Tape<T> tape;

  tape.begin({.training = false, .backward = false, .amp = amp});
  check_logits(model(tape.input(images)), file["eval_logits"], tolerance);

  tape.begin({.amp = amp});
  const Variable<T> logits = model(tape.input(images));
  check_logits(logits, file["train_logits"], tolerance);
  const Variable<T> loss = cross_entropy<T>(logits, labels);
  CHECK(static_cast<double>(loss.item()) ==
        doctest::Approx(file["loss"].get<double>()).epsilon(tolerance));
  tape.backward(loss);
  double greatest = 0;
  for (const json& gradient : file["gradients"])
    greatest = std::max(greatest, gradient["norm"].get<double>());
  REQUIRE(file["gradients"].size() == store.parameters().size());
  for (std::size_t i = 0; i < store.parameters().size(); ++i) {
    const json& expected = file["gradients"][i];
    const ParameterInfo& info = store.parameters()[i];
    REQUIRE(expected["name"].get<std::string>() == info.name);
    check_digest<T>(expected, info, store.slice_of(tape.gradients(), static_cast<int>(i)),
                    1e-3 * greatest, tolerance);
  }
}

template <class T>
void check_case(const std::string& name, double tolerance, bool steps) {
  CAPTURE(name);
  const json file = read_golden(name);
  json options = file["options"];
  options["num_classes"] = 10;
  ParameterStore<T> store;
  const EdgeViT<T> model(store, edgevit_options_from_json(options));
  fill_by_formula(store);
  check_passes<T>(model, store, file, tolerance);
  store.commit_buffers();
  for (const json& expected : file.value("running_statistics", json::array())) {
    const auto found = std::find_if(store.buffers().begin(), store.buffers().end(),
                                    [&](const ParameterInfo& info) {
                                      return info.name == expected["name"].get<std::string>();
                                    });
    REQUIRE(found != store.buffers().end());
    check_digest<T>(expected, *found,
                    store.buffer(static_cast<int>(found - store.buffers().begin())), 0, tolerance);
  }

  const bool short_form =
      options["variant"] != "xxs" && isa() != best_isa() && !std::getenv("ANTHER_LONG_TESTS");
  if (!steps || short_form) return;
  const Tensor<T> images =
      images_by_formula<T>(file["batch"].get<std::int64_t>(), file["img_size"].get<std::int64_t>());
  const auto labels = file["labels"].get<std::vector<std::int32_t>>();
  Tape<T> tape;
  for (const json& expected : file["adam"]) {
    fill_by_formula(store);
    Adam<T> adam(store, {});
    for (const json& want : expected["losses"]) {
      tape.begin();
      const Variable<T> before = cross_entropy<T>(model(tape.input(images)), labels);
      CHECK(static_cast<double>(before.item()) ==
            doctest::Approx(want.get<double>()).epsilon(tolerance));
      tape.zero_gradients();
      tape.backward(before);
      adam.step(tape, expected["lr"].get<double>());
    }
  }
}

// SmallNet of generate.py.
struct SmallNet : Module<float> {
  explicit SmallNet(const Scope<float>& scope)
      : Module(scope, "SmallNet"),
        embed(scope / "embed", 3, 16, {.kernel_size = 4, .stride = 4}),
        expand(scope / "expand", 16, 40, {.kernel_size = 3, .padding = 1}),
        reduce(scope / "reduce", 40, 17),
        head(scope / "head", 17, 10) {}
  Variable<float> forward(Variable<float> x) const override {
    return head(global_average_pool(reduce(gelu(expand(embed(x))))));
  }
  Conv2d<float> embed, expand, reduce;
  Linear<float> head;
};

// MapsNet of generate.py.
struct MapsNet : Module<float> {
  explicit MapsNet(const Scope<float>& scope)
      : Module(scope, "MapsNet"),
        embed(scope / "embed", 3, 16, {.kernel_size = 4, .stride = 4}),
        fc1(scope / "fc1", 16, 40),
        fc2(scope / "fc2", 40, 17),
        head(scope / "head", 17, 10) {}
  Variable<float> forward(Variable<float> x) const override {
    return head(global_average_pool(fc2(gelu(fc1(embed(x))))));
  }
  Conv2d<float> embed;
  Linear<float> fc1, fc2, head;
};

// NormsNet of generate.py.
struct NormsNet : Module<float> {
  explicit NormsNet(const Scope<float>& scope)
      : Module(scope, "NormsNet"),
        embed(scope / "embed", 3, 16, {.kernel_size = 4, .stride = 4, .bias = false}),
        expand(scope / "expand", 16, 24, {.bias = false}),
        norm1(scope / "norm1", 24),
        dw1(scope / "dw1", 24, 24, {.kernel_size = 3, .stride = 2, .padding = 1, .groups = 24}),
        norm2(scope / "norm2", 4, 24),
        mix(scope / "mix", 24, 20),
        dw2(scope / "dw2", 20, 20, {.kernel_size = 5, .padding = 2, .groups = 20}),
        project(scope / "project", 20, 17),
        head(scope / "head", 17, 10) {}
  Variable<float> forward(Variable<float> x) const override {
    x = norm2(dw1(relu6(norm1(expand(embed(x))))));
    return head(global_average_pool(project(dw2(mix(x)))));
  }
  Conv2d<float> embed, expand;
  BatchNorm2d<float> norm1;
  Conv2d<float> dw1;
  GroupNorm<float> norm2;
  Conv2d<float> mix, dw2, project;
  Linear<float> head;
};

// StreamNet of generate.py.
struct StreamNet : Module<float> {
  explicit StreamNet(const Scope<float>& scope)
      : Module(scope, "StreamNet"),
        embed(scope / "embed", 3, 16, {.kernel_size = 16, .stride = 16}),
        norm0(scope / "norm0", 4, 16),
        pos(scope / "pos", 16, 16, {.kernel_size = 3, .padding = 1, .groups = 16}),
        norm1(scope / "norm1", 2, 16),
        qkv(scope / "qkv", 16, 48),
        proj(scope / "proj", 16, 16),
        norm2(scope / "norm2", 4, 16),
        mix(scope / "mix", 16, 16),
        norm3(scope / "norm3", 8, 16),
        head(scope / "head", 16, 10) {}
  Variable<float> forward(Variable<float> x) const override {
    x = norm0(embed(x));
    x = x + pos(x);
    x = x + proj(self_attention(qkv(norm1(x)), 2));
    x = x + mix(norm2(x));
    return head(global_average_pool(norm3(x)));
  }
  Conv2d<float> embed;
  GroupNorm<float> norm0;
  Conv2d<float> pos;
  GroupNorm<float> norm1;
  Conv2d<float> qkv, proj;
  GroupNorm<float> norm2;
  Conv2d<float> mix;
  GroupNorm<float> norm3;
  Linear<float> head;
};

}  // namespace

TEST_CASE("the formula of the golden files") {
  ParameterStore<float> store;
  const EdgeViT<float> model(store, edgevit_options("xxs", 10));
  fill_by_formula(store);
  int compared = 0;
  const json file = read_golden("formula");
  for (const json& expected : file["tensors"]) {
    const auto name = expected["name"].get<std::string>();
    CAPTURE(name);
    const std::uint64_t hash = golden::fnv1a64(name);
    CHECK(text_of_hex(hash) == expected["fnv1a64"].get<std::string>());
    CHECK(text_of_hex(golden::splitmix64(hash)) == expected["splitmix64"].get<std::string>());
    const auto found = std::find_if(store.parameters().begin(), store.parameters().end(),
                                    [&](const ParameterInfo& info) { return info.name == name; });
    if (found == store.parameters().end()) continue;
    const std::vector<float> values = to_torch_order<float>(
        *found, std::as_const(store).value(static_cast<int>(found - store.parameters().begin())));
    for (std::size_t i = 0; i < 4; ++i)
      CHECK(static_cast<double>(values[i]) == expected["first"][i].get<double>());
    CHECK(static_cast<double>(values.back()) == expected["last"].get<double>());
    ++compared;
  }
  CHECK(compared >= 3);
}

TEST_CASE("EdgeViT in double: presets") {
  for (const char* variant : {"xxs", "xs", "s"})
    for (const char* preset : {"improved", "original"})
      check_case<double>(text_of(variant, "_", preset), 1e-9, true);
}

TEST_CASE("EdgeViT in double: options") {
  for (const char* name : {"xxs_instance_norm", "xxs_literal", "xxs_swapped", "xxs_gn_groups_1",
                           "xxs_ffn_kernel_3", "xs_table"})
    check_case<double>(name, 1e-9, false);
}

TEST_CASE("EdgeViT in float: presets") {
  for (const char* variant : {"xxs", "xs", "s"})
    for (const char* preset : {"improved", "original"})
      check_case<float>(text_of(variant, "_", preset), 1e-4, true);
}

// PyTorch rounds the operands of the same products, of numbers that it has computed in double.
TEST_CASE("products in bfloat16") {
  ParameterStore<float> store;
  const SmallNet model(store);
  fill_by_formula(store);
  check_passes<float>(model, store, read_golden("small_bf16"), 1e-4, true);
}

// What is stored in bfloat16 is rounded besides.
TEST_CASE("maps in bfloat16") {
  ParameterStore<float> store;
  const MapsNet model(store);
  fill_by_formula(store);
  check_passes<float>(model, store, read_golden("maps_bf16"), 1e-4, true);
}
TEST_CASE("maps in bfloat16 that norms and depth-wise convolutions read and write") {
  ParameterStore<float> store;
  const NormsNet model(store);
  fill_by_formula(store);
  check_passes<float>(model, store, read_golden("norms_bf16"), 1e-4, true);
}
TEST_CASE("a stream of residuals in bfloat16, and attention") {
  ParameterStore<float> store;
  const StreamNet model(store);
  fill_by_formula(store);
  check_passes<float>(model, store, read_golden("stream_bf16"), 1e-4, true);
}
