// GELU (gelu.hpp) of maps in bfloat16: y = x Phi(x), dx = dy (Phi(x) + x phi(x)). By
// polynomials: before rounding, y is within 4e-5 of the exact value (above 4.5, within 8e-6 of x),
// and the derivative within 9e-5. Rounding to bfloat16 makes an error of up to 4e-3 of the number.
#pragma once

#include "anther/kernels/bf16_map.hpp"

namespace anther::inline v0_1::kernels {

#define ANTHER_BODY "anther/kernels/gelu_bf16.inl"
#include "anther/kernels/for_each_isa.inl"

template <class T>
void gelu_bf16_forward(std::uint16_t* y, const std::uint16_t* x, std::int64_t count) {
  for_blocks(count, 300, [&](std::int64_t first, std::int64_t length, std::int64_t) {
    ANTHER_SELECT_BF16(gelu_bf16_forward, T)(y + first, x + first, length);
  });
}
// And y again, where it is not null.
template <class T>
void gelu_bf16_backward(std::uint16_t* dx, std::uint16_t* y, const T* dy, const std::uint16_t* x,
                        std::int64_t count) {
  for_blocks(count, 500, [&](std::int64_t first, std::int64_t length, std::int64_t) {
    ANTHER_SELECT_BF16(gelu_bf16_backward, T)
    (dx + first, y ? y + first : nullptr, dy + first, x + first, length);
  });
}

}  // namespace anther::inline v0_1::kernels
