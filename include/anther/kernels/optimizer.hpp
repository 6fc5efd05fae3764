// Optimisers and what goes with them, each one pass over a flat range of `count` elements: Adam
// (Kingma and Ba 2015), AdamW (Loshchilov and Hutter 2019), SGD with momentum, RMSprop (Hinton
// 2012), Adagrad (Duchi et al. 2011), Lion (Chen et al. 2023), the average of the weights, sums of
// gradients and their norm. Formulas as in PyTorch.
#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>

#include "anther/kernels/map.hpp"

namespace anther::inline v0_1::kernels {

struct AdamStep {
  std::int64_t step = 1;  // counted from 1
  double learning_rate = 1e-3;
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
  double weight_decay = 0;
  bool decoupled = false;     // AdamW: the decay acts on the value, not through the gradient
  double gradient_scale = 1;  // multiplies every gradient first, as clipping does
};

struct SGDStep {
  double learning_rate = 1e-2;
  double momentum = 0;
  bool nesterov = false;
  double weight_decay = 0;
  double gradient_scale = 1;
};

struct RMSpropStep {
  double learning_rate = 1e-2;
  double alpha = 0.99, eps = 1e-8;
  double weight_decay = 0;
  double momentum = 0;
  double gradient_scale = 1;
};

struct AdagradStep {
  double learning_rate = 1e-2;
  double eps = 1e-10;
  double weight_decay = 0;
  double gradient_scale = 1;
};

struct LionStep {
  double learning_rate = 1e-4;
  double beta1 = 0.9, beta2 = 0.99;
  double weight_decay = 0;  // decoupled
  double gradient_scale = 1;
};

// What the bodies multiply with, computed once in double.
template <class T>
struct AdamFactors {
  T gradient_scale, weight_decay, keep;  // keep: what decoupled decay leaves of a value
  T m_rate, v_rate, root_factor, eps, step_size;

  explicit AdamFactors(const AdamStep& s)
      : gradient_scale(static_cast<T>(s.gradient_scale)),
        weight_decay(static_cast<T>(s.decoupled ? 0 : s.weight_decay)),
        keep(static_cast<T>(s.decoupled ? 1 - s.learning_rate * s.weight_decay : 1)),
        m_rate(static_cast<T>(1 - s.beta1)),
        v_rate(static_cast<T>(1 - s.beta2)),
        root_factor(
            static_cast<T>(1 / std::sqrt(1 - std::pow(s.beta2, static_cast<double>(s.step))))),
        eps(static_cast<T>(s.eps)),
        step_size(static_cast<T>(s.learning_rate /
                                 (1 - std::pow(s.beta1, static_cast<double>(s.step))))) {}
};

template <class T>
struct SgdFactors {
  T gradient_scale, weight_decay, momentum, learning_rate;
  bool nesterov;

  explicit SgdFactors(const SGDStep& s)
      : gradient_scale(static_cast<T>(s.gradient_scale)),
        weight_decay(static_cast<T>(s.weight_decay)),
        momentum(static_cast<T>(s.momentum)),
        learning_rate(static_cast<T>(s.learning_rate)),
        nesterov(s.nesterov) {}
};

template <class T>
struct RMSpropFactors {
  T gradient_scale, weight_decay, rate, eps, momentum, learning_rate;

  explicit RMSpropFactors(const RMSpropStep& s)
      : gradient_scale(static_cast<T>(s.gradient_scale)),
        weight_decay(static_cast<T>(s.weight_decay)),
        rate(static_cast<T>(1 - s.alpha)),
        eps(static_cast<T>(s.eps)),
        momentum(static_cast<T>(s.momentum)),
        learning_rate(static_cast<T>(s.learning_rate)) {}
};

template <class T>
struct AdagradFactors {
  T gradient_scale, weight_decay, eps, learning_rate;

  explicit AdagradFactors(const AdagradStep& s)
      : gradient_scale(static_cast<T>(s.gradient_scale)),
        weight_decay(static_cast<T>(s.weight_decay)),
        eps(static_cast<T>(s.eps)),
        learning_rate(static_cast<T>(s.learning_rate)) {}
};

template <class T>
struct LionFactors {
  T gradient_scale, keep, direction_rate, average_rate, learning_rate;

  explicit LionFactors(const LionStep& s)
      : gradient_scale(static_cast<T>(s.gradient_scale)),
        keep(static_cast<T>(1 - s.learning_rate * s.weight_decay)),
        direction_rate(static_cast<T>(1 - s.beta1)),
        average_rate(static_cast<T>(1 - s.beta2)),
        learning_rate(static_cast<T>(s.learning_rate)) {}
};

// The state of RMSprop. momentum and average may be null: no momentum, not centred.
template <class T>
struct RMSpropState {
  T *square_average, *momentum, *average;
};

// How many buffers sum_buffers takes.
inline constexpr std::int64_t max_sum_buffers = 16;

#define ANTHER_BODY "anther/kernels/optimizer.inl"
#include "anther/kernels/for_each_isa.inl"

// g = gradient_scale gradient + weight_decay value (decoupled: value *= 1 - lr weight_decay
// instead) m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2 value -= lr / (1 -
// beta1^step) m / (sqrt(v) / sqrt(1 - beta2^step) + eps) m and v start as zeros.
template <class T>
void adam_step(T* value, T* m, T* v, const T* gradient, std::int64_t count, const AdamStep& step) {
  const AdamFactors<T> factors(step);
  for_blocks(count, 1500, [&](std::int64_t first, std::int64_t length, std::int64_t) {
    ANTHER_SELECT(adam_step<T>)
    (value + first, m + first, v + first, gradient + first, length, factors);
  });
}

// g = gradient_scale gradient + weight_decay value;  velocity = momentum velocity + g
// value -= lr velocity (nesterov: lr (g + momentum velocity))
// velocity starts as zeros; null: no momentum.
template <class T>
void sgd_step(T* value, T* velocity, const T* gradient, std::int64_t count, const SGDStep& step) {
  const SgdFactors<T> factors(step);
  for_blocks(count, 800, [&](std::int64_t first, std::int64_t length, std::int64_t) {
    ANTHER_SELECT(sgd_step<T>)
    (value + first, velocity ? velocity + first : nullptr, gradient + first, length, factors);
  });
}

// g = gradient_scale gradient + weight_decay value;  square_average = alpha square_average + (1 -
// alpha) g^2;  step = g / (sqrt(square_average) + eps), and with momentum step = momentum step +
// that. value -= lr step. With `average`, which follows g as square_average follows g^2, the root
// is that of square_average - average^2. The state starts as zeros.
template <class T>
void rmsprop_step(T* value, const RMSpropState<T>& state, const T* gradient, std::int64_t count,
                  const RMSpropStep& step) {
  const RMSpropFactors<T> factors(step);
  for_blocks(count, 1500, [&](std::int64_t first, std::int64_t length, std::int64_t) {
    const auto here = [first](T* part) { return part ? part + first : nullptr; };
    ANTHER_SELECT(rmsprop_step<T>)
    (value + first, {here(state.square_average), here(state.momentum), here(state.average)},
     gradient + first, length, factors);
  });
}

// g = gradient_scale gradient + weight_decay value;  sum += g^2;  value -= lr g / (sqrt(sum) +
// eps).
template <class T>
void adagrad_step(T* value, T* sum, const T* gradient, std::int64_t count,
                  const AdagradStep& step) {
  const AdagradFactors<T> factors(step);
  for_blocks(count, 1200, [&](std::int64_t first, std::int64_t length, std::int64_t) {
    ANTHER_SELECT(adagrad_step<T>)
    (value + first, sum + first, gradient + first, length, factors);
  });
}

// g = gradient_scale gradient;  value = (1 - lr weight_decay) value - lr sign(beta1 average + (1 -
// beta1) g);  average = beta2 average + (1 - beta2) g, which starts as zeros.
template <class T>
void lion_step(T* value, T* average, const T* gradient, std::int64_t count, const LionStep& step) {
  const LionFactors<T> factors(step);
  for_blocks(count, 800, [&](std::int64_t first, std::int64_t length, std::int64_t) {
    ANTHER_SELECT(lion_step<T>)
    (value + first, average + first, gradient + first, length, factors);
  });
}

// average = decay average + (1 - decay) value, computed as average + (1 - decay) (value - average):
// a decay near 1 in float and 1 - decay would not add up to 1.
template <class T>
void update_average(T* average, const T* value, std::int64_t count, double decay) {
  const T rate = static_cast<T>(1 - decay);
  for_blocks(count, 600, [&](std::int64_t first, std::int64_t length, std::int64_t) {
    ANTHER_SELECT(update_average<T>)(average + first, value + first, rate, length);
  });
}

// The workspace of sum_of_squares, in elements.
inline std::int64_t sum_of_squares_workspace(std::int64_t count) {
  return map_blocks(count);
}

// Of each block, and the sum of all blocks'.
template <class T>
void sums_of_squares(const T* x, T* sums, std::int64_t count) {
  for_blocks(count, 250, [&](std::int64_t first, std::int64_t length, std::int64_t block) {
    sums[block] = ANTHER_SELECT(sum_of_squares<T>)(x + first, length);
  });
}
template <class T>
double sum_of_blocks(const T* sums, std::int64_t blocks) {
  double total = 0;
  for (std::int64_t block = 0; block < blocks; ++block) total += static_cast<double>(sums[block]);
  return total;
}

template <class T>
double sum_of_squares(const T* x, T* workspace, std::int64_t count) {
  sums_of_squares(x, workspace, count);
  return sum_of_blocks(workspace, map_blocks(count));
}

// Whether no element is infinite or NaN.
template <class T>
bool all_finite(const T* x, std::int64_t count) {
  std::atomic<bool> finite{true};
  for_blocks(count, 250, [&](std::int64_t first, std::int64_t length, std::int64_t) {
    if (!ANTHER_SELECT(all_finite<T>)(x + first, length))
      finite.store(false, std::memory_order_relaxed);
  });
  return finite.load(std::memory_order_relaxed);
}

// y = factor times the sum of 1 to max_sum_buffers buffers, which are folded: of n buffers the
// upper half is added to the lower, i + h to i with h = (n + 1) / 2, until one is left. y may be
// one of them.
template <class T>
void sum_buffers(T* y, const T* const* buffers, std::int64_t buffer_count, T factor,
                 std::int64_t count) {
  for_blocks(count, 200 + 200 * buffer_count,
             [&](std::int64_t first, std::int64_t length, std::int64_t) {
               ANTHER_SELECT(sum_buffers<T>)
               (y + first, buffers, buffer_count, factor, first, length);
             });
}

}  // namespace anther::inline v0_1::kernels
