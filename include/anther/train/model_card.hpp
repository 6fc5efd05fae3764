// What a weights file says about its model besides the weights: enough to make the model and to use
// it.
#pragma once

#include <cstdint>
#include <exception>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "anther/core/once.hpp"
#include "anther/core/shape.hpp"
#include "anther/io/json_members.hpp"
#include "anther/io/safetensors.hpp"

namespace anther::inline v0_1 {

struct ModelCard {
  std::string architecture = {};  // its name in the registry; of an unregistered model its type's
  nlohmann::json options = {};    // all of them, as the registry has them
  std::vector<std::string> class_names = {};
  nlohmann::json preprocess = {};  // how samples are prepared; null if there is nothing to say
  Shape sample = {};               // the shape of a sample, unless it follows from these
  std::map<std::string, std::string> notes = {};  // epoch, accuracy, ...: for people
};

// The metadata of a weights file. Throws if the name of a class is not UTF-8.
ANTHER_ONCE std::map<std::string, std::string> to_metadata(const ModelCard& card) {
  for (const std::string& name : card.class_names) io::json_string(name, "class names: ");
  std::map<std::string, std::string> metadata = card.notes;
  metadata["format"] = "pt";
  metadata["architecture"] = card.architecture;
  if (!card.options.is_null()) metadata["options"] = card.options.dump();
  metadata["class_names"] = nlohmann::json(card.class_names).dump();
  if (!card.preprocess.is_null()) metadata["preprocess"] = card.preprocess.dump();
  if (card.sample.rank() > 0) {
    nlohmann::json sample = nlohmann::json::array();
    for (int i = 0; i < card.sample.rank(); ++i) sample.push_back(card.sample[i]);
    metadata["sample"] = sample.dump();
  }
  return metadata;
}

// Throws, naming the file, unless the metadata is that of one of Anther's models.
ANTHER_ONCE ModelCard model_card_of(const io::SafetensorsFile& file) {
  const auto has = [&](const char* key) { return file.metadata().contains(key); };
  const auto text = [&](const char* key) -> const std::string& {
    detail::check(has(key), file.path().string(),
                  ": expected weights that Anther saved, got none of the metadata \"", key, "\"");
    return file.metadata().at(key);
  };
  ModelCard card;
  card.architecture = text("architecture");
  const std::string& class_names = text("class_names");
  try {
    if (has("options")) card.options = io::parse_shallow_json(text("options"));
    io::JsonMember<std::vector<std::string>>::from(
        "class_names", io::parse_shallow_json(class_names), card.class_names);
    if (has("preprocess")) card.preprocess = io::parse_shallow_json(text("preprocess"));
    if (has("sample")) {
      std::vector<std::int64_t> extents;
      io::JsonMember<std::vector<std::int64_t>>::from(
          "sample", io::parse_shallow_json(text("sample")), extents);
      detail::check(std::ssize(extents) < Shape::max_rank, "sample: expected at most ",
                    Shape::max_rank - 1, " extents, got ", extents.size());
      for (const std::int64_t extent : extents) {
        detail::check(extent > 0, "sample: expected extents of at least 1, got ", extent);
        card.sample.push_back(extent);
      }
    }
  } catch (const std::exception& error) {
    detail::fail(file.path().string(), ": metadata: ", io::printable(error.what()));
  }
  card.notes = file.metadata();
  for (const char* key :
       {"format", "architecture", "options", "class_names", "preprocess", "sample"})
    card.notes.erase(key);
  return card;
}

// The best weights in a run's folder, before the first evaluation the last; empty where there are
// none.
ANTHER_ONCE std::filesystem::path weights_in_run(const std::filesystem::path& folder) {
  std::error_code error;
  for (const char* name : {"best.safetensors", "last.safetensors"})
    if (auto path = folder / "weights" / name; std::filesystem::exists(path, error)) return path;
  return {};
}

// The weights that a path stands for: the file itself, or those in a run's folder. Throws where a
// folder is no run or has no weights yet, and says what to give.
ANTHER_ONCE std::filesystem::path weights_of(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::is_directory(path, error)) return path;
  if (auto weights = weights_in_run(path); !weights.empty()) return weights;
  detail::check(!std::filesystem::exists(path / "args.json", error), path.string(),
                ": this run has no weights yet: they come with its first epoch");
  // What people mean instead: a folder of runs, or one with a file of weights.
  std::filesystem::path meant;
  for (const auto& entry : std::filesystem::directory_iterator(path, error)) {
    const bool is_meant = entry.is_directory(error) ? !weights_in_run(entry.path()).empty()
                                                    : entry.path().extension() == ".safetensors";
    if (is_meant && (meant.empty() || meant < entry.path())) meant = entry.path();
  }
  detail::fail(path.string(),
               ": expected a file of weights (.safetensors) or the folder of a run, which has "
               "weights/best.safetensors; this folder has none",
               meant.empty() ? "" : ". There is " + meant.string());
}

}  // namespace anther::inline v0_1
