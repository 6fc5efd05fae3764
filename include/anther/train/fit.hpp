// The training loop: epochs of optimiser steps over a loader's batches, an evaluation after each.
//
//   fit(model, optimizer, Loader(train, {.batch_size = 64, .shuffle = true}), Loader(val),
//       {.objective = mse_objective(), .metrics = {mean_absolute_error()}, .epochs = 20,
//        .schedule = cosine_schedule(1e-3)},
//       {progress_bar(), ...});
//
// What else should happen (a progress bar, logs, checkpoints) is a callback. With
// options.trainer.group several ranks run it together; callbacks are then called on rank 0 alone.
#pragma once

#include <cstdint>
#include <utility>

#include "anther/data/loader.hpp"
#include "anther/nn/module.hpp"
#include "anther/optim/model_ema.hpp"
#include "anther/optim/optimizer.hpp"
#include "anther/train/callback.hpp"
#include "anther/train/fit_loop.hpp"
#include "anther/train/fit_options.hpp"

namespace anther::inline v0_1 {

// Trains, and returns a report of each epoch that was done: none where it is stopped in the first,
// or goes on with a run that is finished. A batch that is larger than the loader's comes in
// parts, so that its samples need not be in memory at once. val may be null. With an average of the
// weights (ema), that is evaluated too, and decides which epoch is the best. Throws if the loss or
// a gradient is not finite, naming the layer where that began; the weights are then those before
// the step.
template <class T>
History fit(const Module<T>& model, Optimizer<T>& optimizer, LoaderOfEpoch train, data::Loader* val,
            const FitOptions& options, const Callbacks& callbacks = {},
            ModelEma<T>* ema = nullptr) {
  return Fit<T>(model, optimizer, std::move(train), val, options, callbacks, ema).run();
}
template <class T>
History fit(const Module<T>& model, Optimizer<T>& optimizer, data::Loader& train, data::Loader* val,
            const FitOptions& options, const Callbacks& callbacks = {},
            ModelEma<T>* ema = nullptr) {
  return fit(
      model, optimizer, [&](std::int64_t, double) -> data::Loader& { return train; }, val, options,
      callbacks, ema);
}
template <class T>
History fit(const Module<T>& model, Optimizer<T>& optimizer, data::Loader& train, data::Loader& val,
            const FitOptions& options, const Callbacks& callbacks = {},
            ModelEma<T>* ema = nullptr) {
  return fit(model, optimizer, train, &val, options, callbacks, ema);
}
template <class T>
History fit(const Module<T>& model, Optimizer<T>& optimizer, data::Loader&& train,
            data::Loader&& val, const FitOptions& options, const Callbacks& callbacks = {},
            ModelEma<T>* ema = nullptr) {
  return fit(model, optimizer, train, &val, options, callbacks, ema);
}

#ifdef ANTHER_COMPILED
extern template class Trainer<float>;
extern template class Predictor<float>;
extern template class Fit<float>;
// With this, a program that calls fit() makes none of their members for inlining.
extern template History fit(const Module<float>&, Optimizer<float>&, LoaderOfEpoch, data::Loader*,
                            const FitOptions&, const Callbacks&, ModelEma<float>*);
#endif

}  // namespace anther::inline v0_1
