// Weights under two naming schemes, in f16, with another head, and what a bad file leaves behind.
// Against PyTorch they are compared by tests/parity/compare_weights.py.
#include "anther/train/weights.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "anther/anther.hpp"
#include "anther/models/edgevit/config.hpp"
#include "anther/models/loaded_model.hpp"
#include "tests/io/temporary_folder.hpp"

namespace {

using namespace anther;
using namespace anther::io;

struct SavedModel {
  explicit SavedModel(const std::string& preset = "original", std::uint64_t seed = 1,
                      std::int64_t num_classes = 10)
      : net(store, edgevit_options("xxs", num_classes, preset)) {
    store.initialize(seed);
    const auto edit = store.edit();
    for (int i = 0; i < std::ssize(store.buffers()); ++i)
      for (float& value : edit.buffer(i)) value += static_cast<float>(seed);
  }
  bool operator==(const SavedModel& other) const {
    return std::ranges::equal(store.values(), other.store.values()) &&
           std::ranges::equal(store.buffer_values(), other.store.buffer_values());
  }
  std::span<const float> values() const { return store.values(); }

  ParameterStore<float> store;
  EdgeViT<float> net;
};

LoadWeightsOptions names_of(const SafetensorsFile& file, const ParameterStore<float>& store) {
  return {.names = names_in(registered_model("edgevit"), file, store)};
}
void load_named(const std::filesystem::path& path, ParameterStore<float>& store) {
  const SafetensorsFile file(path);
  load_weights(file, store, names_of(file, store));
}

TEST_CASE("names: the authors' for every tensor of EdgeViT, and each once") {
  const SavedModel model;
  const WeightNames names = official_edgevit_names(weight_names(model.store));
  const auto official = [&](const std::string& name) { return name_in(names, name); };
  CHECK(official("stages.0.0.conv.weight") == "patch_embed1.proj.weight");
  CHECK(official("stages.3.0.norm.bias") == "patch_embed4.norm.bias");
  CHECK(official("stages.0.1.pos.weight") == "blocks1.0.LocalAgg.pos_embed.weight");
  CHECK(official("stages.1.1.norm1.running_var") == "blocks2.0.LocalAgg.norm1.running_var");
  CHECK(official("stages.2.3.pw_in.weight") == "blocks3.1.LocalAgg.conv1.weight");
  CHECK(official("stages.2.3.dw.bias") == "blocks3.1.LocalAgg.attn.bias");
  CHECK(official("stages.2.5.pw_out.weight") == "blocks3.2.LocalAgg.conv2.weight");
  CHECK(official("stages.2.5.ffn.expand.weight") == "blocks3.2.LocalAgg.mlp.fc1.weight");
  CHECK(official("stages.2.6.attn.qkv.weight") == "blocks3.2.SelfAttn.attn.qkv.weight");
  CHECK(official("stages.2.6.attn.spread.weight") == "blocks3.2.SelfAttn.attn.LocalProp.weight");
  CHECK(official("stages.2.6.attn.norm.weight") == "blocks3.2.SelfAttn.attn.norm.weight");
  CHECK(official("stages.3.1.ffn.reduce.bias") == "blocks4.0.SelfAttn.mlp.fc2.bias");
  CHECK(official("stages.3.2.attn.proj.weight") == "blocks4.1.SelfAttn.attn.proj.weight");
  CHECK(official("norm.running_mean") == "norm.running_mean");
  CHECK(official("head.weight") == "head.weight");

  std::set<std::string> all;
  for (const auto* list : {&model.store.parameters(), &model.store.buffers()})
    for (const ParameterInfo& info : *list) {
      const std::string name = official(info.name);
      CHECK_MESSAGE(!name.starts_with("stages"), name);
      CHECK_MESSAGE(all.insert(name).second, name);
    }
  CHECK(all.size() == 218 + 22);  // 11 BatchNorms
}

TEST_CASE("names: what is no layer of a stage keeps its own") {
  ParameterStore<float> store;
  for (const char* name : {"stages.weight", "stages.0.weight", "stages.x.0.weight", "stages.1.",
                           "stages", "other.0.1.pos.weight"})
    store.add_parameter(name, {.shape = {1}});
  CHECK(official_edgevit_names(weight_names(store)).empty());
}

TEST_CASE("names: a file of the authors' names is recognised, both ways") {
  const TemporaryFolder folder;
  const auto path = folder / "official.safetensors";
  for (const char* preset : {"original", "improved"}) {
    const SavedModel a(preset, 1);
    save_weights<float>(path, a.store, a.values(), {},
                        {.batches = 7, .names = official_edgevit_names(weight_names(a.store))});
    const SafetensorsFile file(path);
    CHECK(file.find("patch_embed1.proj.weight"));
    CHECK_FALSE(file.find("stages.0.0.conv.weight"));
    if (std::string(preset) == "original")
      CHECK(file.read<std::int64_t>("blocks1.0.LocalAgg.norm1.num_batches_tracked")[0] == 7);
    SavedModel b(preset, 2);
    CHECK_FALSE(a == b);
    CHECK(load_weights(file, b.store, names_of(file, b.store)).empty());
    CHECK(a == b);
  }
}

TEST_CASE("names: differences are listed in the file's names") {
  const TemporaryFolder folder;
  const auto path = folder / "official.safetensors";
  const SavedModel a("original", 1, 10);
  save_weights<float>(path, a.store, a.values(), {},
                      {.names = official_edgevit_names(weight_names(a.store))});
  SavedModel improved("improved"), more("original", 1, 12);
  const std::string message = error_of([&] { load_named(path, improved.store); });
  CHECK(contains(message, "(33 differences)"));
  CHECK(contains(message, "\n  not of this model: blocks3.2.LocalAgg.norm1.running_mean"));
  CHECK(contains(error_of([&] { load_named(path, more.store); }),
                 "(2 differences):\n  head.weight: expected the shape (12, 288), got (10, 288)"));
}

TEST_CASE("weights: a head for other classes keeps its start where that is asked for") {
  const TemporaryFolder folder;
  const auto path = folder / "a.safetensors";
  const SavedModel a("improved", 1, 10);
  save_weights<float>(path, a.store, a.values(), {});
  const SavedModel fresh("improved", 2, 12);
  SavedModel b("improved", 2, 12);
  const LoadWeightsOptions options{.replaced = {"head"}};
  CHECK(load_weights(SafetensorsFile(path), b.store, options) ==
        std::vector<std::string>{"head.weight", "head.bias"});
  const int last = static_cast<int>(b.store.parameters().size()) - 1;
  for (int i = 0; i <= last; ++i) {
    const SavedModel& expected = i < last - 1 ? a : fresh;
    CHECK(std::ranges::equal(std::as_const(b.store).value(i), expected.store.value(i)));
  }
  // A head that fits is taken.
  SavedModel same("improved", 2, 10);
  CHECK(load_weights(SafetensorsFile(path), same.store, options).empty());
  CHECK(same == a);
}

TEST_CASE("weights: a head that is replaced keeps its buffers too") {
  const TemporaryFolder folder;
  const auto path = folder / "a.safetensors";
  const auto build = [](ParameterStore<float>& store, std::int64_t classes) {
    store.add_parameter("body.weight", {.shape = {4}});
    store.add_buffer("body.mean", {.shape = {4}});
    if (classes == 0) return;
    store.add_parameter("head.weight", {.shape = {classes}});
    store.add_buffer("head.mean", {.shape = {classes}});
  };
  for (const std::int64_t in_file : {0, 3, 5})  // of the head; 0: there is none
    for (const bool always : {false, true}) {
      CAPTURE(in_file);
      ParameterStore<float> a, b;
      build(a, in_file);
      build(b, 3);
      {
        const auto edit = a.edit();
        for (int i = 0; i < std::ssize(a.buffers()); ++i) std::ranges::fill(edit.buffer(i), 5.0f);
      }
      save_weights<float>(path, a, std::as_const(a).values(), {});
      const bool is_new = in_file != 3 || always;
      CHECK(load_weights(SafetensorsFile(path), b,
                         {.replaced = {"head"}, .replace_always = always}) ==
            (is_new ? std::vector<std::string>{"head.weight", "head.mean"}
                    : std::vector<std::string>{}));
      CHECK(std::as_const(b).buffer(0)[0] == 5);
      CHECK(std::as_const(b).buffer(1)[0] == (is_new ? 0 : 5));
    }
}

TEST_CASE("weights: a fully connected layer and a 1x1 convolution are one") {
  const TemporaryFolder folder;
  const auto path = folder / "a.safetensors";
  ParameterStore<float> linear, conv, wide;
  linear.add_parameter("fc.weight", {.shape = {4, 3}, .init = Init::normal(1)});
  const auto add_conv = [](ParameterStore<float>& store, std::int64_t kernel) {
    store.add_parameter(
        "fc.weight",
        {.shape = {4, kernel, kernel, 3}, .torch_axes = {0, 3, 1, 2}, .torch_order = false});
  };
  add_conv(conv, 1);
  add_conv(wide, 3);
  linear.initialize(1);
  save_weights<float>(path, linear, std::as_const(linear).values(), {});
  load_weights(SafetensorsFile(path), conv);
  CHECK(std::ranges::equal(linear.value(0), conv.value(0)));
  save_weights<float>(path, conv, std::as_const(conv).values(), {});
  CHECK(SafetensorsFile(path).entry("fc.weight").shape == Shape{4, 3, 1, 1});
  linear.initialize(2);
  load_weights(SafetensorsFile(path), linear);
  CHECK(std::ranges::equal(linear.value(0), conv.value(0)));
  CHECK(contains(error_of([&] { load_weights(SafetensorsFile(path), wide); }),
                 "fc.weight: expected the shape (4, 3, 3, 3), got (4, 3, 1, 1)"));
}

TEST_CASE("weights: f16 on request, rounded to nearest; counts stay whole numbers") {
  const TemporaryFolder folder;
  const auto path = folder / "half.safetensors";
  SavedModel a("original", 1);
  save_weights<float>(path, a.store, a.values(), {}, {.batches = 5000, .dtype = Dtype::f16});
  const SafetensorsFile file(path);
  CHECK(file.entry("head.weight").dtype == Dtype::f16);
  CHECK(file.entry("norm.running_var").dtype == Dtype::f16);
  CHECK(file.read<std::int64_t>("norm.num_batches_tracked")[0] == 5000);
  SavedModel b("original", 2);
  load_weights(file, b.store);
  bool rounded = true;
  for (std::size_t i = 0; i < a.values().size(); ++i)
    rounded &= b.values()[i] == to_float(to_float16(static_cast<double>(a.values()[i])));
  CHECK(rounded);

  a.store.edit().value(0)[0] = 70000;
  CHECK(contains(
      error_of([&] { save_weights<float>(path, a.store, a.values(), {}, {.dtype = Dtype::f16}); }),
      "stages.0.0.conv.weight"));
}

TEST_CASE("weights: f64, f32, f16 and bf16 are read; a number too large changes nothing") {
  const TemporaryFolder folder;
  const auto path = folder / "a.safetensors";
  ParameterStore<float> store;
  store.add_parameter("a", {.shape = {3}, .init = Init::constant(9)});
  store.add_parameter("b", {.shape = {2}, .init = Init::constant(9)});
  store.add_buffer("running_mean", {.shape = {2}, .init = Init::constant(9)});
  const std::vector<double> a{1.5, -0.25, 3}, b{0.5, 2}, mean{1, 2};
  const auto write = [&](Dtype dtype, const std::vector<double>& last) {
    const auto tensor = [&](const char* name, const std::vector<double>& values) {
      return SafetensorsTensor{.name = name,
                               .shape = {std::ssize(values)},
                               .values = std::span<const double>(values),
                               .dtype = dtype};
    };
    const SafetensorsTensor tensors[] = {tensor("a", a), tensor("b", b),
                                         tensor("running_mean", last)};
    write_safetensors(path, tensors);
  };
  for (const Dtype dtype : {Dtype::f64, Dtype::f32, Dtype::f16, Dtype::bf16}) {
    store.initialize(1);
    write(dtype, mean);
    load_weights(SafetensorsFile(path), store);
    CHECK(std::ranges::equal(store.value(0), a));
    CHECK(std::ranges::equal(store.value(1), b));
    CHECK(std::ranges::equal(store.buffer(0), mean));
  }
  store.initialize(1);
  write(Dtype::f64, {1, 1e300});
  CHECK(contains(error_of([&] { load_weights(SafetensorsFile(path), store); }), "running_mean"));
  for (int i = 0; i < 2; ++i)
    CHECK(std::ranges::all_of(store.value(i), [](float value) { return value == 9; }));
  CHECK(std::ranges::all_of(store.buffer(0), [](float value) { return value == 9; }));
}

}  // namespace
