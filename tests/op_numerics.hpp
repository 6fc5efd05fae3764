// The numbers of an op's row in float and in double, and how far they are apart: what
// docs/numerics.md tells (tests/parity/print_numerics.cpp), and what the fuzzer of shapes compares.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "tests/op_cases.hpp"

namespace op_tests {

struct OpResults {
  std::vector<double> values;
  std::vector<std::vector<double>> gradients;  // of each input; none where nothing has a gradient
};

// Of the sum of the results with random weights. amp: products in bfloat16.
template <class T>
OpResults results_of(const OpCase& row, CaseArguments<T>& arguments, bool amp = false) {
  Tape<T> tape;
  tape.begin({.training = row.training, .amp = amp, .random = RandomKey(3)});
  arguments.set(tape);
  const Variable<T> y = op_call(row.op)(arguments);
  Tensor<T> weight(y.shape());
  for (std::int64_t i = 0; i < weight.size(); ++i)
    weight[i] =
        static_cast<T>(static_cast<float>(normal(RandomKey(5), static_cast<std::uint64_t>(i))));
  OpResults results{{y.value().begin(), y.value().end()}, {}};
  const Variable<T> loss = weighted_sum<T>(y, std::as_const(weight).span());
  if (!tape.wants_gradient(loss)) return results;
  tape.backward(loss);
  for (const Variable<T>& x : arguments.variables())
    results.gradients.emplace_back(x.gradient().begin(), x.gradient().end());
  return results;
}

// The largest difference, relative to the largest of the exact numbers.
inline double error_of(const std::vector<double>& got, const std::vector<double>& exact) {
  double greatest = 0, apart = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (!std::isfinite(got[i])) return std::numeric_limits<double>::infinity();
    greatest = std::max(greatest, std::abs(exact[i]));
    apart = std::max(apart, std::abs(got[i] - exact[i]));
  }
  return greatest > 0 ? apart / greatest : apart;
}
inline double gradient_error_of(const OpResults& got, const OpResults& exact) {
  double worst = 0;
  for (std::size_t i = 0; i < got.gradients.size(); ++i)
    worst = std::max(worst, error_of(got.gradients[i], exact.gradients[i]));
  return worst;
}

}  // namespace op_tests
