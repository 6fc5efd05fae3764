// Batches of samples, what a loader is asked for, and the order of an epoch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <numeric>
#include <utility>
#include <vector>

#include "anther/core/random.hpp"
#include "anther/core/tensor.hpp"

namespace anther::inline v0_1::data {

// N samples. Pass the same Batch to next() each time: its memory is then used again.
struct Batch {
  Tensor<float> inputs;               // (N, ...)
  std::vector<std::int32_t> labels;   // (N, ...): targets that are classes; else empty
  std::vector<float> values;          // (N, ...): targets that are numbers; else empty
  Shape target_shape;                 // of one sample's target: the dots of labels and values
  std::vector<std::int64_t> indices;  // (N): in the data set
  // Only where samples are mixed with one another: the share lambda[n] of sample n is of the class
  // labels[n], the rest is of the class labels2[n].
  std::vector<std::int32_t> labels2;  // (N)
  std::vector<float> lambda;          // (N): 0.5 to 1

  std::int64_t size() const { return std::ssize(indices); }
};

// Changes a batch, given the key of its epoch: it mixes samples with one another, for example. What
// it does to a sample must depend only on the key and on the sample's index.
using BatchTransform = std::function<void(Batch& batch, RandomKey key)>;

struct LoaderOptions {
  std::int64_t batch_size = 32;
  bool shuffle = false;
  bool drop_last = false;  // leave out a last batch of fewer samples
  // Where the batches are parts of larger ones: how many samples those have, which drop_last and
  // least_batch then mean. 0: the batches are whole.
  std::int64_t whole_batch = 0;
  // Leave out a batch of fewer samples than this, at the end of an epoch or because skip_bad left
  // some out. 2 where samples see one another (BatchNorm): one alone has no variance.
  std::int64_t least_batch = 1;
  std::int64_t limit = 0;  // only the first samples of the data set; 0: all
  std::uint64_t seed = 0;
  int workers = 1;          // threads; 0: next() does the work itself
  int prefetch = 2;         // batches that are prepared ahead, each with memory of its own
  bool skip_bad = false;    // leave out samples that cannot be read, instead of throwing
  BatchTransform mix = {};  // run on each batch by next()
};

// The order in which an epoch goes through samples 0, ..., count - 1.
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
