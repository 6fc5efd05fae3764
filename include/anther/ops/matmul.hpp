// y = a b, the product of matrices, or of many pairs of them: torch.matmul and numpy.matmul.
// a (..., m, k), b (..., k, n), y (..., m, n); the axes before the last two are broadcast. An a (k)
// is a row and a b (k) a column, whose axis of 1 the result lacks. Backward keeps a and b.
#pragma once

#include <algorithm>
#include <cstdint>

#include "anther/autograd/tape.hpp"
#include "anther/kernels/matmul.hpp"

namespace anther::inline v0_1 {

inline constexpr char matmul_op_name[] = "matmul";
template <class T>
inline constexpr Op<T> matmul_op = {
    .name = matmul_op_name,
    .forward =
        [](Call<T>& call) {
          const auto& d = call.template attributes<kernels::MatmulDims>();
          kernels::matmul_forward(call.output(), call.input(0), call.input(1),
                                  call.workspace(kernels::matmul_workspace<T>(d)), d);
        },
    .backward =
        [](Call<T>& call) {
          const auto& d = call.template attributes<kernels::MatmulDims>();
          T* workspace = call.workspace(kernels::matmul_backward_workspace<T>(d));
          if (const auto da = call.input_gradient(0))
            kernels::matmul_backward_a<T>(da.to, da.add, call.output_gradient(), call.input(1),
                                          workspace, d);
          if (const auto db = call.input_gradient(1)) {
            call.start(db, call.input_shape(1).numel());
            kernels::matmul_backward_b<T>(db.to, call.output_gradient(), call.input(0), workspace,
                                          d);
          }
        },
    .macs =
        [](const Call<T>& call) {
          return call.output_shape().numel() *
                 call.template attributes<kernels::MatmulDims>().depth;
        },
};

// The batch axes of a and b, as few as can be: neighbours that are walked through as one become
// one, and where b is a single matrix, those of a become rows.
inline kernels::MatmulDims matmul_dims(const Shape& a_batch, const Shape& b_batch,
                                       std::int64_t rows, std::int64_t columns,
                                       std::int64_t depth) {
  kernels::MatmulDims d{.rows = rows, .columns = columns, .depth = depth};
  int at = kernels::MatmulDims::axes - 1;  // the first axis that is in use, or the last one
  std::int64_t a_step = 1, b_step = 1;
  for (int i = 1; i <= std::max(a_batch.rank(), b_batch.rank()); ++i) {
    const std::int64_t a = i <= a_batch.rank() ? a_batch[a_batch.rank() - i] : 1;
    const std::int64_t b = i <= b_batch.rank() ? b_batch[b_batch.rank() - i] : 1;
    const std::int64_t extent = a == 1 ? b : a;
    if (extent == 1) continue;
    const std::int64_t a_own = a == 1 ? 0 : a_step, b_own = b == 1 ? 0 : b_step;
    a_step *= a;
    b_step *= b;
    const bool first = d.extents[at] == 1;
    if (!first && a_own == d.a_steps[at] * d.extents[at] &&
        b_own == d.b_steps[at] * d.extents[at]) {
      d.extents[at] *= extent;
      continue;
    }
    if (!first) --at;
    d.extents[at] = extent;
    d.a_steps[at] = a_own;
    d.b_steps[at] = b_own;
  }
  const int last = kernels::MatmulDims::axes - 1;
  if (at == last && d.b_steps[last] == 0 && d.a_steps[last] == 1) {
    d.rows *= d.extents[last];
    d.extents[last] = 1;
    d.a_steps[last] = 0;
  }
  return d;
}

// Throws if a or b has no axis, or their shapes do not fit.
template <class T>
Variable<T> matmul(const Variable<T>& a, const Variable<T>& b) {
  Tape<T>& tape = a.tape();
  const Shape as = a.shape(), bs = b.shape();
  const int a_rank = as.rank(), b_rank = bs.rank();
  const auto fits = [&] {
    if (a_rank == 0 || b_rank == 0 || as.back() != bs[std::max(b_rank - 2, 0)]) return false;
    for (int i = 3; i <= std::min(a_rank, b_rank); ++i) {
      const std::int64_t left = as[a_rank - i], right = bs[b_rank - i];
      if (left != right && left != 1 && right != 1) return false;
    }
    return true;
  };
  tape.check(fits(), "matmul: expected (..., m, k) and (..., k, n), or (k), got ", as, " and ", bs);
  Shape a_batch, b_batch, y;
  for (int i = 0; i < a_rank - 2; ++i) a_batch.push_back(as[i]);
  for (int i = 0; i < b_rank - 2; ++i) b_batch.push_back(bs[i]);
  const int batch_rank = std::max(a_batch.rank(), b_batch.rank());
  for (int i = batch_rank; i > 0; --i) {
    const std::int64_t left = i <= a_batch.rank() ? a_batch[a_batch.rank() - i] : 1;
    const std::int64_t right = i <= b_batch.rank() ? b_batch[b_batch.rank() - i] : 1;
    y.push_back(left == 1 ? right : left);
  }
  const std::int64_t rows = a_rank > 1 ? as[a_rank - 2] : 1, columns = b_rank > 1 ? bs.back() : 1;
  if (a_rank > 1) y.push_back(rows);
  if (b_rank > 1) y.push_back(columns);
  tape.check(y.can_be_counted(), "matmul: the number of elements of ", y, " overflows");
  return tape.apply(matmul_op<T>, matmul_dims(a_batch, b_batch, rows, columns, as.back()), {a, b},
                    y);
}

}  // namespace anther::inline v0_1
