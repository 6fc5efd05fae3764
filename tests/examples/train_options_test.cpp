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
#include "examples/train_data.hpp"
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
  options.img_size = "224";
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
  const std::string deep(300'000, '['), end(300'000, ']');
  CHECK(contains(error_of([&] { read("{\"epochs\": " + deep + end + "}"); }),
                 "epochs: expected an integer, got array"));
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
    augment_options(options);
    mix_options(options);
    ++recipes;
    if (entry.path().filename() != "seed.json") continue;
    // The article's run is what the program does without options.
    TrainOptions plain;
    complete_preprocess(plain, {});
    complete_preprocess(options, {});
    CHECK(to_json(options) == to_json(plain));
  }
  CHECK(recipes >= 3);
}

TEST_CASE("train options: the paper's recipe is section 8 of docs/edgevit.md") {
  TrainOptions o;
  read_options("examples/recipes/paper.json", o);
  CHECK(o.preset == "original");
  CHECK(o.epochs == 300);
  CHECK(o.opt == "adamw");
  CHECK(o.opt_betas == std::vector<double>{0.9, 0.999});
  CHECK(o.opt_eps == 1e-8);
  CHECK(o.weight_decay == 0.05);
  const double batch = static_cast<double>(o.batch_size * o.grad_accum_steps);
  CHECK(o.lr == doctest::Approx(5e-4 * batch / 512));
  CHECK(o.sched == "cosine");
  CHECK(o.warmup_epochs == 5);
  CHECK(o.warmup_lr == 1e-6);
  CHECK(o.min_lr == 1e-5);
  CHECK(o.drop_path == 0.1);
  CHECK(o.smoothing == 0.1);
  CHECK(o.clip_grad == 0);
  CHECK(o.model_ema);
  // The average reaches back as far of the run as theirs: 1 / (1 - decay) steps.
  const double steps = 300 * std::ceil(6149 / batch);
  CHECK(1 / (1 - o.model_ema_decay) / steps ==
        doctest::Approx(1 / (1 - 0.99996) / 187'500).epsilon(0.05));
  const anther::MixOptions mix = mix_options(o);
  CHECK(mix.mixup == 0.8);
  CHECK(mix.cutmix == 1);
  CHECK(mix.prob == 1);
  CHECK(mix.switch_prob == 0.5);
  const anther::AugmentOptions augmentation = augment_options(o);
  REQUIRE(augmentation.rand_augment);
  CHECK(*augmentation.rand_augment == anther::RandAugmentOptions{.n = 2, .m = 9, .mstd = 0.5});
  CHECK(augmentation.random_erasing.prob == 0.25);
  CHECK(augmentation.random_erasing.mode == anther::EraseMode::pixel);
  CHECK(augmentation.random_erasing.count == 1);
  CHECK(augmentation.scale == anther::timm_augmentation().scale);
  CHECK(augmentation.hflip == anther::timm_augmentation().hflip);
  CHECK_FALSE(augmentation.color_jitter.on());
}

TEST_CASE("train options: what is open of the preprocessing is that of the starting weights") {
  const anther::Preprocess card{.image_size = 96,
                                .resize = anther::ResizeMode::short_side,
                                .resize_size = 120,
                                .mean = {0.485f, 0.456f, 0.406f},
                                .std = {0.229f, 0.224f, 0.225f}};
  TrainOptions open;
  CHECK(complete_preprocess(open, card) ==
        "img-size 96, resize short-side, crop-pct 0.8, mean 0.485 0.456 0.406, std 0.229 0.224 "
        "0.225");
  const anther::Preprocess taken = preprocess_of(open, 96);
  CHECK(taken.short_side() == card.short_side());
  CHECK(taken.resize == card.resize);
  CHECK(taken.mean == card.mean);
  CHECK(taken.std == card.std);
  // args.json says it in full, so that the run goes on and is repeated without the weights' file.
  CHECK(to_json(open)["mean"] == nlohmann::json({0.485, 0.456, 0.406}));
  CHECK(complete_preprocess(open, {}).empty());
  CHECK(preprocess_of(open, 96) == taken);

  TrainOptions given;
  given.img_size = "64:96";
  given.resize = "tensor";
  given.std = {1, 2, 3};
  CHECK(complete_preprocess(given, card) == "crop-pct 0.8, mean 0.485 0.456 0.406");
  CHECK(given.img_size == "64:96");
  CHECK(preprocess_of(given, 64) ==
        anther::Preprocess{.image_size = 64, .crop_pct = 0.8, .mean = card.mean, .std = {1, 2, 3}});
  CHECK(refusal([](TrainOptions& o) { o.mean = {1, 2}; }) == "--mean: expected 3 numbers, got 2");
  CHECK(contains(refusal([](TrainOptions& o) { o.crop_pct = 1.5; }), "--crop-pct: expected"));
}

TEST_CASE("train options: errors of the library name the flag") {
  CHECK(error_of([] { naming_flag([] { anther::fail("color_jitter: expected a_b"); }); }) ==
        "--color-jitter: expected a_b");
  CHECK(naming_flag([] { return 3; }) == 3);
}

}  // namespace
