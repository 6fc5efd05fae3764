// Element-wise ops of one input: y[i] = f(x[i]), dx[i] = dx_add[i] + dy[i] f'(x[i]). Their formulas
// are in pointwise_table.inl.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <string_view>

#include "anther/kernels/map.hpp"

namespace anther::inline v0_1::kernels {

enum class Pointwise {
#define ANTHER_POINTWISE(name, ...) name,
#define ANTHER_POINTWISE_1 ANTHER_POINTWISE
#define ANTHER_POINTWISE_2 ANTHER_POINTWISE
#include "anther/kernels/pointwise_table.inl"
};

// Whether backward reads the result, and not the input.
#define ANTHER_KEPT(kept) (std::string_view(#kept) == "y")
#define ANTHER_POINTWISE(name, kept, ...) ANTHER_KEPT(kept),
#define ANTHER_POINTWISE_1(name, a, a_default, kept, ...) ANTHER_KEPT(kept),
#define ANTHER_POINTWISE_2(name, a, a_default, b, b_default, kept, ...) ANTHER_KEPT(kept),
inline constexpr bool pointwise_keeps_result[] = {
#include "anther/kernels/pointwise_table.inl"
};
#undef ANTHER_KEPT

// The numbers that a formula has, such as a slope or a limit.
struct PointwiseNumbers {
  double first = 0, second = 0;

  // Calls visit with all members, in their order.
  template <class Visit>
  constexpr decltype(auto) members(const Visit& visit) const {
    return visit(first, second);
  }
};

// Their defaults, by op; 0 where an op has none.
#define ANTHER_POINTWISE_2(name, a, a_default, b, b_default, ...) \
  [] {                                                            \
    struct {                                                      \
      double a a_default;                                         \
      double b b_default;                                         \
    } numbers{};                                                  \
    return PointwiseNumbers{numbers.a, numbers.b};                \
  }(),
#define ANTHER_POINTWISE_1(name, a, a_default, ...) \
  ANTHER_POINTWISE_2(name, a, a_default, unused, = 0, ...)
#define ANTHER_POINTWISE(name, ...) PointwiseNumbers{},
inline constexpr PointwiseNumbers pointwise_defaults[] = {
#include "anther/kernels/pointwise_table.inl"
};

#define ANTHER_BODY "anther/kernels/pointwise.inl"
#include "anther/kernels/for_each_isa.inl"

// y may be x. streamed: y is part of a result that does not fit the caches (stream.hpp).
template <class T, Pointwise op>
void pointwise_forward(T* y, const T* x, std::int64_t count, const PointwiseNumbers& numbers,
                       bool streamed) {
  for_blocks(count, 800, [&](std::int64_t first, std::int64_t length, std::int64_t) {
    ANTHER_SELECT(pointwise_forward<T, op>)(y + first, x + first, length, numbers, streamed);
  });
}
template <class T, Pointwise op>
void pointwise_forward(T* y, const T* x, std::int64_t count, const PointwiseNumbers& numbers = {}) {
  pointwise_forward<T, op>(y, x, count, numbers, is_streamed<T>(count));
}

// kept: y where pointwise_keeps_result, else x. dx_add may be null. dx may be any of the inputs.
template <class T, Pointwise op>
void pointwise_backward(T* dx, const T* dx_add, const T* dy, const T* kept, std::int64_t count,
                        const PointwiseNumbers& numbers = {}) {
  for_blocks(count, 800, [&](std::int64_t first, std::int64_t length, std::int64_t) {
    ANTHER_SELECT(pointwise_backward<T, op>)
    (dx + first, dx_add ? dx_add + first : nullptr, dy + first, kept + first, length, numbers,
     is_streamed<T>(count));
  });
}

}  // namespace anther::inline v0_1::kernels
