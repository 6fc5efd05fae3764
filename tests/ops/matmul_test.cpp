// matmul's shapes and numbers, beside plain loops by NumPy's rules.
#include "anther/ops/matmul.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <vector>

#include "anther/core/random.hpp"
#include "anther/core/tensor.hpp"

namespace {

using namespace anther;

Tensor<double> drawn(const Shape& shape, std::uint64_t seed) {
  Tensor<double> x(shape);
  for (std::int64_t i = 0; i < x.size(); ++i)
    x[i] = normal(RandomKey(seed), static_cast<std::uint64_t>(i));
  return x;
}

// Where the matrix of a's that belongs to matrix `number` of the result begins.
std::int64_t start_of(const Shape& batch, const Shape& own, std::int64_t number,
                      std::int64_t size) {
  std::int64_t at = 0, step = size;
  for (int i = own.rank() - 1, j = batch.rank() - 1; j >= 0; --i, --j) {
    const std::int64_t place = number % batch[j];
    number /= batch[j];
    if (i < 0) continue;
    if (own[i] != 1) at += place * step;
    step *= own[i];
  }
  return at;
}

// Of two operands of at least two axes.
std::vector<double> by_loops(const Tensor<double>& a, const Tensor<double>& b, const Shape& shape) {
  const auto batch_of = [](const Shape& all) {
    Shape batch;
    for (int i = 0; i + 2 < all.rank(); ++i) batch.push_back(all[i]);
    return batch;
  };
  const std::int64_t rows = a.shape()[a.shape().rank() - 2], depth = a.shape().back(),
                     columns = b.shape().back();
  const Shape batch = batch_of(shape);
  std::vector<double> y;
  for (std::int64_t number = 0; number < batch.numel(); ++number) {
    const std::int64_t at_a = start_of(batch, batch_of(a.shape()), number, rows * depth);
    const std::int64_t at_b = start_of(batch, batch_of(b.shape()), number, depth * columns);
    for (std::int64_t i = 0; i < rows; ++i)
      for (std::int64_t j = 0; j < columns; ++j) {
        double sum = 0;
        for (std::int64_t k = 0; k < depth; ++k)
          sum += a[at_a + i * depth + k] * b[at_b + k * columns + j];
        y.push_back(sum);
      }
  }
  return y;
}

TEST_CASE("matmul: batches and their broadcasting") {
  const Shape rows[][3] = {
      {{3, 4}, {4, 5}, {3, 5}},
      {{2, 3, 4}, {4, 5}, {2, 3, 5}},  // one table for all
      {{2, 3, 4}, {1, 4, 5}, {2, 3, 5}},
      {{3, 4}, {2, 4, 5}, {2, 3, 5}},  // one a for all
      {{2, 3, 4}, {2, 4, 5}, {2, 3, 5}},
      {{6, 2, 3, 4}, {6, 1, 4, 5}, {6, 2, 3, 5}},
      {{6, 1, 3, 4}, {6, 2, 4, 5}, {6, 2, 3, 5}},
      {{1, 2, 3, 4}, {6, 1, 4, 5}, {6, 2, 3, 5}},
      {{7, 2, 2, 3, 4}, {2, 4, 5}, {7, 2, 2, 3, 5}},
  };
  for (const auto& [a_shape, b_shape, shape] : rows) {
    CAPTURE(to_string(a_shape));
    CAPTURE(to_string(b_shape));
    const Tensor<double> a = drawn(a_shape, 1), b = drawn(b_shape, 2);
    Tape<double> tape;
    tape.begin({.training = false, .backward = false});
    const Variable<double> y = matmul(tape.input(a), tape.input(b));
    REQUIRE(y.shape() == shape);
    const std::vector<double> expected = by_loops(a, b, shape);
    for (std::size_t i = 0; i < expected.size(); ++i)
      CHECK(y.value()[i] == doctest::Approx(expected[i]).epsilon(1e-12));
  }
}

TEST_CASE("matmul: the shapes of results are NumPy's, with vectors and with dimensions of 1") {
  struct Case {
    Shape a, b, result;
  };
  const std::vector<Case> cases = {
      {{3}, {3}, {}},
      {{3}, {3, 2}, {2}},
      {{2, 3}, {3}, {2}},
      {{2, 3}, {3, 4}, {2, 4}},
      {{3}, {5, 3, 2}, {5, 2}},
      {{5, 2, 3}, {3}, {5, 2}},
      {{5, 2, 3}, {3, 4}, {5, 2, 4}},
      {{2, 3}, {5, 3, 4}, {5, 2, 4}},
      {{6, 1, 2, 3}, {5, 3, 4}, {6, 5, 2, 4}},
      {{1, 3}, {3, 1}, {1, 1}},
  };
  for (const Case& c : cases) {
    Tape<float> tape;
    const Variable<float> y =
        matmul(tape.input(Tensor<float>(c.a)), tape.input(Tensor<float>(c.b)));
    CHECK(y.shape() == c.result);
  }
}

}  // namespace
