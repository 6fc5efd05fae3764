// Numbers, dims, text and names as C++ writes them.
#pragma once

#include <cctype>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>

#include "anther/core/check.hpp"
#include "anther/core/once.hpp"

namespace anther::inline v0_1::exports {

// A number as C++ writes it, exactly, whatever the locale.
ANTHER_ONCE std::string code_of(double number) {
  const std::string sign = std::signbit(number) ? "-" : "";
  if (std::isnan(number)) return sign + "__builtin_nan(\"\")";
  if (std::isinf(number)) return sign + "__builtin_inf()";
  char digits[40];
  char* const end =
      std::to_chars(digits, digits + sizeof digits, std::abs(number), std::chars_format::hex).ptr;
  return sign + "0x" + std::string(digits, end);
}
// The same as a float, which a suffix makes only of digits.
ANTHER_ONCE std::string code_of(float number) {
  const std::string code = code_of(static_cast<double>(number));
  return std::isfinite(number) ? code + "f" : "static_cast<float>(" + code + ")";
}
inline std::string code_of(std::int64_t number) {
  return std::to_string(number);
}
inline std::string code_of(std::string_view expression) {
  return std::string(expression);
}

template <class First, class... Rest>
std::string code_list(const First& first, const Rest&... rest);

// A struct that lists its members, as the kernels' dims do: "{1, 196, 36}".
template <class Dims>
requires requires(const Dims& dims) {
  dims.members([](const auto&...) {});
}
std::string code_of(const Dims& dims) {
  return dims.members([](const auto&... members) { return "{" + code_list(members...) + "}"; });
}

// Arguments: numbers, dims and expressions: "a, 3, 0x1p-1".
template <class First, class... Rest>
std::string code_list(const First& first, const Rest&... rest) {
  std::string text = code_of(first);
  ((text += ", " + code_of(rest)), ...);
  return text;
}

// Whether a word can name the header's namespace: an identifier that neither the language reserves
// nor a C library has for a function or a type, as far as its name is a word that one may choose.
ANTHER_ONCE bool is_namespace_name(std::string_view word) {
  constexpr std::string_view taken =
      " alignas alignof and and_eq asm auto bitand bitor bool break case catch char char16_t "
      "char32_t char8_t class co_await co_return co_yield compl concept const const_cast consteval "
      "constexpr constinit continue decltype default delete do double dynamic_cast else enum "
      "explicit export extern false float for friend goto if inline int long mutable namespace new "
      "noexcept not not_eq nullptr operator or or_eq private protected public register "
      "reinterpret_cast requires return short signed sizeof static static_assert static_cast "
      "struct switch template this thread_local throw true try typedef typeid typename union "
      "unsigned using virtual void volatile wchar_t while xor xor_eq anther main posix std "
      "abort abs access alarm atan brk calloc ceil clock clone close cos cosh crypt daemon "
      "daylight div double_t dup environ erf erfc errno exit exp fabs ffs float_t floor fma "
      "fmax fmin fmod fork free gamma index j0 j1 jn labs link linux log logb malloc nan "
      "nice optarg pause perror pipe pow printf puts rand random read realloc remainder "
      "remove rename revoke rewind rindex rint round select signal signgam significand sin "
      "sincos sinh sleep sqrt stderr stdin stdout strlen sync syscall system tan tanh time "
      "timespec timeval timex timezone tm trunc truncate unix unlink write y0 y1 yn ";
  if (word.empty() || !std::isalpha(static_cast<unsigned char>(word[0]))) return false;
  for (const char letter : word)
    if (!std::isalnum(static_cast<unsigned char>(letter)) && letter != '_') return false;
  return word.find("__") == word.npos && taken.find(detail::text_of(' ', word, ' ')) == taken.npos;
}

// Text as a string literal; all but printable ASCII by its octal code.
ANTHER_ONCE std::string string_literal(std::string_view text) {
  std::string literal = "\"";
  for (const char letter : text) {
    const auto code = static_cast<unsigned char>(letter);
    if (code < 32 || code > 126 || letter == '"' || letter == '\\' || letter == '?') {
      literal += '\\';
      for (const int shift : {6, 3, 0}) literal += static_cast<char>('0' + (code >> shift & 7));
    } else {
      literal += letter;
    }
  }
  return literal + "\"";
}

}  // namespace anther::inline v0_1::exports
