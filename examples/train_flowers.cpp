// Trains EdgeViT, or another model of the registry. Without options: as in the article that EdgeViT
// with GroupNorm comes from, on Flowers-102 (PaddlePaddle's split, 224 px, batch 128, Adam at 1e-3,
// 20 epochs); the best epoch is chosen by the split `valid`, and `test` is evaluated at the end.
//
//   train_flowers --data-dir data/flowers102
//   train_flowers --data-dir my_photographs --img-size 128 --sched cosine --warmup-epochs 3
//   train_flowers --resume auto
//   mpirun -np 4 train_flowers    where it was built with MPI (docs/distributed.md)
#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "anther/anther.hpp"
#include "anther/core/cpu_quota.hpp"
#include "anther/data/vision/image_sizes.hpp"
#include "anther/data/vision/open.hpp"
#include "anther/data/vision/png.hpp"
#include "anther/data/vision/preprocess_json.hpp"
#include "anther/painted/opener.hpp"
#include "anther/report/contact_sheet.hpp"
#include "anther/report/curves_callback.hpp"
#include "anther/report/draw_or_tell.hpp"
#include "anther/report/progress_callback.hpp"
#include "anther/report/report.hpp"
#include "anther/train/checkpoint_callback.hpp"
#include "anther/train/fine_tune.hpp"
#include "anther/train/predictions.hpp"
#include "anther/train/run_lock.hpp"
#include "anther/train/run_log.hpp"
#include "anther/train/stop_signals.hpp"
#include "anther/train/tensorboard_callback.hpp"
#include "check_data.hpp"
#include "final_test.hpp"
#include "resume_options.hpp"
#include "train_data.hpp"
#include "train_model.hpp"
#include "train_options.hpp"
#include "train_ranks.hpp"
#include "train_teacher.hpp"

namespace {

using namespace anther;

// The images of a batch that are loaded at once: the greatest divisor of the batch that is no more
// than `most`; all of it where `most` is 0.
std::int64_t part_of(std::int64_t batch, std::int64_t most) {
  if (most <= 0) return batch;
  std::int64_t part = std::min(batch, most);
  while (batch % part != 0) --part;
  return part;
}

// Weights to start from; without a card where the file says nothing but them.
struct StartingWeights {
  explicit StartingWeights(const std::string& path) : file(weights_of(path)) {
    if (file.metadata().contains("architecture")) card = model_card_of(file);
  }
  io::SafetensorsFile file;
  std::optional<ModelCard> card;
};

// What the options leave open of the model, and of how images are prepared, is as the weights have
// it.
void complete(TrainOptions& o, const std::optional<StartingWeights>& start) {
  const std::string of_model = naming_flag(
      [&] { return complete_model(o, start && start->card ? &*start->card : nullptr); });
  if (!start) {
    complete_preprocess(o, vision::Preprocess{});
    return;
  }
  std::printf("Starting from %s\n", o.initial_checkpoint.c_str());
  if (!of_model.empty()) std::printf("  The model as its own: %s\n", of_model.c_str());
  const bool own = start->card && !start->card->preprocess.is_null();
  const std::string taken = complete_preprocess(
      o, own ? vision::preprocess_from_json(start->card->preprocess) : vision::Preprocess{});
  if (!taken.empty())
    std::printf("  Images %s: %s\n",
                own ? "as its own" : "as by default, for it does not say how its own were",
                taken.c_str());
}

void load_start(const StartingWeights& start, ParameterStore<float>& store,
                const ChosenModel& chosen, const std::vector<std::string>& class_names) {
  bool same_classes = true;
  if (start.card) {
    const std::string file = start.file.path().string();
    detail::check(start.card->architecture == chosen.model->name, file,
                  ": the weights are of another model: ", io::printable(start.card->architecture),
                  ", not ", chosen.model->name);
    const nlohmann::json own = chosen.model->function_options(chosen.options),
                         other = chosen.model->function_options(start.card->options);
    for (const auto& [key, value] : own.items())
      detail::check(other.at(key) == value, file, ": the weights are of another model: its ", key,
                    " is ", other.at(key).dump(), ", here it is ", value.dump());
    same_classes = start.card->class_names == class_names;
  }
  const std::vector<std::string> replaced =
      load_weights(start.file, store,
                   {.names = names_in(*chosen.model, start.file, store),
                    .ignored = state_prefix,
                    .replaced = head_modules(store),
                    .replace_always = !same_classes});
  if (!replaced.empty())
    std::printf("  The head is a new one, for %zu classes: the file's is of other classes.\n",
                class_names.size());
}

std::vector<double> logit_offsets(const TrainOptions& o, const vision::OpenedData& data) {
  if (o.logit_adjust == 0) return {};
  std::vector<std::int64_t> counts(data.class_names.size());
  for (std::int64_t i = 0; i < data.train->size(); ++i)
    ++counts[static_cast<std::size_t>(data.train->label(i))];
  return class_prior_offsets(counts, o.logit_adjust);
}

// The state to go on from. Where its file is damaged, says which is the one before it.
nlohmann::json load_last_state(const std::filesystem::path& weights, Optimizer<float>& optimizer,
                               ModelEma<float>* average) {
  const std::filesystem::path last = weights / "last.state.safetensors";
  try {
    return load_state(last, optimizer, average);
  } catch (const Error& error) {
    const std::filesystem::path before = earlier_state(last, 1);
    if (!std::filesystem::exists(before)) throw;
    detail::fail(error.what(), "\nThe state before it is kept. To go on from that one:\n  cp ",
                 before.string(), " ", last.string());
  }
}

// Says so where a run goes on with another decoder of JPEG than it began with.
void tell_decoder(const std::filesystem::path& arguments) {
  const auto args = nlohmann::json::parse(io::read_text_file(arguments), nullptr, false);
  // Runs from before the decoder was recorded had the one that there was.
  const std::string before = args.is_object() ? args.value("decoder", "stb") : "stb";
  if (before == vision::decoder_name()) return;
  std::printf(
      "Warning: JPEG was decoded by %s before, and is by %s now: the pixels differ a little, "
      "so that the run is not the one that it would have been, bit for bit.\n",
      before.c_str(), std::string(vision::decoder_name()).c_str());
}

// Says so where a batch has too few micro-batches, or lanes, for all threads. One alone has all of
// them.
void tell_idle_threads(const TrainOptions& o, std::int64_t micro_batch) {
  const std::int64_t threads = num_threads(), parts = (o.batch_size - 1) / micro_batch + 1;
  const std::int64_t busy = std::min(o.lanes, parts);
  if (busy == 1 || busy >= threads) return;
  std::printf("%lld of %lld threads have something to compute: --lanes %lld",
              static_cast<long long>(busy), static_cast<long long>(threads),
              static_cast<long long>(threads));
  if (parts < threads)
    std::printf(" and --batch-size %lld, or smaller micro-batches,",
                static_cast<long long>(threads * micro_batch));
  std::printf(" would keep all busy (with other results).\n");
}

// Says so where a container's quota allows fewer threads than there are processors.
std::string quota_text() {
  const double quota = own_cpu_quota();
  const unsigned processors = std::thread::hardware_concurrency();
  if (quota <= 0 || quota >= processors) return "";
  return detail::text_of(" (the container's quota is ", quota, " of ", processors, " processors)");
}

// ranks: what they are, or empty for one process; amp: whether products are in bfloat16.
void print_setup(const std::string& ranks, bool amp) {
#ifdef __OPTIMIZE__
  const char* warning = "";
#else
  const char* warning = "  (WARNING: this build is not optimised, and many times slower)";
#endif
  const std::string products = amp ? detail::text_of("  bf16 (", bf16_unit(), ")") : "";
  const std::string threads =
      detail::text_of(num_threads(), num_threads() == 1 ? " thread" : " threads", quota_text());
  std::printf("anther %s  %s%s  %s  %s%s\n", version, to_string(isa()), products.c_str(),
              ranks.empty() ? threads.c_str() : ranks.c_str(), parallel_backend_name(), warning);
}

void print_outcome(const EpochReport& last, const vision::ImageSet& images) {
  const auto print = [&](const char* what, const std::vector<MetricValue>& metrics, double loss) {
    std::printf("%sTop-1 %.2f %%, top-5 %.2f %%, loss %.4f on %lld images after epoch %lld\n", what,
                100 * value_of(metrics, "top1"), 100 * value_of(metrics, "top5"), loss,
                static_cast<long long>(images.size() - last.val_skipped),
                static_cast<long long>(last.epoch));
  };
  print("", last.val_metrics, last.val_loss);
  if (last.averaged()) print("Averaged weights: ", last.ema_metrics, last.ema_loss);
}

// Throws where the folder of a new run would be taken for a class later.
void check_outside(const TrainOptions& o, const vision::OpenedData& data) {
  if (data.kind != "class-folders" || vision::find_parts(o.data_dir).any()) return;
  const std::filesystem::path runs = o.output.empty() ? "runs" : o.output;
  const auto below = std::filesystem::weakly_canonical(std::filesystem::absolute(runs))
                         .lexically_relative(std::filesystem::canonical(o.data_dir));
  detail::check(below.empty() || *below.begin() == "..", "--output: expected a folder outside of ",
                o.data_dir, ", whose folders are the classes, got ", runs.string());
}

// What a run that goes on remembers of its data; null for a new one. Rank 0 reads it.
nlohmann::json record_before(const std::string& resume, ProcessGroup* group) {
  nlohmann::json record;
  if (!resume.empty() && is_first(group)) record = read_record(resume);
  return group ? nlohmann::json::parse(broadcast(*group, record.dump())) : record;
}

// group: the ranks that train together, or null; ranks: what they are.
int train(const Invocation& asked, ProcessGroup* group, const std::string& ranks) {
  TrainOptions o = asked.options;
  const std::string& resume = asked.resume;
  const nlohmann::json& changes = asked.changes;
  const bool writes = is_first(group);
  std::optional<RunLock> lock;
  if (writes && !resume.empty())
    lock.emplace(resume);
  else if (writes && !o.output.empty())
    RunLock::check_free(o.output);
  if (o.threads > 0) set_num_threads(static_cast<int>(o.threads));
  print_setup(ranks, o.amp);
  const auto seed = static_cast<std::uint64_t>(o.seed);
  std::optional<StartingWeights> start;
  if (!o.initial_checkpoint.empty() && resume.empty()) start.emplace(o.initial_checkpoint);
  complete(o, start);
  const vision::ImageSizes sizes("--img-size", o.img_size);
  const auto preprocess = [&](std::int64_t size) {
    return naming_flag([&] { return preprocess_of(o, size); });
  };
  const vision::AugmentOptions augmentation = naming_flag([&] { return augment_options(o); });
  TrainingData opened = open_training_data(
      o, sizes.last(), held_out_of(record_before(resume, group)), {painted::opener()});
  vision::OpenedData& data = opened.parts;
  nlohmann::json& record = opened.record;
  if (resume.empty()) check_outside(o, data);
  if (group) check_same_data(*group, record);
  cache_images(data, o, sizes.last());
  const vision::ImageSetPointer& evaluated = evaluated_part(data, o);

  ParameterStore<float> store;
  const ChosenModel chosen =
      naming_flag([&] { return chosen_model(o, std::ssize(data.class_names)); });
  const std::unique_ptr<Module<float>> made = chosen.make(store);
  const Module<float>& model = *made;
  store.initialize(seed);
  const std::string variant = variant_of(chosen.model->name, chosen.options);
  const std::string model_name =
      model.type() + (variant == chosen.model->name ? "" : "-" + variant);
  std::printf("Model: %s, %s parameters, %s multiply-accumulates at %lldx%lld\n",
              model_name.c_str(), with_commas(store.parameter_count()).c_str(),
              with_commas(summarize(model, {1, sizes.last(), sizes.last(), 3}).macs).c_str(),
              static_cast<long long>(sizes.last()), static_cast<long long>(sizes.last()));
  if (start) load_start(*start, store, chosen, data.class_names);
  const bool has_batch_norm = store.couples_samples();
  if (!o.freeze.empty()) {
    const std::int64_t frozen = naming_flag([&] { return freeze(store, o.freeze); });
    std::printf("Frozen: %s of the parameters\n", with_commas(frozen).c_str());
  }
  if (o.freeze_statistics) freeze_statistics(store);
  // Not where all of it is frozen: then no sample depends on the others.
  const bool couples = store.couples_samples();
  const bool whole_batch = couples && o.bn_group == 0;
  const std::int64_t bn_group = couples ? o.bn_group : 0;
  if (group && o.lanes < group->size())
    throw CollectiveError(detail::text_of("--lanes: expected at least 1 for each of ",
                                          group->size(), " ranks, got ", o.lanes));
  if (group && whole_batch)
    throw CollectiveError(
        "--bn-group: the model has BatchNorm, and of several ranks none has the whole batch that "
        "its statistics are of; expected a group, which has statistics of its own");
  data::LoaderOptions loading = loader_options(o);
  if (couples) {
    if (whole_batch)
      std::printf("The model has BatchNorm: its batch runs as a whole, not in micro-batches.\n");
    else
      std::printf("BatchNorm's statistics are those of groups of %lld images.\n",
                  static_cast<long long>(bn_group));
    loading.least_batch = 2;
  } else if (o.bn_group > 0 && has_batch_norm) {
    std::printf("BatchNorm's statistics are frozen: they are of no group.\n");
  }
  loading.whole_batch = o.batch_size;
  const std::int64_t least = std::min(whole_batch ? o.batch_size : 2, data.train->size());
  detail::check(
      !couples || least > 1 || !needs_two_samples(model, Shape{sizes.first(), sizes.first(), 3}),
      o.batch_size == 1 ? "--batch-size" : "data", ": expected at least 2",
      o.batch_size == 1 ? "" : " images",
      ", as BatchNorm would have one value a channel of "
      "one image of ",
      sizes.first(), " pixels, got 1");
  const std::int64_t images = images_of_epoch(data.train->size(), loading);
  detail::check(!couples || o.micro_batch == 0,
                "--micro-batch: expected 0, as the model has BatchNorm, got ", o.micro_batch);
  detail::check(has_batch_norm || o.bn_group == 0,
                "--bn-group: expected 0, as the model has no BatchNorm, got ", o.bn_group);

  std::optional<Teacher> teacher;
  if (!o.teacher.empty()) {
    teacher.emplace(o.teacher, data.class_names, preprocess(sizes.last()), o.teacher_img_size);
    std::printf("Teacher: %s\n", teacher->description().c_str());
  }

  const auto micro_batch = [&](std::int64_t size) {
    return bn_group > 0        ? bn_group
           : o.micro_batch > 0 ? o.micro_batch
                               : automatic_micro_batch(size * size * 3);
  };
  const auto part = [&](std::int64_t size) {
    return part_of(o.batch_size, whole_batch ? 0 : micro_batch(size) * o.lanes * 2);
  };
  if (!whole_batch && !group) tell_idle_threads(o, micro_batch(sizes.last()));
  const auto augmented = [&](std::int64_t size) {
    return vision::prepared(data.train, size, size,
                            vision::Augment(preprocess(size), augmentation));
  };
  vision::LoaderBySize train_loader(sizes, [&](std::int64_t size) {
    data::LoaderOptions own = loading;
    own.batch_size = part(size);
    return std::make_unique<data::Loader>(augmented(size), own);
  });
  data::Loader evaluation_loader(vision::prepared(evaluated, preprocess(sizes.last())),
                                 {.batch_size = std::min<std::int64_t>(part(sizes.last()), 32),
                                  .workers = loading.workers,
                                  .skip_bad = o.skip_bad});

  const auto optimizer = make_optimizer(o, store);
  if (o.layer_decay < 1) optimizer->set_lr_scales(layer_decay_scales(store, o.layer_decay));
  Profile profile;
  FitOptions options = fit_options(o, images, logit_offsets(o, data));
  options.stop = stop_requested;
  if (teacher)
    options.objective =
        distillation_objective(std::cref(*teacher), options.objective,
                               {.weight = o.teacher_weight, .temperature = o.temperature});
  if (o.profile) options.trainer.profile = &profile;
  options.trainer.group = group;
  std::optional<ModelEma<float>> ema;
  if (o.model_ema) ema.emplace(store, o.model_ema_decay);
  ModelEma<float>* average = ema ? &*ema : nullptr;
  const auto tested = [&](const RunFolder* folder) {
    return final_test(folder, data, o, chosen, preprocess(sizes.last()), group);
  };
  if (!writes) {  // the rest is what rank 0 reads and writes
    fit(model, *optimizer, std::ref(train_loader), &evaluation_loader, options, {}, average);
    if (from_first(*group, false)) tested(nullptr);
    return 0;
  }
  const RunFolder folder({.experiment = "train_flowers",
                          .output = resume.empty() ? o.output : resume,
                          .resume = !resume.empty()});
  if (!lock) lock.emplace(folder.path());
  if (resume.empty()) {
    keep_record(std::move(record), "", folder.path());
    nlohmann::json args = to_json(o);
    args["comment"] = detail::text_of("train_flowers of anther ", version, " on ", to_string(isa()),
                                      "; --config with this file repeats the run");
    args["decoder"] = vision::decoder_name();
    io::write_file_atomically(folder / "args.json", args.dump(2) + "\n");
  } else {
    const std::string changed = changed_data(record, o.data_dir, folder.path());
    options.progress =
        fit_progress_from_json(load_last_state(folder.weights(), *optimizer, average));
    const auto last = folder.weights() / "last.state.safetensors", before = earlier_state(last, 1);
    if (options.progress.finished && changes.empty() && std::filesystem::exists(before) &&
        !std::filesystem::exists(folder / "report.html")) {
      std::printf("It was ended before its test and its report: once more from the state before\n");
      std::filesystem::rename(before, last);  // or a second kill would leave two finished ones
      options.progress = fit_progress_from_json(load_state(last, *optimizer, average));
    }
    options.progress = reopened(options.progress, o, changes, resume);
    keep_record(std::move(record), changed, folder.path());  // not where the run is refused
    tell_decoder(folder / "args.json");
    record_changes(folder / "args.json", o, changes, options.progress, optimizer->steps());
    std::printf("Resuming after epoch %lld, step %lld\n",
                static_cast<long long>(options.progress.epochs),
                static_cast<long long>(optimizer->steps()));
  }
  std::printf("Run: %s\n", folder.path().c_str());

  const std::string preset = chosen.model->name == "edgevit" ? ", " + o.preset : "";
  const std::string title = detail::text_of(model_name, preset, ", ", o.img_size, " px");
  report::ProgressCallback progress(o.time_budget > 0 ? 0 : o.epochs,
                                    evaluated->size() * (average ? 2 : 1) / o.val_interval,
                                    {.unit = "img"});
  const std::string part_name = o.eval_split == "valid" ? data.val_name : data.test_name;
  LogCallback log(
      folder,
      {.metrics = options.metrics,
       .averaged = average != nullptr,
       .unit = "images",
       .columns = {{"img_size",
                    [](const EpochReport& r) { return static_cast<double>(r.input_shape[0]); }}},
       .last_epoch = options.progress.epochs,
       .last_step = optimizer->steps()});
  report::CurvesCallback curves(folder, title, part_name, options.metrics);
  PredictionsCallback predictions(std::ssize(data.class_names));
  ModelCard card = card_of(model, data.class_names, to_json(preprocess(sizes.last())));
  if (teacher) card.notes["teacher"] = io::to_utf8(o.teacher);
  CheckpointCallback<float> checkpoint(folder, *optimizer, std::move(card), average,
                                       static_cast<int>(o.checkpoint_hist));
  TensorBoardCallback events(folder.path(), optimizer->steps(), "images");
  if (!changes.empty()) events.add_text("changes", changes.dump(2));
  if (resume.empty()) {
    events.add_text("arguments", to_json(o).dump(2));
    data::Loader first(augmented(sizes.first()), [&] {
      data::LoaderOptions own = loading;
      own.batch_size = std::min<std::int64_t>(o.batch_size, 32);
      own.drop_last = false;
      own.whole_batch = 0;
      return own;
    }());
    first.start_epoch(0);
    if (data::Batch batch; first.next(batch)) {
      const vision::Image sheet =
          report::contact_sheet(batch, preprocess(sizes.first()), data.class_names);
      report::draw_or_tell([&] { vision::write_png(folder / "train_batch0.png", sheet); });
      events.add_png("train_batch0", sheet.width, sheet.height, vision::encode_png(sheet));
    }
  }
  History history;
  try {
    history = fit(model, *optimizer, std::ref(train_loader), &evaluation_loader, options,
                  {&progress, &log, &curves, &predictions, &checkpoint, &events}, average);
  } catch (const NotFiniteError& error) {
    throw CollectiveError(detail::text_of(
        error.what(), ".\nThe run's state is that after epoch ", checkpoint.progress().epochs,
        ". To go on from there with a lower rate:\n", "  train_flowers --resume ",
        folder.path().string(), " --lr ", std::min(o.lr / 10, 1e-3)));
  } catch (const Error& error) {
    if (!std::filesystem::exists(folder.weights() / "last.state.safetensors")) throw;
    const std::string text = detail::text_of(
        error.what(), "\nWhat was done before is kept. To go on, once that is mended:\n",
        "  train_flowers --resume ", folder.path().string());
    if (dynamic_cast<const CollectiveError*>(&error)) throw CollectiveError(text);
    throw Error(text);
  }
  const bool trained = checkpoint.progress().finished && !history.empty();
  if (group) from_first(*group, trained);
  if (!checkpoint.progress().finished) {
    std::printf(
        "Stopped after step %lld; nothing is lost. To go on:\n  train_flowers --resume %s\n",
        static_cast<long long>(optimizer->steps()), folder.path().c_str());
    return 130;
  }
  if (trained) {
    print_outcome(history.back(), *evaluated);
    std::optional<AveragedWeights<float>> averaged;
    if (average) averaged.emplace(*average);
    const vision::Preprocess last = preprocess(sizes.last());
    const std::string test = tested(&folder);
    report::write_run_report({.folder = folder,
                              .class_names = data.class_names,
                              .preprocess = last,
                              .title = title,
                              .part = part_name,
                              .weights = average ? "the averaged weights" : "",
                              .arguments = to_json(o),
                              .test = test},
                             model, *evaluated, predictions.evaluation());
  }
  if (o.profile) std::fputs(profile.table(stage_modules(store)).c_str(), stdout);
  std::printf("Report: %s\nWeights: %s\n", (folder / "report.html").c_str(),
              (folder.weights() / "best.safetensors").c_str());
  return 0;
}

// What the arguments say, or the status of what they ask for besides training.
Invocation read_arguments(int argc, char** argv) {
  Invocation asked;
  TrainOptions& options = asked.options;
  std::string config, output;
  // A first pass finds the file that the defaults of the second come from.
  CLI::App files;
  files.allow_extras();
  files.set_help_flag();
  files.add_option("--config,-c", config);
  files.add_option("--resume", asked.resume);
  files.add_option("--output", output);
  const auto fails = [&](CLI::App& app) {
    try {
      app.parse(argc, argv);
      return false;
    } catch (const CLI::ParseError& error) {
      asked.status = app.exit(error);
      return true;
    }
  };
  if (fails(files)) return asked;
  std::string& resume = asked.resume;
  const bool automatic = resume == "auto";
  if (automatic) {
    const std::string root = output.empty() ? "runs/train_flowers" : output;
    std::vector<std::string> problems;
    const auto found = newest_run(root, &problems);
    for (const std::string& problem : problems)
      std::printf("Warning: %s: passed over\n", problem.c_str());
    detail::check(found.has_value(), "--resume: expected a run to go on with in ", root,
                  ", found none");
    resume = found->string();
  }
  detail::check(config.empty() || resume.empty(),
                "--resume: takes its options from the run, not from a file");
  if (!config.empty()) read_options(config, options);
  if (!resume.empty()) {
    check_is_run(resume);
    read_options(resume + "/args.json", options);
  }
  const TrainOptions before = options;

  CLI::App app(
      "Trains EdgeViT, or another model, on Flowers-102, class folders, CIFAR-10 or painted "
      "flowers.");
  app.add_option("--config,-c", config, "a JSON file of options; flags go before it");
  std::string given;
  app.add_option(
      "--resume", given,
      "the folder of a run to go on with, with its options, most of which may change; auto: the "
      "newest that is not finished, else the newest, in runs/train_flowers or --output");
  std::string check_report;
  const CLI::Option* check =
      app.add_option("--check-data", check_report,
                     "trains nothing: reads all of the data and lists what is amiss, in a JSON "
                     "file too where one is named; exit status 3 where something is")
          ->expected(0, 1);
  add_options(app, options);
  if (fails(app)) return asked;
  if (check->count() > 0) {
    check_options(options);
    asked.status = check_data(options, check_report, {painted::opener()});
    return asked;
  }
  if (!resume.empty()) {
    detail::check(automatic || output.empty(), "--output: a run that goes on stays in its folder, ",
                  resume);
    asked.changes = changed_options(before, options, resume);
  }
  check_options(options);
  asked.trains = true;
  return asked;
}

}  // namespace

int main(int argc, char** argv) {
  return run_on_ranks(argc, argv, [&](ProcessGroup* group, const std::string& ranks) {
    if (group) check_same_program(*group, argc, argv);
    Invocation asked;
    Agreement agreement(group, {}, {});
    agreement.attempt([&] {
      if (is_first(group)) asked = read_arguments(argc, argv);
    });
    if (group) asked = shared(agreement, asked);
    if (!asked.trains) return asked.status;
    stop_on_signals();
    return train(asked, group, ranks);
  });
}
