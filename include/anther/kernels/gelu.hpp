// y = x Phi(x), Phi the normal distribution's function: the exact GELU, by erf (Hendrycks and
// Gimpel, "Gaussian error linear units", 2016). dx = dx_add + dy (Phi(x) + x phi(x)).
// All arrays hold `count` elements. Backward keeps x.
#pragma once

#include "anther/kernels/map.hpp"

namespace anther::inline v0_1::kernels {

#define ANTHER_BODY "anther/kernels/gelu.inl"
#include "anther/kernels/for_each_isa.inl"

// y may be x. gelu(-inf) is 0, its limit.
template <class T>
void gelu_forward(T* y, const T* x, std::int64_t count, bool streamed) {
  for_blocks(count, 500, [&](std::int64_t first, std::int64_t length, std::int64_t) {
    ANTHER_SELECT(gelu_forward<T>)(y + first, x + first, length, streamed);
  });
}
template <class T>
void gelu_forward(T* y, const T* x, std::int64_t count) {
  gelu_forward(y, x, count, is_streamed<T>(count));
}

// dx_add may be null; dx may be dx_add or dy.
template <class T>
void gelu_backward(T* dx, const T* dx_add, const T* dy, const T* x, std::int64_t count) {
  for_blocks(count, 600, [&](std::int64_t first, std::int64_t length, std::int64_t) {
    ANTHER_SELECT(gelu_backward<T>)
    (dx + first, dx_add ? dx_add + first : nullptr, dy + first, x + first, length,
     is_streamed<T>(count));
  });
}

// gelu_backward, and y again: hardly dearer than the gradient alone. y is none of the others.
template <class T>
void gelu_backward_with_value(T* dx, const T* dx_add, T* y, const T* dy, const T* x,
                              std::int64_t count) {
  for_blocks(count, 700, [&](std::int64_t first, std::int64_t length, std::int64_t) {
    ANTHER_SELECT(gelu_backward_with_value<T>)
    (dx + first, dx_add ? dx_add + first : nullptr, y + first, dy + first, x + first, length);
  });
}

}  // namespace anther::inline v0_1::kernels
