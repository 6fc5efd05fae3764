// Random erasing (Zhong et al. 2020): boxes of a prepared picture are overwritten.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "anther/core/check.hpp"
#include "anther/core/once.hpp"
#include "anther/core/random.hpp"
#include "anther/data/vision/color.hpp"
#include "anther/data/vision/crop.hpp"
#include "anther/data/vision/resize.hpp"

namespace anther::inline v0_1::vision {

enum class EraseMode {
  constant,  // "const": 0 after the normalisation, the mean colour
  rand,      // "rand": one random colour
  pixel      // "pixel": a random colour for each pixel
};

inline std::string to_string(EraseMode mode) {
  return mode == EraseMode::constant ? "const" : mode == EraseMode::rand ? "rand" : "pixel";
}

// Throws unless the name is "const", "rand" or "pixel".
inline EraseMode parse_erase_mode(std::string_view name) {
  for (const EraseMode mode : {EraseMode::constant, EraseMode::rand, EraseMode::pixel})
    if (name == to_string(mode)) return mode;
  detail::fail("remode: expected \"const\", \"rand\" or \"pixel\", got \"", name, "\"");
}

// timm's values.
struct RandomErasingOptions {
  double prob = 0;  // that a picture is erased at all
  EraseMode mode = EraseMode::pixel;
  int count = 1;                    // boxes, among which the area is divided
  Range area = {0.02, 1.0 / 3};     // share of the picture
  Range aspect = {0.3, 1.0 / 0.3};  // height over width

  void validate() const {
    detail::check(prob >= 0 && prob <= 1, "reprob: expected 0 to 1, got ", prob);
    detail::check(count >= 1 && count <= 1000, "recount: expected 1 to 1000, got ", count);
    check_range("random erasing's area", area, 0, 1);
    check_range("random erasing's aspect", aspect, 0, 1000);
  }

  friend bool operator==(const RandomErasingOptions&, const RandomErasingOptions&) = default;
};

// A box in a height x width picture; none if none of ten draws fits.
ANTHER_ONCE std::optional<Box> erased_box(int height, int width,
                                          const RandomErasingOptions& options, RandomKey key) {
  const double whole = static_cast<double>(height) * width / options.count;
  const Range log_aspect = {std::log(options.aspect.low), std::log(options.aspect.high)};
  for (std::uint64_t i = 0; i < 10; ++i) {
    const double area = whole * uniform(key.fold("area"), i, options.area);
    const double aspect = std::exp(uniform(key.fold("aspect"), i, log_aspect));
    const double h = std::round(std::sqrt(area * aspect)), w = std::round(std::sqrt(area / aspect));
    if (h < 1 || w < 1 || h >= height || w >= width) continue;
    Box box{.width = static_cast<int>(w), .height = static_cast<int>(h)};
    box.x = static_cast<int>(uniform_below(key.fold("left"), i, width - box.width + 1));
    box.y = static_cast<int>(uniform_below(key.fold("top"), i, height - box.height + 1));
    return box;
  }
  return std::nullopt;
}

// Erases boxes of a normalised picture. Random colours are uniform among those that a picture can
// have (timm's are normal after the normalisation), as in the paper; levels: what each becomes.
ANTHER_ONCE void random_erasing(const Pixels& pixels, const RandomErasingOptions& options,
                                const LevelTable& levels, RandomKey key) {
  if (uniform(key.fold("do"), 0) >= options.prob) return;
  for (int n = 0; n < options.count; ++n) {
    const RandomKey own = key.fold(static_cast<std::uint64_t>(n));
    const std::optional<Box> box = erased_box(pixels.height, pixels.width, options, own);
    if (!box) continue;
    const RandomKey colours = own.fold("colour");
    std::uint64_t i = 0;
    for (int y = box->y; y < box->y + box->height; ++y)
      for (int x = box->x; x < box->x + box->width; ++x, ++i) {
        const std::uint64_t bits = random_bits(colours, options.mode == EraseMode::rand ? 0 : i);
        float* pixel = pixels.values + 3 * (static_cast<std::ptrdiff_t>(y) * pixels.width + x);
        for (std::size_t c = 0; c < 3; ++c)
          pixel[c] = options.mode == EraseMode::constant ? 0.0f : levels[c][bits >> (8 * c) & 255];
      }
  }
}

}  // namespace anther::inline v0_1::vision
