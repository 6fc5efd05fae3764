// Checks in double whether backward is the derivative of forward, by central differences.
//
//   const auto worst = check_gradients({x, weight}, [](auto& tape, const auto& v) {
//     return linear(v[0], v[1]);
//   });
//
// The output is weighted at random, because a plain sum hides errors in softmax and normalisation.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "anther/autograd/tape.hpp"
#include "anther/core/random.hpp"
#include "anther/core/tensor.hpp"

namespace anther::inline v0_1 {

// sum_i weight[i] x[i]: what makes a scalar of an op's result.
template <class T>
inline constexpr Op<T> weighted_sum_op = {
    .name = "weighted_sum",
    .forward =
        [](Call<T>& call) {
          T total = 0;
          const T* weight = call.template attributes<const T*>();
          const T* x = call.input(0);
          const std::int64_t count = call.input_shape(0).numel();
          for (std::int64_t i = 0; i < count; ++i) total += weight[i] * x[i];
          *call.output() = total;
        },
    .backward =
        [](Call<T>& call) {
          const auto dx = call.input_gradient(0);
          const T* weight = call.template attributes<const T*>();
          const T dy = *call.output_gradient();
          const std::int64_t count = dx ? call.input_shape(0).numel() : 0;
          for (std::int64_t i = 0; i < count; ++i)
            dx.to[i] = (dx.add ? dx.add[i] : T(0)) + dy * weight[i];
        },
};

template <class T>
Variable<T> weighted_sum(const Variable<T>& x, std::span<const T> weight) {
  Tape<T>& tape = x.tape();
  tape.check(x.shape().numel() == std::ssize(weight), "weighted_sum: expected ", x.shape().numel(),
             " weights, got ", weight.size());
  const T* kept = tape.keep(weight);
  return tape.apply(weighted_sum_op<T>, kept, {x}, Shape{});
}

struct GradientCheckOptions {
  double step = 1e-5;          // of the central difference
  std::int64_t elements = 64;  // checked in each tensor, at random places; all if there are fewer
  std::uint64_t seed = 1;
  TapeOptions tape = {};
};

struct GradientCheckResult {
  // The largest |backward - difference|, relative to the largest gradient of its tensor (or to 1e-3
  // of the largest gradient of all tensors, if that is greater).
  double worst = 0;
  std::string where;  // input 1, element 3: expected 0.5, got 0.4
};

// function(tape, variables) -> a Variable<double> of any shape, computed from the inputs and, if
// `store` is given, from its parameters. These are checked too, and have their old values
// afterwards. Real is always double: as a parameter, it has a program that checks nothing compile
// nothing of this.
template <class Function, class Real = double>
GradientCheckResult check_gradients(std::type_identity_t<std::vector<Tensor<Real>>> inputs,
                                    const Function& function,
                                    const GradientCheckOptions& options = {},
                                    std::type_identity_t<ParameterStore<Real>>* store = nullptr) {
  const RandomKey key = RandomKey(options.seed).fold("gradient check");
  TapeOptions tape_options = options.tape;
  if (!tape_options.random) tape_options.random = key.fold("pass");  // the same in every pass
  Tape<Real> tape;
  std::vector<double> weight;
  const auto run = [&](bool backward) {
    tape_options.backward = backward;
    tape.begin(tape_options);
    std::vector<Variable<Real>> variables;
    for (const Tensor<Real>& input : inputs) variables.push_back(tape.input(input, backward));
    const Variable<Real> y = function(tape, variables);
    if (weight.empty()) {
      weight.resize(static_cast<std::size_t>(y.shape().numel()));
      for (std::size_t i = 0; i < weight.size(); ++i) weight[i] = normal(key, i);
    }
    const Variable<Real> loss = weighted_sum<Real>(y, weight);
    const double value = loss.item();
    std::vector<std::vector<double>> gradients;
    if (backward) {
      tape.zero_gradients();
      tape.backward(loss);
      for (std::size_t i = 0; i < variables.size(); ++i) {
        const auto gradient = variables[i].gradient();
        gradients.emplace_back(gradient.begin(), gradient.end());
      }
      for (int i = 0; store && i < static_cast<int>(store->parameters().size()); ++i) {
        const auto gradient = store->slice_of(tape.gradients(*store), i);
        gradients.emplace_back(gradient.begin(), gradient.end());
      }
    }
    return std::pair(value, gradients);
  };

  const auto gradients = run(true).second;
  double greatest = 0;
  for (const auto& gradient : gradients)
    for (const double g : gradient) greatest = std::max(greatest, std::abs(g));

  GradientCheckResult result;
  for (std::size_t t = 0; t < gradients.size(); ++t) {
    const auto set = [&](std::size_t i, double value) {
      if (t < inputs.size())
        inputs[t].span()[i] = value;
      else
        store->edit().value(static_cast<int>(t - inputs.size()))[i] = value;
    };
    const std::span<const double> values =
        t < inputs.size() ? std::as_const(inputs[t]).span()
                          : std::as_const(*store).value(static_cast<int>(t - inputs.size()));
    double scale = 1e-3 * greatest;
    for (const double g : gradients[t]) scale = std::max(scale, std::abs(g));
    const auto size = static_cast<std::int64_t>(gradients[t].size());
    const bool all = size <= options.elements;
    for (std::int64_t n = 0; n < std::min(size, options.elements); ++n) {
      const auto i = static_cast<std::size_t>(
          all ? n : uniform_below(key.fold(t + 1), static_cast<std::uint64_t>(n), size));
      const double before = values[i];
      set(i, before + options.step);
      const double above = run(false).first;
      set(i, before - options.step);
      const double below = run(false).first;
      set(i, before);
      const double expected = (above - below) / (2 * options.step);
      const double error = std::abs(gradients[t][i] - expected) / std::max(scale, 1e-12);
      if (error > result.worst || !(error == error)) {
        result.worst = error == error ? error : INFINITY;
        result.where =
            detail::text_of(t < inputs.size() ? detail::text_of("input ", t)
                                              : store->parameters()[t - inputs.size()].name,
                            ", element ", i, ": expected ", expected, ", got ", gradients[t][i]);
      }
    }
  }
  return result;
}

}  // namespace anther::inline v0_1
