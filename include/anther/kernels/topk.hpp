// The k greatest (or least) elements along an axis, in falling (or rising) order, and where they
// are. x (outer, extent, inner), values and indices (outer, k, inner). Of equal elements the first
// one comes first, and NaN counts as the greatest. Backward: dx at the indices is dvalues, else 0.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "anther/core/parallel_for.hpp"

namespace anther::inline v0_1::kernels {

struct TopkDims {
  std::int64_t outer = 0, extent = 0, inner = 1;
  std::int64_t k = 1;
  std::int64_t largest = 1;  // 0: the least elements

  // Calls visit with all members, in their order.
  template <class Visit>
  constexpr decltype(auto) members(const Visit& visit) const {
    return visit(outer, extent, inner, k, largest);
  }
  std::int64_t places() const { return outer * inner; }
  // Of the first element of a place, and of the first of its results.
  std::int64_t first(std::int64_t place) const {
    return place / inner * extent * inner + place % inner;
  }
  std::int64_t first_result(std::int64_t place) const {
    return place / inner * k * inner + place % inner;
  }
};

// values may be null. order: scratch memory for as many numbers as x has elements; of one result it
// may be null.
template <class T>
void topk_forward(T* values, std::int32_t* indices, const T* x, std::int32_t* order,
                  const TopkDims& d) {
  constexpr std::int64_t block = 64;
  parallel_for((d.places() + block - 1) / block, d.places() * d.extent * 2, [&](std::int64_t tile) {
    for (std::int64_t place = tile * block; place < std::min((tile + 1) * block, d.places());
         ++place) {
      const T* const from = x + d.first(place);
      // Whether the element a comes before b, which stands behind it unless they are equal.
      const auto before = [&](std::int32_t a, std::int32_t b) {
        const T left = from[a * d.inner], right = from[b * d.inner];
        const bool left_nan = std::isnan(left), right_nan = std::isnan(right);
        if (left_nan || right_nan)
          return left_nan && right_nan ? a < b : left_nan == (d.largest != 0);
        if (left == right) return a < b;
        return d.largest != 0 ? left > right : left < right;
      };
      const auto put = [&](std::int64_t number, std::int32_t index) {
        const std::int64_t to = d.first_result(place) + number * d.inner;
        indices[to] = index;
        if (values) values[to] = from[index * d.inner];
      };
      if (d.k == 1) {
        std::int32_t best = 0;
        for (std::int32_t i = 1; i < d.extent; ++i)
          if (before(i, best)) best = i;
        put(0, best);
        continue;
      }
      std::int32_t* const all = order + place * d.extent;
      for (std::int32_t i = 0; i < d.extent; ++i) all[i] = i;
      std::partial_sort(all, all + d.k, all + d.extent, before);
      for (std::int64_t i = 0; i < d.k; ++i) put(i, all[i]);
    }
  });
}

// dx starts as what is to be added to.
template <class T>
void topk_backward(T* dx, const T* dvalues, const std::int32_t* indices, const TopkDims& d) {
  for (std::int64_t place = 0; place < d.places(); ++place)
    for (std::int64_t i = 0; i < d.k; ++i) {
      const std::int64_t from = d.first_result(place) + i * d.inner;
      dx[d.first(place) + indices[from] * d.inner] += dvalues[from];
    }
}

}  // namespace anther::inline v0_1::kernels
