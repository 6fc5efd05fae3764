// The options of train_flowers: what is refused, by name, and that args.json is read back as it
// was.
#include "examples/train_options.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <string>

#include "anther/io/atomic_file.hpp"
#include "tests/io/temporary_folder.hpp"

namespace {

// What check_options says of the defaults with one change.
std::string refusal(const std::function<void(TrainOptions&)>& change) {
  TrainOptions options;
  change(options);
  return error_of([&] { check_options(options); });
}

TEST_CASE("train options: numbers that make no sense are refused by name") {
  CHECK(refusal([](TrainOptions&) {}).empty());
  struct Row {
    const char* flag;
    std::int64_t TrainOptions::*member;
    std::int64_t wrong;
  };
  const Row rows[] = {
      {"--threads", &TrainOptions::threads, -3},
      {"--seed", &TrainOptions::seed, -1},
      {"--micro-batch", &TrainOptions::micro_batch, -1},
      {"--lanes", &TrainOptions::lanes, 0},
      {"--workers", &TrainOptions::workers, -1},
      {"--limit", &TrainOptions::limit, -1},
      {"--epochs", &TrainOptions::epochs, 0},
      {"--batch-size", &TrainOptions::batch_size, 0},
      {"--gn-groups", &TrainOptions::gn_groups, -1},
      {"--ffn-kernel", &TrainOptions::ffn_kernel, 2},
      {"--threads", &TrainOptions::threads, 100'000},
      {"--patience", &TrainOptions::patience, -1},
      {"--grad-accum-steps", &TrainOptions::grad_accum_steps, 0},
  };
  for (const Row& row : rows) {
    const std::string message = refusal([&](TrainOptions& o) { o.*row.member = row.wrong; });
    CHECK_MESSAGE(message.starts_with(std::string(row.flag) + ": expected "), message);
    CHECK_MESSAGE(contains(message, "got " + std::to_string(row.wrong)), message);
  }
}

TEST_CASE("train options: fractions that are negative, infinite or no number") {
  struct Row {
    const char* flag;
    double TrainOptions::*member;
  };
  const Row rows[] = {
      {"--lr", &TrainOptions::lr},
      {"--min-lr", &TrainOptions::min_lr},
      {"--warmup-lr", &TrainOptions::warmup_lr},
      {"--warmup-epochs", &TrainOptions::warmup_epochs},
      {"--decay-epochs", &TrainOptions::decay_epochs},
      {"--decay-rate", &TrainOptions::decay_rate},
      {"--smoothing", &TrainOptions::smoothing},
      {"--drop-path", &TrainOptions::drop_path},
      {"--val-fraction", &TrainOptions::val_fraction},
      {"--time-budget", &TrainOptions::time_budget},
      {"--momentum", &TrainOptions::momentum},
      {"--weight-decay", &TrainOptions::weight_decay},
      {"--opt-eps", &TrainOptions::opt_eps},
      {"--clip-grad", &TrainOptions::clip_grad},
      {"--layer-decay", &TrainOptions::layer_decay},
      {"--model-ema-decay", &TrainOptions::model_ema_decay},
      {"--logit-adjust", &TrainOptions::logit_adjust},
  };
  for (const Row& row : rows)
    for (const double wrong : {-1.0, std::nan(""), std::numeric_limits<double>::infinity()}) {
      const std::string message = refusal([&](TrainOptions& o) { o.*row.member = wrong; });
      CHECK_MESSAGE(message.starts_with(std::string(row.flag) + ": expected "), message);
    }
  CHECK(contains(refusal([](TrainOptions& o) { o.smoothing = 1; }), "--smoothing"));
  CHECK(contains(refusal([](TrainOptions& o) { o.model_ema_decay = 1; }), "--model-ema-decay"));
  CHECK(contains(refusal([](TrainOptions& o) { o.opt_betas = {0.9, 1}; }), "--opt-betas"));
  CHECK(contains(refusal([](TrainOptions& o) { o.opt_betas = {0.9}; }), "--opt-betas"));
  CHECK(
      contains(refusal([](TrainOptions& o) { o.opt = "lamb"; }), "--opt: expected one of adam, "));
  CHECK(contains(refusal([](TrainOptions& o) { o.sched = "exp"; }), "--sched"));
  CHECK(contains(refusal([](TrainOptions& o) { o.eval_split = "train"; }), "--eval-split"));
  CHECK(contains(refusal([](TrainOptions& o) { o.img_size = "96:100"; }), "--img-size"));
}

TEST_CASE("train options: what is written is read back, and what is no option refused") {
  const TemporaryFolder folder;
  const auto path = (folder / "args.json").string();
  const auto read = [&](const std::string& json) {
    anther::write_file_atomically(path, json);
    TrainOptions options;
    read_options(path, options);
    return options;
  };
  TrainOptions options;
  options.lr = 0.1 + 0.2;
  options.model = "s";
  options.seed = 7;
  options.skip_bad = true;
  CHECK(to_json(read(to_json(options).dump())) == to_json(options));
  CHECK(read("{\"comment\": \"x\"}").epochs == 20);
  // A size or a number of stages may be a number.
  CHECK(to_json(options)["img_size"] == 224);
  CHECK(read("{\"img_size\": 96, \"freeze\": 2}").img_size == "96");
  CHECK(read("{\"img_size\": \"96:128\"}").img_size == "96:128");
  // A run that is repeated goes to a folder of its own.
  options.output = "runs/x";
  CHECK_FALSE(to_json(options).contains("output"));
  options.output.clear();
  CHECK(contains(error_of([&] { read("{\"epoch\": 3}"); }), path + ": unknown option epoch"));
  for (const char* wrong : {"1.5", "\"3\"", "true", "1e30", "18446744073709551615", "null"})
    CHECK(contains(error_of([&] { read(std::string("{\"epochs\": ") + wrong + "}"); }),
                   "epochs: expected an integer, got "));
  CHECK(contains(error_of([&] { read("{\"lr\": \"fast\"}"); }), path + ": lr: "));
  CHECK(contains(error_of([&] { read("[]"); }), "expected a JSON object"));
  CHECK(contains(error_of([&] { read("{"); }), "expected JSON"));
}

TEST_CASE("train options: the recipes are options that make sense") {
  int recipes = 0;
  for (const auto& entry : std::filesystem::directory_iterator("examples/recipes")) {
    CAPTURE(entry.path().string());
    TrainOptions options;
    read_options(entry.path().string(), options);
    check_options(options);
    ++recipes;
    // The article's run is what the program does without options.
    if (entry.path().filename() == "seed.json") CHECK(to_json(options) == to_json(TrainOptions{}));
  }
  CHECK(recipes >= 3);
}

}  // namespace
