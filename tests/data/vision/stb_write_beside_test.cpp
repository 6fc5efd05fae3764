// A user's own stb_image_write, with its implementation, included before Anther.
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STBIW_ASSERT(condition) ((void)(condition))
#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#pragma GCC diagnostic ignored "-Wconversion"
#endif
#if __has_include(<stb/stb_image_write.h>)
#include <stb/stb_image_write.h>
#else
#include <stb_image_write.h>
#endif
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

#include "anther/data/vision/decode.hpp"
#include "anther/data/vision/png.hpp"

#if !defined(STB_IMAGE_WRITE_IMPLEMENTATION) || !defined(STBIW_ASSERT) || \
    !defined(INCLUDE_STB_IMAGE_WRITE_H)
#error "a macro of the user's is gone"
#endif
#if defined(STB_IMAGE_WRITE_STATIC) || defined(STBI_WRITE_NO_STDIO) || defined(stbiw__max)
#error "a macro of Anther's or stb's is left"
#endif

#include <doctest/doctest.h>

#include "test_pictures.hpp"

TEST_CASE("a user's stb_image_write stays whole, and Anther's is its own") {
  const anther::vision::Image image = test_pictures::pattern(8, 4);
  stbi_flip_vertically_on_write(1);  // the user's alone
  int size = 0;
  unsigned char* file = stbi_write_png_to_mem(image.pixels.data(), 24, 8, 4, 3, &size);
  REQUIRE(file != nullptr);
  const anther::vision::Bytes own(file, file + size);
  STBIW_FREE(file);
  CHECK(anther::vision::decode_image(own, "user.png").row(0)[0] == image.row(3)[0]);
  CHECK(anther::vision::decode_image(anther::vision::encode_png(image), "x.png") == image);
}
