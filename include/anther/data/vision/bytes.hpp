// Bytes of files: reading a whole file, and numbers in either byte order.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "anther/core/check.hpp"
#include "anther/core/once.hpp"

namespace anther::inline v0_1::vision {

using Bytes = std::vector<std::uint8_t>;
using ByteSpan = std::span<const std::uint8_t>;

// Numbers at p, least or most significant byte first.
inline std::uint32_t load_le16(const std::uint8_t* p) {
  return static_cast<std::uint32_t>(p[0]) | static_cast<std::uint32_t>(p[1]) << 8;
}
inline std::uint32_t load_le32(const std::uint8_t* p) {
  return load_le16(p) | load_le16(p + 2) << 16;
}
inline std::uint64_t load_le64(const std::uint8_t* p) {
  return load_le32(p) | static_cast<std::uint64_t>(load_le32(p + 4)) << 32;
}
inline std::uint32_t load_be16(const std::uint8_t* p) {
  return static_cast<std::uint32_t>(p[0]) << 8 | static_cast<std::uint32_t>(p[1]);
}
inline std::uint32_t load_be32(const std::uint8_t* p) {
  return load_be16(p) << 16 | load_be16(p + 2);
}

// Whether the bytes from `at` on are those of the text.
inline bool bytes_at(ByteSpan bytes, std::size_t at, std::string_view text) {
  return at <= bytes.size() && text.size() <= bytes.size() - at &&
         std::equal(text.begin(), text.end(), bytes.begin() + static_cast<std::ptrdiff_t>(at),
                    [](char a, std::uint8_t b) { return static_cast<std::uint8_t>(a) == b; });
}

// The limit of stb_image and of 32-bit sizes; no image or label file is that large.
inline constexpr std::uint64_t max_file_bytes = (std::uint64_t{1} << 31) - 1;

// All bytes of a file. Throws, with the path, if it cannot be read or has 2 GiB or more.
ANTHER_ONCE Bytes read_file(const std::filesystem::path& path) {
  const std::string name = path.string();
  std::error_code error;
  detail::check(!std::filesystem::is_directory(path, error), name,
                ": expected a file, found a folder");
  const std::uint64_t size = std::filesystem::file_size(path, error);
  detail::check(!error, name, ": cannot be read: ", error.message());
  detail::check(size <= max_file_bytes, name, ": the file is too large (", size, " bytes)");

  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  errno = 0;
  const std::unique_ptr<std::FILE, Close> file(std::fopen(name.c_str(), "rb"));
  detail::check(file != nullptr, name,
                ": cannot be opened: ", std::generic_category().message(errno));
  Bytes bytes(static_cast<std::size_t>(size));
  const std::size_t got = bytes.empty() ? 0 : std::fread(bytes.data(), 1, bytes.size(), file.get());
  detail::check(got == bytes.size(), name, ": expected ", bytes.size(), " bytes, could read ", got);
  return bytes;
}

}  // namespace anther::inline v0_1::vision
