// Images (N, H, W, C) mirrored left to right: the second view of test-time augmentation.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

#include "anther/core/shape.hpp"

namespace anther::inline v0_1::vision {

template <class T>
std::vector<T> mirrored(const Shape& shape, std::span<const T> images) {
  detail::check(shape.rank() == 4, "mirrored: expected images (N, H, W, C), got ", shape);
  const auto width = static_cast<std::size_t>(shape[2]), depth = static_cast<std::size_t>(shape[3]);
  std::vector<T> result(images.size());
  for (std::size_t row = 0; row < images.size(); row += width * depth)
    for (std::size_t x = 0; x < width; ++x)
      std::copy_n(images.data() + row + x * depth, depth,
                  result.data() + row + (width - 1 - x) * depth);
  return result;
}

}  // namespace anther::inline v0_1::vision
