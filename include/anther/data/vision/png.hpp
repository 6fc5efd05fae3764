// Images as files: PNG, which keeps every bit, and JPEG, which is many times smaller.
#pragma once

#include <cstdint>
#include <filesystem>

#include "anther/core/once.hpp"
#include "anther/data/vision/bytes.hpp"
#include "anther/data/vision/image.hpp"
#include "anther/data/vision/stb_write.hpp"
#include "anther/io/atomic_file.hpp"

namespace anther::inline v0_1::vision {

// The bytes of a file. quality: 1 to 100.
inline Bytes encode_png(const Image& image) {
  return stb_encode_png(image.pixels.data(), image.width, image.height);
}

inline Bytes encode_jpeg(const Image& image, int quality = 85) {
  return stb_encode_jpeg(image.pixels.data(), image.width, image.height, quality);
}

// Writes a PNG file, whole or not at all. Throws with its path.
ANTHER_ONCE void write_png(const std::filesystem::path& path, const Image& image) {
  const Bytes bytes = encode_png(image);
  io::AtomicFile file(path);
  file.write(bytes.data(), static_cast<std::int64_t>(bytes.size()));
  file.commit();
}

}  // namespace anther::inline v0_1::vision
