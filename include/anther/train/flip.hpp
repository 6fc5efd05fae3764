// Test-time augmentation: the answer of a classifier to two views of the same samples together.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "anther/core/check.hpp"
#include "anther/train/metrics.hpp"

namespace anther::inline v0_1 {

// log((p + q) / 2), where p and q are the probabilities of logits (rows, classes): the answer of a
// classifier to two views of the same samples.
template <class T>
std::vector<T> mean_of_views(std::span<const T> first, std::span<const T> second,
                             std::int64_t classes) {
  const auto size = static_cast<std::size_t>(classes);
  detail::check(first.size() == second.size() && size > 0 && first.size() % size == 0,
                "views: expected two times the same number of rows of ", classes, " logits, got ",
                first.size(), " and ", second.size(), " values");
  std::vector<T> means(first.size());
  for (std::size_t row = 0; row < first.size(); row += size) {
    const auto a = log_softmax_of(first.subspan(row, size));
    const auto b = log_softmax_of(second.subspan(row, size));
    for (std::size_t c = 0; c < size; ++c) {
      const double greater = std::max(a[c], b[c]);
      const double sum = std::exp(a[c] - greater) + std::exp(b[c] - greater);
      means[row + c] = static_cast<T>(greater + std::log(sum / 2));
    }
  }
  return means;
}

}  // namespace anther::inline v0_1
