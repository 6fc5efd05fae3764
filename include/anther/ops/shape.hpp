// Ops that change the shape of a value but none of its elements, with PyTorch's names: reshape and
// flatten, which copy nothing; narrow, a part of one axis; cat and split, which join and divide.
// Elements keep their row-major order, channels last: flatten of a map (N, H, W, C) puts all
// channels of a position side by side.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <span>
#include <vector>

#include "anther/autograd/tape.hpp"
#include "anther/kernels/blocks.hpp"

namespace anther::inline v0_1 {

// A view: its elements are those of its input, beginning at the number in its attributes (int64_t).
template <class T>
inline constexpr Op<T> reshape_op = {.name = "reshape", .forward = nullptr, .backward = nullptr};
template <class T>
inline constexpr Op<T> rows_op = {.name = "narrow", .forward = nullptr, .backward = nullptr};

// x with the same number of elements in another shape.
template <class T>
Variable<T> reshape(const Variable<T>& x, const Shape& shape) {
  Tape<T>& tape = x.tape();
  tape.check(shape.can_be_counted() && shape.numel() == x.shape().numel(),
             "reshape: expected a shape of ", x.shape().numel(), " elements, as ", x.shape(),
             " has, got ", shape);
  return tape.view(reshape_op<T>, std::int64_t{0}, x, 0, shape);
}
// The same, by extents. One of them may be -1: it becomes whatever the others leave.
template <class T>
Variable<T> reshape(const Variable<T>& x, std::span<const std::int64_t> extents) {
  const std::int64_t numel = x.shape().numel();
  std::int64_t known = 1, open = 0;
  bool valid = std::ssize(extents) <= Shape::max_rank;
  for (const std::int64_t extent : extents) {
    if (extent == -1)
      ++open;
    else if (extent < 0 ||
             (extent > 0 && known > std::numeric_limits<std::int64_t>::max() / extent))
      valid = false;
    else
      known *= extent;
  }
  x.tape().check(valid && open <= 1 && (open == 0 || (known > 0 && numel % known == 0)),
                 "reshape: expected extents for the elements of ", x.shape(),
                 ", at most one of them -1");
  Shape shape;
  for (const std::int64_t extent : extents) shape.push_back(extent == -1 ? numel / known : extent);
  return reshape(x, shape);
}
template <class T>
Variable<T> reshape(const Variable<T>& x, std::initializer_list<std::int64_t> extents) {
  return reshape(x, std::span<const std::int64_t>(extents.begin(), extents.size()));
}

// (N, ...) as (N, the product of the rest).
template <class T>
Variable<T> flatten(const Variable<T>& x) {
  const Shape& in = x.shape();
  x.tape().check(in.rank() >= 1, "flatten: expected (N, ...), got ", in);
  std::int64_t rest = 1;
  for (int axis = 1; axis < in.rank(); ++axis) rest *= in[axis];
  return reshape(x, Shape{in[0], rest});
}

// Where parts of an axis are among the elements of the whole: `outer` times, `inner` elements for
// each place of the axis.
struct AxisParts {
  std::int64_t outer = 1, inner = 1, extent = 0;  // of the whole
  int axis = 0;
};
inline AxisParts axis_parts(const Shape& shape, int axis) {
  AxisParts parts{.extent = shape[axis], .axis = axis};
  for (int i = 0; i < shape.rank(); ++i) {
    if (i < axis) parts.outer *= shape[i];
    if (i > axis) parts.inner *= shape[i];
  }
  return parts;
}
// -1 is the last axis. Throws if there is no such axis.
template <class T>
int checked_axis(const Variable<T>& x, int dim, const char* op) {
  const int rank = x.shape().rank();
  x.tape().check(dim >= -rank && dim < rank, op, ": expected an axis of ", x.shape(), ", got ",
                 dim);
  return dim < 0 ? dim + rank : dim;
}

// Copies the elements of its input between two places of an axis.
struct NarrowAttributes {
  AxisParts parts;
  std::int64_t start, length;

  // Of the result, from the input.
  kernels::BlockDims dims() const {
    return {.count = parts.outer,
            .size = length * parts.inner,
            .to_stride = length * parts.inner,
            .from_stride = parts.extent * parts.inner};
  }
};
inline constexpr char narrow_op_name[] = "narrow";
template <class T>
inline constexpr Op<T> narrow_op = {
    .name = narrow_op_name,
    .forward =
        [](Call<T>& call) {
          const auto& a = call.template attributes<NarrowAttributes>();
          kernels::copy_blocks(call.output(), call.input(0) + a.start * a.parts.inner, a.dims());
        },
    .backward =
        [](Call<T>& call) {
          const auto& a = call.template attributes<NarrowAttributes>();
          const auto dx = call.input_gradient(0);
          if (!dx) return;
          call.start(dx, call.input_shape(0).numel());
          kernels::BlockDims d = a.dims();
          std::swap(d.to_stride, d.from_stride);
          kernels::add_blocks(dx.to + a.start * a.parts.inner, call.output_gradient(), d);
        },
};

// Places start to start + length - 1 of an axis; along the first axis without a copy. Throws if
// there are no such places.
template <class T>
Variable<T> narrow(const Variable<T>& x, int dim, std::int64_t start, std::int64_t length) {
  const int axis = checked_axis(x, dim, "narrow");
  Shape shape = x.shape();
  x.tape().check(start >= 0 && length >= 0 && start <= shape[axis] - length,
                 "narrow: expected places within the ", shape[axis], " of axis ", axis, ", got ",
                 length, " from ", start, " on");
  shape[axis] = length;
  const NarrowAttributes attributes{axis_parts(x.shape(), axis), start, length};
  if (attributes.parts.outer == 1)
    return x.tape().view(rows_op<T>, attributes, x, start * attributes.parts.inner, shape);
  return x.tape().apply(narrow_op<T>, attributes, {x}, shape);
}

// Its inputs side by side along an axis.
inline constexpr char cat_op_name[] = "cat";
template <class T>
inline constexpr Op<T> cat_op = {
    .name = cat_op_name,
    .forward =
        [](Call<T>& call) {
          const AxisParts whole = call.template attributes<AxisParts>();
          T* to = call.output();
          for (int i = 0; i < call.inputs(); ++i) {
            const std::int64_t size = call.input_shape(i)[whole.axis] * whole.inner;
            kernels::copy_blocks(to, call.input(i),
                                 {.count = whole.outer,
                                  .size = size,
                                  .to_stride = whole.extent * whole.inner,
                                  .from_stride = size});
            to += size;
          }
        },
    .backward =
        [](Call<T>& call) {
          const AxisParts whole = call.template attributes<AxisParts>();
          const T* from = call.output_gradient();
          for (int i = 0; i < call.inputs(); ++i) {
            const std::int64_t size = call.input_shape(i)[whole.axis] * whole.inner;
            if (const auto dx = call.input_gradient(i)) {
              call.start(dx, call.input_shape(i).numel());
              kernels::add_blocks(dx.to, from,
                                  {.count = whole.outer,
                                   .size = size,
                                   .to_stride = size,
                                   .from_stride = whole.extent * whole.inner});
            }
            from += size;
          }
        },
};

// Joins values along an axis, in which alone they may differ. Throws if they differ in another.
template <class T>
Variable<T> cat(std::span<const Variable<T>> parts, int dim) {
  detail::check(!parts.empty(), "cat: expected at least one value, got none");
  const Variable<T>& first = parts.front();
  const int axis = checked_axis(first, dim, "cat");
  Shape shape = first.shape();
  shape[axis] = 0;
  for (const Variable<T>& part : parts) {
    Shape others = part.shape();
    const bool same_rank = others.rank() == shape.rank();
    const std::int64_t extent = same_rank ? others[axis] : 0;
    if (same_rank) others[axis] = shape[axis];
    first.tape().check(same_rank && others == shape, "cat: expected shapes that differ in axis ",
                       axis, " alone, got ", first.shape(), " and ", part.shape());
    first.tape().check(extent <= std::numeric_limits<std::int64_t>::max() - shape[axis],
                       "cat: the places of axis ", axis, " overflow");
    shape[axis] += extent;
  }
  first.tape().check(shape.can_be_counted(), "cat: the number of elements of ", shape,
                     " overflows");
  return first.tape().apply_many(cat_op<T>, axis_parts(shape, axis), parts, {&shape, 1})[0];
}
template <class T>
Variable<T> cat(std::initializer_list<Variable<T>> parts, int dim) {
  return cat(std::span<const Variable<T>>(parts.begin(), parts.size()), dim);
}

// One result for each part of an axis.
inline constexpr char split_op_name[] = "split";
template <class T>
inline constexpr Op<T> split_op = {
    .name = split_op_name,
    .forward =
        [](Call<T>& call) {
          const AxisParts whole = call.template attributes<AxisParts>();
          const T* from = call.input(0);
          for (int i = 0; i < call.results(); ++i) {
            const std::int64_t size = call.output_shape(i)[whole.axis] * whole.inner;
            kernels::copy_blocks(call.output(i), from,
                                 {.count = whole.outer,
                                  .size = size,
                                  .to_stride = size,
                                  .from_stride = whole.extent * whole.inner});
            from += size;
          }
        },
    .backward =
        [](Call<T>& call) {
          const AxisParts whole = call.template attributes<AxisParts>();
          const auto dx = call.input_gradient(0);
          if (!dx) return;
          call.start(dx, call.input_shape(0).numel());
          T* to = dx.to;
          for (int i = 0; i < call.results(); ++i) {
            const std::int64_t size = call.output_shape(i)[whole.axis] * whole.inner;
            if (const T* dy = call.output_gradient(i))
              kernels::add_blocks(to, dy,
                                  {.count = whole.outer,
                                   .size = size,
                                   .to_stride = whole.extent * whole.inner,
                                   .from_stride = size});
            to += size;
          }
        },
};

// Parts of an axis, of these sizes, one after another. They last until the pass ends. Throws unless
// the sizes add up to the axis.
template <class T>
std::span<const Variable<T>> split(const Variable<T>& x, std::span<const std::int64_t> sizes,
                                   int dim) {
  const int axis = checked_axis(x, dim, "split");
  std::int64_t sum = 0;
  bool valid = !sizes.empty();
  std::vector<Shape> shapes;
  for (const std::int64_t size : sizes) {
    valid = valid && size >= 0 && size <= std::numeric_limits<std::int64_t>::max() - sum;
    if (!valid) break;
    Shape shape = x.shape();
    shape[axis] = size;
    shapes.push_back(shape);
    sum += size;
  }
  x.tape().check(valid && sum == x.shape()[axis], "split: expected sizes that add up to the ",
                 x.shape()[axis], " of axis ", axis, ", got ", sizes.size(), " that add up to ",
                 sum);
  return x.tape().apply_many(split_op<T>, axis_parts(x.shape(), axis), {&x, 1}, shapes);
}
template <class T>
std::span<const Variable<T>> split(const Variable<T>& x, std::initializer_list<std::int64_t> sizes,
                                   int dim) {
  return split(x, std::span<const std::int64_t>(sizes.begin(), sizes.size()), dim);
}

}  // namespace anther::inline v0_1
