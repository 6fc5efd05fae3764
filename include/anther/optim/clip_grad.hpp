// Clipping by the global norm (Pascanu et al. 2013), as torch.nn.utils.clip_grad_norm_: if the norm
// of the gradients of all parameters is more than max_norm, they are scaled down to it. The scale
// is handed to Optimizer::step, so that clipping costs no pass of its own except that of the norm.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>

#include "anther/core/check.hpp"
#include "anther/core/tensor.hpp"
#include "anther/kernels/optimizer.hpp"

namespace anther::inline v0_1 {

// The factor for gradients of this norm; 1 without a max_norm (0).
inline double clip_scale(double norm, double max_norm) {
  return max_norm > 0 ? std::min(1.0, max_norm / (norm + 1e-6)) : 1;
}

// The norm of gradients, always of the same size; computing it allocates nothing.
template <class T>
class GradientNorm {
 public:
  explicit GradientNorm(std::int64_t size) : workspace_(kernels::sum_of_squares_workspace(size)) {}

  double operator()(std::span<const T> gradients) {
    const std::int64_t size = std::ssize(gradients);
    detail::check(kernels::sum_of_squares_workspace(size) == workspace_.size(),
                  "gradient norm: made for gradients of another size, got ", size);
    return std::sqrt(kernels::sum_of_squares(gradients.data(), workspace_.data(), size));
  }

 private:
  AlignedBuffer<T> workspace_;
};

}  // namespace anther::inline v0_1
