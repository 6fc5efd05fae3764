// Models and the cards of their weights files: from a module to its card, and from a file to a
// module with its weights.
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "anther/core/once.hpp"
#include "anther/io/safetensors.hpp"
#include "anther/models/registry.hpp"
#include "anther/train/model_card.hpp"
#include "anther/train/weights.hpp"

namespace anther::inline v0_1 {

// What a module is, according to the registry. A module that is not registered gets the name of its
// type and no options: its weights can be saved, but not loaded by name.
ANTHER_ONCE ModelCard card_of(const Module<float>& module,
                              std::vector<std::string> class_names = {},
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
ANTHER_ONCE ChosenModel chosen_model(const ModelCard& card) {
  const RegisteredModel* model = ModelRegistry::global().find(card.architecture);
  detail::check(model != nullptr, "the model \"", io::printable(card.architecture),
                "\" is not registered in this program, which knows ",
                ModelRegistry::global().names());
  return {model, model->complete(card.options)};
}

// The shape of a sample of a card's model: as the card says, or else as the model says for images
// of `size` pixels a side (0: as preprocess says). Throws if none of these says it.
ANTHER_ONCE Shape sample_shape_of(const ModelCard& card, std::int64_t size = 0) {
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

// What wrappers and trainers leave in a file: a prefix ahead of every name (torch.compile's
// "_orig_mod.", DataParallel's and AveragedModel's "module.", Lightning's "model.", "ema.", and any
// other), and tensors beside the model's. They are taken off and passed over; returns a sentence
// for people, "" where nothing was to be done.
template <class T>
std::string unwrap_names(io::SafetensorsFile& file, const RegisteredModel& model,
                         const ParameterStore<T>& store) {
  // Every prefix that ends with a dot, in the order of the file, and how many tensors have it.
  std::vector<std::string> prefixes = {""};
  std::map<std::string, std::size_t, std::less<>> tensors;
  for (const io::SafetensorsEntry& entry : file.entries())
    for (std::size_t dot = entry.name.find('.'); dot != entry.name.npos;
         dot = entry.name.find('.', dot + 1)) {
      std::string prefix = entry.name.substr(0, dot + 1);
      if (++tensors[prefix] == 1) prefixes.push_back(std::move(prefix));
    }

  // How many of the model's weights are found under a prefix.
  const std::size_t weights = store.parameters().size() + store.buffers().size();
  const auto found_under = [&](const std::string& prefix) {
    const auto has = [&](const std::string& name) { return file.find(prefix + name) != nullptr; };
    const WeightNames names = model.names_for(store, has);
    std::size_t found = 0;
    for (const auto* list : {&store.parameters(), &store.buffers()})
      for (const ParameterInfo& info : *list) found += has(name_in(names, info.name)) ? 1 : 0;
    return found;
  };
  const auto is_average = [](const std::string& prefix) {
    return prefix.find("ema") != prefix.npos || prefix.find("teacher") != prefix.npos;
  };
  std::string prefix;
  std::vector<std::string> others;
  std::size_t most = found_under("");
  for (const std::string& candidate : prefixes) {
    if (candidate.empty() || 2 * tensors[candidate] < weights) continue;
    const std::size_t found = found_under(candidate);
    if (2 * found < weights || found < most) continue;
    // The weights that were trained go before their average, and the first of a kind before others.
    if (found > most || (is_average(prefix) && !is_average(candidate))) {
      if (found == most) others.push_back(prefix);
      prefix = candidate;
      most = found;
    } else {
      others.push_back(candidate);
    }
  }

  // Counts beside the weights: AveragedModel's, and those that counters of operations leave.
  const auto is_count = [](const io::SafetensorsEntry& entry) {
    const std::string_view name = entry.name;
    const std::string_view last = name.substr(name.rfind('.') + 1);
    return entry.shape.numel() == 1 &&
           (last == "n_averaged" || last == "total_ops" || last == "total_params");
  };
  std::vector<std::string> passed_over;
  file.rename([&](const io::SafetensorsEntry& entry) -> std::optional<std::string> {
    const bool is_copy = prefix.empty() && std::ranges::any_of(others, [&](const auto& other) {
                           return entry.name.starts_with(other);
                         });
    if (entry.name.starts_with(prefix) && !is_count(entry) && !is_copy)
      return entry.name.substr(prefix.size());
    passed_over.push_back(entry.name);
    return {};
  });
  std::string said;
  if (!prefix.empty()) said = "The prefix " + io::in_quotes(prefix) + " is taken off the names.";
  for (const std::string& other : others)
    said += std::string(said.empty() ? "" : " ") + "The file has weights under " +
            io::in_quotes(other) + " as well.";
  if (!passed_over.empty()) {
    said += (said.empty() ? "" : " ") +
            detail::text_of("Passed over: ", io::in_quotes(passed_over.front()));
    if (passed_over.size() > 1) said += detail::text_of(" and ", passed_over.size() - 1, " more");
    said += '.';
  }
  return said;
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
