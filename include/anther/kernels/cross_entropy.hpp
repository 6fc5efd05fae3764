// Softmax cross entropy, as PyTorch's. With p = softmax(logits) and a row's targets t (sum 1):
//   losses[r] = -sum_j t_j log p_j;  loss = scale sum_r losses[r];  dlogits = scale dloss (p - t).
// t = (1 - label_smoothing) (lambda onehot(labels) + (1 - lambda) onehot(labels2))
//     + label_smoothing / classes: mixup (Zhang et al. 2018) where labels2 is not null.
// logits (rows, classes), the others (rows). Backward keeps logits, labels and logsumexp.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "anther/core/parallel_for.hpp"
#include "anther/kernels/log_sum_exp.hpp"
#include "anther/kernels/vec.hpp"

namespace anther::inline v0_1::kernels {

#define ANTHER_BODY "anther/kernels/cross_entropy.inl"
#include "anther/kernels/for_each_isa.inl"

struct CrossEntropyDims {
  std::int64_t rows = 0, classes = 0;
  double label_smoothing = 0;
  double scale = 1;  // 1 / rows for the mean

  // Calls visit with all members, in their order.
  template <class Visit>
  constexpr decltype(auto) members(const Visit& visit) const {
    return visit(rows, classes, label_smoothing, scale);
  }
};

// labels and labels2 lie between 0 and classes - 1; nothing here checks them. Without labels2,
// which may be null like lambda, the labels stand alone.
template <class T>
struct CrossEntropyTargets {
  const std::int32_t* labels = nullptr;
  const std::int32_t* labels2 = nullptr;
  const T* lambda = nullptr;

  T weight(std::int64_t row) const { return labels2 ? lambda[row] : T(1); }
};

// loss (1); losses and logsumexp (rows).
template <class T>
void cross_entropy_forward(T* loss, T* losses, T* logsumexp, const T* logits,
                           const CrossEntropyTargets<T>& targets, const CrossEntropyDims& d) {
  const T smoothing = static_cast<T>(d.label_smoothing);
  parallel_for(d.rows, d.rows * d.classes, [&](std::int64_t row) {
    const T* x = logits + row * d.classes;
    T maximum, log_sum, sum_below;
    ANTHER_SELECT(log_sum_exp_row<T>)(&maximum, &log_sum, &sum_below, x, d.classes);
    const T weight = targets.weight(row);
    T expected = weight * (x[targets.labels[row]] - maximum);
    if (targets.labels2) expected += (T(1) - weight) * (x[targets.labels2[row]] - maximum);
    if (smoothing > T(0))
      expected =
          (T(1) - smoothing) * expected + smoothing * (sum_below / static_cast<T>(d.classes));
    losses[row] = log_sum - expected;
    logsumexp[row] = maximum + log_sum;
  });
  double total = 0;
  for (std::int64_t row = 0; row < d.rows; ++row) total += static_cast<double>(losses[row]);
  *loss = static_cast<T>(d.scale * total);
}

// dloss (1). dlogits_add may be null; dlogits may be dlogits_add or logits.
template <class T>
void cross_entropy_backward(T* dlogits, const T* dlogits_add, const T* dloss, const T* logits,
                            const T* logsumexp, const CrossEntropyTargets<T>& targets,
                            const CrossEntropyDims& d) {
  const T factor = static_cast<T>(d.scale * static_cast<double>(*dloss));
  const T label_factor = static_cast<T>(1 - d.label_smoothing) * factor;
  const T base = static_cast<T>(d.label_smoothing / static_cast<double>(d.classes));
  parallel_for(d.rows, d.rows * d.classes, [&](std::int64_t row) {
    const std::int64_t first = row * d.classes;
    T* dx = dlogits + first;
    ANTHER_SELECT(cross_entropy_backward_row<T>)
    (dx, dlogits_add ? dlogits_add + first : nullptr, logits + first, d.classes, logsumexp[row],
     factor, base);
    const T weight = targets.weight(row);
    dx[targets.labels[row]] -= label_factor * weight;
    if (targets.labels2) dx[targets.labels2[row]] -= label_factor * (T(1) - weight);
  });
}

}  // namespace anther::inline v0_1::kernels
