// The data set that a trained model is evaluated on: that of its run, unless flags say otherwise.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include "anther/data/vision/open.hpp"
#include "anther/io/file.hpp"
#include "anther/io/text.hpp"
#include "anther/models/classifier.hpp"
#include "anther/models/models.hpp"
#include "anther/painted/opener.hpp"
#include "data_record.hpp"

// Empty: as the run's arguments have it, else train_flowers' default.
struct DataFlags {
  std::optional<std::string> data_dir = {}, split = {};
  std::optional<double> val_fraction = {};
  std::optional<std::uint64_t> seed = {};
  bool skip_bad = false;
};

inline void add_data_options(CLI::App& app, DataFlags& flags) {
  app.add_option("--data-dir", flags.data_dir, "as train_flowers has it; its run's, if not given");
  app.add_option("--split", flags.split, "of Flowers-102: paddle, official or trainval; its run's");
  app.add_option("--val-fraction", flags.val_fraction, "class folders without val/; its run's");
  app.add_option("--seed", flags.seed, "which images those are; its run's");
  app.add_flag("--skip-bad", flags.skip_bad, "leave damaged images out instead of stopping");
}

// The folder of the run that weights are from: they are in its folder weights/. Empty where they
// are elsewhere.
inline std::filesystem::path run_of(const std::filesystem::path& weights) {
  const auto path = std::filesystem::absolute(anther::weights_of(weights)).lexically_normal();
  const auto folder = path.parent_path();
  return folder.filename() == "weights" ? folder.parent_path() : std::filesystem::path();
}

// Its args.json; an empty object where there is none.
inline nlohmann::json arguments_of_run(const std::filesystem::path& weights) {
  const auto run = run_of(weights), path = run / "args.json";
  if (run.empty() || !std::filesystem::exists(path)) return nlohmann::json::object();
  nlohmann::json json = nlohmann::json::parse(anther::io::read_text_file(path), nullptr, false);
  anther::detail::check(json.is_object(), path.string(), ": expected a JSON object");
  for (const char* key : {"val_fraction", "seed"})
    anther::detail::check(!json.contains(key) || json[key].is_number(), path.string(), ": ", key,
                          ": expected a number, got ", json.value(key, json).type_name());
  return json;
}

// A text of args.json. What is text here may be a number there: a folder called 2024, one class.
inline std::string text_argument(const nlohmann::json& arguments, const char* key,
                                 const std::string& otherwise) {
  const auto found = arguments.find(key);
  if (found == arguments.end() || found->is_null()) return otherwise;
  anther::detail::check(found->is_primitive(), "args.json: ", key, ": expected text, got ",
                        found->type_name());
  return found->is_string() ? anther::io::from_utf8(found->get<std::string>()) : found->dump();
}

// Whether the folder is that of a run's data, wherever it was moved to.
inline bool is_data_of_run(const std::string& where, const std::string& of_run,
                           const std::vector<std::string>& held_out) {
  std::error_code error;
  if (std::filesystem::equivalent(where, of_run, error)) return true;
  std::filesystem::path images = anther::vision::find_parts(where).train;
  if (images.empty()) images = where;
  std::int64_t there = 0;
  for (const std::string& file : held_out) there += std::filesystem::exists(images / file, error);
  return 2 * there > std::ssize(held_out);
}

// For people: the model's classes of which there are no images.
inline std::string missing_classes(const anther::vision::ImageSet& part) {
  std::vector<bool> present(part.class_names().size());
  for (std::int64_t i = 0; i < part.size(); ++i)
    present[static_cast<std::size_t>(part.label(i))] = true;
  std::string names;
  std::int64_t missing = 0;
  for (std::size_t c = 0; c < present.size(); ++c)
    if (!present[c] && ++missing <= 5) names += (names.empty() ? "" : ", ") + part.class_names()[c];
  if (missing == 0) return "";
  return anther::detail::text_of("No images of ", missing, " of the model's ", present.size(),
                                 " classes: ", names, missing > 5 ? ", ..." : "");
}

// Opens the data, and checks that its classes are the model's. Class folders may be of some of them
// only; those that are not the run's data, and no parts of a data set, are evaluated as a whole,
// unless --val-fraction is given.
inline anther::vision::OpenedData open_data_of(const anther::Classifier& classifier,
                                               const nlohmann::json& arguments,
                                               const std::filesystem::path& run,
                                               const DataFlags& flags) {
  const std::string of_run = text_argument(arguments, "data_dir", "data/flowers102");
  const std::string where = flags.data_dir.value_or(of_run);
  std::string classes = text_argument(arguments, "classes", "");
  const auto& expected = classifier.card().class_names;
  const nlohmann::json record = run.empty() ? nlohmann::json() : read_record(run);
  const std::vector<std::string> held_out = held_out_of(record);
  const bool own = is_data_of_run(where, of_run, held_out);
  anther::detail::check(!own || held_out.empty() || (!flags.val_fraction && !flags.seed),
                        "--val-fraction and --seed: ", (run / "data.json").string(),
                        " says which images the run has held out; expected neither");
  // Other class folders have the model's classes by their names: these numbers are the run's
  // data's.
  if (!own && record.is_object() && record.value("kind", "") == "class-folders") classes.clear();
  anther::vision::OpenedData data = anther::vision::open_data(
      where,
      {.split = flags.split.value_or(text_argument(arguments, "split", "paddle")),
       .val_fraction = flags.val_fraction.value_or(arguments.value("val_fraction", 0.1)),
       .seed = flags.seed.value_or(arguments.value("seed", std::uint64_t{42})),
       .skip_bad = flags.skip_bad,
       .image_size = classifier.preprocess().image_size,
       .allow_empty = true,
       .hold_out = anther::vision::find_parts(where).any() || own || flags.val_fraction.has_value(),
       .choose_by_test = text_argument(arguments, "eval_split", "valid") == "test",
       .held_out = own ? held_out : std::vector<std::string>(),
       .class_names = classes.empty() ? expected : std::vector<std::string>()},
      {anther::painted::opener()});
  if (!classes.empty()) anther::vision::select_classes(data, classes);
  anther::detail::check(data.class_names == expected, where, ": its classes (",
                        data.class_names.size(), ", the first: ", data.class_names.front(),
                        ") are not the model's (", expected.size(),
                        ", the first: ", expected.front(), ")");
  return data;
}
