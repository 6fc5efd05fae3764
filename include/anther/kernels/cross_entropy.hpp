// Softmax cross entropy, as PyTorch's. With p = softmax(logits) and a row's targets t (sum 1):
//   losses[r] = -sum_j t_j log p_j;  loss = scale sum_r losses[r];  dlogits = scale dloss (p - t).
// t = (1 - label_smoothing) (lambda onehot(labels) + (1 - lambda) onehot(labels2))
//     + label_smoothing / classes: mixup (Zhang et al. 2018) where labels2 is not null.
// logits (rows, classes), the others (rows). Backward keeps logits, labels and, as log_sums (rows,
// 2), each row's greatest logit and log(sum(e^(logit - greatest))): their sum, rounded, would cost
// large logits their last digits.
// With class weights w, t_j is multiplied by w_j, and dlogits = scale dloss (sum(t) p - t). Rows
// with the label ignore_index have no loss.
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

// loss (1); losses (rows); log_sums (rows, 2).
template <class T>
void cross_entropy_forward(T* loss, T* losses, T* log_sums, const T* logits,
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
    log_sums[2 * row] = maximum;
    log_sums[2 * row + 1] = log_sum;
  });
  double total = 0;
  for (std::int64_t row = 0; row < d.rows; ++row) total += static_cast<double>(losses[row]);
  *loss = static_cast<T>(d.scale * total);
}

// dloss (1). dlogits_add may be null; dlogits may be dlogits_add or logits.
template <class T>
void cross_entropy_backward(T* dlogits, const T* dlogits_add, const T* dloss, const T* logits,
                            const T* log_sums, const CrossEntropyTargets<T>& targets,
                            const CrossEntropyDims& d) {
  const T factor = static_cast<T>(d.scale * static_cast<double>(*dloss));
  const T label_factor = static_cast<T>(1 - d.label_smoothing) * factor;
  const T base = static_cast<T>(d.label_smoothing / static_cast<double>(d.classes));
  parallel_for(d.rows, d.rows * d.classes, [&](std::int64_t row) {
    const std::int64_t first = row * d.classes;
    T* dx = dlogits + first;
    ANTHER_SELECT(cross_entropy_backward_row<T>)
    (dx, dlogits_add ? dlogits_add + first : nullptr, logits + first, d.classes, log_sums + 2 * row,
     factor, base);
    const T weight = targets.weight(row);
    dx[targets.labels[row]] -= label_factor * weight;
    if (targets.labels2) dx[targets.labels2[row]] -= label_factor * (T(1) - weight);
  });
}

// Class weights, or null; and the label of rows that have no loss.
struct CrossEntropyWeights {
  const double* weight = nullptr;
  std::int64_t ignore_index = -100;

  template <class T>
  bool ignores(const CrossEntropyTargets<T>& targets, std::int64_t row) const {
    return targets.labels[row] == ignore_index;
  }
  double of(std::int32_t label) const { return weight ? weight[label] : 1; }
  // What a row's labels weigh.
  template <class T>
  double of_row(const CrossEntropyTargets<T>& targets, std::int64_t row) const {
    if (ignores(targets, row)) return 0;
    if (!weight) return 1;
    const double share = static_cast<double>(targets.weight(row));
    const double first = share * of(targets.labels[row]);
    return targets.labels2 ? first + (1 - share) * of(targets.labels2[row]) : first;
  }
};

// The same with weights, row by row: losses[r] = factor loss of row r.
template <class T>
void cross_entropy_weighted_forward(T* losses, T* log_sums, const T* logits,
                                    const CrossEntropyTargets<T>& targets,
                                    const CrossEntropyWeights& weights, double factor,
                                    const CrossEntropyDims& d) {
  const double smoothing = d.label_smoothing, each = smoothing / static_cast<double>(d.classes);
  parallel_for(d.rows, d.rows * d.classes, [&](std::int64_t row) {
    losses[row] = log_sums[2 * row] = log_sums[2 * row + 1] = T(0);
    if (weights.ignores(targets, row)) return;
    const T* x = logits + row * d.classes;
    T maximum, log_sum, sum_below;
    ANTHER_SELECT(log_sum_exp_row<T>)(&maximum, &log_sum, &sum_below, x, d.classes);
    // Of -sum_j t_j (x_j - maximum - log_sum), the labels' part, and smoothing's.
    const auto at = [&](std::int32_t label) {
      return weights.of(label) * static_cast<double>(x[label] - maximum);
    };
    const double share = static_cast<double>(targets.weight(row));
    double expected = share * at(targets.labels[row]);
    if (targets.labels2) expected += (1 - share) * at(targets.labels2[row]);
    double total = (1 - smoothing) * weights.of_row(targets, row);
    expected *= 1 - smoothing;
    if (smoothing > 0)
      for (std::int64_t c = 0; c < d.classes; ++c) {
        const double weight = each * weights.of(static_cast<std::int32_t>(c));
        total += weight;
        expected += weight * static_cast<double>(x[c] - maximum);
      }
    losses[row] = static_cast<T>(factor * (total * static_cast<double>(log_sum) - expected));
    log_sums[2 * row] = maximum;
    log_sums[2 * row + 1] = log_sum;
  });
}

// dlosses: of each row, or of their sum (d_sum), and the other null; d.scale multiplies it.
// dlogits_add may be null.
template <class T>
struct CrossEntropyGradient {
  T* dlogits;
  const T *dlogits_add, *d_losses, *d_sum;
};
template <class T>
void cross_entropy_weighted_backward(const CrossEntropyGradient<T>& g, const T* logits,
                                     const T* log_sums, const CrossEntropyTargets<T>& targets,
                                     const CrossEntropyWeights& weights,
                                     const CrossEntropyDims& d) {
  const double smoothing = d.label_smoothing, each = smoothing / static_cast<double>(d.classes);
  double all = 0;  // the sum of the weights
  for (std::int64_t c = 0; c < d.classes; ++c) all += weights.of(static_cast<std::int32_t>(c));
  parallel_for(d.rows, d.rows * d.classes, [&](std::int64_t row) {
    const std::int64_t first = row * d.classes;
    T* const dx = g.dlogits + first;
    const T* const add = g.dlogits_add ? g.dlogits_add + first : nullptr;
    if (weights.ignores(targets, row)) {
      for (std::int64_t c = 0; c < d.classes; ++c) dx[c] = add ? add[c] : T(0);
      return;
    }
    const double factor = d.scale * static_cast<double>(g.d_losses ? g.d_losses[row] : *g.d_sum);
    const double total = (1 - smoothing) * weights.of_row(targets, row) + each * all;
    ANTHER_SELECT(cross_entropy_backward_row<T>)
    (dx, add, logits + first, d.classes, log_sums + 2 * row, static_cast<T>(factor * total), T(0));
    const auto take = [&](std::int32_t label, double share) {
      dx[label] -= static_cast<T>(factor * (1 - smoothing) * share * weights.of(label));
    };
    const double share = static_cast<double>(targets.weight(row));
    take(targets.labels[row], share);
    if (targets.labels2) take(targets.labels2[row], 1 - share);
    for (std::int64_t c = 0; smoothing > 0 && c < d.classes; ++c)
      dx[c] -= static_cast<T>(factor * each * weights.of(static_cast<std::int32_t>(c)));
  });
}

}  // namespace anther::inline v0_1::kernels
