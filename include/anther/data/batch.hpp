// Batches of images, what a loader is asked for, and the order of an epoch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <numeric>
#include <utility>
#include <vector>

#include "anther/core/random.hpp"
#include "anther/core/tensor.hpp"
#include "anther/data/vision/image.hpp"
#include "anther/data/vision/mix_options.hpp"

namespace anther::inline v0_1::data {

// N images. Hand the same Batch to next() again and again: its memory is used again.
struct Batch {
  Tensor<float> images;               // (N, height, width, 3)
  std::vector<std::int32_t> labels;   // (N)
  std::vector<std::int64_t> indices;  // (N): in the data set
  // Where images are mixed, else empty: lambda[n] of image n is of labels[n], the rest of
  // labels2[n].
  std::vector<std::int32_t> labels2;  // (N)
  std::vector<float> lambda;          // (N): 0.5 to 1

  std::int64_t size() const { return static_cast<std::int64_t>(labels.size()); }
};

struct LoaderOptions {
  std::int64_t batch_size = 32;
  bool shuffle = false;
  bool drop_last = false;  // leave out a last batch of fewer images
  std::int64_t limit = 0;  // only the first images of the data set; 0: all
  std::uint64_t seed = 0;
  int workers = 1;              // threads; 0: next() does the work itself
  int prefetch = 2;             // batches that are prepared ahead, each with memory of its own
  bool skip_bad = false;        // leave out images that cannot be decoded, instead of throwing
  vision::MixOptions mix = {};  // mixup and cutmix
};

// Prepares one image: writes height * width * 3 floats. Called from several threads at once; what
// is random in it must come from the key alone.
using SampleTransform = std::function<void(const vision::Image& image, RandomKey key, float* out)>;

// The order in which an epoch goes through images 0, ..., count - 1.
inline std::vector<std::int64_t> epoch_order(std::int64_t count, bool shuffle, std::uint64_t seed,
                                             std::int64_t epoch) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(count));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  if (!shuffle) return order;
  const RandomKey key = RandomKey(seed).fold("shuffle").fold(static_cast<std::uint64_t>(epoch));
  for (std::size_t i = order.size(); i > 1; --i)
    std::swap(order[i - 1],
              order[static_cast<std::size_t>(uniform_below(key, i, static_cast<std::int64_t>(i)))]);
  return order;
}

}  // namespace anther::inline v0_1::data
