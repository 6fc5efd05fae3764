// A bloom seen from the front: rows of petals around a centre.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <numbers>

#include "anther/core/once.hpp"
#include "anther/painted/painting.hpp"

namespace anther::inline v0_1::painted {

// The angle of a direction in radians, within 1e-5: several times faster than std::atan2, and the
// same bits whatever the library.
ANTHER_ONCE float angle_of(float x, float y) {
  const float ax = std::fabs(x), ay = std::fabs(y);
  const float z = std::min(ax, ay) / std::max(std::max(ax, ay), 1e-20f), z2 = z * z;
  float angle = z * (0.9998660f +
                     z2 * (-0.3302995f + z2 * (0.1801410f + z2 * (-0.0851330f + z2 * 0.0208351f))));
  constexpr float pi = std::numbers::pi_v<float>;
  if (ay > ax) angle = pi / 2 - angle;
  if (x < 0) angle = pi - angle;
  return y < 0 ? -angle : angle;
}

// The outline of a petal: how its half-width runs from its foot (0) to its tip (1).
enum class PetalShape { round, pointed, narrow, wedge, spoon };

enum class CentreStyle { disc, stamens, trumpet, bare };

// What a kind of flower looks like. Lengths are shares of the bloom's radius.
struct BloomKind {
  int petals = 5;  // of a row, at most 32
  int rows = 1;    // inner rows are smaller, and turned by half a petal
  PetalShape shape = PetalShape::round;
  float petal_width = 0.4f;  // half of it
  float petal_foot = 0.05f;  // where petals begin
  float notch = 0;           // how deep the tip is cut in
  float fringe = 0;          // how deep the tip is toothed
  float skew = 0;            // petals bent sideways, like a propeller
  float blotch = 0;          // how far up a petal the foot's colour reaches
  float stripe = 0;          // how strong a pale stripe along the petal is
  float spots = 0;           // how strong dark spots are
  CentreStyle centre = CentreStyle::disc;
  float centre_radius = 0.25f;
};

// One bloom of a kind, where it is and how it is lit.
struct Bloom {
  float x = 0, y = 0;     // pixels
  float radius = 0;       // pixels
  float turn = 0;         // radians
  float squash = 1;       // how much it is turned away: 1 facing us
  float squash_turn = 0;  // radians
  float softness = 1;     // of edges, pixels
  float light_x = 0, light_y = 0;
  Colour petal, tip, foot, heart;  // heart: the centre's
};

// The half-width of a petal at places along it, and by how much the edge slants there.
class PetalOutline {
 public:
  static constexpr int places = 64;

  explicit PetalOutline(const BloomKind& kind) : per_width_(1 / kind.petal_width) {
    for (int i = 0; i <= places; ++i) {
      const float u = static_cast<float>(i) / places;
      width_[static_cast<std::size_t>(i)] = kind.petal_width * profile(kind.shape, u);
    }
    for (std::size_t i = 0; i <= places; ++i) {
      const std::size_t next = std::min<std::size_t>(i + 1, places), last = i > 0 ? i - 1 : 0;
      const float slope = (width_[next] - width_[last]) * places / static_cast<float>(next - last);
      slant_[i] = 1 / std::sqrt(1 + slope * slope);
    }
  }

  float per_width() const { return per_width_; }

  // The distance to the edge, positive inside; u is along the petal, v across.
  float inside(float u, float v) const {
    if (u >= 1) return 1 - u - std::max(0.0f, std::fabs(v) - width_[places]);
    if (u <= 0) return u;
    const std::size_t i = static_cast<std::size_t>(u * places);
    return std::min((width_[i] - std::fabs(v)) * slant_[i], 1 - u);
  }

 private:
  // Between 0 and 1, about 1 at the widest.
  static float profile(PetalShape shape, float u) {
    switch (shape) {
      case PetalShape::round:
        return std::sqrt(
            std::max(0.0f, 1 - std::pow((u - 0.58f) / (u < 0.58f ? 0.62f : 0.42f), 2.0f)));
      case PetalShape::pointed:
        return std::pow(std::max(0.0f, std::sin(std::numbers::pi_v<float> * std::pow(u, 0.85f))),
                        0.9f) *
               (1.15f - 0.3f * u);
      case PetalShape::narrow:
        return std::pow(std::max(0.0f, 1 - std::pow(std::fabs(2 * u - 1), 4.0f)), 0.5f) *
               (0.7f + 0.3f * u);
      case PetalShape::wedge:
        return u < 0.9f
                   ? 0.12f + 0.98f * u
                   : (0.12f + 0.98f * 0.9f) *
                         std::sqrt(std::max(0.0f, 1 - std::pow((u - 0.9f) / 0.1f, 2.0f)) * 0.6f +
                                   0.4f);
      case PetalShape::spoon:
        return u < 0.55f
                   ? 0.28f
                   : 0.28f +
                         0.72f * std::sqrt(std::max(0.0f, 1 - std::pow((u - 0.78f) / 0.23f, 2.0f)));
    }
    return 0;
  }

  float per_width_;
  std::array<float, places + 1> width_{}, slant_{};
};

// A row of petals, each a little different.
struct PetalRow {
  struct Petal {
    float c, s, length, tint;
    float per_length, per_span;  // 1 / length, 1 / (length - foot)
  };
  std::array<Petal, 32> petals{};
  int count = 0;
  float phase = 0;

  PetalRow(const BloomKind& kind, int row, Draws& draws) : count(std::clamp(kind.petals, 1, 32)) {
    const float scale = 1 - 0.26f * static_cast<float>(row);
    const float spacing = 2 * std::numbers::pi_v<float> / static_cast<float>(count);
    phase = 0.5f * spacing * static_cast<float>(row);
    for (int k = 0; k < count; ++k) {
      const float angle = phase + spacing * (static_cast<float>(k) + draws.between(-0.06f, 0.06f));
      const float length = scale * draws.between(0.9f, 1.02f);
      petals[static_cast<std::size_t>(k)] = {
          std::cos(angle), std::sin(angle),
          length,          draws.between(0.92f, 1.06f) + 0.06f * static_cast<float>(row),
          1 / length,      1 / (length - kind.petal_foot)};
    }
  }
};

// What is seen at a pixel, from front to back. Each layer adds its colour as far as it can be seen
// through the layers in front of it. Once nothing can be seen through these, the rest need not be
// painted.
class Layers {
 public:
  void add(Colour colour, float covered) {
    const float share = through_ * covered;
    seen_ = {seen_.r + colour.r * share, seen_.g + colour.g * share, seen_.b + colour.b * share};
    through_ -= share;
    bare_ *= 1 - covered;
  }
  void shade(float by) { through_ *= 1 - by; }
  bool opaque() const { return through_ < 0.01f; }
  Colour over(Colour behind) const {
    return {seen_.r + behind.r * through_, seen_.g + behind.g * through_,
            seen_.b + behind.b * through_};
  }
  // How much of the pixel no layer covers. (A shadow lets less through, and covers nothing.)
  float bare() const { return bare_; }

 private:
  Colour seen_;
  float through_ = 1, bare_ = 1;
};

// Adds one petal at the pixel (x, y), in the bloom's own coordinates (radius 1).
ANTHER_ONCE void add_petal(Layers& layers, const Bloom& bloom, const BloomKind& kind,
                           const PetalOutline& outline, const PetalRow::Petal& petal, float x,
                           float y, float per_pixel) {
  const float along = x * petal.c + y * petal.s;
  if (along <= 0) return;
  const float u = (along - kind.petal_foot) * petal.per_span;
  const float v = (y * petal.c - x * petal.s) * petal.per_length + kind.skew * u * u;
  constexpr float shadow_reach = 0.1f;
  if (u > 1 + shadow_reach || std::fabs(v) > 1.2f * kind.petal_width + shadow_reach) return;
  const float side = v * outline.per_width();
  float reach = u;
  if (kind.notch > 0) reach += kind.notch * std::max(0.0f, 1 - std::fabs(side) / 0.7f);
  if (kind.fringe > 0) reach += kind.fringe * 2 * std::fabs(side * 4 - std::floor(side * 4) - 0.5f);
  const float inside = outline.inside(reach, v) * petal.length;
  const float shadow = coverage((inside + 0.02f) * (1 / (1.4f * shadow_reach)));
  if (shadow == 0) return;

  if (const float covered = coverage(inside * per_pixel); covered > 0) {
    Colour colour = mix(bloom.petal, bloom.tip, u * u);
    if (kind.blotch > 0)
      colour = mix(colour, bloom.foot, coverage((kind.blotch - u) * (1 / 0.18f)));
    if (kind.stripe > 0)
      colour = mix(colour, bloom.tip, kind.stripe * std::max(0.0f, 1 - 5 * std::fabs(side)));
    const float vein = std::fabs(side * 5 - std::floor(side * 5) - 0.5f);
    float shade = petal.tint * (0.82f + 0.2f * u - 0.1f * vein);
    shade += 0.16f * side * (bloom.light_y * petal.c - bloom.light_x * petal.s);
    if (kind.spots > 0 && u > 0.12f && u < 0.6f &&
        std::sin(u * 44) * std::sin(v * 60 + 1.5f) > 0.45f)
      shade *= 1 - kind.spots;
    layers.add(colour * shade, covered);
  }
  layers.shade(0.3f * shadow);
}

// Adds the centre at the pixel (x, y); angle and distance are its polar coordinates.
ANTHER_ONCE void add_centre(Layers& layers, const Bloom& bloom, const BloomKind& kind, float x,
                            float y, float angle, float distance, float per_pixel) {
  const float radius = kind.centre_radius;
  if (kind.centre == CentreStyle::bare || distance > 2.6f * radius) return;
  if (kind.centre == CentreStyle::disc) {  // a dome of florets
    const float share = distance / radius, scale = 10.5f / radius;
    const float florets = std::sin(x * scale) * std::sin(y * scale);
    const float shade = 1 - 0.35f * share * share + 0.18f * florets +
                        0.25f * (x * bloom.light_x + y * bloom.light_y) / radius;
    layers.add(bloom.heart * shade, coverage((radius - distance) * per_pixel));
  } else if (kind.centre == CentreStyle::stamens) {  // a pistil, anthers, their filaments
    layers.add(bloom.heart, coverage((0.5f * radius - distance) * per_pixel));
    constexpr float spacing = 2 * std::numbers::pi_v<float> / 7;
    const float nearest = angle - spacing * std::floor(angle / spacing + 0.5f);
    const float along = distance * std::cos(nearest), across = distance * std::sin(nearest);
    const float end = 1.9f * radius;
    const float anther =
        0.3f * radius - std::sqrt((along - end) * (along - end) + 0.5f * across * across);
    layers.add(bloom.heart * 0.75f, coverage(anther * per_pixel));
    const float filament =
        std::min(0.06f * radius - std::fabs(across), std::min(along, end - along));
    layers.add(mix(bloom.heart, {1, 1, 0.9f}, 0.5f), coverage(filament * per_pixel));
  } else {  // a frilled tube
    const float rim = radius * (1 + 0.08f * std::sin(9 * angle));
    const float depth = coverage((0.72f * radius - distance) / (0.35f * radius));
    layers.add(bloom.heart * (1.05f - 0.5f * depth + 0.06f * std::sin(24 * angle)),
               coverage((rim - distance) * per_pixel));
    layers.shade(0.3f * coverage((rim * 1.08f - distance) * 10));
  }
}

// Adds a row of petals at the pixel (x, y), the one with the highest number in front.
ANTHER_ONCE void add_row(Layers& layers, const Bloom& bloom, const BloomKind& kind,
                         const PetalOutline& outline, const PetalRow& row, float x, float y,
                         float angle, float per_pixel) {
  const int n = row.count;
  constexpr float per_turn = 1 / (2 * std::numbers::pi_v<float>);
  const float place = (angle - row.phase) * static_cast<float>(n) * per_turn;
  int k = static_cast<int>(place + (place < 0 ? -0.5f : 0.5f));
  if (k < 0) k += n;
  if (k >= n) k -= n;
  // The petal at this angle and its two neighbours.
  const int before = k == 0 ? n - 1 : k - 1, after = k == n - 1 ? 0 : k + 1;
  std::array<int, 3> order = {after, k, before};
  if (k == 0) order = {before, after, k};
  if (k == n - 1) order = {k, before, after};
  for (const int i : order) {
    if (layers.opaque()) return;
    add_petal(layers, bloom, kind, outline, row.petals[static_cast<std::size_t>(i)], x, y,
              per_pixel);
  }
}

// Paints the bloom over what is on the canvas.
ANTHER_ONCE void paint_bloom(Canvas& canvas, const Bloom& bloom, const BloomKind& kind,
                             Draws& draws) {
  const PetalOutline outline(kind);
  const std::array<PetalRow, 3> rows{PetalRow(kind, 0, draws), PetalRow(kind, 1, draws),
                                     PetalRow(kind, 2, draws)};
  // From pixels to the bloom's own coordinates: undo the tilt, then the turn, then the size.
  const float sc = std::cos(bloom.squash_turn), ss = std::sin(bloom.squash_turn);
  const float c = std::cos(bloom.turn), s = std::sin(bloom.turn);
  const float per_pixel = bloom.radius / bloom.softness;
  const float per_radius = 1 / bloom.radius, per_squash = 1 / bloom.squash;
  canvas.between(bloom.x, bloom.y, bloom.x, bloom.y, bloom.radius * 1.1f + 1,
                 [&](float px, float py, Pixel& pixel) {
                   const float dx = (px - bloom.x) * per_radius, dy = (py - bloom.y) * per_radius;
                   const float wide = dx * sc + dy * ss, flat = (dy * sc - dx * ss) * per_squash;
                   if (wide * wide + flat * flat > 1.21f) return;
                   const float back_x = wide * sc - flat * ss, back_y = wide * ss + flat * sc;
                   const float x = back_x * c + back_y * s, y = back_y * c - back_x * s;
                   const float angle = angle_of(x, y), distance = std::sqrt(x * x + y * y);
                   Layers layers;
                   add_centre(layers, bloom, kind, x, y, angle, distance, per_pixel);
                   for (int r = kind.rows - 1; r >= 0; --r)
                     add_row(layers, bloom, kind, outline, rows[static_cast<std::size_t>(r)], x, y,
                             angle, per_pixel);
                   pixel.colour = layers.over(pixel.colour);
                   pixel.flower = 1 - layers.bare() * (1 - pixel.flower);
                 });
}

}  // namespace anther::inline v0_1::painted
