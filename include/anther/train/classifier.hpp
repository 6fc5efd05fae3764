// A trained model to use: everything from its weights file, whose metadata has the options, the
// class names and the preprocessing.
//
//   Classifier classifier("runs/train_flowers/1");
//   for (const Classified& image : classifier.classify(files)) ...
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "anther/core/parallel_for.hpp"
#include "anther/data/vision/decode.hpp"
#include "anther/data/vision/image.hpp"
#include "anther/data/vision/transforms.hpp"
#include "anther/models/edgevit/edgevit.hpp"
#include "anther/train/checkpoint.hpp"
#include "anther/train/evaluation.hpp"
#include "anther/train/trainer.hpp"

namespace anther::inline v0_1 {

// What a model says of one image file.
struct Classified {
  std::filesystem::path file;
  std::string error = {};                  // why there is no answer; empty where there is one
  std::vector<double> probabilities = {};  // of each class

  // The k most probable classes, the first ahead.
  std::vector<std::int64_t> top(std::int64_t k) const {
    std::vector<std::int64_t> classes(probabilities.size());
    std::iota(classes.begin(), classes.end(), std::int64_t{0});
    std::stable_sort(classes.begin(), classes.end(), [&](std::int64_t a, std::int64_t b) {
      return probabilities[static_cast<std::size_t>(a)] >
             probabilities[static_cast<std::size_t>(b)];
    });
    classes.resize(static_cast<std::size_t>(std::clamp<std::int64_t>(k, 0, std::ssize(classes))));
    return classes;
  }
};

// The weights that a path means: the file, or the best of the run whose folder it is.
inline std::filesystem::path weights_of(const std::filesystem::path& path) {
  std::error_code error;
  return std::filesystem::is_directory(path, error) ? path / "weights" / "best.safetensors" : path;
}

class Classifier {
 public:
  // Reads a weights file, or the best weights of a run's folder. Throws, naming the file, where it
  // is not one that Anther saved.
  explicit Classifier(const std::filesystem::path& path)
      : Classifier(io::SafetensorsFile(weights_of(path))) {}
  Classifier(const Classifier&) = delete;
  Classifier& operator=(const Classifier&) = delete;

  const ModelCard& card() const { return card_; }
  const EdgeViT<float>& model() const { return *model_; }
  Trainer<float>& trainer() { return *trainer_; }
  std::int64_t classes() const { return card_.options.num_classes; }

  // An answer for each file, in their order; a file that cannot be decoded gets its error.
  std::vector<Classified> classify(std::span<const std::filesystem::path> files,
                                   bool flip = false) {
    std::vector<Classified> results;
    results.reserve(files.size());
    for (std::size_t at = 0; at < files.size(); at += batch_size)
      classify_batch(files.subspan(at, std::min(batch_size, files.size() - at)), flip, results);
    return results;
  }

 private:
  static constexpr std::size_t batch_size = 32;

  explicit Classifier(const io::SafetensorsFile& file) : card_(model_card_of(file)) {
    detail::check(std::ssize(card_.class_names) == card_.options.num_classes, file.path().string(),
                  ": expected ", card_.options.num_classes, " class names, got ",
                  card_.class_names.size());
    model_ = std::make_unique<EdgeViT<float>>(store_, card_.options);
    load_weights(file, store_);
    trainer_ = std::make_unique<Trainer<float>>(*model_, evaluation_options(store_));
  }

  void classify_batch(std::span<const std::filesystem::path> files, bool flip,
                      std::vector<Classified>& results) {
    const vision::Transform transform(card_.preprocess);
    const std::int64_t size = card_.preprocess.image_size, numel = card_.preprocess.numel();
    const std::size_t first = results.size();
    for (const auto& file : files) results.push_back({.file = file});

    std::vector<float> images(files.size() * static_cast<std::size_t>(numel));
    parallel_for(std::ssize(files), std::int64_t{1} << 40, [&](std::int64_t i) {
      Classified& result = results[first + static_cast<std::size_t>(i)];
      try {
        transform(vision::decode_image(result.file), images.data() + i * numel);
      } catch (const Error& error) {
        result.error = error.what();
      }
    });

    // Those that could be decoded, one after another.
    std::vector<Classified*> good;
    for (std::size_t i = 0; i < files.size(); ++i) {
      if (!results[first + i].error.empty()) continue;
      std::copy_n(images.data() + static_cast<std::int64_t>(i) * numel, numel,
                  images.data() + std::ssize(good) * numel);
      good.push_back(&results[first + i]);
    }
    if (good.empty()) return;
    images.resize(good.size() * static_cast<std::size_t>(numel));
    const std::vector<float> logits =
        predict<float>(*trainer_, {std::ssize(good), size, size, 3}, images, flip);
    const auto row_size = static_cast<std::size_t>(classes());
    for (std::size_t n = 0; n < good.size(); ++n) {
      good[n]->probabilities =
          log_softmax_of(std::span<const float>(logits).subspan(n * row_size, row_size));
      for (double& value : good[n]->probabilities) value = std::exp(value);
    }
  }

  ModelCard card_;
  ParameterStore<float> store_;
  std::unique_ptr<EdgeViT<float>> model_;
  std::unique_ptr<Trainer<float>> trainer_;
};

}  // namespace anther::inline v0_1
