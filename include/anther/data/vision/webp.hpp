// WebP through libwebp. To have it, link anther::webp; or include this header in any source of the
// program and link with -lwebp.
#pragma once

#include <webp/decode.h>

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "anther/core/check.hpp"
#include "anther/data/vision/bytes.hpp"
#include "anther/data/vision/image.hpp"
#include "anther/data/vision/image_decoders.hpp"
#include "anther/data/vision/webp_file.hpp"

namespace anther::inline v0_1::vision {

// Decodes a WebP file, of an animation the first picture; alpha is dropped, and what that picture
// leaves of the whole is black. Throws with the name. Thread-safe.
inline Image webp_decode(ByteSpan file, std::string_view name) {
  const WebpFile webp(file, name);
  const ByteSpan frame = webp.frame();
  int width = 0, height = 0;
  const bool known = WebPGetInfo(frame.data(), frame.size(), &width, &height) != 0;
  detail::check(known && width == webp.frame_width() && height == webp.frame_height(), name,
                ": cannot be decoded (corrupt WebP)");
  Image image(static_cast<int>(webp.width()), static_cast<int>(webp.height()));
  std::uint8_t* first = image.row(static_cast<int>(webp.top())) + 3 * webp.left();
  const auto room = static_cast<std::size_t>(image.pixels.data() + image.pixels.size() - first);
  detail::check(WebPDecodeRGBInto(frame.data(), frame.size(), first, room, 3 * image.width), name,
                ": cannot be decoded (corrupt WebP)");
  return image;
}

inline const bool webp_decodes = (image_decoders().webp = &webp_decode, true);

}  // namespace anther::inline v0_1::vision
