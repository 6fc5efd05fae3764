// A run that saves itself, is stopped and goes on; and its weights, loaded by another program.
#include <anther/anther.hpp>
#include <anther/data/table.hpp>
#include <anther/models/loaded_model.hpp>
#include <anther/train/checkpoint_callback.hpp>
#include <anther/train/fit.hpp>
#include <anther/train/objectives.hpp>
#include <anther/train/predictor.hpp>
#include <cstdio>
#include <filesystem>
#include <memory>

using namespace anther;

struct Net : Module<float> {
  explicit Net(const Scope<float>& scope)
      : Module(scope, "Net"), in(scope / "in", 2, 32), out(scope / "out", 32, 1) {}
  Variable<float> forward(Variable<float> x) const override { return out(gelu(in(x))); }
  Linear<float> in, out;
};
const RegisterModel<Net> registered("product_net");

// Trains until the last epoch or, where `most` is more than 0, for so many steps of this call.
// Goes on from the run's state where there is one.
void train(const RunFolder& folder, std::int64_t most) {
  Tensor<float> x({1000, 2}), y({1000});
  for (std::int64_t i = 0; i < x.size(); ++i)
    x[i] = static_cast<float>(normal(RandomKey(1), static_cast<std::uint64_t>(i)));
  for (std::int64_t n = 0; n < y.size(); ++n) y[n] = x[2 * n] * x[2 * n + 1];
  const auto [first, second] = data::split(std::make_shared<data::Table>(x, y), 0.2, 1);

  ParameterStore<float> parameters;
  const Net net(parameters);
  parameters.initialize(1);
  Adam<float> adam(parameters);
  FitOptions options{.objective = mse_objective(),
                     .metrics = {mean_absolute_error()},
                     .epochs = 20,
                     .schedule = cosine_schedule(1e-2)};
  const auto state = folder.weights() / "last.state.safetensors";
  if (std::filesystem::exists(state))
    options.progress = fit_progress_from_json(load_state(state, adam));
  const std::int64_t before = adam.steps();
  options.stop = [&] { return most > 0 && adam.steps() - before >= most; };
  ModelCard card = card_of(net);  // what the files say of the model
  card.sample = {2};
  CheckpointCallback<float> checkpoints(folder, adam, card);
  fit(net, adam, data::Loader(first, {.batch_size = 32, .shuffle = true}),
      data::Loader(second, {.batch_size = 200}), options, {&checkpoints});
  std::printf("%s after step %lld\n", options.stop() ? "stopped" : "finished",
              static_cast<long long>(adam.steps()));
}

int main() {
  const auto root = std::filesystem::temp_directory_path() / "anther_save_and_load";
  std::filesystem::remove_all(root);
  const RunFolder folder({.root = root});
  train(folder, 130);  // in the middle of the sixth epoch
  train(folder, 0);    // as if it had never stopped, bit for bit

  const LoadedModel model(folder.path());  // the best weights of the run
  std::printf("%s, epoch %s, mean absolute error %s\n", model.card.architecture.c_str(),
              model.card.notes.at("epoch").c_str(), model.card.notes.at("val_mae").c_str());
  const Predictor<float> predict(*model.module, sample_shape_of(model.card));
  const float product = predict(std::vector<float>{0.5f, -1.5f})[0];
  std::printf("0.5 times -1.5 is about %.2f\n", double{product});
  std::filesystem::remove_all(root);
  return product > -0.9f && product < -0.6f ? 0 : 1;
}
