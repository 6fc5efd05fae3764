// How large an image may be: what is checked ahead of any allocation.
#pragma once

#include <atomic>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <string_view>
#include <system_error>

#include "anther/core/check.hpp"
#include "anther/core/once.hpp"

namespace anther::inline v0_1::vision {

// The most pixels that an image may have unless told otherwise: telephones take photographs of 108
// and of 200 million.
inline constexpr std::int64_t default_max_image_pixels = 250'000'000;

// The limit that holds: what the environment variable ANTHER_MAX_IMAGE_PIXELS or the last call of
// set_max_image_pixels says.
ANTHER_ONCE std::atomic<std::int64_t>& max_image_pixels_setting() {
  static std::atomic<std::int64_t> limit = [] {
    const char* text = std::getenv("ANTHER_MAX_IMAGE_PIXELS");
    if (!text || *text == '\0') return default_max_image_pixels;
    const std::string_view digits = text;
    std::int64_t value = 0;
    const auto [rest, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    detail::check(error == std::errc() && rest == digits.data() + digits.size() && value >= 1,
                  "ANTHER_MAX_IMAGE_PIXELS: expected a whole number of at least 1, got ", text);
    return value;
  }();
  return limit;
}
inline std::int64_t max_image_pixels() {
  return max_image_pixels_setting();
}
inline void set_max_image_pixels(std::int64_t pixels) {
  detail::check(pixels >= 1, "the most pixels of an image: expected at least 1, got ", pixels);
  max_image_pixels_setting() = pixels;
}

// Throws with the name where the size is none, or more than the limit.
ANTHER_ONCE void check_image_size(std::int64_t width, std::int64_t height, std::string_view name) {
  const std::int64_t most = max_image_pixels();
  detail::check(width >= 1 && height >= 1 && width <= most / height, name,
                ": expected an image of 1 to ", most, " pixels, got ", width, " x ", height,
                width >= 1 && height >= 1 ? " (ANTHER_MAX_IMAGE_PIXELS sets the limit)" : "");
}

// Images of more pixels than this are decoded one after another, however many threads decode, so
// that memory is needed for one of them only: about 8 bytes for each of its pixels.
inline constexpr std::int64_t large_image_pixels = 32'000'000;

class LargeImageTurn {
 public:
  explicit LargeImageTurn(std::int64_t pixels) {
    static std::mutex one_at_a_time;
    if (pixels > large_image_pixels) turn_ = std::unique_lock(one_at_a_time);
  }

 private:
  std::unique_lock<std::mutex> turn_;
};

}  // namespace anther::inline v0_1::vision
