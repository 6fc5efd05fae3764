#include "anther/kernels/matmul.hpp"

#include <doctest/doctest.h>

#include "anther/ops/matmul.hpp"
#include "tests/kernels/flat_reference.hpp"

namespace matmul_test {

using namespace flat_test;
using namespace anther;
using namespace anther::kernels;

struct Row {
  Shape a_batch, b_batch;
  std::int64_t rows, columns, depth;
};
// One product; many small ones; large ones; broadcast on either side, on both, on the inner axis.
const Row rows[] = {
    {{}, {}, 5, 7, 9},
    {{}, {}, 150, 40, 33},
    {{}, {}, 3, 4, 0},
    {{}, {}, 0, 4, 3},
    {{6}, {}, 5, 17, 3},
    {{}, {6}, 5, 17, 3},
    {{70}, {70}, 6, 5, 4},
    {{2, 3}, {2, 3}, 4, 36, 8},
    {{2, 1, 3}, {5, 1}, 3, 2, 4},
    {{1, 5, 1, 2}, {3, 1, 4, 1}, 2, 3, 2},
    {{4, 3}, {3}, 3, 5, 7},
    {{3}, {2, 3}, 3, 5, 7},
    {{4, 1}, {4, 3}, 3, 5, 7},
    {{2}, {2}, 130, 180, 190},
    {{5}, {1}, 130, 180, 190},
    {{1}, {5}, 130, 180, 190},
    {{0}, {1}, 2, 3, 4},
};

std::int64_t index_of(const Shape& batch, const Shape& all, std::int64_t number) {
  std::int64_t index = 0, step = 1;
  for (int i = 1; i <= all.rank(); ++i) {
    const std::int64_t at = number % all[all.rank() - i];
    number /= all[all.rank() - i];
    if (i > batch.rank()) continue;
    if (batch[batch.rank() - i] > 1) index += at * step;
    step *= batch[batch.rank() - i];
  }
  return index;
}

Shape broadcast(const Shape& a, const Shape& b) {
  Shape all;
  for (int i = std::max(a.rank(), b.rank()); i > 0; --i) {
    const std::int64_t left = i <= a.rank() ? a[a.rank() - i] : 1;
    all.push_back(left != 1 ? left : i <= b.rank() ? b[b.rank() - i] : 1);
  }
  return all;
}

TEST_CASE_TEMPLATE("matmul agrees with plain loops", T, float, double) {
  for (const Row& row : rows) {
    CAPTURE(to_string(row.a_batch));
    CAPTURE(to_string(row.b_batch));
    CAPTURE(row.rows);
    const std::int64_t m = row.rows, n = row.columns, k = row.depth;
    const Shape all = broadcast(row.a_batch, row.b_batch);
    const auto a = random_values<T>("a", row.a_batch.numel() * m * k);
    const auto b = random_values<T>("b", row.b_batch.numel() * k * n);
    const auto dy = random_values<T>("dy", all.numel() * m * n);
    std::vector<double> y(dy.size()), da(a.size()), db(b.size());
    for (std::int64_t i = 0; i < all.numel(); ++i) {
      const std::int64_t from_a = index_of(row.a_batch, all, i) * m * k;
      const std::int64_t from_b = index_of(row.b_batch, all, i) * k * n;
      for (std::int64_t r = 0; r < m; ++r)
        for (std::int64_t c = 0; c < n; ++c)
          for (std::int64_t j = 0; j < k; ++j) {
            const std::size_t at_y = size_of((i * m + r) * n + c);
            const std::size_t at_a = size_of(from_a + r * k + j),
                              at_b = size_of(from_b + j * n + c);
            y[at_y] += static_cast<double>(a[at_a]) * static_cast<double>(b[at_b]);
            da[at_a] += static_cast<double>(dy[at_y]) * static_cast<double>(b[at_b]);
            db[at_b] += static_cast<double>(dy[at_y]) * static_cast<double>(a[at_a]);
          }
    }
    const MatmulDims d = matmul_dims(row.a_batch, row.b_batch, m, n, k);
    const double near = tolerance<T>(40 + 2 * static_cast<double>(m + n + k));
    Output<T> result(static_cast<std::int64_t>(y.size()));
    {
      Output<T> workspace(matmul_workspace<T>(d));
      matmul_forward(result.data(), a.data(), b.data(), workspace.data(), d);
    }
    CHECK(distance(result.values(), y) < near);
    Output<T> workspace(matmul_backward_workspace<T>(d));
    check_backward<T>(da, near, [&](T* to, const T* add) {
      matmul_backward_a(to, add, dy.data(), b.data(), workspace.data(), d);
    });
    Output<T> gradient(std::vector<T>(b.size(), T(1)));
    for (double& value : db) value += 1;
    matmul_backward_b(gradient.data(), dy.data(), a.data(), workspace.data(), d);
    CHECK(distance(gradient.values(), db) < near);
  }
}

TEST_CASE("matmul: as few batches as can be, and bounded scratch") {
  const MatmulDims one = matmul_dims({4, 5}, {1}, 3, 2, 7);
  CHECK(one.batches() == 1);
  CHECK(one.rows == 60);
  CHECK(matmul_dims({4, 5}, {4, 5}, 3, 2, 7).extents[3] == 20);
  const MatmulDims many = matmul_dims({100, 100}, {100, 100}, 3, 16, 7);
  CHECK(matmul_workspace<float>(many) == 64 * 16 * 7);
}

TEST_CASE("matmul with several threads") {
  for (const Row& row : rows) {
    const MatmulDims d = matmul_dims(row.a_batch, row.b_batch, row.rows, row.columns, row.depth);
    const auto a = random_values<float>("a", row.a_batch.numel() * row.rows * row.depth);
    const auto b = random_values<float>("b", row.b_batch.numel() * row.depth * row.columns);
    const auto dy = random_values<float>("dy", d.batches() * d.rows * d.columns);
    check_threads([&] {
      std::vector<float> y(dy.size()), da(a.size()), db(b.size());
      std::vector<float> workspace(
          size_of(std::max(matmul_workspace<float>(d), matmul_backward_workspace<float>(d))));
      matmul_forward(y.data(), a.data(), b.data(), workspace.data(), d);
      matmul_backward_a<float>(da.data(), nullptr, dy.data(), b.data(), workspace.data(), d);
      matmul_backward_b(db.data(), dy.data(), a.data(), workspace.data(), d);
      y.insert(y.end(), da.begin(), da.end());
      y.insert(y.end(), db.begin(), db.end());
      return y;
    });
  }
}

}  // namespace matmul_test
