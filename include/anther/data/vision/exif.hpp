// The orientation of a photograph, from its EXIF block: how the stored pixels are to be turned.
//
// EXIF 2.3, section 4.6.4: tag 0x0112 of the first directory of a TIFF structure, 1 to 8.
#pragma once

#include <cstddef>
#include <cstdint>

#include "anther/data/vision/bytes.hpp"

namespace anther::inline v0_1::vision {

// The orientation that a TIFF structure states: 1 (as stored) to 8. 1 if there is none or the
// structure makes no sense: a damaged EXIF block is no reason to refuse a photograph.
inline int exif_orientation(ByteSpan tiff) {
  constexpr int as_stored = 1;
  if (tiff.size() < 8) return as_stored;
  const bool little = tiff[0] == 'I' && tiff[1] == 'I';
  const bool big = tiff[0] == 'M' && tiff[1] == 'M';
  if (!little && !big) return as_stored;
  const auto u16 = [&](std::size_t at) {
    return little ? load_le16(&tiff[at]) : load_be16(&tiff[at]);
  };
  const auto u32 = [&](std::size_t at) {
    return little ? load_le32(&tiff[at]) : load_be32(&tiff[at]);
  };
  if (u16(2) != 42) return as_stored;

  const std::size_t directory = u32(4);
  if (directory > tiff.size() - 2) return as_stored;
  const std::size_t entries = u16(directory);
  for (std::size_t i = 0; i < entries; ++i) {
    const std::size_t entry = directory + 2 + 12 * i;
    if (entry + 12 > tiff.size()) return as_stored;
    if (u16(entry) != 0x0112) continue;
    constexpr std::uint32_t type_short = 3;
    const std::uint32_t value = u16(entry + 8);
    const bool valid =
        u16(entry + 2) == type_short && u32(entry + 4) == 1 && value >= 1 && value <= 8;
    return valid ? static_cast<int>(value) : as_stored;
  }
  return as_stored;
}

}  // namespace anther::inline v0_1::vision
