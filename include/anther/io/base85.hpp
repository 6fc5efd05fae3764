// 32 bits as five characters that can stand in a string literal as they are: the digits in base 85,
// the highest first. Digit d is the character '#' + d, but x in place of ? and y in place of \.
#pragma once

#include <cstdint>

namespace anther::inline v0_1::io {

inline void to_base85(char* text, std::uint32_t bits) {
  for (int i = 4; i >= 0; --i, bits /= 85) {
    const char digit = static_cast<char>('#' + bits % 85);
    text[i] = digit == '?' ? 'x' : digit == '\\' ? 'y' : digit;
  }
}

inline std::uint32_t from_base85(const char* text) {
  std::uint32_t bits = 0;
  for (int i = 0; i < 5; ++i) {
    const char digit = text[i] == 'x' ? '?' : text[i] == 'y' ? '\\' : text[i];
    bits = bits * 85 + static_cast<std::uint32_t>(digit - '#');
  }
  return bits;
}

}  // namespace anther::inline v0_1::io
