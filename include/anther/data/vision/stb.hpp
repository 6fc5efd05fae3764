// stb_image, included here and nowhere else: decoding to RGB, and inflating zlib data.
//
// It must stand beside a user's own stb_image, included before or after this header, with or
// without its implementation. So: everything is static and in a namespace; macros that the user may
// have defined are put back as they were; and the functions are renamed, because stb declares them
// extern "C", and GCC then gives a static function the plain assembler name, which would capture
// the user's calls or clash with the user's implementation.
#pragma once

// What stb_image.h includes, ahead of it, because it is included within a namespace.
#include <assert.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <utility>

#include "anther/core/check.hpp"
#include "anther/core/once.hpp"
#include "anther/data/vision/bytes.hpp"
#include "anther/data/vision/image.hpp"

namespace anther::inline v0_1::vision {

// stb's allocator: a limit, so that a few hostile bytes cannot ask for everything; and zeros,
// because stb 2.27 reads tables that a hostile file never filled.
inline thread_local std::size_t stb_max_bytes = std::size_t{1} << 30;
inline void* stb_allocate(std::size_t bytes) {
  return bytes <= stb_max_bytes ? std::calloc(bytes, 1) : nullptr;
}
inline void* stb_reallocate(void* memory, std::size_t bytes) {
  return bytes <= stb_max_bytes ? std::realloc(memory, bytes) : nullptr;
}

}  // namespace anther::inline v0_1::vision

// clang-format off
#pragma push_macro("STB_IMAGE_IMPLEMENTATION")
#pragma push_macro("STB_IMAGE_STATIC")
#pragma push_macro("STBI_INCLUDE_STB_IMAGE_H")
#pragma push_macro("STBI_VERSION")
#pragma push_macro("STBIDEF")
#pragma push_macro("STBI_ASSERT")
#pragma push_macro("STBI_MALLOC")
#pragma push_macro("STBI_REALLOC")
#pragma push_macro("STBI_REALLOC_SIZED")
#pragma push_macro("STBI_FREE")
#pragma push_macro("STBI_MAX_DIMENSIONS")
#pragma push_macro("STBI_FAILURE_USERMSG")
#pragma push_macro("STBI_NO_FAILURE_STRINGS")
#pragma push_macro("STBI_NO_THREAD_LOCALS")
#pragma push_macro("STBI_NO_SIMD")
#pragma push_macro("STBI_NEON")
#pragma push_macro("STBI_MINGW_ENABLE_SSE2")
#pragma push_macro("STBI_WINDOWS_UTF8")
#pragma push_macro("STBI_NO_STDIO")
#pragma push_macro("STBI_NO_LINEAR")
#pragma push_macro("STBI_SUPPORT_ZLIB")
#pragma push_macro("STBI_NO_ZLIB")
#pragma push_macro("STBI_NO_BMP")
#pragma push_macro("STBI_NO_GIF")
#pragma push_macro("STBI_NO_HDR")
#pragma push_macro("STBI_NO_JPEG")
#pragma push_macro("STBI_NO_PIC")
#pragma push_macro("STBI_NO_PNG")
#pragma push_macro("STBI_NO_PNM")
#pragma push_macro("STBI_NO_PSD")
#pragma push_macro("STBI_NO_TGA")
#pragma push_macro("STBI_ONLY_BMP")
#pragma push_macro("STBI_ONLY_GIF")
#pragma push_macro("STBI_ONLY_HDR")
#pragma push_macro("STBI_ONLY_JPEG")
#pragma push_macro("STBI_ONLY_PIC")
#pragma push_macro("STBI_ONLY_PNG")
#pragma push_macro("STBI_ONLY_PNM")
#pragma push_macro("STBI_ONLY_PSD")
#pragma push_macro("STBI_ONLY_TGA")
#pragma push_macro("STBI_ONLY_ZLIB")
#include "anther/data/vision/stb_undef.inl"

#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_NO_HDR
// No assert: this code must not depend on NDEBUG, which may differ between translation units.
#define STBI_ASSERT(x) static_cast<void>(sizeof(x))
#define STBI_MALLOC(bytes) anther::vision::stb_allocate(bytes)
#define STBI_REALLOC(memory, bytes) anther::vision::stb_reallocate(memory, bytes)
#define STBI_FREE(memory) std::free(memory)
#define stbi_convert_iphone_png_to_rgb anther_stbi_convert_iphone_png_to_rgb
#define stbi_convert_iphone_png_to_rgb_thread anther_stbi_convert_iphone_png_to_rgb_thread
#define stbi_failure_reason anther_stbi_failure_reason
#define stbi_image_free anther_stbi_image_free
#define stbi_info_from_callbacks anther_stbi_info_from_callbacks
#define stbi_info_from_memory anther_stbi_info_from_memory
#define stbi_is_16_bit_from_callbacks anther_stbi_is_16_bit_from_callbacks
#define stbi_is_16_bit_from_memory anther_stbi_is_16_bit_from_memory
#define stbi_is_hdr_from_callbacks anther_stbi_is_hdr_from_callbacks
#define stbi_is_hdr_from_memory anther_stbi_is_hdr_from_memory
#define stbi_load_16_from_callbacks anther_stbi_load_16_from_callbacks
#define stbi_load_16_from_memory anther_stbi_load_16_from_memory
#define stbi_load_from_callbacks anther_stbi_load_from_callbacks
#define stbi_load_from_memory anther_stbi_load_from_memory
#define stbi_set_flip_vertically_on_load anther_stbi_set_flip_vertically_on_load
#define stbi_set_flip_vertically_on_load_thread anther_stbi_set_flip_vertically_on_load_thread
#define stbi_set_unpremultiply_on_load anther_stbi_set_unpremultiply_on_load
#define stbi_set_unpremultiply_on_load_thread anther_stbi_set_unpremultiply_on_load_thread
#define stbi_zlib_decode_buffer anther_stbi_zlib_decode_buffer
#define stbi_zlib_decode_malloc anther_stbi_zlib_decode_malloc
#define stbi_zlib_decode_malloc_guesssize anther_stbi_zlib_decode_malloc_guesssize
#define stbi_zlib_decode_malloc_guesssize_headerflag anther_stbi_zlib_decode_malloc_guesssize_headerflag
#define stbi_zlib_decode_noheader_buffer anther_stbi_zlib_decode_noheader_buffer
#define stbi_zlib_decode_noheader_malloc anther_stbi_zlib_decode_noheader_malloc

#if defined(__GNUC__)
#pragma GCC diagnostic push
#include "anther/data/vision/stb_warnings.inl"
#endif
namespace anther::inline v0_1::stb {
// What stb calls; anther's ops of these names would hide them.
using ::abs, ::pow;
#if __has_include(<stb/stb_image.h>)
#include <stb/stb_image.h>
#else
#include <stb_image.h>
#endif
}  // namespace anther::inline v0_1::stb
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

#include "anther/data/vision/stb_undef.inl"
#pragma pop_macro("STB_IMAGE_IMPLEMENTATION")
#pragma pop_macro("STB_IMAGE_STATIC")
#pragma pop_macro("STBI_INCLUDE_STB_IMAGE_H")
#pragma pop_macro("STBI_VERSION")
#pragma pop_macro("STBIDEF")
#pragma pop_macro("STBI_ASSERT")
#pragma pop_macro("STBI_MALLOC")
#pragma pop_macro("STBI_REALLOC")
#pragma pop_macro("STBI_REALLOC_SIZED")
#pragma pop_macro("STBI_FREE")
#pragma pop_macro("STBI_MAX_DIMENSIONS")
#pragma pop_macro("STBI_FAILURE_USERMSG")
#pragma pop_macro("STBI_NO_FAILURE_STRINGS")
#pragma pop_macro("STBI_NO_THREAD_LOCALS")
#pragma pop_macro("STBI_NO_SIMD")
#pragma pop_macro("STBI_NEON")
#pragma pop_macro("STBI_MINGW_ENABLE_SSE2")
#pragma pop_macro("STBI_WINDOWS_UTF8")
#pragma pop_macro("STBI_NO_STDIO")
#pragma pop_macro("STBI_NO_LINEAR")
#pragma pop_macro("STBI_SUPPORT_ZLIB")
#pragma pop_macro("STBI_NO_ZLIB")
#pragma pop_macro("STBI_NO_BMP")
#pragma pop_macro("STBI_NO_GIF")
#pragma pop_macro("STBI_NO_HDR")
#pragma pop_macro("STBI_NO_JPEG")
#pragma pop_macro("STBI_NO_PIC")
#pragma pop_macro("STBI_NO_PNG")
#pragma pop_macro("STBI_NO_PNM")
#pragma pop_macro("STBI_NO_PSD")
#pragma pop_macro("STBI_NO_TGA")
#pragma pop_macro("STBI_ONLY_BMP")
#pragma pop_macro("STBI_ONLY_GIF")
#pragma pop_macro("STBI_ONLY_HDR")
#pragma pop_macro("STBI_ONLY_JPEG")
#pragma pop_macro("STBI_ONLY_PIC")
#pragma pop_macro("STBI_ONLY_PNG")
#pragma pop_macro("STBI_ONLY_PNM")
#pragma pop_macro("STBI_ONLY_PSD")
#pragma pop_macro("STBI_ONLY_TGA")
#pragma pop_macro("STBI_ONLY_ZLIB")
// clang-format on

namespace anther::inline v0_1::vision {

struct StbFree {
  void operator()(void* memory) const { std::free(memory); }
};

// What stb has decoded, (height, width, channels): 1 is grey, 2 grey and alpha, 3 and 4 are colours
// without and with alpha.
class StbImage {
 public:
  StbImage(stb::stbi_uc* pixels, int width, int height, int channels)
      : pixels_(pixels), width_(width), height_(height), channels_(channels) {}

  // Grey is repeated, alpha dropped.
  Image rgb() const {
    Image image(width_, height_);
    if (channels_ == 3)
      std::copy_n(pixels_.get(), image.pixels.size(), image.pixels.data());
    else
      for_each(
          [channels = channels_](const stb::stbi_uc* from, std::uint8_t* to) {
            for (int c = 0; c < 3; ++c) to[c] = from[channels < 3 ? 0 : c];
          },
          image);
    return image;
  }

  // Of a PNG as Apple's tools write it: blue comes first, and alpha has been multiplied in.
  Image rgb_from_apple() const {
    if (channels_ < 3) return rgb();
    Image image(width_, height_);
    for_each(
        [channels = channels_](const stb::stbi_uc* from, std::uint8_t* to) {
          const int alpha = channels == 4 ? from[3] : 255;
          for (int c = 0; c < 3; ++c)
            to[c] = static_cast<std::uint8_t>(
                alpha == 0 ? 0 : std::min(255, (from[2 - c] * 255 + alpha / 2) / alpha));
        },
        image);
    return image;
  }

 private:
  template <class Body>
  void for_each(const Body& body, Image& image) const {
    const stb::stbi_uc* from = pixels_.get();
    for (std::uint8_t *to = image.pixels.data(), *end = to + image.pixels.size(); to != end;
         to += 3, from += channels_)
      body(from, to);
  }

  std::unique_ptr<stb::stbi_uc, StbFree> pixels_;
  int width_ = 0, height_ = 0, channels_ = 0;
};

// Decodes a PNG file; of 16 bits the upper 8 are taken. Throws with the name and stb's
// reason. Thread-safe.
ANTHER_ONCE StbImage stb_decode(ByteSpan file, std::string_view name) {
  int width = 0, height = 0, channels = 0;
  stb::stbi_uc* pixels = stb::anther_stbi_load_from_memory(
      file.data(), static_cast<int>(file.size()), &width, &height, &channels, 0);
  if (!pixels) {
    const char* reason = stb::anther_stbi_failure_reason();
    detail::fail(name, ": cannot be decoded (", reason ? reason : "corrupt", ")");
  }
  return StbImage(pixels, width, height, channels);
}

// What zlib data inflates to. Throws with `what` where it is corrupt, ends early, fails its
// checksum, or asks for more than 128 MiB.
ANTHER_ONCE Bytes stb_inflate(ByteSpan data, std::string_view what) {
  struct Limit {
    const std::size_t before = std::exchange(stb_max_bytes, std::size_t{1} << 27);
    ~Limit() { stb_max_bytes = before; }
  } const limit;
  int size = 0;
  const int guess = static_cast<int>(std::min<std::size_t>(data.size() * 4 + 64, 1 << 26));
  const std::unique_ptr<char, StbFree> inflated(stb::anther_stbi_zlib_decode_malloc_guesssize(
      reinterpret_cast<const char*>(data.data()), static_cast<int>(data.size()), guess, &size));
  detail::check(inflated != nullptr && data.size() >= 6, what, ": its compressed data is corrupt");
  const auto* first = reinterpret_cast<const std::uint8_t*>(inflated.get());
  Bytes bytes(first, first + size);

  // stb does not look at the Adler-32 checksum, the last four bytes.
  std::uint32_t a = 1, b = 0;
  for (const std::uint8_t byte : bytes) {
    a = (a + byte) % 65521;
    b = (b + a) % 65521;
  }
  detail::check((b << 16 | a) == load_be32(data.data() + data.size() - 4), what,
                ": its compressed data is corrupt (wrong checksum)");
  return bytes;
}

}  // namespace anther::inline v0_1::vision
