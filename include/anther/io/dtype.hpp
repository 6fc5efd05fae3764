// Element types as files have them, and conversions between them that never lose anything silently.
//
//   F16    io/float16.hpp
//   BF16   1 sign, 8 exponent, 7 fraction bits: the upper half of a float
#pragma once

#include <bit>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>

#include "anther/core/check.hpp"
#include "anther/io/float16.hpp"

namespace anther::inline v0_1::io {

static_assert(std::endian::native == std::endian::little, "files are read in the host's order");

struct BFloat16 {
  std::uint16_t bits = 0;
};
struct Bool8 {
  std::uint8_t bits = 0;  // 0: false; anything else: true
};

// A double rounded to nearest (ties to even), as a sign, an exponent and a fraction. What is too
// large becomes infinity; what is too small becomes a subnormal number or zero. It starts from the
// double itself: through a float it would be rounded twice.
template <int exponent_bits, int fraction_bits>
std::uint16_t narrowed_bits(double value) {
  constexpr int bias = (1 << (exponent_bits - 1)) - 1;
  constexpr std::uint64_t infinity = ((1ull << exponent_bits) - 1) << fraction_bits;
  const auto bits = std::bit_cast<std::uint64_t>(value);
  const std::uint64_t sign = bits >> 63 << 15;
  const int exponent = static_cast<int>(bits >> 52 & 0x7FF) - 1023;
  const std::uint64_t fraction = bits & ((1ull << 52) - 1);

  std::uint64_t result = 0;
  if (exponent == 1024) {
    result = infinity | fraction >> (52 - fraction_bits);
    if (fraction != 0) result |= 1ull << (fraction_bits - 1);  // a quiet NaN, never infinity
  } else if (exponent >= -bias - fraction_bits) {              // else less than half the smallest
    const int lost = 52 - fraction_bits + std::max(0, 1 - bias - exponent);
    const std::uint64_t significand = 1ull << 52 | fraction;
    const std::uint64_t rest = significand & ((1ull << lost) - 1);
    const std::uint64_t half = 1ull << (lost - 1);
    result = significand >> lost;
    if (rest > half || (rest == half && (result & 1))) ++result;  // may carry into the exponent
    if (exponent > 1 - bias)
      result += static_cast<std::uint64_t>(exponent + bias - 1) << fraction_bits;
    result = std::min(result, infinity);
  }
  return static_cast<std::uint16_t>(sign | result);
}

inline Float16 to_float16(double value) {
  return {narrowed_bits<5, 10>(value)};
}
inline BFloat16 to_bfloat16(double value) {
  return {narrowed_bits<8, 7>(value)};
}

// Exact.
inline float to_float(BFloat16 value) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(value.bits) << 16);
}

// In the order in which safetensors' own writer sorts them.
enum class Dtype { boolean, u8, i8, i16, u16, f16, bf16, i32, u32, f32, f64, i64, u64 };

inline constexpr const char* dtype_names[] = {"BOOL", "U8",  "I8",  "I16", "U16", "F16", "BF16",
                                              "I32",  "U32", "F32", "F64", "I64", "U64"};

inline const char* to_string(Dtype dtype) {
  return dtype_names[static_cast<int>(dtype)];
}

// The dtype whose C++ type is T.
template <class T>
constexpr Dtype dtype_of() {
  if constexpr (std::same_as<T, Bool8>) return Dtype::boolean;
  if constexpr (std::same_as<T, Float16>) return Dtype::f16;
  if constexpr (std::same_as<T, BFloat16>) return Dtype::bf16;
  if constexpr (std::same_as<T, float>) return Dtype::f32;
  if constexpr (std::same_as<T, double>) return Dtype::f64;
  if constexpr (std::integral<T>) {
    constexpr Dtype with_sign[] = {Dtype::i8, Dtype::i16, Dtype::i32, Dtype::i64};
    constexpr Dtype without[] = {Dtype::u8, Dtype::u16, Dtype::u32, Dtype::u64};
    constexpr int log_size = std::bit_width(sizeof(T)) - 1;
    return std::signed_integral<T> ? with_sign[log_size] : without[log_size];
  }
}

// The type of this name ("F32"), if there is one.
inline std::optional<Dtype> dtype_named(std::string_view name) {
  for (int i = 0; i < static_cast<int>(std::size(dtype_names)); ++i)
    if (name == dtype_names[i]) return static_cast<Dtype>(i);
  return std::nullopt;
}

template <class T>
concept SmallFloat = std::same_as<T, Float16> || std::same_as<T, BFloat16>;

// A value in another type. Rounding to a shorter fraction is fine; throws Error if a finite value
// would become infinite, or an integer would change.
template <class To, class From>
To converted(From value) {
  [[maybe_unused]] const auto require = [&](bool ok) {
    if constexpr (std::is_arithmetic_v<From>)
      detail::check(ok, "expected a value that ", dtype_of<To>(), " can hold, got ", value);
  };
  if constexpr (std::same_as<To, From>) {
    return value;
  } else if constexpr (SmallFloat<From>) {
    return converted<To>(to_float(value));
  } else if constexpr (std::same_as<From, Bool8>) {
    return converted<To>(static_cast<std::uint8_t>(value.bits != 0));
  } else if constexpr (std::same_as<To, Bool8>) {
    require(value == From{0} || value == From{1});
    return {static_cast<std::uint8_t>(value)};
  } else if constexpr (SmallFloat<To>) {
    To result;
    if constexpr (std::same_as<To, Float16>)
      result = to_float16(static_cast<double>(value));
    else
      result = to_bfloat16(static_cast<double>(value));
    require(std::isfinite(to_float(result)) || !std::isfinite(static_cast<double>(value)));
    return result;
  } else if constexpr (std::floating_point<To>) {
    const To result = static_cast<To>(value);
    if constexpr (std::floating_point<From>) require(std::isinf(result) == std::isinf(value));
    return result;
  } else if constexpr (std::floating_point<From>) {
    constexpr double end = 2.0 * static_cast<double>(std::numeric_limits<To>::max() / 2 + 1);
    const double wide = static_cast<double>(value);
    require(wide >= static_cast<double>(std::numeric_limits<To>::min()) && wide < end &&
            wide == std::trunc(wide));
    return static_cast<To>(value);
  } else {
    require(std::in_range<To>(value));
    return static_cast<To>(value);
  }
}

// Calls visitor(Element{}), Element being the C++ type of the dtype.
template <class Visitor>
decltype(auto) visit_dtype(Dtype dtype, Visitor&& visitor) {
  switch (dtype) {
    case Dtype::boolean:
      return visitor(Bool8{});
    case Dtype::u8:
      return visitor(std::uint8_t{});
    case Dtype::i8:
      return visitor(std::int8_t{});
    case Dtype::i16:
      return visitor(std::int16_t{});
    case Dtype::u16:
      return visitor(std::uint16_t{});
    case Dtype::f16:
      return visitor(Float16{});
    case Dtype::bf16:
      return visitor(BFloat16{});
    case Dtype::i32:
      return visitor(std::int32_t{});
    case Dtype::u32:
      return visitor(std::uint32_t{});
    case Dtype::f32:
      return visitor(float{});
    case Dtype::f64:
      return visitor(double{});
    case Dtype::i64:
      return visitor(std::int64_t{});
    case Dtype::u64:
      return visitor(std::uint64_t{});
  }
  detail::fail("dtype: expected one of the enumeration, got ", static_cast<int>(dtype));
}

// Bytes of one element.
inline std::int64_t size_of(Dtype dtype) {
  return visit_dtype(dtype, [](auto zero) { return static_cast<std::int64_t>(sizeof zero); });
}

// `count` elements of `dtype`, of any alignment, as T. Throws as converted() does, with the
// element's number, counted from `first`.
template <class T>
void decode(Dtype dtype, const std::byte* in, std::int64_t count, T* out, std::int64_t first = 0) {
  visit_dtype(dtype, [&](auto element) {
    for (std::int64_t i = 0; i < count; ++i) {
      std::memcpy(&element, in + i * static_cast<std::int64_t>(sizeof element), sizeof element);
      try {
        out[i] = converted<T>(element);
      } catch (const Error& error) {
        detail::fail("element ", first + i, ": ", error.what());
      }
    }
  });
}

// `count` values of T as elements of `dtype`, of any alignment. Throws as decode() does.
template <class T>
void encode(Dtype dtype, const T* in, std::int64_t count, std::byte* out, std::int64_t first = 0) {
  visit_dtype(dtype, [&](auto element) {
    for (std::int64_t i = 0; i < count; ++i) {
      try {
        element = converted<decltype(element)>(in[i]);
      } catch (const Error& error) {
        detail::fail("element ", first + i, ": ", error.what());
      }
      std::memcpy(out + i * static_cast<std::int64_t>(sizeof element), &element, sizeof element);
    }
  });
}

}  // namespace anther::inline v0_1::io
