// Clipping by the global norm (Pascanu et al. 2013), as torch.nn.utils.clip_grad_norm_: if the norm
// of the gradients of all parameters is more than max_norm, they are scaled down to it. The scale
// is handed to Optimizer::step, so that clipping costs no pass of its own except that of the norm.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "anther/core/check.hpp"
#include "anther/core/tensor.hpp"
#include "anther/distributed/process_group.hpp"
#include "anther/kernels/optimizer.hpp"

namespace anther::inline v0_1 {

// The factor for gradients of this norm; 1 without a max_norm (0). Where the norm is not a number,
// neither is the factor, as in PyTorch: one gradient that is none does not end clipping unseen.
inline double clip_scale(double norm, double max_norm) {
  return max_norm > 0 ? std::min(max_norm / (norm + 1e-6), 1.0) : 1;
}

// The norm of gradients, always of the same size; computing it allocates nothing. With a group,
// each rank has a segment of the gradients (Optimizer::segment), and all get the norm of the whole.
template <class T>
class GradientNorm {
 public:
  // size: of the whole.
  explicit GradientNorm(std::int64_t size, ProcessGroup* group = nullptr)
      : group_(group), blocks_(kernels::sum_of_squares_workspace(size)), workspace_(blocks_) {
    for (int r = 0; group && r < group->size(); ++r) {
      const Segment blocks = segment_of(r, group->size(), blocks_);
      bytes_.push_back(blocks.size() * std::int64_t{sizeof(T)});
      if (r == group->rank()) own_ = blocks;
    }
    if (!group) own_ = {0, blocks_};
  }

  double operator()(std::span<const T> gradients) {
    const std::int64_t size = std::ssize(gradients);
    detail::check(kernels::sum_of_squares_workspace(size) == own_.size(),
                  "gradient norm: made for gradients of another size, got ", size);
    kernels::sums_of_squares(gradients.data(), workspace_.data() + own_.begin, size);
    if (group_) group_->all_gather(bytes_of(workspace_.span()), bytes_);
    return std::sqrt(kernels::sum_of_blocks(workspace_.data(), blocks_));
  }

 private:
  ProcessGroup* group_;
  std::int64_t blocks_;
  Segment own_;                      // the blocks of this rank,
  std::vector<std::int64_t> bytes_;  // and the bytes of each rank's
  AlignedBuffer<T> workspace_;
};

}  // namespace anther::inline v0_1
