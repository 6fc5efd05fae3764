// The training loop is not of images and classes: a regression on vectors and a segmentation of
// maps train, are evaluated, stop, and go on with the same bits, with everything on.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "anther/data/table.hpp"
#include "anther/nn/conv.hpp"
#include "anther/nn/drop.hpp"
#include "anther/nn/linear.hpp"
#include "anther/ops/activation.hpp"
#include "anther/ops/arithmetic.hpp"
#include "anther/optim/adam.hpp"
#include "anther/train/checkpoint_callback.hpp"
#include "anther/train/fit.hpp"
#include "anther/train/objectives.hpp"
#include "anther/train/predictor.hpp"
#include "anther/train/run_log.hpp"
#include "tests/io/temporary_folder.hpp"

namespace {

using namespace anther;
using namespace anther::data;

// y = x0 - 2 x1 + x2 x3, of four numbers.
std::shared_ptr<const Table> numbers_table(std::int64_t count, std::uint64_t seed) {
  Tensor<float> inputs({count, 4}), targets({count, 1});
  for (std::int64_t i = 0; i < inputs.size(); ++i)
    inputs[i] = static_cast<float>(2 * uniform(RandomKey(seed), static_cast<std::uint64_t>(i)) - 1);
  for (std::int64_t n = 0; n < count; ++n) {
    const float* x = inputs.data() + 4 * n;
    targets[n] = x[0] - 2 * x[1] + x[2] * x[3];
  }
  return std::make_shared<const Table>(std::move(inputs), targets);
}

// Maps of 6 x 5 positions with 2 channels; the class of a position is the greater channel, or 2
// where both are below zero.
std::shared_ptr<const Table> maps_table(std::int64_t count, std::uint64_t seed) {
  Tensor<float> inputs({count, 6, 5, 2});
  for (std::int64_t i = 0; i < inputs.size(); ++i)
    inputs[i] = static_cast<float>(2 * uniform(RandomKey(seed), static_cast<std::uint64_t>(i)) - 1);
  std::vector<std::int32_t> labels;
  for (std::int64_t i = 0; i < inputs.size(); i += 2)
    labels.push_back(std::max(inputs[i], inputs[i + 1]) < 0 ? 2
                     : inputs[i] > inputs[i + 1]            ? 0
                                                            : 1);
  return std::make_shared<const Table>(std::move(inputs), std::move(labels), Shape{6, 5});
}

struct Mlp : Module<float> {
  explicit Mlp(const Scope<float>& scope)
      : Module(scope, "Mlp"),
        in(scope / "in", 4, 32),
        dropout(scope / "dropout", 0.1),
        out(scope / "out", 32, 1) {}
  Variable<float> forward(Variable<float> x) const override { return out(dropout(relu(in(x)))); }
  Linear<float> in;
  Dropout<float> dropout;
  Linear<float> out;
};

struct MapNet : Module<float> {
  explicit MapNet(const Scope<float>& scope)
      : Module(scope, "MapNet"), in(scope / "in", 2, 16), out(scope / "out", 16, 3) {}
  Variable<float> forward(Variable<float> x) const override { return out(relu(in(x))); }
  Conv2d<float> in, out;
};

// A kind of task: what it takes to make its run anew.
struct Regression {
  using Net = Mlp;
  static DatasetPointer data(std::int64_t count, std::uint64_t seed) {
    return numbers_table(count, seed);
  }
  static Objective<float> objective() { return mse_objective(); }
  static Metrics metrics() { return {mean_absolute_error(), root_mean_squared_error()}; }
};
struct Segmentation {
  using Net = MapNet;
  static DatasetPointer data(std::int64_t count, std::uint64_t seed) {
    return maps_table(count, seed);
  }
  static Objective<float> objective() { return cross_entropy_objective({.label_smoothing = 0.01}); }
  static Metrics metrics() { return {mean_iou(), pixel_accuracy()}; }
};

// Learns from a teacher too.
struct Distillation : Segmentation {
  static Objective<float> objective() {
    struct Teacher {
      Teacher() { store.initialize(11); }
      ParameterStore<float> store;
      const MapNet net{store};
      const Predictor<float> predict{net, {6, 5, 2}};
    };
    static const Teacher teacher;
    return distillation_objective(std::cref(teacher.predict), Segmentation::objective(),
                                  {.weight = 0.5, .temperature = 2});
  }
};

template <class Task>
struct Run {
  Run() : net(store), adam(store) {
    store.initialize(3);
    ema = std::make_unique<ModelEma<float>>(store, 0.9);
  }
  History fit(FitOptions options, const Callbacks& callbacks = {}) {
    options.objective = Task::objective();
    options.metrics = Task::metrics();
    options.batch_size = 24;
    options.grad_accum_steps = 2;
    options.schedule = cosine_schedule(0.02, 2);
    options.clip_grad = 1;
    options.trainer = {.micro_batch = 5, .lanes = 2, .seed = 7};
    Loader train(Task::data(200, 1), {.batch_size = 12, .shuffle = true, .seed = 5});
    Loader val(Task::data(60, 2), {.batch_size = 16});
    return anther::fit(net, adam, train, &val, options, callbacks, ema.get());
  }
  std::vector<float> all() {
    std::vector<float> values;
    for (const std::span<const float> part :
         {std::as_const(store).values(), std::as_const(*ema).values(),
          std::span<const float>(adam.state()[0].values.span()),
          std::span<const float>(adam.state()[1].values.span())})
      values.insert(values.end(), part.begin(), part.end());
    return values;
  }

  ParameterStore<float> store;
  typename Task::Net net;
  Adam<float> adam;
  std::unique_ptr<ModelEma<float>> ema;
};

// Stops a run after so many steps, and keeps where it could go on.
struct StopAt : Callback {
  explicit StopAt(std::int64_t at) : step(at) {}
  void on_step(const StepReport& report) override { now = report.all_steps >= step; }
  void on_progress(const FitProgress& progress) override { saved = progress; }
  std::int64_t step;
  bool now = false;
  FitProgress saved;
};

TEST_CASE_TEMPLATE("fit: stopped after any step, a run of any kind goes on with the same bits",
                   Task, Regression, Segmentation, Distillation) {
  const FitOptions options{.epochs = 3};
  Run<Task> whole;
  const History expected = whole.fit(options);
  const std::int64_t steps = whole.adam.steps();
  CHECK(steps == 15);
  for (std::int64_t stop = 1; stop < steps; stop += 2) {
    CAPTURE(stop);
    const TemporaryFolder folder;
    const auto path = folder / "state.safetensors";
    History history;
    {
      Run<Task> first;
      StopAt stopper(stop);
      FitOptions own = options;
      own.stop = [&] { return stopper.now; };
      history = first.fit(own, {&stopper});
      CHECK_FALSE(stopper.saved.finished);
      save_state(path, first.adam, to_json(stopper.saved), first.ema.get());
    }
    Run<Task> second;
    second.store.initialize(99);
    FitOptions own = options;
    own.progress = fit_progress_from_json(load_state(path, second.adam, second.ema.get()));
    for (const EpochReport& report : second.fit(own)) history.push_back(report);
    CHECK(second.all() == whole.all());
    REQUIRE(history.size() == 3);
    for (std::size_t i = 0; i < 3; ++i) {
      CHECK(history[i].train_loss == expected[i].train_loss);
      CHECK(history[i].val_loss == expected[i].val_loss);
      CHECK(history[i].best == expected[i].best);
      for (std::size_t m = 0; m < 2; ++m) {
        CHECK(history[i].train_metrics[m].value == expected[i].train_metrics[m].value);
        CHECK(history[i].val_metrics[m].value == expected[i].val_metrics[m].value);
        CHECK(history[i].ema_metrics[m].value == expected[i].ema_metrics[m].value);
      }
    }
  }
}

TEST_CASE("fit: a regression on vectors learns, and goes by its error") {
  ParameterStore<float> store;
  const Mlp net(store);
  store.initialize(1);
  Adam<float> adam(store);
  const TemporaryFolder temporary;
  const RunFolder folder({.output = temporary / "run"});
  const Metrics metrics = {mean_absolute_error()};
  LogCallback log(folder, {.metrics = metrics});
  const auto [train, val] = split(numbers_table(600, 1), 0.2, 3);
  const History history =
      fit(net, adam, Loader(train, {.batch_size = 32, .shuffle = true}), Loader(val, {}),
          {.objective = mse_objective(),
           .metrics = metrics,
           .epochs = 30,
           .schedule = cosine_schedule(0.02)},
          {&log});
  const double first = history.front().metric().value, last = history.back().metric().value;
  CHECK(first > 0.2);
  CHECK(last < 0.15);
  double best = 1e9;
  for (const EpochReport& report : history) {
    CHECK(report.best == (report.metric().value < best));
    best = std::min(best, report.metric().value);
  }
  const io::CsvTable results = io::read_csv(folder / "results.csv");
  CHECK(results.columns == std::vector<std::string>{"epoch", "time", "train/loss", "train/mae",
                                                    "val/loss", "val/mae", "lr", "samples_per_s",
                                                    "stall_s"});
  CHECK(results.column("val/mae").back() == last);
  // The loss is the mean of the squared error.
  CHECK(history.back().val_loss < last);
  CHECK(history.back().val_loss > last * last);
}

TEST_CASE("fit: a segmentation learns, and goes by the mean IoU") {
  Run<Segmentation> run;
  FitOptions options{.epochs = 12};
  const History history = run.fit(options);
  CHECK(history.front().metric().info.name == "mean_iou");
  CHECK(history.back().metric().value > 0.9);
  CHECK(value_of(history.back().val_metrics, "pixel_acc") > 0.9);
}

TEST_CASE("objectives: what does not fit is refused") {
  Run<Regression> run;
  const auto error = [&](const Objective<float>& objective, const Metrics& metrics,
                         const DatasetPointer& data) {
    return error_of([&] {
      fit(run.net, run.adam, Loader(data, {.batch_size = 4}), Loader(data, {}),
          {.objective = objective, .metrics = metrics});
    });
  };
  const DatasetPointer numbers = numbers_table(8, 1);
  CHECK(contains(error({}, {}, numbers), "expected an objective, of"));
  CHECK(contains(error(cross_entropy_objective(), {}, numbers), "cross_entropy: expected logits"));
  const DatasetPointer labelled =
      std::make_shared<const Table>(Tensor<float>({8, 4}), std::vector<std::int32_t>(8));
  CHECK(contains(error(mse_objective(), {}, labelled), "mse: expected 4 numbers as targets"));
  CHECK(contains(error(mse_objective(), {top_k(1)}, numbers), "top1: expected outputs"));
}

TEST_CASE("objectives: one of one's own, and no metric: what is best goes by the loss") {
  Run<Regression> run;
  int calls = 0;
  const Objective<float> objective = [&](const Variable<float>& outputs, const Batch& batch,
                                         SampleRange part) {
    ++calls;
    CHECK(outputs.shape()[0] == part.count);
    return mse_objective()(outputs, batch, part) * 3.0;
  };
  const DatasetPointer data = numbers_table(40, 1);
  const History history =
      fit(run.net, run.adam, Loader(data, {.batch_size = 20}), Loader(data, {.batch_size = 20}),
          {.objective = objective, .epochs = 4, .schedule = {.lr = 0.01}});
  CHECK(calls == 4 * (2 + 2));
  CHECK(history.back().best);
  CHECK(history.back().metric().value == history.back().val_loss);
  CHECK(history.back().val_loss < history.front().val_loss);
}

}  // namespace
