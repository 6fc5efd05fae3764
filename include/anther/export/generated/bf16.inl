// What a generated header whose products are in bfloat16 has besides: the kernels of a forward pass
// (kernels/use_bf16.hpp brings in those of training too), and what a thread does after a pass.
#include "anther/kernels/bf16_map.hpp"
#include "anther/kernels/gelu_bf16.hpp"
#include "anther/kernels/gemm_bf16.hpp"

namespace anther::inline v0_1::exports {

inline void use_generated_bf16() {
  static constexpr kernels::Bf16Kernels<float> all = {
      .product = &kernels::bf16_product<float>,
      .product_tn = nullptr,
      .pack = &kernels::bf16_pack<float>,
      .narrow = &kernels::bf16_narrow<float>,
      .widen = &kernels::bf16_widen<float>,
      .column_sums = nullptr,
      .gelu_forward = &kernels::gelu_bf16_forward<float>,
      .gelu_backward = nullptr,
      .attention_forward = nullptr,
      .attention_backward = nullptr,
      .norm_moments = nullptr,
      .norm_gradient_sums = nullptr,
      .norm_dx = nullptr,
  };
  kernels::bf16_kernels_in_use<float>.store(&all, std::memory_order_release);
}

// Gives up the matrix unit's tiles.
inline void end_generated_bf16() {
  if (at_thread_end != nullptr) at_thread_end();
  at_thread_end = nullptr;
}

}  // namespace anther::inline v0_1::exports
