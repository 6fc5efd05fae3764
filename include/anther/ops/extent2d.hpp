// What kernels, strides and sizes of maps are given as.
#pragma once

#include <cstdint>
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

}  // namespace anther::inline v0_1
