// Several ranks train as one process does, to the same bytes: weights, the optimiser's state, the
// averaged weights, and the tables of a run. The ranks are threads here.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <numeric>
#include <string>
#include <vector>

#include "anther/data/vision/augment.hpp"
#include "anther/data/vision/image_set.hpp"
#include "anther/data/vision/mix.hpp"
#include "anther/distributed/launcher.hpp"
#include "anther/distributed/texts.hpp"
#include "anther/io/file.hpp"
#include "anther/nn/activation.hpp"
#include "anther/nn/conv.hpp"
#include "anther/nn/drop.hpp"
#include "anther/nn/linear.hpp"
#include "anther/nn/norm.hpp"
#include "anther/ops/activation.hpp"
#include "anther/ops/pool.hpp"
#include "anther/optim/adam.hpp"
#include "anther/optim/sgd.hpp"
#include "anther/painted/painted.hpp"
#include "anther/train/checkpoint_callback.hpp"
#include "anther/train/fit.hpp"
#include "anther/train/objectives.hpp"
#include "anther/train/run_folder.hpp"
#include "anther/train/run_log.hpp"
#include "tests/io/temporary_folder.hpp"
#include "tests/train/thread_group.hpp"

namespace {

using namespace anther;
using namespace anther::detail;
using anther::test::run_ranks;
using namespace anther::painted;
using namespace anther::vision;

// Of 90,000 parameters, so that each of four ranks has a segment.
struct Net : Module<float> {
  Net(const Scope<float>& scope, bool batch_norm)
      : Module(scope, "Net"),
        embed(scope / "embed", 3, 24, {.kernel_size = 4, .stride = 4}),
        hidden(scope / "hidden", 24, 280),
        dropout(scope / "dropout", 0.2),
        wide(scope / "wide", 280, 280),
        head(scope / "head", 280, 17) {
    if (batch_norm)
      norm = std::make_unique<BatchNorm2d<float>>(scope / "norm", 24);
    else
      norm = std::make_unique<LayerNorm<float>>(scope / "norm", 24);
  }
  Variable<float> forward(Variable<float> x) const override {
    x = hidden(global_average_pool(relu(norm(embed(x)))));
    return head(relu(wide(dropout(relu(x)))));
  }
  Conv2d<float> embed;
  AnyModule<float> norm;
  Linear<float> hidden;
  Dropout<float> dropout;
  Linear<float> wide;
  Linear<float> head;
};

// Images of which one cannot be read.
struct Damaged final : data::Dataset {
  Damaged(data::DatasetPointer whole, std::int64_t bad) : all(std::move(whole)), damaged(bad) {}
  std::int64_t size() const override { return all->size(); }
  Shape input_shape() const override { return all->input_shape(); }
  data::TargetSpec target() const override { return all->target(); }
  void load(std::int64_t index, RandomKey key, const data::Sample& sample) const override {
    if (index == damaged) throw Error("photograph.jpg: the file is damaged");
    all->load(index, key, sample);
  }
  data::DatasetPointer all;
  std::int64_t damaged;
};

struct Options {
  bool batch_norm = false;
  bool sgd = false;
  std::int64_t epochs = 2;
  std::int64_t accumulate = 1;
  std::int64_t damaged = -1;
  bool skip_bad = false;
  std::int64_t stop_after = std::numeric_limits<std::int64_t>::max();  // steps
  int stopping_rank = 0;
};

data::DatasetPointer training_images(const Options& o) {
  const Preprocess preprocess{.image_size = 32};
  const AugmentOptions augment{
      .scale = Range{0.4, 1}, .hflip = 0.5, .rotation = 10, .color_jitter = {.brightness = 0.2}};
  data::DatasetPointer images = prepared(
      std::make_shared<PaintedFlowers>(PaintedOptions{.size = 83, .image_size = 32, .seed = 1}), 32,
      32, Augment(preprocess, augment));
  return o.damaged < 0 ? images : std::make_shared<const Damaged>(images, o.damaged);
}

// Trains in a folder; goes on with the run there, if there is one. group: null for one process.
// Batches of 32 come in parts of 16, these in micro-batches of 3, with lanes of 4; the last batch
// of an epoch has 19 images. Mixing is of pairs, which micro-batches divide.
void train(const std::filesystem::path& path, ProcessGroup* group, const Options& o) {
  const bool first = is_first(group);
  ParameterStore<float> store;
  const Net net(store, o.batch_norm);
  std::unique_ptr<Optimizer<float>> optimizer;
  if (o.sgd)
    optimizer = std::make_unique<SGD<float>>(store, SGDOptions{.momentum = 0.9, .nesterov = true});
  else
    optimizer = std::make_unique<Adam<float>>(store, AdamOptions{.weight_decay = 0.01});
  // Rank 0's values count.
  store.initialize(first ? 3 : 99);
  ModelEma<float> ema(store, 0.9);
  data::Loader train_loader(training_images(o), {.batch_size = 16,
                                                 .shuffle = true,
                                                 .seed = 5,
                                                 .workers = 2,
                                                 .skip_bad = o.skip_bad,
                                                 .mix = mixing({.mixup = 0.4, .cutmix = 1.0})});
  data::Loader val_loader(prepared(std::make_shared<PaintedFlowers>(
                                       PaintedOptions{.size = 33, .image_size = 32, .seed = 2}),
                                   Preprocess{.image_size = 32}),
                          {.batch_size = 5});
  FitOptions options{.objective = cross_entropy_objective({.label_smoothing = 0.1}),
                     .metrics = {top_k(1), top_k(5)},
                     .epochs = o.epochs,
                     .batch_size = 32,
                     .grad_accum_steps = o.accumulate,
                     .schedule = {.kind = ScheduleKind::cosine, .lr = 4e-3, .steps = 9},
                     .clip_grad = 0.3,
                     .clock = [] { return 1.0; },
                     .trainer = {.lanes = 4, .seed = 7, .group = group}};
  if (o.batch_norm)
    options.trainer.batch_norm_group = 3;
  else
    options.trainer.micro_batch = 3;
  options.stop = [&] {
    return optimizer->steps() >= o.stop_after && (!group || group->rank() == o.stopping_rank);
  };
  if (!first) {
    fit(net, *optimizer, train_loader, &val_loader, options, {}, &ema);
    return;
  }
  const bool goes_on = std::filesystem::exists(path / "weights" / "last.state.safetensors");
  const RunFolder folder({.output = path, .resume = goes_on});
  if (goes_on)
    options.progress = fit_progress_from_json(
        load_state(folder.weights() / "last.state.safetensors", *optimizer, &ema));
  LogCallback log(folder, {.metrics = options.metrics,
                           .averaged = true,
                           .last_epoch = options.progress.epochs,
                           .last_step = optimizer->steps()});
  CheckpointCallback<float> checkpoint(folder, *optimizer, {}, &ema);
  fit(net, *optimizer, train_loader, &val_loader, options, {&log, &checkpoint}, &ema);
}

void train_as(int ranks, const std::filesystem::path& path, const Options& o) {
  if (ranks == 1) return train(path, nullptr, o);
  for (const std::string& error :
       run_ranks(ranks, [&](ProcessGroup& group) { train(path, &group, o); }))
    CHECK(error == "");
}

// All that a run has written, but for how long it has waited for images: results.csv is left out.
std::vector<std::string> files_of(const std::filesystem::path& path) {
  std::vector<std::string> files;
  for (const char* name : {"weights/last.safetensors", "weights/last_ema.safetensors",
                           "weights/best.safetensors", "steps.csv"})
    files.push_back(io::read_text_file(path / name));
  const io::SafetensorsFile state(path / "weights" / "last.state.safetensors");
  nlohmann::json progress = progress_of(state).progress;
  progress.erase("stall_seconds");
  files.push_back(progress.dump());
  const std::string bytes = io::read_text_file(state.path());
  std::uint64_t header = 0;
  std::memcpy(&header, bytes.data(), sizeof header);
  files.push_back(bytes.substr(sizeof header + header));
  return files;
}
void check_same_files(const std::filesystem::path& a, const std::filesystem::path& b) {
  const std::vector<std::string> left = files_of(a), right = files_of(b);
  for (std::size_t i = 0; i < left.size(); ++i) {
    CAPTURE(i);
    CHECK(left[i].size() > 50);
    CHECK((left[i] == right[i]));
  }
}

TEST_CASE("ranks: 1, 2, 3 and 4 write the same bytes") {
  const TemporaryFolder folder;
  for (const bool batch_norm : {false, true})
    for (const std::int64_t accumulate : {1, 2}) {
      CAPTURE(batch_norm);
      CAPTURE(accumulate);
      const Options o{.batch_norm = batch_norm, .sgd = accumulate == 2, .accumulate = accumulate};
      const auto path = [&](int ranks) {
        return folder /
               (std::to_string(ranks) + (batch_norm ? "bn" : "") + std::to_string(accumulate));
      };
      train_as(1, path(1), o);
      for (const int ranks : {2, 3, 4}) {
        CAPTURE(ranks);
        train_as(ranks, path(ranks), o);
        check_same_files(path(1), path(ranks));
      }
    }
}

TEST_CASE("ranks: two are stopped, and four go on") {
  const TemporaryFolder folder;
  train_as(1, folder / "whole", {});
  train_as(2, folder / "parts", {.stop_after = 2, .stopping_rank = 1});
  const auto state = folder / "parts" / "weights" / "last.state.safetensors";
  // The other rank learns of it within the next step.
  CHECK(progress_of(io::SafetensorsFile(state)).steps == 3);
  train_as(4, folder / "parts", {});
  check_same_files(folder / "whole", folder / "parts");
  CHECK(progress_of(io::SafetensorsFile(state)).steps == 6);
}

TEST_CASE("ranks: what fails on one ends all, with what was done before") {
  const TemporaryFolder folder;
  const Options o{.damaged = 40};
  const std::vector<std::string> errors =
      run_ranks(3, [&](ProcessGroup& group) { train(folder / "run", &group, o); });
  for (const std::string& error : errors) {
    CHECK(error == errors[0]);
    CHECK(contains(error, "on host here: sample 40: photograph.jpg: the file is damaged"));
    CHECK(contains(error, "rank "));
  }
  const auto state = folder / "run" / "weights" / "last.state.safetensors";
  CHECK(progress_of(io::SafetensorsFile(state)).steps < 3);
  // It goes on once the file is mended, or may be left out.
  train_as(2, folder / "run", {});
  train_as(1, folder / "whole", {});
  check_same_files(folder / "whole", folder / "run");
  train_as(1, folder / "without", {.damaged = 40, .skip_bad = true});
  train_as(3, folder / "without3", {.damaged = 40, .skip_bad = true});
  check_same_files(folder / "without", folder / "without3");
}

TEST_CASE("ranks: an evaluation goes on where all samples of one rank are damaged") {
  // Sample i is damaged where (i / 2) % 2 is `odd`; if it is 2, all are.
  struct Halves final : data::Dataset {
    explicit Halves(std::int64_t which) : odd(which) {}
    std::int64_t size() const override { return 8; }
    Shape input_shape() const override { return {1}; }
    data::TargetSpec target() const override { return data::classes(); }
    void load(std::int64_t index, RandomKey, const data::Sample&) const override {
      check(odd != 2 && index / 2 % 2 != odd, "damaged");
    }
    std::int64_t odd;
  };
  for (const std::int64_t odd : {0, 1, 2}) {
    const std::vector<std::string> errors = run_ranks(2, [&](ProcessGroup& group) {
      data::Loader loader(std::make_shared<const Halves>(odd), {.batch_size = 2, .skip_bad = true});
      Agreement agreement(&group, {}, {});
      const Predict same = [](const Tensor<float>& inputs) { return inputs; };
      const StepReport report = evaluate(same, loader, {}, {}, {}, agreement);
      CHECK(report.samples == 4);
    });
    for (const std::string& error : errors)
      CHECK(error == (odd < 2 ? "" : "evaluation: there was no usable sample"));
  }
}

TEST_CASE("ranks: a step sends gradients and weights once, and a rank folds its own lanes") {
  constexpr std::int64_t lanes = 8;
  std::vector<float> gradients;
  for (const int ranks : {1, 2, 4, 8}) {
    CAPTURE(ranks);
    std::vector<std::int64_t> received(static_cast<std::size_t>(ranks));
    std::int64_t expected = 0;
    std::vector<float> sum;
    for (const std::string& error : run_ranks(ranks, [&](ProcessGroup& group) {
           ParameterStore<float> store;
           const Net net(store, false);
           store.initialize(1);
           SGD<float> optimizer(store, {});
           optimizer.share(group);
           Trainer<float> trainer(net, cross_entropy_objective(),
                                  {.micro_batch = 1, .lanes = lanes, .group = &group});
           data::Loader loader(training_images({}), {.batch_size = 13});
           loader.start_epoch(0);
           data::Batch batch;
           loader.next(batch);
           auto& counted = static_cast<anther::test::ThreadGroup&>(group);
           const std::int64_t before = counted.received();
           trainer.compute_gradients(batch, 0);
           const Segment own = optimizer.segment();
           static std::mutex mutex;
           {
             const std::lock_guard lock(mutex);
             sum.resize(static_cast<std::size_t>(store.size()));
             std::ranges::copy(trainer.gradients(), sum.begin() + own.begin);
           }
           optimizer.step(trainer.gradients(), 1e-3);
           received[static_cast<std::size_t>(group.rank())] = counted.received() - before;
           if (group.rank() > 0) return;
           // Of all ranks together: (N - 1) times the gradients, and the weights.
           const std::int64_t bytes = store.size() * std::int64_t{sizeof(float)};
           expected = 2 * (ranks - 1) * bytes;
         }))
      CHECK(error == "");
    const std::int64_t all = std::accumulate(received.begin(), received.end(), std::int64_t{0});
    CHECK(all >= expected);
    CHECK(all <= expected + 2000 * ranks * (ranks - 1));  // losses, and whether all went well
    if (ranks == 1) gradients = sum;
    CHECK((sum == gradients));
  }
}

TEST_CASE("ranks: what cannot be shared is refused") {
  const auto refused = [](int ranks, bool batch_norm, const TrainerOptions& options) {
    std::string text;
    for (const std::string& error : run_ranks(ranks, [&](ProcessGroup& group) {
           ParameterStore<float> store;
           const Net net(store, batch_norm);
           TrainerOptions own = options;
           own.group = &group;
           Trainer<float>(net, cross_entropy_objective(), own);
         })) {
      CHECK((text.empty() || error == text));
      text = error;
    }
    return text;
  };
  CHECK(contains(refused(3, false, {.lanes = 2}),
                 "lanes: expected at least 1 for each of 3 ranks, got 2"));
  CHECK(contains(refused(2, true, {.lanes = 2}), "expected a batch_norm_group"));

  // Each rank that differs is named, on all ranks.
  for (const std::string& error : run_ranks(3, [](ProcessGroup& group) {
         check_same(group, {{"version", "1.0"}, {"images", group.rank() == 2 ? "1019" : "1020"}});
       }))
    CHECK(contains(error, "rank 2 on host here: images: 1019, not 1020"));
  for (const std::string& error : run_ranks(2, [](ProcessGroup& group) {
         ParameterStore<float> store;
         const Net net(store, false);
         SGD<float> optimizer(store, {});
         data::Loader images(training_images({}), {.batch_size = 16});
         fit(net, optimizer, images, nullptr,
             {.objective = cross_entropy_objective(),
              .clip_grad = group.rank() == 0 ? 1.0 : 0.5,
              .trainer = {.lanes = 2, .group = &group}});
       }))
    CHECK(contains(error, "rank 1 on host here: clipping: 0.5, not 1"));
}

TEST_CASE("ranks: a program without MPI tells what a launcher would do with it") {
  const std::vector<const char*> names = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE",
                                          "PMIX_RANK", "SLURM_STEP_NUM_TASKS"};
  for (const char* name : names) ::unsetenv(name);
  CHECK(launched_ranks() == 0);
  check_not_launched();
  for (const char* name : names) {
    CAPTURE(name);
    ::setenv(name, "3", 1);
    const bool counts = std::string(name) != "PMIX_RANK";
    CHECK(launched_ranks() == (counts ? 3 : -1));
    const std::string error = error_of(check_not_launched);
    CHECK(contains(error, "this program was built without MPI"));
    CHECK(contains(error, "3 times") == counts);
    ::setenv(name, "1", 1);  // one rank is one process
    if (std::string(name) == "SLURM_STEP_NUM_TASKS") CHECK(launched_ranks() == 0);
    if (counts) check_not_launched();
    ::unsetenv(name);
  }
  ::setenv("PMIX_RANK", "0", 1);  // srun --mpi=pmix says how many there are
  ::setenv("SLURM_STEP_NUM_TASKS", "1", 1);
  CHECK(launched_ranks() == 1);
  check_not_launched();
  ::setenv("SLURM_STEP_NUM_TASKS", "2", 1);
  CHECK(launched_ranks() == -1);
  for (const char* name : names) ::unsetenv(name);
}

}  // namespace
