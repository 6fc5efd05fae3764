// Adagrad (Duchi, Hazan and Singer 2011) as PyTorch computes it.
#pragma once

#include "anther/kernels/optimizer.hpp"
#include "anther/optim/optimizer.hpp"

namespace anther::inline v0_1 {

struct AdagradOptions {
  double lr_decay = 0;      // step t has the rate lr / (1 + (t - 1) lr_decay)
  double weight_decay = 0;  // through the gradient
  double initial_accumulator_value = 0;
  double eps = 1e-10;
};

template <class T>
class Adagrad : public Optimizer<T> {
 public:
  explicit Adagrad(ParameterStore<T>& store, const AdagradOptions& options = {})
      : Optimizer<T>(store, {"sum"}, options.initial_accumulator_value), options_(options) {
    check_not_negative("adagrad", "an lr_decay", options.lr_decay);
    check_not_negative("adagrad", "a weight decay", options.weight_decay);
    check_not_negative("adagrad", "an initial value", options.initial_accumulator_value);
    check_not_negative("adagrad", "an eps", options.eps);
  }

 protected:
  void update(T* values, const T* gradients, const typename Optimizer<T>::Range& range, double lr,
              double gradient_scale) override {
    const double past = static_cast<double>(range.steps - 1);
    kernels::adagrad_step(
        values + range.begin, this->state()[0].values.data() + range.begin, gradients + range.begin,
        range.end - range.begin,
        kernels::AdagradStep{.learning_rate = lr / (1 + past * options_.lr_decay),
                             .eps = options_.eps,
                             .weight_decay = range.decay ? options_.weight_decay : 0,
                             .gradient_scale = gradient_scale});
  }

 private:
  AdagradOptions options_;
};

}  // namespace anther::inline v0_1
