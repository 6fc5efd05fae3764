// Trains EdgeViT. Without options: the run of the article that EdgeViT with GroupNorm comes from,
// on Flowers-102 (PaddlePaddle's split, 224 px, batch 128, Adam at 1e-3, 20 epochs).
//
//   train_flowers --data-dir data/flowers102
//   train_flowers --data-dir my_photographs --img-size 128 --sched cosine --warmup-epochs 3
//   train_flowers --resume runs/train_flowers/1
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <memory>
#include <string>

#include "anther/anther.hpp"
#include "anther/data/open.hpp"
#include "anther/train/run_log.hpp"
#include "train_options.hpp"

namespace {

using namespace anther;

EdgeViTOptions model_options(const TrainOptions& o, std::int64_t num_classes) {
  EdgeViTOptions options = edgevit_options(o.model, num_classes, o.preset, o.table);
  if (!o.norm.empty()) options.norm = choice_of("norm", o.norm, norm_names);
  if (!o.local_norm.empty()) options.local_norm = choice_of("local-norm", o.local_norm, norm_names);
  if (!o.ffn.empty()) options.ffn = choice_of("ffn", o.ffn, ffn_names);
  if (!o.init.empty()) options.init = choice_of("init", o.init, init_names);
  options.gn_groups = o.gn_groups;
  options.ffn_kernel = o.ffn_kernel;
  options.drop_path = o.drop_path;
  return options;
}

// The images of a batch that are loaded at once: the greatest divisor of the batch that is no more
// than `most`; all of it where `most` is 0.
std::int64_t part_of(std::int64_t batch, std::int64_t most) {
  if (most <= 0) return batch;
  std::int64_t part = std::min(batch, most);
  while (batch % part != 0) --part;
  return part;
}

void write_json(const std::filesystem::path& path, const nlohmann::json& json) {
  write_file_atomically(path, json.dump(2) + "\n");
}

void train(TrainOptions o, const std::string& resume) {
  check_options(o);
  if (o.threads > 0) set_num_threads(static_cast<int>(o.threads));
#ifdef __OPTIMIZE__
  const char* warning = "";
#else
  const char* warning = "  (WARNING: this build is not optimised, and many times slower)";
#endif
  std::printf("anther %s  %s  %d %s  %s%s\n", version, to_string(isa()), num_threads(),
              num_threads() == 1 ? "thread" : "threads", parallel_backend_name(), warning);

  OpenedData data = open_data(o.data_dir, {.split = o.split,
                                           .val_fraction = o.val_fraction,

                                           .seed = static_cast<std::uint64_t>(o.seed),
                                           .skip_bad = o.skip_bad,
                                           .image_size = o.img_size});
  std::printf("Data: %s\n", data.description.c_str());

  ParameterStore<float> store;
  const EdgeViT<float> model(store,
                             model_options(o, static_cast<std::int64_t>(data.class_names.size())));
  store.initialize(static_cast<std::uint64_t>(o.seed));
  std::printf("Model: EdgeViT-%s, %s parameters, %s multiply-accumulates at %lldx%lld\n",
              o.model.c_str(), with_commas(store.parameter_count()).c_str(),
              with_commas(summarize(model, {1, o.img_size, o.img_size, 3}).macs).c_str(),
              static_cast<long long>(o.img_size), static_cast<long long>(o.img_size));

  const bool whole_batch = has_batch_norm(store);
  const std::int64_t micro_batch =
      o.micro_batch > 0 ? o.micro_batch : automatic_micro_batch(o.img_size, o.img_size);
  if (whole_batch)
    std::printf("The model has BatchNorm: its batch runs as a whole, not in micro-batches.\n");
  const Preprocess preprocess{.image_size = o.img_size, .resize = parse_resize_mode(o.resize)};
  LoaderOptions loading{
      .batch_size = part_of(o.batch_size, whole_batch ? 0 : micro_batch * o.lanes * 2),
      .shuffle = true,
      .limit = o.limit,
      .seed = static_cast<std::uint64_t>(o.seed),
      .workers = static_cast<int>(o.workers),
      .skip_bad = o.skip_bad};
  Loader train_loader(data.train, preprocess, loading);
  loading.shuffle = false;
  loading.limit = 0;
  loading.batch_size = std::min<std::int64_t>(loading.batch_size, 32);
  Loader test_loader(data.test, preprocess, loading);

  const std::int64_t epoch_steps = steps_per_epoch(train_loader, o.batch_size);
  const auto steps = [&](double epochs) {
    return static_cast<std::int64_t>(epochs * static_cast<double>(epoch_steps) + 0.5);
  };
  FitOptions options{.epochs = o.epochs,
                     .batch_size = o.batch_size,
                     .schedule = {.kind = schedule_kind(o.sched),
                                  .lr = o.lr,
                                  .min_lr = o.min_lr,
                                  .warmup_lr = o.warmup_lr,
                                  .warmup_steps = steps(o.warmup_epochs),
                                  .steps = steps(static_cast<double>(o.epochs)),
                                  .decay_steps = steps(o.decay_epochs),
                                  .decay_rate = o.decay_rate},
                     .trainer = {.micro_batch = o.micro_batch,
                                 .lanes = o.lanes,
                                 .label_smoothing = o.smoothing,
                                 .seed = static_cast<std::uint64_t>(o.seed)}};

  const RunFolder folder({.experiment = "train_flowers",
                          .output = resume.empty() ? o.output : resume,
                          .resume = !resume.empty()});
  Adam<float> adam(store, {});
  double best = -1;
  if (resume.empty()) {
    write_json(folder / "args.json", to_json(o));
  } else {
    const nlohmann::json progress = load_state(folder.weights() / "last.state.safetensors", adam);
    options.first_epoch = progress.at("epoch").get<std::int64_t>();
    best = progress.at("best").get<double>();
    std::printf("Resuming after epoch %lld\n", static_cast<long long>(options.first_epoch));
  }
  std::printf("Run: %s\n", folder.path().c_str());

  const bool held_out = data.kind == DataKind::flowers102 || data.kind == DataKind::painted;
  ProgressCallback progress(o.epochs, data.test->size());
  LogCallback log(folder, text_of("EdgeViT-", o.model, ", ", o.preset, ", ", o.img_size, " px"),
                  held_out ? "test" : "val", options.first_epoch, adam.steps());
  CheckpointCallback<float> checkpoint(folder, adam,
                                       {model.options(), data.class_names, preprocess}, best);
  Callback* callbacks[] = {&progress, &log, &checkpoint};
  const History history = fit(model, adam, train_loader, &test_loader, options, callbacks);

  if (!history.empty()) {
    const EpochReport& last = history.back();
    std::printf("Top-1 %.2f %%, top-5 %.2f %%, loss %.4f on %lld images after epoch %lld\n",
                100 * last.val_top1, 100 * last.val_top5, last.val_loss,
                static_cast<long long>(data.test->size()), static_cast<long long>(last.epoch));
    if (last.skipped > 0)
      std::printf("Left out in the last epoch: %lld damaged images (the first: %s)\n",
                  static_cast<long long>(last.skipped), train_loader.first_skipped().c_str());
  }
  std::printf("Curves: %s\nWeights: %s\n", (folder / "curves.svg").c_str(),
              (folder.weights() / "best.safetensors").c_str());
}

}  // namespace

int main(int argc, char** argv) {
  try {
    TrainOptions options;
    std::string config, resume;
    // A first pass finds the file that the defaults of the second come from.
    CLI::App files;
    files.allow_extras();
    files.set_help_flag();
    files.add_option("--config,-c", config);
    files.add_option("--resume", resume);
    CLI11_PARSE(files, argc, argv);
    check(config.empty() || resume.empty(),
          "--resume: takes its options from the run, not from a file");
    if (!config.empty()) read_options(config, options);
    if (!resume.empty()) read_options(resume + "/args.json", options);

    CLI::App app("Trains EdgeViT on Flowers-102, class folders, CIFAR-10 or painted flowers.");
    app.add_option("--config,-c", config, "a JSON file of options; flags go before it");
    app.add_option("--resume", resume, "the folder of a run to go on with, with its options");
    add_options(app, options);
    CLI11_PARSE(app, argc, argv);
    if (!resume.empty())
      for (const CLI::Option* option : app.get_options())
        check(option->count() == 0 || option->check_name("--resume") ||
                  option->check_name("--threads") || option->check_name("--workers") ||
                  option->check_name("--data-dir"),
              option->get_name(),
              ": a resumed run keeps its options; --threads, --workers and "
              "--data-dir may change");
    train(options, resume);
  } catch (const std::exception& error) {
    std::fflush(stdout);
    std::fprintf(stderr, "train_flowers: %s\n", error.what());
    return 1;
  }
}
