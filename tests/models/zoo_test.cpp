// The convolutional networks of the registry: as many parameters as their papers' and PyTorch's
// have, results of the right shape, and a step of training. That they compute the same as PyTorch's
// is shown by tests/parity/compare_zoo.py.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "anther/autograd/tape.hpp"
#include "anther/models/models.hpp"
#include "anther/nn/module_tree.hpp"
#include "anther/ops/cross_entropy.hpp"
#include "anther/ops/shape.hpp"
#include "anther/train/fine_tune.hpp"

namespace {

using namespace anther;

TEST_CASE("models have as many parameters as torchvision's, for 1,000 classes") {
  const auto parameters = [](const std::string& name,
                             const nlohmann::json& options = nlohmann::json::object()) {
    ParameterStore<float> store;
    const auto model = choose_model(name, options).make(store);
    return store.parameter_count();
  };
  const nlohmann::json classes = {{"num_classes", 1000}};
  CHECK(parameters("resnet18", classes) == 11'689'512);
  CHECK(parameters("resnet34", classes) == 21'797'672);
  CHECK(parameters("resnet50", classes) == 25'557'032);
  CHECK(parameters("mobilenet_v2", classes) == 3'504'872);
  CHECK(parameters("mobilenet_v3_small", classes) == 2'542'856);
  CHECK(parameters("mobilenet_v3_large", classes) == 5'483'032);
  CHECK(parameters("efficientnet_lite0", classes) == 4'652'008);
  CHECK(parameters("convnext_tiny", classes) == 28'589'128);
  CHECK(parameters("vit_tiny", classes) == 5'717'416);
  CHECK(parameters("lenet5") == 61'706);
  CHECK(parameters("mlp", {{"sample", {28, 28, 1}}, {"hidden", {256}}}) == 784 * 256 + 256 + 2570);
  // As PyTorch counts the model of tests/parity/compare_zoo.py.
  CHECK(parameters("edgevit_fpn_xxs") == 7'920'870);
  CHECK(parameters("edgevit_fpn_xs", {{"preset", "original"}}) == 10'585'398);
  CHECK(parameters("edgevit_fpn_s") == 16'923'510);
  // milesial/Pytorch-UNet, for 3 channels and 2 classes.
  CHECK(parameters("unet") == 31'037'698);
  CHECK(parameters("unet", {{"bilinear", true}}) == 17'262'977 + 65);
}

struct Case {
  std::string name;
  nlohmann::json options;
  std::int64_t size;  // of the images
  Shape result;
  std::int64_t stages;
};

TEST_CASE("models make logits of the right shape and finite gradients") {
  const std::vector<Case> cases = {
      {"mlp", {{"sample", {8, 8, 3}}, {"num_classes", 3}}, 8, {2, 3}, 0},
      {"lenet5", {{"num_classes", 3}}, 28, {2, 3}, 0},
      {"resnet18", {{"num_classes", 3}, {"layers", {1, 1, 1, 1}}}, 40, {2, 3}, 4},
      {"resnet50", {{"num_classes", 3}, {"layers", {1, 1, 1, 1}}}, 32, {2, 3}, 4},
      {"mobilenet_v2", {{"num_classes", 3}, {"width_mult", 0.25}}, 40, {2, 3}, 19},
      {"mobilenet_v3_small", {{"num_classes", 3}}, 40, {2, 3}, 13},
      {"convnext_tiny",
       {{"num_classes", 3}, {"dims", {8, 16, 24, 32}}, {"depths", {1, 1, 2, 1}}},
       64,
       {2, 3},
       8},
      {"vit_tiny",
       {{"num_classes", 3}, {"img_size", 32}, {"embed_dim", 24}, {"depth", 3}},
       32,
       {2, 3},
       3},
      {"efficientnet_lite0", {{"num_classes", 3}, {"drop_path", 0.1}}, 45, {2, 3}, 16},
      {"edgevit_fpn",
       {{"num_classes", 3}, {"fpn_channels", 16}, {"head_channels", 64}},
       64,
       {2, 64, 64, 3},
       4},
      {"unet", {{"num_classes", 3}, {"width", 4}, {"depth", 2}}, 12, {2, 12, 12, 3}, 4},
      {"unet", {{"num_classes", 3}, {"width", 4}, {"bilinear", true}}, 32, {2, 32, 32, 3}, 8},
  };
  for (const Case& each : cases) {
    CAPTURE(each.name);
    CAPTURE(each.options.dump());
    ParameterStore<float> store;
    const ChosenModel chosen = choose_model(each.name, each.options);
    const auto model = chosen.make(store);
    store.initialize(1);
    CHECK(std::ssize(stage_modules(store)) == each.stages);
    CHECK(head_modules(store).size() == 1);

    Shape batch{2};
    const Shape sample = chosen.sample_shape(each.size);
    for (int axis = 0; axis < sample.rank(); ++axis) batch.push_back(sample[axis]);
    Tensor<float> x(batch);
    const RandomKey key(2);
    for (std::int64_t i = 0; i < x.size(); ++i)
      x[i] = static_cast<float>(normal(key, static_cast<std::uint64_t>(i)));

    Tape<float> tape;
    tape.begin({.training = true});
    const Variable<float> logits = (*model)(tape.input(x));
    CHECK(logits.shape() == each.result);
    const std::vector<std::int32_t> labels(static_cast<std::size_t>(each.result.numel() / 3), 1);
    const Variable<float> loss = cross_entropy<float>(reshape(logits, {-1, 3}), labels);
    CHECK(std::isfinite(loss.item()));
    tape.zero_gradients();
    tape.backward(loss);
    int without = 0;
    for (int i = 0; i < std::ssize(store.parameters()); ++i) {
      float largest = 0;
      bool finite = true;
      for (const float g : store.slice_of(tape.gradients(), i)) {
        finite = finite && std::isfinite(g);
        largest = std::max(largest, std::abs(g));
      }
      CHECK_MESSAGE(finite, store.parameters()[static_cast<std::size_t>(i)].name);
      without += largest == 0;
    }
    CHECK(without == 0);  // every parameter has a part in the loss
  }
}

TEST_CASE("freezing a model's first stages freezes its stem too") {
  ParameterStore<float> store;
  const auto model = choose_model("resnet18").make(store);
  std::int64_t expected = 0;
  for (const ParameterInfo& info : store.parameters())
    if (info.name.starts_with("conv1.") || info.name.starts_with("bn1.") ||
        info.name.starts_with("layer1."))
      expected += info.size;
  CHECK(freeze(store, "0") == 0);
  CHECK(freeze(store, "1") == expected);
  for (const ParameterInfo& info : store.parameters())
    CHECK(info.trainable ==
          ((info.name.starts_with("layer") && !info.name.starts_with("layer1.")) ||
           info.name.starts_with("fc.")));
}

TEST_CASE("every model: its head learns at the full rate, and no number of stages freezes it") {
  for (const char* name : {"convnext", "edgevit", "edgevit_fpn", "efficientnet_lite0", "lenet5",
                           "mlp", "mobilenet_v2", "mobilenet_v3", "resnet", "unet", "vit"}) {
    CAPTURE(name);
    ParameterStore<float> store;
    const auto model = choose_model(name).make(store);
    const std::vector<std::string> heads = head_modules(store), stages = stage_modules(store);
    CHECK(!heads.empty());
    const std::vector<double> scales = layer_decay_scales(store, 0.5);
    double body = 0;
    for (std::size_t i = 0; i < scales.size(); ++i) {
      const bool is_head = is_within_any(store.parameters()[i].name, heads);
      CHECK((scales[i] == 1) == is_head);
      if (!is_head) body = std::max(body, scales[i]);
    }
    CHECK(body == 0.5);
    // What stands between the last stage and the head is the last to learn slower.
    for (std::size_t i = 0; i < scales.size(); ++i)
      for (const char* norm : {"norm.", "classifier.0."})
        if (!stages.empty() && store.parameters()[i].name.starts_with(norm))
          CHECK(scales[i] == (is_within_any(store.parameters()[i].name, heads) ? 1 : 0.5));
    if (stages.empty()) continue;
    freeze(store, std::to_string(stages.size()));
    for (const ParameterInfo& info : store.parameters())
      if (is_within_any(info.name, heads)) CHECK(info.trainable);
  }
}

TEST_CASE("options that matter in training alone do not make another model") {
  const std::vector<std::pair<const char*, nlohmann::json>> cases = {
      {"convnext_tiny", {{"drop_path", 0.4}, {"layer_scale", 1}}},
      {"vit_tiny", {{"drop_path", 0.4}}},
      {"efficientnet_lite0", {{"dropout", 0.4}, {"drop_path", 0.4}}},
      {"mobilenet_v2", {{"dropout", 0.4}}},
      {"mlp", {{"dropout", 0.4}}}};
  for (const auto& [name, options] : cases) {
    CAPTURE(name);
    const ChosenModel chosen = choose_model(name), other = choose_model(name, options);
    CHECK(chosen.options != other.options);
    CHECK(chosen.model->function_options(chosen.options) ==
          chosen.model->function_options(other.options));
  }
}

TEST_CASE("options of models that make no sense are refused, with their names") {
  const auto refused = [](const char* name, const nlohmann::json& options, const char* part) {
    CAPTURE(options.dump());
    try {
      choose_model(name, options);
      FAIL_CHECK("not refused");
    } catch (const Error& error) {
      CHECK(std::string(error.what()).find(part) != std::string::npos);
    }
  };
  refused("resnet18", {{"layers", {1, 0, 1, 1}}}, "layers");
  refused("resnet18", {{"num_classes", 0}}, "num_classes");
  refused("mobilenet_v2", {{"width_mult", 0}}, "width_mult");
  refused("mobilenet_v3", {{"size", "medium"}}, "size");
  refused("lenet5", {{"image_size", 30}}, "image_size");
  refused("unet", {{"depth", 9}}, "depth");
  refused("edgevit_fpn", {{"head_channels", 100}}, "head_channels");
  refused("edgevit_fpn", {{"fpn_channels", 0}}, "fpn_channels");
  refused("mlp", {{"hidden", {0}}}, "hidden");
  refused("mlp", {{"sample", {1'000'000, 1'000'000}}}, "sample");
}

TEST_CASE("unet refuses images that it cannot halve as often as it is deep") {
  ParameterStore<float> store;
  const auto model = choose_model("unet", {{"width", 4}, {"depth", 3}}).make(store);
  store.initialize(1);
  Tape<float> tape;
  tape.begin({.training = false});
  CHECK_THROWS_WITH_AS((*model)(tape.input(Tensor<float>({1, 12, 16, 3}))),
                       doctest::Contains("multiples of 8"), Error);
}

}  // namespace
