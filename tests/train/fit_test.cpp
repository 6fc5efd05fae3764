// The training loop on painted flowers, and that a run which was interrupted goes on as if it had
// not been.
#include "anther/train/fit.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "anther/core/openmp.hpp"
#include "anther/data/vision/augment.hpp"
#include "anther/data/vision/image_set.hpp"
#include "anther/data/vision/image_sizes.hpp"
#include "anther/data/vision/mix.hpp"
#include "anther/nn/conv.hpp"
#include "anther/nn/drop.hpp"
#include "anther/nn/linear.hpp"
#include "anther/nn/norm.hpp"
#include "anther/ops/activation.hpp"
#include "anther/ops/arithmetic.hpp"
#include "anther/ops/pool.hpp"
#include "anther/optim/adam.hpp"
#include "anther/optim/sgd.hpp"
#include "anther/painted/painted.hpp"
#include "anther/train/checkpoint.hpp"
#include "anther/train/checkpoint_callback.hpp"
#include "anther/train/fine_tune.hpp"
#include "anther/train/objectives.hpp"
#include "tests/io/temporary_folder.hpp"

namespace {

using namespace anther;
using namespace anther::detail;
using namespace anther::data;
using namespace anther::kernels;
using namespace anther::painted;
using namespace anther::vision;

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

const Objective<float> objective = cross_entropy_objective();
const Metrics metrics = {top_k(1), top_k(5)};

// A run's objects, as a program makes them at its start.
struct Run {
  explicit Run(bool batch_norm = true, std::int64_t part = 8)
      : net(store, batch_norm),
        adam(store),
        train(prepared(flowers(27), small_images),
              {.batch_size = part, .shuffle = true, .seed = 5, .workers = 2}),
        val(prepared(flowers(13, 2), small_images), {.batch_size = 5}) {
    store.initialize(3);
  }
  History fit(FitOptions options, const Callbacks& callbacks = {}) {
    options.objective = objective;
    options.metrics = metrics;
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
  CHECK(a.val_loss == b.val_loss);
  const auto same = [](const std::vector<MetricValue>& x, const std::vector<MetricValue>& y) {
    CHECK(x.size() == y.size());
    for (std::size_t i = 0; i < std::min(x.size(), y.size()); ++i) {
      CHECK(x[i].info == y[i].info);
      CHECK(x[i].value == y[i].value);
    }
  };
  same(a.train_metrics, b.train_metrics);
  same(a.val_metrics, b.val_metrics);
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
  Trainer<float> trainer(by_hand.net, objective, {.seed = 7});
  Batch batch;
  for (std::int64_t epoch = 0, step = 0; epoch < 2; ++epoch) {
    by_hand.train.start_epoch(epoch);
    for (; by_hand.train.next(batch); ++step) {
      trainer.compute_gradients(batch, step);
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
    CHECK(a[i].train_metrics[0].value == b[i].train_metrics[0].value);
  }
  CHECK(contains(error_of([&] { whole.fit({.batch_size = 12}); }), "a multiple of the loader's 8"));
  // With BatchNorm the parts would not be the batch.
  Run batch_norm(true, 4);
  CHECK(contains(error_of([&] { batch_norm.fit({.batch_size = 8}); }), "in one part"));
}

TEST_CASE("fit: what an epoch waited for images, also of one that is resumed") {
  Run run;
  const History history = run.fit({.epochs = 2});
  CHECK(history[0].stall_seconds > 0);
  CHECK(history[0].stall_seconds + history[1].stall_seconds ==
        doctest::Approx(run.train.stall_seconds()));
  CHECK(history[0].stall_seconds <= history[0].seconds);
  FitProgress progress{.epochs = 2, .batches = 2};
  progress.epoch = {.step = 2, .samples = 16, .stall_seconds = 1e6};
  const History rest =
      run.fit({.epochs = 3, .progress = fit_progress_from_json(to_json(progress))});
  CHECK(rest[0].stall_seconds > 1e6);
  CHECK(rest[0].stall_seconds < 2e6);
}

// Notes what it is told.
struct Notes : Callback {
  void on_epoch_begin(std::int64_t epoch, std::int64_t steps, std::int64_t samples) override {
    text += text_of("epoch ", epoch, ": ", steps, " steps, ", samples, " samples\n");
  }
  void on_step(const StepReport& r) override {
    text += text_of(r.step, "/", r.steps, " all ", r.all_steps, " samples ", r.samples, "/",
                    r.all_samples, "\n");
    last = r;
    rates.push_back(r.lr);
  }
  void on_evaluation_begin(std::int64_t steps, std::int64_t samples) override {
    text += text_of("evaluation: ", steps, " steps, ", samples, " samples\n");
  }
  void on_evaluation_step(const StepReport& r) override {
    text += text_of(r.step, "/", r.steps, " samples ", r.samples, "/", r.all_samples, "\n");
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
        "epoch 2: 4 steps, 27 samples\n"
        "1/4 all 1 samples 8/27\n"
        "2/4 all 2 samples 16/27\n"
        "3/4 all 3 samples 24/27\n"
        "4/4 all 4 samples 27/27\n"
        "evaluation: 3 steps, 13 samples\n"
        "1/3 samples 5/13\n"
        "2/3 samples 10/13\n"
        "3/3 samples 13/13\n"
        "end of 2\n");
  REQUIRE(history.size() == 1);
  check_same(history[0], notes.end);
  CHECK(history[0].train_loss == notes.last.mean_loss);
  CHECK(history[0].val_loss == notes.evaluation.mean_loss);
  CHECK(history[0].val_metrics[0].value == notes.evaluation.metrics[0].value);
  CHECK(history[0].seconds > 0);
  CHECK(history[0].samples_per_second == doctest::Approx(27 / history[0].seconds));
  // The rates are those of the optimiser's steps: warm-up, then the cosine.
  const std::vector<double> expected = {5e-3 / 3, 5e-3 * 2 / 3, 5e-3, 5e-3};
  REQUIRE(notes.rates.size() == 4);
  for (std::size_t i = 0; i < 4; ++i) CHECK(notes.rates[i] == doctest::Approx(expected[i]));
  CHECK(history[0].lr == notes.rates[3]);

  // Without an evaluation there are no such figures.
  const History plain =
      fit(run.net, run.adam, run.train, nullptr, {.objective = objective, .epochs = 1});
  CHECK(std::isnan(plain[0].val_loss));
  CHECK(plain[0].train_loss > 0);
}

TEST_CASE("fit: means over an epoch are over samples, not over batches") {
  StepReport report;
  accumulate(report, {.loss = 1, .samples = 8});
  accumulate(report, {.loss = 4, .samples = 2});
  CHECK(report.mean_loss == doctest::Approx(1.6));
  CHECK(report.loss == 4);
  CHECK(report.step == 2);
  CHECK(report.samples == 10);
}

// Flowers of which some are damaged.
struct Damaged : ImageSet {
  Damaged(std::int64_t count, std::vector<std::int64_t> bad, std::uint64_t seed = 1)
      : whole(flowers(count, seed)), bad_(std::move(bad)) {}
  std::int64_t size() const override { return whole->size(); }
  Image image(std::int64_t index) const override {
    check(std::ranges::find(bad_, index) == bad_.end(), "truncated");
    return whole->image(index);
  }
  int label(std::int64_t index) const override { return whole->label(index); }
  std::string name(std::int64_t index) const override { return text_of(index, ".jpg"); }
  const std::vector<std::string>& class_names() const override { return whole->class_names(); }

  std::shared_ptr<PaintedFlowers> whole;
  std::vector<std::int64_t> bad_;
};

TEST_CASE("fit: damaged images that are left out are counted, those of the evaluation too") {
  Run run(false);
  const auto skipping = [](std::int64_t count, std::vector<std::int64_t> bad) {
    return std::make_unique<Loader>(
        prepared(std::make_shared<Damaged>(count, std::move(bad)), small_images),
        LoaderOptions{.batch_size = 4, .skip_bad = true});
  };
  const auto train = skipping(10, {2, 7}), val = skipping(6, {1}), whole = skipping(6, {});
  const History history =
      fit(run.net, run.adam, *train, *val, {.objective = objective, .epochs = 2});
  REQUIRE(history.size() == 2);
  for (const EpochReport& report : history) {
    CHECK(report.skipped == 2);
    CHECK(report.val_skipped == 1);
    CHECK(report.first_skipped == "2.jpg: truncated");
  }
  const EpochReport other =
      fit(run.net, run.adam, *whole, *val, {.objective = objective, .epochs = 1}).back();
  CHECK(other.skipped == 0);
  CHECK(other.val_skipped == 1);
  CHECK(other.first_skipped == "1.jpg: truncated");
}

TEST_CASE("fit: it learns, and the evaluation is of the model as it is") {
  Run run;
  const History history =
      fit(run.net, run.adam, run.train, run.val,
          {.objective = objective, .metrics = metrics, .epochs = 12, .schedule = {.lr = 0.01}});
  CHECK(history[11].train_loss < 0.9 * history[0].train_loss);
  const Predictor<float> predictor(run.net, {32, 32, 3});
  const StepReport again = evaluate(std::cref(predictor), run.val, objective, metrics);
  CHECK(again.mean_loss == history[11].val_loss);
  CHECK(again.metrics[0].value == history[11].val_metrics[0].value);
  CHECK(history[11].val_metrics[1].value >= history[11].val_metrics[0].value);
}

TEST_CASE("fit: a loss that is not finite stops the run, with the weights before the step") {
  Run run;
  run.store.edit().value(run.net.head.bias.number)[0] = std::numeric_limits<float>::infinity();
  const std::vector<float> before(run.store.values().begin(), run.store.values().end());
  const std::string message = error_of([&] { run.fit({.epochs = 1}); });
  CHECK(contains(message, "training: the loss of step 1 is "));
  CHECK(contains(message, "; not finite first: the parameter head.bias; the learning rate is "));
  CHECK(std::ranges::equal(run.store.values(), before));
  CHECK(run.adam.steps() == 0);
  CHECK(contains(error_of([&] { run.fit({.epochs = -1}); }), "epochs: expected at least 0"));
  CHECK(run.fit({.epochs = 0}).empty());
  const auto refusal = [&](const FitOptions& options) {
    return error_of([&] { run.fit(options); });
  };
  CHECK(
      contains(refusal({.clip_grad = -1}), "clipping, by the gradient's norm: expected at least"));
  CHECK(contains(refusal({.clip_grad = std::numeric_limits<double>::quiet_NaN()}), "got nan"));
  CHECK(contains(refusal({.batch_size = -8}), "batch size: expected at least 0, got -8"));
  CHECK(contains(refusal({.patience = -1}), "patience, in epochs: expected at least 0, got -1"));
  CHECK(contains(refusal({.time_budget = -1}), "time budget, in seconds: expected at least"));
}

// Stops a run after so many steps, and keeps where it could go on.
struct StopAt : Callback {
  explicit StopAt(std::int64_t step) : step_(step) {}
  void on_step(const StepReport& report) override { now = report.all_steps >= step_; }
  void on_resume(const StepReport& done) override { resumed_at = done.step; }
  void on_progress(const FitProgress& progress) override { saved = progress; }
  bool now = false;
  std::int64_t resumed_at = 0;
  FitProgress saved;

 private:
  std::int64_t step_;
};

// A run with everything on: SGD with momentum, averaged weights, clipping, accumulated gradients,
// images that grow, are augmented and mixed, layer-wise rates, frozen parameters.
struct FullRun {
  explicit FullRun(bool batch_norm)
      : net(store, batch_norm),
        sgd(store, {.momentum = 0.9, .nesterov = true, .weight_decay = 1e-3}),
        val(prepared(flowers(13, 2), {.image_size = 64}), {.batch_size = 5}),
        train(ImageSizes("sizes", "32@1:64@2"), [this](std::int64_t size) {
          sizes.push_back(size);
          return std::make_unique<Loader>(
              prepared(flowers(27), size, size, Augment({.image_size = size}, augmentation)),
              LoaderOptions{.batch_size = 4,
                            .shuffle = true,
                            .seed = 5,
                            .workers = 2,
                            .mix = mixing({.mixup = 0.8, .cutmix = 1, .prob = 0.7})});
        }) {
    store.initialize(3);
    store.set_trainable(net.embed.bias.number, false);
    sgd.set_lr_scales(layer_decay_scales(store, 0.8));
    ema = std::make_unique<ModelEma<float>>(store, 0.9);
  }
  FitOptions options(bool batch_norm) const {
    return {.objective = cross_entropy_objective(
                {.label_smoothing = 0.1, .logit_offsets = std::vector<double>(17, 0.25)}),
            .metrics = metrics,
            .epochs = 3,
            .batch_size = batch_norm ? 4 : 8,
            .grad_accum_steps = 2,
            .schedule = {.kind = ScheduleKind::cosine, .lr = 0.05, .warmup_steps = 2, .steps = 9},
            .clip_grad = 0.5,
            .trainer = {.micro_batch = batch_norm ? 0 : 3, .lanes = 2, .seed = 7}};
  }
  History fit(const FitOptions& options, const Callbacks& callbacks = {}) {
    return anther::fit(net, sgd, std::ref(train), &val, options, callbacks, ema.get());
  }
  std::vector<float> all() {
    std::vector<float> values;
    for (const std::span<const float> part :
         {std::as_const(store).values(), std::as_const(store).buffer_values(),
          std::as_const(*ema).values(), std::as_const(*ema).buffer_values(),
          std::span<const float>(sgd.state()[0].values.span())})
      values.insert(values.end(), part.begin(), part.end());
    return values;
  }

  static inline const AugmentOptions augmentation = {
      .scale = Range{0.3, 1},
      .hflip = 0.5,
      .rotation = 15,
      .color_jitter = {.brightness = 0.2, .hue = 0.05},
      .rand_augment = RandAugmentOptions{.mstd = 0.5},
      .random_erasing = {.prob = 0.25}};
  ParameterStore<float> store;
  Net net;
  SGD<float> sgd;
  Loader val;
  std::vector<std::int64_t> sizes;
  LoaderBySize train;
  std::unique_ptr<ModelEma<float>> ema;
};

TEST_CASE("fit: with everything on, stopped after any step, a run goes on with the same bits") {
  struct Kind {
    bool batch_norm, amp;
  };
  std::vector<float> in_float;  // what the first kind has learnt
  for (const auto [batch_norm, amp] : {Kind{false, false}, Kind{false, true}, Kind{true, false}}) {
    FullRun whole(batch_norm);
    FitOptions options = whole.options(batch_norm);
    options.trainer.amp = amp;
    const History expected = whole.fit(options);
    if (amp)
      CHECK(whole.all() != in_float);
    else if (!batch_norm)
      in_float = whole.all();
    const std::int64_t steps = whole.sgd.steps();
    CHECK(steps == (batch_norm ? 12 : 6));  // of 8 and of 16 images
    CHECK(whole.sizes == std::vector<std::int64_t>{32, 64});
    CHECK(expected[0].input_shape == Shape{32, 32, 3});
    CHECK(expected[1].input_shape == Shape{64, 64, 3});
    for (std::int64_t stop = 1; stop < steps; ++stop) {
      CAPTURE(batch_norm);
      CAPTURE(amp);
      CAPTURE(stop);
      const TemporaryFolder folder;
      const auto path = folder / "state.safetensors";
      History history;
      {
        FullRun first(batch_norm);
        StopAt stopper(stop);
        FitOptions own = options;
        own.stop = [&] { return stopper.now; };
        Callback* const callbacks[] = {&stopper};
        history = first.fit(own, callbacks);
        CHECK(first.sgd.steps() == stop);
        CHECK_FALSE(stopper.saved.finished);
        save_state(path, first.sgd, to_json(stopper.saved), first.ema.get());
      }
      FullRun second(batch_norm);
      second.store.initialize(99);
      FitOptions own = options;
      own.progress = fit_progress_from_json(load_state(path, second.sgd, second.ema.get()));
      const bool within = own.progress.batches > 0;
      StopAt notes(1000);
      Callback* const callbacks[] = {&notes};
      set_num_threads(static_cast<int>(stop % 4) + 1);
      for (const EpochReport& report : second.fit(own, callbacks)) history.push_back(report);
      set_num_threads(0);
      CHECK((notes.resumed_at > 0) == within);
      CHECK(notes.saved.finished);
      CHECK(second.all() == whole.all());
      REQUIRE(history.size() == 3);
      for (std::size_t i = 0; i < 3; ++i) {
        check_same(expected[i], history[i]);
        CHECK(expected[i].ema_loss == history[i].ema_loss);
        CHECK(expected[i].best == history[i].best);
      }
    }
  }
}

TEST_CASE("fit: a damaged image costs nothing of what was done before it") {
  Run whole;
  const History expected = whole.fit({.epochs = 2});
  const std::int64_t third_batch = epoch_order(27, true, 5, 0)[17];
  for (const bool in_evaluation : {false, true}) {
    CAPTURE(in_evaluation);
    const TemporaryFolder folder;
    {
      Run first;
      Loader train(
          prepared(std::make_shared<Damaged>(27, std::vector{in_evaluation ? -1 : third_batch}),
                   small_images),
          {.batch_size = 8, .shuffle = true, .seed = 5, .workers = 2});
      Loader val(
          prepared(std::make_shared<Damaged>(13, std::vector<std::int64_t>{7}, 2), small_images),
          {.batch_size = 5});
      StopAt notes(1000);
      Callback* const callbacks[] = {&notes};
      CHECK(contains(error_of([&] {
                       fit(first.net, first.adam, train, &val,
                           {.objective = objective,
                            .metrics = metrics,
                            .epochs = 2,
                            .schedule = Run::schedule,
                            .trainer = {.seed = 7}},
                           callbacks);
                     }),
                     ".jpg: truncated"));
      CHECK(first.adam.steps() == (in_evaluation ? 4 : 2));
      CHECK(notes.saved.batches == first.adam.steps());
      save_state(folder / "state.safetensors", first.adam, to_json(notes.saved));
    }
    Run second;
    second.store.initialize(99);
    const FitProgress progress =
        fit_progress_from_json(load_state(folder / "state.safetensors", second.adam));
    const History history = second.fit({.epochs = 2, .progress = progress});
    check_same_bits(whole, second);
    REQUIRE(history.size() == 2);
    for (std::size_t i = 0; i < 2; ++i) {
      check_same(expected[i], history[i]);
      CHECK(history[i].input_shape == Shape{32, 32, 3});
    }
  }
}

TEST_CASE("fit: within a step that has moved BatchNorm's statistics nothing is saved") {
  for (const bool batch_norm : {false, true}) {
    Run run(batch_norm);
    Loader train(
        prepared(std::make_shared<Damaged>(16, std::vector<std::int64_t>{15}), small_images),
        {.batch_size = 4});
    StopAt notes(1000);
    Callback* const callbacks[] = {&notes};
    CHECK(contains(error_of([&] {
                     fit(run.net, run.adam, train, nullptr,
                         {.objective = objective, .epochs = 1, .grad_accum_steps = 2}, callbacks);
                   }),
                   "15.jpg: truncated"));
    CHECK(run.adam.steps() == 1);
    CHECK(notes.saved.batches == (batch_norm ? 0 : 2));
  }
}

TEST_CASE("fit: with everything on, the steps are those of the loop that one would write") {
  FullRun run(false), by_hand(false);
  const FitOptions options = run.options(false);
  const std::span<const float> frozen = by_hand.store.value(by_hand.net.embed.bias.number);
  const std::vector<float> before(frozen.begin(), frozen.end());
  run.fit(options);
  Trainer<float> trainer(by_hand.net, options.objective, options.trainer);
  std::vector<float> average(by_hand.store.values().begin(), by_hand.store.values().end());
  std::int64_t clipped = 0;
  for (std::int64_t epoch = 0, step = 0; epoch < 3; ++epoch) {
    Loader& loader = by_hand.train.of_size(epoch == 0 ? 32 : 64);
    loader.start_epoch(epoch);
    Batch batch;
    for (bool more = true; more; ++step) {
      trainer.begin_step(step);
      for (int part = 0; more && part < 4; ++part)
        if ((more = loader.next(batch))) trainer.add(batch);
      trainer.finish_step();
      double sum = 0;
      for (const float g : trainer.gradients())
        sum += static_cast<double>(g) * static_cast<double>(g);
      clipped += std::sqrt(sum) > 0.5;
      const double scale = std::min(1.0, 0.5 / (std::sqrt(sum) + 1e-6));
      std::vector<float> gradients(trainer.gradients().begin(), trainer.gradients().end());
      for (float& g : gradients) g = static_cast<float>(scale * static_cast<double>(g));
      by_hand.sgd.step(gradients, options.schedule.at(step));
      const double decay =
          std::min(0.9, (2.0 + static_cast<double>(step)) / (11.0 + static_cast<double>(step)));
      for (std::size_t i = 0; i < average.size(); ++i)
        average[i] += static_cast<float>(1 - decay) * (by_hand.store.values()[i] - average[i]);
      if (by_hand.sgd.steps() % 2 == 0) more = false;  // two steps an epoch
    }
  }
  CHECK(clipped > 0);
  for (std::size_t i = 0; i < average.size(); ++i) {
    CHECK(run.store.values()[i] == doctest::Approx(by_hand.store.values()[i]).epsilon(1e-4));
    CHECK(run.ema->values()[i] == doctest::Approx(average[i]).epsilon(1e-4));
  }
  CHECK(std::ranges::equal(run.store.value(run.net.embed.bias.number), before));
}

TEST_CASE("fit: the average is evaluated in the model's place, and is what is best") {
  FullRun run(true);
  const History history = run.fit(run.options(true));
  CHECK(history[2].ema_loss != history[2].val_loss);
  const std::vector<float> weights(run.store.values().begin(), run.store.values().end());
  const Predictor<float> predictor(run.net, {64, 64, 3});
  const auto loss = [&] { return evaluate(std::cref(predictor), run.val, objective).mean_loss; };
  CHECK(loss() == history[2].val_loss);
  {
    const AveragedWeights<float> averaged(*run.ema);
    CHECK(loss() == history[2].ema_loss);
  }
  CHECK(std::ranges::equal(run.store.values(), weights));
  const std::vector<MetricValue> quarter = {{top_k(1)->info(), 0.25}},
                                 half = {{top_k(1)->info(), 0.5}};
  CHECK(EpochReport{.val_metrics = quarter, .ema_metrics = half}.metric().value == 0.5);
  CHECK(EpochReport{.val_metrics = quarter}.metric().value == 0.25);
  CHECK(EpochReport{.val_loss = 2}.metric().value == 2);
  CHECK_FALSE(EpochReport{.val_loss = 2}.metric().info.higher_is_better);
  double best = -1;
  for (const EpochReport& report : history) {
    CHECK(report.metric().value == report.ema_metrics[0].value);
    CHECK(report.best == (report.metric().value > best));
    best = std::max(best, report.metric().value);
  }
}

TEST_CASE("fit: patience ends a run that gets no better") {
  Run run;
  // A rate of nothing: no epoch after the first is better.
  const History history = fit(run.net, run.adam, run.train, run.val,
                              {.objective = objective,
                               .metrics = metrics,
                               .epochs = 50,
                               .schedule = {.lr = 1e-30},
                               .patience = 3});
  CHECK(history.size() == 4);
  CHECK(history[0].best);
  CHECK_FALSE(history[3].best);
  // Where a run is resumed, the epochs before count.
  const History rest = fit(run.net, run.adam, run.train, run.val,
                           {.objective = objective,
                            .metrics = metrics,
                            .epochs = 50,
                            .schedule = {.lr = 1e-30},
                            .patience = 3,
                            .progress = {.epochs = 3, .best = 1, .best_epoch = 2}});
  CHECK(rest.size() == 2);
  CHECK(contains(error_of([&] {
                   fit(run.net, run.adam, run.train, nullptr,
                       {.objective = objective, .patience = 1});
                 }),
                 "expected an evaluation to go by"));
}

TEST_CASE("fit: an evaluation every few epochs, and after the last") {
  Run run;
  const History history =
      fit(run.net, run.adam, run.train, run.val,
          {.objective = objective, .metrics = metrics, .epochs = 5, .val_interval = 2});
  REQUIRE(history.size() == 5);
  for (const EpochReport& report : history) {
    CAPTURE(report.epoch);
    const bool expected = report.epoch != 1 && report.epoch != 3;
    CHECK(report.evaluated() == expected);
    CHECK((expected || !report.best));
  }
  // Patience counts epochs, and ends a run after an evaluation.
  Run slow;
  const History ended = fit(slow.net, slow.adam, slow.train, slow.val,
                            {.objective = objective,
                             .metrics = metrics,
                             .epochs = 50,
                             .schedule = {.lr = 1e-30},
                             .val_interval = 3,
                             .patience = 4});
  CHECK(ended.size() == 9);
  CHECK(contains(error_of([&] {
                   fit(run.net, run.adam, run.train, run.val,
                       {.objective = objective, .val_interval = 0});
                 }),
                 "epochs from one evaluation to the next: expected at least 1, got 0"));
}

TEST_CASE("fit: a time budget is filled, and the schedule and the sizes go by it") {
  Run run;
  Notes notes;
  StopAt keep(1000);
  Callback* const callbacks[] = {&notes, &keep};
  // Each look at the clock takes a second; the run has used 40 of its 140 already.
  double now = 0;
  std::vector<double> shares;
  const FitOptions options{
      .objective = objective,
      .epochs = 2,
      .schedule = {.kind = ScheduleKind::linear, .lr = 1, .warmup_steps = 0, .steps = 8},
      .time_budget = 140,
      .clock = [&] { return now += 1; },
      .progress = {.seconds = 40}};
  const History history = fit(
      run.net, run.adam,
      [&](std::int64_t, double share) -> Loader& {
        shares.push_back(share);
        return run.train;
      },
      &run.val, options, callbacks);
  CHECK(history.size() > 3);  // more than `epochs`, which take too little of it
  CHECK(keep.saved.finished);
  CHECK(history.back().time >= 140);
  CHECK(history.back().time < 150);
  CHECK(shares.front() == doctest::Approx(40.0 / 140).epsilon(0.1));
  CHECK(std::ranges::is_sorted(shares));
  CHECK(shares.back() > 0.8);
  // Linear to zero at the end of the time, whatever the number of steps.
  CHECK(notes.rates.front() == doctest::Approx(100.0 / 140).epsilon(0.1));
  CHECK(std::ranges::is_sorted(notes.rates, std::ranges::greater{}));
  CHECK(notes.rates.back() < 0.1);
}

TEST_CASE("fit: a run that a time budget ends has been evaluated, whenever the time is up") {
  for (int budget = 60; budget < 80; ++budget) {
    CAPTURE(budget);
    Run run;
    double now = 0;
    const History history = fit(run.net, run.adam, run.train, run.val,
                                {.objective = objective,
                                 .metrics = metrics,
                                 .val_interval = 1000,
                                 .time_budget = static_cast<double>(budget),
                                 .clock = [&] { return now += 1; }});
    REQUIRE(history.size() > 1);
    CHECK_FALSE(history.front().evaluated());
    CHECK(history.back().evaluated());
  }
}

TEST_CASE("fit: gradients that are not finite stop the run as well, and the state is kept") {
  Run run(false);
  StopAt keep(1000);
  Callback* const callbacks[] = {&keep};
  // A loss that is finite, of weights so large that their gradients are not.
  {
    auto edit = run.store.edit();
    for (const int number :
         {run.net.head.weight.number, run.net.embed.weight.number, run.net.embed.bias.number})
      std::ranges::fill(edit.value(number), 0.0f);
    edit.value(run.net.head.weight.number)[0] = 3e38f;
    edit.value(run.net.head.weight.number)[12] = -3e38f;
  }
  const std::vector<float> before(run.store.values().begin(), run.store.values().end());
  const std::string message = error_of([&] { run.fit({.epochs = 1}, callbacks); });
  CHECK(contains(message, "not finite first: "));
  CHECK(std::ranges::equal(run.store.values(), before));
  CHECK_FALSE(keep.saved.finished);
}

// The progress as it was saved, and how often.
struct Saves : Callback {
  void on_progress(const FitProgress& progress) override { all.push_back(progress); }
  std::vector<FitProgress> all;
};

TEST_CASE(
    "fit: a loss that is not finite leaves the state before it, which a lower rate goes on from") {
  Run run(false);
  Saves saves;
  Callback* const callbacks[] = {&saves};
  run.fit({.epochs = 1}, callbacks);
  REQUIRE(saves.all.size() == 1);
  run.store.edit().value(run.net.head.bias.number)[0] = std::numeric_limits<float>::infinity();
  FitProgress progress = saves.all[0];
  progress.finished = false;
  CHECK_THROWS_AS(run.fit({.epochs = 2, .progress = progress}, callbacks), NotFiniteError);
  CHECK(saves.all.size() == 1);
}

TEST_CASE("fit: with other batches, an epoch goes on at its sample and the schedule at its share") {
  const auto flowers_of = [](std::int64_t batch) {
    return Loader(prepared(flowers(24), small_images), {.batch_size = batch});
  };
  FitProgress half{.epochs = 2, .batches = 3, .batch_size = 4, .steps_per_epoch = 6};
  half.epoch.step = 3;
  half.epoch.samples = 12;
  const auto adapted = [&](std::int64_t batch) {
    const Loader loader = flowers_of(batch);
    FitProgress progress = half;
    adapt_progress(progress, loader, steps_per_epoch(loader, 0), 15);
    return progress;
  };
  const FitProgress same = adapted(4);
  CHECK(same.batches == 3);
  CHECK(same.epoch.step == 3);
  CHECK(same.schedule_offset == 0);
  const FitProgress smaller = adapted(2);
  CHECK(smaller.batches == 6);
  CHECK(smaller.epoch.step == 6);
  CHECK(smaller.epoch.samples == 12);
  CHECK(smaller.schedule_offset == 30 - 15);  // half of the third of epochs of 12 steps
  const FitProgress other = adapted(5);       // begins at sample 10
  CHECK(other.batches == 2);
  CHECK(other.epoch.samples == 10);
  CHECK(other.epoch.step == 2);
  CHECK(other.schedule_offset == 12 - 15);
  const FitProgress larger = adapted(24);
  CHECK(larger.batches == 0);
  CHECK(larger.epoch.samples == 0);
  // A progress of before these numbers were kept.
  const Loader loader = flowers_of(4);
  FitProgress old{.epochs = 2, .batches = 3};
  adapt_progress(old, loader, 6, 15);
  CHECK(old.batches == 3);
  CHECK(old.schedule_offset == 0);
}

}  // namespace
