// Softmax cross-entropy of logits (rows, K) and labels (rows):
//   loss = scale * sum over rows of -sum_k target_k log softmax(logits)_k
// target is 1 at the label, or with label smoothing s: (1 - s) there, plus s / K everywhere
// (Szegedy et al. 2016, section 7). With second labels and weights lambda, the target is lambda at
// the label and 1 - lambda at the second one: mixup (Zhang et al. 2018), cutmix (Yun et al. 2019).
// Backward keeps each row's greatest logit and the logarithm of the sum of what is below it.
//
// With class weights w, the target of class k is multiplied by w_k, and the mean is over the
// weights of the labels; rows with the label ignore_index have no part in it. nll_loss is the same
// of logarithms of probabilities.
//
// adjust_logits adds a constant to each class: with tau log prior, logit adjustment (Menon et al.
// 2021), after which training on classes of unequal frequency aims at the balanced error.
#pragma once

#include <cstdint>
#include <span>

#include "anther/autograd/tape.hpp"
#include "anther/kernels/cross_entropy.hpp"
#include "anther/kernels/elementwise.hpp"
#include "anther/ops/reduction.hpp"

namespace anther::inline v0_1 {

struct CrossEntropyOptions {
  double label_smoothing = 0;
  // What the sum is divided by; 0: the number of rows, or of the weights of those with a label. A
  // micro-batch passes the size of its whole batch.
  std::int64_t count = 0;
  std::span<const double> weight = {};  // of each class; none: 1
  std::int64_t ignore_index = -100;     // the label of rows that have no loss
  Reduction reduction = Reduction::mean;
};

template <class T>
struct CrossEntropyAttributes {
  kernels::CrossEntropyTargets<T> targets;
  double label_smoothing;
  double scale;
};

template <class T>
kernels::CrossEntropyDims dims_of(const Shape& logits, const CrossEntropyAttributes<T>& a) {
  return {.rows = logits.rows(),
          .classes = logits.back(),
          .label_smoothing = a.label_smoothing,
          .scale = a.scale};
}

template <class T>
inline constexpr Op<T> cross_entropy_op = {
    .name = "cross_entropy",
    .forward =
        [](Call<T>& call) {
          const auto& a = call.template attributes<CrossEntropyAttributes<T>>();
          const Shape& logits = call.input_shape(0);
          kernels::cross_entropy_forward<T>(call.output(), call.workspace(logits.rows()),
                                            call.output(1), call.input(0), a.targets,
                                            dims_of(logits, a));
        },
    .backward =
        [](Call<T>& call) {
          const auto& a = call.template attributes<CrossEntropyAttributes<T>>();
          const Shape& logits = call.input_shape(0);
          if (const auto dlogits = call.input_gradient(0))
            kernels::cross_entropy_backward<T>(dlogits.to, dlogits.add, call.output_gradient(),
                                               call.input(0), call.output(1), a.targets,
                                               dims_of(logits, a));
        },
};

// The classes of the rows of a batch: labels (rows). If images are mixed, also the class of the
// second image, labels2 (rows), and the share of the first, lambda (rows).
template <class T>
struct Labels {
  std::span<const std::int32_t> labels = {};
  std::span<const std::int32_t> labels2 = {};
  std::span<const T> lambda = {};

  // The class with the larger share in a row's image.
  std::int32_t main(std::size_t row) const {
    return labels2.empty() || lambda[row] >= T(0.5) ? labels[row] : labels2[row];
  }
  Labels part(std::int64_t first, std::int64_t count) const {
    const auto at = static_cast<std::size_t>(first), size = static_cast<std::size_t>(count);
    if (labels2.empty()) return {labels.subspan(at, size)};
    return {labels.subspan(at, size), labels2.subspan(at, size), lambda.subspan(at, size)};
  }
};

template <class T>
struct WeightedCrossEntropyAttributes {
  CrossEntropyAttributes<T> plain;
  kernels::CrossEntropyWeights weights;
  bool each;  // the losses of the rows, not their sum
};

template <class T>
inline constexpr Op<T> weighted_cross_entropy_op = {
    .name = "cross_entropy",
    .forward =
        [](Call<T>& call) {
          const auto& a = call.template attributes<WeightedCrossEntropyAttributes<T>>();
          const kernels::CrossEntropyDims d = dims_of(call.input_shape(0), a.plain);
          T* losses = a.each ? call.output() : call.workspace(d.rows);
          kernels::cross_entropy_weighted_forward<T>(losses, call.output(1), call.input(0),
                                                     a.plain.targets, a.weights,
                                                     a.each ? d.scale : 1, d);
          if (a.each) return;
          double total = 0;
          for (std::int64_t row = 0; row < d.rows; ++row) total += static_cast<double>(losses[row]);
          *call.output() = static_cast<T>(d.scale * total);
        },
    .backward =
        [](Call<T>& call) {
          const auto& a = call.template attributes<WeightedCrossEntropyAttributes<T>>();
          const T* dy = call.output_gradient();
          if (const auto dlogits = call.input_gradient(0))
            kernels::cross_entropy_weighted_backward<T>(
                {dlogits.to, dlogits.add, a.each ? dy : nullptr, a.each ? nullptr : dy},
                call.input(0), call.output(1), a.plain.targets, a.weights,
                dims_of(call.input_shape(0), a.plain));
        },
};

// Throws unless labels and options fit inputs (..., K). Returns whether all rows have a loss.
template <class T>
bool check_labels(const Variable<T>& inputs, const Labels<T>& labels,
                  const CrossEntropyOptions& options, const char* op) {
  Tape<T>& tape = inputs.tape();
  const Shape& in = inputs.shape();
  const auto fits = [&](const auto& values) {
    return in.rank() >= 2 && std::ssize(values) == in.rows();
  };
  tape.check(fits(labels.labels), op, ": expected logits (rows, K) and as many labels, got ", in,
             " and ", labels.labels.size(), " labels");
  const bool divides = options.reduction == Reduction::mean && options.count <= 0;
  tape.check(in.back() > 0 && (in.rows() > 0 || !divides), op,
             ": expected at least one row and one class, got ", in);
  tape.check((labels.labels2.empty() && labels.lambda.empty()) ||
                 (fits(labels.labels2) && fits(labels.lambda)),
             op, ": expected a second label and a weight for each of ", in.rows(),
             " rows, or none, got ", labels.labels2.size(), " and ", labels.lambda.size());
  tape.check(options.label_smoothing >= 0 && options.label_smoothing <= 1, op,
             ": expected a label smoothing in [0, 1], got ", options.label_smoothing);
  tape.check(options.weight.empty() || std::ssize(options.weight) == in.back(), op,
             ": expected a weight for each of ", in.back(), " classes, got ",
             options.weight.size());
  bool all = true;
  for (const auto& list : {labels.labels, labels.labels2})
    for (std::size_t row = 0; row < list.size(); ++row) {
      const bool ignored = labels.labels[row] == options.ignore_index;
      all &= !ignored;
      tape.check(ignored || (list[row] >= 0 && list[row] < in.back()), op, ": the label of row ",
                 row, " is ", list[row], ", expected 0 to ", in.back() - 1);
    }
  for (const T weight : labels.lambda)
    tape.check(weight >= 0 && weight <= 1, op, ": expected weights of labels in [0, 1], got ",
               weight);
  return all;
}

// The tape's own copies, and what the sum of the losses is multiplied with.
template <class T>
WeightedCrossEntropyAttributes<T> weighted_attributes(const Variable<T>& inputs,
                                                      const Labels<T>& labels,
                                                      const CrossEntropyOptions& options) {
  Tape<T>& tape = inputs.tape();
  WeightedCrossEntropyAttributes<T> a{{{.labels = tape.keep(labels.labels)}, 0, 1}, {}, false};
  if (!labels.labels2.empty()) {
    a.plain.targets.labels2 = tape.keep(labels.labels2);
    a.plain.targets.lambda = tape.keep(labels.lambda);
  }
  a.plain.label_smoothing = options.label_smoothing;
  a.weights.ignore_index = options.ignore_index;
  if (!options.weight.empty()) a.weights.weight = tape.keep(options.weight);
  a.each = options.reduction == Reduction::none;
  if (options.reduction != Reduction::mean) return a;
  double all = static_cast<double>(options.count);
  if (options.count <= 0)
    for (std::int64_t row = 0; row < std::ssize(labels.labels); ++row)
      all += a.weights.of_row(a.plain.targets, row);
  a.plain.scale = 1 / all;
  return a;
}

// The shape of the losses of all rows: that of the inputs without their last axis.
inline Shape shape_of_rows(const Shape& in) {
  Shape shape;
  for (int axis = 0; axis + 1 < in.rank(); ++axis) shape.push_back(in[axis]);
  return shape;
}

// logits (rows, K), labels in 0, ..., K - 1, or ignore_index, lambda in [0, 1]; for maps, logits
// (N, H, W, K) and N * H * W labels. The result is a scalar, or has a loss for each row. Throws if
// they do not fit. As in PyTorch, the mean is not a number where all rows are ignored.
template <class T>
Variable<T> cross_entropy(const Variable<T>& logits, const Labels<T>& labels,
                          const CrossEntropyOptions& options = {}) {
  Tape<T>& tape = logits.tape();
  const Shape& in = logits.shape();
  const bool all = check_labels(logits, labels, options, "cross_entropy");
  const auto attributes = weighted_attributes(logits, labels, options);
  if (all && options.weight.empty() && options.reduction == Reduction::mean)
    return tape.apply(cross_entropy_op<T>, attributes.plain, {logits}, Shape{},
                      {Shape{in.rows(), 2}});
  return tape.apply(weighted_cross_entropy_op<T>, attributes, {logits},
                    attributes.each ? shape_of_rows(in) : Shape{}, {Shape{in.rows(), 2}});
}
template <class T>
Variable<T> cross_entropy(const Variable<T>& logits, std::span<const std::int32_t> labels,
                          const CrossEntropyOptions& options = {}) {
  return cross_entropy(logits, Labels<T>{labels}, options);
}

template <class T>
inline constexpr Op<T> nll_loss_op = {
    .name = "nll_loss",
    .forward =
        [](Call<T>& call) {
          const auto& a = call.template attributes<WeightedCrossEntropyAttributes<T>>();
          const auto& targets = a.plain.targets;
          const Shape& in = call.input_shape(0);
          double total = 0;
          for (std::int64_t row = 0; row < in.rows(); ++row) {
            const bool ignored = a.weights.ignores(targets, row);
            const double loss =
                ignored
                    ? 0
                    : -a.weights.of_row(targets, row) *
                          static_cast<double>(call.input(0)[row * in.back() + targets.labels[row]]);
            if (a.each)
              call.output()[row] = static_cast<T>(loss);
            else
              total += loss;
          }
          if (!a.each) *call.output() = static_cast<T>(a.plain.scale * total);
        },
    .backward =
        [](Call<T>& call) {
          const auto& a = call.template attributes<WeightedCrossEntropyAttributes<T>>();
          const auto& targets = a.plain.targets;
          const Shape& in = call.input_shape(0);
          const auto dx = call.input_gradient(0);
          if (!dx) return;
          call.start(dx, in.numel());
          const T* dy = call.output_gradient();
          for (std::int64_t row = 0; row < in.rows(); ++row)
            if (!a.weights.ignores(targets, row))
              dx.to[row * in.back() + targets.labels[row]] -=
                  static_cast<T>(a.plain.scale * a.weights.of_row(targets, row) *
                                 static_cast<double>(dy[a.each ? row : 0]));
        },
};

// -weight_label log_probabilities_label, of log_probabilities (..., K) and a label each, as
// cross_entropy of logits; there is no label smoothing.
template <class T>
Variable<T> nll_loss(const Variable<T>& log_probabilities, std::span<const std::int32_t> labels,
                     const CrossEntropyOptions& options = {}) {
  Tape<T>& tape = log_probabilities.tape();
  check_labels(log_probabilities, Labels<T>{labels}, options, "nll_loss");
  tape.check(options.label_smoothing == 0, "nll_loss: expected no label smoothing, got ",
             options.label_smoothing);
  const auto attributes = weighted_attributes(log_probabilities, Labels<T>{labels}, options);
  return tape.apply(nll_loss_op<T>, attributes, {log_probabilities},
                    attributes.each ? shape_of_rows(log_probabilities.shape()) : Shape{});
}

template <class T>
inline constexpr Op<T> adjust_logits_op = {
    .name = "adjust_logits",
    .forward =
        [](Call<T>& call) {
          const T* offsets = call.template attributes<const T*>();
          const Shape& logits = call.input_shape(0);
          const std::int64_t classes = logits.back();
          for (std::int64_t row = 0; row < logits.rows(); ++row)
            kernels::add<T>(call.output() + row * classes, call.input(0) + row * classes, offsets,
                            classes);
        },
    .backward = [](Call<T>& call) { call.pass_gradient(0); },
};

// logits (..., K) + offsets (K), the same for each row.
template <class T>
Variable<T> adjust_logits(const Variable<T>& logits, std::span<const T> offsets) {
  Tape<T>& tape = logits.tape();
  const Shape& in = logits.shape();
  tape.check(in.rank() >= 2 && std::ssize(offsets) == in.back(),
             "adjust_logits: expected logits (..., K) and K offsets, got ", in, " and ",
             offsets.size());
  return tape.apply(adjust_logits_op<T>, static_cast<const T*>(tape.keep(offsets)), {logits}, in);
}

}  // namespace anther::inline v0_1
