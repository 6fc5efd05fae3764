// Decoders that a program may bring: libjpeg-turbo (libjpeg.hpp) and libwebp (webp.hpp). A program
// that includes the header of one, anywhere, has it everywhere; CMake's targets anther::jpeg and
// anther::webp see to both header and library.
#pragma once

#include <atomic>
#include <string_view>

#include "anther/data/vision/bytes.hpp"
#include "anther/data/vision/image.hpp"

namespace anther::inline v0_1::vision {

struct ImageDecoders {
  using Decode = Image (*)(ByteSpan file, std::string_view name);
  std::atomic<Decode> jpeg{nullptr};  // stb_image decodes where there is none
  std::atomic<Decode> webp{nullptr};
};
inline ImageDecoders& image_decoders() {
  static ImageDecoders decoders;
  return decoders;
}

// What decodes JPEG files, for a run's record. Runs of earlier versions say "stb" where it had an
// arithmetic of its own, and other pixels.
inline std::string_view decoder_name() {
  return image_decoders().jpeg.load() ? "libjpeg-turbo" : "stb (libjpeg's arithmetic)";
}

}  // namespace anther::inline v0_1::vision
