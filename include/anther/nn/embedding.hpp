// A table of vectors, one for each number from 0 to num_embeddings - 1, as a layer with PyTorch's
// name and start: weight (V, C), normal with the deviation 1.
#pragma once

#include <cstdint>
#include <optional>

#include "anther/nn/module.hpp"
#include "anther/ops/embedding.hpp"

namespace anther::inline v0_1 {

struct EmbeddingOptions {
  // A row that starts as zeros and has no gradient, so that it stays as it is.
  std::optional<std::int64_t> padding_idx = {};
  std::optional<Init> weight_init = {};
};

template <class T>
class Embedding : public Module<T> {
 public:
  Embedding(const Scope<T>& scope, std::int64_t num_embeddings, std::int64_t embedding_dim,
            const EmbeddingOptions& options = {})
      : Module<T>(scope, "Embedding"),
        padding_idx_(options.padding_idx),
        weight(scope.parameter(
            "weight", {.shape = {num_embeddings, embedding_dim}, .init = start(options)})) {
    const std::int64_t row = padding_idx_.value_or(0);
    detail::check(!padding_idx_ || (row >= 0 && row < num_embeddings), scope.path(),
                  ": expected a padding_idx of 0 to ", num_embeddings - 1, ", got ", row);
  }

  // x: integers of any shape (...); the result is (..., C).
  Variable<T> forward(Variable<T> x) const override {
    return embedding(x, x.tape().parameter(weight), padding_idx_);
  }

 private:
  static Init start(const EmbeddingOptions& options) {
    Init init = options.weight_init.value_or(Init::normal(1));
    init.zero_row = options.padding_idx.value_or(-1);
    return init;
  }

  std::optional<std::int64_t> padding_idx_;

 public:
  Parameter<T> weight;
};

}  // namespace anther::inline v0_1
