// Four components of a JPEG file.
#pragma once

#include <cstdint>

#include "anther/core/once.hpp"

namespace anther::inline v0_1::vision {

// A row of CMYK, stored inverted as Adobe's programs do, as Pillow's convert("RGB") has it.
ANTHER_ONCE void rgb_from_inverted_cmyk(const std::uint8_t* cmyk, std::uint8_t* rgb, int width) {
  for (int x = 0; x < width; ++x, cmyk += 4, rgb += 3)
    for (int c = 0; c < 3; ++c) {
      const int white = cmyk[3], ink = (255 - cmyk[c]) * white + 128;
      const int level = white - (((ink >> 8) + ink) >> 8);  // white - ink / 255, rounded
      rgb[c] = static_cast<std::uint8_t>(level < 0 ? 0 : level);
    }
}

}  // namespace anther::inline v0_1::vision
