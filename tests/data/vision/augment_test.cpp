// Augmentation: where each picture was sampled, over many keys; and that off is off, to the bit.
#include "anther/data/vision/augment.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "anther/data/loader.hpp"
#include "anther/data/vision/image_set.hpp"
#include "anther/data/vision/mix.hpp"
#include "anther/painted/painted.hpp"
#include "test_files.hpp"
#include "test_pictures.hpp"

namespace {

using namespace anther;
using namespace anther::data;
using namespace anther::painted;
using namespace anther::vision;
using test_files::error_of;
using test_pictures::pattern;
using test_pictures::ramp;

constexpr ResizeMode modes[] = {ResizeMode::tensor, ResizeMode::short_side};

Preprocess small(ResizeMode mode, int size = 16) {
  return {.image_size = size,
          .resize = mode,
          .resize_size = size + size / 4,
          .mean = {0.5f, 0.4f, 0.3f},
          .std = {0.25f, 0.5f, 0.2f}};
}

std::vector<float> result(const Augment& augment, const Image& image, std::uint64_t seed,
                          int size = 16) {
  std::vector<float> out(static_cast<std::size_t>(size * size * 3));
  augment(image, RandomKey(seed), out.data());
  return out;
}

// Largest distance between the empirical distribution and a given one (Kolmogorov, Smirnov).
double distance_to(std::vector<double> values, const std::function<double(double)>& cumulative) {
  std::sort(values.begin(), values.end());
  const auto count = static_cast<double>(values.size());
  double worst = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double expected = cumulative(values[i]);
    worst = std::max({worst, std::fabs(expected - static_cast<double>(i) / count),
                      std::fabs(expected - static_cast<double>(i + 1) / count)});
  }
  return worst;
}
std::function<double(double)> uniform_between(double low, double high) {
  return [=](double x) { return std::clamp((x - low) / (high - low), 0.0, 1.0); };
}

// Where a ramp was sampled: the source of an output pixel, columns and lines from the left and top.
struct Place {
  double x, y;
};
Place place_of(const std::vector<float>& out, int size, int row, int column) {
  const float* pixel = out.data() + 3 * (row * size + column);
  return {static_cast<double>(pixel[0]) * 255 + 0.5, static_cast<double>(pixel[1]) * 255 + 0.5};
}
// The window that an upright, unmirrored sample of a ramp shows.
Window window_of(const std::vector<float>& out, int size) {
  const Place a = place_of(out, size, 1, 1), b = place_of(out, size, size - 2, size - 2);
  const double step_x = (b.x - a.x) / (size - 3), step_y = (b.y - a.y) / (size - 3);
  return {{a.x - 1.5 * step_x, size * step_x}, {a.y - 1.5 * step_y, size * step_y}};
}
// Samples of a ramp are between 0 and 1.
const Preprocess unit{.image_size = 16};

TEST_CASE("off is what a plain loader gives, bit for bit") {
  const auto data = std::make_shared<const PaintedFlowers>(
      PaintedOptions{.size = 12, .image_size = 40, .seed = 3});
  for (const ResizeMode mode : modes) {
    const Preprocess preprocess = small(mode);
    const LoaderOptions options{.batch_size = 5, .shuffle = true, .seed = 2, .workers = 2};
    Loader plain(prepared(data, preprocess), options);
    Loader augmented(prepared(data, 16, 16, Augment(preprocess, {})), options);
    Batch a, b;
    plain.start_epoch(1);
    augmented.start_epoch(1);
    while (plain.next(a)) {
      REQUIRE(augmented.next(b));
      CHECK(std::equal(a.inputs.begin(), a.inputs.end(), b.inputs.begin(), b.inputs.end()));
      CHECK(a.labels == b.labels);
    }
    CHECK(!augmented.next(b));
  }
}

TEST_CASE("flips: each picture or its mirror image, bit for bit, as often as asked") {
  const Image image = pattern(50, 33);
  for (const ResizeMode mode : modes) {
    const Preprocess preprocess = small(mode);
    std::vector<float> upright(16 * 16 * 3), across(upright.size()), down(upright.size());
    Transform prepare(preprocess);
    prepare(image, upright.data());
    for (std::size_t y = 0; y < 16; ++y)
      for (std::size_t x = 0; x < 16; ++x)
        for (std::size_t c = 0; c < 3; ++c) {
          const float value = upright[3 * (16 * y + x) + c];
          across[3 * (16 * y + 15 - x) + c] = value;
          down[3 * (16 * (15 - y) + x) + c] = value;
        }
    int flipped = 0;
    const Augment horizontally(preprocess, {.hflip = 0.3}), vertically(preprocess, {.vflip = 1});
    for (std::uint64_t i = 0; i < 2000; ++i) {
      const std::vector<float> out = result(horizontally, image, i);
      CHECK((out == upright || out == across));
      flipped += out == across;
    }
    CHECK(std::abs(flipped - 600) < 75);  // 3.6 deviations
    CHECK(result(vertically, image, 1) == down);
    // One way does not follow from the other.
    int alike = 0;
    const Augment either(preprocess, {.hflip = 0.5, .vflip = 0.5});
    for (std::uint64_t i = 0; i < 400; ++i) {
      const std::vector<float> out = result(either, image, i);
      alike += out != across && out != down;
    }
    CHECK(std::abs(alike - 200) < 40);
    const Augment both(preprocess, {.hflip = 1, .vflip = 1});
    std::vector<float> turned = result(both, image, 1);
    std::reverse(turned.begin(), turned.end());  // half a turn; and the channels
    for (std::size_t i = 0; i < turned.size(); i += 3) std::swap(turned[i], turned[i + 2]);
    CHECK(turned == upright);
  }
}

TEST_CASE("a crop's share of the area, its shape and its place are uniform") {
  // At most half the area always fits, whatever the ratio.
  const Augment augment(unit, {.scale = Range{0.1, 0.5}});
  std::vector<double> area, log_ratio, left, top;
  const Image image = ramp(256, 256);
  for (std::uint64_t i = 0; i < 4000; ++i) {
    const auto [across, down] = window_of(result(augment, image, i), 16);
    area.push_back(across.length * down.length / (256.0 * 256));
    log_ratio.push_back(std::log(across.length / down.length));
    left.push_back(across.begin / (256 - across.length));
    top.push_back(down.begin / (256 - down.length));
  }
  const double limit = 1.63 / std::sqrt(4000.0);  // exceeded once in a hundred
  CHECK(distance_to(area, uniform_between(0.1, 0.5)) < limit);
  CHECK(distance_to(log_ratio, uniform_between(std::log(0.75), std::log(4.0 / 3))) < limit);
  CHECK(distance_to(left, uniform_between(0, 1)) < limit);
  CHECK(distance_to(top, uniform_between(0, 1)) < limit);
  // They do not follow each other.
  double product = 0;
  for (std::size_t i = 0; i < area.size(); ++i) product += (area[i] - 0.3) * log_ratio[i];
  CHECK(std::fabs(product / 4000) < 0.001);
}

TEST_CASE("crops that do not fit are drawn again: the distribution of an independent simulation") {
  std::mt19937_64 random(5);
  std::uniform_real_distribution<double> share(0.08, 1), log_of(std::log(0.75), std::log(4.0 / 3));
  std::vector<double> expected, got;
  for (int i = 0; i < 40'000; ++i)
    for (int attempt = 0; attempt < 10; ++attempt) {
      const double area = 300.0 * 200 * share(random), ratio = std::exp(log_of(random));
      if (std::sqrt(area * ratio) > 300 || std::sqrt(area / ratio) > 200) continue;
      expected.push_back(area);
      break;
    }
  for (std::uint64_t i = 0; i < 8000; ++i) {
    const auto [across, down] =
        random_resized_crop(300, 200, {0.08, 1}, {0.75, 4.0 / 3}, RandomKey(i));
    CHECK((across.begin >= 0 && across.begin + across.length <= 300 + 1e-9));
    CHECK((down.begin >= 0 && down.begin + down.length <= 200 + 1e-9));
    got.push_back(across.length * down.length);
  }
  std::sort(expected.begin(), expected.end());
  CHECK(distance_to(got, [&](double x) {
          const auto below = std::lower_bound(expected.begin(), expected.end(), x);
          return static_cast<double>(below - expected.begin()) /
                 static_cast<double>(expected.size());
        }) < 0.025);
}

TEST_CASE("where no crop fits, it is the largest allowed in the middle") {
  const auto wide = random_resized_crop(300, 10, {1, 1}, {0.75, 1.5}, RandomKey(1));
  CHECK(wide == Window{{142.5, 15}, {0, 10}});
  const auto tall = random_resized_crop(10, 300, {1, 1}, {0.5, 1.5}, RandomKey(1));
  CHECK(tall == Window{{0, 10}, {140, 20}});
  CHECK(random_resized_crop(64, 64, {1, 1}, {1, 1}, RandomKey(1)) == Window{{0, 64}, {0, 64}});
}

TEST_CASE("a crop is the same part of a picture of any resolution") {
  for (std::uint64_t i = 0; i < 50; ++i) {
    const auto large = random_resized_crop(512, 256, {0.1, 1}, {0.75, 1.33}, RandomKey(i));
    const auto small_one = random_resized_crop(128, 64, {0.1, 1}, {0.75, 1.33}, RandomKey(i));
    CHECK(large.across.begin == doctest::Approx(4 * small_one.across.begin));
    CHECK(large.down.length == doctest::Approx(4 * small_one.down.length));
  }
}

TEST_CASE("a quarter of a turn is exact, counter-clockwise, and mirrors nothing in") {
  const Image image = pattern(9, 9);
  const LevelTable levels = level_table({0, 0, 0}, {1, 1, 1});
  std::vector<float> out(9 * 9 * 3);
  const Affine map = Affine::translation(4.5, 4.5) * Affine::rotation(90) * Affine::scaling(9, 9);
  sample_affine(image, map, 9, 1, levels, out.data());
  for (int y = 0; y < 9; ++y)
    for (int x = 0; x < 9; ++x)
      for (int c = 0; c < 3; ++c)  // numpy.rot90: out[y][x] = in[x][8 - y]
        CHECK(out[static_cast<std::size_t>(3 * (9 * y + x) + c)] * 255 ==
              doctest::Approx(image.row(x)[3 * (8 - y) + c]).epsilon(1e-5));
}

TEST_CASE("rotation: uniform within its limits, about the middle, at the photograph's scale") {
  const Augment augment(unit, {.rotation = 30});
  const Image image = ramp(200, 120);
  std::vector<double> degrees;
  for (std::uint64_t i = 0; i < 2000; ++i) {
    const std::vector<float> out = result(augment, image, i);
    // The four pixels about the middle are far from any edge.
    const Place a = place_of(out, 16, 7, 7), b = place_of(out, 16, 7, 8),
                c = place_of(out, 16, 8, 7), d = place_of(out, 16, 8, 8);
    CHECK((a.x + b.x + c.x + d.x) / 4 == doctest::Approx(100).epsilon(1e-3));
    CHECK((a.y + b.y + c.y + d.y) / 4 == doctest::Approx(60).epsilon(1e-3));
    CHECK(std::hypot(b.x - a.x, b.y - a.y) == doctest::Approx(200 / 16.0).epsilon(1e-3));
    CHECK(std::hypot(c.x - a.x, c.y - a.y) == doctest::Approx(120 / 16.0).epsilon(1e-3));
    degrees.push_back(std::atan2(a.y - b.y, b.x - a.x) * 180 / 3.14159265358979);
  }
  CHECK(distance_to(degrees, uniform_between(-30, 30)) < 1.63 / std::sqrt(2000.0));
}

TEST_CASE("beyond its edges a picture is mirrored") {
  const int expected[] = {3, 3, 2, 1, 0, 0, 1, 2, 3, 3, 2, 1, 0, 0, 1};
  for (int i = 0; i < 15; ++i) CHECK(reflected(i - 9 + 4, 4) == expected[i]);
  CHECK(reflected(-1, 1) == 0);
  CHECK(reflected(2'000'000'000, 1) == 0);
  CHECK(reflected(-2'000'000'000, 3) == reflected(-2'000'000'000 % 6 + 6, 3));
  // So a turned picture has no other colours than its own.
  const Augment augment(unit, {.rotation = 180});
  const Image image = test_pictures::plain(30, 20, 10, 200, 90);
  for (std::uint64_t i = 0; i < 20; ++i) {
    const std::vector<float> out = result(augment, image, i);
    for (std::size_t at = 0; at < out.size(); at += 3) {
      CHECK(out[at] * 255 == doctest::Approx(10));
      CHECK(out[at + 1] * 255 == doctest::Approx(200));
    }
  }
}

TEST_CASE("crop, flips and rotation are one: the ways to sample meet at no rotation") {
  // A turn too small to see goes the general way; none goes the separable one.
  const Image image = ramp(150, 120);
  for (const ResizeMode mode : modes)
    for (std::uint64_t i = 0; i < 20; ++i) {
      const Preprocess preprocess{.image_size = 16, .resize = mode};
      AugmentOptions options{.scale = Range{0.2, 0.5}, .hflip = 0.5, .vflip = 0.5};
      const std::vector<float> upright = result(Augment(preprocess, options), image, i);
      options.rotation = 1e-6;
      const std::vector<float> turned = result(Augment(preprocess, options), image, i);
      double worst = 0;
      for (int y = 2; y < 14; ++y)  // at the photograph's edge the filters differ
        for (int x = 2; x < 14; ++x) {
          const Place a = place_of(upright, 16, y, x), b = place_of(turned, 16, y, x);
          worst = std::max({worst, std::fabs(a.x - b.x), std::fabs(a.y - b.y)});
        }
      CHECK(worst < (mode == ResizeMode::tensor ? 0.01 : 1.1));  // short_side rounds to levels
    }
}

TEST_CASE("with antialiasing a turned checkerboard is grey; without, it is not") {
  Image board(256, 256);
  for (int y = 0; y < 256; ++y)
    for (int x = 0; x < 256; ++x)
      std::fill_n(board.row(y) + 3 * x, 3, static_cast<std::uint8_t>((x + y) % 2 * 255));
  const auto deviation = [&](ResizeMode mode) {
    const Augment augment(Preprocess{.image_size = 32, .resize = mode, .resize_size = 32},
                          {.rotation = 20});
    const std::vector<float> out = result(augment, board, 3, 32);
    double sum = 0;
    for (const float value : out) sum += std::pow(static_cast<double>(value) - 0.5, 2);
    return std::sqrt(sum / static_cast<double>(out.size()));
  };
  CHECK(deviation(ResizeMode::short_side) < 0.05);
  CHECK(deviation(ResizeMode::tensor) > 0.15);
}

TEST_CASE("colours change before the normalisation") {
  const Image image = pattern(50, 33);
  for (const ResizeMode mode : modes) {
    const Preprocess preprocess = small(mode);
    std::vector<float> plain(16 * 16 * 3);
    Transform prepare(preprocess);
    prepare(image, plain.data());
    const std::vector<float> hardly =
        result(Augment(preprocess, {.color_jitter = {.saturation = 1e-9}}), image, 1);
    const std::vector<float> darker =
        result(Augment(preprocess, {.color_jitter = {.brightness = 0.5}}), image, 4);
    const auto level = [&](float value, std::size_t i) {
      return value * preprocess.std[i % 3] + preprocess.mean[i % 3];
    };
    const float factor = level(darker[0], 0) / level(plain[0], 0);
    CHECK(factor != doctest::Approx(1));
    for (std::size_t i = 0; i < plain.size(); ++i) {
      CHECK(hardly[i] == doctest::Approx(plain[i]).epsilon(1e-4));
      CHECK(level(darker[i], i) ==
            doctest::Approx(std::min(factor * level(plain[i], i), 1.0f)).epsilon(1e-3));
    }
  }
}

AugmentOptions everything() {
  AugmentOptions options = timm_augmentation();
  options.vflip = 0.1;
  options.rotation = 20;
  options.color_jitter.hue = 0.1;
  options.rand_augment = RandAugmentOptions{.mstd = 0.5};
  options.random_erasing.prob = 0.5;
  return options;
}

TEST_CASE("all of it at once has the same bits for any number of workers") {
  const auto data = std::make_shared<const PaintedFlowers>(
      PaintedOptions{.size = 30, .image_size = 40, .seed = 3});
  for (const ResizeMode mode : modes) {
    std::vector<std::vector<float>> seen;
    for (const int workers : {0, 1, 3}) {
      Loader loader(prepared(data, 32, 32, Augment(small(mode, 32), everything())),
                    {.batch_size = 8,
                     .shuffle = true,
                     .seed = 2,
                     .workers = workers,
                     .mix = mixing({.mixup = 0.4, .cutmix = 1})});
      std::vector<float>& all = seen.emplace_back();
      Batch batch;
      for (const int epoch : {0, 1}) {
        loader.start_epoch(epoch);
        while (loader.next(batch)) {
          all.insert(all.end(), batch.inputs.begin(), batch.inputs.end());
          all.insert(all.end(), batch.lambda.begin(), batch.lambda.end());
          all.insert(all.end(), batch.labels2.begin(), batch.labels2.end());
        }
      }
      for (const float value : all) REQUIRE(std::isfinite(value));
    }
    CHECK(seen[0] == seen[1]);
    CHECK(seen[0] == seen[2]);
    const std::size_t half = seen[0].size() / 2;  // an epoch
    CHECK(!std::equal(seen[0].begin(), seen[0].begin() + static_cast<std::ptrdiff_t>(half),
                      seen[0].begin() + static_cast<std::ptrdiff_t>(half)));
  }
}

TEST_CASE("each decision has a key of its own: one more does not change the others") {
  const Image image = ramp(256, 256);
  for (std::uint64_t i = 0; i < 30; ++i) {
    const AugmentOptions crop{.scale = Range{0.1, 1}};
    AugmentOptions more = crop;
    more.color_jitter = {.brightness = 0.2};
    more.random_erasing.prob = 0.001;
    const Window a = window_of(result(Augment(unit, crop), image, i), 16);
    const std::vector<float> out = result(Augment(unit, more), image, i);
    // Brightness scales all: the ratio of two places stays.
    CHECK((place_of(out, 16, 8, 8).x - 0.5) / (place_of(out, 16, 8, 12).x - 0.5) ==
          doctest::Approx((a.across.begin + 8.5 / 16 * a.across.length - 0.5) /
                          (a.across.begin + 12.5 / 16 * a.across.length - 0.5))
              .epsilon(0.02));
  }
}

TEST_CASE("tiny pictures and pictures of one line are no trouble") {
  for (const ResizeMode mode : modes)
    for (const auto& [width, height] : {std::pair{1, 1}, {1, 40}, {300, 1}, {2, 3}})
      for (std::uint64_t i = 0; i < 30; ++i)
        for (const float value :
             result(Augment(small(mode), everything()), pattern(width, height), i))
          REQUIRE(std::isfinite(value));
  CHECK_THROWS_AS(result(Augment(unit, {}), Image(), 1), Error);
  CHECK_THROWS_AS(result(Augment(unit, everything()), Image(), 1), Error);
}

TEST_CASE("options that make no sense are errors that name them") {
  const auto error = [](const AugmentOptions& options) {
    return error_of([&] { const Augment augment(unit, options); });
  };
  CHECK(error({}) == "");
  CHECK(error(everything()) == "");
  CHECK(error({.scale = Range{0.5, 0.2}}) ==
        "scale: expected two numbers above 0, at most 1, the lower one first, got 0.5 and 0.2");
  CHECK(error({.scale = Range{0, 1}}).starts_with("scale"));
  CHECK(error({.scale = Range{0.1, 1.1}}).starts_with("scale"));
  CHECK(error({.scale = Range{NAN, 1}}).starts_with("scale"));
  CHECK(error({.scale = Range{0.1, NAN}}).starts_with("scale"));
  CHECK(error({.ratio = {2, 1}}).starts_with("ratio"));
  CHECK(error({.ratio = {-1, 1}}).starts_with("ratio"));
  CHECK(error({.ratio = {1, INFINITY}}).starts_with("ratio"));
  CHECK(error({.hflip = 1.5}) == "hflip: expected a probability, 0 to 1, got 1.5");
  CHECK(error({.hflip = NAN}).starts_with("hflip"));
  CHECK(error({.vflip = -0.5}).starts_with("vflip"));
  CHECK(error({.rotation = -1}).starts_with("rotation"));
  CHECK(error({.rotation = NAN}).starts_with("rotation"));
  CHECK(error({.color_jitter = {.hue = 1}}).starts_with("color_jitter"));
  CHECK(error({.rand_augment = RandAugmentOptions{.m = 11}}).starts_with("aa"));
  CHECK(error({.random_erasing = {.prob = 2}}).starts_with("reprob"));
}

}  // namespace
