// Decodes image files, with EXIF's orientation honoured. This header brings stb_image's code.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

#include "anther/core/check.hpp"
#include "anther/data/vision/bytes.hpp"
#include "anther/data/vision/image.hpp"
#include "anther/data/vision/image_format.hpp"
#include "anther/data/vision/stb.hpp"

namespace anther::inline v0_1::vision {

// Decodes a JPEG, PNG or BMP file that is in memory, with EXIF's orientation honoured. Grey becomes
// three equal channels, alpha is dropped (as Pillow's convert("RGB") does), CMYK is converted
// without a profile. Throws with `name` if the file is incomplete, not supported (WebP, HEIC, ...
// are named) or has more than 100 million pixels. Thread-safe.
inline Image decode_image(ByteSpan file, std::string_view name) {
  const ImageHeader header = check_image(file, name);
  Image image;
  image.pixels = stb_decode_rgb(file, name, image.width, image.height);
  detail::check(image.width == header.width && image.height == header.height, name,
                ": corrupt image (two sizes)");
  return oriented(std::move(image), header.orientation);
}

// The same for a file on disk; messages name its path.
inline Image decode_image(const std::filesystem::path& path) {
  return decode_image(read_file(path), path.string());
}

}  // namespace anther::inline v0_1::vision
