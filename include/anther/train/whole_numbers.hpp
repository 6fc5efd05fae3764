// Token ids and other integers as a model's inputs. Data sets and batches hold real numbers; where
// a model reads integers (it begins with an Embedding, say), Trainer and Predictor turn them into
// integers. A float holds every whole number up to 2^24.
#pragma once

#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "anther/core/check.hpp"
#include "anther/nn/dry_run.hpp"

namespace anther::inline v0_1 {

// Whether a model reads integers. shape: of the input, including its batch.
template <class T>
bool reads_integers(const Module<T>& model, const Shape& shape) {
  const DryRun<T> pass(model, shape);
  return pass.tape.holds_integers(pass.tape.id_of(pass.input));
}

// Throws if one of them is not a whole number, or larger than 2^24.
template <class T>
std::vector<std::int32_t> whole_numbers(std::span<const T> numbers) {
  constexpr std::int32_t most = 1 << 24;
  std::vector<std::int32_t> result;
  result.reserve(numbers.size());
  for (const T number : numbers) {
    detail::check(std::abs(number) <= T(most) && number == std::trunc(number),
                  "inputs: the model reads integers; expected whole numbers of at most ", most,
                  ", got ", number);
    result.push_back(static_cast<std::int32_t>(number));
  }
  return result;
}

}  // namespace anther::inline v0_1
