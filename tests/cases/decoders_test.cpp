// Decoders that a program may have or lack: libjpeg-turbo and libwebp.
#include <doctest/doctest.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "anther/data/vision/decode.hpp"
#include "anther/data/vision/png.hpp"
#include "tests/cases/made_pictures.hpp"
#include "tests/cases/written_samples.hpp"
#include "tests/data/vision/image_samples.hpp"
#include "tests/data/vision/test_files.hpp"

namespace {

using namespace anther;
using namespace anther::vision;
using namespace made_pictures;

using test_files::contains;
using test_files::error_of;

constexpr int quadrants[4][3] = {{200, 30, 40}, {30, 180, 60}, {40, 60, 210}, {230, 220, 90}};

// Whether each quarter of the image has its colour, within a tolerance.
bool shows_quadrants(const Image& image, int tolerance) {
  if (image.width != 16 || image.height != 8) return false;
  for (int y = 0; y < image.height; ++y)
    for (int x = 0; x < image.width; ++x)
      for (int c = 0; c < 3; ++c) {
        const int wanted = quadrants[y / 4 * 2 + x / 8][c];
        if (std::abs(image.row(y)[3 * x + c] - wanted) > tolerance) return false;
      }
  return true;
}

// Without a decoder, to the end of a test.
struct Without {
  std::atomic<ImageDecoders::Decode>& decoder;
  const ImageDecoders::Decode before = decoder.exchange(nullptr);
  explicit Without(std::atomic<ImageDecoders::Decode>& which) : decoder(which) {}
  Without(const Without&) = delete;
  Without& operator=(const Without&) = delete;
  ~Without() { decoder = before; }
};

TEST_CASE("WebP is decoded where libwebp is, and named where it is not") {
  if (image_decoders().webp.load()) {
    CHECK(shows_quadrants(decoded(written_samples::lossless), 0));
    CHECK(shows_quadrants(decoded(written_samples::alpha), 0));
    CHECK(shows_quadrants(decoded(written_samples::animated), 0));
    // Colours of a lossy one run into each other at the edges.
    const Image lossy = decoded(written_samples::lossy);
    for (int c = 0; c < 3; ++c) CHECK(std::abs(lossy.row(0)[c] - quadrants[0][c]) < 25);
    for (const auto* turned : {&written_samples::exif, &written_samples::xmp})
      CHECK(decoded(*turned) == oriented(decoded(written_samples::lossless), 6));
    for (const auto* whole :
         {&written_samples::lossy, &written_samples::alpha, &written_samples::animated}) {
      for (std::size_t size = 12; size < whole->size(); ++size) {
        Bytes cut(whole->begin(), whole->begin() + static_cast<std::ptrdiff_t>(size));
        cut.shrink_to_fit();
        CHECK(contains(error_of([&] { decoded(cut); }), "truncated"));
      }
      for (std::size_t at = 0; at < whole->size(); ++at)
        for (const int value : {0, 0x7F, 0xFF}) {
          Bytes damaged = *whole;
          damaged[at] = static_cast<std::uint8_t>(value);
          error_of([&] { decoded(damaged); });
        }
    }
  }
  const Without without(image_decoders().webp);
  const std::string error = error_of([] { decoded(written_samples::lossless); });
  CHECK(contains(error, "picture: WebP is not supported"));
  CHECK(contains(error, "libwebp"));
}

TEST_CASE("JPEG's two decoders take the same files, and agree on the pixels") {
  // These come from stb whichever decoder there is.
  CHECK(decoder_name() ==
        (image_decoders().jpeg.load() ? "libjpeg-turbo" : "stb (libjpeg's arithmetic)"));
  const Bytes end = {0xFF, 0xD9};
  for (const Bytes* jpeg :
       {&samples::jpeg_rgb, &samples::jpeg_progressive, &samples::jpeg_restart, &samples::jpeg_grey,
        &samples::jpeg_cmyk, &written_samples::jpeg_restart,
        &written_samples::jpeg_progressive_restart})
    for (const Bytes& tail :
         {end, Bytes{}, repeated({0x5A, 0xFF, 0x00}, 9) + end, repeated({0xFF, 0xD1}, 5) + end}) {
      const Bytes file = without_end(*jpeg, 2) + tail;
      const Image one = decoded(file);
      const Without without(image_decoders().jpeg);
      CHECK(decoder_name() == "stb (libjpeg's arithmetic)");
      const Image other = decoded(file);
      CHECK(one == other);
      for (const std::size_t missing : {10u, 40u})
        CHECK(contains(error_of([&] { decoded(without_end(*jpeg, missing)); }), "truncated"));
    }
}

TEST_CASE("stb's pixels of usual pictures are what they were") {
  const Without without(image_decoders().jpeg);
  const std::pair<const Bytes*, std::uint64_t> pictures[] = {
      {&samples::jpeg_rgb, 0x12a1649ce0d30ac0u},
      {&samples::jpeg_progressive, 0x12a1649ce0d30ac0u},
      {&samples::jpeg_restart, 0x450c6a01e51e8fa5u},
      {&samples::jpeg_grey, 0xc3b9c4800be510a5u},
      {&samples::jpeg_cmyk, 0xfed23285c8933325u},
      {&samples::png_rgb, 0xcd0f78837e6587e5u},
      {&samples::png_rgba, 0xcd0f78837e6587e5u},
      {&samples::png_grey, 0xeffc2b5ab054b7e5u},
      {&samples::png_palette, 0xcd0f78837e6587e5u},
      {&samples::bmp_rgb, 0xcd0f78837e6587e5u}};
  for (const auto& [file, wanted] : pictures) CHECK(digest(decoded(*file)) == wanted);
}

}  // namespace
