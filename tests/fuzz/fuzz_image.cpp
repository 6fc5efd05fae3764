// Image files of all formats: what they say of themselves, and their pixels.
#include "anther/data/vision/decode.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const bool limited = [] {
    anther::vision::set_max_image_pixels(1 << 16);
    return true;
  }();
  try {
    const anther::vision::Image image =
        anther::vision::decode_image(anther::vision::ByteSpan(data, size), "picture");
    if (!limited || image.pixels.size() != 3u * static_cast<std::size_t>(image.width) *
                                               static_cast<std::size_t>(image.height))
      std::abort();
  } catch (const anther::Error&) {
  }
  return 0;
}
