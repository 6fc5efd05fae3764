// Random brightness, contrast, saturation and hue, in random order: torchvision's ColorJitter.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "anther/core/check.hpp"
#include "anther/core/once.hpp"
#include "anther/core/random.hpp"
#include "anther/data/vision/color.hpp"
#include "anther/data/vision/crop.hpp"

namespace anther::inline v0_1::vision {

// Factors are uniform in [max(0, 1 - x), 1 + x]; the hue turns by [-hue, hue] of the circle.
struct ColorJitterOptions {
  double brightness = 0;
  double contrast = 0;
  double saturation = 0;
  double hue = 0;

  bool on() const { return brightness > 0 || contrast > 0 || saturation > 0 || hue > 0; }

  void validate() const {
    const auto factor = [](const char* name, double value) {
      detail::check(value >= 0 && value <= 100, "color_jitter: expected a ", name,
                    " of 0 to 100, got ", value);
    };
    factor("brightness", brightness);
    factor("contrast", contrast);
    factor("saturation", saturation);
    detail::check(hue >= 0 && hue <= 0.5, "color_jitter: expected a hue of 0 to 0.5, got ", hue);
  }

  friend bool operator==(const ColorJitterOptions&, const ColorJitterOptions&) = default;
};

ANTHER_ONCE void color_jitter(const Pixels& pixels, const ColorJitterOptions& options,
                              RandomKey key) {
  std::array<int, 4> order = {0, 1, 2, 3};
  for (std::size_t i = 3; i > 0; --i)
    std::swap(order[i], order[static_cast<std::size_t>(uniform_below(
                            key.fold("order"), i, static_cast<std::int64_t>(i) + 1))]);
  const auto factor = [&](const char* name, double strength) {
    return static_cast<float>(
        uniform(key.fold(name), 0, {std::max(0.0, 1 - strength), 1 + strength}));
  };
  for (const int adjustment : order) {
    if (adjustment == 0 && options.brightness > 0)
      adjust_brightness(pixels, factor("brightness", options.brightness));
    if (adjustment == 1 && options.contrast > 0)
      adjust_contrast(pixels, factor("contrast", options.contrast));
    if (adjustment == 2 && options.saturation > 0)
      adjust_saturation(pixels, factor("saturation", options.saturation));
    if (adjustment == 3 && options.hue > 0)
      adjust_hue(pixels,
                 static_cast<float>(uniform(key.fold("hue"), 0, {-options.hue, options.hue})));
  }
}

}  // namespace anther::inline v0_1::vision
