// Decodes image files, with their orientation honoured. This header brings stb_image's code.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

#include "anther/core/check.hpp"
#include "anther/core/once.hpp"
#include "anther/data/vision/bytes.hpp"
#include "anther/data/vision/image.hpp"
#include "anther/data/vision/image_decoders.hpp"
#include "anther/data/vision/image_format.hpp"
#include "anther/data/vision/stb.hpp"
#include "anther/data/vision/stb_jpeg.hpp"

namespace anther::inline v0_1::vision {

// The pixels of a JPEG file, or of its rewritten form.
ANTHER_ONCE Image decode_jpeg(const ImageHeader& header, ByteSpan file, std::string_view name) {
  const ByteSpan usable = header.rewritten.empty() ? file : ByteSpan(header.rewritten);
  if (const auto decode = image_decoders().jpeg.load()) return decode(usable, name);
  try {
    return stb_decode_jpeg(usable, name);
  } catch (const Error&) {
    // What stands behind a scan is seen only when the scan is walked; versions of stb differ in
    // what they tolerate there.
    return stb_decode_jpeg(JpegFile(usable, name, true).rewritten(), name);
  }
}

// Decodes a JPEG, PNG, BMP, GIF (its first picture) or, with libwebp, WebP file that is in memory,
// with the orientation that it states in EXIF or XMP honoured. Grey becomes three equal channels,
// alpha is dropped (as Pillow's convert("RGB") does), CMYK is converted without a profile, of 16
// bits the upper 8 are taken. Throws with `name` if the file is incomplete, not supported (HEIC,
// TIFF, ... are named) or has more than max_image_pixels(). Thread-safe; of large images one is
// decoded at a time.
ANTHER_ONCE Image decode_image(ByteSpan file, std::string_view name) {
  const ImageHeader header = check_image(file, name);
  const LargeImageTurn turn(header.width * header.height);
  Image image;
  if (header.format == "JPEG")
    image = decode_jpeg(header, file, name);
  else if (header.format == "PNG")
    image = header.apple ? stb_decode(file, name).rgb_from_apple() : stb_decode(file, name).rgb();
  else if (header.format == "BMP")
    image = BmpFile(file, name).decode();
  else if (header.format == "WebP")
    image = image_decoders().webp.load()(file, name);
  else
    image = GifFile(file, name).decode();
  detail::check(image.width == header.width && image.height == header.height, name,
                ": corrupt image (two sizes)");
  return oriented(std::move(image), header.orientation);
}

// The same for a file on disk; messages name its path.
inline Image decode_image(const std::filesystem::path& path) {
  return decode_image(read_file(path), path.string());
}

}  // namespace anther::inline v0_1::vision

// What CMake's targets anther::jpeg and anther::webp define.
#ifdef ANTHER_LIBJPEG
#include "anther/data/vision/libjpeg.hpp"
#endif
#ifdef ANTHER_LIBWEBP
#include "anther/data/vision/webp.hpp"
#endif
