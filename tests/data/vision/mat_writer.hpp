// Writes MATLAB 5 files for tests: plain elements, and "compressed" ones that zlib only stores.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mat_writer {

using Bytes = std::vector<std::uint8_t>;

inline void put(Bytes& bytes, std::uint64_t number, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i)
    bytes.push_back(static_cast<std::uint8_t>(number >> (8 * i)));
}
inline void append(Bytes& bytes, const Bytes& more) {
  bytes.insert(bytes.end(), more.begin(), more.end());
}

// An element: up to four bytes within its tag, as MATLAB writes it.
inline Bytes element(std::uint32_t type, const Bytes& data) {
  Bytes bytes;
  if (data.size() <= 4 && !data.empty()) {
    put(bytes, data.size() << 16 | type, 4);
    append(bytes, data);
    bytes.resize(8);
    return bytes;
  }
  put(bytes, type, 4);
  put(bytes, data.size(), 4);
  append(bytes, data);
  bytes.resize((bytes.size() + 7) / 8 * 8);
  return bytes;
}

inline Bytes numbers(std::uint32_t type, const std::vector<double>& values) {
  constexpr std::size_t sizes[] = {0, 1, 1, 2, 2, 4, 4, 4, 0, 8, 0, 0, 8, 8};
  Bytes bytes;
  for (const double value : values) {
    std::uint64_t word = static_cast<std::uint64_t>(static_cast<std::int64_t>(value));
    if (type == 7) word = std::bit_cast<std::uint32_t>(static_cast<float>(value));
    if (type == 9) word = std::bit_cast<std::uint64_t>(value);
    put(bytes, word, sizes[type]);
  }
  return bytes;
}

// A matrix of one of MATLAB's classes (6: double), its numbers stored as `type`.
inline Bytes array(std::string_view name, const std::vector<double>& shape, std::uint32_t type,
                   const std::vector<double>& values, std::uint8_t array_class = 6,
                   bool complex = false) {
  Bytes matrix;
  append(matrix,
         element(6, {array_class, static_cast<std::uint8_t>(complex ? 8 : 0), 0, 0, 0, 0, 0, 0}));
  append(matrix, element(5, numbers(5, shape)));
  append(matrix, element(1, Bytes(name.begin(), name.end())));
  append(matrix, element(type, numbers(type, values)));
  return element(14, matrix);
}

// The element within a compressed one.
inline Bytes compressed(const Bytes& inner) {
  Bytes zlib = {0x78, 0x01, 0x01};
  put(zlib, inner.size(), 2);
  put(zlib, ~inner.size(), 2);
  append(zlib, inner);
  std::uint32_t a = 1, b = 0;
  for (const std::uint8_t byte : inner) {
    a = (a + byte) % 65521;
    b = (b + a) % 65521;
  }
  for (const std::uint32_t half : {b, a}) {
    zlib.push_back(static_cast<std::uint8_t>(half >> 8));
    zlib.push_back(static_cast<std::uint8_t>(half & 255));
  }
  Bytes bytes;
  put(bytes, 15, 4);
  put(bytes, zlib.size(), 4);
  append(bytes, zlib);
  return bytes;
}

inline Bytes file(const std::vector<Bytes>& elements) {
  std::string header = "MATLAB 5.0 MAT-file, written by a test of Anther";
  header.resize(124, ' ');
  Bytes bytes(header.begin(), header.end());
  put(bytes, 0x0100, 2);
  bytes.push_back('I');
  bytes.push_back('M');
  for (const Bytes& each : elements) append(bytes, each);
  return bytes;
}

}  // namespace mat_writer
