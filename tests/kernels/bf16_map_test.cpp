// Maps in bfloat16 and GELU of them: roundings, sums, and errors that do not exceed what headers
// say.
#include "anther/kernels/bf16_map.hpp"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "anther/kernels/channel_norm.hpp"
#include "anther/kernels/gelu_bf16.hpp"
#include "anther/kernels/use_bf16.hpp"

namespace bf16_map_test {

using namespace anther;
using namespace anther::kernels;
using Map = std::vector<std::uint16_t>;

float widened(std::uint16_t number) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(number) << 16);
}
// All numbers of bfloat16 but for denormals, which no map has.
Map all_numbers() {
  Map map;
  for (std::uint32_t i = 0; i < 0x10000; ++i)
    if ((i & 0x7f80) != 0 || (i & 0x7fff) == 0) map.push_back(static_cast<std::uint16_t>(i));
  return map;
}
double normal_function(double x) {
  return std::erfc(-x / std::sqrt(2.0)) / 2;
}

TEST_CASE("maps in bfloat16: rounding and widening") {
  const Map map = all_numbers();
  std::vector<float> floats(map.size());
  bf16_widen(floats.data(), map.data(), std::ssize(map));
  Map again(map.size() + 1, 7);
  bf16_narrow(again.data(), floats.data(), std::ssize(map));
  CHECK(again.back() == 7);
  int wrong = 0;
  for (std::size_t i = 0; i < map.size(); ++i) {
    wrong += std::bit_cast<std::uint32_t>(floats[i]) != static_cast<std::uint32_t>(map[i]) << 16;
    wrong += std::isnan(floats[i]) ? !std::isnan(widened(again[i])) : again[i] != map[i];
  }
  CHECK(wrong == 0);
  // Ties to even, up and down; the largest float; a denormal.
  const std::vector<float> near = {
      0x1.01p0f, 0x1.03p0f, 0x1.010002p0f, -0x1.0ffffep0f, std::numeric_limits<float>::max(),
      1e-40f};
  Map rounded(near.size());
  bf16_narrow(rounded.data(), near.data(), std::ssize(near));
  CHECK(rounded == Map{0x3f80, 0x3f82, 0x3f81, 0xbf88, 0x7f80, 0});
}

TEST_CASE("maps in bfloat16: sums of columns") {
  for (const std::int64_t rows : {1, 9, 700})
    for (const std::int64_t columns : {1, 20, 48}) {
      Map dy(static_cast<std::size_t>(rows * columns));
      for (std::size_t i = 0; i < dy.size(); ++i) dy[i] = i % 2 == 0 ? 0x3f80 : 0x4040;  // 1, 3
      const ColumnSumsDims d{rows, columns, columns};
      std::vector<float> sums(static_cast<std::size_t>(columns), 0.5f),
          workspace(static_cast<std::size_t>(column_sums_workspace(d)));
      bf16_column_sums(sums.data(), dy.data(), workspace.data(), d);
      for (std::int64_t c = 0; c < columns; ++c) {
        float expected = 0.5f;
        for (std::int64_t r = 0; r < rows; ++r)
          expected += widened(dy[static_cast<std::size_t>(r * columns + c)]);
        CHECK(sums[static_cast<std::size_t>(c)] == expected);
      }
    }
}

TEST_CASE("GELU of maps in bfloat16: errors, of all numbers") {
  const Map x = all_numbers();
  const std::vector<float> ones(x.size(), 1.0f);
  Map y(x.size()), dx(x.size()), again(x.size());
  gelu_bf16_forward<float>(y.data(), x.data(), std::ssize(x));
  gelu_bf16_backward<float>(dx.data(), again.data(), ones.data(), x.data(), std::ssize(x));
  CHECK(y == again);
  double worst = 0, worst_derivative = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const auto at = static_cast<double>(widened(x[i]));
    const auto value = static_cast<double>(widened(y[i]));
    const auto derivative = static_cast<double>(widened(dx[i]));
    if (std::isnan(at)) {
      CHECK((std::isnan(value) && std::isnan(derivative)));
      continue;
    }
    const double exact = at < -40 ? 0 : at * normal_function(at);
    const double slope =
        std::fabs(at) > 40 ? at > 0
                           : normal_function(at) + at * std::exp(-at * at / 2) / 2.5066282746310002;
    if (std::isinf(at)) {
      CHECK((at > 0 ? std::isinf(value) : std::fabs(value) < 4e-5));
    } else if (std::fabs(exact) < 3e38) {
      // Beyond half a unit in the last of eight places.
      worst = std::max(worst, std::fabs(value - exact) - std::fabs(exact) * (0x1p-8 + 8e-6));
    }
    worst_derivative =
        std::max(worst_derivative, std::fabs(derivative - slope) - std::fabs(slope) * 0x1p-8);
  }
  CHECK(worst < 4e-5);
  CHECK(worst_derivative < 9e-5);
}

TEST_CASE("GELU of maps in bfloat16: one rounding for all instruction sets") {
  const Map x = all_numbers();
  Map y(x.size()), expected(x.size());
  const std::int64_t count = std::ssize(x);
#if defined(__x86_64__) && !defined(ANTHER_TEST_BASELINE_VECTOR_BYTES)
  if (isa() >= Isa::avx2) {
    avx2::gelu_bf16_forward<float, false>(expected.data(), x.data(), count);
    if (isa() >= Isa::avx512) {
      avx512::gelu_bf16_forward<float, false>(y.data(), x.data(), count);
      CHECK(y == expected);
    }
    if (uses_amx()) {
      avx512::gelu_bf16_forward<float, true>(y.data(), x.data(), count);
      CHECK(y == expected);
    }
    return;
  }
#endif
  gelu_bf16_forward<float>(expected.data(), x.data(), count);
  baseline::gelu_bf16_forward<float, false>(y.data(), x.data(), count);
  CHECK(y == expected);
}

// Statistics, and what backward writes, of x as a map in bfloat16 and as the same numbers in
// floats.
struct Normed {
  std::vector<float> affine, mean, rstd, dx, dweight, dbias;
  friend bool operator==(const Normed&, const Normed&) = default;
};
Normed normed(const ChannelNormDims& d, const void* x, bool x_bf16, bool dx_bf16,
              const std::vector<float>& dy, const std::vector<float>& weight) {
  const auto sized = [](std::int64_t size) {
    return std::vector<float>(static_cast<std::size_t>(size));
  };
  Normed out{sized(channel_norm_affine_size(d)),
             sized(d.segments * d.groups),
             sized(d.segments * d.groups),
             dy,
             weight,
             weight};
  std::vector<float> workspace = sized(channel_norm_workspace(d));
  channel_norm_statistics<float>({out.affine.data(), out.mean.data(), out.rstd.data(), nullptr},
                                 static_cast<const float*>(x), weight.data(), nullptr,
                                 workspace.data(), d, x_bf16);
  Map map(dy.size());
  channel_norm_backward<float>(
      {dx_bf16 ? reinterpret_cast<float*>(map.data()) : out.dx.data(), nullptr, out.dweight.data(),
       out.dbias.data(), dy.data(), static_cast<const float*>(x), out.mean.data(), out.rstd.data(),
       weight.data(), x_bf16, dx_bf16},
      false, workspace.data(), d);
  if (dx_bf16) bf16_widen(out.dx.data(), map.data(), std::ssize(map));
  return out;
}

TEST_CASE("maps in bfloat16: norms of them") {
  use_bf16<float>();
  for (const ChannelNormDims& d :
       {ChannelNormDims{1, 1, 7, 7}, ChannelNormDims{3, 50, 24, 2},
        ChannelNormDims{1, 3000, 96, 96}, ChannelNormDims{2, 77, 1280, 1280},
        ChannelNormDims{1, 9, 5000, 5000}, ChannelNormDims{2, 6, 8192, 4},
        ChannelNormDims{2, 900, 33, 3}}) {
    CAPTURE(d.channels);
    REQUIRE(channel_norm_reads_bf16(d));
    const std::int64_t size = d.segments * d.rows * d.channels;
    std::vector<float> x(static_cast<std::size_t>(size)), dy(x.size()),
        weight(static_cast<std::size_t>(d.channels));
    for (std::size_t i = 0; i < x.size(); ++i) {
      x[i] = std::sin(0.37f * static_cast<float>(i)) + 2;
      dy[i] = std::cos(0.73f * static_cast<float>(i));
    }
    for (std::size_t i = 0; i < weight.size(); ++i)
      weight[i] = 1 + 0.1f * static_cast<float>(i % 5);
    Map map(x.size());
    bf16_narrow(map.data(), x.data(), size);
    bf16_widen(x.data(), map.data(), size);
    Normed floats = normed(d, x.data(), false, false, dy, weight);
    for (const int threads : {1, 3}) {
      set_num_threads(threads);
      CHECK(normed(d, map.data(), true, false, dy, weight) == floats);
    }
    set_num_threads(0);
    bf16_narrow(map.data(), x.data(), size);
    const Normed both = normed(d, map.data(), true, true, dy, weight);
    Map dx(x.size());
    bf16_narrow(dx.data(), floats.dx.data(), size);
    bf16_widen(floats.dx.data(), dx.data(), size);
    CHECK(both == floats);
  }
  CHECK(!channel_norm_reads_bf16({1, 100, 100'000, 1}));
}

}  // namespace bf16_map_test
