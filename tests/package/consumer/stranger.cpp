// A stranger's whole project: a model and a data set of its own, trained with a progress bar,
// stopped, gone on with to the same bits, evaluated, and exported to ONNX and to a C++ header.
#include <anther/anther.hpp>
#include <anther/export/cpp_header.hpp>
#include <anther/export/onnx.hpp>
#include <anther/models/loaded_model.hpp>
#include <anther/report/progress_callback.hpp>
#include <anther/train/checkpoint_callback.hpp>
#include <anther/train/fit.hpp>
#include <anther/train/objectives.hpp>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <memory>
#include <vector>

using namespace anther;

struct Net : Module<float> {
  explicit Net(const Scope<float>& scope)
      : Module(scope, "Net"), in(scope / "in", 5, 32), out(scope / "out", 32, 1) {}
  Variable<float> forward(Variable<float> x) const override { return out(gelu(in(x))); }
  Linear<float> in, out;
};
const RegisterModel<Net> net_of_the_stranger("stranger_net");

// Vectors of five numbers; the target is the product of two of them plus a third.
struct Points : data::Dataset {
  Points(std::int64_t first, std::int64_t count) : first(first), count(count) {}
  std::int64_t size() const override { return count; }
  Shape input_shape() const override { return {5}; }
  data::TargetSpec target() const override { return data::numbers(); }
  void load(std::int64_t index, RandomKey, const data::Sample& sample) const override {
    const RandomKey key = RandomKey(1).fold(static_cast<std::uint64_t>(first + index));
    for (std::size_t i = 0; i < 5; ++i) sample.input[i] = static_cast<float>(normal(key, i));
    sample.numbers[0] = sample.input[0] * sample.input[1] + sample.input[2];
  }
  std::int64_t first, count;
};

// Trains in a folder until `stop_at` steps are done (0: to the end), going on with what is there.
std::vector<float> train(const std::filesystem::path& path, std::int64_t stop_at) {
  const RunFolder folder({.output = path, .resume = std::filesystem::exists(path)});
  const auto state = folder.weights() / "last.state.safetensors";
  ParameterStore<float> parameters;
  const Net net(parameters);
  parameters.initialize(1);
  Adam<float> adam(parameters);
  FitOptions options{.objective = mse_objective(),
                     .metrics = {mean_absolute_error()},
                     .epochs = 10,
                     .schedule = cosine_schedule(1e-2),
                     .stop = [&] { return adam.steps() == stop_at; }};
  if (std::filesystem::exists(state))
    options.progress = fit_progress_from_json(load_state(state, adam));
  ModelCard card = card_of(net);
  card.sample = {5};
  fit(net, adam, data::Loader(std::make_shared<Points>(0, 2000), {.shuffle = true}),
      data::Loader(std::make_shared<Points>(2000, 500), {}), options,
      {report::progress_bar(options.epochs),
       std::make_shared<CheckpointCallback<float>>(folder, adam, card)});
  return {parameters.values().begin(), parameters.values().end()};
}

int main() {
  for (const char* old : {"whole", "parts"}) std::filesystem::remove_all(old);
  const std::vector<float> whole = train("whole", 0);
  const bool moved = train("parts", 100) != whole;  // stopped in the middle of the second epoch
  const bool same = train("parts", 0) == whole;
  const LoadedModel model("parts");
  const Predictor<float> predictor(*model.module, sample_shape_of(model.card));
  data::Loader test(std::make_shared<Points>(2500, 500), {});
  const StepReport report =
      evaluate(std::cref(predictor), test, mse_objective(), {mean_absolute_error()});
  const double error = value_of(report.metrics, "mae");
  std::printf("stopped and gone on: %s; error %.3f\n", same ? "the same bits" : "other bits",
              error);
  exports::write_onnx("net.onnx", *model.module, {1, 5});
  exports::write_cpp_header("net.hpp", *model.module, {1, 5}, {.name = "net"});
  return moved && same && error < 0.25 ? 0 : 1;
}
