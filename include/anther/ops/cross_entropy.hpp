// Softmax cross-entropy of logits (rows, K) and labels (rows):
//   loss = scale * sum over rows of -sum_k target_k log softmax(logits)_k
// target is 1 at the label, or with label smoothing s: (1 - s) there, plus s / K everywhere
// (Szegedy et al. 2016, section 7). With second labels and weights lambda, the target is lambda at
// the label and 1 - lambda at the second one: mixup (Zhang et al. 2018), cutmix (Yun et al. 2019).
// Backward keeps each row's log sum exp.
//
// adjust_logits adds a constant to each class: with tau log prior, logit adjustment (Menon et al.
// 2021), after which training on classes of unequal frequency aims at the balanced error.
#pragma once

#include <cstdint>
#include <span>

#include "anther/autograd/tape.hpp"
#include "anther/kernels/cross_entropy.hpp"
#include "anther/kernels/elementwise.hpp"

namespace anther::inline v0_1 {

struct CrossEntropyOptions {
  double label_smoothing = 0;
  // What the sum is divided by; 0: the number of rows. A micro-batch passes the size of its whole
  // batch.
  std::int64_t count = 0;
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

// logits (rows, K), labels in 0, ..., K - 1, lambda in [0, 1]; for maps, logits (N, H, W, K) and N
// * H * W labels. The result is a scalar. Throws if they do not fit.
template <class T>
Variable<T> cross_entropy(const Variable<T>& logits, const Labels<T>& labels,
                          const CrossEntropyOptions& options = {}) {
  Tape<T>& tape = logits.tape();
  const Shape& in = logits.shape();
  const auto fits = [&](const auto& values) {
    return in.rank() >= 2 && std::ssize(values) == in.rows();
  };
  tape.check(fits(labels.labels),
             "cross_entropy: expected logits (rows, K) and as many labels, got ", in, " and ",
             labels.labels.size(), " labels");
  tape.check((labels.labels2.empty() && labels.lambda.empty()) ||
                 (fits(labels.labels2) && fits(labels.lambda)),
             "cross_entropy: expected a second label and a weight for each of ", in.rows(),
             " rows, or none, got ", labels.labels2.size(), " and ", labels.lambda.size());
  tape.check(options.label_smoothing >= 0 && options.label_smoothing <= 1,
             "cross_entropy: expected a label smoothing in [0, 1], got ", options.label_smoothing);
  for (const auto& list : {labels.labels, labels.labels2})
    for (std::size_t row = 0; row < list.size(); ++row)
      tape.check(list[row] >= 0 && list[row] < in.back(), "cross_entropy: the label of row ", row,
                 " is ", list[row], ", expected 0 to ", in.back() - 1);
  for (const T weight : labels.lambda)
    tape.check(weight >= 0 && weight <= 1,
               "cross_entropy: expected weights of labels in [0, 1], got ", weight);
  const std::int64_t count = options.count > 0 ? options.count : in.rows();
  kernels::CrossEntropyTargets<T> targets{.labels = tape.keep(labels.labels)};
  if (!labels.labels2.empty()) {
    targets.labels2 = tape.keep(labels.labels2);
    targets.lambda = tape.keep(labels.lambda);
  }
  const CrossEntropyAttributes<T> attributes{targets, options.label_smoothing,
                                             1 / static_cast<double>(count)};
  return tape.apply(cross_entropy_op<T>, attributes, {logits}, Shape{}, {Shape{in.rows()}});
}
template <class T>
Variable<T> cross_entropy(const Variable<T>& logits, std::span<const std::int32_t> labels,
                          const CrossEntropyOptions& options = {}) {
  return cross_entropy(logits, Labels<T>{labels}, options);
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
