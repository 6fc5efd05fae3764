// What stands in for kernels/gemm_bf16.hpp in a generated header (export/cpp_header.hpp), whose
// products are in float.
#include "anther/kernels/gemm_dims.hpp"
#include "anther/kernels/vec.hpp"

namespace anther::inline v0_1::kernels {

template <class T>
inline constexpr bool has_bf16 = false;
inline std::int64_t bf16_panels(std::int64_t) {
  return 0;
}
template <class T>
std::int64_t bf16_packed_size(std::int64_t, std::int64_t) {
  return 0;
}
// Declared alone: nothing uses them.
template <class T>
void bf16_product(const GemmOperands<T>& o, const GemmDims& d, std::int64_t first,
                  std::int64_t last);
template <class T>
void bf16_product_tn(T* dw, const T* dy, const T* x, const GemmTnDims& d);
template <class T>
void bf16_pack(T* packed, const T* b, const PackOptions& pack, const PackRows& rows,
               std::int64_t panel);

}  // namespace anther::inline v0_1::kernels
