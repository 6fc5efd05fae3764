// Prints the tables of docs/numerics.md, for the instruction set in use: for each op of
// tests/op_cases.hpp, the worst error beside double over the op's cases, of results and of
// gradients, in float and with products in bfloat16; for each function, the worst error in units in
// the last place; for some models, how far a step with --amp is from one in float (on the best
// instruction set only: bfloat16 has the same bits on all). scripts/numerics.py puts the worst of
// all instruction sets into the page, and compares.
#include <cstdio>
#include <map>
#include <string>

#include "anther/models/models.hpp"
#include "tests/op_numerics.hpp"

namespace {

using namespace anther;
using namespace op_tests;

struct Worst {
  double value = 0, gradient = 0;
  void take(const OpResults& got, const OpResults& exact) {
    value = std::max(value, error_of(got.values, exact.values));
    gradient = std::max(gradient, gradient_error_of(got, exact));
  }
};

void print_ops() {
  std::map<std::string, Worst> worst;
  for (const OpCase& row : op_cases()) {
    // Several times the row's numbers, but not a longer sequence, which would be another function.
    const bool by_samples = nlohmann::json::parse(row.attributes).value("batch_first", true);
    const std::int64_t samples =
        by_samples ? std::max<std::int64_t>(4000 / row.inputs[0].shape.numel(), 1) : 1;
    CaseArguments<float> floats(row, samples);
    CaseArguments<double> doubles(row, samples);
    const OpResults got = results_of(row, floats), exact = results_of(row, doubles);
    worst[row.op].take(got, exact);
    const OpResults amp = results_of(row, floats, true);
    if (amp.values != got.values) worst[row.op + ", bfloat16"].take(amp, exact);
  }
  std::printf("| op | results | gradients |\n| --- | ---: | ---: |\n");
  for (const auto& [name, of] : worst)
    std::printf("| %s | %.1e | %.1e |\n", name.c_str(), of.value, of.gradient);
}

// How far the result is from the exact one, in steps between neighbouring numbers there.
template <class T>
double ulps(T got, long double exact) {
  const T rounded = std::abs(static_cast<T>(exact));
  const T step = std::nextafter(rounded, std::numeric_limits<T>::infinity()) - rounded;
  return static_cast<double>(std::abs(static_cast<long double>(got) - exact) / step);
}

// Of a function of one number, over numbers from `low` to `high`.
template <class T, class Op, class Exact>
double worst_ulps(double low, double high, const Op& op, const Exact& exact) {
  constexpr std::int64_t count = 60'000;
  Tensor<T> x({count / 8, 8});
  for (std::int64_t i = 0; i < count; ++i)
    x[i] = static_cast<T>(low + (high - low) * (static_cast<double>(i) + 0.5) / count);
  Tape<T> tape;
  tape.begin({.training = false, .backward = false});
  const Variable<T> y = op(tape.input(x));
  double worst = 0;
  for (std::int64_t i = 0; i < count; ++i)
    worst = std::max(
        worst, ulps(y.value()[static_cast<std::size_t>(i)], exact(static_cast<long double>(x[i]))));
  return worst;
}

// Of every probability of 100 rows of 64 logits from -`size` to `size`.
template <class T>
double worst_ulps_of_softmax(double size) {
  Tensor<T> x({100, 64});
  for (std::int64_t i = 0; i < x.size(); ++i)
    x[i] = static_cast<T>(
        static_cast<float>(size * (2 * uniform(RandomKey(1), static_cast<std::uint64_t>(i)) - 1)));
  Tape<T> tape;
  tape.begin({.training = false, .backward = false});
  const Variable<T> y = softmax(tape.input(x), -1);
  double worst = 0;
  for (std::int64_t row = 0; row < 100; ++row) {
    const auto logits = std::as_const(x).span().subspan(static_cast<std::size_t>(row * 64), 64);
    const auto greatest = static_cast<long double>(*std::ranges::max_element(logits));
    long double sum = 0;
    for (const T logit : logits) sum += std::exp(static_cast<long double>(logit) - greatest);
    for (std::size_t i = 0; i < 64; ++i)
      worst = std::max(worst, ulps(y.value()[static_cast<std::size_t>(row * 64) + i],
                                   std::exp(static_cast<long double>(logits[i]) - greatest) / sum));
  }
  return worst;
}

void print_functions() {
  std::printf(
      "| function | float | double |\n"
      "| --- | ---: | ---: |\n");
  const auto row = [](const char* name, double low, double high, const auto& op,
                      const auto& exact) {
    std::printf("| %s, %g to %g | %.2f | %.2f |\n", name, low, high,
                worst_ulps<float>(low, high, op, exact), worst_ulps<double>(low, high, op, exact));
  };
  using Exact = long double;
  const auto sigmoid_of = [](Exact x) { return 1 / (1 + std::exp(-x)); };
  const auto gelu_of = [](Exact x) { return x * std::erfc(-x / std::sqrt(Exact(2))) / 2; };
  row(
      "exp", -80, 80, [](const auto& x) { return exp(x); }, [](Exact x) { return std::exp(x); });
  row(
      "log", 1e-3, 1e3, [](const auto& x) { return log(x); }, [](Exact x) { return std::log(x); });
  row(
      "tanh", -10, 10, [](const auto& x) { return tanh(x); }, [](Exact x) { return std::tanh(x); });
  row(
      "sigmoid", -20, 20, [](const auto& x) { return sigmoid(x); }, sigmoid_of);
  row(
      "silu", -20, 20, [](const auto& x) { return silu(x); },
      [&](Exact x) { return x * sigmoid_of(x); });
  row(
      "rsqrt", 1e-3, 1e3, [](const auto& x) { return rsqrt(x); },
      [](Exact x) { return 1 / std::sqrt(x); });
  row(
      "sqrt", 1e-3, 1e3, [](const auto& x) { return sqrt(x); },
      [](Exact x) { return std::sqrt(x); });
  const auto gelu_op = [](const auto& x) { return gelu(x); };
  row("gelu", -2, 8, gelu_op, gelu_of);
  row("gelu", -5, -2, gelu_op, gelu_of);
  for (const double size : {5.0, 40.0})
    std::printf("| softmax of 64 logits, %g to %g | %.2f | %.2f |\n", -size, size,
                worst_ulps_of_softmax<float>(size), worst_ulps_of_softmax<double>(size));
}

struct Step {
  double loss;
  std::vector<float> gradients;
};
// A step of training: images of normally distributed numbers, each of a class of its own.
Step step_of(const Module<float>& model, bool amp) {
  constexpr std::int64_t images = 2, size = 224;
  Tensor<float> x({images, size, size, 3});
  for (std::int64_t i = 0; i < x.size(); ++i)
    x[i] = static_cast<float>(normal(RandomKey(7), static_cast<std::uint64_t>(i)));
  Tape<float> tape;
  tape.begin({.amp = amp});
  const std::vector<std::int32_t> labels = {1, 2};
  const Variable<float> loss = cross_entropy<float>(model(tape.input(x)), labels);
  tape.backward(loss);
  return {static_cast<double>(loss.item()), {tape.gradients().begin(), tape.gradients().end()}};
}

void print_models() {
  std::printf(
      "| model, bfloat16 | all gradients | loss |\n"
      "| --- | ---: | ---: |\n");
  for (const char* name : {"xxs", "s", "resnet18", "mobilenet_v2", "vit_tiny"}) {
    ParameterStore<float> store;
    const auto model = choose_model(name, {{"num_classes", 1000}}).make(store);
    store.initialize(1);
    const Step exact = step_of(*model, false), rounded = step_of(*model, true);
    double difference = 0, whole = 0;
    for (std::size_t i = 0; i < exact.gradients.size(); ++i) {
      const double g = exact.gradients[i];
      difference += (rounded.gradients[i] - g) * (rounded.gradients[i] - g);
      whole += g * g;
    }
    std::printf("| %s | %.1e | %.1e |\n", name, std::sqrt(difference / whole),
                std::abs(rounded.loss - exact.loss) / exact.loss);
  }
}

}  // namespace

int main() {
  print_ops();
  std::printf("\n");
  print_functions();
  if (isa() != best_isa()) return 0;
  std::printf("\n");
  print_models();
}
