#include "anther/core/shape.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <type_traits>

#include "tests/io/temporary_folder.hpp"

namespace {

using anther::Shape;

TEST_CASE("shape: extents, rank, elements and rows") {
  constexpr Shape map = {2, 7, 5, 3};
  static_assert(map.rank() == 4 && map.numel() == 210 && map.rows() == 70 && map.back() == 3);
  static_assert(Shape{}.rank() == 0 && Shape{}.numel() == 1);  // a scalar
  static_assert(Shape{4, 0, 3}.numel() == 0 && Shape{0, 3}.rows() == 0);
  static_assert(Shape{5}.rows() == 1);
  static_assert(std::is_trivially_copyable_v<Shape>, "a tape entry is copied as bytes");
  Shape shape = map;
  shape[3] = 8;
  CHECK(shape.numel() == 560);
  CHECK(map[3] == 3);
}

TEST_CASE("shape: equality counts the rank and every extent") {
  CHECK(Shape{2, 3} == Shape{2, 3});
  CHECK_FALSE(Shape{2, 3} == Shape{3, 2});
  CHECK_FALSE(Shape{2, 3} == Shape{2, 3, 1});
  CHECK_FALSE(Shape{} == Shape{1});
  // What a larger shape left behind is not part of it.
  Shape grown = {2};
  grown.push_back(3);
  CHECK(grown == Shape{2, 3});
}

TEST_CASE("shape: as text") {
  CHECK(to_string(Shape{}) == "()");
  CHECK(to_string(Shape{7}) == "(7)");
  CHECK(to_string(Shape{2, 224, 224, 3}) == "(2, 224, 224, 3)");
}

TEST_CASE("shape: at most six extents, none negative") {
  CHECK(Shape{1, 2, 3, 4, 5, 6}.numel() == 720);
  CHECK(contains(error_of([] { (void)Shape{1, 2, 3, 4, 5, 6, 7}; }), "at most 6 extents, got 7"));
  Shape full = {1, 2, 3, 4, 5, 6};
  CHECK(contains(error_of([&] { full.push_back(7); }), "at most 6 extents"));
  CHECK(full.rank() == 6);
  CHECK(contains(error_of([] { (void)Shape{2, -1}; }), "at least 0, got -1"));
}

TEST_CASE("shape: a number of elements beyond 64 bits throws") {
  const std::int64_t half = std::int64_t{1} << 32;
  CHECK(Shape{half, half / 2 - 1}.numel() == half * (half / 2 - 1));
  CHECK(contains(error_of([&] { (void)Shape{half, half / 2}.numel(); }), "overflows"));
  CHECK(contains(error_of([&] { (void)Shape{half, half, half}.numel(); }), "overflows"));
  CHECK(Shape{INT64_MAX}.numel() == INT64_MAX);
  CHECK(contains(error_of([&] { (void)Shape{INT64_MAX, 2}.numel(); }), "overflows"));
}

}  // namespace
