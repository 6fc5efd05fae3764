// The options of train_flowers: one table that makes the flags, reads a --config file, and writes
// args.json.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <type_traits>

#include "anther/core/check.hpp"

struct TrainOptions {
  std::string data_dir = "data/flowers102";
  std::string split = "paddle";
  double val_fraction = 0.1;
  std::string model = "xxs";
  std::string preset = "improved";
  std::string norm, local_norm, ffn, init;  // empty: the preset's
  std::int64_t gn_groups = 0;
  std::int64_t ffn_kernel = 1;
  bool table = false;
  double drop_path = 0;
  std::int64_t img_size = 224;
  std::string resize = "tensor";
  std::int64_t epochs = 20;
  std::int64_t batch_size = 128;
  std::int64_t micro_batch = 0;
  std::int64_t lanes = 4;
  double lr = 1e-3;
  double min_lr = 0;
  std::string sched = "constant";
  double warmup_epochs = 0;
  double warmup_lr = 0;
  double decay_epochs = 30;
  double decay_rate = 0.1;
  double smoothing = 0;
  std::int64_t seed = 42;
  std::int64_t threads = 0;
  std::int64_t workers = 1;
  std::int64_t limit = 0;
  bool skip_bad = false;
  std::string output;
};

// visit(flag, member, help) for every option.
template <class Options, class Visit>
void for_each_option(Options& o, const Visit& visit) {
  visit("data-dir", o.data_dir,
        "a Flowers-102 folder, class folders (train/<class>/...), CIFAR-10, or the word painted");
  visit("split", o.split, "of Flowers-102: paddle (6,149 train, 1,020 test) or official");
  visit("val-fraction", o.val_fraction,
        "class folders without val/: the share of train/ kept for it");
  visit("model", o.model, "xxs, xs or s");
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
  visit("img-size", o.img_size, "side of the images, a multiple of 32");
  visit("resize", o.resize,
        "tensor (to a square, not antialiased) or short-side (antialiased, centre crop)");
  visit("epochs", o.epochs, "passes over the training images");
  visit("batch-size,-b", o.batch_size, "images an optimiser step");
  visit("micro-batch", o.micro_batch,
        "images at once a thread; 0: by the size of the images, or with BatchNorm the whole batch");
  visit("lanes", o.lanes, "micro-batches at once, at most: each has a gradient buffer");
  visit("lr", o.lr, "learning rate after the warm-up");
  visit("min-lr", o.min_lr, "learning rate at the end of cosine and linear");
  visit("sched", o.sched, "constant, cosine, linear or step");
  visit("warmup-epochs", o.warmup_epochs, "epochs in which the rate rises");
  visit("warmup-lr", o.warmup_lr, "rate that the warm-up starts from");
  visit("decay-epochs", o.decay_epochs, "step: epochs between two reductions");
  visit("decay-rate", o.decay_rate, "step: what the rate is multiplied by");
  visit("smoothing", o.smoothing, "label smoothing");
  visit("seed", o.seed, "of initialisation, order and all else that is random");
  visit("threads", o.threads, "compute threads; 0: OMP_NUM_THREADS, or all cores");
  visit("workers,-j", o.workers, "threads that decode images");
  visit("limit", o.limit, "only the first N training images; 0: all");
  visit("skip-bad", o.skip_bad, "leave damaged images out instead of stopping");
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
  using anther::check;
  constexpr double any = 1e15;  // more than an option needs, and exact as an integer
  const auto number = [](std::int64_t value) { return static_cast<double>(value); };
  const OptionRange ranges[] = {
      {"val-fraction", o.val_fraction, 0, 1, true},
      {"gn-groups", number(o.gn_groups), 0, any},
      {"ffn-kernel", number(o.ffn_kernel), 1, 3},
      {"drop-path", o.drop_path, 0, 1},
      {"img-size", number(o.img_size), 32, 8192},
      {"epochs", number(o.epochs), 1, any},
      {"batch-size", number(o.batch_size), 1, any},
      {"micro-batch", number(o.micro_batch), 0, any},
      {"lanes", number(o.lanes), 1, 1024},
      {"lr", o.lr, 0, any, true},
      {"min-lr", o.min_lr, 0, any},
      {"warmup-epochs", o.warmup_epochs, 0, number(o.epochs)},
      {"warmup-lr", o.warmup_lr, 0, any},
      {"decay-epochs", o.decay_epochs, 0, any, true},
      {"decay-rate", o.decay_rate, 0, 1, true},
      {"smoothing", o.smoothing, 0, 1},
      {"seed", number(o.seed), 0, 9e18},
      {"threads", number(o.threads), 0, 1024},
      {"workers", number(o.workers), 0, 1024},
      {"limit", number(o.limit), 0, any},
  };
  for (const auto& [flag, value, least, most, least_excluded] : ranges)
    check(value <= most && (least_excluded ? value > least : value >= least), "--", flag,
          ": expected ", least_excluded ? "more than " : "at least ", least,
          most < any ? anther::text_of(", at most ", most) : "", ", got ", value);
  check(o.img_size % 32 == 0, "--img-size: expected a multiple of 32, got ", o.img_size);
  check(o.ffn_kernel != 2, "--ffn-kernel: expected 1 or 3, got 2");
  check(o.smoothing < 1 && o.drop_path < 1, "--", o.smoothing < 1 ? "drop-path" : "smoothing",
        ": expected less than 1, got 1");
}

// data-dir,... -> data_dir: an option's name in JSON.
inline std::string json_name(std::string flag) {
  flag = flag.substr(0, flag.find(','));
  for (char& c : flag)
    if (c == '-') c = '_';
  return flag;
}

inline nlohmann::json to_json(const TrainOptions& options) {
  nlohmann::json json;
  for_each_option(options, [&](const char* flag, const auto& member, const char*) {
    json[json_name(flag)] = member;
  });
  return json;
}

// Sets the options that a JSON file has. Throws, naming the file, where it cannot be read, has a
// key that is no option, or a value of another type.
inline void read_options(const std::string& path, TrainOptions& options) {
  std::ifstream file(path);
  anther::check(file.good(), path, ": cannot be read");
  nlohmann::json json;
  try {
    json = nlohmann::json::parse(file);
  } catch (const nlohmann::json::exception& error) {
    anther::fail(path, ": expected JSON: ", error.what());
  }
  anther::check(json.is_object(), path, ": expected a JSON object");
  for_each_option(options, [&](const char* flag, auto& member, const char*) {
    const auto found = json.find(json_name(flag));
    if (found == json.end()) return;
    using Member = std::decay_t<decltype(member)>;
    // A fraction would be cut off, and a number beyond the type's range wrapped around.
    anther::check(!std::is_same_v<Member, std::int64_t> ||
                      (found->is_number_integer() &&
                       (!found->is_number_unsigned() ||
                        found->template get<std::uint64_t>() <= std::uint64_t{1} << 62)),
                  path, ": ", json_name(flag), ": expected an integer, got ", found->dump());
    try {
      found->get_to(member);
    } catch (const nlohmann::json::exception& error) {
      anther::fail(path, ": ", json_name(flag), ": ", error.what());
    }
    json.erase(found);
  });
  for (const auto& [key, value] : json.items())
    anther::check(key == "comment", path, ": unknown option ", key);
}

// Binds the options to flags; what they hold already is the default.
inline void add_options(CLI::App& app, TrainOptions& options) {
  for_each_option(options, [&](const char* flag, auto& member, const char* help) {
    const std::string name(flag);
    if constexpr (std::is_same_v<std::decay_t<decltype(member)>, bool>)
      app.add_flag("--" + name, member, help);
    else
      app.add_option("--" + name, member, help)->capture_default_str();
  });
}
