// AVX code where none may stand: disassembly.sh must name std::accumulate and the functions that
// are called violation.
#include <cstdint>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2")
#endif
// A standard header that is first included inside a target region.
#include <numeric>
namespace anther::inline v0_1::kernels::baseline {
void violation_in_baseline(float* x) {
  *x *= 3;
}
}  // namespace anther::inline v0_1::kernels::baseline
namespace anther::inline v0_1::kernels::avx2 {
void allowed_in_avx2(float* x) {
  *x *= 3;
}
using Accumulate = float (*)(const float*, const float*, float);
Accumulate allowed_address() {
  return &std::accumulate<const float*, float>;
}
}  // namespace anther::inline v0_1::kernels::avx2
// A name that only holds the namespace's.
namespace outside::anther::kernels::avx2 {
void violation_outside(float* x) {
  *x *= 3;
}
}  // namespace outside::anther::kernels::avx2
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

namespace anther::inline v0_1::kernels {

typedef double Wide __attribute__((vector_size(64), aligned(8)));

namespace avx2 {
__attribute__((target("avx512f"))) void violation_wide(Wide* x) {
  *x *= 3;
}
}  // namespace avx2
namespace avx512 {
__attribute__((target("avx512f"))) void allowed_wide(Wide* x) {
  *x *= 3;
}
}  // namespace avx512

}  // namespace anther::inline v0_1::kernels
