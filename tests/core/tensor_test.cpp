#include "anther/core/tensor.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "tests/io/temporary_folder.hpp"

namespace {

using anther::AlignedBuffer;
using anther::Shape;
using anther::Tensor;

bool is_aligned(const void* memory) {
  return reinterpret_cast<std::uintptr_t>(memory) % anther::alignment == 0;
}

TEST_CASE("aligned buffer: zeros on a 64-byte boundary, for any size and type") {
  for (const std::int64_t size : {1, 2, 15, 16, 17, 1000}) {
    const AlignedBuffer<char> bytes(size);
    const AlignedBuffer<double> numbers(size);
    CHECK(is_aligned(bytes.data()));
    CHECK(is_aligned(numbers.data()));
    CHECK(numbers.size() == size);
    CHECK(std::all_of(numbers.begin(), numbers.end(), [](double x) { return x == 0; }));
    CHECK(std::ssize(numbers.span()) == size);
  }
}

TEST_CASE("aligned buffer: a copy is one, a move takes the memory along") {
  AlignedBuffer<int> a(3);
  std::iota(a.begin(), a.end(), 1);
  AlignedBuffer<int> copy = a;
  copy[0] = 9;
  CHECK(a[0] == 1);
  CHECK(copy[2] == 3);
  CHECK(is_aligned(copy.data()));

  const int* const memory = a.data();
  AlignedBuffer<int> moved = std::move(a);
  CHECK(moved.data() == memory);
  CHECK(a.size() == 0);  // NOLINT: what is left is empty, not undefined
  CHECK(a.data() == nullptr);

  moved = copy;
  CHECK(moved[0] == 9);
  CHECK(moved.data() != copy.data());
  moved = std::move(copy);
  CHECK(moved.size() == 3);
  static_assert(std::is_nothrow_move_constructible_v<AlignedBuffer<int>>);
}

TEST_CASE("aligned buffer: empty, and impossible sizes") {
  const AlignedBuffer<float> none;
  CHECK(none.size() == 0);
  CHECK(none.begin() == none.end());
  const AlignedBuffer<float> empty(0), copy = empty;
  CHECK(copy.size() == 0);
  CHECK(contains(error_of([] { AlignedBuffer<float>(-1); }), "possible size, got -1"));
  CHECK(contains(error_of([] { AlignedBuffer<float>(INT64_MAX); }), "possible size"));
}

TEST_CASE("tensor: its shape, and its elements row-major") {
  std::vector<int> values(24);
  std::iota(values.begin(), values.end(), 0);
  Tensor<int> x({2, 3, 4}, values);
  CHECK(x.shape() == Shape{2, 3, 4});
  CHECK(x.size() == 24);
  CHECK(x[(1 * 3 + 2) * 4 + 3] == 23);
  CHECK(is_aligned(x.data()));
  x[0] = 7;
  CHECK(values[0] == 0);  // a copy of its own
  const Tensor<int> copy = x;
  x[0] = 8;
  CHECK(copy[0] == 7);
  CHECK(std::ssize(copy.span()) == copy.end() - copy.begin());

  CHECK(Tensor<int>().size() == 0);
  CHECK(Tensor<int>().shape().numel() == 0);
  CHECK(Tensor<int>(Shape{}).size() == 1);
  const Tensor<float> zeros({3, 5});
  CHECK(std::count(zeros.begin(), zeros.end(), 0.0f) == 15);
}

TEST_CASE("tensor: what was moved from is empty, in its shape too") {
  Tensor<float> a({2, 3});
  a[5] = 7;
  const float* const memory = a.data();
  Tensor<float> b = std::move(a);
  CHECK(b.shape() == Shape{2, 3});
  CHECK(b.data() == memory);
  CHECK(a.shape() == Shape{0});  // NOLINT: what is left is empty, not undefined
  CHECK(a.size() == 0);
  Tensor<float> c({4});
  c = std::move(b);
  CHECK(c.shape() == Shape{2, 3});
  CHECK(c[5] == 7);
  CHECK(b.shape() == Shape{0});  // NOLINT: as above
  Tensor<float> scalar(Shape{});
  c = std::move(scalar);
  CHECK(c.size() == 1);
  CHECK(scalar.shape().numel() == 0);  // NOLINT: as above
  c = a;
  CHECK(c.shape() == Shape{0});
  static_assert(std::is_nothrow_move_constructible_v<Tensor<float>>);
  static_assert(std::is_nothrow_move_assignable_v<Tensor<float>>);
}

TEST_CASE("tensor: values that do not fill the shape are refused") {
  const std::vector<float> five(5);
  CHECK(error_of([&] {
          Tensor<float>({2, 3}, five);
        }) == "tensor: the shape (2, 3) has 6 elements, got 5");
  CHECK(contains(error_of([] { Tensor<float>({INT64_MAX, 3}); }), "overflows"));
}

}  // namespace
