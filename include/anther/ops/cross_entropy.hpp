// Softmax cross-entropy of logits (rows, K) and labels (rows):
//   loss = scale * sum over rows of -sum_k target_k log softmax(logits)_k
// target is 1 at the label, or with label smoothing s: (1 - s) there, plus s / K everywhere
// (Szegedy et al. 2016, section 7). Backward keeps each row's log sum exp.
#pragma once

#include <cstdint>
#include <span>

#include "anther/autograd/tape.hpp"
#include "anther/kernels/cross_entropy.hpp"

namespace anther::inline v0_1 {

struct CrossEntropyOptions {
  double label_smoothing = 0;
  // What the sum is divided by; 0: the number of rows. A micro-batch gives its whole batch's size.
  std::int64_t count = 0;
};

struct CrossEntropyAttributes {
  const std::int32_t* labels;
  double label_smoothing;
  double scale;
};

inline CrossEntropyDims dims_of(const Shape& logits, const CrossEntropyAttributes& a) {
  return {.rows = logits[0],
          .classes = logits[1],
          .label_smoothing = a.label_smoothing,
          .scale = a.scale};
}

template <class T>
inline constexpr Op<T> cross_entropy_op = {
    .name = "cross_entropy",
    .forward =
        [](Call<T>& call) {
          const auto& a = call.template attributes<CrossEntropyAttributes>();
          const Shape& logits = call.input_shape(0);
          cross_entropy_forward<T>(call.output(), call.workspace(logits[0]), call.output(1),
                                   call.input(0), {.labels = a.labels}, dims_of(logits, a));
        },
    .backward =
        [](Call<T>& call) {
          const auto& a = call.template attributes<CrossEntropyAttributes>();
          const Shape& logits = call.input_shape(0);
          if (const auto dlogits = call.input_gradient(0))
            cross_entropy_backward<T>(dlogits.to, dlogits.add, call.output_gradient(),
                                      call.input(0), call.output(1), {.labels = a.labels},
                                      dims_of(logits, a));
        },
};

// logits (rows, K), labels (rows) in 0, ..., K - 1. Gives a scalar. Throws where they do not fit.
template <class T>
Variable<T> cross_entropy(const Variable<T>& logits, std::span<const std::int32_t> labels,
                          const CrossEntropyOptions& options = {}) {
  Tape<T>& tape = logits.tape();
  const Shape& in = logits.shape();
  tape.check_layer(in.rank() == 2 && static_cast<std::int64_t>(labels.size()) == in[0],
                   "cross_entropy: expected logits (rows, K) and as many labels, got ", in, " and ",
                   labels.size(), " labels");
  tape.check_layer(options.label_smoothing >= 0 && options.label_smoothing <= 1,
                   "cross_entropy: expected a label smoothing in [0, 1], got ",
                   options.label_smoothing);
  for (std::size_t row = 0; row < labels.size(); ++row)
    tape.check_layer(labels[row] >= 0 && labels[row] < in[1], "cross_entropy: the label of row ",
                     row, " is ", labels[row], ", expected 0 to ", in[1] - 1);
  const std::int64_t count = options.count > 0 ? options.count : in[0];
  const CrossEntropyAttributes attributes{tape.keep(labels), options.label_smoothing,
                                          1 / static_cast<double>(count)};
  return tape.record(cross_entropy_op<T>, attributes, {logits}, {Shape{}, Shape{in[0]}});
}

}  // namespace anther::inline v0_1
