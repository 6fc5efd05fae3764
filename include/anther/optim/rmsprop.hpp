// RMSprop (Hinton 2012), plain, with momentum, or centred (Graves 2013), as PyTorch computes it.
#pragma once

#include "anther/kernels/optimizer.hpp"
#include "anther/optim/optimizer.hpp"

namespace anther::inline v0_1 {

struct RMSpropOptions {
  double alpha = 0.99;
  double eps = 1e-8;
  double weight_decay = 0;  // through the gradient
  double momentum = 0;
  bool centered = false;  // divide by the gradient's standard deviation
};

template <class T>
class RMSprop : public Optimizer<T> {
 public:
  explicit RMSprop(ParameterStore<T>& store, const RMSpropOptions& options = {})
      : Optimizer<T>(store, names(options)), options_(options) {
    check_average("rmsprop", "an alpha", options.alpha);
    check_not_negative("rmsprop", "an eps", options.eps);
    check_not_negative("rmsprop", "a weight decay", options.weight_decay);
    check_not_negative("rmsprop", "a momentum", options.momentum);
  }

 protected:
  void update(T* values, const T* gradients, const typename Optimizer<T>::Range& range, double lr,
              double gradient_scale) override {
    const auto& o = options_;
    const auto state = [&](std::size_t number) {
      return this->state()[number].values.data() + range.begin;
    };
    T* const momentum = o.momentum > 0 ? state(1) : nullptr;
    T* const average = o.centered ? state(o.momentum > 0 ? 2 : 1) : nullptr;
    kernels::rmsprop_step<T>(values + range.begin, {state(0), momentum, average},
                             gradients + range.begin, range.end - range.begin,
                             kernels::RMSpropStep{.learning_rate = lr,
                                                  .alpha = o.alpha,
                                                  .eps = o.eps,
                                                  .weight_decay = range.decay ? o.weight_decay : 0,
                                                  .momentum = o.momentum,
                                                  .gradient_scale = gradient_scale});
  }

 private:
  static std::vector<std::string> names(const RMSpropOptions& options) {
    std::vector<std::string> all = {"square_avg"};
    if (options.momentum > 0) all.push_back("momentum_buffer");
    if (options.centered) all.push_back("grad_avg");
    return all;
  }

  RMSpropOptions options_;
};

}  // namespace anther::inline v0_1
