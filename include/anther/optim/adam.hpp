// Adam (Kingma and Ba 2015) as PyTorch and PaddlePaddle compute it; with `weight_decay` and
// `decoupled`, AdamW (Loshchilov and Hutter 2019).
#pragma once

#include "anther/kernels/optimizer.hpp"
#include "anther/optim/optimizer.hpp"

namespace anther::inline v0_1 {

struct AdamOptions {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0;
  bool decoupled = false;  // AdamW
};

template <class T>
class Adam : public Optimizer<T> {
 public:
  explicit Adam(ParameterStore<T>& store, const AdamOptions& options = {})
      : Optimizer<T>(store, {"exp_avg", "exp_avg_sq"}), options_(options) {
    check_average("adam", "a beta1", options.beta1);
    check_average("adam", "a beta2", options.beta2);
    check_not_negative("adam", "an eps", options.eps);
    check_not_negative("adam", "a weight decay", options.weight_decay);
  }

 protected:
  void update(T* values, const T* gradients, const typename Optimizer<T>::Range& range, double lr,
              double gradient_scale) override {
    const auto& o = options_;
    kernels::adam_step(values + range.begin, this->state()[0].values.data() + range.begin,
                       this->state()[1].values.data() + range.begin, gradients + range.begin,
                       range.end - range.begin,
                       kernels::AdamStep{.step = range.steps,
                                         .learning_rate = lr,
                                         .beta1 = o.beta1,
                                         .beta2 = o.beta2,
                                         .eps = o.eps,
                                         .weight_decay = range.decay ? o.weight_decay : 0,
                                         .decoupled = o.decoupled,
                                         .gradient_scale = gradient_scale});
  }

 private:
  AdamOptions options_;
};

}  // namespace anther::inline v0_1
