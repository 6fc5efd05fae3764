// CRC-32, the checksum of zlib, PNG and gzip (ISO 3309): it finds every single flipped bit, and
// every run of up to 32 of them.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "anther/core/once.hpp"

namespace anther::inline v0_1::io {

// tables[k][b]: the remainder of the byte b with k zero bytes after it.
constexpr std::array<std::array<std::uint32_t, 256>, 8> make_crc32_tables() {
  std::array<std::array<std::uint32_t, 256>, 8> tables{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t rest = i;
    for (int bit = 0; bit < 8; ++bit) rest = (rest >> 1) ^ (rest & 1 ? 0xEDB88320u : 0);
    tables[0][i] = rest;
  }
  for (std::size_t k = 1; k < 8; ++k)
    for (std::size_t i = 0; i < 256; ++i)
      tables[k][i] = (tables[k - 1][i] >> 8) ^ tables[0][tables[k - 1][i] & 255];
  return tables;
}
inline constexpr auto crc32_tables = make_crc32_tables();

// Of these bytes; before: what it is of the bytes ahead of them, to go on from.
ANTHER_ONCE std::uint32_t crc32(const void* from, std::size_t count, std::uint32_t before = 0) {
  const auto& tables = crc32_tables;
  const auto* bytes = static_cast<const std::uint8_t*>(from);
  std::uint32_t crc = ~before;
  if constexpr (std::endian::native == std::endian::little)
    for (; count >= 8; count -= 8, bytes += 8) {  // eight tables take eight bytes at once
      std::uint32_t low, high;
      std::memcpy(&low, bytes, 4);
      std::memcpy(&high, bytes + 4, 4);
      low ^= crc;
      crc = tables[7][low & 255] ^ tables[6][low >> 8 & 255] ^ tables[5][low >> 16 & 255] ^
            tables[4][low >> 24] ^ tables[3][high & 255] ^ tables[2][high >> 8 & 255] ^
            tables[1][high >> 16 & 255] ^ tables[0][high >> 24];
    }
  for (; count > 0; --count, ++bytes) crc = tables[0][(crc ^ *bytes) & 255] ^ (crc >> 8);
  return ~crc;
}
inline std::uint32_t crc32(std::span<const std::uint8_t> bytes) {
  return crc32(bytes.data(), bytes.size());
}

}  // namespace anther::inline v0_1::io
