// Ops that put the axes or the elements of a value in another order, with PyTorch's names: permute,
// transpose, stack, chunk, pixel_shuffle. What is not contiguous is copied.
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <span>
#include <vector>

#include "anther/autograd/tape.hpp"
#include "anther/kernels/permute.hpp"
#include "anther/ops/shape.hpp"

namespace anther::inline v0_1 {

struct PermuteAttributes {
  kernels::PermuteDims forward, backward;
  int axes[Shape::max_rank];  // axis i of the result is axis axes[i] of the input
};

inline constexpr char permute_op_name[] = "permute";
template <class T>
inline constexpr Op<T> permute_op = {
    .name = permute_op_name,
    .forward =
        [](Call<T>& call) {
          kernels::permute<T>(call.output(), nullptr, call.input(0),
                              call.template attributes<PermuteAttributes>().forward);
        },
    .backward =
        [](Call<T>& call) {
          if (const auto dx = call.input_gradient(0))
            kernels::permute<T>(dx.to, dx.add, call.output_gradient(),
                                call.template attributes<PermuteAttributes>().backward);
        },
};

// The copy that gives axis i of the result axis axes[i] of x.
inline kernels::PermuteDims permute_dims(const Shape& x, std::span<const int> axes) {
  kernels::PermuteDims d;
  for (const int axis : axes) {
    std::int64_t stride = 1;
    for (int after = axis + 1; after < x.rank(); ++after) stride *= x[after];
    d.add_axis(x[axis], stride);
  }
  return d;
}

// Axis i of the result is axis dims[i] of x. Throws unless dims names each axis once.
template <class T>
Variable<T> permute(const Variable<T>& x, std::span<const int> dims) {
  const Shape& in = x.shape();
  x.tape().check(std::ssize(dims) == in.rank(), "permute: expected ", in.rank(), " axes, those of ",
                 in, ", got ", dims.size());
  std::vector<int> axes, back(dims.size(), -1);
  Shape shape;
  for (const int dim : dims) {
    const int axis = checked_axis(x, dim, "permute");
    x.tape().check(back[static_cast<std::size_t>(axis)] < 0,
                   "permute: expected each axis once, got ", dim, " twice");
    back[static_cast<std::size_t>(axis)] = static_cast<int>(axes.size());
    axes.push_back(axis);
    shape.push_back(in[axis]);
  }
  PermuteAttributes attributes{permute_dims(in, axes), permute_dims(shape, back), {}};
  std::copy(axes.begin(), axes.end(), attributes.axes);
  // Axes of extent 1 may move without a copy.
  if (attributes.forward.rank == 1) return reshape(x, shape);
  return x.tape().apply(permute_op<T>, attributes, {x}, shape);
}
template <class T>
Variable<T> permute(const Variable<T>& x, std::initializer_list<int> dims) {
  return permute(x, std::span<const int>(dims.begin(), dims.size()));
}

// Exchanges two axes.
template <class T>
Variable<T> transpose(const Variable<T>& x, int dim0, int dim1) {
  std::vector<int> axes;
  for (int axis = 0; axis < x.shape().rank(); ++axis) axes.push_back(axis);
  std::swap(axes[static_cast<std::size_t>(checked_axis(x, dim0, "transpose"))],
            axes[static_cast<std::size_t>(checked_axis(x, dim1, "transpose"))]);
  return permute(x, axes);
}

// Values of one shape beside each other along a new axis. Throws if their shapes differ.
template <class T>
Variable<T> stack(std::span<const Variable<T>> parts, int dim = 0) {
  detail::check(!parts.empty(), "stack: expected at least one value, got none");
  const Shape in = parts.front().shape();
  const int rank = in.rank() + 1;
  parts.front().tape().check(dim >= -rank && dim < rank, "stack: expected one of ", rank,
                             " places for the new axis, got ", dim);
  const int axis = dim < 0 ? dim + rank : dim;
  Shape shape;
  for (int i = 0; i < rank; ++i) shape.push_back(i == axis ? 1 : in[i < axis ? i : i - 1]);
  std::vector<Variable<T>> thin;
  for (const Variable<T>& part : parts) {
    parts.front().tape().check(part.shape() == in, "stack: expected values of one shape, got ", in,
                               " and ", part.shape());
    thin.push_back(reshape(part, shape));
  }
  return cat(std::span<const Variable<T>>(thin), axis);
}
template <class T>
Variable<T> stack(std::initializer_list<Variable<T>> parts, int dim = 0) {
  return stack(std::span<const Variable<T>>(parts.begin(), parts.size()), dim);
}

// An axis in `chunks` parts of one size, the last one of what is left; fewer where the axis is too
// short. They last until the pass ends.
template <class T>
std::span<const Variable<T>> chunk(const Variable<T>& x, std::int64_t chunks, int dim = 0) {
  x.tape().check(chunks >= 1, "chunk: expected at least 1 part, got ", chunks);
  const std::int64_t extent = x.shape()[checked_axis(x, dim, "chunk")];
  const std::int64_t size =
      std::max<std::int64_t>(extent / chunks + (extent % chunks == 0 ? 0 : 1), 1);
  std::vector<std::int64_t> sizes;
  for (std::int64_t first = 0; first < extent || sizes.empty(); first += size)
    sizes.push_back(std::min(size, extent - first));
  return split(x, std::span<const std::int64_t>(sizes), dim);
}

// (N, H, W, C r r) -> (N, H r, W r, C): the elements of each group of r r channels become a square
// (Shi et al. 2016). Channel c r r + i r + j is row i and column j of channel c, as in PyTorch.
template <class T>
Variable<T> pixel_shuffle(const Variable<T>& x, std::int64_t upscale_factor) {
  const Shape in = x.shape();
  const std::int64_t r = upscale_factor;
  x.tape().check(in.rank() == 4 && r >= 1 && r <= std::numeric_limits<std::int32_t>::max() &&
                     in[3] % (r * r) == 0,
                 "pixel_shuffle: expected a map (N, H, W, C) whose channels are a multiple of the "
                 "factor's square, got ",
                 in, " and ", r);
  const std::int64_t channels = in[3] / (r * r);
  const Variable<T> parts = reshape(x, Shape{in[0], in[1], in[2], channels, r, r});
  return reshape(permute(parts, {0, 1, 4, 2, 5, 3}), Shape{in[0], in[1] * r, in[2] * r, channels});
}

}  // namespace anther::inline v0_1
