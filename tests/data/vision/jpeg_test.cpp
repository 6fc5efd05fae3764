// Encoding JPEG files; decoding is tested in image_test.cpp, PNG in contact_sheet_test.cpp.
#include <doctest/doctest.h>

#include <cstdint>
#include <cstdlib>

#include "anther/data/vision/decode.hpp"
#include "anther/data/vision/png.hpp"
#include "tests/io/temporary_folder.hpp"

namespace {

using namespace anther;
using namespace anther::vision;

TEST_CASE("jpeg: a file is near its image, and nearer with a higher quality") {
  Image image(40, 24);
  for (int y = 0; y < image.height; ++y)
    for (int x = 0; x < image.width; ++x) {
      std::uint8_t* pixel = image.row(y) + 3 * x;
      pixel[0] = static_cast<std::uint8_t>(6 * x);
      pixel[1] = static_cast<std::uint8_t>(10 * y);
      pixel[2] = static_cast<std::uint8_t>(255 - 3 * x);
    }
  const auto error = [&](int quality) {
    const Image decoded = decode_image(encode_jpeg(image, quality), "x");
    REQUIRE(decoded.width == image.width);
    REQUIRE(decoded.height == image.height);
    int sum = 0;
    for (std::size_t i = 0; i < image.pixels.size(); ++i)
      sum += std::abs(decoded.pixels[i] - image.pixels[i]);
    return static_cast<double>(sum) / static_cast<double>(image.pixels.size());
  };
  CHECK(error(95) < 2);
  CHECK(error(95) < error(10));
}

TEST_CASE("jpeg: what cannot be encoded is an error") {
  CHECK(contains(error_of([] { encode_jpeg(Image()); }), "got 0 x 0"));
  CHECK(contains(error_of([] { encode_jpeg(Image(4, 4), 101); }), "got 101"));
  CHECK(contains(error_of([] { encode_jpeg(Image(70000, 1)); }), "got 70000 x 1"));
}

}  // namespace
