// A row of op_cases.hpp as a layer: its first input of real numbers is the layer's, the others are
// parameters, and integers are constants. What the exporters' tests write.
#pragma once

#include <algorithm>
#include <array>
#include <map>
#include <string>

#include "tests/op_cases.hpp"

namespace op_tests {

class CaseModule : public Module<float> {
 public:
  CaseModule(const Scope<float>& scope, const OpCase& of)
      : Module<float>(scope, "Case"), case_(of), numbers_(of) {
    {
      Tape<float> tape;
      tape.begin({.training = false});
      numbers_.set(tape);
      op_call(of.op)(numbers_);
    }
    for (std::size_t i = 0; i < numbers_.names().size(); ++i) {
      if (is_input(i)) continue;
      const Layout layout = numbers_.layouts()[i];
      ParameterOptions options{.shape = numbers_.tensors()[i].shape()};
      if (layout == Layout::conv_weight && options.shape.rank() == 3)
        options.torch_axes = {0, 2, 1};
      if (layout == Layout::conv_weight && options.shape.rank() == 4)
        options.torch_axes = {0, 3, 1, 2};
      if (layout == Layout::depthwise_weight) options.torch_axes = {2, 3, 0, 1};
      options.torch_order = layout == Layout::plain || layout == Layout::heads;
      parameters_[numbers_.names()[i]] = scope.parameter(numbers_.names()[i], options);
    }
  }

  // Gives the parameters their values, within an edit of the store.
  template <class Edit>
  void write_values(const Edit& edit) const {
    for (std::size_t i = 0; i < numbers_.names().size(); ++i)
      if (!is_input(i))
        std::ranges::copy(numbers_.tensors()[i].span(),
                          edit.value(parameters_.at(numbers_.names()[i]).number).begin());
  }
  // The layer's input.
  const Tensor<float>& input() const {
    std::size_t i = 0;
    while (!is_input(i)) ++i;
    return numbers_.tensors()[i];
  }

  Variable<float> forward(Variable<float> x) const override {
    std::vector<Variable<float>> variables;
    for (std::size_t i = 0; i < numbers_.names().size(); ++i)
      variables.push_back(is_input(i) ? x
                                      : x.tape().parameter(parameters_.at(numbers_.names()[i])));
    numbers_.set(x.tape(), variables);
    return op_call(case_.op)(numbers_);
  }

 private:
  // The arguments stand in the order in which they were asked for, which C++ leaves open.
  bool is_input(std::size_t i) const {
    const auto first = std::ranges::find_if(case_.inputs, [&](const CaseInput& input) {
      return std::ranges::find(numbers_.names(), input.name) != numbers_.names().end();
    });
    return numbers_.names()[i] == first->name;
  }

  const OpCase& case_;
  mutable CaseArguments<float> numbers_;
  std::map<std::string, Parameter<float>> parameters_;
};

}  // namespace op_tests
