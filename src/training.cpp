#include "anther/compiled.hpp"
#include "anther/train/fit.hpp"

namespace anther::inline v0_1 {
template class Trainer<float>;
template class Predictor<float>;
template class Fit<float>;
template History fit(const Module<float>&, Optimizer<float>&, LoaderOfEpoch, data::Loader*,
                     const FitOptions&, const Callbacks&, ModelEma<float>*);
}  // namespace anther::inline v0_1
