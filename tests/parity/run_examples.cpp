// run_examples regression|transformer|gru IN.safetensors OUT.safetensors --dtype float32
//
// Trains the model of an example with Adam, from the weights of IN on its `data.inputs` (steps, N,
// ...) and `data.targets`, as fit() does: the loss of every step. What compare_examples.py compares
// with PyTorch.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <exception>
#include <memory>
#include <string>
#include <vector>

#include "anther/anther.hpp"
#include "anther/models/mlp/mlp.hpp"
#include "anther/train/objectives.hpp"
#include "anther/train/trainer.hpp"
#include "anther/train/weights.hpp"
#include "examples/character_model.hpp"

namespace {

using namespace anther;

std::vector<double> train(const std::string& kind, const io::SafetensorsFile& file, double lr) {
  const bool regression = kind == "regression";
  const auto inputs = file.read<float>("data.inputs"), targets = file.read<float>("data.targets");
  const std::int64_t steps = inputs.shape()[0], samples = inputs.shape()[1],
                     each = inputs.shape()[2];
  ParameterStore<float> store;
  std::unique_ptr<Module<float>> model;
  if (regression)
    model = std::make_unique<Mlp<float>>(
        store, MlpOptions{.sample = {each}, .hidden = {64, 64}, .num_classes = 1});
  else
    model = std::make_unique<CharacterModel>(store, file.entry("head.weight").shape[0], each,
                                             kind == "gru");
  load_weights(file, store, {.ignored = "data."});
  Trainer<float> trainer(*model, regression ? mse_objective() : cross_entropy_objective());
  Adam<float> adam(store);
  std::vector<double> losses;
  for (std::int64_t step = 0; step < steps; ++step) {
    data::Batch batch;
    batch.inputs = Tensor<float>({samples, each});
    std::copy_n(inputs.data() + step * samples * each, samples * each, batch.inputs.data());
    const std::int64_t count = targets.size() / steps;
    const float* own = targets.data() + step * count;
    if (regression)
      batch.values.assign(own, own + count);
    else
      std::transform(own, own + count, std::back_inserter(batch.labels),
                     [](float label) { return static_cast<std::int32_t>(label); });
    if (!regression) batch.target_shape = {each};
    for (std::int64_t i = 0; i < samples; ++i) batch.indices.push_back(i);
    losses.push_back(trainer.compute_gradients(batch, step).loss);
    adam.step(trainer.gradients(), lr);
    trainer.commit();
  }
  return losses;
}

}  // namespace

int main(int argc, char** argv) {
  std::string kind, in, out, dtype;
  double lr = 1e-3;
  CLI::App app("Trains the model of an example.");
  app.add_option("kind", kind)
      ->required()
      ->check(CLI::IsMember({"regression", "transformer", "gru"}));
  app.add_option("in", in)->required();
  app.add_option("out", out)->required();
  app.add_option("--dtype", dtype)->check(CLI::IsMember({"float32"}));
  app.add_option("--lr", lr);
  CLI11_PARSE(app, argc, argv);
  try {
    const std::vector<double> losses = train(kind, io::SafetensorsFile(in), lr);
    const std::vector<io::SafetensorsTensor> tensors = {
        {.name = "losses",
         .shape = {std::ssize(losses)},
         .values = std::span<const double>(losses)}};
    io::write_safetensors(out, tensors);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "run_examples: %s\n", error.what());
    return 1;
  }
}
