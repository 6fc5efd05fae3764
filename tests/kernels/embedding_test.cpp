// The rows of a table: right, in the order of the positions, and nothing beside the result.
#include "anther/kernels/embedding.hpp"

#include <doctest/doctest.h>

#include "tests/kernels/flat_reference.hpp"

namespace embedding_test {

using namespace flat_test;
using namespace anther::kernels;

TEST_CASE_TEMPLATE("embedding agrees with plain loops", T, float, double) {
  constexpr std::int64_t rows = 7;
  for (const std::int64_t count : {0, 1, 63, 64, 65, 130})
    for (const std::int64_t columns : {1, 5, 64, 70}) {
      CAPTURE(count);
      CAPTURE(columns);
      const EmbeddingDims d{.count = count, .columns = columns, .padding_idx = 2};
      // One more than counts: whoever reads it writes beside the result.
      std::vector<std::int32_t> indices;
      for (std::int64_t i = 0; i <= count; ++i)
        indices.push_back(static_cast<std::int32_t>(i * i % rows));
      const std::vector<T> weight = random_values<T>("weight", rows * columns);
      const std::vector<T> dy = random_values<T>("dy", count * columns);
      std::vector<T> y;
      std::vector<double> dweight(size_of(rows * columns), 1e9);
      for (std::int64_t i = 0; i < count; ++i)
        for (std::int64_t j = 0; j < columns; ++j) {
          const std::int64_t at = indices[size_of(i)] * columns + j;
          y.push_back(weight[size_of(at)]);
          if (indices[size_of(i)] != 2)
            dweight[size_of(at)] += static_cast<double>(dy[size_of(i * columns + j)]);
        }
      Output<T> result(count * columns), gradient(rows * columns);
      embedding_forward(result.data(), weight.data(), indices.data(), d);
      embedding_backward(gradient.data(), dy.data(), indices.data(), d);
      CHECK(result.values() == y);
      CHECK(distance(gradient.values(), dweight) <= tolerance<T>(20));
    }
}

}  // namespace embedding_test
