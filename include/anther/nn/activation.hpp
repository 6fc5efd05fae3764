// Activations as layers, for a Sequential: net.add<Linear>(8, 64).add<ReLU>().
#pragma once

#include "anther/nn/module.hpp"
#include "anther/ops/activation.hpp"
#include "anther/ops/pointwise.hpp"

namespace anther::inline v0_1 {

// A row of kernels/pointwise_table.inl as a layer. numbers: a slope or a limit, as the function has
// it.
template <class T, kernels::Pointwise op>
class PointwiseLayer : public Module<T> {
 public:
  PointwiseLayer(const Scope<T>& scope, const char* type, const kernels::PointwiseNumbers& numbers)
      : Module<T>(scope, type), numbers_(numbers) {}
  Variable<T> forward(Variable<T> x) const override { return pointwise<op>(x, numbers_); }

 private:
  kernels::PointwiseNumbers numbers_;
};

#define ANTHER_ACTIVATION(Name, op)                                                          \
  template <class T>                                                                         \
  class Name : public PointwiseLayer<T, kernels::Pointwise::op> {                            \
   public:                                                                                   \
    explicit Name(const Scope<T>& scope,                                                     \
                  const kernels::PointwiseNumbers& numbers =                                 \
                      kernels::pointwise_defaults[static_cast<int>(kernels::Pointwise::op)]) \
        : PointwiseLayer<T, kernels::Pointwise::op>(scope, #Name, numbers) {}                \
  };
ANTHER_ACTIVATION(ELU, elu)  // {alpha}
ANTHER_ACTIVATION(Hardsigmoid, hardsigmoid)
ANTHER_ACTIVATION(Hardswish, hardswish)
ANTHER_ACTIVATION(LeakyReLU, leaky_relu)  // {negative_slope}
ANTHER_ACTIVATION(Mish, mish)
ANTHER_ACTIVATION(ReLU, relu)
ANTHER_ACTIVATION(ReLU6, relu6)
ANTHER_ACTIVATION(Sigmoid, sigmoid)
ANTHER_ACTIVATION(SELU, selu)
ANTHER_ACTIVATION(SiLU, silu)
ANTHER_ACTIVATION(Softplus, softplus)  // {beta, threshold}
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
