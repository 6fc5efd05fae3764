// Text from outside: bytes that are not UTF-8, letters as people count them.
#include <doctest/doctest.h>

#include <string>

#include "anther/io/text.hpp"

using namespace anther;

TEST_CASE("bytes that are not UTF-8 are escaped, and all others stay") {
  CHECK(io::to_utf8("fl\xE4"
                    "che.png") == "fl\\xE4che.png");
  CHECK(io::to_utf8("fläche 日本 🌻") == "fläche 日本 🌻");
  CHECK(io::is_utf8("fläche 日本 🌻"));
  // Cut off, overlong, a surrogate, beyond Unicode.
  for (const std::string bad : {"\xC3", "\xE2\x82", "\xC0\xAF", "\xED\xA0\x80", "\xF5\x80\x80\x80",
                                "\xF4\x90\x80\x80", "a\x80"}) {
    CHECK_FALSE(io::is_utf8(bad));
    CHECK(io::is_utf8(io::to_utf8(bad)));
  }
  CHECK(io::to_utf8("\xED\xA0\x80") == "\\xED\\xA0\\x80");
  // And back.
  for (const std::string text :
       {"fl\xE4", "\xFF\x80", "fläche", "a\\x41", "\\x", "\\xE", "\\xG0", ""})
    CHECK(io::from_utf8(io::to_utf8(text)) == text);
}

TEST_CASE("letters are counted and cut as people see them") {
  CHECK(io::letter_count("Колокольчик персиколистный") == 26);
  CHECK(io::letter_count("bông hướng dương") == 16);
  CHECK(io::letter_count("bo\u0302ng") == 4);                            // decomposed, as on macOS
  CHECK(io::letter_count("\u1112\u1161\u11AB\u1100\u116E\u11A8") == 2);  // 한국
  CHECK(io::letter_count("🇩🇪🇫🇷") == 2);
  CHECK(io::letter_count("👩‍🌾👍🏽") == 2);
  CHECK(io::letter_count("a\xE4z") == 3);
  CHECK(io::letter_count("") == 0);
  CHECK(io::shortened("Колокольчик", 11) == "Колокольчик");
  CHECK(io::shortened("Колокольчик", 6) == "Коло..");
  CHECK(io::shortened("o\u0302o\u0302o\u0302o\u0302", 3) == "o\u0302..");
  for (std::size_t most = 2; most < 20; ++most) {
    const std::string cut =
        io::shortened("đường 日本 👩‍🌾 Колокольчик", most);
    CHECK(io::is_utf8(cut));
    CHECK(io::letter_count(cut) == most);
  }
}

TEST_CASE("columns of a terminal: letters of East Asia take two") {
  CHECK(io::terminal_columns("daisy") == 5);
  CHECK(io::terminal_columns("菊花") == 4);
  CHECK(io::padded("菊花", 6) == "菊花  ");
  CHECK(io::padded("bo\u0302ng", 6) == "bo\u0302ng  ");
  CHECK(io::padded("longer", 3) == "longer");
}
