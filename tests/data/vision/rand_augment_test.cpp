// RandAugment: what is drawn, how strong it is, and how it is written.
#include "anther/data/vision/rand_augment.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <string>
#include <vector>

#include "anther/data/vision/augment.hpp"
#include "test_files.hpp"
#include "test_pictures.hpp"

namespace {

using namespace anther;
using namespace anther::vision;
using Op = RandAugmentOp;

TEST_CASE("each operation is drawn as often, and done with its probability") {
  std::array<int, 15> drawn{};
  int done = 0, negative = 0, directed = 0;
  for (std::uint64_t i = 0; i < 10'000; ++i)
    for (const RandAugmentStep& step :
         rand_augment_plan({.n = 3, .m = 9, .p = 0.5}, RandomKey(i))) {
      ++done;
      ++drawn[static_cast<std::size_t>(step.op)];
      if (step.geometric()) {
        ++directed;
        negative += step.argument < 0;
      }
    }
  CHECK(std::abs(done - 15'000) < 300);
  for (const int count : drawn) CHECK(std::abs(count - done / 15) < 120);
  CHECK(std::abs(negative - directed / 2) < 150);
  CHECK(rand_augment_plan({.n = 4, .p = 1}, RandomKey(1)).size() == 4);
  CHECK(rand_augment_plan({.n = 4, .p = 0}, RandomKey(1)).empty());
}

TEST_CASE("strengths are those of timm's increasing operations") {
  // At the magnitudes 0, 5 and 10.
  struct Row {
    Op op;
    double at[3];
  };
  const Row rows[] = {{Op::posterize, {4, 2, 0}},
                      {Op::solarize, {256 / 255.0, 128 / 255.0, 0}},
                      {Op::solarize_add, {0, 55 / 255.0, 110 / 255.0}},
                      {Op::saturation, {1, 1.45, 1.9}},
                      {Op::contrast, {1, 1.45, 1.9}},
                      {Op::brightness, {1, 1.45, 1.9}},
                      {Op::sharpness, {1, 1.45, 1.9}},
                      {Op::rotate, {0, 15, 30}},
                      {Op::shear_x, {0, 0.15, 0.3}},
                      {Op::shear_y, {0, 0.15, 0.3}},
                      {Op::translate_x, {0, 0.225, 0.45}},
                      {Op::translate_y, {0, 0.225, 0.45}}};
  for (const Row& row : rows)
    for (int i = 0; i < 3; ++i) {
      CAPTURE(static_cast<int>(row.op));
      CHECK(rand_augment_argument(row.op, 5 * i, 1) == doctest::Approx(row.at[i]));
      if (row.op >= Op::rotate)
        CHECK(rand_augment_argument(row.op, 5 * i, -1) == doctest::Approx(-row.at[i]));
    }
  CHECK(rand_augment_argument(Op::contrast, 10, -1) == doctest::Approx(0.1));
  CHECK(rand_augment_argument(Op::contrast, 5, -1) == doctest::Approx(0.55));
}

TEST_CASE("mstd spreads the magnitude, which stays between 0 and 10") {
  double sum = 0, squares = 0;
  int count = 0;
  for (std::uint64_t i = 0; i < 30'000; ++i)
    for (const RandAugmentStep& step :
         rand_augment_plan({.n = 1, .m = 5, .mstd = 0.5, .p = 1}, RandomKey(i))) {
      if (step.op != Op::rotate) continue;
      const double magnitude = std::fabs(step.argument) / 3;
      sum += magnitude;
      squares += (magnitude - 5) * (magnitude - 5);
      ++count;
    }
  CHECK(sum / count == doctest::Approx(5).epsilon(0.02));
  CHECK(std::sqrt(squares / count) == doctest::Approx(0.5).epsilon(0.06));
  for (std::uint64_t i = 0; i < 500; ++i)
    for (const RandAugmentStep& step :
         rand_augment_plan({.n = 2, .m = 10, .mstd = 5}, RandomKey(i)))
      if (step.op == Op::rotate) CHECK(std::fabs(step.argument) <= 30);
}

TEST_CASE("every operation changes a picture, and only those that should move it do") {
  using test_pictures::ramp;
  for (int number = 0; number < rand_augment_ops; ++number) {
    CAPTURE(number);
    const RandAugmentStep step{static_cast<Op>(number),
                               rand_augment_argument(static_cast<Op>(number), 9, 1)};
    std::vector<float> values(20 * 20 * 3);
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = 0.2f + 0.6f * static_cast<float>(i * 7 % 97) / 97;
    const std::vector<float> before = values;
    apply(step, {values.data(), 20, 20});
    CHECK((values == before) == step.geometric());
    CHECK((geometry_of(step) == Affine{}) == !step.geometric());
  }
}

TEST_CASE("shears and shifts move what they say") {
  // Where the middle of the right edge comes from, and that of the lower one.
  const auto source = [](Op op, double argument, double u, double v) {
    const Affine map = geometry_of({op, argument});
    return std::pair(map.xx * u + map.xy * v + map.x0, map.yx * u + map.yy * v + map.y0);
  };
  CHECK(source(Op::translate_x, 0.25, 0.5, 0) == std::pair(0.75, 0.0));
  CHECK(source(Op::translate_y, 0.25, 0.5, 0) == std::pair(0.5, 0.25));
  CHECK(source(Op::shear_x, 0.5, 0.25, 0.5) == std::pair(0.5, 0.5));
  CHECK(source(Op::shear_y, 0.5, 0.5, 0.25) == std::pair(0.5, 0.5));
}

TEST_CASE("a shifted picture shows what is beyond the crop, where there is something") {
  // Crops of a ramp, shifted: the columns go on beyond the crop.
  const Preprocess unit{.image_size = 16};
  const Image image = test_pictures::ramp(256, 256);
  int seen = 0;
  for (std::uint64_t i = 0; i < 3000 && seen < 20; ++i) {
    const RandomKey key(i);
    const RandAugmentOptions one{.n = 1, .m = 2, .p = 1};
    const auto plan = rand_augment_plan(one, key.fold("rand_augment"));
    if (plan[0].op != Op::translate_x) continue;
    const Range quarter{0.25, 0.25}, square{1, 1};
    const Window window = random_resized_crop(256, 256, quarter, square, key.fold("crop"));
    const double shift = plan[0].argument * 128;
    if (window.across.begin + shift < 1 || window.across.begin + shift > 127) continue;
    ++seen;
    std::vector<float> out(16 * 16 * 3);
    Augment(unit, {.scale = quarter, .ratio = square, .rand_augment = one})(image, key, out.data());
    for (int x = 0; x < 16; ++x)
      CHECK(out[static_cast<std::size_t>(3 * (5 * 16 + x))] * 255 + 0.5 ==
            doctest::Approx(window.across.begin + shift + (x + 0.5) * 8).epsilon(1e-3));
  }
  CHECK(seen >= 10);
}

TEST_CASE("timm's way of writing it") {
  CHECK(parse_auto_augment("rand") == RandAugmentOptions{});
  CHECK(parse_auto_augment("rand-m0-n1") == RandAugmentOptions{.n = 1, .m = 0});
  CHECK(parse_auto_augment("rand-m9-n2-mstd0.5-inc1") ==
        RandAugmentOptions{.n = 2, .m = 9, .mstd = 0.5});
  CHECK(parse_auto_augment("rand-p0.25-n3-m6.5") ==
        RandAugmentOptions{.n = 3, .m = 6.5, .p = 0.25});
  for (const RandAugmentOptions& options :
       {RandAugmentOptions{}, RandAugmentOptions{.n = 5, .m = 1.5, .mstd = 0.25, .p = 1}})
    CHECK(parse_auto_augment(to_string(options)) == options);
  for (const char* text : {"", "augmix-m3", "original", "rand-m", "rand-m9x", "rand-inc0",
                           "rand-n1.5", "rand-q3", "rand--m9", "rand-m1e", "m9"}) {
    CAPTURE(std::string(text));
    CHECK(test_files::error_of([&] { parse_auto_augment(text); }).starts_with("aa: expected"));
  }
  for (const char* text : {"rand-m11", "rand-n0", "rand-p2", "rand-mstd11"})
    CHECK(test_files::error_of([&] { parse_auto_augment(text); }).starts_with("aa: expected"));
}

}  // namespace
