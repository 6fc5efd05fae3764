// The version of these headers; the inline namespace anther::v0_1 carries its first two numbers.
#pragma once

namespace anther::inline v0_1 {

inline constexpr const char* version = "0.1.0";

}  // namespace anther::inline v0_1
