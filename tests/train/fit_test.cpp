// The training loop on painted flowers, and that a run which was interrupted goes on as if it had
// not been.
#include "anther/train/fit.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "anther/core/openmp.hpp"
#include "anther/data/painted.hpp"
#include "anther/nn/conv.hpp"
#include "anther/nn/drop.hpp"
#include "anther/nn/linear.hpp"
#include "anther/nn/norm.hpp"
#include "anther/ops/activation.hpp"
#include "anther/ops/arithmetic.hpp"
#include "anther/ops/pool.hpp"
#include "anther/optim/adam.hpp"
#include "anther/train/checkpoint.hpp"
#include "tests/io/temporary_folder.hpp"

namespace {

using namespace anther;

// A small net with all that a run has to carry on: running statistics, dropout and drop path.
struct Net : Module<float> {
  Net(const Scope<float>& scope, bool batch_norm)
      : Module(scope, "Net"),
        embed(scope / "embed", 3, 12, {.kernel_size = 4, .stride = 4}),
        pointwise(scope / "pointwise", 12, 12),
        dropout(scope / "dropout", 0.2),
        drop_path(scope / "drop_path", 0.3),
        head(scope / "head", 12, 17) {
    if (batch_norm)
      norm = std::make_unique<BatchNorm2d<float>>(scope / "norm", 12);
    else
      norm = std::make_unique<LayerNorm<float>>(scope / "norm", 12);
  }
  Variable<float> forward(Variable<float> x) const override {
    x = relu(norm(embed(x)));
    x = x + drop_path(pointwise(x));
    return head(dropout(global_average_pool(x)));
  }
  Conv2d<float> embed, pointwise;
  AnyModule<float> norm;
  Dropout<float> dropout;
  DropPath<float> drop_path;
  Linear<float> head;
};

constexpr Preprocess small_images{.image_size = 32};

std::shared_ptr<PaintedFlowers> flowers(std::int64_t count, std::uint64_t seed = 1) {
  return std::make_shared<PaintedFlowers>(
      PaintedOptions{.size = count, .image_size = 32, .seed = seed});
}

// A run's objects, as a program makes them at its start.
struct Run {
  explicit Run(bool batch_norm = true, std::int64_t part = 8)
      : net(store, batch_norm),
        adam(store),
        train(flowers(27), small_images,
              {.batch_size = part, .shuffle = true, .seed = 5, .workers = 2}),
        val(flowers(13, 2), small_images, {.batch_size = 5}) {
    store.initialize(3);
  }
  History fit(FitOptions options, std::span<Callback* const> callbacks = {}) {
    options.schedule = schedule;
    options.trainer.seed = 7;
    return anther::fit(net, adam, train, &val, options, callbacks);
  }

  static constexpr Schedule schedule{
      .kind = ScheduleKind::cosine, .lr = 5e-3, .warmup_steps = 3, .steps = 12};
  ParameterStore<float> store;
  Net net;
  Adam<float> adam;
  Loader train, val;
};

void check_same_bits(Run& a, Run& b) {
  CHECK(std::ranges::equal(a.store.values(), b.store.values()));
  CHECK(std::ranges::equal(a.store.buffer_values(), b.store.buffer_values()));
  for (const std::size_t s : {0u, 1u})
    CHECK(std::ranges::equal(a.adam.state()[s].values.span(), b.adam.state()[s].values.span()));
  CHECK(a.adam.steps() == b.adam.steps());
}

void check_same(const EpochReport& a, const EpochReport& b) {
  CHECK(a.epoch == b.epoch);
  CHECK(a.all_steps == b.all_steps);
  CHECK(a.train_loss == b.train_loss);
  CHECK(a.train_top1 == b.train_top1);
  CHECK(a.val_loss == b.val_loss);
  CHECK(a.val_top5 == b.val_top5);
  CHECK(a.lr == b.lr);
}

TEST_CASE("fit: a run that was interrupted goes on with the same bits") {
  const TemporaryFolder folder;
  Run whole;
  const History all = whole.fit({.epochs = 3});
  REQUIRE(all.size() == 3);

  History parts;
  {
    Run first;
    parts = first.fit({.epochs = 1});
    save_state(folder / "state.safetensors", first.adam, {{"epoch", 1}});
  }
  // As after a crash: everything anew, and started from elsewhere.
  Run second;
  second.store.initialize(99);
  const nlohmann::json progress = load_state(folder / "state.safetensors", second.adam);
  CHECK(progress == nlohmann::json{{"epoch", 1}});
  for (const EpochReport& report :
       second.fit({.epochs = 3, .progress = {.epochs = progress["epoch"]}}))
    parts.push_back(report);

  check_same_bits(whole, second);
  REQUIRE(parts.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) check_same(all[i], parts[i]);
  CHECK(all[2].all_steps == 12);

  // It is not that nothing depended on the state.
  Run other;
  load_state(folder / "state.safetensors", other.adam);
  other.adam.set_steps(5);
  other.fit({.epochs = 3, .progress = {.epochs = 1}});
  CHECK_FALSE(std::ranges::equal(whole.store.values(), other.store.values()));
}

TEST_CASE("fit: the steps are those of the loop that one would write") {
  Run run, by_hand;
  run.fit({.epochs = 2});
  Trainer<float> trainer(by_hand.net, {.seed = 7});
  Batch batch;
  for (std::int64_t epoch = 0, step = 0; epoch < 2; ++epoch) {
    by_hand.train.start_epoch(epoch);
    for (; by_hand.train.next(batch); ++step) {
      trainer.compute_gradients(batch.images.shape(), batch.images.span(), batch.labels, step);
      by_hand.adam.step(trainer.gradients(), Run::schedule.at(step));
      trainer.commit();
    }
  }
  check_same_bits(run, by_hand);
}

TEST_CASE("fit: a batch that comes from the loader in parts") {
  Run whole(false), parts(false, 4);
  const FitOptions options{.epochs = 2, .batch_size = 8, .trainer = {.micro_batch = 4}};
  const History a = whole.fit(options), b = parts.fit(options);
  check_same_bits(whole, parts);
  for (std::size_t i = 0; i < 2; ++i) {
    CHECK(a[i].all_steps == b[i].all_steps);
    CHECK(a[i].train_loss == doctest::Approx(b[i].train_loss).epsilon(1e-12));
    CHECK(a[i].train_top1 == b[i].train_top1);
  }
  CHECK(contains(error_of([&] { whole.fit({.batch_size = 12}); }), "a multiple of the loader's 8"));
  // With BatchNorm the parts would not be the batch.
  Run batch_norm(true, 4);
  CHECK(contains(error_of([&] { batch_norm.fit({.batch_size = 8}); }), "in one part"));
}

// Notes what it is told.
struct Notes : Callback {
  void on_epoch_begin(std::int64_t epoch, std::int64_t steps, std::int64_t images) override {
    text += text_of("epoch ", epoch, ": ", steps, " steps, ", images, " images\n");
  }
  void on_step(const StepReport& r) override {
    text += text_of(r.step, "/", r.steps, " all ", r.all_steps, " images ", r.images, "/",
                    r.all_images, "\n");
    last = r;
    rates.push_back(r.lr);
  }
  void on_evaluation_begin(std::int64_t steps, std::int64_t images) override {
    text += text_of("evaluation: ", steps, " steps, ", images, " images\n");
  }
  void on_evaluation_step(const StepReport& r) override {
    text += text_of(r.step, "/", r.steps, " images ", r.images, "/", r.all_images, "\n");
    evaluation = r;
  }
  void on_epoch_end(const EpochReport& r) override {
    text += text_of("end of ", r.epoch, "\n");
    end = r;
  }
  std::string text;
  std::vector<double> rates;
  StepReport last, evaluation;
  EpochReport end;
};

TEST_CASE("fit: what callbacks are told, and the history") {
  Run run;
  Notes notes;
  Callback* const callbacks[] = {&notes};
  const History history = run.fit({.epochs = 2, .progress = {.epochs = 1}}, callbacks);
  CHECK(notes.text ==
        "epoch 2: 4 steps, 27 images\n"
        "1/4 all 1 images 8/27\n"
        "2/4 all 2 images 16/27\n"
        "3/4 all 3 images 24/27\n"
        "4/4 all 4 images 27/27\n"
        "evaluation: 3 steps, 13 images\n"
        "1/3 images 5/13\n"
        "2/3 images 10/13\n"
        "3/3 images 13/13\n"
        "end of 2\n");
  REQUIRE(history.size() == 1);
  check_same(history[0], notes.end);
  CHECK(history[0].train_loss == notes.last.mean_loss);
  CHECK(history[0].val_loss == notes.evaluation.mean_loss);
  CHECK(history[0].val_top1 == notes.evaluation.top1);
  CHECK(history[0].seconds > 0);
  CHECK(history[0].images_per_second == doctest::Approx(27 / history[0].seconds));
  // The rates are those of the optimiser's steps: warm-up, then the cosine.
  const std::vector<double> expected = {5e-3 / 3, 5e-3 * 2 / 3, 5e-3, 5e-3};
  REQUIRE(notes.rates.size() == 4);
  for (std::size_t i = 0; i < 4; ++i) CHECK(notes.rates[i] == doctest::Approx(expected[i]));
  CHECK(history[0].lr == notes.rates[3]);

  // Without an evaluation there are no such figures.
  const History plain = fit(run.net, run.adam, run.train, nullptr, {.epochs = 1});
  CHECK(std::isnan(plain[0].val_loss));
  CHECK(plain[0].train_loss > 0);
}

TEST_CASE("fit: means over an epoch are over images, not over batches") {
  StepReport report;
  accumulate(report, {.loss = 1, .samples = 8, .top1 = 4, .top5 = 8});
  accumulate(report, {.loss = 4, .samples = 2, .top1 = 0, .top5 = 1});
  CHECK(report.mean_loss == doctest::Approx(1.6));
  CHECK(report.loss == 4);
  CHECK(report.top1 == doctest::Approx(0.4));
  CHECK(report.top5 == doctest::Approx(0.9));
  CHECK(report.step == 2);
  CHECK(report.images == 10);
}

TEST_CASE("fit: it learns, and the evaluation is of the model as it is") {
  Run run;
  const History history =
      fit(run.net, run.adam, run.train, &run.val, {.epochs = 12, .schedule = {.lr = 0.01}});
  CHECK(history[11].train_loss < 0.9 * history[0].train_loss);
  Trainer<float> trainer(run.net, {});
  const StepReport again = evaluate(trainer, run.val);
  CHECK(again.mean_loss == history[11].val_loss);
  CHECK(again.top1 == history[11].val_top1);
}

TEST_CASE("fit: a loss that is not finite stops the run, with the weights before the step") {
  Run run;
  run.store.value(run.net.head.bias.number)[0] = std::numeric_limits<float>::infinity();
  const std::vector<float> before(run.store.values().begin(), run.store.values().end());
  const std::string message = error_of([&] { run.fit({.epochs = 1}); });
  CHECK(contains(message, "training: the loss of step 1 is "));
  CHECK(contains(message, "; not finite first: the parameter head.bias; the learning rate is "));
  CHECK(std::ranges::equal(run.store.values(), before));
  CHECK(run.adam.steps() == 0);
  CHECK(contains(error_of([&] { run.fit({.epochs = -1}); }), "epochs: expected at least 0"));
  CHECK(run.fit({.epochs = 0}).empty());
}

}  // namespace
