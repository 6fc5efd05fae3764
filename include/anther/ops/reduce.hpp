// Reductions over axes, with PyTorch's names: sum, mean, amax, amin, norm, var. An axis may be
// counted from the end: -1 is the last. Backward keeps nothing for sum and mean, x and the result
// for the others.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <limits>

#include "anther/autograd/tape.hpp"
#include "anther/kernels/reduce.hpp"
#include "anther/ops/arithmetic.hpp"
#include "anther/ops/permute.hpp"
#include "anther/ops/shape.hpp"

namespace anther::inline v0_1 {

struct ReduceOptions {
  bool keepdim = false;  // keep the axes that are reduced, with the extent 1
};

struct ReduceAttributes {
  kernels::ReduceDims dims;
  double factor;   // of the sum
  int axis, axes;  // the first of the axes that are reduced, and how many there are, in a row
};

// How dx (outer, extent, inner) and what is repeated along its second axis meet.
inline kernels::BroadcastDims reduce_broadcast(const kernels::ReduceDims& d) {
  kernels::BroadcastDims b;
  b.add_axis(d.outer, {d.extent * d.inner, d.inner, 0});
  b.add_axis(d.extent, {d.inner, 0, 0});
  b.add_axis(d.inner, {1, 1, 0});
  return b;
}

template <class T, kernels::Reduction reduction>
void reduce_forward(Call<T>& call) {
  const auto& a = call.template attributes<ReduceAttributes>();
  T* y = call.output();
  kernels::reduce<T, reduction>(y, call.input(0), call.workspace(kernels::reduce_workspace(a.dims)),
                                a.dims);
}

inline constexpr char sum_op_name[] = "sum";
inline constexpr char mean_op_name[] = "mean";
template <class T, bool is_mean>
inline constexpr Op<T> sum_op = {
    .name = is_mean ? mean_op_name : sum_op_name,
    .forward =
        [](Call<T>& call) {
          reduce_forward<T, kernels::Reduction::sum>(call);
          if constexpr (is_mean) {
            const auto& a = call.template attributes<ReduceAttributes>();
            kernels::scale<T>(call.output(), nullptr, call.output(), static_cast<T>(a.factor),
                              a.dims.results());
          }
        },
    .backward =
        [](Call<T>& call) {
          const auto& a = call.template attributes<ReduceAttributes>();
          const auto dx = call.input_gradient(0);
          if (!dx) return;
          const T* dy = call.output_gradient();
          if constexpr (is_mean) {
            T* scaled = call.workspace(a.dims.results());
            kernels::scale<T>(scaled, nullptr, dy, static_cast<T>(a.factor), a.dims.results());
            dy = scaled;
          }
          kernels::BroadcastDims d = reduce_broadcast(a.dims);
          static constexpr T zero = 0;
          if (!dx.add) std::fill(std::begin(d.stride[0]), std::end(d.stride[0]), 0);
          kernels::binary_forward<T, kernels::Binary::add>(dx.to, dx.add ? dx.add : &zero, dy, d);
        },
};

inline constexpr char amax_op_name[] = "amax";
inline constexpr char amin_op_name[] = "amin";
template <class T, bool is_max>
inline constexpr Op<T> extreme_op = {
    .name = is_max ? amax_op_name : amin_op_name,
    .forward = reduce_forward<T, is_max ? kernels::Reduction::max : kernels::Reduction::min>,
    .backward =
        [](Call<T>& call) {
          if (const auto dx = call.input_gradient(0))
            kernels::reduce_extreme_backward<T>(dx.to, dx.add, call.output_gradient(),
                                                call.output(), call.input(0),
                                                call.template attributes<ReduceAttributes>().dims);
        },
};

inline constexpr char norm_op_name[] = "norm";
template <class T>
inline constexpr Op<T> norm_op = {
    .name = norm_op_name,
    .forward =
        [](Call<T>& call) {
          reduce_forward<T, kernels::Reduction::sum_of_squares>(call);
          const std::int64_t count = call.output_shape().numel();
          kernels::pointwise_forward<T, kernels::Pointwise::sqrt>(call.output(), call.output(),
                                                                  count);
        },
    .backward =
        [](Call<T>& call) {
          const auto& a = call.template attributes<ReduceAttributes>();
          const auto dx = call.input_gradient(0);
          if (!dx) return;
          // dx = x dy / y; 0 where the norm is.
          const T *y = call.output(), *dy = call.output_gradient();
          T* ratio = call.workspace(a.dims.results());
          for (std::int64_t i = 0; i < a.dims.results(); ++i)
            ratio[i] = y[i] == T(0) ? T(0) : dy[i] / y[i];  // a NaN stays one
          const T* x = call.input(0);
          kernels::binary_backward<T, kernels::Binary::mul, 0>(dx.to, dx.add, x, x, ratio,
                                                               reduce_broadcast(a.dims));
        },
};

// Which axes of a shape are reduced, in the order of the axes. No axes: all. Throws if there is no
// such axis, or if one is named twice.
template <class T>
std::vector<int> reduced_axes(const Variable<T>& x, std::span<const int> dims, const char* op) {
  std::vector<int> axes;
  for (const int dim : dims) axes.push_back(checked_axis(x, dim, op));
  if (dims.empty())
    for (int axis = 0; axis < x.shape().rank(); ++axis) axes.push_back(axis);
  std::sort(axes.begin(), axes.end());
  x.tape().check(std::adjacent_find(axes.begin(), axes.end()) == axes.end(), op,
                 ": expected each axis once, got one of them twice");
  return axes;
}

// x without the axes, or with the extent 1 in their place.
template <class T>
Variable<T> without_axes(const Variable<T>& y, const Shape& x, const std::vector<int>& axes,
                         bool keepdim) {
  Shape shape;
  for (int axis = 0; axis < x.rank(); ++axis) {
    const bool reduced = std::binary_search(axes.begin(), axes.end(), axis);
    if (!reduced || keepdim) shape.push_back(reduced ? 1 : x[axis]);
  }
  return y.shape() == shape ? y : reshape(y, shape);
}

// Reduces axes by an op for neighbours; other axes are reduced one run after another, the last
// first.
template <class T>
Variable<T> reduce_axes(const Op<T>& op, const Variable<T>& x, std::span<const int> dims,
                        const ReduceOptions& options) {
  const std::vector<int> axes = reduced_axes(x, dims, op.name);
  Variable<T> y = x;
  for (std::size_t end = axes.size(); end > 0;) {
    std::size_t begin = end - 1;
    while (begin > 0 && axes[begin - 1] == axes[begin] - 1) --begin;
    const Shape in = y.shape();
    kernels::ReduceDims d;
    Shape shape;
    for (int axis = 0; axis < in.rank(); ++axis) {
      const bool before = axis<axes[begin], after = axis> axes[end - 1];
      (before ? d.outer : after ? d.inner : d.extent) *= in[axis];
      shape.push_back(before || after ? in[axis] : 1);
    }
    y = x.tape().apply(
        op,
        ReduceAttributes{d, 1 / static_cast<double>(std::max<std::int64_t>(d.extent, 1)),
                         axes[begin], static_cast<int>(end - begin)},
        {y}, shape);
    end = begin;
  }
  return without_axes(y, x.shape(), axes, options.keepdim);
}

// The elements along the axes, added up. No axes: all of them, to a scalar.
template <class T>
Variable<T> sum(const Variable<T>& x, std::span<const int> dims = {},
                const ReduceOptions& options = {}) {
  return reduce_axes(sum_op<T, false>, x, dims, options);
}
// Throws where there is nothing to take the mean of.
template <class T>
Variable<T> mean(const Variable<T>& x, std::span<const int> dims = {},
                 const ReduceOptions& options = {}) {
  std::int64_t count = 1;
  for (const int axis : reduced_axes(x, dims, mean_op_name)) count *= x.shape()[axis];
  x.tape().check(count > 0, "mean: expected at least one element along the axes, got ", x.shape());
  return reduce_axes(sum_op<T, true>, x, dims, options);
}

// The axes that are reduced moved to the end, where they are neighbours.
template <class T>
Variable<T> extreme(const Op<T>& op, const Variable<T>& x, std::span<const int> dims,
                    const ReduceOptions& options) {
  const std::vector<int> axes = reduced_axes(x, dims, op.name);
  const Shape in = x.shape();
  std::vector<int> order;
  std::int64_t reduced = 1;
  for (int axis = 0; axis < in.rank(); ++axis)
    if (!std::binary_search(axes.begin(), axes.end(), axis)) order.push_back(axis);
  for (const int axis : axes) order.push_back(axis), reduced *= in[axis];
  x.tape().check(reduced > 0, op.name, ": expected at least one element to choose from, got ", in);
  const bool neighbours = axes.empty() || axes.back() - axes.front() + 1 == std::ssize(axes);
  if (neighbours) return reduce_axes(op, x, dims, options);
  std::vector<int> last;
  for (std::size_t i = 0; i < axes.size(); ++i) last.push_back(-1 - static_cast<int>(i));
  return without_axes(reduce_axes(op, permute(x, order), last, {}), in, axes, options.keepdim);
}
// The greatest and the least of the elements along the axes. Where several are equal, they share
// the gradient.
template <class T>
Variable<T> amax(const Variable<T>& x, std::span<const int> dims = {},
                 const ReduceOptions& options = {}) {
  return extreme(extreme_op<T, true>, x, dims, options);
}
template <class T>
Variable<T> amin(const Variable<T>& x, std::span<const int> dims = {},
                 const ReduceOptions& options = {}) {
  return extreme(extreme_op<T, false>, x, dims, options);
}
// The square root of the sum of squares. Its gradient at 0 is 0.
template <class T>
Variable<T> norm(const Variable<T>& x, std::span<const int> dims = {},
                 const ReduceOptions& options = {}) {
  if (x.shape().rank() == 0) {
    reduced_axes(x, dims, "norm");
    return norm(reshape(x, {1}));
  }
  return reduce_axes(norm_op<T>, x, dims, options);
}

struct VarOptions {
  bool keepdim = false;
  std::int64_t correction = 1;  // the sum of squares is divided by the count less this
};
// The variance of the elements along the axes, of what is left when their mean is taken off.
template <class T>
Variable<T> var(const Variable<T>& x, std::span<const int> dims = {},
                const VarOptions& options = {}) {
  std::int64_t count = 1;
  for (const int axis : reduced_axes(x, dims, "var")) count *= x.shape()[axis];
  x.tape().check(options.correction >= 0 && count > options.correction, "var: expected more than ",
                 options.correction, " elements along the axes, got ", count);
  const Variable<T> centred = x - mean(x, dims, {.keepdim = true});
  return sum(square(centred), dims, {.keepdim = options.keepdim}) *
         (1 / static_cast<double>(count - options.correction));
}

// The same with the axes in braces, sum(x, {0, 2}), or one, sum(x, -1).
#define ANTHER_REDUCE_FORMS(name, Options)                                       \
  template <class T>                                                             \
  Variable<T> name(const Variable<T>& x, std::initializer_list<int> dims,        \
                   const Options& options = {}) {                                \
    return name(x, std::span<const int>(dims.begin(), dims.size()), options);    \
  }                                                                              \
  template <class T>                                                             \
  Variable<T> name(const Variable<T>& x, int dim, const Options& options = {}) { \
    return name(x, std::span<const int>(&dim, 1), options);                      \
  }
ANTHER_REDUCE_FORMS(sum, ReduceOptions)
ANTHER_REDUCE_FORMS(mean, ReduceOptions)
ANTHER_REDUCE_FORMS(amax, ReduceOptions)
ANTHER_REDUCE_FORMS(amin, ReduceOptions)
ANTHER_REDUCE_FORMS(norm, ReduceOptions)
ANTHER_REDUCE_FORMS(var, VarOptions)
#undef ANTHER_REDUCE_FORMS

}  // namespace anther::inline v0_1
