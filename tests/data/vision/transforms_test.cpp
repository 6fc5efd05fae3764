// Resizes against Pillow's bytes and against their formulas, and the preparation of a whole image.
#include "anther/data/vision/transforms.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "anther/data/vision/image_format.hpp"
#include "image_samples.hpp"
#include "test_pictures.hpp"

namespace {

using namespace anther;
using namespace anther::vision;

using test_pictures::pattern;

TEST_CASE("resize_antialias is Pillow's, bit for bit") {
  for (const samples::Resize& each : samples::pillow_resizes) {
    CAPTURE(each.to_width);
    CAPTURE(each.to_height);
    const Image out =
        resize_antialias(pattern(each.width, each.height), each.to_width, each.to_height);
    CHECK(out.width == each.to_width);
    CHECK(out.height == each.to_height);
    CHECK(io::crc32(out.pixels) == each.crc);
  }
  CHECK(resize_antialias(pattern(37, 23), 11, 7).pixels == samples::pillow_11x7);
}

TEST_CASE("a window resized with antialiasing is Pillow's resize of a box, bit for bit") {
  for (const samples::BoxResize& each : samples::pillow_box_resizes) {
    CAPTURE(each.left);
    const Window window{{each.left, each.right - each.left}, {each.top, each.bottom - each.top}};
    const Image out =
        resize_antialias(pattern(each.width, each.height), window, each.to_width, each.to_height);
    CHECK(io::crc32(out.pixels) == each.crc);
  }
  const Image image = pattern(90, 70);
  CHECK(resize_antialias(image, whole_window(image), 31, 17) == resize_antialias(image, 31, 17));
}

TEST_CASE("a window resized as a tensor shows the window: a ramp keeps its slope") {
  const Image picture = test_pictures::ramp(200, 100);
  std::vector<float> out(20 * 30 * 3);
  resize_tensor(picture, {{30.25, 60}, {10.5, 40}}, 20, 30, level_table({0, 0, 0}, {1, 1, 1}),
                out.data());
  for (int y = 0; y < 20; ++y)
    for (int x = 0; x < 30; ++x) {
      const float* pixel = out.data() + 3 * (y * 30 + x);
      CHECK(pixel[0] * 255 == doctest::Approx(30.25 + (x + 0.5) * 2 - 0.5).epsilon(1e-4));
      CHECK(pixel[1] * 255 == doctest::Approx(10.5 + (y + 0.5) * 2 - 0.5).epsilon(1e-4));
    }
}

TEST_CASE("the window of the evaluation is the part that it shows") {
  const Image image = pattern(50, 33);
  for (const ResizeMode mode : {ResizeMode::tensor, ResizeMode::short_side}) {
    const Transform prepare(Preprocess{.image_size = 16, .resize = mode, .resize_size = 20});
    std::vector<float> whole(16 * 16 * 3), part(whole.size());
    prepare(image, whole.data());
    prepare(image, prepare.window(image), part.data());
    double worst = 0;
    for (std::size_t i = 0; i < whole.size(); ++i)
      worst = std::max(worst, static_cast<double>(std::fabs(whole[i] - part[i])));
    CHECK(worst < 1.01 / 255);
    if (mode == ResizeMode::tensor) CHECK(whole == part);
  }
}

TEST_CASE("a part of an antialiased resize is what cropping the whole gives") {
  const Image image = pattern(90, 70);
  const Image whole = resize_antialias(image, 45, 41);
  const Image part = resize_antialias(image, 45, 41, {.x = 7, .y = 11, .width = 30, .height = 20});
  for (int y = 0; y < part.height; ++y)
    CHECK(std::equal(part.row(y), part.row(y) + 90, whole.row(11 + y) + 3 * 7));
  CHECK_THROWS_AS(resize_antialias(image, 45, 41, {.x = 16, .y = 0, .width = 30, .height = 20}),
                  Error);
  CHECK_THROWS_AS(resize_antialias(image, 0, 41), Error);
}

TEST_CASE("resize_tensor follows its formula: two neighbours, half-pixel centres, edges repeated") {
  const LevelTable levels = level_table({0, 0, 0}, {1, 1, 1});
  struct Case {
    int width, height, to;
  };
  for (const Case& each :
       {Case{37, 23, 11}, Case{37, 23, 64}, Case{8, 8, 8}, Case{1, 5, 4}, Case{300, 200, 31}}) {
    const int width = each.width, height = each.height, to = each.to;
    const Image image = pattern(width, height);
    std::vector<float> out(static_cast<std::size_t>(to * to * 3));
    resize_tensor(image, to, to, levels, out.data());
    double worst = 0;
    for (int y = 0; y < to; ++y)
      for (int x = 0; x < to; ++x)
        for (int c = 0; c < 3; ++c) {
          const double sy = std::max((y + 0.5) * height / to - 0.5, 0.0),
                       sx = std::max((x + 0.5) * width / to - 0.5, 0.0);
          const int y0 = static_cast<int>(std::floor(sy)), x0 = static_cast<int>(std::floor(sx));
          const auto at = [&](int yy, int xx) {
            return image.row(std::min(yy, height - 1))[3 * std::min(xx, width - 1) + c] / 255.0;
          };
          const double fy = sy - y0, fx = sx - x0;
          const double expected = (1 - fy) * ((1 - fx) * at(y0, x0) + fx * at(y0, x0 + 1)) +
                                  fy * ((1 - fx) * at(y0 + 1, x0) + fx * at(y0 + 1, x0 + 1));
          worst = std::max(
              worst,
              std::fabs(expected -
                        static_cast<double>(out[static_cast<std::size_t>((y * to + x) * 3 + c)])));
        }
    CHECK(worst < 1e-6);
  }
}

TEST_CASE("nothing is resized to or from nothing") {
  const Image image(4, 3);
  for (const auto& [width, height] : {std::pair{0, 2}, {2, 0}, {-1, 2}, {2, -1}})
    CHECK_THROWS_AS(resize_antialias(image, width, height), Error);
  CHECK_THROWS_AS(resize_antialias(Image{}, 2, 2), Error);
}

TEST_CASE("to_tensor divides by 255, then takes off the mean and divides by the deviation") {
  const Image image = pattern(5, 4);
  std::vector<float> out(5 * 4 * 3);
  to_tensor(image, level_table({0.5f, 0.25f, 0}, {0.5f, 2, 1}), out.data());
  const float mean[3] = {0.5f, 0.25f, 0}, std[3] = {0.5f, 2, 1};
  for (std::size_t i = 0; i < out.size(); ++i)
    CHECK(out[i] == (static_cast<float>(image.pixels[i]) / 255.0f - mean[i % 3]) / std[i % 3]);
}

TEST_CASE("the centre is where torchvision's CenterCrop has it: a half goes to the even number") {
  CHECK(centre_offset(10, 10) == 0);
  CHECK(centre_offset(11, 10) == 0);  // 0.5
  CHECK(centre_offset(13, 10) == 2);  // 1.5
  CHECK(centre_offset(15, 10) == 2);  // 2.5
  CHECK(centre_offset(14, 10) == 2);
}

TEST_CASE(
    "short_side: the short side with antialiasing, the long one rounded down, then the centre") {
  const Preprocess options{.image_size = 16, .resize = ResizeMode::short_side, .resize_size = 20};
  const Transform prepare(options);
  for (const auto& [width, height] : {std::pair{50, 33}, {33, 50}, {40, 40}}) {
    const Image image = pattern(width, height);
    const int least = std::min(width, height);
    const int to_width = 20 * width / least, to_height = 20 * height / least;
    const Image whole = resize_antialias(image, to_width, to_height);
    const Image centre = prepare.centre(image);
    CHECK(centre.width == 16);
    CHECK(centre.height == 16);
    const int left = centre_offset(to_width, 16), top = centre_offset(to_height, 16);
    for (int y = 0; y < 16; ++y)
      CHECK(std::equal(centre.row(y), centre.row(y) + 48, whole.row(top + y) + 3 * left));
    std::vector<float> out(16 * 16 * 3);
    prepare(image, out.data());
    CHECK(out[5] == static_cast<float>(centre.pixels[5]) / 255.0f);
  }
  CHECK(Preprocess{.image_size = 224, .resize = ResizeMode::short_side}.short_side() == 256);
  CHECK(Preprocess{.image_size = 128, .resize = ResizeMode::short_side}.short_side() == 146);
}

TEST_CASE("tensor mode normalises like to_tensor") {
  const Image image = pattern(30, 20);
  std::vector<float> plain(8 * 8 * 3), scaled(8 * 8 * 3);
  Transform(Preprocess{.image_size = 8})(image, plain.data());
  Transform(Preprocess{.image_size = 8, .mean = {.5f, .5f, .5f}, .std = {.25f, .25f, .25f}})(
      image, scaled.data());
  for (std::size_t i = 0; i < plain.size(); ++i)
    CHECK(scaled[i] == doctest::Approx((plain[i] - .5f) / .25f).epsilon(1e-5));
}

TEST_CASE("options that make no sense are errors that name them") {
  const auto error = [](const Preprocess& options) -> std::string {
    try {
      const Transform transform(options);
    } catch (const Error& thrown) {
      return thrown.what();
    }
    return "";
  };
  const auto names = [&](const Preprocess& options, const char* field) {
    return error(options).starts_with(field);
  };
  CHECK(error({}) == "");
  CHECK(names({.image_size = 0}, "image_size"));
  CHECK(names({.resize = ResizeMode::short_side, .resize_size = 100}, "resize_size"));
  CHECK(names({.crop_pct = 0}, "crop_pct"));
  CHECK(names({.mean = {NAN, 0, 0}}, "mean"));
  CHECK(names({.std = {1, 0, 1}}, "std"));
  CHECK_THROWS_AS(Transform(Preprocess{.resize = ResizeMode::short_side}).centre(Image()), Error);
  Image thin(60'000, 1);
  CHECK_THROWS_AS(
      Transform(
          Preprocess{.image_size = 4096, .resize = ResizeMode::short_side, .resize_size = 32000})
          .centre(thin),
      Error);
  for (const ResizeMode mode : {ResizeMode::tensor, ResizeMode::short_side})
    CHECK(parse_resize_mode(to_string(mode)) == mode);
  CHECK_THROWS_AS(parse_resize_mode("long-side"), Error);
}

}  // namespace
