// The options of train_flowers: what is refused, by name, and that args.json is read back as it
// was.
#include "examples/train_options.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "anther/data/vision/cache.hpp"
#include "anther/data/vision/open.hpp"
#include "anther/io/atomic_file.hpp"
#include "anther/models/edgevit/config.hpp"
#include "anther/painted/opener.hpp"
#include "examples/train_data.hpp"
#include "examples/train_model.hpp"
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
      {"--bn-group", &TrainOptions::bn_group, 1},
      {"--threads", &TrainOptions::threads, 100'000},
      {"--val-interval", &TrainOptions::val_interval, 0},
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
    anther::io::write_file_atomically(path, json);
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
  CHECK(read("{\"options\": {\"a\": [1]}}").options == "{\"a\":[1]}");
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

TEST_CASE("train options: flags go before a file's options, also to turn them off") {
  const TemporaryFolder folder;
  const auto path = (folder / "args.json").string();
  anther::io::write_file_atomically(
      path, R"({"model_ema": true, "profile": true, "lr": 0.5, "opt": "sgd", "scale": [0.3, 1]})");
  TrainOptions options;
  read_options(path, options);
  CLI::App app;
  add_options(app, options);
  app.parse("--no-model-ema --lr 0.25 --scale 0.5 0.75 --table", false);
  CHECK_FALSE(options.model_ema);
  CHECK(options.profile);
  CHECK(options.table);
  CHECK(options.lr == 0.25);
  CHECK(options.opt == "sgd");
  CHECK(options.scale == std::vector<double>{0.5, 0.75});
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
    // The article's run is what the program does without options, but that it is chosen by test.
    TrainOptions plain;
    plain.eval_split = "test";
    complete_model(plain, nullptr);
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
  CHECK(o.mean == std::vector<double>{0.485, 0.456, 0.406});
  CHECK(o.std == std::vector<double>{0.229, 0.224, 0.225});
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
  const anther::vision::MixOptions mix = mix_options(o);
  CHECK(mix.mixup == 0.8);
  CHECK(mix.cutmix == 1);
  CHECK(mix.prob == 1);
  CHECK(mix.switch_prob == 0.5);
  const anther::vision::AugmentOptions augmentation = augment_options(o);
  REQUIRE(augmentation.rand_augment);
  CHECK(*augmentation.rand_augment ==
        anther::vision::RandAugmentOptions{.n = 2, .m = 9, .mstd = 0.5});
  CHECK(augmentation.random_erasing.prob == 0.25);
  CHECK(augmentation.random_erasing.mode == anther::vision::EraseMode::pixel);
  CHECK(augmentation.random_erasing.count == 1);
  CHECK(augmentation.scale == anther::vision::timm_augmentation().scale);
  CHECK(augmentation.hflip == anther::vision::timm_augmentation().hflip);
  CHECK_FALSE(augmentation.color_jitter.on());
}

TEST_CASE("train options: what is open of the preprocessing is that of the starting weights") {
  const anther::vision::Preprocess card{.image_size = 96,
                                        .resize = anther::vision::ResizeMode::short_side,
                                        .resize_size = 120,
                                        .mean = {0.485f, 0.456f, 0.406f},
                                        .std = {0.229f, 0.224f, 0.225f}};
  TrainOptions open;
  CHECK(complete_preprocess(open, card) ==
        "img-size 96, resize short-side, crop-pct 0.8, mean 0.485 0.456 0.406, std 0.229 0.224 "
        "0.225");
  const anther::vision::Preprocess taken = preprocess_of(open, 96);
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
        anther::vision::Preprocess{
            .image_size = 64, .crop_pct = 0.8, .mean = card.mean, .std = {1, 2, 3}});
  CHECK(refusal([](TrainOptions& o) { o.mean = {1, 2}; }) == "--mean: expected 3 numbers, got 2");
  CHECK(contains(refusal([](TrainOptions& o) { o.crop_pct = 1.5; }), "--crop-pct: expected"));
}

// That each flag reaches the training is flags_test.sh's; here, that it is not another's place.
TEST_CASE("train options: what the model's flags are to the library") {
  TrainOptions o;
  complete_model(o, nullptr);
  CHECK(chosen_model(o, 7).options == to_json(anther::edgevit_options("xxs", 7)));
  o.model = "s";
  o.preset = "original";
  o.norm = "in";
  o.local_norm = "ln";
  o.ffn = "conv";
  o.ffn_kernel = 3;
  o.init = "official";
  o.gn_groups = 4;
  o.drop_path = 0.25;
  anther::EdgeViTOptions expected = anther::edgevit_options("s", 7, "original");
  expected.norm = anther::edgevit::NormKind::in;
  expected.local_norm = anther::edgevit::NormKind::ln;
  expected.ffn = anther::edgevit::FfnKind::conv;
  expected.ffn_kernel = 3;
  expected.init = anther::edgevit::InitScheme::official;
  expected.gn_groups = 4;
  expected.drop_path = 0.25;
  CHECK(chosen_model(o, 7).options == to_json(expected));
  CHECK(expected.num_classes == 7);
  o = {};
  o.model = "xxs";
  o.options = R"({"drop_path": 0.5, "dims": [12, 24, 36, 48]})";
  o.drop_path = 0.25;  // a flag goes before
  expected = anther::edgevit_options("xxs", 7);
  expected.dims = {12, 24, 36, 48};
  expected.drop_path = 0.25;
  CHECK(chosen_model(o, 7).options == to_json(expected));
  o.options = "[1]";
  CHECK(contains(error_of([&] { chosen_model(o, 7); }), "options: expected a JSON object"));
  o.options = R"({"dimms": 1})";
  CHECK(contains(error_of([&] { chosen_model(o, 7); }), "unknown key dimms"));
  o = {};
  o.model = "xs";
  o.table = true;
  CHECK(chosen_model(o, 7).options == to_json(anther::edgevit_options("xs", 7, "improved", true)));
  CHECK(chosen_model(o, 7).options != to_json(anther::edgevit_options("xs", 7)));
}

TEST_CASE("train options: what the optimiser's flags are to the library") {
  TrainOptions o;
  o.opt_betas = {0.8, 0.9};
  o.opt_eps = 0.01;
  o.weight_decay = 0.05;
  o.momentum = 0.7;
  const anther::AdamOptions adam = adam_options(o);
  CHECK(adam.beta1 == 0.8);
  CHECK(adam.beta2 == 0.9);
  CHECK(adam.eps == 0.01);
  CHECK(adam.weight_decay == 0.05);
  CHECK_FALSE(adam.decoupled);
  o.opt = "adamw";
  CHECK(adam_options(o).decoupled);
  CHECK(lion_options(o).beta2 == 0.9);
  o.opt_betas = {};
  CHECK(adam_options(o).beta2 == 0.999);
  CHECK(lion_options(o).beta2 == 0.99);
  CHECK(lion_options(o).weight_decay == 0.05);
  anther::ParameterStore<float> store;
  const auto first_state = [&](const char* name) {
    o.opt = name;
    return make_optimizer(o, store)->state()[0].name;
  };
  CHECK(first_state("adam") == "exp_avg");
  CHECK(first_state("rmsprop") == "square_avg");
  CHECK(first_state("adagrad") == "sum");
  o.opt = "lion";
  CHECK(dynamic_cast<anther::Lion<float>*>(make_optimizer(o, store).get()) != nullptr);
  o.opt = "sgd";
  CHECK(sgd_options(o).momentum == 0.7);
  CHECK(sgd_options(o).weight_decay == 0.05);
  CHECK(sgd_options(o).nesterov);
  o.opt = "momentum";
  CHECK_FALSE(sgd_options(o).nesterov);

  for (const auto& [name, is_sgd] :
       {std::pair("sgd", true), {"momentum", true}, {"adam", false}, {"adamw", false}}) {
    o.opt = name;
    const auto optimizer = make_optimizer(o, store);
    CHECK((dynamic_cast<anther::SGD<float>*>(optimizer.get()) != nullptr) == is_sgd);
    CHECK((dynamic_cast<anther::Adam<float>*>(optimizer.get()) != nullptr) != is_sgd);
  }
}

TEST_CASE("train options: what the run's flags are to the library, epochs as steps") {
  TrainOptions o;
  o.epochs = 10;
  o.batch_size = 8;
  o.grad_accum_steps = 2;
  o.sched = "step";
  o.lr = 0.5;
  o.min_lr = 0.25;
  o.warmup_lr = 0.125;
  o.warmup_epochs = 1.5;
  o.decay_epochs = 3;
  o.decay_rate = 0.75;
  o.clip_grad = 5;
  o.val_interval = 5;
  o.patience = 6;
  o.time_budget = 2;
  o.micro_batch = 4;
  o.lanes = 3;
  o.smoothing = 0.2;
  o.seed = 9;
  const anther::FitOptions fit = fit_options(o, 100);  // 7 steps of 16 images, the last of 4
  CHECK(fit.epochs == 10);
  CHECK(fit.batch_size == 8);
  CHECK(fit.grad_accum_steps == 2);
  CHECK(fit.schedule.kind == anther::ScheduleKind::step);
  CHECK(fit.schedule.lr == 0.5);
  CHECK(fit.schedule.min_lr == 0.25);
  CHECK(fit.schedule.warmup_lr == 0.125);
  CHECK(fit.schedule.warmup_steps == 11);
  CHECK(fit.schedule.steps == 70);
  CHECK(fit.schedule.decay_steps == 21);
  CHECK(fit.schedule.decay_rate == 0.75);
  CHECK(fit.clip_grad == 5);
  CHECK(fit.val_interval == 5);
  CHECK(fit.patience == 6);
  CHECK(fit.time_budget == 120);
  CHECK(fit.trainer.micro_batch == 4);
  CHECK(fit.trainer.lanes == 3);
  REQUIRE(fit.metrics.size() == 2);
  CHECK(fit.metrics[0]->info().name == "top1");  // what is best goes by
  // The loss has the smoothing.
  anther::Tape<float> tape;
  tape.begin();
  const std::vector<float> logits = {2, 0};
  anther::data::Batch batch;
  batch.labels = {0};
  batch.indices = {0};
  const double greater = std::log1p(std::exp(-2.0));  // -log softmax of the first
  CHECK(fit.objective(tape.input({1, 2}, logits), batch, {0, 1}).item() ==
        doctest::Approx(0.9 * greater + 0.1 * (greater + 2)));
  CHECK(fit.trainer.seed == 9);
}

TEST_CASE("train options: what the augmentation's flags are to the library") {
  TrainOptions o;
  CHECK(augment_options(o) == anther::vision::AugmentOptions{.random_erasing = {.mode = {}}});
  o.scale = {0.25, 0.5};
  o.ratio = {0.5, 2};
  o.hflip = 0.1;
  o.vflip = 0.2;
  o.rotation = 30;
  o.color_jitter = {0.3, 0.4, 0.5, 0.05};
  o.aa = "rand-m7-n3-mstd0.5";
  o.reprob = 0.6;
  o.remode = "rand";
  o.recount = 4;
  CHECK(augment_options(o) ==
        anther::vision::AugmentOptions{
            .scale = anther::vision::Range{0.25, 0.5},
            .ratio = {0.5, 2},
            .hflip = 0.1,
            .vflip = 0.2,
            .rotation = 30,
            .color_jitter = {.brightness = 0.3, .contrast = 0.4, .saturation = 0.5, .hue = 0.05},
            .rand_augment = anther::vision::RandAugmentOptions{.n = 3, .m = 7, .mstd = 0.5},
            .random_erasing = {.prob = 0.6, .mode = anther::vision::EraseMode::rand, .count = 4}});
  o.color_jitter = {0.4};
  CHECK(augment_options(o).color_jitter ==
        anther::vision::ColorJitterOptions{.brightness = 0.4, .contrast = 0.4, .saturation = 0.4});
  o.mixup = 0.7;
  o.cutmix = 0.8;
  o.mixup_prob = 0.9;
  o.mixup_switch_prob = 0.4;
  CHECK(mix_options(o) ==
        anther::vision::MixOptions{.mixup = 0.7, .cutmix = 0.8, .prob = 0.9, .switch_prob = 0.4});
}

TEST_CASE("train options: what the data's flags are to the library") {
  TrainOptions o;
  o.split = "official";
  o.val_fraction = 0.3;
  o.seed = 9;
  o.skip_bad = true;
  o.workers = 5;
  o.mixup = 0.5;
  const anther::vision::OpenOptions opening = open_options(o, 96);
  CHECK(opening.split == "official");
  CHECK(opening.val_fraction == 0.3);
  CHECK(opening.seed == 9);
  CHECK(opening.skip_bad);
  CHECK(opening.image_size == 96);
  const anther::data::LoaderOptions loading = loader_options(o);
  CHECK(loading.shuffle);
  CHECK(loading.seed == 9);
  CHECK(loading.workers == 5);
  CHECK(loading.skip_bad);
  CHECK(loading.mix != nullptr);
  CHECK_FALSE(loader_options({}).skip_bad);
  CHECK(loader_options({}).mix == nullptr);
}

TEST_CASE("train options: images are cached as asked, within the limit") {
  // 8 to train on, 8 to evaluate.
  const auto cached = [](const char* cache, double gigabytes, std::int64_t cache_size = 0) {
    TrainOptions o;
    o.cache = cache;
    o.cache_gb = gigabytes;
    o.eval_split = "test";
    o.cache_size = cache_size;
    anther::vision::OpenedData data =
        anther::vision::open_data("painted", {.image_size = 64},
                                  {anther::painted::opener({.train = 8, .val = 2, .test = 8})});
    cache_images(data, o, 32);
    const auto train = std::dynamic_pointer_cast<const anther::vision::CachedImages>(data.train);
    for (std::int64_t i = 0; i < data.train->size(); ++i) data.train->image(i);
    return train ? train->bytes() : -1;
  };
  constexpr std::int64_t image = 3 * 64 * 64;
  CHECK(cached("none", 1) == -1);
  CHECK(cached("images", 1) == 8 * image);
  CHECK(cached("images", 7 * image * 1e-9) == 3 * image);  // half of the room
  CHECK(cached("images", 0) == 0);
  CHECK(cached("uint8", 1) == 8 * 3 * 40 * 40);
  CHECK(cached("uint8", 1, 50) == 8 * 3 * 50 * 50);

  // What is evaluated stays as it is, and what is not used is left alone.
  for (const char* split : {"test", "valid"}) {
    TrainOptions o;
    o.cache = "uint8";
    o.eval_split = split;
    const anther::vision::OpenedData whole =
        anther::vision::open_data("painted", {}, {anther::painted::opener()});
    anther::vision::OpenedData data = whole;
    cache_images(data, o, 32);
    const bool valid = o.eval_split == "valid";
    CHECK((data.val != whole.val) == valid);
    CHECK((data.test != whole.test) == !valid);
    for (int twice = 0; twice < 2; ++twice)
      CHECK((valid ? data.val : data.test)->image(3).pixels ==
            (valid ? whole.val : whole.test)->image(3).pixels);
    CHECK(data.train->image(3).width == 40);
  }
}

TEST_CASE("train options: errors of the library name the flag") {
  CHECK(error_of([] { naming_flag([] { anther::detail::fail("color_jitter: expected a_b"); }); }) ==
        "--color-jitter: expected a_b");
  CHECK(naming_flag([] { return 3; }) == 3);
}

}  // namespace
