// A run of train_flowers that goes on with other options than before: which of them may change, and
// what is written down of it.
#pragma once

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <system_error>

#include "anther/core/check.hpp"
#include "anther/io/atomic_file.hpp"
#include "anther/io/file.hpp"
#include "anther/train/callback.hpp"
#include "anther/train/checkpoint.hpp"
#include "train_options.hpp"

// Why a run cannot go on with another value of an option (by its name in JSON); "" where it can.
inline std::string_view why_fixed(const std::string& name, const TrainOptions& before,
                                  const TrainOptions& now) {
  const auto is_one_of = [&](auto... names) { return ((name == names) || ...); };
  if (is_one_of("model", "options", "preset", "norm", "local_norm", "gn_groups", "ffn",
                "ffn_kernel", "table"))
    return "the weights of the run are of that model";
  if (is_one_of("init", "initial_checkpoint"))
    return "the run has begun, and has weights of its own";
  if (is_one_of("classes")) return "the labels would mean other classes";
  if (is_one_of("split", "val_fraction", "seed"))
    return "images that were trained on would be evaluated";
  if (is_one_of("eval_split")) return "the best weights so far were chosen by the other images";
  if (is_one_of("mean", "std", "resize"))
    return "the weights have learned from images that are prepared so";
  if (is_one_of("model_ema")) return "an average of the weights begins with the run";
  const auto kind = [](const std::string& opt) {
    return opt == "adamw" ? "adam" : opt == "momentum" ? "sgd" : opt;
  };
  if (is_one_of("opt") && kind(before.opt) != kind(now.opt))
    return "the optimiser's state in the run is of another kind";
  if (is_one_of("momentum") && now.opt != "adam" && now.opt != "adamw" &&
      (before.momentum > 0) != (now.momentum > 0))
    return "the optimiser's state in the run has a momentum, or has none";
  return "";
}

// The options that differ, with the value before and the one now. Throws, and says why, where one
// of them may not change. What only says how fast is not told.
inline nlohmann::json changed_options(const TrainOptions& before, const TrainOptions& now,
                                      const std::string& run) {
  const nlohmann::json then = to_json(before), today = to_json(now);
  nlohmann::json changes = nlohmann::json::object();
  for (const auto& [name, value] : today.items()) {
    if (then.at(name) == value || name == "threads" || name == "workers" || name == "profile")
      continue;
    std::string flag = name;
    for (char& c : flag)
      if (c == '_') c = '-';
    const std::string_view why = why_fixed(name, before, now);
    anther::detail::check(why.empty(), "--", flag, ": a run that goes on keeps it: expected ",
                          then.at(name).dump(), ", got ", value.dump(), ": ", why,
                          ". A new run may begin with the weights of this one: "
                          "--initial-checkpoint ",
                          run, "/weights/last.safetensors");
    changes[name] = {then.at(name), value};
  }
  return changes;
}

// Whether a run with these changes has other bits than without them.
inline bool change_bits(const nlohmann::json& changes, const TrainOptions& now) {
  const bool by_share = now.sched == "cosine" || now.sched == "linear" || now.time_budget > 0 ||
                        now.img_size.find(':') != std::string::npos;
  for (const auto& [name, value] : changes.items()) {
    const bool same_bits = name == "data_dir" || name == "skip_bad" || name == "allow_empty" ||
                           name == "patience" || name == "val_interval" || name == "cache_gb" ||
                           name == "checkpoint_hist" || name == "grad_checkpointing" ||
                           (name == "epochs" && !by_share);
    if (!same_bits) return true;
  }
  return false;
}

// A run that had ended goes on where the changed options leave something to do; else this throws,
// and says which would. Gives the progress to go on from.
inline anther::FitProgress reopened(anther::FitProgress progress, const TrainOptions& o,
                                    const nlohmann::json& changes, const std::string& run) {
  using anther::detail::check;
  if (o.time_budget > 0) {
    const double minutes = progress.seconds / 60;
    check(minutes < o.time_budget, run, ": the run is finished, and has used ", minutes,
          " minutes; to go on with it, give a greater --time-budget");
  } else {
    check(progress.epochs < o.epochs, run, ": the run is finished, after ", progress.epochs,
          progress.epochs == 1 ? " epoch" : " epochs", "; to go on with it, give more: --epochs ",
          progress.epochs * 2);
  }
  if (!progress.finished) return progress;
  const std::int64_t without = progress.epochs - progress.best_epoch;
  check(o.patience == 0 || without < o.patience, run, ": the run is finished, after ", without,
        " epochs without a better evaluation; to go on with it, give a greater --patience, or 0");
  // Without changes: they may have been made by an attempt that wrote no state.
  check(o.time_budget == 0 || !changes.empty(), run, ": the run is finished");
  progress.finished = false;
  return progress;
}

// Throws where a folder is no run, and says which one may be meant: that which holds it, or the
// newest in it.
inline void check_is_run(const std::filesystem::path& folder) {
  std::error_code error;
  const auto is_run = [&](const std::filesystem::path& path) {
    return std::filesystem::exists(path / "args.json", error);
  };
  if (is_run(folder)) return;
  std::filesystem::path meant;
  for (auto path = folder.parent_path(); meant.empty() && path.has_filename();
       path = path.parent_path())
    if (is_run(path)) meant = path;
  if (meant.empty()) meant = anther::newest_run(folder).value_or("");
  anther::detail::fail("--resume: ", folder.string(),
                       std::filesystem::exists(folder, error)
                           ? ": expected the folder of a run, which has args.json"
                           : ": no such folder",
                       meant.empty() ? "" : ". There is " + meant.string());
}

// Says what changed, and writes args.json anew: with today's options, and with the changes of all
// parts of the run, each with the place from which it holds.
inline void record_changes(const std::filesystem::path& arguments, const TrainOptions& now,
                           const nlohmann::json& changes, const anther::FitProgress& progress,
                           std::int64_t steps) {
  if (changes.empty()) return;
  std::string text;
  for (const auto& [name, values] : changes.items())
    text += (text.empty() ? "" : ", ") + name + " " + values[0].dump() + " -> " + values[1].dump();
  std::printf("Changed: %s\n", text.c_str());
  if (change_bits(changes, now))
    std::printf("  From here on the run is not, bit for bit, what it would have been.\n");
  nlohmann::json args = to_json(now);
  const auto before = nlohmann::json::parse(anther::io::read_text_file(arguments), nullptr, false);
  for (const char* kept : {"comment", "decoder", "changes"})
    if (before.is_object() && before.contains(kept)) args[kept] = before[kept];
  args["changes"].push_back(
      {{"after_epoch", progress.epochs}, {"after_step", steps}, {"options", changes}});
  anther::io::write_file_atomically(arguments, args.dump(2) + "\n");
}
