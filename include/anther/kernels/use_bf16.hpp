// Brings the kernels in bfloat16 into a program (bf16.hpp).
#pragma once

#include "anther/kernels/attention_bf16.hpp"
#include "anther/kernels/bf16.hpp"
#include "anther/kernels/bf16_map.hpp"
#include "anther/kernels/channel_norm.hpp"
#include "anther/kernels/gelu_bf16.hpp"
#include "anther/kernels/gemm_bf16.hpp"

namespace anther::inline v0_1::kernels {

// Before the first pass, product or weight in bfloat16; with double it does nothing.
template <class T>
void use_bf16() {
  if constexpr (has_bf16<T>) {
    static constexpr Bf16Kernels<T> all = {
        .product = &bf16_product<T>,
        .product_tn = &bf16_product_tn<T>,
        .pack = &bf16_pack<T>,
        .narrow = &bf16_narrow<T>,
        .widen = &bf16_widen<T>,
        .column_sums = &bf16_column_sums<T>,
        .gelu_forward = &gelu_bf16_forward<T>,
        .gelu_backward = &gelu_bf16_backward<T>,
        .attention_forward = &attention_bf16_forward<T>,
        .attention_backward = &attention_bf16_backward<T>,
        .norm_moments = &channel_norm_map_moments<T>,
        .norm_gradient_sums = &channel_norm_map_gradient_sums<T>,
        .norm_dx = &channel_norm_map_dx<T>,
    };
    bf16_kernels_in_use<T>.store(&all, std::memory_order_release);
  }
}

}  // namespace anther::inline v0_1::kernels
