// The squared error as an objective: of numbers, vectors and maps of numbers.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

#include "anther/ops/loss.hpp"
#include "anther/train/objective.hpp"

namespace anther::inline v0_1 {

// The squared error of outputs (N, ...) and targets of as many numbers, (N, ...): the mean over the
// numbers of a sample.
template <class T = float>
Objective<T> mse_objective() {
  return [](const Variable<T>& outputs, const data::Batch& batch, SampleRange part) {
    Tape<T>& tape = outputs.tape();
    const std::span<const float> values = of_samples(batch.values, batch.size(), part);
    tape.check(std::ssize(values) == outputs.shape().numel(), "mse: expected ",
               outputs.shape().numel(), " numbers as targets of outputs ", outputs.shape(),
               ", got ", values.size());
    const std::int64_t each = outputs.shape().numel() / std::max<std::int64_t>(1, part.count);
    if constexpr (std::is_same_v<T, float>) {
      return mse_loss(outputs, tape.input(outputs.shape(), values), {.count = each});
    } else {
      const std::vector<T> converted(values.begin(), values.end());
      return mse_loss(outputs, tape.input(outputs.shape(), std::span<const T>(converted)),
                      {.count = each});
    }
  };
}

}  // namespace anther::inline v0_1
