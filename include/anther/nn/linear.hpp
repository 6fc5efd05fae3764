// Fully connected layer: y = x W^T + bias over the last axis.
// weight (O, C), bias (O): PyTorch's names, shapes and default start.
#pragma once

#include <cmath>
#include <optional>

#include "anther/nn/module.hpp"
#include "anther/ops/linear.hpp"

namespace anther::inline v0_1 {

// PyTorch's start of a convolution or linear layer: uniform in +-1/sqrt(fan_in); 0
// where nothing comes in.
inline Init default_init(std::int64_t fan_in) {
  return Init::uniform(fan_in > 0 ? 1 / std::sqrt(static_cast<double>(fan_in)) : 0);
}

// The bias (O) of a layer whose options have `bias` and `bias_init`; an empty handle if it has
// none.
template <class T, class Options>
Parameter<T> add_bias(const Scope<T>& scope, const Options& options, std::int64_t out,
                      std::int64_t fan_in) {
  if (!options.bias) return {};
  return scope.parameter(
      "bias",
      {.shape = {out}, .init = options.bias_init.value_or(default_init(fan_in)), .decay = false});
}

struct LinearOptions {
  bool bias = true;
  std::optional<Init> weight_init = {};  // default_init(in) unless given
  std::optional<Init> bias_init = {};
  ModuleTraits traits = {};  // of a head, say
};

template <class T>
class Linear : public Module<T> {
 public:
  Linear(const Scope<T>& scope, std::int64_t in_features, std::int64_t out_features,
         const LinearOptions& options = {})
      : Module<T>(scope, "Linear", options.traits),
        weight(scope.parameter("weight",
                               {.shape = {out_features, in_features},
                                .init = options.weight_init.value_or(default_init(in_features))})),
        bias(add_bias(scope, options, out_features, in_features)) {}

  Variable<T> forward(Variable<T> x) const override {
    return linear(x, x.tape().parameter(weight), x.tape().parameter(bias));
  }

  Parameter<T> weight, bias;
};

}  // namespace anther::inline v0_1
