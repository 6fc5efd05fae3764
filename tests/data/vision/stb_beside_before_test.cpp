// A user's own stb_image, with its implementation, included before Anther.
#define STB_IMAGE_IMPLEMENTATION
#if __has_include(<stb/stb_image.h>)
#include <stb/stb_image.h>
#else
#include <stb_image.h>
#endif

#include <doctest/doctest.h>

#include "anther/data/vision/decode.hpp"
#include "image_samples.hpp"
#include "stb_beside.hpp"

#ifndef STB_IMAGE_IMPLEMENTATION
#error "the user's macro is gone"
#endif
#ifdef STBI_ONLY_JPEG
#error "a macro of Anther's is left"
#endif

TEST_CASE("a user's stb_image before Anther stays whole, and Anther's is its own") {
  int width = 0, height = 0, channels = 0;
  stbi_uc* pixels =
      stbi_load_from_memory(stb_beside::tga, sizeof stb_beside::tga, &width, &height, &channels, 3);
  REQUIRE(pixels != nullptr);
  CHECK(pixels[0] == 30);
  stbi_image_free(pixels);
  CHECK_THROWS_AS(anther::vision::decode_image(anther::vision::ByteSpan(stb_beside::tga), "x"),
                  anther::Error);
  CHECK(anther::vision::decode_image(samples::png_rgb, "x").width == 8);
}
