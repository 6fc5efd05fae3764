// Text that comes from outside (names of files and classes): whether it is UTF-8, its letters as
// people count them, and how wide they are in a terminal.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "anther/core/once.hpp"

namespace anther::inline v0_1::io {

// A code point of UTF-8 text and the bytes that it takes; a byte that is not UTF-8 is one by
// itself, and not valid.
struct CodePoint {
  char32_t value = 0;
  std::size_t bytes = 1;
  bool valid = false;
};

// at: the place of its first byte, less than text.size().
ANTHER_ONCE CodePoint code_point_at(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u;
  };
  const unsigned first = byte(at);
  if (first < 0x80) return {first, 1, true};
  const std::size_t bytes = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4) return {first, 1, false};
  char32_t value = first & (0xFFu >> (bytes + 1));
  for (std::size_t i = 1; i < bytes; ++i) {
    if ((byte(at + i) & 0xC0) != 0x80) return {first, 1, false};
    value = value << 6 | (byte(at + i) & 0x3F);
  }
  const bool shortest = value >= (bytes == 2 ? 0x80u : bytes == 3 ? 0x800u : 0x10000u);
  const bool surrogate = value >= 0xD800 && value <= 0xDFFF;
  if (!shortest || surrogate || value > 0x10FFFF) return {first, 1, false};
  return {value, bytes, true};
}

// The text as UTF-8, which JSON, SVG and HTML need: a byte that is not UTF-8 is written as \xE4.
// Names of files on Linux may be any bytes.
ANTHER_ONCE std::string to_utf8(std::string_view text) {
  constexpr char digits[] = "0123456789ABCDEF";
  std::string result;
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint point = code_point_at(text, at);
    if (point.valid)
      result += text.substr(at, point.bytes);
    else
      result += {'\\', 'x', digits[point.value >> 4], digits[point.value & 15]};
    at += point.bytes;
  }
  return result;
}

// What to_utf8 wrote, as it was: a path from a JSON file leads to its file again.
ANTHER_ONCE std::string from_utf8(std::string_view text) {
  const auto digit = [&](std::size_t at) {
    const std::size_t found = std::string_view("0123456789ABCDEF").find(text[at]);
    return found == std::string_view::npos ? 16u : static_cast<unsigned>(found);
  };
  std::string result;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const bool escape = text.substr(at).starts_with("\\x") && at + 3 < text.size();
    const unsigned high = escape ? digit(at + 2) : 16, low = escape ? digit(at + 3) : 16;
    if (high < 8 || high > 15 || low > 15) {
      result += text[at];
      continue;
    }
    result += static_cast<char>(high << 4 | low);
    at += 3;
  }
  return result;
}

ANTHER_ONCE bool is_utf8(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint point = code_point_at(text, at);
    if (!point.valid) return false;
    at += point.bytes;
  }
  return true;
}

namespace text_detail {

using Range = std::pair<char32_t, char32_t>;

template <std::size_t N>
bool is_in(char32_t value, const Range (&ranges)[N]) {
  const auto after =
      std::upper_bound(std::begin(ranges), std::end(ranges), value,
                       [](char32_t v, const Range& range) { return v < range.first; });
  return after != std::begin(ranges) && value <= std::prev(after)->second;
}

// What belongs to the letter before it: accents, vowel signs, the parts of decomposed Hangul (as
// macOS stores names), selectors, skin colours.
ANTHER_ONCE bool extends(char32_t value) {
  static constexpr Range ranges[] = {
      {0x0300, 0x036F},   {0x0483, 0x0489},   {0x0591, 0x05BD},   {0x05BF, 0x05BF},
      {0x05C1, 0x05C2},   {0x05C4, 0x05C5},   {0x05C7, 0x05C7},   {0x0610, 0x061A},
      {0x064B, 0x065F},   {0x0670, 0x0670},   {0x06D6, 0x06DC},   {0x06DF, 0x06E4},
      {0x06E7, 0x06E8},   {0x06EA, 0x06ED},   {0x0730, 0x074A},   {0x08CA, 0x0903},
      {0x093A, 0x093C},   {0x093E, 0x094F},   {0x0951, 0x0957},   {0x0962, 0x0963},
      {0x0981, 0x0983},   {0x09BC, 0x09BC},   {0x09BE, 0x09CD},   {0x09D7, 0x09D7},
      {0x0A01, 0x0A03},   {0x0A3C, 0x0A51},   {0x0A70, 0x0A71},   {0x0A81, 0x0A83},
      {0x0ABC, 0x0ABC},   {0x0ABE, 0x0ACD},   {0x0B01, 0x0B03},   {0x0B3C, 0x0B3C},
      {0x0B3E, 0x0B57},   {0x0B82, 0x0B82},   {0x0BBE, 0x0BCD},   {0x0BD7, 0x0BD7},
      {0x0C00, 0x0C04},   {0x0C3C, 0x0C3C},   {0x0C3E, 0x0C56},   {0x0C81, 0x0C83},
      {0x0CBC, 0x0CBC},   {0x0CBE, 0x0CD6},   {0x0D00, 0x0D03},   {0x0D3B, 0x0D3C},
      {0x0D3E, 0x0D4D},   {0x0D57, 0x0D57},   {0x0DCA, 0x0DDF},   {0x0E31, 0x0E31},
      {0x0E34, 0x0E3A},   {0x0E47, 0x0E4E},   {0x0EB1, 0x0EB1},   {0x0EB4, 0x0EBC},
      {0x0EC8, 0x0ECE},   {0x0F71, 0x0F84},   {0x0F8D, 0x0FBC},   {0x102B, 0x103E},
      {0x1056, 0x1059},   {0x1160, 0x11FF},   {0x17B4, 0x17D3},   {0x180B, 0x180F},
      {0x1AB0, 0x1ACE},   {0x1DC0, 0x1DFF},   {0x200C, 0x200D},   {0x20D0, 0x20F0},
      {0x302A, 0x302F},   {0x3099, 0x309A},   {0xFE00, 0xFE0F},   {0xFE20, 0xFE2F},
      {0x1F3FB, 0x1F3FF}, {0xE0020, 0xE007F}, {0xE0100, 0xE01EF},
  };
  return is_in(value, ranges);
}

// What takes two columns of a terminal: the scripts of East Asia, emoji.
ANTHER_ONCE bool is_wide(char32_t value) {
  static constexpr Range ranges[] = {
      {0x1100, 0x115F},   {0x2E80, 0x303E},   {0x3041, 0xA4CF},   {0xAC00, 0xD7A3},
      {0xF900, 0xFAFF},   {0xFE30, 0xFE6F},   {0xFF00, 0xFF60},   {0xFFE0, 0xFFE6},
      {0x1F1E6, 0x1F1FF}, {0x1F300, 0x1F64F}, {0x1F680, 0x1F6FF}, {0x1F900, 0x1F9FF},
      {0x20000, 0x3FFFD},
  };
  return is_in(value, ranges);
}

}  // namespace text_detail

// The letters of a text as people count them: a code point with the marks that belong to it, a flag
// of two signs, signs that a joiner makes one. They point into the text.
ANTHER_ONCE std::vector<std::string_view> letters_of(std::string_view text) {
  constexpr char32_t joiner = 0x200D;
  const auto is_flag = [](char32_t value) { return value >= 0x1F1E6 && value <= 0x1F1FF; };
  std::vector<std::string_view> letters;
  char32_t before = 0;
  std::size_t flags = 0;  // of those in a row, how many
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint point = code_point_at(text, at);
    const char32_t value = point.valid ? point.value : 0;
    flags = is_flag(value) ? flags + 1 : 0;
    const bool goes_on =
        text_detail::extends(value) || before == joiner || (flags > 0 && flags % 2 == 0);
    if (goes_on && !letters.empty())
      letters.back() = {letters.back().data(), letters.back().size() + point.bytes};
    else
      letters.push_back(text.substr(at, point.bytes));
    before = value;
    at += point.bytes;
  }
  return letters;
}

inline std::size_t letter_count(std::string_view text) {
  return letters_of(text).size();
}

// Whether two texts differ only in capitals of ASCII, or in whether the marks of a letter are
// stored apart from it (as macOS does): people take them for the same.
ANTHER_ONCE bool look_alike(std::string_view a, std::string_view b) {
  const auto left = letters_of(a), right = letters_of(b);
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  const auto same = [&](std::string_view one, std::string_view other) {
    if (std::equal(one.begin(), one.end(), other.begin(), other.end(),
                   [&](char x, char y) { return lower(x) == lower(y); }))
      return true;
    const CodePoint first = code_point_at(one, 0), second = code_point_at(other, 0);
    const bool one_has_marks = first.bytes < one.size(), other_has = second.bytes < other.size();
    return one_has_marks != other_has && (one_has_marks ? second : first).value >= 0x80;
  };
  return std::equal(left.begin(), left.end(), right.begin(), right.end(), same);
}

// The first `count` letters.
inline std::string_view first_letters(std::string_view text, std::size_t count) {
  const auto letters = letters_of(text);
  if (letters.size() <= count) return text;
  return text.substr(0, static_cast<std::size_t>(letters[count].data() - text.data()));
}

// A text of at most so many letters: a longer one is cut and ends in "..".
inline std::string shortened(std::string_view text, std::size_t most) {
  if (letter_count(text) <= most) return std::string(text);
  return std::string(first_letters(text, most - std::min<std::size_t>(most, 2))) + "..";
}

// The columns that the text takes in a terminal, and the text with spaces up to so many.
ANTHER_ONCE std::size_t terminal_columns(std::string_view text) {
  std::size_t columns = 0;
  for (const std::string_view letter : letters_of(text)) {
    const CodePoint point = code_point_at(letter, 0);
    columns += point.valid && text_detail::is_wide(point.value) ? 2u : 1u;
  }
  return columns;
}
inline std::string padded(std::string_view text, std::size_t columns) {
  const std::size_t own = terminal_columns(text);
  return std::string(text) + std::string(columns > own ? columns - own : 0, ' ');
}

}  // namespace anther::inline v0_1::io
