// Changes of colour against Pillow's bytes and against formulas.
#include "anther/data/vision/color.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "anther/core/random.hpp"
#include "anther/data/vision/color_jitter.hpp"
#include "anther/data/vision/image_format.hpp"
#include "image_samples.hpp"
#include "test_files.hpp"
#include "test_pictures.hpp"

namespace {

using namespace anther;
using namespace anther::vision;
using test_pictures::pattern;

// The picture after a change, as levels.
std::vector<std::uint8_t> changed(const Image& image, const auto& change) {
  std::vector<float> values(image.pixels.size());
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>(image.pixels[i]) / 255;
  change(Pixels{values.data(), image.height, image.width});
  std::vector<std::uint8_t> levels(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    CHECK((values[i] >= 0 && values[i] <= 1));
    levels[i] = static_cast<std::uint8_t>(level_of(values[i]));
  }
  return levels;
}

int worst_difference(const std::vector<std::uint8_t>& a, const std::vector<std::uint8_t>& b) {
  REQUIRE(a.size() == b.size());
  int worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) worst = std::max(worst, std::abs(a[i] - b[i]));
  return worst;
}

TEST_CASE("equalize, posterize and solarize are Pillow's, bit for bit") {
  const Image image = pattern(37, 23);
  CHECK(io::crc32(changed(image, [](const Pixels& p) { equalize(p); })) ==
        samples::pillow_equalize);
  CHECK(io::crc32(changed(image, [](const Pixels& p) { posterize(p, 2); })) ==
        samples::pillow_posterize_2);
  CHECK(io::crc32(changed(image, [](const Pixels& p) { solarize(p, 100.0f / 255); })) ==
        samples::pillow_solarize_100);
  CHECK(changed(image, [](const Pixels& p) { posterize(p, 8); }) == image.pixels);
  CHECK(worst_difference(changed(image, [](const Pixels& p) { posterize(p, 0); }),
                         std::vector<std::uint8_t>(image.pixels.size())) == 0);
}

TEST_CASE("the others are Pillow's but for its rounding") {
  const Image image = pattern(11, 7);
  Image dull = image;
  for (std::uint8_t& level : dull.pixels) level = static_cast<std::uint8_t>(40 + level / 2);
  CHECK(worst_difference(changed(dull, [](const Pixels& p) { auto_contrast(p); }),
                         samples::pillow_autocontrast) <= 1);
  CHECK(worst_difference(changed(image, [](const Pixels& p) { adjust_saturation(p, 1.4f); }),
                         samples::pillow_color) <= 1);
  CHECK(worst_difference(changed(image, [](const Pixels& p) { adjust_contrast(p, 0.3f); }),
                         samples::pillow_contrast) <= 1);
  CHECK(worst_difference(changed(image, [](const Pixels& p) { adjust_brightness(p, 1.7f); }),
                         samples::pillow_brightness) <= 1);
  CHECK(worst_difference(changed(image, [](const Pixels& p) { adjust_sharpness(p, 1.9f); }),
                         samples::pillow_sharpness) <= 1);
}

TEST_CASE("a factor of 1, a hue of 0, and what has one colour stay as they are") {
  const Image image = pattern(11, 7), grey = test_pictures::plain(5, 5, 90, 90, 90);
  for (const auto& adjust :
       {adjust_brightness, adjust_contrast, adjust_saturation, adjust_sharpness})
    CHECK(changed(image, [&](const Pixels& p) { adjust(p, 1); }) == image.pixels);
  CHECK(changed(image, [](const Pixels& p) { adjust_hue(p, 0); }) == image.pixels);
  CHECK(changed(grey, [](const Pixels& p) { adjust_hue(p, 0.3f); }) == grey.pixels);
  CHECK(changed(grey, [](const Pixels& p) { auto_contrast(p); }) == grey.pixels);
  CHECK(changed(grey, [](const Pixels& p) { equalize(p); }) == grey.pixels);
  CHECK(changed(grey, [](const Pixels& p) { adjust_sharpness(p, 0); }) == grey.pixels);
  const Image narrow = pattern(2, 9);
  CHECK(changed(narrow, [](const Pixels& p) { adjust_sharpness(p, 0); }) == narrow.pixels);
}

TEST_CASE("invert, and what solarize_add adds to") {
  const Image image = pattern(11, 7);
  const auto inverted = changed(image, [](const Pixels& p) { invert(p); });
  const auto added = changed(image, [](const Pixels& p) { solarize_add(p, 99.0f / 255); });
  for (std::size_t i = 0; i < image.pixels.size(); ++i) {
    const int level = image.pixels[i];
    CHECK(inverted[i] == 255 - level);
    CHECK(added[i] == (level < 128 ? level + 99 : level));
  }
}

// Foley et al., "Computer Graphics", section 13.3.4, in double.
struct Hsv {
  double h = 0, s = 0, v = 0;
};
Hsv hsv_of(double r, double g, double b) {
  const double most = std::max({r, g, b}), least = std::min({r, g, b});
  Hsv hsv{0, most > 0 ? (most - least) / most : 0, most};
  if (most == least) return hsv;
  if (most == r)
    hsv.h = 60 * (g - b) / (most - least);
  else if (most == g)
    hsv.h = 120 + 60 * (b - r) / (most - least);
  else
    hsv.h = 240 + 60 * (r - g) / (most - least);
  if (hsv.h < 0) hsv.h += 360;
  return hsv;
}
std::vector<double> rgb_of(const Hsv& hsv) {
  const double sixth = hsv.h / 60, f = sixth - std::floor(sixth);
  const double p = hsv.v * (1 - hsv.s), q = hsv.v * (1 - hsv.s * f),
               t = hsv.v * (1 - hsv.s * (1 - f));
  switch (static_cast<int>(sixth) % 6) {
    case 0:
      return {hsv.v, t, p};
    case 1:
      return {q, hsv.v, p};
    case 2:
      return {p, hsv.v, t};
    case 3:
      return {p, q, hsv.v};
    case 4:
      return {t, p, hsv.v};
    default:
      return {hsv.v, p, q};
  }
}

TEST_CASE("hue: red becomes green at a third, blue at minus a third, cyan at a half") {
  const auto turned = [](float share) {
    std::vector<float> red = {0.75f, 0.25f, 0.25f};
    adjust_hue({red.data(), 1, 1}, share);
    return std::vector<long>{std::lround(red[0] * 100), std::lround(red[1] * 100),
                             std::lround(red[2] * 100)};
  };
  CHECK(turned(1.0f / 3) == std::vector<long>{25, 75, 25});
  CHECK(turned(-1.0f / 3) == std::vector<long>{25, 25, 75});
  CHECK(turned(0.5f) == std::vector<long>{25, 75, 75});
  CHECK(turned(-0.5f) == std::vector<long>{25, 75, 75});
  CHECK(turned(1.0f / 6) == std::vector<long>{75, 75, 25});
}

TEST_CASE("hue follows the textbook's HSV") {
  double worst = 0;
  for (std::uint64_t i = 0; i < 2000; ++i) {
    std::vector<float> colour(3);
    for (std::uint64_t c = 0; c < 3; ++c)
      colour[c] = static_cast<float>(uniform(RandomKey(1), 3 * i + c));
    const double share = uniform(RandomKey(2), i) - 0.5;
    Hsv hsv = hsv_of(static_cast<double>(colour[0]), static_cast<double>(colour[1]),
                     static_cast<double>(colour[2]));
    hsv.h = std::fmod(hsv.h + 360 * share + 360, 360);
    const std::vector<double> expected = rgb_of(hsv);
    adjust_hue({colour.data(), 1, 1}, static_cast<float>(share));
    for (std::size_t c = 0; c < 3; ++c)
      worst = std::max(worst, std::fabs(static_cast<double>(colour[c]) - expected[c]));
  }
  CHECK(worst < 1e-5);
}

// The jitter of a picture of one pixel.
std::vector<float> jittered(std::vector<float> colour, const ColorJitterOptions& options,
                            std::uint64_t seed) {
  color_jitter({colour.data(), 1, static_cast<int>(colour.size() / 3)}, options, RandomKey(seed));
  return colour;
}

TEST_CASE("color_jitter: factors and hues are uniform between their limits") {
  constexpr int count = 5000;
  double brightness = 0, squares = 0, hue = 0, hue_squares = 0, least = 9, most = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    const double factor =
        static_cast<double>(jittered({0.5f, 0.5f, 0.5f}, {.brightness = 0.4}, i)[0]) / 0.5;
    brightness += factor;
    squares += (factor - 1) * (factor - 1);
    least = std::min(least, factor);
    most = std::max(most, factor);
    const std::vector<float> turned = jittered({1, 0, 0}, {.hue = 0.1}, i);
    // Near red the turn is what green or blue has: a sixth of the circle to yellow or magenta.
    const double share = static_cast<double>(turned[1] - turned[2]) / 6;
    hue += share;
    hue_squares += share * share;
    CHECK(std::fabs(share) <= 0.1 + 1e-6);
  }
  CHECK(brightness / count == doctest::Approx(1).epsilon(0.01));
  CHECK(squares / count == doctest::Approx(0.4 * 0.4 / 3).epsilon(0.05));
  CHECK(least >= 0.6 - 1e-6);
  CHECK(least < 0.602);
  CHECK(most <= 1.4 + 1e-6);
  CHECK(most > 1.398);
  CHECK(std::fabs(hue / count) < 0.003);
  CHECK(hue_squares / count == doctest::Approx(0.1 * 0.1 / 3).epsilon(0.05));
  for (std::uint64_t i = 0; i < 200; ++i)  // a strength above 1 never makes a factor negative
    CHECK(jittered({0.5f, 0.5f, 0.5f}, {.brightness = 3}, i)[0] >= 0);
}

TEST_CASE(
    "color_jitter: saturation moves colours and not grey, contrast moves both about the mean") {
  int moved = 0;
  for (std::uint64_t i = 0; i < 100; ++i) {
    CHECK(jittered({0.3f, 0.3f, 0.3f}, {.saturation = 0.9}, i)[1] == doctest::Approx(0.3));
    const std::vector<float> colour = jittered({0.6f, 0.4f, 0.3f}, {.saturation = 0.9}, i);
    CHECK(grey_of(colour.data()) == doctest::Approx(0.299 * 0.6 + 0.587 * 0.4 + 0.114 * 0.3));
    moved += std::fabs(colour[0] - 0.6f) > 0.01f;
    const std::vector<float> two =
        jittered({0.3f, 0.3f, 0.3f, 0.5f, 0.5f, 0.5f}, {.contrast = 0.9}, i);
    CHECK(two[0] + two[3] == doctest::Approx(0.8));
    moved += std::fabs(two[3] - two[0] - 0.2f) > 0.005f;
  }
  CHECK(moved > 180);
}

TEST_CASE("color_jitter: the order is random") {
  // Brightness first cuts the lighter pixel off at 1; contrast first does not reach it.
  int brightness_first = 0, contrast_first = 0;
  for (std::uint64_t i = 0; i < 400; ++i) {
    const ColorJitterOptions both{.brightness = 0.4, .contrast = 0.4};
    const float b = jittered({0.5f, 0.5f, 0.5f}, {.brightness = 0.4}, i)[0] / 0.5f;
    const std::vector<float> only =
        jittered({0.4f, 0.4f, 0.4f, 0.9f, 0.9f, 0.9f}, {.contrast = 0.4}, i);
    const float c = (only[3] - only[0]) / 0.5f;
    if (b < 1.15f || c > 0.85f) continue;
    const std::vector<float> out = jittered({0.4f, 0.4f, 0.4f, 0.9f, 0.9f, 0.9f}, both, i);
    const float cut = std::min(0.9f * b, 1.0f), low = 0.4f * b, mean = (cut + low) / 2;
    const bool first = std::fabs(out[3] - (mean + c * (cut - mean))) < 1e-4f;
    const bool second = std::fabs(out[3] - std::min(only[3] * b, 1.0f)) < 1e-4f;
    CHECK(first != second);
    ++(first ? brightness_first : contrast_first);
  }
  CHECK(brightness_first > 10);
  CHECK(contrast_first > 10);
}

TEST_CASE("color_jitter: strengths that make no sense are errors that name them") {
  const auto error = [](const ColorJitterOptions& options) {
    return test_files::error_of([&] { options.validate(); });
  };
  CHECK(error({.brightness = 0.4, .contrast = 0.4, .saturation = 0.4, .hue = 0.5}) == "");
  CHECK(error({.brightness = -0.1}) == "color_jitter: expected a brightness of 0 to 100, got -0.1");
  CHECK(error({.contrast = NAN}).starts_with("color_jitter: expected a contrast"));
  CHECK(error({.saturation = INFINITY}).starts_with("color_jitter: expected a saturation"));
  CHECK(error({.hue = 0.6}) == "color_jitter: expected a hue of 0 to 0.5, got 0.6");
}

}  // namespace
