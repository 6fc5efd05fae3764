#include "anther/train/fine_tune.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "anther/core/openmp.hpp"
#include "anther/models/edgevit/edgevit.hpp"
#include "anther/optim/adam.hpp"
#include "anther/optim/model_ema.hpp"
#include "anther/optim/sgd.hpp"
#include "anther/train/objectives.hpp"
#include "anther/train/trainer.hpp"
#include "anther/train/weights.hpp"
#include "tests/io/temporary_folder.hpp"

namespace {

using namespace anther;
using namespace anther::detail;
using namespace anther::io;
using namespace anther::kernels;

struct TunedModel {
  TunedModel(std::int64_t classes, std::uint64_t seed,
             edgevit::NormKind local = edgevit::NormKind::bn)
      : model(store, options(classes, local)) {
    store.initialize(seed);
  }
  static EdgeViTOptions options(std::int64_t classes, edgevit::NormKind local) {
    EdgeViTOptions o = edgevit_options("xxs", classes);
    o.dims = {12, 24, 36, 48};
    o.depths = {1, 1, 2, 1};
    o.heads = {1, 2, 3, 4};
    o.local_norm = local;
    return o;
  }
  std::span<const float> value(const std::string& name) const {
    for (int i = 0; i < std::ssize(store.parameters()); ++i)
      if (store.parameters()[static_cast<std::size_t>(i)].name == name) return store.value(i);
    fail("none of the name ", name);
  }
  ParameterStore<float> store;
  EdgeViT<float> model;
};

// Samples of the classes 0, 1, 2, ...
data::Batch images(std::int64_t count) {
  data::Batch batch;
  batch.inputs = Tensor<float>({count, 64, 64, 3});
  for (std::int64_t i = 0; i < batch.inputs.size(); ++i)
    batch.inputs[i] = static_cast<float>(uniform(RandomKey(6), static_cast<std::uint64_t>(i)));
  for (std::int64_t i = 0; i < count; ++i) {
    batch.labels.push_back(static_cast<std::int32_t>(i));
    batch.indices.push_back(i);
  }
  return batch;
}

TEST_CASE("fine-tuning: weights of another number of classes, with a new head") {
  const TemporaryFolder folder;
  const auto path = folder / "a.safetensors";
  TunedModel a(7, 1);
  save_weights<float>(path, a.store, a.store.values(), {});
  const auto body_is_equal = [&](const TunedModel& b) {
    for (const ParameterInfo& info : b.store.parameters())
      if (!info.name.starts_with("head.") &&
          !std::ranges::equal(a.value(info.name), b.value(info.name)))
        return false;
    return std::ranges::equal(std::as_const(a.store).buffer_values(), b.store.buffer_values());
  };
  const std::vector<std::string> head = {"head.weight", "head.bias"};
  const LoadWeightsOptions another_head{.replaced = {"head"}};

  TunedModel same(7, 2);
  CHECK(load_weights(SafetensorsFile(path), same.store, another_head).empty());
  CHECK(body_is_equal(same));
  CHECK(std::ranges::equal(a.value("head.weight"), same.value("head.weight")));

  TunedModel other(5, 2), fresh(5, 2);
  CHECK(load_weights(SafetensorsFile(path), other.store, another_head) == head);
  CHECK(body_is_equal(other));
  CHECK(std::ranges::equal(other.value("head.weight"), fresh.value("head.weight")));

  // As many classes, but others: the caller says so.
  TunedModel renamed(7, 2), start(7, 2);
  CHECK(load_weights(SafetensorsFile(path), renamed.store,
                     {.replaced = {"head"}, .replace_always = true}) == head);
  CHECK(body_is_equal(renamed));
  CHECK(std::ranges::equal(renamed.value("head.weight"), start.value("head.weight")));
}

TEST_CASE("fine-tuning: a file without a head, or of another model") {
  const TemporaryFolder folder;
  const auto path = folder / "a.safetensors";
  TunedModel a(7, 1);
  TorchTensors<float> tensors;
  const auto add = [&](const std::string& as, const std::string& name) {
    for (int i = 0; i < std::ssize(a.store.parameters()); ++i) {
      const ParameterInfo& info = a.store.parameters()[static_cast<std::size_t>(i)];
      if (info.name == name) tensors.add(as, info, std::as_const(a.store).value(i));
    }
  };
  for (const ParameterInfo& info : a.store.parameters())
    if (!info.name.starts_with("head.")) add(info.name, info.name);
  for (int i = 0; i < std::ssize(a.store.buffers()); ++i)
    tensors.add(a.store.buffers()[static_cast<std::size_t>(i)].name,
                a.store.buffers()[static_cast<std::size_t>(i)], std::as_const(a.store).buffer(i));
  write_safetensors(path, tensors.tensors(), {});
  TunedModel b(7, 2);
  CHECK(load_weights(SafetensorsFile(path), b.store, {.replaced = {"head"}}) ==
        std::vector<std::string>{"head.weight", "head.bias"});

  // Anything but the head has to fit, and nothing changes where it does not.
  save_weights<float>(path, a.store, a.store.values(), {});
  ParameterStore<float> other;
  other.add_parameter("stages.0.0.conv.weight", {.shape = {12, 3, 4, 4}});
  other.add_parameter("stages.0.0.conv.bias", {.shape = {13}});
  other.add_parameter("neck.weight", {.shape = {2}});
  other.add_parameter("head.weight", {.shape = {7, 48}});
  const std::string message =
      error_of([&] { load_weights(SafetensorsFile(path), other, {.replaced = {"head"}}); });
  for (const char* part : {"the weights are of another model (", "\n  missing: neck.weight (2)",
                           "\n  stages.0.0.conv.bias: expected the shape (13), got (12)",
                           "\n  not of this model: norm.weight"})
    CHECK_MESSAGE(contains(message, part), message);
  CHECK(std::ranges::count(std::as_const(other).values(), 0.0f) == other.size());
}

TEST_CASE("fine-tuning: what is frozen") {
  const auto frozen_names = [](const char* what) {
    TunedModel m(7, 1);
    const std::int64_t count = freeze(m.store, what);
    std::int64_t expected = 0;
    std::vector<std::string> names;
    for (const ParameterInfo& info : m.store.parameters())
      if (!info.trainable) {
        names.push_back(info.name);
        expected += info.size;
      }
    CHECK(count == expected);
    return names;
  };
  const auto all_start_with = [](const std::vector<std::string>& names, const char* a,
                                 const char* b) {
    return std::ranges::all_of(
        names, [&](const std::string& n) { return n.starts_with(a) || n.starts_with(b); });
  };
  CHECK(frozen_names("stages.0") == frozen_names("1"));
  CHECK(all_start_with(frozen_names("2"), "stages.0.", "stages.1."));
  CHECK(frozen_names("2") == frozen_names("stages.0,stages.1"));
  CHECK(frozen_names("0").empty());
  CHECK(frozen_names("stages.2.1,head").size() == frozen_names("stages.2.1").size() + 2);
  CHECK(frozen_names("head.bias") == std::vector<std::string>{"head.bias"});
  CHECK(all_start_with(frozen_names("stages.2.1"), "stages.2.1.", "stages.2.1."));
  for (const char* wrong : {"stage.0", "stages.0,", "stages.00", "hea", "7", "-1", "stages.0,x"}) {
    CAPTURE(wrong);
    CHECK(contains(error_of([&] { frozen_names(wrong); }), "freeze: expected modules"));
  }
  CHECK(all_start_with(frozen_names("body"), "stages.", "norm."));
  CHECK(frozen_names("body") == frozen_names("stages.0,stages.1,stages.2,stages.3,norm"));
  CHECK(contains(error_of([&] { frozen_names("4,norm,head"); }), "freeze: expected modules"));
  CHECK(contains(error_of([&] { frozen_names("stages,norm,head"); }), "nothing is left to train"));
}

TEST_CASE("fine-tuning: a model without a head has no body") {
  ParameterStore<float> store;
  store.add_parameter("layer.weight", {.shape = {2, 2}});
  CHECK(contains(error_of([&] { freeze(store, "body"); }),
                 "freeze: expected a model that has a head"));
}

TEST_CASE("fine-tuning: with frozen statistics all else learns, in micro-batches too") {
  const auto steps = [](std::int64_t micro_batch, bool head_alone) {
    auto m = std::make_unique<TunedModel>(7, 1);
    for (const auto edit = m->store.edit(); float& x : edit.buffer_values()) x += 0.25f;
    const std::vector<float> weights(m->store.values().begin(), m->store.values().end());
    const std::vector<float> buffers(m->store.buffer_values().begin(),
                                     m->store.buffer_values().end());
    CHECK(m->store.couples_samples());
    if (head_alone)
      freeze(m->store, "body");
    else
      freeze_statistics(m->store);
    CHECK_FALSE(m->store.couples_samples());
    SGD<float> sgd(m->store);
    Trainer<float> trainer(m->model, cross_entropy_objective(), {.micro_batch = micro_batch});
    const data::Batch batch = images(4);
    for (std::int64_t step = 0; step < 2; ++step) {
      trainer.compute_gradients(batch, step);
      sgd.step(trainer.gradients(), 1e-2);
      trainer.commit();
    }
    CHECK(std::ranges::equal(buffers, m->store.buffer_values()));
    for (int i = 0; i < std::ssize(m->store.parameters()); ++i) {
      const ParameterInfo& info = m->store.parameters()[static_cast<std::size_t>(i)];
      CAPTURE(info.name);
      CHECK(std::ranges::equal(m->store.slice_of(std::span<const float>(weights), i),
                               m->store.value(i)) == (head_alone && !is_within(info.name, "head")));
    }
    return m;
  };
  for (const bool head_alone : {false, true}) {
    const auto whole = steps(4, head_alone), cut = steps(1, head_alone);
    for (std::int64_t i = 0; i < whole->store.size(); ++i)
      CHECK(cut->store.values()[static_cast<std::size_t>(i)] ==
            doctest::Approx(whole->store.values()[static_cast<std::size_t>(i)]).epsilon(1e-4));
  }
}

TEST_CASE("fine-tuning: frozen layers keep all their bits, BatchNorm's statistics too") {
  TunedModel m(7, 1);
  // Not the start, which would hide a step back to it.
  for (const auto edit = m.store.edit(); float& x : edit.buffer_values()) x += 0.25f;
  freeze(m.store, "stages.0,stages.2.2");
  const std::vector<float> weights(m.store.values().begin(), m.store.values().end());
  const std::vector<float> buffers(m.store.buffer_values().begin(), m.store.buffer_values().end());
  const auto frozen = [](const std::string& name) {
    return is_within(name, "stages.0") || is_within(name, "stages.2.2");
  };

  Adam<float> adam(m.store);
  ModelEma<float> ema(m.store, 0.5);
  Trainer<float> trainer(m.model, cross_entropy_objective());
  const data::Batch batch = images(4);
  for (std::int64_t step = 0; step < 3; ++step) {
    trainer.compute_gradients(batch, step);
    adam.step(trainer.gradients(), 1e-2);
    trainer.commit();
    ema.update(step + 1);
  }

  int kept = 0;
  const auto check_kept = [&](const ParameterInfo& info, std::span<const float> before,
                              std::span<const float> now, std::span<const float> average) {
    CAPTURE(info.name);
    CHECK(std::ranges::equal(before, now) == frozen(info.name));
    if (frozen(info.name)) CHECK(std::ranges::equal(before, average));
    kept += frozen(info.name);
  };
  for (int i = 0; i < std::ssize(m.store.parameters()); ++i)
    check_kept(m.store.parameters()[static_cast<std::size_t>(i)],
               m.store.slice_of(std::span<const float>(weights), i),
               m.store.slice_of(std::as_const(m.store).values(), i),
               m.store.slice_of(std::as_const(ema).values(), i));
  const int parameters = std::exchange(kept, 0);
  CHECK(parameters > 20);
  for (int i = 0; i < std::ssize(m.store.buffers()); ++i)
    check_kept(m.store.buffers()[static_cast<std::size_t>(i)],
               m.store.buffer_slice_of(std::span<const float>(buffers), i),
               std::as_const(m.store).buffer(i),
               m.store.buffer_slice_of(std::as_const(ema).buffer_values(), i));
  CHECK(kept > 0);
}

TEST_CASE("fine-tuning: a frozen BatchNorm is the same in training as in evaluation") {
  ParameterStore<float> store;
  const BatchNorm2d<float> norm(store, 3);
  store.initialize(1);
  for (const auto edit = store.edit(); float& x : edit.buffer_values()) x = 0.7f;
  Tensor<float> x({4, 3});
  for (std::int64_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i * i);
  const auto output = [&](bool training) {
    Tape<float> tape;
    tape.begin({.training = training});
    const Variable<float> y = norm(tape.input(x));
    return std::vector<float>(y.value().begin(), y.value().end());
  };
  CHECK(output(true) != output(false));
  store.set_trainable(norm.weight.number, false);
  CHECK(output(true) != output(false));  // there is something to train yet
  store.set_trainable(norm.bias.number, false);
  CHECK(output(true) == output(false));
}

TEST_CASE("fine-tuning: layer-wise decay of the rate") {
  const TunedModel m(7, 1);
  const std::vector<double> scales = layer_decay_scales(m.store, 0.5);
  std::map<std::string, double> found;
  for (std::size_t i = 0; i < scales.size(); ++i) found[m.store.parameters()[i].name] = scales[i];
  // Layers: each stage's embedding and its blocks (LocalAgg and GlobalBlock), then the head.
  const std::vector<std::pair<const char*, int>> expected = {{"head.weight", 0},
                                                             {"head.bias", 0},
                                                             {"norm.weight", 1},
                                                             {"stages.3.1.ffn.expand.weight", 1},
                                                             {"stages.3.0.conv.bias", 2},
                                                             {"stages.2.4.attn.qkv.weight", 3},
                                                             {"stages.2.0.norm.weight", 7},
                                                             {"stages.0.0.conv.weight", 13}};
  for (const auto& layer : expected) {
    CAPTURE(layer.first);
    REQUIRE(found.contains(layer.first));
    CHECK(found[layer.first] == std::pow(0.5, layer.second));
  }
  for (const double scale : layer_decay_scales(m.store, 1)) CHECK(scale == 1);
  CHECK(contains(error_of([&] { layer_decay_scales(m.store, 0); }), "layer decay: expected"));
}

// A body of two stages, one of which calls others, between a stem and a head of two modules.
struct Tree : Module<float> {
  explicit Tree(const Scope<float>& scope)
      : Module(scope, "Tree"),
        stem(scope / "stem", 4, 4),
        first(scope / "first", ModuleTraits{.stage = true}),
        second(scope / "second", 4, 4, {.traits = {.stage = true}}),
        neck(scope / "neck", 2, 4),
        classes(scope / "classes", 4, 3, {.traits = {.head = true}}) {
    first.add<Linear>(4, 4).add<Linear>(4, 4);
  }
  Variable<float> forward(Variable<float> x) const override {
    return classes(neck(second(first(stem(x)))));
  }
  Linear<float> stem;
  Sequential<float> first;
  Linear<float> second;
  GroupNorm<float> neck;
  Linear<float> classes;
};

TEST_CASE("fine-tuning: stages, layers and heads are what the modules say, whatever their names") {
  using Names = std::vector<std::string>;
  ParameterStore<float> store;
  const Tree tree(store);
  CHECK(stage_modules(store) == Names{"first", "second"});
  CHECK(head_modules(store) == Names{"classes"});
  CHECK(child_modules(store, "") == Names{"stem", "first", "second", "neck", "classes"});
  CHECK(child_modules(store, "first") == Names{"first.0", "first.1"});
  std::vector<std::string> layers;
  for (const ParameterInfo& info : store.parameters()) layers.push_back(info.module);
  const std::vector<double> scales = layer_decay_scales(store, 0.5);
  REQUIRE(scales.size() == layers.size());
  std::map<std::string, double> of_layer;
  for (std::size_t i = 0; i < scales.size(); ++i) of_layer[layers[i]] = std::log2(1 / scales[i]);
  // neck belongs to the layer before it.
  CHECK(
      of_layer ==
      std::map<std::string, double>{
          {"stem", 4}, {"first.0", 3}, {"first.1", 2}, {"second", 1}, {"neck", 1}, {"classes", 0}});
  CHECK(freeze(store, "1") == 3 * (16 + 4));  // with the stem
  CHECK(contains(error_of([&] { freeze(store, "3"); }), "of which the model has 2, got 3"));
  CHECK(contains(error_of([&] { freeze(store, "third"); }),
                 "of the model (stem, first, second, neck, classes, or within these), got third"));
}

TEST_CASE("fine-tuning: a head of any name is a new one for other classes") {
  const TemporaryFolder folder;
  const auto path = folder / "a.safetensors";
  ParameterStore<float> a, b;
  const Tree one(a), other(b);
  a.initialize(1);
  b.initialize(2);
  save_weights<float>(path, a, std::as_const(a).values(), {});
  CHECK(load_weights(SafetensorsFile(path), b,
                     {.replaced = head_modules(b), .replace_always = true}) ==
        std::vector<std::string>{"classes.weight", "classes.bias"});
  for (int i = 0; i < std::ssize(a.parameters()); ++i) {
    const std::string& module = a.parameters()[static_cast<std::size_t>(i)].module;
    const bool bias = a.parameters()[static_cast<std::size_t>(i)].name.ends_with("bias");
    if (module != "neck" && !bias)
      CHECK(std::ranges::equal(a.value(i), b.value(i)) == (module != "classes"));
  }
}

}  // namespace
