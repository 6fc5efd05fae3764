// What a weights file says of its model beside the weights: enough to make the model again, and to
// use it.
#pragma once

#include <cstdint>
#include <exception>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "anther/io/safetensors.hpp"
#include "anther/models/registry.hpp"
#include "anther/train/weights.hpp"

namespace anther::inline v0_1 {

struct ModelCard {
  std::string architecture = {};  // its name in the registry; of an unregistered model its type's
  nlohmann::json options = {};    // all of them, as the registry has them
  std::vector<std::string> class_names = {};
  nlohmann::json preprocess = {};  // how samples are prepared; null where nothing is to be said
  Shape sample = {};               // the shape of a sample, where it does not follow from these
  std::map<std::string, std::string> notes = {};  // epoch, accuracy, ...: for people
};

// What a module is, as the registry has it. One that is not registered has the name of its type and
// no options: its weights can be saved, but not loaded by name.
inline ModelCard card_of(const Module<float>& module, std::vector<std::string> class_names = {},
                         nlohmann::json preprocess = {}) {
  ModelCard card;
  card.class_names = std::move(class_names);
  card.preprocess = std::move(preprocess);
  if (const RegisteredModel* model = ModelRegistry::global().find(module)) {
    card.architecture = model->name;
    card.options = model->options_of(module);
  } else {
    card.architecture = module.type();
  }
  return card;
}

// The model that a card names. Throws where it is not registered in this program.
inline ChosenModel chosen_model(const ModelCard& card) {
  const RegisteredModel* model = ModelRegistry::global().find(card.architecture);
  detail::check(model != nullptr, "the model \"", io::printable(card.architecture),
                "\" is not registered in this program, which knows ",
                ModelRegistry::global().names());
  return {model, model->complete(card.options)};
}

// The shape of a sample of a card's model: as the card says, else as the model does, for images of
// `size` pixels a side (0: as preprocess says). Throws where none says it.
inline Shape sample_shape_of(const ModelCard& card, std::int64_t size = 0) {
  if (card.sample.rank() > 0) return card.sample;
  if (size == 0 && card.preprocess.is_object()) size = card.preprocess.value("image_size", size);
  const Shape shape = chosen_model(card).sample_shape(size);
  detail::check(shape.rank() > 0 && shape.numel() > 0, "the model \"",
                io::printable(card.architecture), "\": expected the shape of a sample, got none");
  return shape;
}

// The names that a model's weights have in a file.
template <class T>
WeightNames names_in(const RegisteredModel& model, const io::SafetensorsFile& file,
                     const ParameterStore<T>& store) {
  return model.names_for(store,
                         [&](const std::string& tensor) { return file.find(tensor) != nullptr; });
}

// The metadata of a weights file. Throws where a class's name is not UTF-8.
inline std::map<std::string, std::string> to_metadata(const ModelCard& card) {
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

// Throws, naming the file, where the metadata is not that of a model of Anther's, or its options
// are not those of the registered model.
inline ModelCard model_card_of(const io::SafetensorsFile& file) {
  const auto has = [&](const char* key) { return file.metadata().contains(key); };
  const auto text = [&](const char* key) -> const std::string& {
    detail::check(has(key), file.path().string(),
                  ": expected weights that Anther saved, got none of the metadata \"", key, "\"");
    return file.metadata().at(key);
  };
  ModelCard card;
  card.architecture = text("architecture");
  const std::string& class_names = text("class_names");
  const RegisteredModel* model = ModelRegistry::global().find(card.architecture);
  if (model) text("options");
  // What is nested deeply is nobody's card, and walks over it would run out of stack.
  const auto parse = [](const std::string& json) {
    return nlohmann::json::parse(json, [](int depth, auto, auto&) {
      detail::check(depth < 16, "expected JSON of a few levels");
      return true;
    });
  };
  try {
    if (has("options")) card.options = parse(text("options"));
    if (model) card.options = model->complete(card.options);
    io::JsonMember<std::vector<std::string>>::from("class_names", parse(class_names),
                                                   card.class_names);
    if (has("preprocess")) card.preprocess = parse(text("preprocess"));
    if (has("sample")) {
      std::vector<std::int64_t> extents;
      io::JsonMember<std::vector<std::int64_t>>::from("sample", parse(text("sample")), extents);
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

// The weights that a path means: the file, or the best of the run whose folder it is.
inline std::filesystem::path weights_of(const std::filesystem::path& path) {
  std::error_code error;
  return std::filesystem::is_directory(path, error) ? path / "weights" / "best.safetensors" : path;
}

// A registered model with its weights: what every program that uses one begins with.
struct LoadedModel {
  // Reads a weights file, or the best weights of a run's folder. Throws, naming the file, where the
  // model is not registered or the weights are of another.
  explicit LoadedModel(const std::filesystem::path& path)
      : LoadedModel(io::SafetensorsFile(weights_of(path))) {}
  explicit LoadedModel(const io::SafetensorsFile& file) : card(model_card_of(file)) {
    try {
      chosen = chosen_model(card);
    } catch (const Error& error) {
      detail::fail(file.path().string(), ": ", error.what());
    }
    module = chosen.make(store);
    load_weights(file, store, {.names = names_in(*chosen.model, file, store)});
  }

  ModelCard card;
  ChosenModel chosen;
  ParameterStore<float> store;
  std::unique_ptr<Module<float>> module;
};

}  // namespace anther::inline v0_1
