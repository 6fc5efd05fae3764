// Losses of a prediction x and a target t, element by element: a table of formulas (loss.inl), each
// with its derivatives by x and by t. weight, of bce alone, may be null, which stands for ones.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "anther/kernels/map.hpp"

namespace anther::inline v0_1::kernels {

enum class Loss {
  mse,     // (x - t)^2
  l1,      // |x - t|
  huber,   // (x - t)^2 / 2 where |x - t| < parameter, else parameter (|x - t| - parameter / 2)
  bce,     // weight t softplus(-x) + (1 - t) softplus(x): -log of the probability of t, by logits
  kl,      // t (log t - x), 0 where t is 0
  kl_log,  // e^t (t - x)
};

// What a loss reads, all of `count` elements.
template <class T>
struct LossOperands {
  const T *x, *t, *weight;

  LossOperands from(std::int64_t i) const { return {x + i, t + i, weight ? weight + i : nullptr}; }
};

// Where a gradient goes, and what it is multiplied with: scale, and dy (count) unless it is null.
// add may be null, or `to`.
template <class T>
struct LossGradient {
  T* to;
  const T *add, *dy;
  T scale;
  bool of_target;  // else of x
};

#define ANTHER_BODY "anther/kernels/loss.inl"
#include "anther/kernels/for_each_isa.inl"

// About the picoseconds an element takes.
inline constexpr std::int64_t loss_cost = 2000;

// The workspace of loss_sum, in elements.
inline std::int64_t loss_workspace(std::int64_t count) {
  return map_blocks(count);
}

// The sum over all elements: of blocks, whose sums are added in their order.
template <class T, Loss loss>
double loss_sum(const LossOperands<T>& o, T parameter, T* workspace, std::int64_t count) {
  for_blocks(count, loss_cost, [&](std::int64_t first, std::int64_t length, std::int64_t block) {
    workspace[block] = ANTHER_SELECT(loss_sum<T, loss>)(o.from(first), parameter, length);
  });
  double total = 0;
  for (std::int64_t block = 0; block < map_blocks(count); ++block)
    total += static_cast<double>(workspace[block]);
  return total;
}

// y = scale loss.
template <class T, Loss loss>
void loss_values(T* y, const LossOperands<T>& o, T parameter, T scale, std::int64_t count) {
  for_blocks(count, loss_cost, [&](std::int64_t first, std::int64_t length, std::int64_t) {
    ANTHER_SELECT(loss_values<T, loss>)(y + first, o.from(first), parameter, scale, length);
  });
}

template <class T, Loss loss>
void loss_backward(const LossGradient<T>& g, const LossOperands<T>& o, T parameter,
                   std::int64_t count) {
  for_blocks(count, loss_cost, [&](std::int64_t first, std::int64_t length, std::int64_t) {
    ANTHER_SELECT(loss_backward<T, loss>)
    ({g.to + first, g.add ? g.add + first : nullptr, g.dy ? g.dy + first : nullptr, g.scale,
      g.of_target},
     o.from(first), parameter, length);
  });
}

}  // namespace anther::inline v0_1::kernels
