// Declares (ANTHER_TEMPLATE is `extern template`) or makes (`template`) the kernels' bodies for the
// scalar ANTHER_SCALAR, once for each instruction set.

#define ANTHER_FUNCTION(name, ...)                                         \
  ANTHER_TEMPLATE decltype(name<ANTHER_SCALAR __VA_OPT__(, ) __VA_ARGS__>) \
      name<ANTHER_SCALAR __VA_OPT__(, ) __VA_ARGS__>;
#if defined(__clang__)
// Declarations alone: the instruction set's attribute finds nothing to stand at.
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wpragma-clang-attribute"
#endif
namespace anther::inline v0_1::kernels {
#define ANTHER_BODY "anther/compiled/kernel_names.inl"
#include "anther/kernels/for_each_isa.inl"
}  // namespace anther::inline v0_1::kernels
#if defined(__clang__)
#pragma clang diagnostic pop
#endif
#undef ANTHER_FUNCTION
