// Changes of colour, in place, on floats that are and stay between 0 and 1: torchvision's adjust_*
// and the operations of Pillow's ImageOps and ImageEnhance, on floats instead of levels.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "anther/core/once.hpp"

namespace anther::inline v0_1::vision {

// A picture: (height, width, 3) floats.
struct Pixels {
  float* values = nullptr;
  int height = 0;
  int width = 0;

  std::size_t size() const {
    return static_cast<std::size_t>(height) * static_cast<std::size_t>(width) * 3;
  }
  std::span<float> span() const { return {values, size()}; }
};

// The grey of a pixel (ITU-R BT.601), as Pillow's convert("L").
inline float grey_of(const float* pixel) {
  return 0.299f * pixel[0] + 0.587f * pixel[1] + 0.114f * pixel[2];
}

// factor * value + (1 - factor) * other, cut to 0 ... 1.
inline float blend(float value, float other, float factor) {
  return std::clamp(other + factor * (value - other), 0.0f, 1.0f);
}

// A factor of 1 leaves the picture as it is. At 0 it is black (brightness), its mean grey
// (contrast), or grey (saturation).
inline void adjust_brightness(const Pixels& pixels, float factor) {
  for (float& value : pixels.span()) value = blend(value, 0, factor);
}
ANTHER_ONCE void adjust_contrast(const Pixels& pixels, float factor) {
  double sum = 0;
  for (std::size_t i = 0; i < pixels.size(); i += 3)
    sum += static_cast<double>(grey_of(pixels.values + i));
  const auto mean = static_cast<float>(sum * 3 / static_cast<double>(pixels.size()));
  for (float& value : pixels.span()) value = blend(value, mean, factor);
}
ANTHER_ONCE void adjust_saturation(const Pixels& pixels, float factor) {
  for (std::size_t i = 0; i < pixels.size(); i += 3) {
    float* pixel = pixels.values + i;
    const float grey = grey_of(pixel);
    for (int c = 0; c < 3; ++c) pixel[c] = blend(pixel[c], grey, factor);
  }
}

// Turns the hue of each pixel in HSV by a share of the circle, -0.5 to 0.5; 1/3 makes red green.
ANTHER_ONCE void adjust_hue(const Pixels& pixels, float share) {
  for (std::size_t i = 0; i < pixels.size(); i += 3) {
    float* pixel = pixels.values + i;
    const float r = pixel[0], g = pixel[1], b = pixel[2];
    const float most = std::max({r, g, b}), least = std::min({r, g, b}), chroma = most - least;
    if (chroma == 0) continue;
    float hue = most == r   ? (g - b) / chroma
                : most == g ? (b - r) / chroma + 2
                            : (r - g) / chroma + 4;  // in sixths of the circle, from -1
    hue += 6 * share;
    if (hue < 0) hue += 6;
    if (hue >= 6) hue -= 6;
    // Each colour's share of the chroma is a trapezoid round the circle.
    pixel[0] = least + chroma * std::clamp(std::fabs(hue - 3) - 1, 0.0f, 1.0f);
    pixel[1] = least + chroma * std::clamp(2 - std::fabs(hue - 2), 0.0f, 1.0f);
    pixel[2] = least + chroma * std::clamp(2 - std::fabs(hue - 4), 0.0f, 1.0f);
  }
}

// A factor of 0 gives the smoothed picture (each pixel weighs 5, its eight neighbours 1), 1 the
// picture itself, more a sharper one. The outermost pixels stay as they are.
ANTHER_ONCE void adjust_sharpness(const Pixels& pixels, float factor) {
  if (pixels.height < 3 || pixels.width < 3) return;
  const std::vector<float> before(pixels.values, pixels.values + pixels.size());
  const std::size_t row = 3 * static_cast<std::size_t>(pixels.width);
  for (std::size_t y = 1; y + 1 < static_cast<std::size_t>(pixels.height); ++y)
    for (std::size_t x = 3; x < row - 3; ++x) {
      const float* at = before.data() + y * row + x;
      const auto three = [&](const float* middle) { return middle[-3] + middle[0] + middle[3]; };
      const float smooth = (three(at - row) + three(at) + three(at + row) + 4 * *at) / 13;
      pixels.values[y * row + x] = blend(*at, smooth, factor);
    }
}

inline void invert(const Pixels& pixels) {
  for (float& value : pixels.span()) value = 1 - value;
}

// Inverts what is at least `threshold`.
inline void solarize(const Pixels& pixels, float threshold) {
  for (float& value : pixels.span()) value = value >= threshold ? 1 - value : value;
}

// Adds to what is below one half.
inline void solarize_add(const Pixels& pixels, float amount) {
  for (float& value : pixels.span())
    if (value < 128.0f / 255) value = std::clamp(value + amount, 0.0f, 1.0f);
}

// The nearest of the 256 levels.
inline int level_of(float value) {
  return static_cast<int>(std::clamp(value, 0.0f, 1.0f) * 255 + 0.5f);
}

// Keeps the uppermost bits of the levels.
inline void posterize(const Pixels& pixels, int bits) {
  const int mask = 256 - (1 << (8 - bits));
  for (float& value : pixels.span()) value = static_cast<float>(level_of(value) & mask) / 255;
}

// Stretches each channel to 0 ... 1.
ANTHER_ONCE void auto_contrast(const Pixels& pixels) {
  for (std::size_t c = 0; c < 3; ++c) {
    float least = 1, most = 0;
    for (std::size_t i = c; i < pixels.size(); i += 3) {
      least = std::min(least, pixels.values[i]);
      most = std::max(most, pixels.values[i]);
    }
    if (most <= least) continue;
    for (std::size_t i = c; i < pixels.size(); i += 3)
      pixels.values[i] = (pixels.values[i] - least) / (most - least);
  }
}

// Spreads the levels of each channel so that all are about as frequent: Pillow's equalize.
ANTHER_ONCE void equalize(const Pixels& pixels) {
  for (std::size_t c = 0; c < 3; ++c) {
    std::array<std::int64_t, 256> count{};
    for (std::size_t i = c; i < pixels.size(); i += 3)
      ++count[static_cast<std::size_t>(level_of(pixels.values[i]))];
    const auto last = std::find_if(count.rbegin(), count.rend(), [](auto n) { return n > 0; });
    const std::int64_t step = (static_cast<std::int64_t>(pixels.size() / 3) - *last) / 255;
    if (step == 0) continue;
    std::array<float, 256> becomes{};
    std::int64_t below = step / 2;
    for (std::size_t level = 0; level < 256; below += count[level++])
      becomes[level] = static_cast<float>(std::min<std::int64_t>(below / step, 255)) / 255;
    for (std::size_t i = c; i < pixels.size(); i += 3)
      pixels.values[i] = becomes[static_cast<std::size_t>(level_of(pixels.values[i]))];
  }
}

}  // namespace anther::inline v0_1::vision
