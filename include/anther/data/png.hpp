// PNG files of images.
#pragma once

#include <cstdint>
#include <filesystem>

#include "anther/data/bytes.hpp"
#include "anther/data/image.hpp"
#include "anther/data/stb_write.hpp"
#include "anther/io/atomic_file.hpp"

namespace anther::inline v0_1 {

// The file's bytes.
inline Bytes encode_png(const Image& image) {
  return stb_encode_png(image.pixels.data(), image.width, image.height);
}

// Writes the file, whole or not at all. Throws with its path.
inline void write_png(const std::filesystem::path& path, const Image& image) {
  const Bytes bytes = encode_png(image);
  AtomicFile file(path);
  file.write(bytes.data(), static_cast<std::int64_t>(bytes.size()));
  file.commit();
}

}  // namespace anther::inline v0_1
