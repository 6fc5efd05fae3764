// Prints what docs/numerics.md says of errors: for each op of tests/op_cases.hpp, the worst error
// of float beside double over the op's cases, of results and of gradients; for each function, the
// worst error in units in the last place.
//
//   build/release/tests/print_numerics
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "tests/op_cases.hpp"

namespace {

using namespace anther;
using namespace op_tests;

struct Results {
  std::vector<double> values;
  std::vector<std::vector<double>> gradients;
};

template <class T>
Results results_of(const OpCase& row, std::int64_t samples) {
  CaseArguments<T> arguments(row, samples);
  Tape<T> tape;
  tape.begin({.training = row.training, .random = RandomKey(3)});
  arguments.set(tape);
  const Variable<T> y = op_call(row.op)(arguments);
  Tensor<T> weight(y.shape());
  for (std::int64_t i = 0; i < weight.size(); ++i)
    weight[i] =
        static_cast<T>(static_cast<float>(normal(RandomKey(5), static_cast<std::uint64_t>(i))));
  Results results{{y.value().begin(), y.value().end()}, {}};
  tape.backward(weighted_sum<T>(y, std::as_const(weight).span()));
  for (const Variable<T>& x : arguments.variables())
    results.gradients.emplace_back(x.gradient().begin(), x.gradient().end());
  return results;
}

// The largest difference, relative to the largest number of the exact ones.
double error_of(const std::vector<double>& got, const std::vector<double>& exact) {
  double greatest = 0, apart = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    greatest = std::max(greatest, std::abs(exact[i]));
    apart = std::max(apart, std::abs(got[i] - exact[i]));
  }
  return greatest > 0 ? apart / greatest : apart;
}

struct Worst {
  double value = 0, gradient = 0;
};

// Of one function of one number, over `count` numbers from `low` to `high`.
template <class Op, class Exact>
double worst_ulps(double low, double high, const Op& op, const Exact& exact) {
  constexpr std::int64_t count = 200'000;
  Tensor<float> x({count / 8, 8});
  for (std::int64_t i = 0; i < count; ++i)
    x[i] = static_cast<float>(low + (high - low) * (static_cast<double>(i) + 0.5) / count);
  Tape<float> tape;
  tape.begin({.training = false, .backward = false});
  const Variable<float> y = op(tape.input(x));
  double worst = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const double right = exact(static_cast<double>(x[i]));
    const auto rounded = static_cast<float>(right);
    const double ulp = static_cast<double>(
        std::nextafter(std::abs(rounded), std::numeric_limits<float>::infinity()) -
        std::abs(rounded));
    worst = std::max(
        worst, std::abs(static_cast<double>(y.value()[static_cast<std::size_t>(i)]) - right) / ulp);
  }
  return worst;
}

void print_functions() {
  std::printf(
      "| function | from | to | worst error, in units in the last place |\n"
      "| --- | ---: | ---: | ---: |\n");
  const auto row = [](const char* name, double low, double high, const auto& op,
                      const auto& exact) {
    std::printf("| %s | %g | %g | %.2f |\n", name, low, high, worst_ulps(low, high, op, exact));
  };
  using V = Variable<float>;
  const auto sigmoid_of = [](double x) { return 1 / (1 + std::exp(-x)); };
  const auto gelu_of = [](double x) { return 0.5 * x * std::erfc(-x / std::sqrt(2.0)); };
  row(
      "exp", -80, 80, [](const V& x) { return exp(x); }, [](double x) { return std::exp(x); });
  row(
      "log", 1e-3, 1e3, [](const V& x) { return log(x); }, [](double x) { return std::log(x); });
  row(
      "tanh", -10, 10, [](const V& x) { return tanh(x); }, [](double x) { return std::tanh(x); });
  row(
      "sigmoid", -20, 20, [](const V& x) { return sigmoid(x); }, sigmoid_of);
  row(
      "silu", -20, 20, [](const V& x) { return silu(x); },
      [&](double x) { return x * sigmoid_of(x); });
  row(
      "rsqrt", 1e-3, 1e3, [](const V& x) { return rsqrt(x); },
      [](double x) { return 1 / std::sqrt(x); });
  row(
      "sqrt", 1e-3, 1e3, [](const V& x) { return sqrt(x); }, [](double x) { return std::sqrt(x); });
  row(
      "gelu", -2, 8, [](const V& x) { return gelu(x); }, gelu_of);
  row(
      "gelu", -5, -2, [](const V& x) { return gelu(x); }, gelu_of);
}

}  // namespace

int main() {
  std::map<std::string, Worst> worst;
  for (const OpCase& row : op_cases()) {
    const std::int64_t samples = std::max<std::int64_t>(4000 / row.inputs[0].shape.numel(), 1);
    const Results got = results_of<float>(row, samples), exact = results_of<double>(row, samples);
    Worst& of = worst[row.op];
    of.value = std::max(of.value, error_of(got.values, exact.values));
    for (std::size_t i = 0; i < got.gradients.size(); ++i)
      of.gradient = std::max(of.gradient, error_of(got.gradients[i], exact.gradients[i]));
  }
  std::printf("| op | worst error of results | of gradients |\n| --- | ---: | ---: |\n");
  for (const auto& [name, of] : worst)
    std::printf("| %s | %.1e | %.1e |\n", name.c_str(), of.value, of.gradient);
  std::printf("\n");
  print_functions();
}
