// Flowers that Anther paints itself: a data set that needs no files.
//
// Seventeen kinds differ by the number and the shape of their petals, their colours and their
// centre. Most colours occur with several kinds, so colour alone does not tell them apart. Place,
// size, tilt, light, background, leaves in front, and noise are random. An image is a function of
// (seed, index, size) alone; on another processor or compiler a level may differ by one.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "anther/core/check.hpp"
#include "anther/core/once.hpp"
#include "anther/core/random.hpp"
#include "anther/data/vision/image_set.hpp"
#include "anther/painted/bloom.hpp"
#include "anther/painted/flower_kinds.hpp"
#include "anther/painted/painting.hpp"

namespace anther::inline v0_1::painted {

struct PaintedOptions {
  std::int64_t size = 3000;       // images
  std::int64_t image_size = 128;  // pixels: the side of the square
  std::uint64_t seed = 0;
};

// Painted flowers. Image i is of class i % 17.
class PaintedFlowers final : public vision::ImageSet {
 public:
  // Throws for a negative number of images, or an image size outside 16 to 1024.
  explicit PaintedFlowers(const PaintedOptions& options) : options_(options) {
    detail::check(options.size >= 0, "painted flowers: expected a number of images, got ",
                  options.size);
    detail::check(options.image_size >= 16 && options.image_size <= 1024,
                  "painted flowers: expected an image size of 16 to 1024 pixels, got ",
                  options.image_size);
    for (const Kind& kind : kinds) class_names_.emplace_back(kind.name);
  }

  std::int64_t size() const override { return options_.size; }
  int label(std::int64_t index) const override {
    return static_cast<int>(index % static_cast<std::int64_t>(kinds.size()));
  }
  std::string name(std::int64_t index) const override {
    return detail::text_of("painted flower ", index);
  }
  const std::vector<std::string>& class_names() const override { return class_names_; }
  vision::Image image(std::int64_t index) const override { return painted(index).image; }

  // An image, and for each of its pixels 1 if that is flower, else 0.
  struct Painted {
    vision::Image image;
    std::vector<std::uint8_t> mask;
  };
  Painted painted(std::int64_t index) const;

 private:
  PaintedOptions options_;
  std::vector<std::string> class_names_;
};

// Soil, grass, foliage, sky, a wall or shade, with leaves and spots of colour out of focus.
ANTHER_ONCE void paint_background(Canvas& canvas, Draws& draws) {
  const float size = static_cast<float>(canvas.size());
  Colour low, high;
  switch (draws.below(6)) {
    case 0:  // foliage
    case 1:
      low = draws.hsv({.22f, .38f}, {.4f, .8f}, {.08f, .3f});
      high = draws.hsv({.18f, .36f}, {.3f, .7f}, {.35f, .75f});
      break;
    case 2:  // soil
      low = draws.hsv({.04f, .1f}, {.3f, .6f}, {.1f, .3f});
      high = draws.hsv({.06f, .12f}, {.2f, .5f}, {.4f, .7f});
      break;
    case 3:  // sky
      low = draws.hsv({.52f, .64f}, {.2f, .6f}, {.55f, .85f});
      high = draws.hsv({.5f, .62f}, {.0f, .3f}, {.85f, 1.f});
      break;
    case 4:  // shade
      low = draws.hsv({0, 1}, {.0f, .6f}, {.01f, .1f});
      high = draws.hsv({0, 1}, {.0f, .5f}, {.12f, .35f});
      break;
    default:  // anything
      low = draws.hsv({0, 1}, {.0f, .6f}, {.3f, .8f});
      high = draws.hsv({0, 1}, {.0f, .5f}, {.5f, 1.f});
      break;
  }
  paint_clouds(canvas, draws, low, high, size * draws.between(.1f, .5f));
  for (int spots = draws.below(6); spots > 0; --spots) {
    const Colour colour = draws.hsv({0, 1}, {.1f, .9f}, {.3f, 1.f});
    const float radius = size * draws.between(.03f, .13f);
    const float softness = radius * draws.between(.2f, 1.5f), strength = draws.between(.3f, .9f);
    const float y = draws.between(0, size), x = draws.between(0, size);
    paint_spot(canvas, x, y, radius, colour, strength, softness);
  }
  for (int leaves = draws.below(8); leaves > 0; --leaves) {
    const Colour colour = draws.hsv({.2f, .4f}, {.3f, .8f}, {.15f, .7f});
    const float softness = size * draws.between(.01f, .05f), turn = draws.between(0, 6.283f);
    const float width = size * draws.between(.02f, .1f), length = size * draws.between(.2f, .6f);
    const float y = draws.between(0, size), x = draws.between(0, size);
    paint_leaf(canvas, x, y, length, width, turn, colour, softness);
  }
}

// A bloom of the kind. Everything about it but its kind is random.
ANTHER_ONCE void paint_flower(Canvas& canvas, const Kind& kind, float x, float y, float radius,
                              Draws& draws) {
  const Paint paint = kind.paints[static_cast<std::size_t>(draws.below(4))];
  const float light = draws.between(0, 6.283f), fade = draws.between(0, .25f);
  const Colour grey{.6f, .6f, .6f};
  // Colours shift a little, each channel by itself: no two flowers of a variety are the same.
  const Colour shift{draws.between(.84f, 1.12f), draws.between(.84f, 1.12f),
                     draws.between(.84f, 1.12f)};
  const auto vary = [&](Colour c) {
    return mix({c.r * shift.r, c.g * shift.g, c.b * shift.b}, grey, fade * .5f);
  };
  const Bloom bloom{.x = x,
                    .y = y,
                    .radius = radius,
                    .turn = draws.between(0, 6.283f),
                    .squash = draws.between(.7f, 1.f),
                    .squash_turn = draws.between(0, 6.283f),
                    .softness = draws.between(1.f, 1.8f),
                    .light_x = std::cos(light),
                    .light_y = std::sin(light),
                    .petal = vary(paint.petal),
                    .tip = vary(mix(paint.petal, paint.tip, draws.between(0, 1.4f))),
                    .foot = vary(kind.foot),
                    .heart = vary(kind.heart)};
  BloomKind form = kind.form;
  // Many petals vary in number, few do not.
  if (form.petals > 8) form.petals += draws.below(3) - 1;
  form.petal_width *= draws.between(.86f, 1.12f);
  form.centre_radius *= draws.between(.85f, 1.15f);
  paint_bloom(canvas, bloom, form, draws);
}

// Exposure, a tint, light from one side, dark corners, and the sensor's noise; then 8 bits.
ANTHER_ONCE vision::Image develop(Canvas& canvas, Draws& draws, RandomKey noise_key) {
  const float size = static_cast<float>(canvas.size());
  const float exposure = draws.between(.75f, 1.25f), noise = draws.between(.01f, .04f);
  const Colour tint{draws.between(.9f, 1.1f), draws.between(.94f, 1.06f),
                    draws.between(.88f, 1.12f)};
  const float turn = draws.between(0, 6.283f), side = draws.between(0, .35f),
              corners = draws.between(0, .5f);
  const float across = side * std::cos(turn) / size, down = side * std::sin(turn) / size;
  vision::Image image(canvas.size(), canvas.size());
  std::uint64_t state = noise_key.value() | 1;
  for (int y = 0; y < canvas.size(); ++y) {
    std::uint8_t* out = image.row(y);
    for (int x = 0; x < canvas.size(); ++x, out += 3) {
      const float dx = static_cast<float>(x) - size / 2, dy = static_cast<float>(y) - size / 2;
      const float gain = exposure * (1 + dx * across * 2 + dy * down * 2 -
                                     corners * (dx * dx + dy * dy) / (size * size));
      state ^= state << 13;  // xorshift64: a draw a pixel, of which each channel takes two parts
      state ^= state >> 7;
      state ^= state << 17;
      const auto grain = [&](int shift) {  // a triangle about 0
        return static_cast<float>((state >> shift) & 1023) +
               static_cast<float>((state >> (shift + 10)) & 1023) - 1023;
      };
      const Colour colour = canvas.at(x, y).colour;
      const std::array<float, 3> levels = {colour.r * tint.r, colour.g * tint.g, colour.b * tint.b};
      for (int c = 0; c < 3; ++c) {
        const float level =
            levels[static_cast<std::size_t>(c)] * gain + noise * grain(4 + 20 * c) / 512;
        out[c] = static_cast<std::uint8_t>(std::clamp(level, 0.0f, 1.0f) * 255 + 0.5f);
      }
    }
  }
  return image;
}

ANTHER_ONCE PaintedFlowers::Painted PaintedFlowers::painted(std::int64_t index) const {
  detail::check(index >= 0 && index < size(), "painted flowers: expected an index below ", size(),
                ", got ", index);
  const RandomKey key =
      RandomKey(options_.seed).fold("painted").fold(static_cast<std::uint64_t>(index));
  Draws draws(key);
  const Kind& kind = kinds[static_cast<std::size_t>(label(index))];
  Canvas canvas(static_cast<int>(options_.image_size));
  const float side = static_cast<float>(options_.image_size);
  paint_background(canvas, draws);

  const float radius = side * draws.between(.26f, .47f);
  const float x = side / 2 + (side / 2 - radius * .6f) * draws.between(-.7f, .7f);
  const float y = side / 2 + (side / 2 - radius * .6f) * draws.between(-.8f, .8f);
  if (draws.chance(.4f)) {  // a smaller one of the same kind behind it
    const float smaller = radius * draws.between(.4f, .7f);
    const float behind_y = draws.between(0, side), behind_x = draws.between(0, side);
    paint_flower(canvas, kind, behind_x, behind_y, smaller, draws);
  }
  const Colour stem = draws.hsv({.22f, .34f}, {.4f, .7f}, {.25f, .6f});
  const float stem_turn = draws.between(1.1f, 2.f), stem_width = side * draws.between(.008f, .02f);
  paint_leaf(canvas, x, y, side * 1.6f, stem_width, stem_turn, stem, 1.5f);
  paint_flower(canvas, kind, x, y, radius, draws);
  for (int leaves = draws.below(3); leaves > 0; --leaves) {  // in front
    const float turn = draws.between(0, 6.283f), away = radius * draws.between(.7f, 1.5f);
    const Colour colour = draws.hsv({.2f, .38f}, {.3f, .8f}, {.2f, .7f});
    const float softness = draws.between(1.f, 4.f), leaf_turn = turn + draws.between(1.2f, 5.f);
    const float width = side * draws.between(.02f, .07f), length = side * draws.between(.2f, .5f);
    paint_leaf(canvas, x + away * std::cos(turn), y + away * std::sin(turn), length, width,
               leaf_turn, colour, softness);
  }
  std::vector<std::uint8_t> mask;
  for (int row = 0; row < canvas.size(); ++row)
    for (int column = 0; column < canvas.size(); ++column)
      mask.push_back(canvas.at(column, row).flower >= 0.5f);
  return {develop(canvas, draws, key.fold("noise")), std::move(mask)};
}

}  // namespace anther::inline v0_1::painted
