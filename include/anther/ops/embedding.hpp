// y = weight[indices], rows of a table by their numbers: weight (V, C), indices of any shape (...),
// y (..., C). Backward keeps the indices, and adds in the order of the positions.
#pragma once

#include <cstdint>
#include <optional>

#include "anther/autograd/tape.hpp"
#include "anther/kernels/embedding.hpp"

namespace anther::inline v0_1 {

inline constexpr char embedding_op_name[] = "embedding";
template <class T>
inline constexpr Op<T> embedding_op = {
    .name = embedding_op_name,
    .forward =
        [](Call<T>& call) {
          const auto& d = call.template attributes<kernels::EmbeddingDims>();
          const std::int64_t rows = call.input_shape(1)[0];
          for (std::int64_t i = 0; i < d.count; ++i) {
            const std::int64_t index = call.integers(0)[i];
            detail::check(index >= 0 && index < rows, call.layer(),
                          call.layer().empty() ? "" : ": ", "embedding: index ", i, " is ", index,
                          ", expected 0 to ", rows - 1);
          }
          kernels::embedding_forward(call.output(), call.input(1), call.integers(0), d);
        },
    .backward =
        [](Call<T>& call) {
          const auto& d = call.template attributes<kernels::EmbeddingDims>();
          const auto dweight = call.input_gradient(1);
          if (!dweight) return;
          call.start(dweight, call.input_shape(1).numel());
          kernels::embedding_backward(dweight.to, call.output_gradient(), call.integers(0), d);
        },
    .integer_inputs = 1U,
};

// indices: integers from 0 to V - 1. padding_idx: a row whose gradient is 0. Throws if they do not
// fit.
template <class T>
Variable<T> embedding(const Variable<T>& indices, const Variable<T>& weight,
                      std::optional<std::int64_t> padding_idx = {}) {
  Tape<T>& tape = indices.tape();
  const Shape& w = weight.shape();
  tape.check(w.rank() == 2, "embedding: expected a weight (V, C), got ", w);
  tape.check(!padding_idx || (*padding_idx >= 0 && *padding_idx < w[0]),
             "embedding: expected a padding_idx of 0 to ", w[0] - 1, ", got ",
             padding_idx.value_or(0));
  Shape y = indices.shape();
  y.push_back(w[1]);
  return tape.apply(embedding_op<T>,
                    kernels::EmbeddingDims{indices.shape().numel(), w[1], padding_idx.value_or(-1)},
                    {indices, weight}, y);
}

}  // namespace anther::inline v0_1
