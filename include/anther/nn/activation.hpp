// Activations as layers, for a Sequential: net.add<Linear>(8, 64).add<ReLU>().
#pragma once

#include "anther/nn/module.hpp"
#include "anther/ops/activation.hpp"
#include "anther/ops/pointwise.hpp"

namespace anther::inline v0_1 {

// A row of kernels/pointwise_table.inl as a layer, with the numbers that the function has.
template <class T, kernels::Pointwise op>
class PointwiseLayer : public Module<T> {
 public:
  PointwiseLayer(const Scope<T>& scope, const char* type, double first = 0, double second = 0)
      : Module<T>(scope, type), numbers_{first, second} {}
  Variable<T> forward(Variable<T> x) const override { return pointwise<op>(x, numbers_); }

 private:
  kernels::PointwiseNumbers numbers_;
};

// Their options. What is left out has the function's default.
struct ELUOptions {
  double alpha = kernels::pointwise_defaults[static_cast<int>(kernels::Pointwise::elu)].first;
};
struct LeakyReLUOptions {
  double negative_slope =
      kernels::pointwise_defaults[static_cast<int>(kernels::Pointwise::leaky_relu)].first;
};
struct SoftplusOptions {
  double beta = kernels::pointwise_defaults[static_cast<int>(kernels::Pointwise::softplus)].first;
  double threshold =
      kernels::pointwise_defaults[static_cast<int>(kernels::Pointwise::softplus)].second;
};

template <class T>
class ELU : public PointwiseLayer<T, kernels::Pointwise::elu> {
 public:
  explicit ELU(const Scope<T>& scope, const ELUOptions& options = {})
      : PointwiseLayer<T, kernels::Pointwise::elu>(scope, "ELU", options.alpha) {}
};
template <class T>
class LeakyReLU : public PointwiseLayer<T, kernels::Pointwise::leaky_relu> {
 public:
  explicit LeakyReLU(const Scope<T>& scope, const LeakyReLUOptions& options = {})
      : PointwiseLayer<T, kernels::Pointwise::leaky_relu>(scope, "LeakyReLU",
                                                          options.negative_slope) {}
};
template <class T>
class Softplus : public PointwiseLayer<T, kernels::Pointwise::softplus> {
 public:
  explicit Softplus(const Scope<T>& scope, const SoftplusOptions& options = {})
      : PointwiseLayer<T, kernels::Pointwise::softplus>(scope, "Softplus", options.beta,
                                                        options.threshold) {}
};

#define ANTHER_ACTIVATION(Name, op)                                  \
  template <class T>                                                 \
  class Name : public PointwiseLayer<T, kernels::Pointwise::op> {    \
   public:                                                           \
    explicit Name(const Scope<T>& scope)                             \
        : PointwiseLayer<T, kernels::Pointwise::op>(scope, #Name) {} \
  };
ANTHER_ACTIVATION(Hardsigmoid, hardsigmoid)
ANTHER_ACTIVATION(Hardswish, hardswish)
ANTHER_ACTIVATION(Mish, mish)
ANTHER_ACTIVATION(ReLU, relu)
ANTHER_ACTIVATION(ReLU6, relu6)
ANTHER_ACTIVATION(Sigmoid, sigmoid)
ANTHER_ACTIVATION(SELU, selu)
ANTHER_ACTIVATION(SiLU, silu)
ANTHER_ACTIVATION(Tanh, tanh)
#undef ANTHER_ACTIVATION

// The exact one, which the linear layer after it computes as it reads.
template <class T>
class GELU : public Module<T> {
 public:
  explicit GELU(const Scope<T>& scope) : Module<T>(scope, "GELU") {}
  Variable<T> forward(Variable<T> x) const override { return gelu(x); }
};

}  // namespace anther::inline v0_1
