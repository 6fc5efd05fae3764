// Test-time augmentation: what a classifier says of an image and of its mirror image together.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

#include "anther/core/shape.hpp"
#include "anther/train/metrics.hpp"
#include "anther/train/predictor.hpp"

namespace anther::inline v0_1 {

// Images of a sample's shape (H, W, C), any number of them, mirrored left to right.
template <class T>
std::vector<T> mirrored(const Shape& sample, std::span<const T> images) {
  detail::check(sample.rank() == 3, "mirrored: expected images (H, W, C), got ", sample);
  const auto width = static_cast<std::size_t>(sample[1]),
             depth = static_cast<std::size_t>(sample[2]);
  std::vector<T> result(images.size());
  for (std::size_t row = 0; row < images.size(); row += width * depth)
    for (std::size_t x = 0; x < width; ++x)
      std::copy_n(images.data() + row + x * depth, depth,
                  result.data() + row + (width - 1 - x) * depth);
  return result;
}

// The logits (N, classes) of images: log((p + p of the mirrored image) / 2) for probabilities p.
template <class T>
std::vector<T> predict_with_flip(const Predictor<T>& predictor, std::span<const T> images) {
  std::vector<T> logits = predictor(images);
  const std::vector<T> others = predictor(mirrored(predictor.sample_shape(), images));
  const auto classes = static_cast<std::size_t>(predictor.output_shape().numel());
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

}  // namespace anther::inline v0_1
