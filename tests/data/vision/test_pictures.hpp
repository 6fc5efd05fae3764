// Pictures that tests draw.
#pragma once

#include <algorithm>
#include <cstdint>

#include "anther/data/vision/image.hpp"

namespace test_pictures {

// generate_samples.py draws the same.
inline anther::vision::Image pattern(int width, int height) {
  anther::vision::Image image(width, height);
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x)
      for (int c = 0; c < 3; ++c)
        image.row(y)[3 * x + c] =
            static_cast<std::uint8_t>((x * x * 3 + y * 17 + c * 71 + (x * y) % 29 * 5) % 256);
  return image;
}

// Red is the column, green the line: a picture of at most 256 x 256 that says where it was sampled.
inline anther::vision::Image ramp(int width, int height) {
  anther::vision::Image image(width, height);
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x) {
      image.row(y)[3 * x] = static_cast<std::uint8_t>(x);
      image.row(y)[3 * x + 1] = static_cast<std::uint8_t>(y);
    }
  return image;
}

inline anther::vision::Image plain(int width, int height, int red, int green, int blue) {
  anther::vision::Image image(width, height);
  for (std::size_t i = 0; i < image.pixels.size(); i += 3) {
    image.pixels[i] = static_cast<std::uint8_t>(red);
    image.pixels[i + 1] = static_cast<std::uint8_t>(green);
    image.pixels[i + 2] = static_cast<std::uint8_t>(blue);
  }
  return image;
}

}  // namespace test_pictures
