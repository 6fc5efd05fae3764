// Element-wise ops of one value, with PyTorch's names: activations (relu, silu, hardswish, ...),
// clamp, exp, pow and others. All come from the rows of kernels/pointwise_table.inl, where their
// formulas are. Backward keeps x or y. Those that are quickly computed are lazy. gelu is in
// ops/activation.hpp.
#pragma once

#include <cmath>

#include "anther/autograd/tape.hpp"
#include "anther/kernels/pointwise.hpp"

namespace anther::inline v0_1 {

// For each row: the name of the op, by which exporters find it.
#define ANTHER_POINTWISE(name, ...) inline constexpr char name##_op_name[] = #name;
#define ANTHER_POINTWISE_1 ANTHER_POINTWISE
#define ANTHER_POINTWISE_2 ANTHER_POINTWISE
#include "anther/kernels/pointwise_table.inl"

#define ANTHER_POINTWISE(name, ...) name##_op_name,
#define ANTHER_POINTWISE_1 ANTHER_POINTWISE
#define ANTHER_POINTWISE_2 ANTHER_POINTWISE
inline constexpr const char* pointwise_op_names[] = {
#include "anther/kernels/pointwise_table.inl"
};

// Whether the op is lazy: its result is computed in less time than it is read from memory.
constexpr bool pointwise_is_lazy(kernels::Pointwise op) {
  using enum kernels::Pointwise;
  return op == relu || op == relu6 || op == leaky_relu || op == hardsigmoid || op == hardswish ||
         op == clamp;
}

template <class T, kernels::Pointwise op>
void pointwise_rows(const Call<T>& call, T* y, std::int64_t first, std::int64_t count) {
  kernels::pointwise_forward<T, op>(
      y, call.input_rows(y, first, count), count * call.output_shape().back(),
      call.template attributes<kernels::PointwiseNumbers>(), call.streams_row(y, first));
}

template <class T, kernels::Pointwise op>
void pointwise_op_forward(Call<T>& call) {
  if (call.input(0))
    kernels::pointwise_forward<T, op>(call.output(), call.input(0), call.output_shape().numel(),
                                      call.template attributes<kernels::PointwiseNumbers>());
  else
    call.for_row_tiles(0, call.output_shape().rows(),
                       [&](std::int64_t first, std::int64_t count, std::int64_t at) {
                         pointwise_rows<T, op>(call, call.output() + at, first, count);
                       });
}

// Rows of what the derivative is computed from, x or y: where they are stored, or computed again.
template <class T, kernels::Pointwise op>
const T* pointwise_kept_rows(const Call<T>& call, T* room, std::int64_t first, std::int64_t count) {
  if (!kernels::pointwise_keeps_result[static_cast<int>(op)])
    return call.input_rows(room, first, count);
  call.compute_rows(room, first, count);
  return room;
}

template <class T, kernels::Pointwise op>
void pointwise_op_backward(Call<T>& call) {
  constexpr bool keeps_result = kernels::pointwise_keeps_result[static_cast<int>(op)];
  const auto& numbers = call.template attributes<kernels::PointwiseNumbers>();
  const auto dx = call.input_gradient(0);
  if (!dx) return;
  const T* dy = call.output_gradient();
  const std::int64_t size = call.output_shape().numel(), columns = call.output_shape().back();
  constexpr std::int64_t room_size = Call<T>::most_columns;
  const T* kept = keeps_result ? call.output() : call.input(0);
  if (kept == nullptr && columns > room_size) {
    T* all = call.workspace(size);
    call.for_row_tiles(0, size / columns,
                       [&](std::int64_t first, std::int64_t count, std::int64_t at) {
                         pointwise_kept_rows<T, op>(call, all + at, first, count);
                       });
    kept = all;
  }
  if (kept) {
    kernels::pointwise_backward<T, op>(dx.to, dx.add, dy, kept, size, numbers);
    return;
  }
  const std::int64_t rows = size / columns, tile_rows = room_size / columns;
  parallel_for((rows + tile_rows - 1) / tile_rows, size, [&](std::int64_t tile) {
    alignas(64) T room[room_size];
    const std::int64_t first = tile * tile_rows, count = std::min(tile_rows, rows - first);
    const std::int64_t at = first * columns;
    kernels::pointwise_backward<T, op>(dx.to + at, dx.add ? dx.add + at : nullptr, dy + at,
                                       pointwise_kept_rows<T, op>(call, room, first, count),
                                       count * columns, numbers);
  });
}

template <class T, kernels::Pointwise op>
void pointwise_backward_rows(const Call<T>& call, const GradientTarget<T>& dx, T* y, const T* dy,
                             std::int64_t first, std::int64_t count) {
  const std::int64_t columns = call.output_shape().back();
  if (columns == 0) return;
  const std::int64_t step = Call<T>::most_columns / columns;
  alignas(64) T room[Call<T>::most_columns];
  for (const std::int64_t last = first + count; first < last; first += step) {
    const std::int64_t rows = std::min(step, last - first), at = first * columns;
    const T* kept = pointwise_kept_rows<T, op>(call, room, first, rows);
    if (y && kernels::pointwise_keeps_result[static_cast<int>(op)])
      std::copy_n(kept, rows * columns, y);
    else if (y)
      kernels::pointwise_forward<T, op>(y, kept, rows * columns,
                                        call.template attributes<kernels::PointwiseNumbers>());
    kernels::pointwise_backward<T, op>(dx.to + at, dx.add ? dx.add + at : nullptr, dy, kept,
                                       rows * columns,
                                       call.template attributes<kernels::PointwiseNumbers>());
    dy += rows * columns;
    if (y) y += rows * columns;
  }
}

template <class T, kernels::Pointwise op>
inline constexpr Op<T> pointwise_op = {
    .name = pointwise_op_names[static_cast<int>(op)],
    .forward = pointwise_is_lazy(op) ? nullptr : pointwise_op_forward<T, op>,
    .backward = pointwise_op_backward<T, op>,
    .forward_rows = pointwise_is_lazy(op) ? pointwise_rows<T, op> : nullptr,
    .backward_rows = pointwise_is_lazy(op) ? pointwise_backward_rows<T, op> : nullptr,
    .takes_lazy = true,
    .is_cheap = pointwise_is_lazy(op),
    .backward_in_place = true,
};

// The op of a row of the table, with the numbers that its formula has.
template <kernels::Pointwise op, class T>
Variable<T> pointwise(const Variable<T>& x, const kernels::PointwiseNumbers& numbers = {}) {
  if constexpr (op == kernels::Pointwise::clamp)
    x.tape().check(!std::isnan(numbers.first) && !std::isnan(numbers.second),
                   "clamp: expected bounds that are numbers, got ", numbers.first, " and ",
                   numbers.second);
  return x.tape().apply(pointwise_op<T, op>, numbers, {x}, x.shape());
}

// For each row: the function, as in `Variable<T> leaky_relu(x, double negative_slope = 0.01)`.
#define ANTHER_POINTWISE(name, ...)                \
  template <class T>                               \
  Variable<T> name(const Variable<T>& x) {         \
    return pointwise<kernels::Pointwise::name>(x); \
  }
#define ANTHER_POINTWISE_1(name, a, a_default, ...)            \
  template <class T>                                           \
  Variable<T> name(const Variable<T>& x, double a a_default) { \
    return pointwise<kernels::Pointwise::name>(x, {a});        \
  }
#define ANTHER_POINTWISE_2(name, a, a_default, b, b_default, ...)                  \
  template <class T>                                                               \
  Variable<T> name(const Variable<T>& x, double a a_default, double b b_default) { \
    return pointwise<kernels::Pointwise::name>(x, {a, b});                         \
  }
#include "anther/kernels/pointwise_table.inl"

template <class T>
Variable<T> operator-(const Variable<T>& x) {
  return neg(x);
}

}  // namespace anther::inline v0_1
