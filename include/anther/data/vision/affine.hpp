// Affine maps of the plane, and sampling a picture through one: crop, flips, rotation and shears
// are one pass together, without a picture in between.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>

#include "anther/core/check.hpp"
#include "anther/core/once.hpp"
#include "anther/data/vision/image.hpp"
#include "anther/data/vision/resize.hpp"

namespace anther::inline v0_1::vision {

// (x, y) -> (xx x + xy y + x0, yx x + yy y + y0).
struct Affine {
  double xx = 1, xy = 0, x0 = 0;
  double yx = 0, yy = 1, y0 = 0;

  static Affine scaling(double x, double y) { return {.xx = x, .yy = y}; }
  static Affine translation(double x, double y) { return {.x0 = x, .y0 = y}; }
  // The map through which a picture is sampled so that it turns counter-clockwise.
  static Affine rotation(double degrees) {
    const double angle = degrees * std::numbers::pi / 180;
    const double c = std::cos(angle), s = std::sin(angle);
    return {.xx = c, .xy = -s, .yx = s, .yy = c};
  }

  double determinant() const { return xx * yy - xy * yx; }

  // First b, then a.
  friend Affine operator*(const Affine& a, const Affine& b) {
    return {.xx = a.xx * b.xx + a.xy * b.yx,
            .xy = a.xx * b.xy + a.xy * b.yy,
            .x0 = a.xx * b.x0 + a.xy * b.y0 + a.x0,
            .yx = a.yx * b.xx + a.yy * b.yx,
            .yy = a.yx * b.xy + a.yy * b.yy,
            .y0 = a.yx * b.x0 + a.yy * b.y0 + a.y0};
  }
  friend bool operator==(const Affine&, const Affine&) = default;
};

// The index that pixel i has in a row of n pixels that is mirrored at both ends, as often as
// needed.
ANTHER_ONCE int reflected(int i, int n) {
  if (i >= 0 && i < n) return i;
  const std::int64_t period = 2 * std::int64_t{n};
  const std::int64_t at = (i % period + period) % period;
  return static_cast<int>(at < n ? at : period - 1 - at);
}

// Adds the image's levels at a point, through `levels`: bilinear, mirrored beyond the edges.
ANTHER_ONCE void add_bilinear(const Image& image, double x, double y, const LevelTable& levels,
                              float* sum) {
  const auto floor_of = [](double value) {
    const int cut = static_cast<int>(value);
    return value < cut ? cut - 1 : cut;
  };
  const double column = x - 0.5, line = y - 0.5;  // pixel i's centre is at i + 0.5
  const int left = floor_of(column), top = floor_of(line);
  const auto across = static_cast<float>(column - left), down = static_cast<float>(line - top);
  const std::uint8_t* above = image.row(reflected(top, image.height));
  const std::uint8_t* below = image.row(reflected(top + 1, image.height));
  const int first = 3 * reflected(left, image.width);
  const int second = 3 * reflected(left + 1, image.width);
  for (int c = 0; c < 3; ++c) {
    const auto& value = levels[static_cast<std::size_t>(c)];
    const float a = (1 - across) * value[above[first + c]] + across * value[above[second + c]];
    const float b = (1 - across) * value[below[first + c]] + across * value[below[second + c]];
    sum[c] += (1 - down) * a + down * b;
  }
}

// out (size, size, 3): the image at map(u, v), where u and v are the place of an output pixel, from
// -0.5 to 0.5. Levels go through `levels`. Each output is the mean of samples x samples points in
// the pixel's area.
ANTHER_ONCE void sample_affine(const Image& image, const Affine& map, int size, int samples,
                               const LevelTable& levels, float* out) {
  check_resize(image, size, size);
  detail::check(samples >= 1, "resize: expected at least 1 sample a pixel, got ", samples);
  const double step = 1.0 / (static_cast<double>(size) * samples);
  const float share = 1.0f / static_cast<float>(samples * samples);
  for (int row = 0; row < size; ++row)
    for (int column = 0; column < size; ++column, out += 3) {
      float sum[3] = {0, 0, 0};
      for (int j = 0; j < samples; ++j) {
        const double v = (row * samples + j + 0.5) * step - 0.5;
        for (int i = 0; i < samples; ++i) {
          const double u = (column * samples + i + 0.5) * step - 0.5;
          add_bilinear(image, map.xx * u + map.xy * v + map.x0, map.yx * u + map.yy * v + map.y0,
                       levels, sum);
        }
      }
      for (int c = 0; c < 3; ++c) out[c] = share * sum[c];
    }
}

}  // namespace anther::inline v0_1::vision
