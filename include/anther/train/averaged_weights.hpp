// A model that has the average of its weights for a while: to evaluate it, or to save it.
#pragma once

#include "anther/optim/model_ema.hpp"

namespace anther::inline v0_1 {

// While it lives, the model has the averaged weights.
template <class T>
class AveragedWeights {
 public:
  explicit AveragedWeights(ModelEma<T>& ema) : ema_(ema) { ema_.swap(); }
  ~AveragedWeights() { ema_.swap(); }
  AveragedWeights(const AveragedWeights&) = delete;
  AveragedWeights& operator=(const AveragedWeights&) = delete;

 private:
  ModelEma<T>& ema_;
};

}  // namespace anther::inline v0_1
