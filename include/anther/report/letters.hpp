// Text in the letters that the built-in font has, which are those of ASCII: accents are left out,
// Greek and Cyrillic letters are transliterated, and each letter of another script is a question
// mark.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "anther/core/once.hpp"
#include "anther/io/text.hpp"

namespace anther::inline v0_1::report {

// Letters from a code point on, each as ASCII, with spaces between.
struct LetterTable {
  char32_t first;
  std::string_view letters;
};

// clang-format off
inline constexpr LetterTable letter_tables[] = {
    {0xC0,  // Latin
     "A A A A A A AE C E E E E I I I I D N O O O O O X O U U U U Y TH SS A A A A A A AE C "
     "E E E E I I I I D N O O O O O / O U U U U Y TH Y A A A A A A C C C C C C C C D D D "
     "D E E E E E E E E E E G G G G G G G G H H H H I I I I I I I I I I IJ IJ J J K K K L "
     "L L L L L L L L L N N N N N N N NG NG O O O O O O OE OE R R R R R R S S S S S S S S "
     "T T T T T T U U U U U U U U U U U U W W Y Y Y Z Z Z Z Z Z S B B ? ? ? ? O ? ? ? D ? "
     "? ? E E E F F G ? ? I I K K L ? ? N ? O O O ? ? P P ? ? ? ? ? ? T T T U U ? V Y Y Z "
     "Z ZH ? ? ? ? ? ? ? ? ? ? ? ? DZ DZ DZ LJ LJ LJ NJ NJ NJ A A I I O O U U U U U U U U "
     "U U E A A A A AE AE G G G G K K O O O O ZH ZH J DZ DZ DZ G G ? ? N N A A AE AE O O "
     "A A A A E E E E I I I I O O O O R R R R U U U U S S T T ? ? H H ? ? ? ? Z Z A A E E "
     "O O O O O O O O Y Y ? ? ? ? ? ? A C C L T ? ? ? ? B ? ? E E J J ? ? R R Y Y"},
    {0x370,  // Greek
     "? ? ? ? ? ? ? ? ? ? ? ? ? ? ; ? ? ? ? ? ? ? A ? E I I ? O ? Y O I A B G D E Z I TH "
     "I K L M N X O P R ? S T Y F CH PS O I Y A E I I Y A B G D E Z I TH I K L M N X O P "
     "R S S T Y F CH PS O I Y O Y O ? B TH ? ? ? F P ? ? ? ? ? ? ? ? ? ? ? ? ? ? ? ? ? ? "
    "? ? ? ? ? ? ? K R ? ? ? E ? ? ? ? ? ? ? ? ? ?"},
    {0x400,  // Cyrillic
     "E E DJ G YE DZ I YI J LJ NJ C K I U DZ A B V G D E ZH Z I J K L M N O P R S T U F "
     "KH TS CH SH SHCH ' Y ' E YU YA A B V G D E ZH Z I J K L M N O P R S T U F KH TS CH "
     "SH SHCH ' Y ' E YU YA E E DJ G YE DZ I YI J LJ NJ C K I U DZ ? ? ? ? ? ? ? ? ? ? ? "
     "? ? ? ? ? ? ? ? ? ? ? ? ? ? ? ? ? ? ? ? ? ? ? ? ? ? ? ? ? ? ? ? ? ? ? ? ? G G G G ? "
     "? ? ? ? ? K K ? ? ? ? ? ? N N ? ? ? ? ? ? ? ? ? ? U U U U ? ? ? ? ? ? ? ? H H ? ? ? "
     "? ? ZH ZH ? ? ? ? ? ? ? ? ? ? ? ? ? A A A A ? ? E E A A A A ZH ZH Z Z ? ? I I I I O "
    "O O O O O E E U U U U U U CH CH ? ? Y Y ? ? ? ? ? ?"},
    {0x1E00,  // Latin with more accents, Vietnamese among them
     "A A B B B B B B C C D D D D D D D D D D E E E E E E E E E E F F G G H H H H H H H H "
     "H H I I I I K K K K K K L L L L L L L L M M M M M M N N N N N N N N O O O O O O O O "
     "P P P P R R R R R R R R S S S S S S S S S S T T T T T T T T U U U U U U U U U U V V "
     "V V W W W W W W W W W W X X X X Y Y Z Z Z Z Z Z H T W Y ? S ? ? SS ? A A A A A A A "
     "A A A A A A A A A A A A A A A A A E E E E E E E E E E E E E E E E I I I I O O O O O "
     "O O O O O O O O O O O O O O O O O O O U U U U U U U U U U U U U U Y Y Y Y Y Y Y Y ? "
    "? ? ? ? ?"},
};
// clang-format on

// The letter as ASCII; "?" where the tables have none.
ANTHER_ONCE std::string_view ascii_of(char32_t letter) {
  struct Sign {
    char32_t from;
    std::string_view to;
  };
  static constexpr Sign signs[] = {{0xA0, " "},     {0xAB, "\""},   {0xB4, "'"},    {0xB7, "."},
                                   {0xBB, "\""},    {0x2010, "-"},  {0x2011, "-"},  {0x2012, "-"},
                                   {0x2013, "-"},   {0x2014, "-"},  {0x2018, "'"},  {0x2019, "'"},
                                   {0x201A, ","},   {0x201C, "\""}, {0x201D, "\""}, {0x201E, "\""},
                                   {0x2026, "..."}, {0x2032, "'"},  {0x2212, "-"},  {0x3000, " "}};
  for (const Sign& sign : signs)
    if (sign.from == letter) return sign.to;
  for (const LetterTable& table : letter_tables) {
    if (letter < table.first) continue;
    std::size_t at = 0;
    for (char32_t left = letter - table.first; left > 0 && at != std::string_view::npos; --left) {
      at = table.letters.find(' ', at);
      if (at != std::string_view::npos) ++at;
    }
    if (at >= table.letters.size()) continue;
    return table.letters.substr(at, table.letters.find(' ', at) - at);
  }
  return "?";
}

ANTHER_ONCE std::string to_ascii(std::string_view text) {
  std::string result;
  for (const std::string_view letter : io::letters_of(text)) {
    const io::CodePoint point = io::code_point_at(letter, 0);
    if (point.valid && point.value < 0x80)
      result += static_cast<char>(point.value);
    else if (point.valid && point.value >= 0xFF01 && point.value <= 0xFF5E)  // of full width
      result += static_cast<char>(point.value - 0xFF01 + '!');
    else
      result += point.valid ? ascii_of(point.value) : "?";
  }
  return result;
}

// Whether most of a text's letters can be written so.
inline bool is_legible(std::string_view text) {
  const std::string ascii = to_ascii(text);
  return ascii == text || 2 * std::count(ascii.begin(), ascii.end(), '?') <= std::ssize(ascii);
}

}  // namespace anther::inline v0_1::report
