// Tensors as Eigen maps, and back: for linear algebra that Anther does not have. The memory is
// shared, not copied. Nothing else in Anther includes Eigen.
#pragma once

#include <Eigen/Core>
#include <span>

#include "anther/core/shape.hpp"
#include "anther/core/tensor.hpp"

namespace anther::inline v0_1 {

template <class T>
using EigenMatrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// A channels-last tensor as the matrix (rows, channels) that it is: (N, H, W, C) has N H W rows.
// Valid as long as the tensor's memory.
template <class T>
Eigen::Map<EigenMatrix<T>> as_eigen(Tensor<T>& tensor) {
  const Shape& shape = tensor.shape();
  detail::check(shape.rank() >= 1, "as_eigen: expected at least one axis, got ", shape);
  return {tensor.data(), shape.rows(), shape.back()};
}
template <class T>
Eigen::Map<const EigenMatrix<T>> as_eigen(const Tensor<T>& tensor) {
  const Shape& shape = tensor.shape();
  detail::check(shape.rank() >= 1, "as_eigen: expected at least one axis, got ", shape);
  return {tensor.data(), shape.rows(), shape.back()};
}

// The same for a parameter's values or gradients: parameters.value(number).
template <class T>
Eigen::Map<EigenMatrix<T>> as_eigen(std::span<T> values, std::int64_t rows, std::int64_t columns) {
  detail::check(std::ssize(values) == rows * columns, "as_eigen: expected ", rows * columns,
                " values, got ", values.size());
  return {values.data(), rows, columns};
}

// A copy of any Eigen expression as a tensor (rows, columns).
template <class Derived>
Tensor<typename Derived::Scalar> to_tensor(const Eigen::MatrixBase<Derived>& expression) {
  Tensor<typename Derived::Scalar> tensor({expression.rows(), expression.cols()});
  as_eigen(tensor) = expression;
  return tensor;
}

}  // namespace anther::inline v0_1
