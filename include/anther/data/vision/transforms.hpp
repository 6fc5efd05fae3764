// From a decoded image to what a model is fed: floats (size, size, 3), the level divided by 255,
// less the mean, divided by the standard deviation of each channel.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "anther/core/check.hpp"
#include "anther/core/once.hpp"
#include "anther/data/vision/image.hpp"
#include "anther/data/vision/resize.hpp"

namespace anther::inline v0_1::vision {

enum class ResizeMode {
  tensor,  // to a square whatever the shape, bilinear without antialiasing: what PaddlePaddle does
           // with a tensor
  short_side,  // the short side to resize_size with antialiasing, then the centre (torchvision,
               // timm)
};

inline std::string to_string(ResizeMode mode) {
  return mode == ResizeMode::tensor ? "tensor" : "short-side";
}

// Throws unless the name is "tensor" or "short-side".
inline ResizeMode parse_resize_mode(std::string_view name) {
  if (name == "tensor") return ResizeMode::tensor;
  if (name == "short-side") return ResizeMode::short_side;
  detail::fail("resize: expected \"tensor\" or \"short-side\", got \"", name, "\"");
}

// A table of what each level becomes: (level / 255 - mean) / std.
ANTHER_ONCE LevelTable level_table(const std::array<float, 3>& mean,
                                   const std::array<float, 3>& std) {
  LevelTable table{};
  for (std::size_t c = 0; c < 3; ++c)
    for (std::size_t level = 0; level < 256; ++level)
      table[c][level] = (static_cast<float>(level) / 255.0f - mean[c]) / std[c];
  return table;
}

// The image without any resize: height * width * 3 floats, (height, width, 3).
inline void to_tensor(const Image& image, const LevelTable& levels, float* out) {
  const std::size_t pixels = image.pixels.size() / 3;
  for (std::size_t i = 0; i < pixels; ++i)
    for (std::size_t c = 0; c < 3; ++c) out[3 * i + c] = levels[c][image.pixels[3 * i + c]];
}

// Python's round((whole - part) / 2): a half goes to the even number. torchvision's CenterCrop.
inline int centre_offset(int whole, int part) {
  const int difference = whole - part;
  const int below = difference / 2;
  return difference % 2 == 1 && below % 2 == 1 ? below + 1 : below;
}

struct Size {
  int width = 0;
  int height = 0;
};

// The size of an image after its short side has become `side`. As in torchvision's Resize, the long
// side is int(side * long / short).
ANTHER_ONCE Size size_of_short_side(const Image& image, std::int64_t side) {
  detail::check(image.width > 0 && image.height > 0, "resize: expected an image, got ", image.width,
                " x ", image.height);
  const std::int64_t least = std::min(image.width, image.height);
  const std::int64_t most = std::max(image.width, image.height);
  detail::check(side * most / least <= 1 << 30, "resize: an image of ", image.width, " x ",
                image.height, " is too narrow for a short side of ", side);
  return {static_cast<int>(side * image.width / least),
          static_cast<int>(side * image.height / least)};
}

// How an image is prepared for evaluation: plain values, saved with a checkpoint.
struct Preprocess {
  std::int64_t image_size = 224;  // pixels: the side of the square that comes out
  ResizeMode resize = ResizeMode::tensor;
  std::int64_t resize_size = 0;           // short_side: the short side; 0: image_size / crop_pct
  double crop_pct = 0.875;                // short_side: the share of the short side that is kept
  std::array<float, 3> mean = {0, 0, 0};  // of red, green and blue, between 0 and 1
  std::array<float, 3> std = {1, 1, 1};

  friend bool operator==(const Preprocess&, const Preprocess&) = default;

  // The short side that an image is resized to before its centre is taken.
  std::int64_t short_side() const {
    if (resize_size > 0) return resize_size;
    // Limited to what validate() refuses: a larger number may not fit an integer.
    return static_cast<std::int64_t>(
        std::min(std::floor(static_cast<double>(image_size) / crop_pct), 1e9));
  }

  // How many floats one image becomes.
  std::int64_t numel() const { return image_size * image_size * 3; }

  // Throws, with its name, if a value makes no sense.
  void validate() const {
    detail::check(image_size >= 1 && image_size <= 8192,
                  "image_size: expected 1 to 8192 pixels, got ", image_size);
    detail::check(crop_pct > 0 && crop_pct <= 1, "crop_pct: expected more than 0, at most 1, got ",
                  crop_pct);
    detail::check(
        resize != ResizeMode::short_side || (short_side() >= image_size && short_side() <= 32768),
        "resize_size: expected at least image_size (", image_size, "), at most 32768, got ",
        short_side());
    for (std::size_t c = 0; c < 3; ++c) {
      detail::check(std::isfinite(mean[c]), "mean: expected finite numbers, got ", mean[c]);
      detail::check(std::isfinite(std[c]) && std[c] > 0, "std: expected numbers above 0, got ",
                    std[c]);
    }
  }
};

// The image prepared as the options say. out: image_size * image_size * 3 floats, (size, size, 3).
class Transform {
 public:
  explicit Transform(const Preprocess& options)
      : options_(options), levels_((options.validate(), level_table(options.mean, options.std))) {}

  const Preprocess& options() const { return options_; }
  const LevelTable& levels() const { return levels_; }

  void operator()(const Image& image, float* out) const {
    const int size = static_cast<int>(options_.image_size);
    if (options_.resize == ResizeMode::tensor)
      resize_tensor(image, size, size, levels_, out);
    else
      to_tensor(centre(image), levels_, out);
  }

  // A part of the image alone, stretched to the square.
  void operator()(const Image& image, const Window& window, float* out) const {
    const int size = static_cast<int>(options_.image_size);
    if (options_.resize == ResizeMode::tensor)
      resize_tensor(image, window, size, size, levels_, out);
    else
      to_tensor(resize_antialias(image, window, size, size), levels_, out);
  }

  // The 8-bit image of a short_side transform, before it is made floats: what a cache may hold.
  Image centre(const Image& image) const {
    const int size = static_cast<int>(options_.image_size);
    const auto [width, height] = size_of_short_side(image, options_.short_side());
    return resize_antialias(image, width, height,
                            {.x = centre_offset(width, size),
                             .y = centre_offset(height, size),
                             .width = size,
                             .height = size});
  }

  // The part of an image that is shown.
  Window window(const Image& image) const {
    if (options_.resize == ResizeMode::tensor) return whole_window(image);
    const auto [width, height] = size_of_short_side(image, options_.short_side());
    const int size = static_cast<int>(options_.image_size);
    const double step_x = static_cast<double>(image.width) / width;
    const double step_y = static_cast<double>(image.height) / height;
    return {{centre_offset(width, size) * step_x, size * step_x},
            {centre_offset(height, size) * step_y, size * step_y}};
  }

 private:
  Preprocess options_;
  LevelTable levels_;
};

}  // namespace anther::inline v0_1::vision
