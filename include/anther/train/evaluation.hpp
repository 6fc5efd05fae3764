// A model's predictions for the images of a data set, and what they are worth.
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "anther/data/loader.hpp"
#include "anther/train/fit.hpp"
#include "anther/train/metrics.hpp"
#include "anther/train/trainer.hpp"

namespace anther::inline v0_1 {

// Of one image of a data set.
struct Prediction {
  std::int64_t index = 0;      // in the data set
  std::int32_t label = 0;      // its class
  std::int32_t predicted = 0;  // the class that was taken for it
  double probability = 0;      // of the predicted class
  double label_probability = 0;

  bool correct() const { return predicted == label; }
};

struct Evaluation {
  ClassificationMetrics metrics;
  std::vector<Prediction> predictions = {};  // in the data set's order
  double seconds = 0;                        // loading included
  std::int64_t skipped = 0;                  // damaged images left out
};

// What a trainer takes that only evaluates; an image's logits are the same bits for any of it.
template <class T>
TrainerOptions evaluation_options(const ParameterStore<T>& store) {
  if (!store.buffers().empty()) return {};  // BatchNorm: no micro-batches
  return {.micro_batch = 4, .lanes = 4};
}

// Images (N, H, W, C) mirrored left to right.
template <class T>
std::vector<T> mirrored(const Shape& shape, std::span<const T> images) {
  const auto width = static_cast<std::size_t>(shape[2]), depth = static_cast<std::size_t>(shape[3]);
  std::vector<T> result(images.size());
  for (std::size_t row = 0; row < images.size(); row += width * depth)
    for (std::size_t x = 0; x < width; ++x)
      std::copy_n(images.data() + row + x * depth, depth,
                  result.data() + row + (width - 1 - x) * depth);
  return result;
}

// The logits (N, classes) of images (N, H, W, C), as the training loop's evaluation computes them.
// flip: test-time augmentation, log((p + p of the mirrored image) / 2) for probabilities p.
template <class T>
std::vector<T> predict(Trainer<T>& trainer, const Shape& shape, std::span<const T> images,
                       bool flip = false) {
  const std::vector<std::int32_t> no_labels(static_cast<std::size_t>(shape[0]));
  std::vector<T> logits;
  trainer.evaluate(shape, images, no_labels, &logits);
  if (!flip) return logits;
  std::vector<T> others;
  trainer.evaluate(shape, mirrored(shape, images), no_labels, &others);
  const std::size_t classes = logits.size() / static_cast<std::size_t>(shape[0]);
  for (std::size_t row = 0; row < logits.size(); row += classes) {
    const auto a = log_softmax_of(std::span<const T>(logits).subspan(row, classes));
    const auto b = log_softmax_of(std::span<const T>(others).subspan(row, classes));
    for (std::size_t c = 0; c < classes; ++c) {
      const double greater = std::max(a[c], b[c]);
      const double mean = std::exp(a[c] - greater) + std::exp(b[c] - greater);
      logits[row + c] = static_cast<T>(greater + std::log(mean / 2));
    }
  }
  return logits;
}

// What logits (N, classes) say of a batch's images.
template <class T>
void add_predictions(std::vector<Prediction>& predictions, std::span<const T> logits,
                     const data::Batch& batch) {
  const std::size_t classes = logits.size() / batch.labels.size();
  for (std::size_t n = 0; n < batch.labels.size(); ++n) {
    const std::span<const T> row = logits.subspan(n * classes, classes);
    const std::vector<double> log_probabilities = log_softmax_of(row);
    const auto best = std::max_element(row.begin(), row.end()) - row.begin();
    const auto label = static_cast<std::size_t>(batch.labels[n]);
    predictions.push_back(
        {.index = batch.indices[n],
         .label = batch.labels[n],
         .predicted = static_cast<std::int32_t>(best),
         .probability = std::exp(log_probabilities[static_cast<std::size_t>(best)]),
         .label_probability = std::exp(log_probabilities[label])});
  }
}

// Predictions for all images of a loader, of so many classes.
template <class T>
Evaluation evaluate_images(Trainer<T>& trainer, data::Loader& loader, std::int64_t classes,
                           bool flip = false, std::span<Callback* const> callbacks = {}) {
  const auto begin = std::chrono::steady_clock::now();
  Evaluation result{ClassificationMetrics(classes)};
  evaluate_batches(loader, callbacks, {}, [&](StepReport& report, const data::Batch& batch) {
    const std::vector<T> logits =
        predict<T>(trainer, batch.images.shape(), batch.images.span(), flip);
    result.metrics.add<T>(logits, batch.labels);
    add_predictions<T>(result.predictions, logits, batch);
    ++report.step;
    report.images += batch.size();
    report.loss = report.mean_loss = result.metrics.loss();
    report.top1 = result.metrics.top1();
    report.top5 = result.metrics.top5();
  });
  result.skipped = loader.skipped();
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return result;
}

}  // namespace anther::inline v0_1
