// What training minimises: a function from a model's outputs and a batch's targets to a loss.
//
// objectives.hpp has some. Your own can be a lambda with the same arguments:
//
//   const Objective<float> halved = [](const Variable<float>& outputs, const data::Batch& batch,
//                                      SampleRange part) { return 0.5 * ...; };
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "anther/autograd/tape.hpp"
#include "anther/data/batch.hpp"

namespace anther::inline v0_1 {

// Consecutive samples of a batch.
struct SampleRange {
  std::int64_t first = 0;
  std::int64_t count = 0;
};

// outputs (count, ...): the model's outputs for these samples of the batch. Returns a scalar, the
// sum of the losses of the samples; the caller divides by the number of samples.
// tape.options().training says whether it is for a step or for an evaluation. Several threads call
// it at once, each with its own tape.
template <class T>
using Objective = std::function<Variable<T>(const Variable<T>& outputs, const data::Batch& batch,
                                            SampleRange part)>;

// The numbers of the samples in a range, out of those of all samples.
template <class U>
std::span<const U> of_samples(const std::vector<U>& all, std::int64_t samples, SampleRange part) {
  if (all.empty() || samples == 0) return {};
  const std::size_t each = all.size() / static_cast<std::size_t>(samples);
  return std::span(all).subspan(static_cast<std::size_t>(part.first) * each,
                                static_cast<std::size_t>(part.count) * each);
}

}  // namespace anther::inline v0_1
