// Random erasing: how often, how much, where, and with what.
#include "anther/data/vision/random_erasing.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "anther/data/vision/transforms.hpp"
#include "test_files.hpp"

namespace {

using namespace anther;
using namespace anther::vision;

constexpr float untouched = 77;  // no colour can be
const LevelTable levels = level_table({0.5f, 0.4f, 0.3f}, {0.25f, 0.5f, 0.2f});

std::vector<float> erased(const RandomErasingOptions& options, std::uint64_t seed, int height = 40,
                          int width = 60) {
  std::vector<float> values(static_cast<std::size_t>(height * width * 3), untouched);
  random_erasing({values.data(), height, width}, options, levels, RandomKey(seed));
  return values;
}

// The box of what was erased, and whether all of it was.
struct Found {
  Box box;
  std::int64_t pixels = 0;
};
Found find(const std::vector<float>& values, int width) {
  Found found;
  int left = width, right = -1, top = -1, bottom = -1;
  for (std::size_t i = 0; i < values.size(); i += 3) {
    if (values[i] == untouched) continue;
    ++found.pixels;
    const int x = static_cast<int>(i / 3) % width, y = static_cast<int>(i / 3) / width;
    left = std::min(left, x);
    right = std::max(right, x);
    if (top < 0) top = y;
    bottom = y;
  }
  if (found.pixels > 0)
    found.box = {.x = left, .y = top, .width = right - left + 1, .height = bottom - top + 1};
  return found;
}

TEST_CASE("a picture is erased with its probability") {
  int count = 0;
  for (std::uint64_t i = 0; i < 4000; ++i) count += find(erased({.prob = 0.25}, i), 60).pixels > 0;
  CHECK(std::abs(count - 1000) < 100);
  CHECK(find(erased({}, 1), 60).pixels == 0);
}

TEST_CASE("one whole box: 2 to 33 % of the area on average evenly, of 0.3 to 3.3 heights a width") {
  double area = 0, height_over_width = 0, middle_x = 0, middle_y = 0;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    // Small ones, which always fit, so that none is drawn again.
    const auto [box, pixels] = find(erased({.prob = 1, .area = {0.02, 0.1}}, i, 200, 200), 200);
    CHECK(pixels == std::int64_t{box.width} * box.height);
    const double share = static_cast<double>(pixels) / 40'000;
    CHECK((share > 0.019 && share < 0.102));
    CHECK((box.height < 3.6 * box.width && box.width < 3.6 * box.height));
    area += share;
    height_over_width += std::log(static_cast<double>(box.height) / box.width);
    middle_x += box.x + box.width / 2.0;
    middle_y += box.y + box.height / 2.0;
  }
  CHECK(area / 1000 == doctest::Approx(0.06).epsilon(0.03));
  CHECK(std::fabs(height_over_width / 1000) < 0.05);
  CHECK(middle_x / 1000 == doctest::Approx(100).epsilon(0.03));
  CHECK(middle_y / 1000 == doctest::Approx(100).epsilon(0.03));
  for (std::uint64_t i = 0; i < 500; ++i) {
    const double share = static_cast<double>(find(erased({.prob = 1}, i), 60).pixels) / 2400;
    CHECK((share == 0 || (share > 0.015 && share < 0.345)));
  }
}

TEST_CASE("const is the mean colour, rand one colour, pixel a colour for each; all can be") {
  const auto inside = [](EraseMode mode) {
    std::vector<float> values =
        erased({.prob = 1, .mode = mode, .area = {0.3, 0.33}, .aspect = {1, 1}}, 3);
    std::erase(values, untouched);
    REQUIRE(values.size() > 1500);
    return values;
  };
  const std::vector<float> constant = inside(EraseMode::constant), one = inside(EraseMode::rand),
                           each = inside(EraseMode::pixel);
  CHECK(std::count(constant.begin(), constant.end(), 0.0f) ==
        static_cast<std::ptrdiff_t>(constant.size()));
  for (std::size_t i = 3; i < one.size(); ++i) CHECK(one[i] == one[i - 3]);
  CHECK(one[0] != one[1]);
  double mean[3] = {0, 0, 0};
  for (std::size_t i = 0; i < each.size(); ++i) {
    const float* table = levels[i % 3].data();
    CHECK(std::find(table, table + 256, each[i]) != table + 256);
    mean[i % 3] += static_cast<double>(each[i]) * 3 / static_cast<double>(each.size());
  }
  for (std::size_t c = 0; c < 3; ++c) {
    const double middle = static_cast<double>(levels[c][127] + levels[c][128]) / 2;
    const double width = static_cast<double>(levels[c][255] - levels[c][0]);
    CHECK(std::fabs(mean[c] - middle) < 0.06 * width);
  }
}

TEST_CASE("more boxes divide the area") {
  int more = 0;
  for (std::uint64_t i = 0; i < 200; ++i) {
    const auto [box, pixels] =
        find(erased({.prob = 1, .count = 4, .area = {0.2, 0.2}}, i, 100, 100), 100);
    CHECK(pixels < 2200);  // of 10,000, and boxes may overlap
    CHECK(pixels > 450);
    more += pixels < std::int64_t{box.width} * box.height;
  }
  CHECK(more > 190);  // not one box
}

TEST_CASE("a picture that no box fits in stays") {
  CHECK(find(erased({.prob = 1}, 1, 1, 1), 1).pixels == 0);
  CHECK(find(erased({.prob = 1, .area = {1, 1}, .aspect = {1, 1}}, 1), 60).pixels == 0);
}

TEST_CASE("options that make no sense are errors that name them") {
  const auto error = [](const RandomErasingOptions& options) {
    return test_files::error_of([&] { options.validate(); });
  };
  CHECK(error({.prob = 0.25}) == "");
  CHECK(error({.prob = 1.5}) == "reprob: expected 0 to 1, got 1.5");
  CHECK(error({.prob = NAN}).starts_with("reprob"));
  CHECK(error({.count = 0}).starts_with("recount"));
  CHECK(error({.area = {0.5, 0.1}}).starts_with("random erasing's area"));
  CHECK(error({.aspect = {0, 1}}).starts_with("random erasing's aspect"));
  for (const EraseMode mode : {EraseMode::constant, EraseMode::rand, EraseMode::pixel})
    CHECK(parse_erase_mode(to_string(mode)) == mode);
  CHECK(test_files::error_of([] { parse_erase_mode("noise"); }) ==
        "remode: expected \"const\", \"rand\" or \"pixel\", got \"noise\"");
}

}  // namespace
