// A canvas and what the painted flowers are made of: backgrounds, leaves, blooms. Lengths are in
// pixels, colours between 0 and 1. Edges are softened over about a pixel.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <vector>

#include "anther/core/once.hpp"
#include "anther/core/random.hpp"

namespace anther::inline v0_1::painted {

struct Colour {
  float r = 0, g = 0, b = 0;

  friend Colour operator*(Colour c, float k) { return {c.r * k, c.g * k, c.b * k}; }
  friend bool operator==(const Colour&, const Colour&) = default;
};
inline Colour mix(Colour a, Colour b, float share) {
  return {a.r + (b.r - a.r) * share, a.g + (b.g - a.g) * share, a.b + (b.b - a.b) * share};
}

// hue in turns (0 red, 1/3 green), saturation and value between 0 and 1.
ANTHER_ONCE Colour hsv(float hue, float saturation, float value) {
  const auto part = [&](float offset) {
    const float turn = (hue + offset) - std::floor(hue + offset);
    const float ramp = std::clamp(std::fabs(turn * 6 - 3) - 1, 0.0f, 1.0f);
    return value * (1 + saturation * (ramp - 1));
  };
  return {part(0.0f), part(2.0f / 3), part(1.0f / 3)};
}

// Random numbers one after another. At most one of them stands in the arguments of a call: in which
// order those are computed is the compiler's choice, and other pictures would come of it.
class Draws {
 public:
  explicit Draws(RandomKey key) : key_(key) {}
  float between(float low, float high) {
    return low + (high - low) * static_cast<float>(uniform(key_, count_++));
  }
  int below(int count) { return static_cast<int>(uniform_below(key_, count_++, count)); }
  bool chance(float probability) { return between(0, 1) < probability; }

  struct Range {
    float low, high;
  };
  Colour hsv(Range hues, Range saturations, Range values) {
    const float value = between(values.low, values.high);
    const float saturation = between(saturations.low, saturations.high);
    return painted::hsv(between(hues.low, hues.high), saturation, value);
  }

 private:
  RandomKey key_;
  std::uint64_t count_ = 0;
};

struct Pixel {
  Colour colour;
  float flower = 0;  // how much of it is flower, and not what stands before or behind one
};

// A square of pixels on which shapes are laid over one another.
class Canvas {
 public:
  explicit Canvas(int size)
      : size_(size), pixels_(static_cast<std::size_t>(size) * static_cast<std::size_t>(size)) {}

  int size() const { return size_; }
  Pixel& at(int x, int y) {
    return pixels_[static_cast<std::size_t>(y) * static_cast<std::size_t>(size_) +
                   static_cast<std::size_t>(x)];
  }

  // Calls paint(x, y, pixel) for the pixels between two corners, and as far around them, that are
  // on the canvas.
  template <class Paint>
  void between(float x0, float y0, float x1, float y1, float around, const Paint& paint) {
    const auto first = [&](float a, float b) {
      return std::max(0, static_cast<int>(std::min(a, b) - around));
    };
    const auto last = [&](float a, float b) {
      return std::min(size_ - 1, static_cast<int>(std::max(a, b) + around) + 1);
    };
    for (int row = first(y0, y1); row <= last(y0, y1); ++row)
      for (int column = first(x0, x1); column <= last(x0, x1); ++column)
        paint(static_cast<float>(column), static_cast<float>(row), at(column, row));
  }

 private:
  int size_;
  std::vector<Pixel> pixels_;
};

// How much of a pixel is inside, from its distance to the edge (positive inside), in units of the
// softness of the edge.
inline float coverage(float distance) {
  return std::clamp(distance + 0.5f, 0.0f, 1.0f);
}

// Noise that is smooth between the points of a grid, a row at a time. `cell`: pixels between
// points.
class SmoothNoise {
 public:
  SmoothNoise(Draws& draws, int width, float cell)
      : step_(1 / cell), row_(static_cast<std::size_t>(width)) {
    for (float& value : points_) value = draws.between(0, 1);
    for (int x = 0; x < width; ++x) places_.push_back(place(x));
  }

  // The values of row y.
  const std::vector<float>& row(int y) {
    const Place down = place(y);
    std::array<float, grid> line{};
    for (std::size_t i = 0; i < grid; ++i) {
      const float above = points_[down.point * grid + i],
                  below = points_[(down.point + 1) % grid * grid + i];
      line[i] = above + (below - above) * down.share;
    }
    for (std::size_t x = 0; x < row_.size(); ++x) {
      const float left = line[places_[x].point], right = line[(places_[x].point + 1) % grid];
      row_[x] = left + (right - left) * places_[x].share;
    }
    return row_;
  }

 private:
  static constexpr std::size_t grid = 16;
  struct Place {
    std::size_t point;
    float share;
  };
  Place place(int pixel) const {
    const float at = static_cast<float>(pixel) * step_, point = std::floor(at), t = at - point;
    return {static_cast<std::size_t>(point) % grid, t * t * (3 - 2 * t)};
  }

  float step_;
  std::array<float, grid * grid> points_{};
  std::vector<Place> places_;
  std::vector<float> row_;
};

// Fills the canvas with clouds between two colours: noise of two sizes, `cell` the larger.
ANTHER_ONCE void paint_clouds(Canvas& canvas, Draws& draws, Colour dark, Colour light, float cell) {
  SmoothNoise coarse(draws, canvas.size(), cell), fine(draws, canvas.size(), cell * 0.27f);
  for (int y = 0; y < canvas.size(); ++y) {
    const std::vector<float>&large = coarse.row(y), &small = fine.row(y);
    for (int x = 0; x < canvas.size(); ++x) {
      const auto i = static_cast<std::size_t>(x);
      canvas.at(x, y).colour = mix(dark, light, 0.65f * large[i] + 0.35f * small[i]);
    }
  }
}

// A leaf from a point in a direction: two arcs that meet in a tip, with a paler midrib.
ANTHER_ONCE void paint_leaf(Canvas& canvas, float x, float y, float length, float width, float turn,
                            Colour colour, float softness) {
  const float c = std::cos(turn), s = std::sin(turn);
  const float per_length = 1 / length, per_width = 1 / width, sharpness = 1 / softness;
  canvas.between(x, y, x + c * length, y + s * length, width + softness,
                 [&](float px, float py, Pixel& pixel) {
                   const float along = ((px - x) * c + (py - y) * s) * per_length;
                   const float across = (py - y) * c - (px - x) * s;
                   if (along < 0 || along > 1) return;
                   const float half_width = width * 2 * along * (1 - along);
                   const float covered = coverage((half_width - std::fabs(across)) * sharpness);
                   if (covered == 0) return;
                   const float rib = coverage((width * 0.05f - std::fabs(across)) * sharpness);
                   const float shade = 1 + 0.25f * across * per_width + 0.2f * rib;
                   pixel.colour = mix(pixel.colour, colour * shade, covered);
                   pixel.flower *= 1 - covered;
                 });
}

// A soft round spot: a flower far out of focus, or a patch of light.
ANTHER_ONCE void paint_spot(Canvas& canvas, float x, float y, float radius, Colour colour,
                            float strength, float softness) {
  canvas.between(x, y, x, y, radius + softness, [&](float px, float py, Pixel& pixel) {
    const float distance = radius - std::hypot(px - x, py - y);
    pixel.colour = mix(pixel.colour, colour, strength * coverage(distance / softness));
  });
}

}  // namespace anther::inline v0_1::painted
