// The orientation of a photograph: how the stored pixels are to be turned. It stands in an EXIF
// block, or in XMP, each of which several formats hold.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "anther/core/once.hpp"
#include "anther/data/vision/bytes.hpp"

namespace anther::inline v0_1::vision {

// The orientation that a TIFF structure states (EXIF 2.3, section 4.6.4: tag 0x0112 of the first
// directory), as any type of whole number: 1 (as stored) to 8. 1 if what it states is none of
// these; nothing if it states none or the structure makes no sense: a damaged EXIF block is no
// reason to refuse a photograph.
ANTHER_ONCE std::optional<int> stated_exif_orientation(ByteSpan tiff) {
  // PNG's eXIf and WebP's EXIF chunks should hold the structure alone; some begin as JPEG's do.
  if (bytes_at(tiff, 0, std::string_view("Exif\0", 5)) && tiff.size() > 6) tiff = tiff.subspan(6);
  if (tiff.size() < 8) return {};
  const bool little = tiff[0] == 'I' && tiff[1] == 'I';
  const bool big = tiff[0] == 'M' && tiff[1] == 'M';
  if (!little && !big) return {};
  const auto u16 = [&](std::size_t at) {
    return little ? load_le16(&tiff[at]) : load_be16(&tiff[at]);
  };
  const auto u32 = [&](std::size_t at) {
    return little ? load_le32(&tiff[at]) : load_be32(&tiff[at]);
  };
  if (u16(2) != 42) return {};

  const std::size_t directory = u32(4);
  if (directory > tiff.size() - 2) return {};
  const std::size_t entries = u16(directory);
  for (std::size_t i = 0; i < entries; ++i) {
    const std::size_t entry = directory + 2 + 12 * i;
    if (entry + 12 > tiff.size()) return {};
    if (u16(entry) != 0x0112) continue;
    // BYTE, SHORT, LONG, SBYTE, SSHORT, SLONG: a value of up to four bytes stands in the entry.
    std::uint32_t value = 0;
    switch (u16(entry + 2)) {
      case 1:
      case 6:
        value = tiff[entry + 8];
        break;
      case 3:
      case 8:
        value = u16(entry + 8);
        break;
      case 4:
      case 9:
        value = u32(entry + 8);
        break;
      default:
        break;
    }
    // Of two SHORTs, as some programs write it, the first counts, as in Pillow.
    const std::uint32_t count = u32(entry + 4);
    const bool shorts = u16(entry + 2) == 3;
    const bool valid = (count == 1 || (count == 2 && shorts)) && value >= 1 && value <= 8;
    return valid ? static_cast<int>(value) : 1;
  }
  return {};
}
inline int exif_orientation(ByteSpan tiff) {
  return stated_exif_orientation(tiff).value_or(1);
}

// The orientation that an XMP packet states, as the attribute tiff:Orientation="6" or the element
// <tiff:Orientation>6</tiff:Orientation>; nothing if there is none.
ANTHER_ONCE std::optional<int> stated_xmp_orientation(ByteSpan xmp) {
  // Cameras' packets are in UTF-8. Those in UTF-16 or UTF-32 have the same bytes with zeros
  // between.
  std::string text;
  text.reserve(xmp.size());
  for (const std::uint8_t byte : xmp)
    if (byte != 0) text.push_back(static_cast<char>(byte));
  constexpr std::string_view name = "tiff:Orientation", space = " \t\r\n";
  for (std::size_t at = text.find(name); at != text.npos; at = text.find(name, at + 1)) {
    std::size_t next = text.find_first_not_of(space, at + name.size());
    if (next == text.npos) return {};
    if (text[next] == '=') {
      next = text.find_first_not_of(space, next + 1);
      if (next == text.npos || (text[next] != '"' && text[next] != '\'')) continue;
    } else if (text[next] != '>') {
      continue;
    }
    next = text.find_first_not_of(space, next + 1);
    if (next == text.npos) return {};
    const bool alone = next + 1 >= text.size() || text[next + 1] < '0' || text[next + 1] > '9';
    if (text[next] >= '1' && text[next] <= '8' && alone) return text[next] - '0';
  }
  return {};
}

// Gathers what a file's blocks state. EXIF goes before XMP, which programs that turn a picture
// forget; of several blocks of a kind the first that states an orientation counts.
class Orientation {
 public:
  void add_exif(ByteSpan tiff) {
    if (!exif_) exif_ = stated_exif_orientation(tiff);
  }
  void add_xmp(ByteSpan xmp) {
    if (!xmp_) xmp_ = stated_xmp_orientation(xmp);
  }
  // 1 to 8.
  int value() const { return exif_ ? *exif_ : xmp_.value_or(1); }

 private:
  std::optional<int> exif_;
  std::optional<int> xmp_;
};

}  // namespace anther::inline v0_1::vision
