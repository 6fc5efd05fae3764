// Errors: one exception type, and check(), which says what was expected and what came.
#pragma once

#include <charconv>
#include <concepts>
#include <cstdarg>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <string_view>

#if !defined(__cpp_exceptions)
#error "Anther tells errors by exceptions: compile without -fno-exceptions"
#endif
#if defined(__FAST_MATH__)
#error "Anther rounds and compares as IEEE 754 has it: compile without -ffast-math and -Ofast"
#endif

namespace anther::inline v0_1 {

// Everything that Anther throws for bad input: shapes, options, files.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

namespace detail {

// The text of one part of a message. Anther's own types are written by to_string(x). What makes
// messages is cold: the compiler makes it small, and is done with it sooner.
[[gnu::cold]] inline void append_text(std::string& text, std::string_view part) {
  text += part;
}
inline void append_text(std::string& text, char part) {
  text += part;
}
[[gnu::cold]] inline void append_number(std::string& text, const char* format, ...) {
  char digits[32];
  va_list number;
  va_start(number, format);
  std::vsnprintf(digits, sizeof digits, format, number);
  va_end(number);
  text += digits;
}
// With a point, whatever the locale.
[[gnu::cold]] inline void append_real(std::string& text, double number) {
  char digits[32];
  text.append(
      digits,
      std::to_chars(digits, digits + sizeof digits, number, std::chars_format::general, 9).ptr);
}
template <std::integral Integer>
void append_text(std::string& text, Integer part) {
  if constexpr (std::signed_integral<Integer>)
    append_number(text, "%lld", static_cast<long long>(part));
  else
    append_number(text, "%llu", static_cast<unsigned long long>(part));
}
template <std::floating_point Real>
void append_text(std::string& text, Real part) {
  append_real(text, static_cast<double>(part));
}
template <class Value>
requires requires(const Value& value) {
  { to_string(value) } -> std::convertible_to<std::string>;
}
[[gnu::cold]] void append_text(std::string& text, const Value& part) {
  text += to_string(part);
}

// The parts, written one after another.
template <class... Parts>
[[gnu::cold]] std::string text_of(const Parts&... parts) {
  std::string text;
  (append_text(text, parts), ...);
  return text;
}

// Throws Error with the parts as its message.
template <class... Parts>
[[noreturn, gnu::cold]] void fail(const Parts&... parts) {
  throw Error(text_of(parts...));
}

// Throws unless ok: check(n > 0, "batch size: expected at least 1, got ", n).
template <class... Parts>
constexpr void check(bool ok, const Parts&... parts) {
  if (!ok) [[unlikely]]
    fail(parts...);
}

}  // namespace detail

}  // namespace anther::inline v0_1
