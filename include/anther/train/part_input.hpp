// A part of a batch on a tape.
#pragma once

#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

#include "anther/autograd/tape.hpp"
#include "anther/data/batch.hpp"
#include "anther/train/objective.hpp"
#include "anther/train/whole_numbers.hpp"

namespace anther::inline v0_1 {

// The inputs of the samples of `part`: real numbers, or integers where the model reads such.
template <class T>
Variable<T> part_input(Tape<T>& tape, const data::Batch& batch, SampleRange part, bool integers) {
  Shape shape = batch.inputs.shape();
  const std::int64_t each = shape.numel() / shape[0];
  shape[0] = part.count;
  const std::span<const float> values = batch.inputs.span().subspan(
      static_cast<std::size_t>(part.first * each), static_cast<std::size_t>(part.count * each));
  if (integers) return tape.integers(shape, whole_numbers(values));
  if constexpr (std::is_same_v<T, float>) {
    return tape.input(shape, values);
  } else {
    const std::vector<T> converted(values.begin(), values.end());
    return tape.input(shape, std::span<const T>(converted));
  }
}

}  // namespace anther::inline v0_1
