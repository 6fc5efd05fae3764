// What a loss makes of the losses of its elements.
#pragma once

#include <cstdint>

namespace anther::inline v0_1 {

enum class Reduction { mean, sum, none };

struct LossOptions {
  Reduction reduction = Reduction::mean;
  // What the sum is divided by instead of the number of elements, where it is more than 0: a
  // micro-batch passes that of its whole batch, and kl_div's batchmean is the number of samples.
  std::int64_t count = 0;

  // What a sum over `elements` elements is multiplied with.
  double scale(std::int64_t elements) const {
    if (reduction != Reduction::mean) return 1;
    return 1 / static_cast<double>(count > 0 ? count : elements);
  }
};

}  // namespace anther::inline v0_1
