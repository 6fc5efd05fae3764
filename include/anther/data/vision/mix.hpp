// Mixup (Zhang et al. 2018) and cutmix (Yun et al. 2019) on a batch.
//
// Images 2k and 2k + 1 are each other's partners and share one lambda (timm's mode "pair"):
//   mixup:  x = lambda own + (1 - lambda) partner's;
//   cutmix: a box of 1 - lambda of the area is exchanged; lambda is then what the box leaves.
// What happens to a pair follows from the key and from the index of its first image. So it does not
// depend on how an epoch is cut into batches, as long as their size is even. A last image without a
// partner stays as it is.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <utility>

#include "anther/core/beta.hpp"
#include "anther/core/check.hpp"
#include "anther/core/once.hpp"
#include "anther/core/random.hpp"
#include "anther/data/batch.hpp"
#include "anther/data/vision/mix_options.hpp"
#include "anther/data/vision/resize.hpp"

namespace anther::inline v0_1::vision {

// Both images (count) become their mixture.
ANTHER_ONCE void mixup_pair(float* first, float* second, std::int64_t count, float lambda) {
  for (std::int64_t i = 0; i < count; ++i) {
    const float a = first[i], b = second[i];
    first[i] = lambda * a + (1 - lambda) * b;
    second[i] = lambda * b + (1 - lambda) * a;
  }
}

// The box of cutmix: 1 - lambda of the area, around a random middle. What lies outside the image is
// cut off.
ANTHER_ONCE Box cutmix_box(int height, int width, double lambda, RandomKey key) {
  const double side = std::sqrt(1 - lambda);
  const auto part = [&](int whole, std::uint64_t i) {
    const int middle = static_cast<int>(uniform_below(key, i, whole));
    const int half = static_cast<int>(whole * side) / 2;
    return std::pair(std::max(middle - half, 0), std::min(middle + half, whole));
  };
  const auto [top, bottom] = part(height, 0);
  const auto [left, right] = part(width, 1);
  return {.x = left, .y = top, .width = right - left, .height = bottom - top};
}

// Exchanges the box between two images (height, width, channels).
ANTHER_ONCE void cutmix_pair(float* first, float* second, int width, std::int64_t channels,
                             const Box& box) {
  for (int y = box.y; y < box.y + box.height; ++y) {
    const std::int64_t at = channels * (std::int64_t{y} * width + box.x);
    std::swap_ranges(first + at, first + at + channels * box.width, second + at);
  }
}

// Mixes two images (height, width, channels) as the pair's key says; returns lambda.
ANTHER_ONCE double mix_pair(float* first, float* second, int height, int width,
                            std::int64_t channels, const MixOptions& options, RandomKey key) {
  if (uniform(key.fold("do"), 0) >= options.prob) return 1;
  const bool cut = options.cutmix > 0 &&
                   (options.mixup <= 0 || uniform(key.fold("switch"), 0) < options.switch_prob);
  const double alpha = cut ? options.cutmix : options.mixup;
  const double lambda = beta_variate(key.fold("lambda"), alpha, alpha);
  if (!cut) {
    mixup_pair(first, second, channels * height * width, static_cast<float>(lambda));
    return lambda;
  }
  const Box box = cutmix_box(height, width, lambda, key.fold("box"));
  cutmix_pair(first, second, width, channels, box);
  return 1 - static_cast<double>(box.width) * box.height / (static_cast<double>(width) * height);
}

// Mixes the images of a batch in place, and sets labels, labels2 and lambda. The first label is
// that of the image with the greater share; accuracy is counted by it. Throws unless the inputs are
// images, and each has one class as its target.
ANTHER_ONCE void mix_batch(data::Batch& batch, const MixOptions& options, RandomKey key) {
  const Shape& shape = batch.inputs.shape();
  detail::check(shape.rank() == 4 && shape[0] == batch.size(), "mix: expected ", batch.size(),
                " images (N, H, W, C), got inputs ", shape);
  detail::check(std::ssize(batch.labels) == batch.size(), "mix: expected one class for each of ",
                batch.size(), " images as target, got ", batch.labels.size(), " classes and ",
                batch.values.size(), " numbers");
  batch.labels2 = batch.labels;
  batch.lambda.assign(batch.labels.size(), 1.0f);
  const int height = static_cast<int>(shape[1]), width = static_cast<int>(shape[2]);
  const std::int64_t channels = shape[3], count = channels * height * width;
  for (std::size_t i = 0; i + 1 < batch.labels.size(); i += 2) {
    float* first = batch.inputs.data() + static_cast<std::int64_t>(i) * count;
    const double lambda = mix_pair(first, first + count, height, width, channels, options,
                                   key.fold(static_cast<std::uint64_t>(batch.indices[i])));
    batch.lambda[i] = batch.lambda[i + 1] = static_cast<float>(std::max(lambda, 1 - lambda));
    std::swap(batch.labels2[i], batch.labels2[i + 1]);
    if (lambda < 0.5) {
      std::swap(batch.labels[i], batch.labels2[i]);
      std::swap(batch.labels[i + 1], batch.labels2[i + 1]);
    }
  }
}

// What a loader mixes its batches with; empty if the options mix nothing.
inline data::BatchTransform mixing(const MixOptions& options) {
  options.validate();
  if (!options.on()) return {};
  return [options](data::Batch& batch, RandomKey key) { mix_batch(batch, options, key); };
}

}  // namespace anther::inline v0_1::vision
