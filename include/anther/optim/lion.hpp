// Lion (Chen et al. 2023): steps by the sign of an average of gradients. Its rate is a third to a
// tenth of Adam's, and its weight decay as many times larger.
#pragma once

#include "anther/kernels/optimizer.hpp"
#include "anther/optim/optimizer.hpp"

namespace anther::inline v0_1 {

struct LionOptions {
  double beta1 = 0.9;
  double beta2 = 0.99;
  double weight_decay = 0;  // of the value, not through the gradient
};

template <class T>
class Lion : public Optimizer<T> {
 public:
  explicit Lion(ParameterStore<T>& store, const LionOptions& options = {})
      : Optimizer<T>(store, {"exp_avg"}), options_(options) {
    check_average("lion", "a beta1", options.beta1);
    check_average("lion", "a beta2", options.beta2);
    check_not_negative("lion", "a weight decay", options.weight_decay);
  }

 protected:
  void update(T* values, const T* gradients, const typename Optimizer<T>::Range& range, double lr,
              double gradient_scale) override {
    kernels::lion_step(values + range.begin, this->state()[0].values.data() + range.begin,
                       gradients + range.begin, range.end - range.begin,
                       kernels::LionStep{.learning_rate = lr,
                                         .beta1 = options_.beta1,
                                         .beta2 = options_.beta2,
                                         .weight_decay = range.decay ? options_.weight_decay : 0,
                                         .gradient_scale = gradient_scale});
  }

 private:
  LionOptions options_;
};

}  // namespace anther::inline v0_1
