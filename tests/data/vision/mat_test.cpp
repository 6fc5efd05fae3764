// MATLAB files, written here byte by byte.
#include "anther/data/vision/mat.hpp"

#include <doctest/doctest.h>

#include <string>

#include "mat_writer.hpp"
#include "test_files.hpp"

namespace {

using namespace anther;
using namespace anther::vision;
using mat_writer::array;
using mat_writer::compressed;
using mat_writer::file;

std::string error_of(const Bytes& bytes, std::string_view name = "labels") {
  try {
    read_mat(bytes, name, "dir/x.mat");
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}
using test_files::contains;

TEST_CASE("a variable is found by its name, compressed or not, of any numeric type") {
  struct Case {
    std::uint32_t type;
    std::size_t size;
  };
  for (const Case& each : {Case{1, 1}, Case{2, 1}, Case{3, 2}, Case{4, 2}, Case{5, 4}, Case{6, 4},
                           Case{7, 4}, Case{9, 8}, Case{12, 8}, Case{13, 8}})
    for (const bool squeeze : {false, true}) {
      CAPTURE(each.type);
      const std::vector<double> values = {1, 5, 102, 7, 0, 3};
      Bytes element = array("labels", {2, 3}, each.type, values);
      Bytes other = array("other", {1, 1}, 9, {4});
      if (squeeze) element = compressed(element);
      const MatArray found = read_mat(file({other, element}), "labels", "x.mat");
      CHECK(found.name == "labels");
      CHECK(found.shape == std::vector<std::int64_t>{2, 3});
      CHECK(found.values == values);
    }
  const MatArray signs = read_mat(file({array("v", {1, 2}, 9, {-1.5, 1e10})}), "v", "x.mat");
  CHECK(signs.values == std::vector<double>{-1.5, 1e10});
  CHECK(read_mat(file({array("v", {1, 2}, 3, {-2, 3})}), "v", "x.mat").values[0] == -2);
  CHECK(read_mat(file({array("v", {0, 0}, 9, {})}), "v", "x.mat").values.empty());
}

TEST_CASE("what is wrong is said, with the file and the variable") {
  const Bytes good =
      file({array("labels", {1, 3}, 2, {1, 2, 3}), compressed(array("b", {1, 1}, 2, {1}))});
  CHECK(error_of(good) == "");
  CHECK(error_of(good, "none") == "dir/x.mat: no variable none (found: labels, b)");

  CHECK(contains(error_of(Bytes{}), "dir/x.mat: not a MATLAB 5 file"));
  CHECK(contains(error_of(Bytes(200, 'x')), "dir/x.mat: not a MATLAB 5 file"));
  Bytes big = good;
  big[126] = 'M';
  big[127] = 'I';
  CHECK(contains(error_of(big), "dir/x.mat: a big-endian"));
  Bytes seven = good;
  seven[7] = '7';
  seven[9] = '3';
  CHECK(contains(error_of(seven), "dir/x.mat: a MATLAB 7.3 file"));

  CHECK(contains(error_of(file({array("labels", {1, 4}, 2, {1, 2, 3})})),
                 "dir/x.mat: variable labels: expected 4 numbers, found 3"));
  CHECK(contains(error_of(file({array("labels", {1, 3}, 2, {1, 2, 3}, 1)})),
                 "dir/x.mat: variable labels: expected a numeric array"));
  CHECK(contains(error_of(file({array("labels", {1, 3}, 2, {1, 2, 3}, 6, true)})), "complex"));
}

// zlib data that inflates to as many zeros, at a thousandth of their size: a literal, then matches
// of 258 bytes at distance 1, in deflate's fixed codes.
Bytes zeros_compressed(std::size_t count) {
  Bytes bytes = {0x78, 0x01};
  std::uint32_t bits = 0;
  int filled = 0;
  const auto put_bits = [&](std::uint32_t value, int length) {
    bits |= value << filled;
    for (filled += length; filled >= 8; filled -= 8, bits >>= 8)
      bytes.push_back(static_cast<std::uint8_t>(bits));
  };
  put_bits(1, 1);           // the last block,
  put_bits(1, 2);           // of fixed codes
  put_bits(0b00001100, 8);  // literal 0, code 00110000 from its highest bit on
  for (std::size_t at = 1; at < count; at += 258) {
    put_bits(0b10100011, 8);  // length 258, code 11000101
    put_bits(0, 5);           // distance 1
  }
  put_bits(0, 7);  // the end
  put_bits(0, 7);
  const auto b = static_cast<std::uint32_t>((count - 1 + 257) / 258 * 258 + 1) % 65521;
  for (const std::uint32_t half : {b, 1u}) {  // Adler-32
    bytes.push_back(static_cast<std::uint8_t>(half >> 8));
    bytes.push_back(static_cast<std::uint8_t>(half & 255));
  }
  return bytes;
}

TEST_CASE("a little compressed data cannot ask for all memory") {
  CHECK(stb_inflate(zeros_compressed(259), "x") == Bytes(259));
  CHECK(stb_inflate(zeros_compressed(30'000'000), "x").size() > 30'000'000 - 258);
  const Bytes bomb = zeros_compressed(300'000'000);
  CHECK(bomb.size() < 2'000'000);
  CHECK_THROWS_WITH_AS(stb_inflate(bomb, "x"), "x: its compressed data is corrupt", Error);
}

TEST_CASE("a file cut off or damaged anywhere is an error or its true values, and never a crash") {
  const Bytes plain = file({array("labels", {1, 3}, 4, {1, 2, 3})});
  const Bytes squeezed = file({compressed(array("labels", {1, 3}, 4, {1, 2, 3}))});
  for (const Bytes& good : {plain, squeezed})
    for (std::size_t size = 0; size < good.size(); ++size) {
      CAPTURE(size);
      Bytes cut(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size));
      cut.shrink_to_fit();
      // All that may be missing is padding.
      if (error_of(cut).empty())
        CHECK(read_mat(cut, "labels", "x").values == std::vector<double>{1, 2, 3});
    }
  for (std::size_t at = 128; at < squeezed.size(); ++at)
    for (const int bit : {1, 16, 128}) {
      CAPTURE(at);
      Bytes damaged = squeezed;
      damaged[at] ^= static_cast<std::uint8_t>(bit);
      // Some bits mean nothing: those between deflate's block header and its length.
      if (!contains(error_of(damaged), "dir/x.mat: "))
        CHECK(read_mat(damaged, "labels", "x").values == std::vector<double>{1, 2, 3});
    }
}

}  // namespace
