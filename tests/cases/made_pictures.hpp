// Bytes of pictures that tests make themselves.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include "anther/data/vision/bytes.hpp"
#include "anther/data/vision/decode.hpp"

namespace made_pictures {

using anther::vision::Bytes;
using anther::vision::Image;

inline Bytes text_bytes(std::string_view text) {
  return Bytes(text.begin(), text.end());
}
inline Bytes operator+(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}
inline Bytes repeated(const Bytes& bytes, int times) {
  Bytes result;
  for (int i = 0; i < times; ++i) result = std::move(result) + bytes;
  return result;
}
inline Bytes without_end(const Bytes& file, std::size_t bytes) {
  return Bytes(file.begin(), file.end() - static_cast<std::ptrdiff_t>(bytes));
}
inline void add_le(Bytes& bytes, std::uint32_t value, int size) {
  for (int i = 0; i < size; ++i) bytes.push_back(static_cast<std::uint8_t>(value >> 8 * i));
}
inline void add_be(Bytes& bytes, std::uint32_t value, int size) {
  for (int i = size - 1; i >= 0; --i) bytes.push_back(static_cast<std::uint8_t>(value >> 8 * i));
}
// FNV-1a of the pixels.
inline std::uint64_t digest(const Image& image) {
  std::uint64_t hash = 14695981039346656037u;
  for (const std::uint8_t level : image.pixels) hash = (hash ^ level) * 1099511628211u;
  return hash;
}
inline Image decoded(const Bytes& file) {
  return anther::vision::decode_image(file, "picture");
}

// zlib data without compression.
inline Bytes stored(const Bytes& data) {
  Bytes zlib = {0x78, 0x01};
  for (std::size_t at = 0; at < data.size() || at == 0;) {
    const std::size_t size = std::min<std::size_t>(data.size() - at, 0xFFFF);
    zlib.push_back(at + size == data.size() ? 1 : 0);
    add_le(zlib, static_cast<std::uint32_t>(size), 2);
    add_le(zlib, static_cast<std::uint32_t>(~size), 2);
    zlib.insert(zlib.end(), data.begin() + static_cast<std::ptrdiff_t>(at),
                data.begin() + static_cast<std::ptrdiff_t>(at + size));
    at += size;
    if (data.empty()) break;
  }
  std::uint32_t a = 1, b = 0;
  for (const std::uint8_t byte : data) a = (a + byte) % 65521, b = (b + a) % 65521;
  add_be(zlib, b << 16 | a, 4);
  return zlib;
}
// A chunk of a PNG.
inline Bytes chunk(std::string_view type, const Bytes& data) {
  Bytes bytes;
  add_be(bytes, static_cast<std::uint32_t>(data.size()), 4);
  const Bytes body = text_bytes(type) + data;
  bytes = bytes + body;
  add_be(bytes, anther::io::crc32(body), 4);
  return bytes;
}

}  // namespace made_pictures
