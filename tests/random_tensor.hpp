// Tensors of normal numbers, the same for a seed, and copies to compare.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "anther/core/random.hpp"
#include "anther/core/tensor.hpp"

namespace anther {

template <class T>
Tensor<T> random_tensor(const Shape& shape, std::uint64_t seed) {
  Tensor<T> tensor(shape);
  for (std::int64_t i = 0; i < tensor.size(); ++i)
    tensor[i] = static_cast<T>(normal(RandomKey(seed), static_cast<std::uint64_t>(i)));
  return tensor;
}

template <class T>
std::vector<T> copy_of(std::span<const T> values) {
  return {values.begin(), values.end()};
}

}  // namespace anther
