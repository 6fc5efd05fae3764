// Compiles the kernel body that ANTHER_BODY names once for each instruction set, each in a
// namespace of its own (avx2, avx512, baseline) within the namespace where this file is included:
//
//   namespace my_project {
//   #define ANTHER_BODY "square.inl"
//   #include <anther/kernels/for_each_isa.inl>
//   }
//
// The compiler looks for the body where it looks for headers; next_isa.inl is for a body that
// stands beside the file that includes it.
//
// Then ANTHER_SELECT(square_forward<T>)(y, x, count) calls my_project::avx512::square_forward<T>,
// say. Vec and its functions are seen from the body.
//
// The rules for a body: no includes, no guard, no lambdas, no OpenMP, no test of __AVX...__ macros
// and no reliance on contraction; functions are templates on the scalar. All headers are included
// before. A body may ask ANTHER_VECTOR_BYTES, and ANTHER_VECTOR_ISA (0 baseline, 2 AVX2, 3
// AVX-512).

#ifndef ANTHER_BODY
#error "define ANTHER_BODY before including for_each_isa.inl"
#endif

#if defined(__x86_64__) && !defined(ANTHER_TEST_BASELINE_VECTOR_BYTES)

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
#include ANTHER_BODY
}  // namespace avx2
#undef ANTHER_VECTOR_ISA
#undef ANTHER_VECTOR_BYTES
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
#include ANTHER_BODY
}  // namespace avx512
#undef ANTHER_VECTOR_ISA
#undef ANTHER_VECTOR_BYTES
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif  // __x86_64__ and not the test

// The baseline: 16 bytes are what every x86-64 and every aarch64 has. A test compiles it with 64,
// so that the shapes of AVX-512's code run on any machine.
#ifdef ANTHER_TEST_BASELINE_VECTOR_BYTES
#define ANTHER_VECTOR_BYTES ANTHER_TEST_BASELINE_VECTOR_BYTES
#else
#define ANTHER_VECTOR_BYTES 16
#endif
#define ANTHER_VECTOR_ISA 0
namespace baseline {
using namespace ::anther::kernels::baseline;
#include ANTHER_BODY
}  // namespace baseline
#undef ANTHER_VECTOR_ISA
#undef ANTHER_VECTOR_BYTES
#undef ANTHER_BODY
