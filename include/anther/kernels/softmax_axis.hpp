// Softmax, and its logarithm, over any axis: x and y (outer, extent, inner), over the middle one.
//   softmax:      y = e^x / sum(e^x)                 dx = dx_add + y (dy - sum(dy y))
//   log_softmax:  y = x - greatest - log sum(e^(x - greatest))   dx = dx_add + dy - e^y sum(dy)
// Both take the greatest x off first. Backward keeps y. Where inner > 1, vectors are along it;
// softmax over rows (inner = 1) has kernels of its own, in softmax.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "anther/core/parallel_for.hpp"
#include "anther/kernels/log_sum_exp.hpp"
#include "anther/kernels/vec.hpp"

namespace anther::inline v0_1::kernels {

struct SoftmaxAxisDims {
  std::int64_t outer = 0, extent = 0, inner = 1;

  // Calls visit with all members, in their order.
  template <class Visit>
  constexpr decltype(auto) members(const Visit& visit) const {
    return visit(outer, extent, inner);
  }
  std::int64_t size() const { return outer * extent * inner; }
};

#define ANTHER_BODY "anther/kernels/softmax_axis.inl"
#include "anther/kernels/for_each_isa.inl"

// Calls body(the first element, how many there are side by side) for strips of the inner axis.
template <class Body>
void for_softmax_strips(const SoftmaxAxisDims& d, const Body& body) {
  constexpr std::int64_t strip = 256;
  const std::int64_t strips = (d.inner + strip - 1) / strip;
  parallel_for(d.outer * strips, d.size(), [&](std::int64_t tile) {
    const std::int64_t at = tile % strips * strip;
    body(tile / strips * d.extent * d.inner + at, std::min(strip, d.inner - at));
  });
}

// y may be x, in both.
template <class T>
void softmax_axis_forward(T* y, const T* x, const SoftmaxAxisDims& d) {
  if (d.size() == 0) return;
  for_softmax_strips(d, [&](std::int64_t first, std::int64_t count) {
    ANTHER_SELECT(softmax_axis_forward<T>)(y + first, x + first, d, count, false);
  });
}
template <class T>
void log_softmax_forward(T* y, const T* x, const SoftmaxAxisDims& d) {
  if (d.size() == 0) return;
  if (d.inner == 1) {
    parallel_for(d.outer, d.size(), [&](std::int64_t row) {
      ANTHER_SELECT(log_softmax_forward_row<T>)(y + row * d.extent, x + row * d.extent, d.extent);
    });
    return;
  }
  for_softmax_strips(d, [&](std::int64_t first, std::int64_t count) {
    ANTHER_SELECT(softmax_axis_forward<T>)(y + first, x + first, d, count, true);
  });
}

// dx_add may be null, dx may be dx_add or dy, in both.
template <class T>
void softmax_axis_backward(T* dx, const T* dx_add, const T* dy, const T* y,
                           const SoftmaxAxisDims& d) {
  if (d.size() == 0) return;
  for_softmax_strips(d, [&](std::int64_t first, std::int64_t count) {
    ANTHER_SELECT(softmax_axis_backward<T>)
    (dx + first, dx_add ? dx_add + first : nullptr, dy + first, y + first, d, count);
  });
}
template <class T>
void log_softmax_backward(T* dx, const T* dx_add, const T* dy, const T* y,
                          const SoftmaxAxisDims& d) {
  if (d.size() == 0) return;
  if (d.inner == 1) {
    parallel_for(d.outer, d.size(), [&](std::int64_t row) {
      const std::int64_t first = row * d.extent;
      ANTHER_SELECT(log_softmax_backward_row<T>)
      (dx + first, dx_add ? dx_add + first : nullptr, dy + first, y + first, d.extent);
    });
    return;
  }
  for_softmax_strips(d, [&](std::int64_t first, std::int64_t count) {
    ANTHER_SELECT(log_softmax_axis_backward<T>)
    (dx + first, dx_add ? dx_add + first : nullptr, dy + first, y + first, d, count);
  });
}

}  // namespace anther::inline v0_1::kernels
