#include "anther/interop/eigen.hpp"

#include <doctest/doctest.h>

using namespace anther;

TEST_CASE("a tensor and an Eigen map share their memory") {
  Tensor<float> x({2, 1, 2, 3});
  for (std::int64_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i);
  auto matrix = as_eigen(x);
  CHECK(matrix.rows() == 4);
  CHECK(matrix.cols() == 3);
  CHECK(matrix(1, 2) == 5);
  matrix(3, 0) = -1;
  CHECK(x[9] == -1);
}

TEST_CASE("an Eigen expression becomes a tensor") {
  Tensor<double> a({2, 3});
  for (std::int64_t i = 0; i < 6; ++i) a[i] = static_cast<double>(i);
  const Tensor<double> gram = to_tensor(as_eigen(a) * as_eigen(a).transpose());
  CHECK(gram.shape() == Shape{2, 2});
  CHECK(gram[0] == 5);
  CHECK(gram[1] == 14);
  CHECK(gram[3] == 50);
  std::vector<double> values(6);
  CHECK(as_eigen(std::span<double>(values), 3, 2).rows() == 3);
  CHECK_THROWS_AS(as_eigen(std::span<double>(values), 2, 2), Error);
}
