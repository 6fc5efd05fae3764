// Models and the cards of their weights files: from a module to its card, and from a file to a
// module with its weights.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "anther/io/safetensors.hpp"
#include "anther/models/registry.hpp"
#include "anther/train/model_card.hpp"
#include "anther/train/weights.hpp"

namespace anther::inline v0_1 {

// What a module is, according to the registry. A module that is not registered gets the name of its
// type and no options: its weights can be saved, but not loaded by name.
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

// The model that a card names. Throws if it is not registered in this program.
inline ChosenModel chosen_model(const ModelCard& card) {
  const RegisteredModel* model = ModelRegistry::global().find(card.architecture);
  detail::check(model != nullptr, "the model \"", io::printable(card.architecture),
                "\" is not registered in this program, which knows ",
                ModelRegistry::global().names());
  return {model, model->complete(card.options)};
}

// The shape of a sample of a card's model: as the card says, or else as the model says for images
// of `size` pixels a side (0: as preprocess says). Throws if none of these says it.
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

// A registered model with its weights: what every program that uses one begins with.
struct LoadedModel {
  // Reads a weights file, or the best weights of a run's folder. Throws, naming the file, if the
  // model is not registered, or the weights are those of another.
  explicit LoadedModel(const std::filesystem::path& path)
      : LoadedModel(io::SafetensorsFile(weights_of(path))) {}
  explicit LoadedModel(const io::SafetensorsFile& file) : card(model_card_of(file)) {
    try {
      chosen = chosen_model(card);
    } catch (const Error& error) {
      detail::fail(file.path().string(), ": metadata: ", io::printable(error.what()));
    }
    card.options = chosen.options;
    module = chosen.make(store);
    load_weights(file, store, {.names = names_in(*chosen.model, file, store)});
  }

  ModelCard card;
  ChosenModel chosen;
  ParameterStore<float> store;
  std::unique_ptr<Module<float>> module;
};

}  // namespace anther::inline v0_1
