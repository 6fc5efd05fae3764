// for_each_isa.inl in steps, for a kernel body that stands beside the file that includes it: there
// the compiler finds it without an -I option.
//
//   namespace my_project {
//   // clang-format off
//   #include <anther/kernels/next_isa.inl>  // opens the namespace avx2
//   #include "square.inl"
//   #include <anther/kernels/next_isa.inl>  // avx512
//   #include "square.inl"
//   #include <anther/kernels/next_isa.inl>  // baseline
//   #include "square.inl"
//   #include <anther/kernels/next_isa.inl>  // closes it
//   // clang-format on
//   }
//
// The rules for a body are those of for_each_isa.inl. Where the processor has no AVX the namespaces
// are there all the same, and nothing uses what stands in them.

#if !defined(ANTHER_ISA_STEP)
#define ANTHER_ISA_STEP 1
#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,no-avx512f"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,no-avx512f")
#endif
#define ANTHER_VECTOR_ISA 2
#define ANTHER_VECTOR_BYTES 32
namespace avx2 {
using namespace ::anther::kernels::avx2;
#else
#define ANTHER_VECTOR_ISA 0
#define ANTHER_VECTOR_BYTES 16
namespace avx2 {
using namespace ::anther::kernels::baseline;
#endif

#elif ANTHER_ISA_STEP == 1
#undef ANTHER_ISA_STEP
#define ANTHER_ISA_STEP 2
#undef ANTHER_VECTOR_ISA
#undef ANTHER_VECTOR_BYTES
}  // namespace avx2
#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute pop
#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512vl,avx512bw,avx512dq,avx2,fma"))), apply_to = function)
#else
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")
#endif
#define ANTHER_VECTOR_ISA 3
#define ANTHER_VECTOR_BYTES 64
namespace avx512 {
using namespace ::anther::kernels::avx512;
#else
#define ANTHER_VECTOR_ISA 0
#define ANTHER_VECTOR_BYTES 16
namespace avx512 {
using namespace ::anther::kernels::baseline;
#endif

#elif ANTHER_ISA_STEP == 2
#undef ANTHER_ISA_STEP
#define ANTHER_ISA_STEP 3
#undef ANTHER_VECTOR_ISA
#undef ANTHER_VECTOR_BYTES
}  // namespace avx512
#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif
#define ANTHER_VECTOR_ISA 0
#define ANTHER_VECTOR_BYTES 16
namespace baseline {
using namespace ::anther::kernels::baseline;

#else
#undef ANTHER_ISA_STEP
#undef ANTHER_VECTOR_ISA
#undef ANTHER_VECTOR_BYTES
}  // namespace baseline
#endif
