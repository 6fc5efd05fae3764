// A PNG file, walked from its first chunk to its last: its size, its orientation, and whether it is
// whole (ISO 15948).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include "anther/core/check.hpp"
#include "anther/core/once.hpp"
#include "anther/data/vision/bytes.hpp"
#include "anther/data/vision/exif.hpp"
#include "anther/data/vision/stb.hpp"
#include "anther/io/crc32.hpp"

namespace anther::inline v0_1::vision {

// The keyword and the text of a text chunk (tEXt, zTXt, iTXt).
struct PngText {
  std::string_view keyword;
  ByteSpan text;
  bool compressed = false;
};
ANTHER_ONCE PngText png_text(std::string_view type, ByteSpan data) {
  PngText text;
  std::size_t at = 0;
  const auto past_zero = [&] {
    while (at < data.size() && data[at] != 0) ++at;
    at = std::min(at + 1, data.size());
  };
  past_zero();
  if (at == 0) return text;
  text.keyword = std::string_view(reinterpret_cast<const char*>(data.data()), at - 1);
  if (type == "zTXt") {
    text.compressed = true;
    at = std::min(at + 1, data.size());  // the method
  } else if (type == "iTXt") {
    text.compressed = at < data.size() && data[at] == 1;
    at = std::min(at + 2, data.size());  // the flag and the method
    past_zero();                         // the language
    past_zero();                         // the keyword in that language
  }
  text.text = data.subspan(at);
  return text;
}

// The bytes of a profile as ImageMagick writes it in a text: a name, the number of bytes, and they
// in hexadecimal digits, in lines. As many as there are.
ANTHER_ONCE Bytes raw_profile(ByteSpan text) {
  std::size_t at = 0;
  const auto past_line = [&] {
    while (at < text.size() && text[at] != '\n') ++at;
    ++at;
  };
  while (at < text.size() && text[at] == '\n') ++at;
  past_line();  // the name
  past_line();  // the number
  Bytes bytes;
  int digits = 0;
  for (; at < text.size(); ++at) {
    const std::uint8_t c = text[at];
    int value = 0;
    if (c >= '0' && c <= '9')
      value = c - '0';
    else if (c >= 'a' && c <= 'f')
      value = c - 'a' + 10;
    else if (c >= 'A' && c <= 'F')
      value = c - 'A' + 10;
    else
      continue;
    if (digits++ % 2 == 0)
      bytes.push_back(static_cast<std::uint8_t>(value << 4));
    else
      bytes.back() = static_cast<std::uint8_t>(bytes.back() | value);
  }
  return bytes;
}

class PngFile {
 public:
  // Checks every chunk's CRC. Throws with the name where the file ends early, is damaged, or has a
  // chunk that is not known but needed.
  PngFile(ByteSpan file, std::string_view name) {
    std::size_t at = 8;
    for (bool begun = false;;) {
      detail::check(at + 12 <= file.size() && load_be32(&file[at]) <= file.size() - at - 12, name,
                    ": the PNG ends before its end chunk: the file is truncated (", file.size(),
                    " bytes)");
      const std::size_t length = load_be32(&file[at]);
      const ByteSpan type_and_data = file.subspan(at + 4, length + 4);
      const ByteSpan data = type_and_data.subspan(4);
      detail::check(io::crc32(type_and_data) == load_be32(&file[at + 8 + length]), name,
                    ": damaged PNG (a chunk's checksum is wrong)");
      const std::string_view type(reinterpret_cast<const char*>(type_and_data.data()), 4);
      at += length + 12;
      if (type == "CgBI" && !begun) {
        apple_ = true;
        continue;
      }
      detail::check(begun != (type == "IHDR"), name, ": corrupt PNG (its header chunk)");
      if (!begun) {
        detail::check(length == 13, name, ": corrupt PNG (its header chunk)");
        width_ = load_be32(&data[0]);
        height_ = load_be32(&data[4]);
        apple_ = apple_ && (data[9] == 2 || data[9] == 6);  // palettes and grey are as usual
        begun = true;
      } else if (type == "IEND") {
        break;
      } else {
        constexpr std::uint8_t ancillary = 0x20;  // a lower-case first letter
        detail::check((type_and_data[0] & ancillary) != 0 || type == "PLTE" || type == "IDAT", name,
                      ": PNG with an unknown chunk is not supported; convert it to a usual PNG");
        read(type, data);
      }
    }
  }

  std::int64_t width() const { return width_; }
  std::int64_t height() const { return height_; }
  int orientation() const {
    Orientation orientation = chunk_;
    if (exif_) orientation.add_exif(*exif_);
    if (xmp_) orientation.add_xmp(*xmp_);
    return orientation.value();
  }
  // Whether Apple's tools wrote it, for its telephones: a chunk CgBI, blue ahead of red, colours
  // multiplied by alpha, and compressed data without a header.
  bool apple() const { return apple_; }

 private:
  void read(std::string_view type, ByteSpan data) {
    if (type == "eXIf") chunk_.add_exif(data);
    if (type != "tEXt" && type != "zTXt" && type != "iTXt") return;
    const PngText text = png_text(type, data);
    if (text.keyword == "XML:com.adobe.xmp") {
      if (!xmp_) xmp_ = plain(text);
    } else if (text.keyword == "Raw profile type exif" || text.keyword == "Raw profile type APP1" ||
               text.keyword == "Raw profile type xmp") {
      // APP1 holds one or the other.
      constexpr std::string_view prefix("http://ns.adobe.com/xap/1.0/\0", 29);
      if (exif_ && xmp_) return;
      Bytes profile = raw_profile(plain(text));
      const bool is_xmp = bytes_at(profile, 0, prefix) || text.keyword.ends_with("xmp");
      auto& block = is_xmp ? xmp_ : exif_;
      if (!block) block = std::move(profile);
    }
  }
  static Bytes plain(const PngText& text) {
    if (!text.compressed) return Bytes(text.text.begin(), text.text.end());
    try {
      return stb_inflate(text.text, "text");
    } catch (const Error&) {
      return {};  // a damaged text is no reason to refuse a picture
    }
  }

  std::int64_t width_ = 0, height_ = 0;
  bool apple_ = false;
  Orientation chunk_;          // from the chunk that is made for it
  std::optional<Bytes> exif_;  // from texts
  std::optional<Bytes> xmp_;
};

}  // namespace anther::inline v0_1::vision
