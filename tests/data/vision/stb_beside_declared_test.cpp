// A user's stb_image declared only, before Anther; its implementation is in another unit
// (stb_beside_before_test.cpp). The call must reach that one, not Anther's.
#if __has_include(<stb/stb_image.h>)
#include <stb/stb_image.h>
#else
#include <stb_image.h>
#endif

#include <doctest/doctest.h>

#include "anther/data/vision/decode.hpp"
#include "anther/data/vision/mat.hpp"
#include "image_samples.hpp"
#include "stb_beside.hpp"

TEST_CASE("a user's declared stb_image is the user's implementation") {
  int width = 0, height = 0, channels = 0;
  stbi_uc* pixels =
      stbi_load_from_memory(stb_beside::tga, sizeof stb_beside::tga, &width, &height, &channels, 3);
  REQUIRE(pixels != nullptr);
  CHECK(pixels[1] == 20);
  stbi_image_free(pixels);
  CHECK(anther::vision::decode_image(samples::bmp_rgb, "x").height == 4);
}
