// A trained classifier of images, to use: everything from its weights file, whose metadata has the
// model, its options, the class names and how images are prepared.
//
//   Classifier classifier("runs/my_run/1");
//   for (const Classified& image : classifier.classify(files)) ...
#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "anther/core/parallel_for.hpp"
#include "anther/data/vision/decode.hpp"
#include "anther/data/vision/image.hpp"
#include "anther/data/vision/mirror.hpp"
#include "anther/data/vision/preprocess_json.hpp"
#include "anther/data/vision/transforms.hpp"
#include "anther/models/loaded_model.hpp"
#include "anther/train/flip.hpp"
#include "anther/train/metrics.hpp"
#include "anther/train/predictor.hpp"

namespace anther::inline v0_1 {

// What a model says of one image file.
struct Classified {
  std::filesystem::path file;
  std::string error = {};                  // why there is no answer; empty where there is one
  std::vector<double> probabilities = {};  // of each class

  // The k most probable classes, the most probable first.
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

class Classifier {
 public:
  // Reads a weights file, or the best weights of a run's folder. Throws, naming the file, unless it
  // is that of a classifier of images that this program has registered. With {.amp = true} products
  // are of numbers in bfloat16.
  explicit Classifier(const std::filesystem::path& path, const PredictorOptions& options = {})
      : model_(path),
        preprocess_(preprocess_of(path, model_.card)),
        predictor_(*model_.module, sample_shape_of(model_.card), options) {
    model_.store.keep_packed(false);
    // Weights from elsewhere may come without names: their classes are called by their numbers.
    if (model_.card.class_names.empty())
      for (std::int64_t c = 0; c < classes(); ++c)
        model_.card.class_names.push_back(std::to_string(c));
    const Shape& sample = predictor_.sample_shape();
    detail::check(sample.rank() == 3 && sample.numel() == preprocess_.numel(),
                  weights_of(path).string(), ": expected a model of images of ",
                  preprocess_.image_size, " x ", preprocess_.image_size,
                  " pixels in 3 colours, got samples of ", sample);
    detail::check(std::ssize(card().class_names) == classes(), weights_of(path).string(),
                  ": expected ", classes(), " class names, got ", card().class_names.size());
  }
  Classifier(const Classifier&) = delete;
  Classifier& operator=(const Classifier&) = delete;

  const ModelCard& card() const { return model_.card; }
  const vision::Preprocess& preprocess() const { return preprocess_; }
  const Module<float>& model() const { return *model_.module; }
  const Predictor<float>& predictor() const { return predictor_; }
  std::int64_t classes() const { return predictor_.output_shape().numel(); }

  // An answer for each file, in their order; a file that cannot be decoded gets its error, and so
  // does one with a logit that is not finite. flip: takes the mean over each image and its mirror
  // image. Each thread decodes an image and computes its answer; if there are fewer files than
  // threads, the threads share the computation.
  std::vector<Classified> classify(std::span<const std::filesystem::path> files,
                                   bool flip = false) const {
    std::vector<Classified> results(files.size());
    const auto one = [&](std::int64_t i) {
      const auto at = static_cast<std::size_t>(i);
      results[at] = classify(files[at], flip);
    };
    if (std::ssize(files) < available_threads())
      for (std::int64_t i = 0; i < std::ssize(files); ++i) one(i);
    else
      parallel_for(std::ssize(files), std::int64_t{1} << 40, one);
    return results;
  }

  Classified classify(const std::filesystem::path& file, bool flip = false) const {
    Classified result{.file = file};
    Tensor<float> image({1, preprocess_.image_size, preprocess_.image_size, 3});
    try {
      const vision::Transform transform(preprocess_);
      transform(vision::decode_image(file), image.data());
    } catch (const Error& error) {
      result.error = error.what();
      return result;
    }
    const Tensor<float> logits = predict(image, flip);
    for (const float logit : logits)
      if (!std::isfinite(logit)) {
        result.error = detail::text_of(file.string(), ": no answer: a logit is ", logit);
        return result;
      }
    result.probabilities = log_softmax_of(logits.span());
    for (double& value : result.probabilities) value = std::exp(value);
    return result;
  }

  // The logits (N, classes) of images (N, H, W, 3). flip: takes the mean over each and its mirror
  // image.
  Tensor<float> predict(const Tensor<float>& images, bool flip = false) const {
    // For a single image the packed weights are not kept: they would double the memory.
    if (images.shape()[0] > 1 || used_.exchange(true)) model_.store.keep_packed(true);
    Tensor<float> logits = predictor_(images);
    if (!flip) return logits;
    const std::vector<float> mirrored = vision::mirrored(images.shape(), images.span());
    const std::vector<float> mean = mean_of_views<float>(
        logits.span(), predictor_(std::span<const float>(mirrored)), classes());
    std::ranges::copy(mean, logits.begin());
    return logits;
  }

 private:
  static vision::Preprocess preprocess_of(const std::filesystem::path& path,
                                          const ModelCard& card) {
    const std::string file = weights_of(path).string();
    detail::check(!card.preprocess.is_null(), file,
                  ": expected weights that Anther saved of a model of images, got none of the "
                  "metadata \"preprocess\"");
    try {
      return vision::preprocess_from_json(card.preprocess);
    } catch (const Error& error) {
      detail::fail(file, ": metadata: ", io::printable(error.what()));
    }
  }

  LoadedModel model_;
  vision::Preprocess preprocess_;
  Predictor<float> predictor_;
  mutable std::atomic<bool> used_{false};
};

}  // namespace anther::inline v0_1
