// The random part of a picture that a training step sees (Szegedy et al., "Going deeper with
// convolutions", 2015; timm's and torchvision's RandomResizedCrop).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string_view>

#include "anther/core/check.hpp"
#include "anther/core/once.hpp"
#include "anther/core/random.hpp"
#include "anther/data/vision/resize.hpp"

namespace anther::inline v0_1::vision {

struct Range {
  double low = 0;
  double high = 0;

  friend bool operator==(const Range&, const Range&) = default;
};

// Throws unless lowest < low <= high <= highest.
inline void check_range(std::string_view name, const Range& range, double lowest, double highest) {
  detail::check(range.low > lowest && range.low <= range.high && range.high <= highest, name,
                ": expected two numbers above ", lowest, ", at most ", highest,
                ", the lower one first, got ", range.low, " and ", range.high);
}

// The i-th number of a key, between the two.
inline double uniform(RandomKey key, std::uint64_t i, const Range& range) {
  return range.low + (range.high - range.low) * uniform(key, i);
}

// A part of a width x height picture. Its share of the area is uniform in `scale`; the logarithm of
// its width over its height is uniform in that of `ratio`; its place is uniform. A part that does
// not fit is drawn again, up to ten times; after that it is the largest part in the middle with an
// allowed ratio. Its place is a share of the picture, so that a picture of another size is cut in
// the same place.
ANTHER_ONCE Window random_resized_crop(double width, double height, const Range& scale,
                                       const Range& ratio, RandomKey key) {
  const Range log_ratio = {std::log(ratio.low), std::log(ratio.high)};
  for (std::uint64_t i = 0; i < 10; ++i) {
    const double area = width * height * uniform(key.fold("area"), i, scale);
    const double shape = std::exp(uniform(key.fold("ratio"), i, log_ratio));
    const double w = std::sqrt(area * shape), h = std::sqrt(area / shape);
    if (w > width || h > height) continue;
    return {{(width - w) * uniform(key.fold("left"), i), w},
            {(height - h) * uniform(key.fold("top"), i), h}};
  }
  const double w = std::min(width, height * ratio.high), h = std::min(height, width / ratio.low);
  return {{(width - w) / 2, w}, {(height - h) / 2, h}};
}

}  // namespace anther::inline v0_1::vision
