// Ops that read or make indices: what they give, in which order, and models of token ids.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "anther/anther.hpp"
#include "tests/token_model.hpp"

namespace {

using namespace anther;

template <class Values>
std::vector<std::int32_t> list(const Values& values) {
  return {values.begin(), values.end()};
}

TEST_CASE("argmax and topk: the first of equals, NaN the greatest, any axis") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float numbers[] = {1, 3, 3, 2, 5, nan, 4, nan, -1, -1, -2, -3};
  Tape<float> tape;
  const auto x = tape.input({3, 4}, numbers);
  CHECK(list(argmax(x).integers()) == std::vector<std::int32_t>{1, 1, 0});
  CHECK(list(argmax(x, 0).integers()) == std::vector<std::int32_t>{1, 1, 1, 1});
  CHECK(argmax(x, 0, true).shape() == Shape{1, 4});
  CHECK(argmax(x, -1).shape() == Shape{3});
  const auto greatest = topk(x, 3), least = topk(x, 2, 1, false);
  CHECK(list(greatest.indices.integers()) == std::vector<std::int32_t>{1, 2, 3, 1, 3, 0, 0, 1, 2});
  CHECK(list(least.indices.integers()) == std::vector<std::int32_t>{0, 3, 2, 0, 3, 2});
  CHECK(greatest.values.shape() == Shape{3, 3});
  CHECK(greatest.values.value()[2] == 2);
  CHECK(std::isnan(greatest.values.value()[3]));
  CHECK(least.values.value()[4] == -3);
  CHECK(topk(x, 2, 0).indices.shape() == Shape{2, 4});
}

TEST_CASE("embedding: rows of the table, gradients in the order of the positions") {
  Tensor<double> table({4, 2});
  for (std::int64_t i = 0; i < 8; ++i) table[i] = static_cast<double>(i);
  const std::int32_t indices[] = {3, 1, 3, 0, 1, 3};
  Tape<double> tape;
  const auto weight = tape.input(table, true);
  const auto y = embedding(tape.integers({2, 3}, indices), weight, 1);
  CHECK(y.shape() == Shape{2, 3, 2});
  CHECK(y.value()[3] == 3);
  CHECK(y.value()[0] == 6);
  tape.backward(mse_loss(y, tape.input(Tensor<double>({2, 3, 2})), {.reduction = Reduction::sum}));
  // 2 y for each position; none for the padding.
  const std::vector<double> expected = {0, 2, 0, 0, 0, 0, 3 * 12, 3 * 14};
  CHECK(std::ranges::equal(weight.gradient(), expected));
}

TEST_CASE("where: PyTorch's results and gradients; what is not taken leaves no trace") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::int32_t condition[] = {1, 0, -3};
  const double left[] = {1, nan, 3}, right[] = {10, 20, nan, 40, 50, nan};
  Tape<double> tape;
  const auto a = tape.input({3}, left, true), b = tape.input({2, 3}, right, true);
  const auto y = where(tape.integers({3}, condition), a, b);
  CHECK(y.shape() == Shape{2, 3});
  CHECK(std::ranges::equal(y.value(), std::vector<double>{1, 20, 3, 1, 50, 3}));
  tape.backward(sum(y * y));
  CHECK(std::ranges::equal(a.gradient(), std::vector<double>{4, 0, 12}));
  CHECK(std::ranges::equal(b.gradient(), std::vector<double>{0, 40, 0, 0, 100, 0}));
}

TEST_CASE("a model of token ids: its names, and what a dry run makes of it") {
  ParameterStore<float> store;
  const token_test::TokenModel net(store);
  store.initialize(1);
  CHECK(store.parameters()[0].name == "table.weight");
  Tape<float> tape;
  CHECK(net(tape.integers({2, 3}, token_test::token_ids(6))).shape() == Shape{2, 3, 11});
  DryRun<float> pass(net, {2, 3});
  CHECK(pass.output.shape() == Shape{2, 3, 11});
  CHECK(pass.tape.holds_integers(pass.tape.id_of(pass.input)));
  // A constant of real numbers is not taken for integers.
  const float one[] = {1};
  CHECK_THROWS_WITH_AS(embedding(pass.tape.input({1}, one), pass.tape.input({1, 1}, one)),
                       doctest::Contains("embedding: expected input 0 to hold integers"), Error);
}

}  // namespace
