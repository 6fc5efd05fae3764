// Global average: y[n,c] = the mean over i, j of x[n,i,j,c].
// x (N, H, W, C), y (N, C). Backward keeps nothing.
#pragma once

#include <cstdint>

#include "anther/core/parallel_for.hpp"
#include "anther/kernels/vec.hpp"

namespace anther::inline v0_1::kernels {

#define ANTHER_BODY "anther/kernels/global_average_pool.inl"
#include "anther/kernels/for_each_isa.inl"

struct GlobalAveragePoolDims {
  std::int64_t batch = 0, height = 0, width = 0, channels = 0;

  // Calls visit with all members, in their order.
  template <class Visit>
  constexpr decltype(auto) members(const Visit& visit) const {
    return visit(batch, height, width, channels);
  }
};

template <class T>
void global_average_pool_forward(T* y, const T* x, const GlobalAveragePoolDims& dims) {
  const std::int64_t rows = dims.height * dims.width;
  const std::int64_t size = rows * dims.channels;
  parallel_for(dims.batch, dims.batch * size / 8, [&](std::int64_t image) {
    ANTHER_SELECT(global_average_pool_forward_image<T>)
    (y + image * dims.channels, x + image * size, rows, dims.channels);
  });
}

// dx = dx_add + dy / (H W). dx_add may be null or dx.
template <class T>
void global_average_pool_backward(T* dx, const T* dx_add, const T* dy,
                                  const GlobalAveragePoolDims& dims) {
  const std::int64_t rows = dims.height * dims.width;
  const std::int64_t size = rows * dims.channels;
  parallel_for(dims.batch, dims.batch * size / 8, [&](std::int64_t image) {
    ANTHER_SELECT(global_average_pool_backward_image<T>)
    (dx + image * size, dx_add ? dx_add + image * size : nullptr, dy + image * dims.channels, rows,
     dims.channels);
  });
}

}  // namespace anther::inline v0_1::kernels
