// Two bilinear resizes, which differ where an image becomes smaller:
//
//   resize_tensor     looks at two neighbours a direction, however far apart the output's pixels
//                     are: PaddlePaddle's and PyTorch's interpolate on a tensor, half-pixel
//                     centres, no antialiasing. Floats in, floats out.
//   resize_antialias  weighs all pixels under a triangle as wide as the scale: Pillow's
//                     Image.resize(BILINEAR), bit for bit (libImaging/Resample.c): 8-bit
//                     intermediate, weights of 22 bits, first along rows, then along columns.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "anther/core/check.hpp"
#include "anther/core/once.hpp"
#include "anther/data/vision/image.hpp"

namespace anther::inline v0_1::vision {

// A part of one direction of an image, in pixels: pixel i reaches from i to i + 1.
struct Extent {
  double begin = 0;
  double length = 0;

  friend bool operator==(const Extent&, const Extent&) = default;
};

// A rectangle of an image, not of whole pixels.
struct Window {
  Extent across, down;

  friend bool operator==(const Window&, const Window&) = default;
};

inline Window whole_window(const Image& image) {
  return {{0, static_cast<double>(image.width)}, {0, static_cast<double>(image.height)}};
}

inline void check_resize(const Image& image, int width, int height) {
  detail::check(image.width > 0 && image.height > 0 && width > 0 && height > 0,
                "resize: expected sizes of at least 1, got ", image.height, " x ", image.width,
                " to ", height, " x ", width);
}

// For each output position the two input positions, and the second one's weight.
struct LinearTaps {
  std::vector<int> first, second;
  std::vector<float> weight;

  LinearTaps(int in_size, const Extent& part, int out_size) {
    for (int out = 0; out < out_size; ++out) {
      const double centre = part.begin + (out + 0.5) * part.length / out_size - 0.5;
      const double source = std::max(centre, 0.0);
      const int below = std::min(static_cast<int>(source), in_size - 1);
      first.push_back(below);
      second.push_back(std::min(below + 1, in_size - 1));
      weight.push_back(static_cast<float>(source - below));
    }
  }
};

// A value for each channel and each of the 256 levels.
using LevelTable = std::array<std::array<float, 256>, 3>;

// The window's levels through `levels`, resized to (height, width, 3) without antialiasing,
// whatever its shape was. out: height * width * 3 floats.
ANTHER_ONCE void resize_tensor(const Image& image, const Window& window, int height, int width,
                               const LevelTable& levels, float* out) {
  check_resize(image, width, height);
  const LinearTaps rows(image.height, window.down, height);
  const LinearTaps columns(image.width, window.across, width);
  for (int y = 0; y < height; ++y) {
    const auto v = static_cast<std::size_t>(y);
    const std::uint8_t* top = image.row(rows.first[v]);
    const std::uint8_t* bottom = image.row(rows.second[v]);
    const float down = rows.weight[v];
    for (std::size_t x = 0; x < static_cast<std::size_t>(width); ++x, out += 3) {
      const int left = 3 * columns.first[x], right = 3 * columns.second[x];
      const float across = columns.weight[x];
      for (int c = 0; c < 3; ++c) {
        const std::array<float, 256>& value = levels[static_cast<std::size_t>(c)];
        const float above = (1 - across) * value[top[left + c]] + across * value[top[right + c]];
        const float below =
            (1 - across) * value[bottom[left + c]] + across * value[bottom[right + c]];
        out[c] = (1 - down) * above + down * below;
      }
    }
  }
}

// The whole image.
inline void resize_tensor(const Image& image, int height, int width, const LevelTable& levels,
                          float* out) {
  resize_tensor(image, whole_window(image), height, width, levels, out);
}

// A part of an image, in pixels.
struct Box {
  int x = 0;
  int y = 0;
  int width = 0;
  int height = 0;
};

// Pillow's weights for the output positions begin, ..., begin + count - 1 of the part resized to
// out_size.
struct AntialiasTaps {
  static constexpr int precision = 22;  // bits: 32 less 8 of the pixel, less 2 to spare
  std::vector<int> first;               // of each output position, the first input position,
  std::vector<int> size;                // how many there are,
  std::vector<std::int32_t> weights;    // and their weights, `most` places apart
  int most = 0;

  AntialiasTaps(int in_size, const Extent& part, int out_size, int begin, int count) {
    const double scale = part.length / out_size;
    const double support = std::max(scale, 1.0);  // of the triangle
    most = static_cast<int>(std::ceil(support)) * 2 + 1;
    weights.resize(static_cast<std::size_t>(count) * static_cast<std::size_t>(most));
    std::vector<double> exact(static_cast<std::size_t>(most));
    for (int i = 0; i < count; ++i) {
      const double centre = part.begin + (begin + i + 0.5) * scale;
      const int low = std::max(static_cast<int>(centre - support + 0.5), 0);
      const int high = std::min(static_cast<int>(centre + support + 0.5), in_size);
      const double per_pixel = 1.0 / support;
      double sum = 0;
      for (int x = low; x < high; ++x) {
        const double distance = std::fabs((x - centre + 0.5) * per_pixel);
        const double weight = distance < 1.0 ? 1.0 - distance : 0.0;
        exact[static_cast<std::size_t>(x - low)] = weight;
        sum += weight;
      }
      first.push_back(low);
      size.push_back(high - low);
      std::int32_t* to = weights.data() + static_cast<std::ptrdiff_t>(i) * most;
      for (int k = 0; k < high - low; ++k) {
        double weight = exact[static_cast<std::size_t>(k)];
        if (sum != 0) weight /= sum;
        to[k] = static_cast<std::int32_t>(0.5 + weight * (1 << precision));
      }
    }
  }

  const std::int32_t* of(int i) const {
    return weights.data() + static_cast<std::ptrdiff_t>(i) * most;
  }
};

inline std::uint8_t antialias_round(std::int32_t sum) {
  return static_cast<std::uint8_t>(std::clamp(sum >> AntialiasTaps::precision, 0, 255));
}

// The image that the weights give: columns.first.size() x rows.first.size().
ANTHER_ONCE Image resize_antialias(const Image& image, const AntialiasTaps& columns,
                                   const AntialiasTaps& rows) {
  constexpr std::int32_t half = 1 << (AntialiasTaps::precision - 1);
  const int width = static_cast<int>(columns.first.size());
  const int height = static_cast<int>(rows.first.size());
  const int top = rows.first.front();
  const int bottom = rows.first.back() + rows.size.back();

  Image narrow(width, bottom - top);
  for (int y = 0; y < narrow.height; ++y) {
    const std::uint8_t* from = image.row(top + y);
    std::uint8_t* to = narrow.row(y);
    for (int x = 0; x < narrow.width; ++x, to += 3) {
      const auto i = static_cast<std::size_t>(x);
      const std::uint8_t* pixel = from + 3 * columns.first[i];
      const std::int32_t* weight = columns.of(x);
      std::int32_t red = half, green = half, blue = half;
      for (int k = 0; k < columns.size[i]; ++k, pixel += 3) {
        red += weight[k] * pixel[0];
        green += weight[k] * pixel[1];
        blue += weight[k] * pixel[2];
      }
      to[0] = antialias_round(red);
      to[1] = antialias_round(green);
      to[2] = antialias_round(blue);
    }
  }

  Image out(width, height);
  const std::size_t row_bytes = static_cast<std::size_t>(width) * 3;
  std::vector<std::int32_t> sums(row_bytes);
  for (int y = 0; y < out.height; ++y) {
    const auto i = static_cast<std::size_t>(y);
    std::fill(sums.begin(), sums.end(), half);
    for (int k = 0; k < rows.size[i]; ++k) {
      const std::uint8_t* from = narrow.row(rows.first[i] - top + k);
      const std::int32_t weight = rows.of(y)[k];
      for (std::size_t b = 0; b < row_bytes; ++b) sums[b] += weight * from[b];
    }
    std::uint8_t* to = out.row(y);
    for (std::size_t b = 0; b < row_bytes; ++b) to[b] = antialias_round(sums[b]);
  }
  return out;
}

// The part `crop` of the image, resized to width x height with antialiasing. Only what the part
// needs is computed; its pixels are the same as if the whole image were resized and then cropped.
ANTHER_ONCE Image resize_antialias(const Image& image, int width, int height, const Box& crop) {
  check_resize(image, width, height);
  detail::check(crop.x >= 0 && crop.y >= 0 && crop.width > 0 && crop.height > 0 &&
                    crop.width <= width - crop.x && crop.height <= height - crop.y,
                "crop: expected a part of ", height, " x ", width, ", got ", crop.height, " x ",
                crop.width, " from row ", crop.y, ", column ", crop.x);
  const auto [across, down] = whole_window(image);
  return resize_antialias(image, AntialiasTaps(image.width, across, width, crop.x, crop.width),
                          AntialiasTaps(image.height, down, height, crop.y, crop.height));
}

// The window resized to width x height with antialiasing: Pillow's resize(size, BILINEAR, box).
inline Image resize_antialias(const Image& image, const Window& window, int width, int height) {
  check_resize(image, width, height);
  return resize_antialias(image, AntialiasTaps(image.width, window.across, width, 0, width),
                          AntialiasTaps(image.height, window.down, height, 0, height));
}

// The whole image resized to width x height with antialiasing, whatever its shape was.
inline Image resize_antialias(const Image& image, int width, int height) {
  return resize_antialias(image, width, height, {.width = width, .height = height});
}

}  // namespace anther::inline v0_1::vision
