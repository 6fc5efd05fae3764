// Decoded images: 8-bit RGB, rows from the top, (height, width, 3).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "anther/core/check.hpp"
#include "anther/core/once.hpp"

namespace anther::inline v0_1::vision {

struct Image {
  int width = 0;
  int height = 0;
  std::vector<std::uint8_t> pixels;  // (height, width, 3): red, green, blue

  Image() = default;
  // A black image.
  Image(int image_width, int image_height)
      : width(image_width),
        height(image_height),
        pixels(static_cast<std::size_t>(image_width) * static_cast<std::size_t>(image_height) * 3) {
  }

  std::uint8_t* row(int y) { return pixels.data() + row_offset(y); }
  const std::uint8_t* row(int y) const { return pixels.data() + row_offset(y); }

  friend bool operator==(const Image&, const Image&) = default;

 private:
  std::size_t row_offset(int y) const {
    return static_cast<std::size_t>(y) * static_cast<std::size_t>(width) * 3;
  }
};

// The image turned and mirrored as EXIF's orientation (1 to 8) says it is to be shown.
ANTHER_ONCE Image oriented(Image image, int orientation) {
  detail::check(orientation >= 1 && orientation <= 8, "orientation: expected 1 to 8, got ",
                orientation);
  if (orientation == 1) return image;
  const bool transposed = orientation >= 5;
  const bool from_right =
      orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool from_bottom =
      orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  Image turned(transposed ? image.height : image.width, transposed ? image.width : image.height);
  for (int y = 0; y < turned.height; ++y) {
    std::uint8_t* to = turned.row(y);
    for (int x = 0; x < turned.width; ++x, to += 3) {
      const int column = transposed ? y : x;
      const int line = transposed ? x : y;
      const std::uint8_t* from = image.row(from_bottom ? image.height - 1 - line : line) +
                                 3 * (from_right ? image.width - 1 - column : column);
      to[0] = from[0];
      to[1] = from[1];
      to[2] = from[2];
    }
  }
  return turned;
}

}  // namespace anther::inline v0_1::vision
