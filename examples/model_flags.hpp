// The flags of programs that take a trained model, or make one by its name.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "anther/data/vision/preprocess_json.hpp"
#include "anther/models/loaded_model.hpp"
#include "anther/models/models.hpp"

struct ModelFlags {
  std::string model = {}, options = {}, preset = {};
  std::int64_t num_classes = 0, img_size = 0;
  std::vector<std::int64_t> sample = {};
  std::uint64_t seed = 0;
  bool table = false;

  // --options, with what has a flag of its own. An option that the model lacks is an error.
  nlohmann::json json() const {
    nlohmann::json json = nlohmann::json::object();
    if (!options.empty()) {
      json = nlohmann::json::parse(options, nullptr, false);
      anther::detail::check(json.is_object(),
                            "--options: expected a JSON object like '{\"drop\": 0.1}', got ",
                            options);
    }
    if (!preset.empty()) json["preset"] = preset;
    if (table) json["table"] = true;
    if (num_classes > 0) json["num_classes"] = num_classes;
    return json;
  }
  anther::ChosenModel choose() const { return anther::choose_model(model, json()); }
};

// `what` ends the help of --model.
inline void add_model_flags(CLI::App& app, ModelFlags& flags, const std::string& what) {
  app.add_option("--model", flags.model,
                 "one of " + anther::ModelRegistry::global().names() + what);
  app.add_option("--options", flags.options, "of --model, as a JSON object");
  app.add_option("--preset", flags.preset, "of --model: improved or original");
  app.add_option("--num-classes", flags.num_classes, "of --model; 0: its default")
      ->check(CLI::Range(0, 1 << 20));
  app.add_option("--img-size", flags.img_size, "side of the images; 0: the weights', or 224")
      ->check(CLI::Range(0, 1 << 20));
  app.add_option("--sample", flags.sample,
                 "shape of a sample, without the batch, where the model does not say it: 28 28 1");
}

// A trained model, or a random one.
struct ModelAtHand {
  // checkpoint: a weights file or the folder of a run; empty: --model.
  ModelAtHand(const std::string& checkpoint, const ModelFlags& flags) {
    if (!checkpoint.empty()) {
      anther::detail::check(flags.model.empty() && flags.json().empty() && flags.seed == 0,
                            "--model, and what is of it: expected none of these beside ",
                            checkpoint, ", which has them");
      loaded = std::make_unique<anther::LoadedModel>(std::filesystem::path(checkpoint));
      card = loaded->card;
      module = loaded->module.get();
    } else {
      const anther::ChosenModel chosen = flags.choose();
      made = chosen.make(store);
      store.initialize(flags.seed);
      card.architecture = chosen.model->name;
      card.options = chosen.options;
      module = made.get();
      // Images are prepared as by default.
      if (chosen.sample_shape(anther::vision::Preprocess().image_size).rank() == 3)
        card.preprocess = to_json(anther::vision::Preprocess());
    }
    if (flags.img_size > 0 && card.preprocess.is_object())
      card.preprocess["image_size"] = flags.img_size;
    if (!flags.sample.empty()) {
      card.sample = {};
      for (const std::int64_t extent : flags.sample) card.sample.push_back(extent);
    }
    sample = sample_shape_of(card, flags.img_size);
  }

  // A batch of one sample.
  anther::Shape batch_of(std::int64_t samples) const {
    anther::Shape shape{samples};
    for (int i = 0; i < sample.rank(); ++i) shape.push_back(sample[i]);
    return shape;
  }
  // How images are prepared; null where it does not take images.
  std::unique_ptr<anther::vision::Preprocess> preprocess() const {
    if (card.preprocess.is_null()) return nullptr;
    return std::make_unique<anther::vision::Preprocess>(
        anther::vision::preprocess_from_json(card.preprocess));
  }

  anther::ModelCard card;
  anther::Shape sample;
  const anther::Module<float>* module = nullptr;

 private:
  anther::ParameterStore<float> store;
  std::unique_ptr<anther::Module<float>> made;
  std::unique_ptr<anther::LoadedModel> loaded;
};
