// What training makes small: a function from a model's outputs and a batch's targets to a loss.
//
// objectives.hpp has some. One of one's own is a lambda of the same arguments:
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

// Neighbouring samples of a batch.
struct SampleRange {
  std::int64_t first = 0;
  std::int64_t count = 0;
};

// outputs (count, ...): the model's, of these samples of the batch. Gives a scalar, the sum of the
// samples' losses: whoever calls divides by the number of samples. tape.options().training says
// whether it is for a step or for an evaluation. Several threads call it at once, each with a tape
// of its own.
template <class T>
using Objective = std::function<Variable<T>(const Variable<T>& outputs, const data::Batch& batch,
                                            SampleRange part)>;

// Numbers of each sample, those of the samples in a range.
template <class U>
std::span<const U> of_samples(const std::vector<U>& all, std::int64_t samples, SampleRange part) {
  if (all.empty() || samples == 0) return {};
  const std::size_t each = all.size() / static_cast<std::size_t>(samples);
  return std::span(all).subspan(static_cast<std::size_t>(part.first) * each,
                                static_cast<std::size_t>(part.count) * each);
}

}  // namespace anther::inline v0_1
