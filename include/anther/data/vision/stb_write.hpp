// stb_image_write, included here and nowhere else: PNG and JPEG files.
//
// It stands beside a user's own stb_image_write as stb.hpp does beside stb_image: all of it is
// static and in a namespace, and macros that the user may have defined are put back as they were.
#pragma once

// What stb_image_write.h includes, ahead of it, because it is included within a namespace.
#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>

#include "anther/core/check.hpp"
#include "anther/core/once.hpp"
#include "anther/data/vision/bytes.hpp"

// clang-format off
#pragma push_macro("STB_IMAGE_WRITE_IMPLEMENTATION")
#pragma push_macro("STB_IMAGE_WRITE_STATIC")
#pragma push_macro("INCLUDE_STB_IMAGE_WRITE_H")
#pragma push_macro("STBIWDEF")
#pragma push_macro("STBI_WRITE_NO_STDIO")
#pragma push_macro("STBIW_ASSERT")
#pragma push_macro("STBIW_MALLOC")
#pragma push_macro("STBIW_REALLOC")
#pragma push_macro("STBIW_REALLOC_SIZED")
#pragma push_macro("STBIW_FREE")
#pragma push_macro("STBIW_MEMMOVE")
#pragma push_macro("STBIW_WINDOWS_UTF8")
#pragma push_macro("STBIW_ZLIB_COMPRESS")
#pragma push_macro("STBIW_CRC32")
#pragma push_macro("STBIW_UCHAR")
#pragma push_macro("STBIW_EXTERN")
#include "anther/data/vision/stb_write_undef.inl"

#define STB_IMAGE_WRITE_STATIC
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STBI_WRITE_NO_STDIO
// No assert: this code must not depend on NDEBUG, which may differ between translation units.
#define STBIW_ASSERT(x) static_cast<void>(sizeof(x))

#if defined(__GNUC__)
#pragma GCC diagnostic push
#include "anther/data/vision/stb_warnings.inl"
#endif
namespace anther::inline v0_1::stb_write {
using ::abs;  // which anther's op of this name would hide
#if __has_include(<stb/stb_image_write.h>)
#include <stb/stb_image_write.h>
#else
#include <stb_image_write.h>
#endif
}  // namespace anther::inline v0_1::stb_write
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

#include "anther/data/vision/stb_write_undef.inl"
#pragma pop_macro("STB_IMAGE_WRITE_IMPLEMENTATION")
#pragma pop_macro("STB_IMAGE_WRITE_STATIC")
#pragma pop_macro("INCLUDE_STB_IMAGE_WRITE_H")
#pragma pop_macro("STBIWDEF")
#pragma pop_macro("STBI_WRITE_NO_STDIO")
#pragma pop_macro("STBIW_ASSERT")
#pragma pop_macro("STBIW_MALLOC")
#pragma pop_macro("STBIW_REALLOC")
#pragma pop_macro("STBIW_REALLOC_SIZED")
#pragma pop_macro("STBIW_FREE")
#pragma pop_macro("STBIW_MEMMOVE")
#pragma pop_macro("STBIW_WINDOWS_UTF8")
#pragma pop_macro("STBIW_ZLIB_COMPRESS")
#pragma pop_macro("STBIW_CRC32")
#pragma pop_macro("STBIW_UCHAR")
#pragma pop_macro("STBIW_EXTERN")
// clang-format on

namespace anther::inline v0_1::vision {

// A PNG file of (height, width, 3) levels.
ANTHER_ONCE Bytes stb_encode_png(const std::uint8_t* pixels, int width, int height) {
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  constexpr std::int64_t most = std::int64_t{1} << 29;  // pixels that stb's ints can count
  detail::check(width > 0 && height > 0 && std::int64_t{width} * height <= most,
                "png: expected an image of 1 to ", most, " pixels, got ", width, " x ", height);
  int size = 0;
  const std::unique_ptr<unsigned char, Free> file(
      stb_write::stbi_write_png_to_mem(pixels, 3 * width, width, height, 3, &size));
  detail::check(file != nullptr, "png: no memory for an image of ", width, " x ", height);
  return Bytes(file.get(), file.get() + size);
}

// A JPEG file of the same. quality: 1 to 100.
ANTHER_ONCE Bytes stb_encode_jpeg(const std::uint8_t* pixels, int width, int height, int quality) {
  constexpr int most = 65535;  // what the format's header can say
  detail::check(width > 0 && height > 0 && width <= most && height <= most,
                "jpeg: expected an image of 1 to ", most, " pixels a side, got ", width, " x ",
                height);
  detail::check(quality >= 1 && quality <= 100, "jpeg: expected a quality of 1 to 100, got ",
                quality);
  Bytes file;
  const auto append = [](void* bytes, void* data, int size) {
    const auto* first = static_cast<const std::uint8_t*>(data);
    static_cast<Bytes*>(bytes)->insert(static_cast<Bytes*>(bytes)->end(), first, first + size);
  };
  detail::check(
      stb_write::stbi_write_jpg_to_func(append, &file, width, height, 3, pixels, quality) != 0,
      "jpeg: no memory for an image of ", width, " x ", height);
  return file;
}

}  // namespace anther::inline v0_1::vision
