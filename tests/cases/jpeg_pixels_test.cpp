// JPEG's pixels are Pillow's, whichever decoder there is.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <string>

#include "anther/data/vision/decode.hpp"
#include "tests/cases/jpeg_samples.hpp"
#include "tests/cases/made_pictures.hpp"

namespace {

using namespace anther;
using namespace anther::vision;
using made_pictures::digest;

TEST_CASE("JPEG: by stb and by libjpeg, Pillow's pixels, bit for bit") {
  auto& decoder = image_decoders().jpeg;
  const auto before = decoder.load();
  for (const auto decode : {ImageDecoders::Decode{nullptr}, before}) {
    decoder = decode;
    CAPTURE(std::string(decoder_name()));
    for (const auto& sample : jpeg_samples::all) {
      CAPTURE(sample.name);
      CHECK(digest(decode_image(sample.file, sample.name)) == sample.pixels);
    }
  }
  decoder = before;
}

#if defined(__x86_64__) && !defined(ANTHER_TEST_BASELINE_VECTOR_BYTES)
TEST_CASE("JPEG: every instruction set has the same block") {
  const auto functions = {&avx2::jpeg_inverse_dct<std::uint8_t>,
                          &avx512::jpeg_inverse_dct<std::uint8_t>};
  std::uint32_t random = 1;
  for (int round = 0; round < 2000; ++round) {
    // From hardly any coefficients to all, and beyond what an encoder writes.
    short block[64] = {};
    for (short& value : block) {
      random = random * 1664525 + 1013904223;
      const int scale = 1 << (round % 16);
      if (static_cast<int>(random >> 26) < round % 64)
        value = static_cast<short>(static_cast<int>(random >> 8) % scale - scale / 2);
    }
    std::uint8_t wanted[64] = {};
    baseline::jpeg_inverse_dct<std::uint8_t>(wanted, 8, block);
    for (int i = 0; i < 2; ++i) {
      if ((i == 0 ? Isa::avx2 : Isa::avx512) > best_isa()) continue;
      std::uint8_t got[64] = {};
      functions.begin()[i](got, 8, block);
      REQUIRE(std::equal(got, got + 64, wanted));
    }
  }
}
#endif

}  // namespace
