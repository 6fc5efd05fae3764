// Products in bfloat16: their bits are those of the sums that kernels/gemm_bf16.hpp defines, with
// every instruction set, for any shape and any number of threads.
#include "anther/kernels/gemm_bf16.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string_view>
#include <vector>

#include "anther/core/openmp.hpp"
#include "anther/core/random.hpp"
#include "anther/kernels/conv2d.hpp"
#include "anther/kernels/gemm.hpp"
#include "anther/kernels/packed_weight.hpp"
#include "anther/kernels/use_bf16.hpp"

namespace gemm_bf16_test {

using namespace anther;
using namespace anther::kernels;

struct Unit {
  const char* name;
  Bf16Unit<float> made_of;

  void gemm(const GemmOperands<float>& o, const GemmDims& d, std::int64_t first,
            std::int64_t last) const {
    bf16_gemm(made_of, o, d, first, last);
  }
  void gemm_tn(float* dw, const float* dy, const float* x, const GemmTnDims& d) const {
    bf16_gemm_tn(made_of, dw, dy, x, d);
  }
};

// What this processor has: AMX, and all that do the same sums by FMA.
std::vector<Unit> units() {
  std::vector<Unit> all;
#if defined(__x86_64__) && !defined(ANTHER_TEST_BASELINE_VECTOR_BYTES)
  const Isa best = isa();
  if (uses_amx()) all.push_back({"amx", bf16_amx_unit<float>()});
  if (best >= Isa::avx512)
    all.push_back({"avx512", bf16_fma_unit<float>(&avx512::bf16_fma_block<float>)});
  if (best >= Isa::avx2)
    all.push_back({"avx2", bf16_fma_unit<float>(&avx2::bf16_fma_block<float>)});
#endif
  all.push_back({"baseline", bf16_fma_unit<float>(&baseline::bf16_fma_block<float>)});
  return all;
}

// The definition, one number at a time.
float without_denormals(float value) {
  return std::fabs(value) < std::numeric_limits<float>::min() ? std::copysign(0.0f, value) : value;
}
float rounded(float value) {
  value = without_denormals(value);
  auto bits = std::bit_cast<std::uint32_t>(value);
  bits += 0x7fff + (bits >> 16 & 1);
  return std::isfinite(value) ? std::bit_cast<float>(bits & 0xffff0000u) : value;
}
float multiply_add(float a, float b, float c) {
  return without_denormals(std::fma(rounded(a), rounded(b), c));
}
// sum + the products a(k) b(k), k < depth.
template <class A, class B>
float defined_sum(float sum, std::int64_t depth, const A& a, const B& b) {
  sum = without_denormals(sum);
  for (std::int64_t block = 0; block < depth; block += 32) {
    float even = 0, odd = 0;
    for (std::int64_t k = block; k < std::min(block + 32, depth); ++k) {
      float& chain = k % 2 == 0 ? even : odd;
      chain = multiply_add(a(k), b(k), chain);
    }
    sum = without_denormals(sum + without_denormals(even + odd));
  }
  return sum;
}

// What a thread needs around a unit's bodies.
struct Prepared {
  explicit Prepared(const Unit& unit) {
    if (std::string_view(unit.name) == "amx") configure_amx();
  }
  ~Prepared() { end_thread(); }
  Prepared(const Prepared&) = delete;
  Prepared& operator=(const Prepared&) = delete;

 private:
  DenormalsAsZeros zeros_;
};

// Normal numbers; or such whose products and sums are near the denormals.
std::vector<float> numbers(std::string_view name, std::int64_t count, bool tiny, double scale = 1) {
  std::vector<float> values(static_cast<std::size_t>(count));
  const RandomKey key = RandomKey(5).fold(name);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double size = tiny ? scale * std::exp2(-63 + 8 * normal(key.fold("size"), i)) : 1;
    values[i] = static_cast<float>(normal(key, i) * size);
  }
  return values;
}

std::vector<float> packed_weight(const std::vector<float>& weight, const PackOptions& pack) {
  std::vector<float> packed(static_cast<std::size_t>(packed_size<float>(pack)),
                            std::numeric_limits<float>::quiet_NaN());
  use_bf16<float>();
  pack_weight(packed.data(), weight.data(), pack);
  return packed;
}

// A product with a bias, or an addition, or both, or neither; the weight as it is, or transposed.
struct Case {
  std::int64_t rows, columns, depth;
  bool tiny, bias, add, transposed;
};

int wrong_elements(const Unit& unit, const Case& c) {
  const auto x = numbers("x", c.rows * c.depth, c.tiny);
  const auto w = numbers("w", c.columns * c.depth, c.tiny);
  const auto bias = numbers("bias", c.columns, c.tiny, 0x1p-63);
  const auto add = numbers("add", c.rows * c.columns, c.tiny, 0x1p-63);
  const auto packed = packed_weight(w, {.columns = c.columns,
                                        .depth = c.depth,
                                        .column_stride = c.transposed ? 1 : c.depth,
                                        .depth_stride = c.transposed ? c.columns : 1,
                                        .bf16 = 1});
  std::vector<float> y(add.size() + 64, -12345.0f);
  {
    const Prepared prepared(unit);
    unit.gemm({y.data(), c.add ? add.data() : nullptr, x.data(), packed.data(),
               c.bias ? bias.data() : nullptr},
              dense_gemm(c.rows, c.columns, c.depth, 1), 0, bf16_panels(c.columns));
  }
  int wrong = 0;
  for (std::int64_t i = 0; i < c.rows; ++i)
    for (std::int64_t j = 0; j < c.columns; ++j) {
      const auto at = [](std::int64_t n) { return static_cast<std::size_t>(n); };
      float sum = defined_sum(
          c.bias ? bias[at(j)] : 0.0f, c.depth, [&](auto k) { return x[at(i * c.depth + k)]; },
          [&](auto k) { return w[at(c.transposed ? k * c.columns + j : j * c.depth + k)]; });
      const std::size_t here = at(i * c.columns + j);
      if (c.add) sum = without_denormals(sum + without_denormals(add[here]));
      wrong += std::bit_cast<std::uint32_t>(sum) != std::bit_cast<std::uint32_t>(y[here]);
    }
  for (std::size_t i = add.size(); i < y.size(); ++i) wrong += y[i] != -12345.0f;
  return wrong;
}

int wrong_gradients(const Unit& unit, std::int64_t rows, std::int64_t outs, std::int64_t columns,
                    bool tiny) {
  const auto dy = numbers("dy", rows * outs, tiny), x = numbers("x", rows * columns, tiny);
  const auto before = numbers("dw", outs * columns, tiny, 0x1p-63);
  std::vector<float> dw = before;
  {
    const Prepared prepared(unit);
    unit.gemm_tn(dw.data(), dy.data(), x.data(), {rows, outs, columns, outs, columns, columns, 1});
  }
  int wrong = 0;
  for (std::int64_t i = 0; i < outs; ++i)
    for (std::int64_t j = 0; j < columns; ++j) {
      const auto at = [](std::int64_t n) { return static_cast<std::size_t>(n); };
      const std::size_t here = at(i * columns + j);
      const float sum = defined_sum(
          before[here], rows, [&](auto k) { return dy[at(k * outs + i)]; },
          [&](auto k) { return x[at(k * columns + j)]; });
      wrong += std::bit_cast<std::uint32_t>(sum) != std::bit_cast<std::uint32_t>(dw[here]);
    }
  return wrong;
}

// A map in bfloat16 of these numbers, in memory of floats.
std::vector<float> as_map(const std::vector<float>& values) {
  std::vector<float> map((values.size() + 1) / 2);
  for (std::size_t i = 0; i < values.size(); ++i)
    as_bf16(map.data())[i] =
        static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(rounded(values[i])) >> 16);
  return map;
}

// Such a map that begins `offset` floats after a cache line, between numbers that are none.
class PlacedMap {
 public:
  PlacedMap(const std::vector<float>& values, std::int64_t offset) {
    const auto map = as_map(values);
    room_.assign(map.size() + 64, std::numeric_limits<float>::quiet_NaN());
    while (reinterpret_cast<std::uintptr_t>(&room_[first_]) % 64 != 0) ++first_;
    first_ += static_cast<std::size_t>(offset);
    std::copy(map.begin(), map.end(), room_.begin() + static_cast<std::ptrdiff_t>(first_));
    if (values.size() % 2 != 0) as_bf16(room_.data() + first_)[values.size()] = 0x7fc0;
  }
  const float* data() const { return room_.data() + first_; }

 private:
  std::vector<float> room_;
  std::size_t first_ = 0;
};

// The same products of and to maps in bfloat16, which are those of floats, rounded: 1 + 2 + 4 in
// the result for what is wrong in y of floats and of a map, and dw.
int wrong_products_of_maps(const Unit& unit, std::int64_t rows, std::int64_t columns,
                           std::int64_t depth, std::int64_t offset) {
  const auto x = numbers("x", rows * depth, false), w = numbers("w", columns * depth, false);
  const auto dy = numbers("dy", rows * columns, false), bias = numbers("bias", columns, false);
  const auto packed = packed_weight(
      w,
      {.columns = columns, .depth = depth, .column_stride = depth, .depth_stride = 1, .bf16 = 1});
  std::vector<float> y(dy.size()), again(dy.size()), map(dy.size() / 2 + 9, -12345.0f),
      dw(w.size()), dw_again(w.size());
  const Prepared prepared(unit);
  GemmDims d = dense_gemm(rows, columns, depth, 1);
  GemmTnDims tn{rows, columns, depth, columns, depth, depth, 1};
  unit.gemm({y.data(), nullptr, x.data(), packed.data(), bias.data()}, d, 0, bf16_panels(columns));
  unit.gemm_tn(dw.data(), dy.data(), x.data(), tn);
  d.x_bf16 = tn.x_bf16 = tn.dy_bf16 = 1;
  const PlacedMap x_map(x, offset), dy_map(dy, offset);
  const auto y_map = as_map(y);
  const GemmOperands<float> of_map{again.data(), nullptr, x_map.data(), packed.data(), bias.data()};
  unit.gemm(of_map, d, 0, bf16_panels(columns));
  unit.gemm_tn(dw_again.data(), dy_map.data(), x_map.data(), tn);
  int wrong = (y != again ? 1 : 0) + (dw != dw_again ? 4 : 0);
  if (depth > bf16_most_depth) return wrong;  // whose sums cannot go by way of bfloat16
  d.y_bf16 = 1;
  unit.gemm({map.data(), nullptr, x_map.data(), packed.data(), bias.data()}, d, 0,
            bf16_panels(columns));
  for (std::size_t i = 0; i < y.size(); ++i)
    if (as_bf16(map.data())[i] != as_bf16(y_map.data())[i]) wrong |= 2;
  for (std::size_t i = (y.size() + 1) / 2; i < map.size(); ++i)
    if (map[i] != -12345.0f) wrong |= 2;
  return wrong;
}

TEST_CASE("products in bfloat16: of maps that are stored so, and to one") {
  for (const Unit& unit : units()) {
    CAPTURE(unit.name);
    for (const std::int64_t rows : {1, 31, 48, 70})
      for (const std::int64_t columns : {5, 16, 33, 144})
        for (const std::int64_t depth : {3, 36, 64})
          for (const std::int64_t offset : {0, 3}) {
            CAPTURE(rows);
            CAPTURE(columns);
            CAPTURE(depth);
            CAPTURE(offset);
            CHECK(wrong_products_of_maps(unit, rows, columns, depth, offset) == 0);
          }
    // Rows by the cache line, deeper than what is summed at once.
    CHECK(wrong_products_of_maps(unit, 144, 40, 4096 + 64, 0) == 0);
  }
}

TEST_CASE("products in bfloat16: what stands between the rows of a map does not count") {
  // Rows are a cache line apart, but 36 numbers are no whole tiles.
  constexpr std::int64_t rows = 32, columns = 40, depth = 36, stride = 64;
  const auto w = numbers("w", columns * depth, false), x = numbers("x", rows * depth, false);
  std::vector<float> spread(rows * stride, std::numeric_limits<float>::quiet_NaN());
  for (std::size_t i = 0; i < x.size(); ++i) spread[i / depth * stride + i % depth] = x[i];
  const auto packed = packed_weight(
      w,
      {.columns = columns, .depth = depth, .column_stride = depth, .depth_stride = 1, .bf16 = 1});
  for (const Unit& unit : units()) {
    CAPTURE(unit.name);
    std::vector<float> y(rows * columns), again(rows * columns);
    const Prepared prepared(unit);
    GemmDims d = dense_gemm(rows, columns, depth, 1);
    unit.gemm({y.data(), nullptr, x.data(), packed.data(), nullptr}, d, 0, bf16_panels(columns));
    const PlacedMap map(spread, 0);
    d.x_stride = stride;
    d.x_bf16 = 1;
    unit.gemm({again.data(), nullptr, map.data(), packed.data(), nullptr}, d, 0,
              bf16_panels(columns));
    CHECK(y == again);
  }
}

TEST_CASE("products in bfloat16: every instruction set has the bits of the definition") {
  for (const Unit& unit : units()) {
    CAPTURE(unit.name);
    int number = 0;
    for (const std::int64_t rows : {1, 17, 97})
      for (const std::int64_t columns : {1, 20, 36, 63})
        for (const std::int64_t depth : {1, 32, 36, 144}) {
          const Case c{.rows = rows,
                       .columns = columns,
                       .depth = depth,
                       .tiny = number % 3 == 0,
                       .bias = number % 2 == 0,
                       .add = number / 2 % 2 == 0,
                       .transposed = number / 4 % 2 == 0};
          ++number;
          CAPTURE(rows);
          CAPTURE(columns);
          CAPTURE(depth);
          CHECK(wrong_elements(unit, c) == 0);
          CHECK(wrong_gradients(unit, depth, rows, columns, c.tiny) == 0);
        }
    // Beyond a panel of the gradient's scratch memory, and more rows than are summed at once.
    CHECK(wrong_gradients(unit, 300, 33, 530, false) == 0);
  }
}

TEST_CASE("products in bfloat16: what overflows or is no number stays so") {
  const float infinity = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> x = {1, nan, 1, infinity, 1e30f, 1e30f, 3.4e38f, 0};
  const auto packed = packed_weight(
      {1, 1e30f}, {.columns = 1, .depth = 2, .column_stride = 2, .depth_stride = 1, .bf16 = 1});
  float y[4] = {};
  gemm<float>(y, nullptr, x.data(), packed.data(), nullptr, dense_gemm(4, 1, 2, 1));
  CHECK(std::isnan(y[0]));
  CHECK(y[1] == infinity);
  CHECK(y[2] == infinity);
  CHECK(y[3] == infinity);  // 3.4e38 is rounded up
}

TEST_CASE("products in bfloat16: a depth that is cut, and sums that go on") {
  const std::int64_t rows = 3, columns = 5, depth = 4200;
  const auto x = numbers("x", rows * depth, false), w = numbers("w", columns * depth, false);
  const auto packed = packed_weight(
      w,
      {.columns = columns, .depth = depth, .column_stride = depth, .depth_stride = 1, .bf16 = 1});
  const auto start = numbers("start", rows * columns, false);
  std::vector<float> y = start;
  gemm<float>(y.data(), y.data(), x.data(), packed.data(), nullptr,
              dense_gemm(rows, columns, depth, 1));
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < columns; ++j) {
      const auto at = [](std::int64_t n) { return static_cast<std::size_t>(n); };
      CHECK(y[at(i * columns + j)] == defined_sum(
                                          start[at(i * columns + j)], depth,
                                          [&](auto k) { return x[at(i * depth + k)]; },
                                          [&](auto k) { return w[at(j * depth + k)]; }));
    }
}

TEST_CASE("products in bfloat16: the same bits for any number of threads") {
  const std::int64_t rows = 531, columns = 100, depth = 70;
  const auto x = numbers("x", rows * depth, false), w = numbers("w", columns * depth, false);
  const auto dy = numbers("dy", rows * columns, false);
  const auto packed = packed_weight(
      w,
      {.columns = columns, .depth = depth, .column_stride = depth, .depth_stride = 1, .bf16 = 1});
  std::vector<float> expected, expected_few, expected_dw;
  for (const int threads : {1, 2, 3, 7}) {
    set_num_threads(threads);
    std::vector<float> y(dy.size()), few(dy.size()), dw(w.size());
    gemm<float>(y.data(), nullptr, x.data(), packed.data(), nullptr,
                dense_gemm(rows, columns, depth, 1));
    gemm<float>(few.data(), nullptr, x.data(), packed.data(), nullptr,
                dense_gemm(40, columns, depth, 1));
    gemm_tn<float>(dw.data(), dy.data(), x.data(),
                   {rows, columns, depth, columns, depth, depth, 1});
    if (threads == 1) expected = y, expected_few = few, expected_dw = dw;
    CHECK(y == expected);
    CHECK(few == expected_few);
    CHECK(dw == expected_dw);
  }
  set_num_threads(0);
}

// Convolutions of numbers that bfloat16 holds are those in float, up to the rounding of sums; those
// of maps in bfloat16 have the bits of the same numbers as floats.
TEST_CASE("convolutions in bfloat16: forward and both gradients") {
  const auto dims = [](std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride,
                       std::int64_t padding, std::int64_t dilation, std::int64_t groups) {
    return Conv2dDims{2,      11,     9,       in,      out,      kernel,   kernel,
                      stride, stride, padding, padding, dilation, dilation, groups};
  };
  for (Conv2dDims d :
       {dims(3, 20, 3, 2, 1, 1, 1), dims(40, 36, 3, 1, 1, 1, 1), dims(12, 8, 3, 2, 1, 1, 2),
        dims(5, 7, 4, 3, 2, 1, 1), dims(32, 32, 3, 1, 1, 1, 1), dims(6, 9, 3, 2, 2, 2, 3),
        dims(70, 66, 3, 1, 1, 1, 1), dims(20, 12, 2, 2, 0, 1, 2), dims(10, 6, 1, 2, 0, 1, 1)}) {
    CAPTURE(d.in_channels);
    CAPTURE(d.stride_width);
    auto x = numbers("x", d.batch * d.height * d.width * d.in_channels, false);
    auto w = numbers("w", d.out_channels * d.depth(), false);
    auto dy = numbers("dy", d.rows() * d.out_channels, false);
    for (auto* values : {&x, &w, &dy})
      for (float& value : *values) value = rounded(value);
    const auto map_of = [](const std::vector<float>& values) {
      std::vector<float> map(values.size() / 2 + 1);
      bf16_narrow(as_bf16(map.data()), values.data(), std::ssize(values));
      return map;
    };
    std::vector<float> y[3], dx[3], dw[3];
    for (const int which : {0, 1, 2}) {
      d.bf16 = which > 0;
      d.maps_bf16 = which == 2 && d.reads_bf16();
      const std::vector<float>& x_here = d.maps_bf16 ? map_of(x) : x;
      const std::vector<float>& dy_here = d.maps_bf16 ? map_of(dy) : dy;
      std::vector<float> workspace(
          static_cast<std::size_t>(conv2d_forward_workspace(d, num_threads()) +
                                   conv2d_backward_input_workspace(d, num_threads()) +
                                   conv2d_backward_weight_workspace<float>(d)));
      y[which].resize(dy.size());
      dx[which].resize(x.size());
      dw[which].resize(w.size());
      conv2d_forward<float>(y[which].data(), nullptr, x_here.data(),
                            packed_weight(w, conv2d_pack(d)).data(), nullptr, workspace.data(), d);
      conv2d_backward_input<float>(dx[which].data(), nullptr, dy_here.data(),
                                   packed_weight(w, conv2d_input_pack(d)).data(), nullptr,
                                   workspace.data(), d);
      conv2d_backward_weight<float>(dw[which].data(), dy_here.data(), x_here.data(),
                                    workspace.data(), d);
    }
    const auto worst = [](const std::vector<float>(&v)[3]) {
      double difference = 0, size = 0;
      for (std::size_t i = 0; i < v[0].size(); ++i) {
        difference = std::max<double>(difference, std::fabs(v[0][i] - v[1][i]));
        size = std::max<double>(size, std::fabs(v[0][i]));
      }
      return difference / size;
    };
    CHECK(worst(y) < 3e-6);
    CHECK(worst(dx) < 3e-6);
    CHECK(worst(dw) < 3e-6);
    CHECK(y[2] == y[1]);
    CHECK(dx[2] == dx[1]);
    CHECK(dw[2] == dw[1]);
  }
}

}  // namespace gemm_bf16_test
