// run_model OPTIONS_JSON IN.safetensors OUT.safetensors [--dtype float32|float64] [--steps N]
//
// Runs a model on weights, images (NCHW) and labels from IN, in PyTorch's names and layouts:
// logits, loss, each parameter's gradient, and the losses of N steps of Adam. What
// compare_models.py and compare_zoo.py compare with PyTorch. OPTIONS_JSON: the model's options,
// "training", and "model", the name of one that is registered; without it, EdgeViT. With "sgd", a
// rate, the steps are those of SGD with momentum. Maps of logits become rows, one for each pixel.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <type_traits>
#include <vector>

#include "anther/anther.hpp"
#include "anther/io/safetensors.hpp"
#include "anther/models/models.hpp"
#include "anther/train/weights.hpp"
#include "tests/parity/channels.hpp"

namespace {

using namespace anther;
using namespace anther::detail;
using namespace anther::io;
using namespace anther::kernels;

// The registry makes models of floats; these are the same of doubles.
using MakeDouble = std::unique_ptr<Module<double>> (*)(ParameterStore<double>&,
                                                       const nlohmann::json&);
template <template <class> class M>
constexpr MakeDouble make_double =
    [](ParameterStore<double>& store,
       const nlohmann::json& options) -> std::unique_ptr<Module<double>> {
  using Options = typename M<double>::Options;
  return std::make_unique<M<double>>(store, options_from_json<Options>(options));
};
const std::map<std::string, MakeDouble> doubles = {
    {"mlp", make_double<Mlp>},
    {"lenet5", make_double<LeNet5>},
    {"resnet", make_double<ResNet>},
    {"mobilenet_v2", make_double<MobileNetV2>},
    {"mobilenet_v3", make_double<MobileNetV3>},
    {"efficientnet_lite0", make_double<EfficientNetLite0>},
    {"convnext", make_double<ConvNext>},
    {"vit", make_double<Vit>},
    {"unet", make_double<UNet>},
    {"edgevit_fpn", make_double<EdgeViTFpn>},
};

template <class T>
std::unique_ptr<Module<T>> make(ParameterStore<T>& store, nlohmann::json options) {
  if (!options.contains("model"))
    return std::make_unique<EdgeViT<T>>(store, edgevit_options_from_json(options));
  const std::string name = options["model"];
  options.erase("model");
  const ChosenModel chosen = choose_model(name, options);
  if constexpr (std::is_same_v<T, float>)
    return chosen.make(store);
  else
    return doubles.at(chosen.model->name)(store, chosen.options);
}

template <class T>
void run(nlohmann::json options, const std::string& in_path, const std::string& out_path,
         std::int64_t steps) {
  const bool training = options.value("training", true);
  options.erase("training");
  const double sgd = options.value("sgd", 0.0);
  options.erase("sgd");
  const SafetensorsFile in(in_path);
  ParameterStore<T> store;
  const std::unique_ptr<Module<T>> model = make(store, options);
  {
    const auto edit = store.edit();
    for (int i = 0; i < static_cast<int>(store.parameters().size()); ++i) {
      const ParameterInfo& info = store.parameters()[static_cast<std::size_t>(i)];
      load_tensor(in, info.name, info, edit.value(i));
    }
    for (int i = 0; i < static_cast<int>(store.buffers().size()); ++i) {
      const ParameterInfo& info = store.buffers()[static_cast<std::size_t>(i)];
      load_tensor(in, info.name, info, edit.buffer(i));
    }
  }
  Tensor<T> images = in.read<T>("images");
  if (images.shape().rank() == 4) images = nhwc_of(images);
  const Tensor<std::int64_t> target = in.read<std::int64_t>("labels");
  const std::vector<std::int32_t> labels(target.begin(), target.end());

  TorchTensors<T> out;
  std::vector<T> losses;
  Tape<T> tape;
  std::unique_ptr<Optimizer<T>> optimizer = std::make_unique<Adam<T>>(store, AdamOptions{});
  if (sgd > 0) optimizer = std::make_unique<SGD<T>>(store, SGDOptions{.momentum = 0.9});
  for (std::int64_t step = 0; step < std::max<std::int64_t>(steps, 1); ++step) {
    tape.begin({.training = training});
    Variable<T> logits = (*model)(tape.input(images));
    logits = reshape(logits, {-1, logits.shape().back()});
    const Variable<T> loss = cross_entropy<T>(logits, labels);
    losses.push_back(loss.item());
    if (step == 0) {
      ParameterInfo plain;
      plain.shape = logits.shape();
      plain.size = plain.shape.numel();
      out.add("logits", plain, logits.value());
      plain.shape = Shape{1};
      plain.size = 1;
      out.add("loss", plain, std::span<const T>(losses));
    }
    tape.zero_gradients();
    tape.backward(loss);
    if (step == 0)
      for (int i = 0; i < static_cast<int>(store.parameters().size()); ++i) {
        const ParameterInfo& info = store.parameters()[static_cast<std::size_t>(i)];
        out.add("grad." + info.name, info, std::span<const T>(store.slice_of(tape.gradients(), i)));
      }
    if (steps > 0) optimizer->step(tape, sgd > 0 ? sgd : 1e-3);
  }
  if (steps > 0) {
    ParameterInfo plain;
    plain.shape = Shape{steps};
    plain.size = steps;
    out.add("losses", plain, std::span<const T>(losses));
  }
  write_safetensors(out_path, out.tensors());
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Runs a model on the tensors of a file.");
  std::string options, in, out, dtype = "float32";
  std::int64_t steps = 0;
  app.add_option("options", options, "the model's options, JSON")->required();
  app.add_option("in", in)->required();
  app.add_option("out", out)->required();
  app.add_option("--dtype", dtype)->check(CLI::IsMember({"float32", "float64"}));
  app.add_option("--steps", steps, "steps of Adam or SGD")->check(CLI::NonNegativeNumber);
  CLI11_PARSE(app, argc, argv);
  try {
    const auto json = nlohmann::json::parse(options);
    dtype == "float32" ? run<float>(json, in, out, steps) : run<double>(json, in, out, steps);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "run_model: %s\n", error.what());
    return 1;
  }
}
