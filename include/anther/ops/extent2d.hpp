// What kernels, strides and sizes of maps are given as.
#pragma once

#include <cstdint>
#include <limits>
#include <string>

#include "anther/core/check.hpp"

namespace anther::inline v0_1 {

// A height and a width; one number stands for both.
struct Extent2d {
  std::int64_t height, width;
  constexpr Extent2d(std::int64_t both) : height(both), width(both) {}  // NOLINT: 3 means 3x3
  constexpr Extent2d(std::int64_t h, std::int64_t w) : height(h), width(w) {}
  friend constexpr bool operator==(const Extent2d&, const Extent2d&) = default;
};
inline std::string to_string(const Extent2d& extent) {
  return detail::text_of(extent.height, "x", extent.width);
}

// The most that a stride, a padding, a kernel or a side of a map may be. The sum of two products
// of such numbers does not overflow.
inline constexpr std::int64_t most_extent = std::numeric_limits<std::int32_t>::max();
// Whether both numbers are from `least` to most_extent.
constexpr bool is_extent(const Extent2d& extent, std::int64_t least) {
  return extent.height >= least && extent.width >= least && extent.height <= most_extent &&
         extent.width <= most_extent;
}

}  // namespace anther::inline v0_1
