// Batches of samples, what a loader is asked for, and the order of an epoch.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "anther/core/check.hpp"
#include "anther/core/once.hpp"
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

// What of a batch is no finite number, by the sample's index in the data set: "the input of sample
// 17 is nan at 3". Empty if all are.
ANTHER_ONCE std::string not_finite(const Batch& batch) {
  const auto first = [&](const char* what, const float* values, std::int64_t count) {
    const float* const at =
        std::find_if(values, values + count, [](float x) { return !std::isfinite(x); });
    if (at == values + count) return std::string();
    const std::int64_t each = count / batch.size(), place = at - values;
    return detail::text_of("the ", what, " of sample ",
                           batch.indices[static_cast<std::size_t>(place / each)], " is ", *at,
                           " at ", place % each);
  };
  const std::string input = first("input", batch.inputs.data(), batch.inputs.size());
  if (!input.empty()) return input;
  return first("target", batch.values.data(), std::ssize(batch.values));
}

// Makes `part` hold the targets and indices of samples first, ..., first + count - 1 of a batch. It
// has no inputs.
ANTHER_ONCE void copy_targets(const Batch& batch, std::int64_t first, std::int64_t count,
                              Batch& part) {
  const auto copy = [&](const auto& from, auto& to) {
    const std::int64_t each = from.empty() ? 0 : std::ssize(from) / batch.size();
    to.assign(from.begin() + first * each, from.begin() + (first + count) * each);
  };
  copy(batch.labels, part.labels);
  copy(batch.values, part.values);
  copy(batch.indices, part.indices);
  copy(batch.labels2, part.labels2);
  copy(batch.lambda, part.lambda);
  part.target_shape = batch.target_shape;
}

// Whether a process needs a sample: its place in a batch of the loader, and that batch's samples.
// Several threads call it at once.
using NeedsSample = std::function<bool(std::int64_t place, std::int64_t samples)>;

// Changes a batch, given the key of its epoch: it mixes samples with one another, for example. What
// it does to a sample must depend only on the key and on the sample's index. Where several
// processes share a batch, one that needs sample 2k or 2k + 1 has loaded both, and nothing else.
using BatchTransform = std::function<void(Batch& batch, RandomKey key)>;

struct LoaderOptions {
  std::int64_t batch_size = 32;
  bool shuffle = false;
  bool drop_last = false;  // leave out a last batch of fewer samples
  // Where the batches are parts of larger ones: how many samples those have, which drop_last and
  // least_batch then mean. 0: the batches are whole.
  std::int64_t whole_batch = 0;
  // Leave out a batch of fewer samples than this, and a last part of one, at the end of an epoch or
  // because skip_bad left some out. 2 where samples see one another (BatchNorm): one alone has no
  // variance.
  std::int64_t least_batch = 1;
  std::int64_t limit = 0;  // only the first samples of the data set; 0: all
  std::uint64_t seed = 0;
  int workers = 1;          // threads; 0: next() does the work itself
  int prefetch = 2;         // batches that are prepared ahead, each with memory of its own
  bool skip_bad = false;    // leave out samples that cannot be read, instead of throwing
  BatchTransform mix = {};  // run on each batch by next()
};

// The order in which an epoch goes through samples 0, ..., count - 1.
ANTHER_ONCE std::vector<std::int64_t> epoch_order(std::int64_t count, bool shuffle,
                                                  std::uint64_t seed, std::int64_t epoch) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(count));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  if (!shuffle) return order;
  const RandomKey key = RandomKey(seed).fold("shuffle").fold(static_cast<std::uint64_t>(epoch));
  for (std::size_t i = order.size(); i > 1; --i)
    std::swap(order[i - 1],
              order[static_cast<std::size_t>(uniform_below(key, i, static_cast<std::int64_t>(i)))]);
  return order;
}

// The shape of `count` samples of a shape: (count, ...).
inline Shape shape_of_samples(std::int64_t count, const Shape& sample) {
  Shape shape = {count};
  for (int axis = 0; axis < sample.rank(); ++axis) shape.push_back(sample[axis]);
  return shape;
}

// How many samples of `available` ones an epoch has: all but those of a last batch that is left
// out, or of a last part that is.
ANTHER_ONCE std::int64_t samples_of_epoch(std::int64_t available, const LoaderOptions& options) {
  const std::int64_t whole = options.whole_batch > 0 ? options.whole_batch : options.batch_size;
  const std::int64_t last = available % whole;
  if (options.drop_last) return available - last;
  const std::int64_t part = last % options.batch_size;
  for (const std::int64_t rest : {last, part})
    if (rest < options.least_batch && rest < available && rest > 0) return available - rest;
  return available;
}

}  // namespace anther::inline v0_1::data
