// What an image file says of itself before it is decoded: its format, by its first bytes; and for
// JPEG, PNG and BMP, its size and whether it is whole.
//
// The decoder tolerates files that end early (grey or garbage where pixels are missing), and trusts
// tables that a hostile file may have made too long. Here the file is walked from its first marker
// or chunk to its end, and anything amiss is an error that names it.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "anther/core/check.hpp"
#include "anther/data/vision/bytes.hpp"
#include "anther/data/vision/exif.hpp"

namespace anther::inline v0_1::vision {

// The most pixels that an image may have: a check ahead of any allocation.
inline constexpr std::int64_t max_image_pixels = 100'000'000;

// And the most scans of a JPEG.
inline constexpr int max_jpeg_scans = 100;

struct ImageHeader {
  std::int64_t width = 0;
  std::int64_t height = 0;
  int orientation = 1;  // EXIF's, 1 to 8
};

// The name of the format that the first bytes tell: "JPEG", "PNG", "BMP", or one that Anther does
// not decode ("WebP", "HEIC", "AVIF", ...); "" where they tell none.
inline std::string_view image_format(ByteSpan bytes) {
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

// Walks a JPEG file (ITU-T T.81, annex B) to its end marker. Throws with the name where it ends
// early or is of a kind that is not decoded.
inline ImageHeader check_jpeg(ByteSpan file, std::string_view name) {
  ImageHeader header;
  std::uint32_t components = 0;
  int adobe_transform = -1;
  int scans = 0;
  bool has_exif = false;
  std::size_t at = 2;
  for (;;) {
    // The next marker: past the entropy-coded data of a scan (in which FF 00 stands for FF, and
    // the restart markers D0 to D7 occur), past padding, past stray bytes.
    while (at + 1 < file.size() &&
           !(file[at] == 0xFF && file[at + 1] != 0 && file[at + 1] != 0xFF &&
             (file[at + 1] < 0xD0 || file[at + 1] > 0xD7)))
      ++at;
    detail::check(at + 1 < file.size(), name,
                  ": the JPEG ends before its end marker: the file is truncated (", file.size(),
                  " bytes)");
    const std::uint8_t marker = file[at + 1];
    at += 2;
    if (marker == 0xD9) break;                       // end of image
    if (marker == 0x01 || marker == 0xD8) continue;  // no length follows these
    detail::check(at + 2 <= file.size() && at + load_be16(&file[at]) <= file.size(), name,
                  ": the JPEG ends within its header: the file is truncated (", file.size(),
                  " bytes)");
    const std::size_t length = load_be16(&file[at]);
    detail::check(length >= 2, name, ": corrupt JPEG (a segment of ", length, " bytes)");
    const ByteSpan segment = file.subspan(at + 2, length - 2);
    at += length;

    if (marker == 0xC4) {  // Huffman tables: each at most 256 codes
      for (std::size_t table = 0; table < segment.size();) {
        std::size_t codes = 0;
        for (std::size_t i = 1; i <= 16 && table + i < segment.size(); ++i)
          codes += segment[table + i];
        table += 17 + codes;
        detail::check(codes <= 256 && table <= segment.size(), name,
                      ": corrupt JPEG (a Huffman table)");
      }
    } else if (marker >= 0xC0 && marker <= 0xCF && marker != 0xC8) {  // a frame header
      detail::check(
          marker != 0xCC && marker < 0xC9, name,
          ": JPEG with arithmetic coding is not supported; convert it to a usual JPEG or PNG");
      detail::check(
          marker <= 0xC2, name,
          ": lossless or hierarchical JPEG is not supported; convert it to a usual JPEG or PNG");
      detail::check(components == 0, name, ": corrupt JPEG (two frames)");
      detail::check(segment.size() >= 6, name, ": corrupt JPEG (its frame header)");
      detail::check(segment[0] == 8, name, ": JPEG with ", segment[0],
                    " bits a sample is not supported");
      header.height = load_be16(&segment[1]);
      header.width = load_be16(&segment[3]);
      components = segment[5];
      detail::check(components == 1 || components == 3 || components == 4, name, ": JPEG with ",
                    components, " components is not supported");
    } else if (marker == 0xDA) {
      detail::check(components != 0, name, ": corrupt JPEG (a scan ahead of the frame)");
      // Each scan is a walk over the whole image, however little data it has. Encoders write about
      // ten.
      detail::check(++scans <= max_jpeg_scans, name, ": JPEG with more than ", max_jpeg_scans,
                    " scans is not supported");
    } else if (marker == 0xE1 && !has_exif && segment.size() > 6 &&
               bytes_at(segment, 0, std::string_view("Exif\0", 5))) {
      header.orientation = exif_orientation(segment.subspan(6));
      has_exif = true;
    } else if (marker == 0xEE && segment.size() >= 12 &&
               bytes_at(segment, 0, std::string_view("Adobe\0", 6))) {
      adobe_transform = segment[11];
    }
  }
  detail::check(scans > 0, name, ": the JPEG has no image data");
  // Four components are CMYK, or YCCK, and are stored inverted if Adobe's marker is present.
  // Without the marker nobody can tell which, and the decoder would take them for YCbCr with alpha.
  detail::check(
      components != 4 || adobe_transform == 0 || adobe_transform == 2, name,
      ": JPEG with four components and no Adobe marker is not supported; convert it to RGB");
  return header;
}

// CRC-32 as PNG has it (ISO 3309), a table look-up a byte.
inline std::uint32_t png_crc32(ByteSpan bytes) {
  static constexpr auto table = [] {
    std::array<std::uint32_t, 256> entries{};
    for (std::uint32_t i = 0; i < 256; ++i) {
      std::uint32_t c = i;
      for (int bit = 0; bit < 8; ++bit) c = (c & 1) ? 0xEDB88320u ^ (c >> 1) : c >> 1;
      entries[i] = c;
    }
    return entries;
  }();
  std::uint32_t crc = 0xFFFFFFFFu;
  for (const std::uint8_t byte : bytes) crc = table[(crc ^ byte) & 255] ^ (crc >> 8);
  return ~crc;
}

// Walks a PNG file (ISO 15948) to its end chunk, checking every chunk's CRC. Throws with the name
// where it ends early, is damaged, or has a chunk that is not known but needed.
inline ImageHeader check_png(ByteSpan file, std::string_view name) {
  ImageHeader header;
  std::size_t at = 8;
  for (bool first = true;; first = false) {
    detail::check(at + 12 <= file.size() && load_be32(&file[at]) <= file.size() - at - 12, name,
                  ": the PNG ends before its end chunk: the file is truncated (", file.size(),
                  " bytes)");
    const std::size_t length = load_be32(&file[at]);
    const ByteSpan type_and_data = file.subspan(at + 4, length + 4);
    const ByteSpan data = type_and_data.subspan(4);
    detail::check(png_crc32(type_and_data) == load_be32(&file[at + 8 + length]), name,
                  ": damaged PNG (a chunk's checksum is wrong)");
    const auto is = [&](std::string_view type) { return bytes_at(type_and_data, 0, type); };
    detail::check(first == is("IHDR"), name, ": corrupt PNG (its header chunk)");
    if (first) {
      detail::check(length == 13, name, ": corrupt PNG (its header chunk)");
      header.width = load_be32(&data[0]);
      header.height = load_be32(&data[4]);
    } else if (is("IEND")) {
      return header;
    } else if (is("eXIf")) {
      header.orientation = exif_orientation(data);
    } else {
      constexpr std::uint8_t ancillary = 0x20;  // a lower-case first letter
      detail::check((type_and_data[0] & ancillary) != 0 || is("PLTE") || is("IDAT"), name,
                    ": PNG with an unknown chunk is not supported; convert it to a usual PNG");
    }
    at += length + 12;
  }
}

// Reads a BMP file's header and checks that its rows are all there. Throws with the name.
inline ImageHeader check_bmp(ByteSpan file, std::string_view name) {
  detail::check(file.size() >= 30, name, ": the BMP ends within its header: the file is truncated");
  const std::uint64_t offset = load_le32(&file[10]);
  const bool old = load_le32(&file[14]) == 12;  // OS/2's header, with 16-bit sizes
  detail::check(old || file.size() >= 54, name,
                ": the BMP ends within its header: the file is truncated");
  const auto size_at = [&](std::size_t at) {
    return old ? static_cast<std::int64_t>(load_le16(&file[at]))
               : static_cast<std::int64_t>(static_cast<std::int32_t>(load_le32(&file[at])));
  };
  ImageHeader header;
  header.width = size_at(18);
  header.height = std::abs(size_at(old ? 20 : 22));  // negative: the top row first
  const std::int64_t bits = load_le16(&file[old ? 24 : 28]);
  const std::uint32_t compression = old ? 0 : load_le32(&file[30]);
  detail::check(compression == 0 || compression == 3, name, ": compressed BMP is not supported");
  if (header.width > 0 && header.height > 0 && header.width <= max_image_pixels / header.height) {
    const std::int64_t row = (header.width * bits + 31) / 32 * 4;
    const std::uint64_t wanted = offset + static_cast<std::uint64_t>(row * header.height);
    detail::check(file.size() >= wanted, name, ": the BMP has ", file.size(), " bytes, expected ",
                  wanted, ": the file is truncated");
  }
  return header;
}

// What the file says of itself, checked whole. Throws with the name where it is empty, of a format
// that is not decoded, not an image, damaged, truncated, or of more than 100 million pixels.
inline ImageHeader check_image(ByteSpan file, std::string_view name) {
  detail::check(!file.empty(), name, ": the file is empty");
  detail::check(file.size() <= max_file_bytes, name, ": the file is too large");
  const std::string_view format = image_format(file);
  detail::check(!format.empty(), name, ": not an image that is known (expected JPEG, PNG or BMP)");
  ImageHeader header;
  if (format == "JPEG")
    header = check_jpeg(file, name);
  else if (format == "PNG")
    header = check_png(file, name);
  else if (format == "BMP")
    header = check_bmp(file, name);
  else
    detail::fail(name, ": ", format, " is not supported; convert it to JPEG or PNG");
  detail::check(
      header.width >= 1 && header.height >= 1 && header.width <= max_image_pixels / header.height,
      name, ": expected an image of 1 to ", max_image_pixels, " pixels, got ", header.width, " x ",
      header.height);
  return header;
}

}  // namespace anther::inline v0_1::vision
