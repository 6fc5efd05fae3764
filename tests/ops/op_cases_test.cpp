// Every op of the table: its backward against central differences in double, and the same bits in
// float for any number of threads.
#include "tests/op_cases.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <set>

namespace {

using namespace anther;
using namespace op_tests;

// The first call of a row, which makes the tensors.
template <class T>
void prepare(CaseArguments<T>& arguments, const OpCase& of) {
  Tape<T> tape;
  tape.begin({.training = of.training});
  arguments.set(tape);
  op_call(of.op)(arguments);
}

}  // namespace

TEST_CASE("gradients of every op") {
  for (const OpCase& row : op_cases()) {
    CAPTURE(row.name());
    CaseArguments<double> arguments(row);
    prepare(arguments, row);
    const GradientCheckResult result =
        check_gradients(arguments.tensors(),
                        [&](Tape<double>& tape, const std::vector<Variable<double>>& variables) {
                          arguments.set(tape, variables);
                          return op_call(row.op)(arguments);
                        },
                        {.tape = {.training = row.training}});
    CHECK_MESSAGE(result.worst < 1e-7, row.name(), ": ", result.where);
  }
}

TEST_CASE("every op has the same bits for any number of threads") {
  std::vector<float> weight;  // of as many results as any op so far
  for (const OpCase& row : op_cases()) {
    CAPTURE(row.name());
    // Large enough for several tiles.
    const std::int64_t samples = std::max<std::int64_t>(50'000 / row.inputs[0].shape.numel(), 1);
    CaseArguments<float> arguments(row, samples);
    prepare(arguments, row);
    std::vector<float> expected;
    for (const int threads : {1, 2, 3, 5}) {
      set_num_threads(threads);
      Tape<float> tape;
      tape.begin({.training = row.training, .random = RandomKey(3)});
      arguments.set(tape);
      const Variable<float> y = op_call(row.op)(arguments);
      while (weight.size() < y.value().size())
        weight.push_back(static_cast<float>(normal(RandomKey(5), weight.size())));
      std::vector<float> results(y.value().begin(), y.value().end());
      tape.backward(weighted_sum<float>(y, std::span(weight).first(y.value().size())));
      for (const Variable<float>& x : arguments.variables())
        results.insert(results.end(), x.gradient().begin(), x.gradient().end());
      if (threads == 1) expected = results;
      REQUIRE(results.size() == expected.size());
      CHECK_MESSAGE(
          std::memcmp(results.data(), expected.data(), results.size() * sizeof(float)) == 0,
          row.name(), " with ", threads, " threads");
    }
    set_num_threads(0);
  }
}

TEST_CASE("every op has a row") {
  // What a row of another name reaches, and what has no result of its own to compare.
  const std::set<std::string> others = {"dropout", "gelu_tanh", "shift"};
  for (const OpCall& call : op_calls()) {
    const std::string name(call.name);
    const bool found =
        std::ranges::any_of(op_cases(), [&](const OpCase& row) { return row.op == name; });
    CHECK_MESSAGE((found || others.contains(name)), name);
  }
}
