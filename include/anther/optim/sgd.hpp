// Stochastic gradient descent with momentum, plain or Nesterov's (Sutskever et al. 2013), as
// PyTorch computes it: the rate is outside of the velocity, and there is no dampening.
#pragma once

#include "anther/kernels/optimizer.hpp"
#include "anther/optim/optimizer.hpp"

namespace anther::inline v0_1 {

struct SGDOptions {
  double momentum = 0;
  bool nesterov = false;
  double weight_decay = 0;  // through the gradient
};

template <class T>
class SGD : public Optimizer<T> {
 public:
  explicit SGD(ParameterStore<T>& store, const SGDOptions& options = {})
      : Optimizer<T>(store, options.momentum != 0 ? std::vector<std::string>{"momentum_buffer"}
                                                  : std::vector<std::string>{}),
        options_(options) {
    check_not_negative("sgd", "a momentum", options.momentum);
    check_not_negative("sgd", "a weight decay", options.weight_decay);
    detail::check(!options.nesterov || options.momentum > 0,
                  "sgd: Nesterov's momentum expects a momentum of more than 0, got ",
                  options.momentum);
  }

 protected:
  void update(T* values, const T* gradients, const typename Optimizer<T>::Range& range, double lr,
              double gradient_scale) override {
    T* velocity = this->state().empty() ? nullptr : this->state()[0].values.data() + range.begin;
    kernels::sgd_step(values + range.begin, velocity, gradients + range.begin,
                      range.end - range.begin,
                      kernels::SGDStep{.learning_rate = lr,
                                       .momentum = options_.momentum,
                                       .nesterov = options_.nesterov,
                                       .weight_decay = range.decay ? options_.weight_decay : 0,
                                       .gradient_scale = gradient_scale});
  }

 private:
  SGDOptions options_;
};

}  // namespace anther::inline v0_1
