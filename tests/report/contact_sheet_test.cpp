// Contact sheets: images as they were before the normalisation, their captions, and the PNG file.
#include "anther/report/contact_sheet.hpp"
#include "anther/data/vision/decode.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "../data/vision/test_files.hpp"
#include "../data/vision/test_pictures.hpp"

namespace {

using namespace anther;
using namespace anther::data;
using namespace anther::report;
using namespace anther::vision;
using test_pictures::pattern;

const Preprocess normalised{
    .image_size = 64, .mean = {0.485f, 0.456f, 0.406f}, .std = {0.229f, 0.224f, 0.225f}};
const std::vector<std::string> names = {"rose", "giant white arum lily", "tulip"};

// Patterns, each shifted a little, normalised.
Batch batch_of(int count, int side) {
  Batch batch;
  batch.inputs = Tensor<float>(Shape{count, side, side, 3});
  const LevelTable levels = level_table(normalised.mean, normalised.std);
  for (int n = 0; n < count; ++n) {
    const Image image = pattern(side, side + n);
    Image own(side, side);
    std::copy_n(image.pixels.begin() + 3 * side * n, 3 * side * side, own.pixels.begin());
    to_tensor(own, levels, batch.inputs.data() + std::int64_t{n} * side * side * 3);
    batch.labels.push_back(n % 3);
    batch.indices.push_back(n);
  }
  return batch;
}

TEST_CASE("a PNG file holds the image, pixel for pixel") {
  for (const auto& [width, height] : {std::pair{1, 1}, {37, 23}, {200, 150}}) {
    const Image image = pattern(width, height);
    CHECK(decode_image(encode_png(image), "x.png") == image);
  }
  const test_files::Folder folder;
  write_png(folder.path() / "sheet.png", pattern(9, 9));
  CHECK(decode_image(folder.path() / "sheet.png") == pattern(9, 9));
  CHECK_THROWS_AS(encode_png(Image()), Error);
  CHECK(test_files::contains(
      test_files::error_of([&] { write_png(folder.path() / "no" / "sheet.png", pattern(9, 9)); }),
      "sheet.png"));
}

TEST_CASE("images stand in a grid, the normalisation undone exactly") {
  const Batch batch = batch_of(5, 128);
  const Image sheet = contact_sheet(batch, normalised, names, {.images = 16, .columns = 2});
  CHECK(sheet.width == 4 + 2 * 132);
  CHECK(sheet.height == 4 + 3 * (128 + 2 + 16 + 4));
  for (int n = 0; n < 5; ++n) {
    const Image expected = pattern(128, 128 + n);
    for (int y = 0; y < 128; ++y) {
      const std::uint8_t* row = sheet.row(4 + n / 2 * 150 + y) + 3 * (4 + n % 2 * 132);
      CHECK(std::equal(row, row + 3 * 128, expected.row(y + n)));
    }
  }
  // The sixth place is empty.
  for (int y = 304; y < sheet.height; ++y)
    CHECK(std::all_of(sheet.row(y) + 3 * 136, sheet.row(y) + 3 * sheet.width,
                      [](std::uint8_t level) { return level == 255; }));
}

TEST_CASE("small images are shown as larger squares, and only as many as asked for") {
  const Image sheet = contact_sheet(batch_of(9, 32), normalised, names, {.images = 3});
  CHECK(sheet.width == 4 + 3 * 132);
  const Image expected = pattern(32, 32);
  for (int y = 0; y < 128; ++y)
    for (int x = 0; x < 128; ++x)
      CHECK(std::equal(sheet.row(4 + y) + 3 * (4 + x), sheet.row(4 + y) + 3 * (5 + x),
                       expected.row(y / 4) + 3 * (x / 4)));
}

TEST_CASE("what is out of range is cut off") {
  const float values[] = {-9, 0, 9};
  CHECK(denormalized(values, 1, 1, {}).pixels == std::vector<std::uint8_t>{0, 0, 255});
  const float halves[] = {0.5f, 0.25f, 1};
  CHECK(denormalized(halves, 1, 1, {}).pixels == std::vector<std::uint8_t>{128, 64, 255});
}

TEST_CASE("captions: a name on two lines where it is long, both names of a mixture") {
  Batch batch = batch_of(3, 32);
  const auto lines = [&](std::size_t i, std::size_t columns) {
    return caption(batch, i, names, columns);
  };
  using Lines = std::vector<std::string>;
  CHECK(lines(0, 21) == Lines{"rose"});
  CHECK(lines(1, 21) == Lines{"giant white arum lily"});
  CHECK(lines(1, 20) == Lines{"giant white arum", "lily"});
  CHECK(lines(1, 12) == Lines{"giant white", "arum lily"});
  CHECK(lines(1, 4) == Lines{"gian", "t wh"});
  batch.labels2 = {2, 1, 0};
  batch.lambda = {0.75f, 1, 0.996f};
  CHECK(lines(0, 21) == Lines{"75% rose", "25% tulip"});
  CHECK(lines(0, 6) == Lines{"75% ro", "25% tu"});
  CHECK(lines(1, 21) == Lines{"giant white arum lily"});
  CHECK(lines(2, 21) == Lines{"100% tulip", "0% rose"});
  batch.labels[0] = 7;
  batch.lambda.clear();
  CHECK(lines(0, 21) == Lines{"class 7"});
}

TEST_CASE("letters: all those of the flowers' names, each its own") {
  std::vector<std::array<std::uint8_t, 7>> seen;
  const auto box = glyph_of('\x01');
  for (const char sign : std::string("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,-_'%/:()+&")) {
    CAPTURE(sign);
    const auto rows = glyph_of(sign);
    CHECK(rows != box);
    CHECK(std::find(seen.begin(), seen.end(), rows) == seen.end());
    for (const std::uint8_t row : rows) CHECK(row < 32);
    seen.push_back(rows);
  }
  CHECK(glyph_of('q') == glyph_of('Q'));
  CHECK(glyph_of('\xC3') == box);
}

TEST_CASE("text is drawn where it is asked for, and what does not fit is left out") {
  Image image(20, 12);
  draw_text(image, 2, 3, "T", {255, 0, 9});
  std::string rows;
  for (int y = 3; y < 10; ++y, rows += '/')
    for (int x = 2; x < 7; ++x) {
      rows += image.row(y)[3 * x] == 255 ? '#' : '.';
      CHECK(image.row(y)[3 * x + 2] == (image.row(y)[3 * x] == 255 ? 9 : 0));
    }
  CHECK(rows == "#####/..#../..#../..#../..#../..#../..#../");
  CHECK(std::count(image.pixels.begin(), image.pixels.end(), 255) == 11);
  for (const auto& [x, y] : {std::pair{-3, -3}, {17, 9}, {100, 100}, {-1000, 2}})
    draw_text(image, x, y, "MW", {1, 1, 1});
}

TEST_CASE("what makes no sheet is an error") {
  CHECK_THROWS_AS(contact_sheet({}, normalised, names), Error);
  CHECK_THROWS_AS(contact_sheet(batch_of(1, 8), normalised, names, {.columns = 0}), Error);
}

}  // namespace
