// Dropout and DropPath (stochastic depth) as layers: in training only; see ops/dropout.hpp.
#pragma once

#include "anther/nn/module.hpp"
#include "anther/ops/dropout.hpp"

namespace anther::inline v0_1 {

template <class T>
class Dropout : public Module<T> {
 public:
  Dropout(const Scope<T>& scope, double p) : Module<T>(scope, "Dropout"), p_(p) {
    detail::check(p >= 0 && p < 1, scope.path(), ": expected a dropout probability in [0, 1), got ",
                  p);
  }
  Variable<T> forward(Variable<T> x) const override { return dropout(x, p_); }

 private:
  double p_;
};

template <class T>
class DropPath : public Module<T> {
 public:
  DropPath(const Scope<T>& scope, double p) : Module<T>(scope, "DropPath"), p_(p) {
    detail::check(p >= 0 && p < 1, scope.path(), ": expected a drop path rate in [0, 1), got ", p);
  }
  Variable<T> forward(Variable<T> x) const override { return drop_path(x, p_); }

 private:
  double p_;
};

}  // namespace anther::inline v0_1
