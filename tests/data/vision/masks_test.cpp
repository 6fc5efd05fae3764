// The masks of painted flowers.
#include "anther/painted/masks.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace {

using namespace anther;
using namespace anther::painted;

TEST_CASE("painted flowers: nothing is seen behind what is flower") {
  for (const Kind& kind : kinds) {
    Canvas dark(48), light(48);
    for (int y = 0; y < 48; ++y)
      for (int x = 0; x < 48; ++x) light.at(x, y).colour = {1, 1, 1};
    Draws first{RandomKey(1)}, second{RandomKey(1)};
    paint_flower(dark, kind, 20, 26, 18, first);
    paint_flower(light, kind, 20, 26, 18, second);
    int all = 0, none = 0;
    for (int y = 0; y < 48; ++y)
      for (int x = 0; x < 48; ++x) {
        const Pixel &a = dark.at(x, y), &b = light.at(x, y);
        CHECK(a.flower == b.flower);
        // The painter stops where less than 1 % can still be seen.
        CHECK(std::abs(a.colour.r - b.colour.r) < 1 - a.flower + 0.011f);
        all += a.flower >= 0.5f;
        if (a.flower == 0) {
          CHECK(a.colour == Colour{0, 0, 0});  // at most a shadow
          ++none;
        }
      }
    CHECK(all > 100);
    CHECK(none > 900);
  }
}

TEST_CASE("painted flowers: a leaf in front is no flower") {
  Canvas canvas(32);
  for (int x = 0; x < 32; ++x) canvas.at(x, 16).flower = 1;
  paint_leaf(canvas, 0, 16, 32, 8, 0, {0, 1, 0}, 1);
  CHECK(canvas.at(16, 16).flower == 0);
  CHECK(canvas.at(16, 16).colour.g > 0.9f);
}

TEST_CASE("painted flowers: a data set of masks has the pictures and their masks") {
  const PaintedOptions options{.size = 20, .image_size = 48, .seed = 3};
  const PaintedFlowers flowers(options);
  const FlowerMasks masks(options);
  CHECK(masks.size() == 20);
  CHECK(masks.target() == data::classes({48, 48}));
  double share = 0;
  for (std::int64_t i = 0; i < 20; ++i) {
    std::vector<float> input(48 * 48 * 3);
    std::vector<std::int32_t> classes(48 * 48);
    masks.load(i, {}, {.input = input, .classes = classes, .numbers = {}});
    const vision::Image image = flowers.image(i);
    for (std::size_t k = 0; k < input.size(); ++k)
      REQUIRE(input[k] == static_cast<float>(image.pixels[k]) / 255);
    const auto mask = flowers.painted(i).mask;
    CHECK(std::equal(mask.begin(), mask.end(), classes.begin(), classes.end()));
    const int sum = std::accumulate(classes.begin(), classes.end(), 0);
    CHECK(sum > 48 * 48 / 50);
    CHECK(sum < 48 * 48 * 9 / 10);
    share += sum / (20 * 48. * 48.);
  }
  CHECK(share > 0.15);
  CHECK(share < 0.6);
}

}  // namespace
