// RandAugment (Cubuk et al. 2020): n of 15 operations are drawn for each picture, all with one
// magnitude. Operations and their strengths are timm's "increasing" ones (inc1): a greater
// magnitude is always a stronger change. Two things differ from timm. Shears, shifts and rotations
// are part of the one sampling of the picture, and come before the changes of colour. What they
// uncover shows the photograph beyond the crop, mirrored at its edge, and not a plain colour.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "anther/core/check.hpp"
#include "anther/core/once.hpp"
#include "anther/core/random.hpp"
#include "anther/data/vision/affine.hpp"
#include "anther/data/vision/color.hpp"

namespace anther::inline v0_1::vision {

struct RandAugmentOptions {
  int n = 2;        // operations drawn, with replacement
  double m = 9;     // their magnitude, 0 to 10
  double mstd = 0;  // the standard deviation of the magnitude
  double p = 0.5;   // the probability that an operation drawn is done

  void validate() const {
    detail::check(n >= 1 && n <= 100, "aa: expected n from 1 to 100, got ", n);
    detail::check(m >= 0 && m <= 10, "aa: expected m from 0 to 10, got ", m);
    detail::check(mstd >= 0 && mstd <= 10, "aa: expected mstd from 0 to 10, got ", mstd);
    detail::check(p >= 0 && p <= 1, "aa: expected p from 0 to 1, got ", p);
  }

  friend bool operator==(const RandAugmentOptions&, const RandAugmentOptions&) = default;
};

// timm's notation: "rand-m9-n2-mstd0.5-inc1". m, n, mstd and p stand in any order; one that is
// missing has its default. inc1 may be missing. Throws for anything else.
ANTHER_ONCE RandAugmentOptions parse_auto_augment(std::string_view text) {
  RandAugmentOptions options;
  const auto bad = [&](std::string_view part) {
    detail::fail(
        "aa: expected something like \"rand-m9-n2-mstd0.5\" (RandAugment with the magnitude m, n ",
        "operations, the magnitude's deviation mstd and each operation's probability p), got \"",
        text, "\", where \"", part, "\" is not known");
  };
  std::string_view rest = text;
  for (bool first = true; !rest.empty() || first; first = false) {
    const std::size_t end = std::min(rest.find('-'), rest.size());
    const std::string_view part = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (first ? part == "rand" : part == "inc1") continue;
    const std::size_t digits = std::min(part.find_first_of("0123456789."), part.size());
    const std::string_view name = part.substr(0, digits);
    double value = 0;
    const auto [stop, error] =
        std::from_chars(part.data() + digits, part.data() + part.size(), value);
    if (first || error != std::errc() || stop != part.data() + part.size()) bad(part);
    if (name == "m")
      options.m = value;
    else if (name == "mstd")
      options.mstd = value;
    else if (name == "p")
      options.p = value;
    else if (name == "n" && value == std::floor(value) && value <= 100)
      options.n = static_cast<int>(value);
    else
      bad(part);
  }
  options.validate();
  return options;
}

inline std::string to_string(const RandAugmentOptions& options) {
  return detail::text_of("rand-m", options.m, "-n", options.n, "-mstd", options.mstd, "-p",
                         options.p);
}

enum class RandAugmentOp {
  auto_contrast,
  equalize,
  invert,
  posterize,
  solarize,
  solarize_add,
  saturation,
  contrast,
  brightness,
  sharpness,
  rotate,  // from here on geometry
  shear_x,
  shear_y,
  translate_x,
  translate_y
};
inline constexpr std::int64_t rand_augment_ops = 15;

// One operation with its argument: a factor, a threshold, bits, degrees, or a share of the picture.
struct RandAugmentStep {
  RandAugmentOp op;
  double argument = 0;

  bool geometric() const { return op >= RandAugmentOp::rotate; }

  friend bool operator==(const RandAugmentStep&, const RandAugmentStep&) = default;
};

// The argument of an operation at a magnitude of 0 to 10. sign: -1 or 1, for those with two
// directions.
ANTHER_ONCE double rand_augment_argument(RandAugmentOp op, double magnitude, double sign) {
  const double share = magnitude / 10;
  switch (op) {
    case RandAugmentOp::posterize:
      return 4 - std::floor(4 * share);
    case RandAugmentOp::solarize:
      return (256 - std::min(256.0, std::floor(256 * share))) / 255;
    case RandAugmentOp::solarize_add:
      return std::min(128.0, std::floor(110 * share)) / 255;
    case RandAugmentOp::saturation:
    case RandAugmentOp::contrast:
    case RandAugmentOp::brightness:
    case RandAugmentOp::sharpness:
      return std::max(0.1, 1 + sign * 0.9 * share);
    case RandAugmentOp::rotate:
      return sign * 30 * share;
    case RandAugmentOp::shear_x:
    case RandAugmentOp::shear_y:
      return sign * 0.3 * share;
    case RandAugmentOp::translate_x:
    case RandAugmentOp::translate_y:
      return sign * 0.45 * share;
    case RandAugmentOp::auto_contrast:
    case RandAugmentOp::equalize:
    case RandAugmentOp::invert:
      break;
  }
  return 0;
}

// What a key draws.
ANTHER_ONCE std::vector<RandAugmentStep> rand_augment_plan(const RandAugmentOptions& options,
                                                           RandomKey key) {
  std::vector<RandAugmentStep> plan;
  for (std::uint64_t i = 0; i < static_cast<std::uint64_t>(options.n); ++i) {
    if (uniform(key.fold("do"), i) >= options.p) continue;
    const auto op = static_cast<RandAugmentOp>(uniform_below(key.fold("op"), i, rand_augment_ops));
    const double magnitude =
        std::clamp(options.m + options.mstd * normal(key.fold("magnitude"), i), 0.0, 10.0);
    const double sign = uniform(key.fold("sign"), i) < 0.5 ? -1 : 1;
    plan.push_back({op, rand_augment_argument(op, magnitude, sign)});
  }
  return plan;
}

// Where a point of the changed picture comes from in the picture, as a share of it, measured from
// its middle.
ANTHER_ONCE Affine geometry_of(const RandAugmentStep& step) {
  switch (step.op) {
    case RandAugmentOp::rotate:
      return Affine::rotation(step.argument);
    case RandAugmentOp::shear_x:
      return {.xy = step.argument};
    case RandAugmentOp::shear_y:
      return {.yx = step.argument};
    case RandAugmentOp::translate_x:
      return Affine::translation(step.argument, 0);
    case RandAugmentOp::translate_y:
      return Affine::translation(0, step.argument);
    default:
      return {};
  }
}

// Does a step that is not geometric.
ANTHER_ONCE void apply(const RandAugmentStep& step, const Pixels& pixels) {
  const auto argument = static_cast<float>(step.argument);
  switch (step.op) {
    case RandAugmentOp::auto_contrast:
      return auto_contrast(pixels);
    case RandAugmentOp::equalize:
      return equalize(pixels);
    case RandAugmentOp::invert:
      return invert(pixels);
    case RandAugmentOp::posterize:
      return posterize(pixels, static_cast<int>(step.argument));
    case RandAugmentOp::solarize:
      return solarize(pixels, argument);
    case RandAugmentOp::solarize_add:
      return solarize_add(pixels, argument);
    case RandAugmentOp::saturation:
      return adjust_saturation(pixels, argument);
    case RandAugmentOp::contrast:
      return adjust_contrast(pixels, argument);
    case RandAugmentOp::brightness:
      return adjust_brightness(pixels, argument);
    case RandAugmentOp::sharpness:
      return adjust_sharpness(pixels, argument);
    default:
      return;
  }
}

}  // namespace anther::inline v0_1::vision
