// What an image file says of itself before it is decoded: its format, by its first bytes; its size,
// and whether it is whole.
//
// Decoders tolerate files that end early (grey or garbage where pixels are missing), and trust
// tables that a hostile file may have made too long. Here the file is walked from its first marker
// or chunk to its end, and anything amiss is an error that names it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include "anther/core/check.hpp"
#include "anther/core/once.hpp"
#include "anther/data/vision/bmp.hpp"
#include "anther/data/vision/bytes.hpp"
#include "anther/data/vision/gif.hpp"
#include "anther/data/vision/image_decoders.hpp"
#include "anther/data/vision/image_limits.hpp"
#include "anther/data/vision/jpeg_file.hpp"
#include "anther/data/vision/png_file.hpp"
#include "anther/data/vision/webp_file.hpp"
#include "anther/io/file_kind.hpp"

namespace anther::inline v0_1::vision {

struct ImageHeader {
  std::string_view format;
  std::int64_t width = 0;
  std::int64_t height = 0;
  int orientation = 1;   // EXIF's, 1 to 8
  Bytes rewritten = {};  // JPEG: the file for a decoder, unless it is usable as it is
  bool apple = false;    // PNG: of the kind that Apple's tools write
};

// The name of the format that the first bytes tell: "JPEG", "PNG", "BMP", "GIF", "WebP", or one
// that Anther does not decode ("HEIC", "AVIF", ...); "" where they tell none.
ANTHER_ONCE std::string_view image_format(ByteSpan bytes) {
  using namespace std::string_view_literals;
  if (bytes_at(bytes, 0, "\xFF\xD8\xFF"sv)) return "JPEG";
  if (bytes_at(bytes, 0, "\x89PNG\r\n\x1A\n"sv)) return "PNG";
  if (bytes_at(bytes, 0, "RIFF"sv) && bytes_at(bytes, 8, "WEBP"sv)) return "WebP";
  if (bytes_at(bytes, 0, "GIF8"sv)) return "GIF";
  if (bytes_at(bytes, 0, "II*\0"sv) || bytes_at(bytes, 0, "MM\0*"sv)) return "TIFF";
  if (bytes_at(bytes, 0, "\xFF\x0A"sv) || bytes_at(bytes, 0, "\0\0\0\x0CJXL "sv)) return "JPEG XL";
  if (bytes_at(bytes, 0, "\0\0\0\x0CjP  "sv)) return "JPEG 2000";
  if (bytes_at(bytes, 0, "8BPS"sv)) return "Photoshop";
  if (bytes_at(bytes, 4, "ftyp"sv)) {
    // An ISO media file: the main brand, a version, then the brands that it is compatible with.
    const std::size_t end = std::min<std::size_t>({load_be32(bytes.data()), bytes.size(), 256});
    bool heic = false;
    for (std::size_t at = 8; at + 4 <= end; at += 4) {
      if (bytes_at(bytes, at, "avif"sv) || bytes_at(bytes, at, "avis"sv)) return "AVIF";
      heic = heic || bytes_at(bytes, at, "hei"sv) || bytes_at(bytes, at, "hev"sv) ||
             bytes_at(bytes, at, "mif1"sv) || bytes_at(bytes, at, "msf1"sv);
    }
    return heic ? "HEIC" : "ISO media (video)";
  }
  if (bytes_at(bytes, 0, "BM"sv)) return "BMP";
  return "";
}

// What the file says of itself, checked whole. Throws with the name where it is empty, of a format
// that is not decoded, not an image, damaged, truncated, or of more pixels than the limit.
ANTHER_ONCE ImageHeader check_image(ByteSpan file, std::string_view name) {
  detail::check(!file.empty(), name, ": the file is empty");
  detail::check(file.size() <= max_file_bytes, name, ": the file is too large");
  ImageHeader header{.format = image_format(file)};
  if (header.format == "JPEG") {
    JpegFile jpeg(file, name);
    header.width = jpeg.width();
    header.height = jpeg.height();
    header.orientation = jpeg.orientation();
    header.rewritten = std::move(jpeg.rewritten());
  } else if (header.format == "PNG") {
    const PngFile png(file, name);
    header.width = png.width();
    header.height = png.height();
    header.orientation = png.orientation();
    header.apple = png.apple();
  } else if (header.format == "BMP") {
    const BmpFile bmp(file, name);
    header.width = bmp.width();
    header.height = bmp.height();
  } else if (header.format == "GIF") {
    const GifFile gif(file, name);
    header.width = gif.width();
    header.height = gif.height();
  } else if (header.format == "WebP") {
    detail::check(image_decoders().webp.load() != nullptr, name,
                  ": WebP is not supported in a program without libwebp (Debian: libwebp-dev); "
                  "build it with that, or convert the picture to JPEG or PNG");
    const WebpFile webp(file, name);
    header.width = webp.width();
    header.height = webp.height();
    header.orientation = webp.orientation();
  } else if (header.format.empty()) {
    const std::string_view kind = io::file_kind(file);
    detail::check(!kind.empty(), name,
                  ": not an image that is known (expected JPEG, PNG, BMP, GIF or WebP)");
    detail::fail(name, ": not an image but ", kind, io::advice_for(kind));
  } else {
    detail::fail(name, ": ", header.format, " is not supported; convert it to JPEG or PNG");
  }
  check_image_size(header.width, header.height, name);
  return header;
}

}  // namespace anther::inline v0_1::vision
