// The data set that a trained model is evaluated on: that of its run, unless flags say otherwise.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "anther/data/vision/open.hpp"
#include "anther/io/file.hpp"
#include "anther/models/classifier.hpp"
#include "anther/models/models.hpp"
#include "anther/painted/opener.hpp"

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

// The folder of the run that weights are from: they are in its folder weights/.
inline std::filesystem::path run_of(const std::filesystem::path& weights) {
  return std::filesystem::absolute(anther::weights_of(weights)).parent_path().parent_path();
}

// Its args.json; an empty object where there is none.
inline nlohmann::json arguments_of_run(const std::filesystem::path& weights) {
  const auto path = run_of(weights) / "args.json";
  if (!std::filesystem::exists(path)) return nlohmann::json::object();
  nlohmann::json json = nlohmann::json::parse(anther::io::read_text_file(path), nullptr, false);
  anther::detail::check(json.is_object(), path.string(), ": expected a JSON object");
  return json;
}

// Opens the data, and checks that its classes are the model's.
inline anther::vision::OpenedData open_data_of(const anther::Classifier& classifier,
                                               const nlohmann::json& arguments,
                                               const DataFlags& flags) {
  const std::string where = flags.data_dir.value_or(arguments.value("data_dir", "data/flowers102"));
  anther::vision::OpenedData data = anther::vision::open_data(
      where,
      {.split = flags.split.value_or(arguments.value("split", "paddle")),
       .val_fraction = flags.val_fraction.value_or(arguments.value("val_fraction", 0.1)),
       .seed = flags.seed.value_or(arguments.value("seed", std::uint64_t{42})),
       .skip_bad = flags.skip_bad,
       .image_size = classifier.preprocess().image_size},
      {anther::painted::opener()});
  // One class is a number in args.json.
  const nlohmann::json classes = arguments.value("classes", nlohmann::json(""));
  anther::detail::check(classes.is_string() || classes.is_number_integer(),
                        "args.json: classes: expected text or a number, got ", classes.type_name());
  if (classes != "")
    anther::vision::select_classes(
        data, classes.is_string() ? classes.get<std::string>() : classes.dump());
  const auto& expected = classifier.card().class_names;
  anther::detail::check(data.class_names == expected, where, ": its classes (",
                        data.class_names.size(), ", the first: ", data.class_names.front(),
                        ") are not the model's (", expected.size(),
                        ", the first: ", expected.front(), ")");
  return data;
}
