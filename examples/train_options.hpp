// The options of train_flowers: one table that makes the flags, reads a --config file, and writes
// args.json.
#pragma once

#include <CLI/CLI.hpp>
#include <charconv>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include "anther/core/check.hpp"
#include "anther/data/vision/image_sizes.hpp"
#include "anther/io/text.hpp"
#include "anther/models/registry.hpp"

struct TrainOptions {
  std::string data_dir = "data/flowers102";
  std::string split = "paddle";
  double val_fraction = 0.1;
  std::string classes;  // empty: all
  std::string eval_split = "valid";
  std::string model;  // empty: that of the weights to start from, else xxs
  std::string options;
  std::string preset = "improved";
  std::string norm, local_norm, ffn, init;  // empty: the preset's
  std::int64_t gn_groups = 0;
  std::int64_t ffn_kernel = 1;
  bool table = false;
  double drop_path = 0;
  std::string initial_checkpoint;
  std::string freeze;
  bool freeze_statistics = false;
  std::string img_size, resize;  // empty, and a crop of 0: the starting weights', else as
  double crop_pct = 0;           // Preprocess has it
  std::vector<double> mean, std;
  std::int64_t epochs = 20;
  double time_budget = 0;
  std::int64_t val_interval = 1;
  std::int64_t patience = 0;
  std::int64_t batch_size = 128;
  bool drop_last = false;
  std::int64_t grad_accum_steps = 1;
  std::int64_t micro_batch = 0;
  std::int64_t bn_group = 0;
  bool grad_checkpointing = false;
  bool amp = false;
  std::int64_t lanes = 4;
  std::string opt = "adam";
  double lr = 1e-3;
  double momentum = 0.9;
  double weight_decay = 0;
  std::vector<double> opt_betas;
  double opt_eps = 1e-8;
  double clip_grad = 0;
  double layer_decay = 1;
  std::string sched = "constant";
  double min_lr = 0;
  double warmup_epochs = 0;
  double warmup_lr = 0;
  double decay_epochs = 30;
  double decay_rate = 0.1;
  bool model_ema = false;
  double model_ema_decay = 0.9998;
  double smoothing = 0;
  double logit_adjust = 0;
  std::string teacher;
  double teacher_weight = 0.9;
  double temperature = 4;
  std::int64_t teacher_img_size = 0;
  std::vector<double> scale;  // none: no random crop
  std::vector<double> ratio = {3.0 / 4, 4.0 / 3};
  double hflip = 0;
  double vflip = 0;
  double rotation = 0;
  std::vector<double> color_jitter;
  std::string aa;
  double reprob = 0;
  std::string remode = "const";
  std::int64_t recount = 1;
  double mixup = 0;
  double cutmix = 0;
  double mixup_prob = 1;
  double mixup_switch_prob = 0.5;
  std::string cache = "none";
  double cache_gb = 4;
  std::int64_t cache_size = 0;
  std::int64_t seed = 42;
  bool profile = false;
  std::int64_t threads = 0;
  std::int64_t workers = 1;
  std::int64_t limit = 0;
  bool skip_bad = false;
  bool allow_empty = false;
  std::int64_t checkpoint_hist = 2;
  std::string output;
};

// visit(flag, member, help) for every option.
template <class Options, class Visit>
void for_each_option(Options& o, const Visit& visit) {
  visit(
      "data-dir", o.data_dir,
      "a Flowers-102 folder, class folders (train/<class>/..., with val/ and test/ or without; or "
      "<class>/...), CIFAR-10, or the word painted");
  visit("split", o.split,
        "of Flowers-102: paddle (6,149 train, 1,020 test), official (1,020 train, 6,149 test) or "
        "trainval (the same, trained on its 1,020 validation images too)");
  visit(
      "val-fraction", o.val_fraction,
      "class folders without val/: the share of each class that is held out, by the files' names");
  visit("classes", o.classes,
        "only these of the data's classes, numbered from 0 in their order: 0-81 or 3,5,7-9");
  visit(
      "eval-split", o.eval_split,
      "what is evaluated after each epoch, and the best weights are chosen by: valid, after which "
      "test is evaluated once; or test");
  const std::string models =
      "one of " + anther::ModelRegistry::global().names() +
      ". Empty: that of the weights to start from, else xxs; of these are its "
      "options too, where no flag gives them";
  visit("model", o.model, models.c_str());
  visit("options", o.options, "of --model, as a JSON object, where there is no flag for them");
  visit("preset", o.preset,
        "improved (GroupNorm, convolutions) or original (LayerNorm, BatchNorm)");
  visit("norm", o.norm, "gn, ln, bn or in, in the preset's place");
  visit("local-norm", o.local_norm, "the same for LocalAgg and before the head");
  visit("gn-groups", o.gn_groups, "groups of GroupNorm; 0: groups of 12 channels");
  visit("ffn", o.ffn, "conv or linear, in the preset's place");
  visit("ffn-kernel", o.ffn_kernel, "kernel of the FFN's convolutions, 1 or 3");
  visit("init", o.init, "paddle or official, in the preset's place");
  visit("table", o.table, "the numbers of blocks and heads of the early ports");
  visit("drop-path", o.drop_path, "rate of stochastic depth in the last block");
  visit("initial-checkpoint", o.initial_checkpoint,
        "weights to start from; the head is left out where the classes are others");
  visit("freeze", o.freeze,
        "modules that keep their weights (stages.0,stages.1.2), a number of stages, or body: all "
        "but the head");
  visit("freeze-statistics", o.freeze_statistics,
        "BatchNorm keeps the running statistics of the starting weights, and normalises by them");
  visit(
      "img-size", o.img_size,
      "side of the images, a multiple of 32; 96:128:160 grows, in even parts of the run, "
      "96@10:128@6:160@4 after so many epochs. Empty, as those that follow: that of the weights to "
      "start from, else 224");
  visit("resize", o.resize,
        "tensor (to a square, not antialiased; the default) or short-side (antialiased, centre "
        "crop)");
  visit("crop-pct", o.crop_pct, "short-side: the share of the short side that is kept, 0.875");
  visit("mean", o.mean, "of red, green and blue, 0 to 1, which is taken off: 0 0 0");
  visit("std", o.std, "what the rest is divided by: 1 1 1");
  visit("epochs", o.epochs, "passes over the training images");
  visit("time-budget", o.time_budget,
        "minutes of training and evaluation, which the schedule is fitted into; --epochs then only "
        "says what part of them the warm-up is. 0: by epochs");
  visit("val-interval", o.val_interval,
        "epochs from one evaluation to the next; the last one has one");
  visit("patience", o.patience, "epochs without a better evaluation that end the run; 0: none do");
  visit("batch-size,-b", o.batch_size, "images a batch");
  visit("drop-last", o.drop_last,
        "leave out the last batch of an epoch where it has fewer images; a single one is left out "
        "anyway where the model has BatchNorm");
  visit("grad-accum-steps", o.grad_accum_steps, "batches an optimiser step");
  visit("micro-batch", o.micro_batch,
        "images at once a thread; 0: by the size of the images, or with BatchNorm the whole batch");
  visit("bn-group", o.bn_group,
        "images that share BatchNorm's statistics (ghost batches), and run at once on a thread; 0: "
        "the whole batch, as in PyTorch");
  visit("grad-checkpointing", o.grad_checkpointing,
        "compute each stage again in backward instead of keeping it: less memory, a third more "
        "time, the same bits");
  visit("amp", o.amp,
        "mixed precision: products of numbers in bfloat16, all else in float; fast where the "
        "processor has AMX");
  visit("lanes", o.lanes, "micro-batches at once, at most: each has a gradient buffer");
  visit("opt", o.opt,
        "adam, adamw, sgd (Nesterov's momentum), momentum (plain), rmsprop, adagrad or lion");
  visit("lr", o.lr, "learning rate after the warm-up");
  visit("momentum", o.momentum, "of sgd, momentum and rmsprop");
  visit("weight-decay", o.weight_decay, "of weights; biases and norms have none");
  visit("opt-betas", o.opt_betas, "of adam, adamw (else 0.9 0.999) and lion (else 0.9 0.99)");
  visit("opt-eps", o.opt_eps, "of adam, adamw, rmsprop and adagrad");
  visit("clip-grad", o.clip_grad, "greatest norm of the gradient; 0: any");
  visit("layer-decay", o.layer_decay,
        "what the rate falls by with each layer from the head to the image");
  visit("sched", o.sched, "constant, cosine, linear or step");
  visit("min-lr", o.min_lr, "learning rate at the end of cosine and linear");
  visit("warmup-epochs", o.warmup_epochs, "epochs in which the rate rises");
  visit("warmup-lr", o.warmup_lr, "rate that the warm-up starts from");
  visit("decay-epochs", o.decay_epochs, "step: epochs between two reductions");
  visit("decay-rate", o.decay_rate, "step: what the rate is multiplied by");
  visit("model-ema", o.model_ema, "average the weights, and evaluate the average too");
  visit("model-ema-decay", o.model_ema_decay,
        "of that average; (1 + t) / (10 + t) at step t where that is less");
  visit("smoothing", o.smoothing, "label smoothing");
  visit("logit-adjust", o.logit_adjust,
        "times the logarithm of the class's share of the training images, added to its logit in "
        "the training loss; 0: off, 1: for the balanced error");
  visit("teacher", o.teacher,
        "distillation: a weights file or a run's folder of a model of the same classes, whose "
        "logits of the same images are learned too");
  visit("teacher-weight", o.teacher_weight,
        "of the teacher's part of the loss, 0 to 1; the labels' part has the rest");
  visit("temperature", o.temperature,
        "what the logits of teacher and student are divided by in the teacher's part");
  visit("teacher-img-size", o.teacher_img_size,
        "side of the images that the teacher sees, made from the student's; 0: the teacher's own");
  visit("scale", o.scale, "random resized crop: least and greatest share of the area, 0.33 1");
  visit("ratio", o.ratio, "of that crop's width to its height, least and greatest");
  visit("hflip", o.hflip, "probability of a mirrored picture");
  visit("vflip", o.vflip, "probability of a picture upside down");
  visit("rotation", o.rotation, "degrees that a picture is turned by, at most, either way");
  visit("color-jitter", o.color_jitter,
        "one number for brightness, contrast and saturation, or one each, then hue");
  visit("aa", o.aa, "RandAugment, as timm writes it: rand-m9-n2-mstd0.5");
  visit("reprob", o.reprob, "probability of random erasing");
  visit("remode", o.remode, "what erased parts get: const, rand or pixel");
  visit("recount", o.recount, "parts that are erased");
  visit("mixup", o.mixup, "alpha of mixup; 0: off");
  visit("cutmix", o.cutmix, "alpha of cutmix; 0: off");
  visit("mixup-prob", o.mixup_prob, "probability that a pair of images is mixed");
  visit("mixup-switch-prob", o.mixup_switch_prob, "probability of cutmix, where both are on");
  visit("cache", o.cache,
        "none, images (decoded images stay in memory; the same bits) or uint8 (those to train on "
        "made "
        "small; much less memory, a little different)");
  visit("cache-gb", o.cache_gb, "what the cache may take, in 10^9 bytes");
  visit("cache-size", o.cache_size,
        "uint8: the short side, in pixels; 0: 1.25 times the largest --img-size");
  visit("seed", o.seed, "of initialisation, order and all else that is random");
  visit("threads", o.threads,
        "compute threads; 0: OMP_NUM_THREADS, or all cores that the container may use");
  visit("workers,-j", o.workers, "threads that decode images");
  visit("limit", o.limit, "only N training images, evenly of all classes; 0: all");
  visit("profile", o.profile, "print where the time went: each op in each stage");
  visit("skip-bad", o.skip_bad, "leave damaged images out instead of stopping");
  visit("allow-empty", o.allow_empty, "class folders: keep a class that has no image to train on");
  visit("checkpoint-hist", o.checkpoint_hist,
        "states of the run that are kept to go on from: the last one, and those before it");
  visit("output", o.output, "folder of the run; empty: runs/train_flowers/N");
}

// What an option of a number may hold.
struct OptionRange {
  const char* flag;
  double value, least, most;
  bool least_excluded = false;
};

// Throws, naming the option, where a value makes no sense: before anything is read or written.
inline void check_options(const TrainOptions& o) {
  using anther::detail::check;
  constexpr double any = 1e15;  // more than an option needs, and exact as an integer
  const auto number = [](std::int64_t value) { return static_cast<double>(value); };
  const OptionRange ranges[] = {
      {"val-fraction", o.val_fraction, 0, 1, true},
      {"gn-groups", number(o.gn_groups), 0, any},
      {"ffn-kernel", number(o.ffn_kernel), 1, 3},
      {"drop-path", o.drop_path, 0, 1},
      {"crop-pct", o.crop_pct, 0, 1},
      {"epochs", number(o.epochs), 1, any},
      {"time-budget", o.time_budget, 0, any},
      {"val-interval", number(o.val_interval), 1, any},
      {"patience", number(o.patience), 0, any},
      {"batch-size", number(o.batch_size), 1, any},
      {"grad-accum-steps", number(o.grad_accum_steps), 1, any},
      {"micro-batch", number(o.micro_batch), 0, any},
      {"bn-group", number(o.bn_group), 0, any},
      {"lanes", number(o.lanes), 1, 1024},
      {"lr", o.lr, 0, any, true},
      {"momentum", o.momentum, 0, 1},
      {"weight-decay", o.weight_decay, 0, any},
      {"opt-eps", o.opt_eps, 0, any, true},
      {"clip-grad", o.clip_grad, 0, any},
      {"layer-decay", o.layer_decay, 0, 1, true},
      {"min-lr", o.min_lr, 0, any},
      {"warmup-epochs", o.warmup_epochs, 0, number(o.epochs)},
      {"warmup-lr", o.warmup_lr, 0, any},
      {"decay-epochs", o.decay_epochs, 0, any, true},
      {"decay-rate", o.decay_rate, 0, 1, true},
      {"model-ema-decay", o.model_ema_decay, 0, 1},
      {"smoothing", o.smoothing, 0, 1},
      {"logit-adjust", o.logit_adjust, 0, any},
      {"teacher-weight", o.teacher_weight, 0, 1},
      {"temperature", o.temperature, 0, 1000, true},
      {"teacher-img-size", number(o.teacher_img_size), 0, 8192},
      {"hflip", o.hflip, 0, 1},
      {"vflip", o.vflip, 0, 1},
      {"rotation", o.rotation, 0, 180},
      {"reprob", o.reprob, 0, 1},
      {"recount", number(o.recount), 1, 100},
      {"mixup", o.mixup, 0, 1000},
      {"cutmix", o.cutmix, 0, 1000},
      {"mixup-prob", o.mixup_prob, 0, 1},
      {"mixup-switch-prob", o.mixup_switch_prob, 0, 1},
      {"cache-gb", o.cache_gb, 0, 1e6},
      {"cache-size", number(o.cache_size), 0, 32768},
      {"seed", number(o.seed), 0, 9e18},
      {"threads", number(o.threads), 0, 1024},
      {"workers", number(o.workers), 0, 1024},
      {"limit", number(o.limit), 0, any},
      {"checkpoint-hist", number(o.checkpoint_hist), 1, 1000},
  };
  for (const auto& [flag, value, least, most, least_excluded] : ranges)
    anther::detail::check(
        value <= most && (least_excluded ? value > least : value >= least), "--", flag,
        ": expected ", least_excluded ? "more than " : "at least ", least,
        most < any || value > most ? anther::detail::text_of(", at most ", most) : "", ", got ",
        value);
  anther::detail::check(o.ffn_kernel != 2, "--ffn-kernel: expected 1 or 3, got 2");
  anther::detail::check(o.bn_group != 1,
                        "--bn-group: expected 0, or a group of at least 2 images, got 1");
  for (const auto& [flag, value] : {std::pair("val-fraction", o.val_fraction),
                                    {"smoothing", o.smoothing},
                                    {"drop-path", o.drop_path},
                                    {"momentum", o.momentum},
                                    {"model-ema-decay", o.model_ema_decay}})
    anther::detail::check(value < 1, "--", flag, ": expected less than 1, got ", value);
  anther::detail::check(o.opt_betas.empty() || o.opt_betas.size() == 2,
                        "--opt-betas: expected 2 numbers, got ", o.opt_betas.size());
  for (const double beta : o.opt_betas)
    anther::detail::check(beta >= 0 && beta < 1,
                          "--opt-betas: expected at least 0, less than 1, got ", beta);
  const auto choice = [](const char* flag, const std::string& value, const auto&... names) {
    std::string all;
    bool known = false;
    ((known |= value == names, all += (all.empty() ? "" : ", ") + std::string(names)), ...);
    anther::detail::check(known, "--", flag, ": expected one of ", all, ", got ", value);
  };
  choice("remode", o.remode, "const", "rand", "pixel");
  choice("cache", o.cache, "none", "images", "uint8");
  anther::detail::check(o.scale.empty() || o.scale.size() == 2, "--scale: expected 2 numbers, got ",
                        o.scale.size());
  anther::detail::check(o.ratio.size() == 2, "--ratio: expected 2 numbers, got ", o.ratio.size());
  anther::detail::check(o.color_jitter.size() <= 4 && o.color_jitter.size() != 2,
                        "--color-jitter: expected 1, 3 or 4 numbers, got ", o.color_jitter.size());
  choice("split", o.split, "paddle", "official", "trainval");
  choice("preset", o.preset, "improved", "original");
  choice("opt", o.opt, "adam", "adamw", "sgd", "momentum", "rmsprop", "adagrad", "lion");
  choice("eval-split", o.eval_split, "test", "valid");
  choice("sched", o.sched, "constant", "cosine", "linear", "step");
  anther::detail::check(o.opt != "sgd" || o.momentum > 0,
                        "--momentum: sgd expects more than 0, got 0; --opt momentum "
                        "takes it");
  for (const auto& [flag, values] : {std::pair("mean", &o.mean), {"std", &o.std}})
    anther::detail::check(values->empty() || values->size() == 3, "--", flag,
                          ": expected 3 numbers, got ", values->size());
  if (!o.img_size.empty()) anther::vision::ImageSizes("--img-size", o.img_size);
}

// What a call gives. Its errors, which begin with an option's name, then begin with the flag.
template <class Call>
auto naming_flag(const Call& call) {
  try {
    return call();
  } catch (const anther::Error& error) {
    std::string message = error.what();
    for (char& c : message) {
      if (c == ':') break;
      if (c == '_') c = '-';
    }
    anther::detail::fail("--", message);
  }
}

// data-dir,... -> data_dir: an option's name in JSON.
inline std::string json_name(std::string flag) {
  flag = flag.substr(0, flag.find(','));
  for (char& c : flag)
    if (c == '-') c = '_';
  return flag;
}

// What repeats a run: all options but the folder that it went to. A size or a class is written as
// a number where it is one; a folder that is called 2024 stays text.
inline nlohmann::json to_json(const TrainOptions& options) {
  nlohmann::json json;
  for_each_option(options, [&](const char* flag, const auto& member, const char*) {
    const std::string name = json_name(flag);
    const bool may_be_number = name == "img_size" || name == "classes" || name == "freeze";
    if constexpr (std::is_same_v<std::decay_t<decltype(member)>, std::string>) {
      std::int64_t number = 0;
      const char* end = member.data() + member.size();
      const auto [rest, error] = std::from_chars(member.data(), end, number);
      if (may_be_number && error == std::errc() && rest == end &&
          std::to_string(number) == member) {
        json[name] = number;
        return;
      }
    }
    if constexpr (std::is_same_v<std::decay_t<decltype(member)>, std::string>)
      json[name] = anther::io::to_utf8(member);  // a path may be any bytes
    else
      json[name] = member;
  });
  json.erase("output");
  return json;
}

// Sets the options that a JSON file has. Throws, naming the file, where it cannot be read, has a
// key that is no option, or a value of another type.
inline void read_options(const std::string& path, TrainOptions& options) {
  std::error_code unknown;
  anther::detail::check(!std::filesystem::is_directory(path, unknown), path,
                        ": expected a file, found a folder");
  std::ifstream file(path);
  anther::detail::check(file.good(), path, ": cannot be read");
  nlohmann::json json;
  try {
    json = nlohmann::json::parse(file);
  } catch (const nlohmann::json::exception& error) {
    anther::detail::fail(path, ": expected JSON: ", error.what());
  }
  anther::detail::check(json.is_object(), path, ": expected a JSON object");
  for_each_option(options, [&](const char* flag, auto& member, const char*) {
    const auto found = json.find(json_name(flag));
    if (found == json.end()) return;
    using Member = std::decay_t<decltype(member)>;
    // A folder called 2024, true or 1.5 may be written without quotes.
    if (std::is_same_v<Member, std::string> &&
        (found->is_number() || found->is_boolean() || found->is_object()))
      *found = found->dump();
    // A fraction would be cut off, and a number beyond the type's range wrapped around.
    anther::detail::check(!std::is_same_v<Member, std::int64_t> ||
                              (found->is_number_integer() &&
                               (!found->is_number_unsigned() ||
                                found->template get<std::uint64_t>() <= std::uint64_t{1} << 62)),
                          path, ": ", json_name(flag), ": expected an integer, got ",
                          found->is_primitive() ? found->dump() : found->type_name());
    try {
      found->get_to(member);
    } catch (const nlohmann::json::exception& error) {
      anther::detail::fail(path, ": ", json_name(flag), ": ", error.what());
    }
    if constexpr (std::is_same_v<Member, std::string>) member = anther::io::from_utf8(member);
    json.erase(found);
  });
  for (const auto& [key, value] : json.items())
    anther::detail::check(key == "comment" || key == "decoder" || key == "changes", path,
                          ": unknown option ", key);
}

// Binds the options to flags; what they hold already is the default.
inline void add_options(CLI::App& app, TrainOptions& options) {
  for_each_option(options, [&](const char* flag, auto& member, const char* help) {
    const std::string name(flag);
    using Member = std::decay_t<decltype(member)>;
    if constexpr (std::is_same_v<Member, bool>)
      app.add_flag("--" + name + ",!--no-" + name, member, help);  // no-: where a file has it on
    else if constexpr (std::is_same_v<Member, std::vector<double>>)
      app.add_option("--" + name, member, help)->expected(1, 4)->capture_default_str();
    else
      app.add_option("--" + name, member, help)->capture_default_str();
  });
}
