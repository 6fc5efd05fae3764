#include "anther/core/check.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

#include "tests/decimal_comma.hpp"
#include "tests/io/temporary_folder.hpp"

namespace other {

struct Colour {
  int level;
};
std::string to_string(const Colour& colour) {
  return "level " + std::to_string(colour.level);
}

}  // namespace other

namespace {

TEST_CASE("check: the parts of a message are written one after another") {
  CHECK(anther::detail::text_of() == "");
  CHECK(anther::detail::text_of("a", std::string("b"), std::string_view("c"), 'd') == "abcd");
  CHECK(anther::detail::text_of(-3, ' ', std::size_t{7}, ' ', INT64_MIN) ==
        "-3 7 -9223372036854775808");
  CHECK(anther::detail::text_of(0.1f, ' ', 0.1, ' ', 1e-30) == "0.100000001 0.1 1e-30");
  CHECK(anther::detail::text_of("got ", other::Colour{5}) == "got level 5");
  const DecimalComma comma;
  CHECK(anther::detail::text_of(1.5f, ' ', -2e30, ' ', 1e9, ' ', 0.0) == "1.5 -2e+30 1e+09 0");
}

TEST_CASE("check: throws its message, and only where the condition fails") {
  CHECK_NOTHROW(anther::detail::check(true, "never"));
  CHECK(error_of([] { anther::detail::check(false, "lanes: expected at least 1, got ", 0); }) ==
        "lanes: expected at least 1, got 0");
  CHECK(error_of([] { anther::detail::fail("file", ": ", "gone"); }) == "file: gone");
  static_assert(std::is_base_of_v<std::runtime_error, anther::Error>);
}

}  // namespace
