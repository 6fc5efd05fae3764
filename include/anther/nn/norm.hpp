// The normalisations as layers, with PyTorch's names and defaults. All but RMSNorm compute y =
// weight (x - mean) rstd + bias, with one weight and one bias for each channel. They differ in what
// the mean and the variance are taken over: see ops/norm.hpp.
#pragma once

#include <limits>

#include "anther/nn/module.hpp"
#include "anther/ops/norm.hpp"

namespace anther::inline v0_1 {

// The weight (C), 1, and the bias (C), 0, of a normalisation.
template <class T>
class NormBase : public Module<T> {
 public:
  NormBase(const Scope<T>& scope, std::string_view type, std::int64_t channels, double eps,
           const ModuleTraits& traits = {})
      : Module<T>(scope, type, traits),
        eps_(eps),
        weight(scope.parameter("weight",
                               {.shape = {channels}, .init = Init::constant(1), .decay = false})),
        bias(scope.parameter("bias", {.shape = {channels}, .decay = false})) {}

 protected:
  double eps_;

 public:
  Parameter<T> weight, bias;
};

template <class T>
class GroupNorm : public NormBase<T> {
 public:
  GroupNorm(const Scope<T>& scope, std::int64_t num_groups, std::int64_t channels,
            double eps = 1e-5)
      : NormBase<T>(scope, "GroupNorm", channels, eps), num_groups_(num_groups) {
    detail::check(num_groups > 0 && channels % num_groups == 0, scope.path(),
                  ": expected a number of groups that divides ", channels, " channels, got ",
                  num_groups);
  }
  Variable<T> forward(Variable<T> x) const override {
    return group_norm(x, num_groups_, x.tape().parameter(this->weight),
                      x.tape().parameter(this->bias), this->eps_);
  }

 private:
  std::int64_t num_groups_;
};

template <class T>
class LayerNorm : public NormBase<T> {
 public:
  LayerNorm(const Scope<T>& scope, std::int64_t channels, double eps = 1e-5)
      : NormBase<T>(scope, "LayerNorm", channels, eps) {}
  Variable<T> forward(Variable<T> x) const override {
    return layer_norm(x, x.tape().parameter(this->weight), x.tape().parameter(this->bias),
                      this->eps_);
  }
};

// It has a weight and no bias.
template <class T>
class RMSNorm : public Module<T> {
 public:
  RMSNorm(const Scope<T>& scope, std::int64_t channels,
          double eps = static_cast<double>(std::numeric_limits<T>::epsilon()))
      : Module<T>(scope, "RMSNorm"),
        eps_(eps),
        weight(scope.parameter("weight",
                               {.shape = {channels}, .init = Init::constant(1), .decay = false})) {}
  Variable<T> forward(Variable<T> x) const override {
    return rms_norm(x, x.tape().parameter(weight), eps_);
  }

 private:
  double eps_;

 public:
  Parameter<T> weight;
};

template <class T>
class InstanceNorm2d : public NormBase<T> {
 public:
  InstanceNorm2d(const Scope<T>& scope, std::int64_t channels, double eps = 1e-5)
      : NormBase<T>(scope, "InstanceNorm2d", channels, eps) {}
  Variable<T> forward(Variable<T> x) const override {
    return instance_norm(x, x.tape().parameter(this->weight), x.tape().parameter(this->bias),
                         this->eps_);
  }
};

// Besides weight and bias it has running_mean and running_var (C). A training step moves them by
// `momentum` towards those of the batch, and evaluation normalises by them. If they are frozen, or
// weight and bias are, the layer does the same in training as in evaluation.
template <class T>
class BatchNorm2d : public NormBase<T> {
 public:
  BatchNorm2d(const Scope<T>& scope, std::int64_t channels, double eps = 1e-5,
              double momentum = 0.1)
      : NormBase<T>(scope, "BatchNorm2d", channels, eps, {.couples_samples = true}),
        momentum_(momentum),
        running_mean(scope.buffer("running_mean", {.shape = {channels}})),
        running_var(scope.buffer("running_var", {.shape = {channels}, .init = Init::constant(1)})) {
    scope.counter("num_batches_tracked");
  }
  Variable<T> forward(Variable<T> x) const override {
    return batch_norm(x, x.tape().parameter(this->weight), x.tape().parameter(this->bias),
                      running_mean, running_var,
                      {.momentum = momentum_, .eps = this->eps_, .frozen = frozen()});
  }

 private:
  bool frozen() const {
    return (!running_mean.info().trainable && !running_var.info().trainable) ||
           (!this->weight.info().trainable && !this->bias.info().trainable);
  }

  double momentum_;

 public:
  Buffer<T> running_mean, running_var;
};

}  // namespace anther::inline v0_1
