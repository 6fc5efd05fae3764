// Errors: one exception type, and check(), which says what was expected and what came.
#pragma once

#include <concepts>
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

// The text of one part of a message. Anther's own types are written by to_string(x).
inline void append_text(std::string& text, std::string_view part) {
  text += part;
}
inline void append_text(std::string& text, char part) {
  text += part;
}
template <std::integral Integer>
void append_text(std::string& text, Integer part) {
  text += std::to_string(part);
}
template <std::floating_point Real>
void append_text(std::string& text, Real part) {
  char digits[32];
  std::snprintf(digits, sizeof digits, "%.9g", static_cast<double>(part));
  text += digits;
}
template <class Value>
requires requires(const Value& value) {
  { to_string(value) } -> std::convertible_to<std::string>;
}
void append_text(std::string& text, const Value& part) {
  text += to_string(part);
}

// The parts, written one after another.
template <class... Parts>
std::string text_of(const Parts&... parts) {
  std::string text;
  (append_text(text, parts), ...);
  return text;
}

// Throws Error with the parts as its message.
template <class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
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
