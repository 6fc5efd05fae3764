// A user's own stb_image, static and without JPEG, included after Anther.
#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#define STBI_ONLY_TGA
#define STBI_ASSERT(condition) ((void)(condition))

#include "anther/data/vision/decode.hpp"

#if !defined(STB_IMAGE_STATIC) || !defined(STB_IMAGE_IMPLEMENTATION) || !defined(STBI_ONLY_TGA) || \
    !defined(STBI_ASSERT)
#error "a macro of the user's is gone"
#endif
#if defined(STBI_INCLUDE_STB_IMAGE_H) || defined(STBI_NO_STDIO) || defined(stbi__err) || \
    defined(FAST_BITS) || defined(STBI_MALLOC) || defined(stbi_load_from_memory)
#error "a macro of Anther's or stb's is left"
#endif

#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#endif
#if __has_include(<stb/stb_image.h>)
#include <stb/stb_image.h>
#else
#include <stb_image.h>
#endif
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

#include <doctest/doctest.h>

#include "image_samples.hpp"
#include "stb_beside.hpp"

TEST_CASE("a user's stb_image after Anther is as the user configures it") {
  int width = 0, height = 0, channels = 0;
  stbi_uc* pixels =
      stbi_load_from_memory(stb_beside::tga, sizeof stb_beside::tga, &width, &height, &channels, 3);
  REQUIRE(pixels != nullptr);
  CHECK(pixels[2] == 10);
  stbi_image_free(pixels);
  CHECK(stbi_load_from_memory(samples::jpeg_rgb.data(), static_cast<int>(samples::jpeg_rgb.size()),
                              &width, &height, &channels, 3) == nullptr);
  CHECK(anther::vision::decode_image(samples::jpeg_rgb, "x").width == 48);
}
