#include "anther/io/dtype.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "temporary_folder.hpp"

namespace {

using anther::io::BFloat16;
using anther::io::Dtype;
using anther::io::Float16;

constexpr double infinity = std::numeric_limits<double>::infinity();

// The value of finite bits by the definition of the format.
double value_of(int bits, int exponent_bits, int fraction_bits) {
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const int fraction = bits & ((1 << fraction_bits) - 1);
  const int exponent = bits >> fraction_bits;
  if (exponent == 0) return std::ldexp(fraction, 1 - bias - fraction_bits);
  return std::ldexp(fraction + (1 << fraction_bits), exponent - bias - fraction_bits);
}

template <class Small, class Narrow>
void check_all_values(int exponent_bits, int fraction_bits, const Narrow& narrow) {
  const int end = ((1 << exponent_bits) - 1) << fraction_bits;  // infinity
  int wrong = 0;
  const auto expect = [&](double value, int bits) {
    wrong += narrow(value).bits != bits;
    wrong += narrow(-value).bits != (bits | 0x8000);
  };
  for (int bits = 0; bits < end; ++bits) {
    const double value = value_of(bits, exponent_bits, fraction_bits);
    wrong +=
        anther::io::to_float(Small{static_cast<std::uint16_t>(bits)}) != static_cast<float>(value);
    wrong += anther::io::to_float(Small{static_cast<std::uint16_t>(bits | 0x8000)}) !=
             static_cast<float>(-value);
    expect(value, bits);
    // Between it and the next one, or, after the largest, what would be the next one.
    const double next = bits + 1 < end
                            ? value_of(bits + 1, exponent_bits, fraction_bits)
                            : 2 * value - value_of(bits - 1, exponent_bits, fraction_bits);
    const double middle = (value + next) / 2;
    expect(middle, bits % 2 == 0 ? bits : bits + 1);
    expect(std::nextafter(middle, 0.0), bits);
    expect(std::nextafter(middle, infinity), bits + 1);
  }
  expect(infinity, end);
  expect(std::numeric_limits<double>::max(), end);
  expect(std::numeric_limits<double>::denorm_min(), 0);
  CHECK(wrong == 0);
  CHECK(std::isinf(anther::io::to_float(Small{static_cast<std::uint16_t>(end)})));

  for (int bits = end + 1; bits < 0x8000; ++bits) {
    const float nan = anther::io::to_float(Small{static_cast<std::uint16_t>(bits)});
    wrong += !std::isnan(nan);
    // Back to the same bits, but for the one that says that it is quiet.
    wrong += (narrow(nan).bits | 1 << (fraction_bits - 1)) != (bits | 1 << (fraction_bits - 1));
  }
  CHECK(wrong == 0);
  // A NaN whose payload is all in the bits that are lost stays a NaN.
  const double low = std::bit_cast<double>(0x7FF0000000000001ull);
  CHECK(std::isnan(anther::io::to_float(narrow(low))));
}

TEST_CASE("float16: every value, and the middles between them") {
  check_all_values<Float16>(5, 10, anther::io::to_float16);
  CHECK(anther::io::to_float16(1.0).bits == 0x3C00);
  CHECK(anther::io::to_float16(65504.0).bits == 0x7BFF);
  CHECK(anther::io::to_float16(65520.0).bits == 0x7C00);
  CHECK(std::signbit(anther::io::to_float(Float16{0x8000})));
}

TEST_CASE("bfloat16: every value, and the middles between them") {
  check_all_values<BFloat16>(8, 7, anther::io::to_bfloat16);
  CHECK(anther::io::to_bfloat16(1.0).bits == 0x3F80);
}

TEST_CASE("float16: a double is rounded once") {
  // By way of a float, 1 + 2^-11 + 2^-40 would become 1 + 2^-11 and then, tied, 1.
  CHECK(anther::io::to_float16(1.0 + 0x1p-11 + 0x1p-40).bits == 0x3C01);
}

TEST_CASE("converted: what does not fit is an error") {
  using anther::io::converted;
  CHECK(converted<float>(1.0 / 3.0) == 1.0f / 3.0f);
  CHECK(error_of([] { converted<float>(1e300); }) ==
        "expected a value that F32 can hold, got 1e+300");
  CHECK(std::isinf(converted<float>(infinity)));
  CHECK(std::isnan(converted<float>(std::nan(""))));
  CHECK(converted<Float16>(65519.0f).bits == 0x7BFF);
  CHECK_THROWS_AS(converted<Float16>(65520.0f), anther::Error);
  CHECK(converted<Float16>(-std::numeric_limits<float>::infinity()).bits == 0xFC00);
  CHECK_THROWS_AS(converted<BFloat16>(std::numeric_limits<float>::max()), anther::Error);

  CHECK(converted<std::int64_t>(-3.0f) == -3);
  CHECK_THROWS_AS(converted<std::int64_t>(0.5f), anther::Error);
  CHECK_THROWS_AS(converted<std::int64_t>(0x1p63), anther::Error);
  CHECK(converted<std::int64_t>(-0x1p63) == std::numeric_limits<std::int64_t>::min());
  CHECK_THROWS_AS(converted<std::int64_t>(std::nan("")), anther::Error);
  CHECK_THROWS_AS(converted<std::int64_t>(infinity), anther::Error);
  CHECK_THROWS_AS(converted<std::int64_t>(std::numeric_limits<std::uint64_t>::max()),
                  anther::Error);
  CHECK(converted<std::uint8_t>(255.0) == 255);
  CHECK_THROWS_AS(converted<std::uint8_t>(256.0), anther::Error);
  CHECK_THROWS_AS(converted<std::uint8_t>(std::int64_t{-1}), anther::Error);

  CHECK(converted<float>(anther::io::Bool8{2}) == 1.0f);
  CHECK(converted<anther::io::Bool8>(1.0f).bits == 1);
  CHECK_THROWS_AS(converted<anther::io::Bool8>(0.5f), anther::Error);
  CHECK(converted<float>(Float16{0x3C00}) == 1.0f);
  CHECK(converted<std::int64_t>(BFloat16{0x4000}) == 2);
}

TEST_CASE("dtype: names, sizes, decode and encode at any alignment") {
  CHECK(anther::io::dtype_named("BF16") == Dtype::bf16);
  CHECK(!anther::io::dtype_named("f32"));
  CHECK(anther::io::size_of(Dtype::bf16) == 2);
  CHECK(anther::io::size_of(Dtype::boolean) == 1);
  CHECK(anther::io::dtype_of<std::int64_t>() == Dtype::i64);
  CHECK(anther::io::dtype_of<long long>() == Dtype::i64);
  CHECK(anther::io::dtype_of<unsigned char>() == Dtype::u8);

  const std::vector<double> values = {0, 1, 100, 2, 3};
  for (int i = 0; i < 13; ++i) {
    const auto dtype = static_cast<Dtype>(i);
    CAPTURE(to_string(dtype));
    CHECK(anther::io::dtype_named(to_string(dtype)) == dtype);
    const std::int64_t count = dtype == Dtype::boolean ? 2 : 5;
    std::vector<std::byte> bytes(static_cast<std::size_t>(5 * anther::io::size_of(dtype) + 1));
    std::vector<double> back(5, -1.0);
    anther::io::encode(dtype, values.data(), count, bytes.data() + 1);
    anther::io::decode(dtype, bytes.data() + 1, count, back.data());
    for (std::size_t k = 0; k < static_cast<std::size_t>(count); ++k) CHECK(back[k] == values[k]);
  }
  std::byte out[8];
  const float large[2] = {1.0f, 70000.0f};
  CHECK(error_of([&] { anther::io::encode(Dtype::f16, large, 2, out, 10); }) ==
        "element 11: expected a value that F16 can hold, got 70000");
}

}  // namespace
