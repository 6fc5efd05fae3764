// Depth-wise convolution of maps that are not there as floats: an x that is computed when it is
// read (a lazy result, or a map in bfloat16), a y or a dx of which something is made at once. A
// thread goes down through its rows of y, a few at a time, and has a window of the maps' rows in
// its second-level cache. The bits are those of depthwise_conv2d.hpp.
#pragma once

#include <algorithm>
#include <cstdint>

#include "anther/core/parallel_for.hpp"
#include "anther/kernels/depthwise_conv2d.hpp"

namespace anther::inline v0_1::kernels {

// Rows of a map (N, H, W, C): where it is stored, or, where `stored` is null, as fill(to, first,
// count) writes them, `first` the number of a pixel. What the next rows share with the last ones
// moves up in the room.
template <class T, class Fill>
class RowWindow {
 public:
  RowWindow(T* room, const T* stored, const Fill& fill, std::int64_t height, std::int64_t width,
            std::int64_t channels)
      : room_(room),
        stored_(stored),
        fill_(fill),
        height_(height),
        width_(width),
        row_size_(width * channels) {}

  // Where the image would begin if it were stored. Its rows top to bottom - 1 are there.
  const T* rows(std::int64_t image, std::int64_t top, std::int64_t bottom) {
    if (stored_) return stored_ + image * height_ * row_size_;
    if (image != image_ || top < top_ || top > bottom_) bottom_ = top;
    if (bottom_ > top && top > top_)
      std::copy(room_ + (top - top_) * row_size_, room_ + (bottom_ - top_) * row_size_, room_);
    if (bottom > bottom_)
      fill_(room_ + (bottom_ - top) * row_size_, (image * height_ + bottom_) * width_,
            (bottom - bottom_) * width_);
    image_ = image;
    top_ = top;
    bottom_ = std::max(bottom, bottom_);
    return room_ - top * row_size_;
  }

 private:
  T* const room_;
  const T* const stored_;
  const Fill& fill_;
  const std::int64_t height_, width_, row_size_;
  std::int64_t image_ = -1, top_ = 0, bottom_ = 0;  // the rows that are in the room
};

// Elements of a room, with those of x and of y (or dy, dx) apart.
inline std::int64_t depthwise_conv2d_room(std::int64_t rows, std::int64_t width,
                                          std::int64_t channels) {
  return (rows * width * channels + 15) / 16 * 16;
}

// How a pass goes: in so many groups of rows, each with a room of its own, so few that little is
// computed twice where they meet; within a group, `step` rows of y at a time, a multiple of `unit`.
struct DepthwiseSteps {
  std::int64_t groups, step;

  DepthwiseSteps(const DepthwiseConv2dDims& d, std::int64_t tiles, std::int64_t unit,
                 std::int64_t threads)
      : groups(threads == 1 ? 1 : std::min(4 * threads, tiles)) {
    constexpr std::int64_t window_size = 1 << 16;
    const std::int64_t row = std::max<std::int64_t>(d.width * d.channels, 1);
    const std::int64_t rows =
        (window_size / row - d.kernel_height) / std::max<std::int64_t>(d.stride_height, 1) + 1;
    step = std::max<std::int64_t>(rows / unit, 1) * unit;
  }
  // Elements of the rooms: of the rows of x that a step reads, of y, of dy, and of dx.
  std::int64_t x(const DepthwiseConv2dDims& d) const {
    const std::int64_t most = std::min(step, d.out_height());
    return depthwise_conv2d_room(std::min(d.height, (most - 1) * d.stride_height + d.kernel_height),
                                 d.width, d.channels);
  }
  std::int64_t y(const DepthwiseConv2dDims& d) const {
    return depthwise_conv2d_room(std::min(step, d.out_height()), d.out_width(), d.channels);
  }
  std::int64_t dy(const DepthwiseConv2dDims& d) const {
    const std::int64_t most = step + 2 * (d.kernel_height + d.padding_height) + 4;
    return depthwise_conv2d_room(std::min(most, d.out_height()), d.out_width(), d.channels);
  }
  std::int64_t dx(const DepthwiseConv2dDims& d) const {
    const std::int64_t most = (step * d.height + d.out_height() - 1) / d.out_height() + 1;
    return depthwise_conv2d_room(std::min(most, d.height), d.width, d.channels);
  }
};
inline DepthwiseSteps depthwise_conv2d_forward_steps(const DepthwiseConv2dDims& d,
                                                     std::int64_t threads) {
  return {d, d.batch * d.out_height(), 1, threads};
}
// Whole blocks of the gradient of the weight.
inline DepthwiseSteps depthwise_conv2d_backward_steps(const DepthwiseConv2dDims& d) {
  return {d, depthwise_conv2d_backward_tiles(d), depthwise_conv2d_weight_rows(d),
          available_threads()};
}

// Elements of workspace of depthwise_conv2d_forward_of_rows.
inline std::int64_t depthwise_conv2d_rows_workspace(const DepthwiseConv2dDims& d,
                                                    std::int64_t threads) {
  const DepthwiseSteps steps = depthwise_conv2d_forward_steps(d, threads);
  return steps.groups * (steps.x(d) + steps.y(d));
}

// What depthwise_conv2d_forward writes and reads.
template <class T>
struct DepthwiseForward {
  T* y;
  const T *y_add, *x, *weight, *bias;
  bool adds_x = false;  // in the place of y_add, where d.keeps_rows()
};
// Takes nothing, where y is stored.
inline constexpr auto no_rows = [](const void*, std::int64_t, std::int64_t) {};

// depthwise_conv2d_forward where o.x is null, and rows_of(to, first, count) computes pixels of it,
// or o.y is, and take(rows, first, count) gets pixels of it. Several threads call them at once.
template <class T, class RowsOf, class Take, class Finish>
void depthwise_conv2d_forward_of_rows(const DepthwiseForward<T>& o, const RowsOf& rows_of,
                                      const Take& take, T* workspace, const DepthwiseConv2dDims& d,
                                      const Finish& finish) {
  const std::int64_t height = d.out_height(), rows = d.batch * height;
  const std::int64_t y_row = d.out_width() * d.channels, y_size = height * y_row;
  const DepthwiseSteps steps = depthwise_conv2d_forward_steps(d, available_threads());
  parallel_for(steps.groups, depthwise_conv2d_work(d), [&](std::int64_t group) {
    T* const room = workspace + group * (steps.x(d) + steps.y(d));
    T* const y_room = room + steps.x(d);
    RowWindow<T, RowsOf> window(room, o.x, rows_of, d.height, d.width, d.channels);
    depthwise_conv2d_steps(height, rows * group / steps.groups, rows * (group + 1) / steps.groups,
                           steps.step,
                           [&](std::int64_t image, std::int64_t first, std::int64_t last) {
                             const std::int64_t top = d.top_of(first);
                             const T* const x = window.rows(image, top, d.bottom_of(last, top));
                             ANTHER_SELECT(depthwise_forward<T>)
                             (o.y ? o.y + image * y_size : y_room - first * y_row,
                              o.adds_x  ? x
                              : o.y_add ? o.y_add + image * y_size
                                        : nullptr,
                              x, o.weight, o.bias, d, first, last);
                             const std::int64_t pixel = (image * height + first) * d.out_width();
                             if (!o.y) take(y_room, pixel, (last - first) * d.out_width());
                             finish(pixel, (last - first) * d.out_width());
                           });
  });
}

// Elements of workspace of depthwise_conv2d_backward_of_rows.
inline std::int64_t depthwise_conv2d_backward_of_rows_workspace(const DepthwiseConv2dDims& d) {
  const DepthwiseSteps steps = depthwise_conv2d_backward_steps(d);
  return depthwise_conv2d_room(1, 1, depthwise_conv2d_backward_workspace(d)) +
         steps.groups * (steps.x(d) + steps.dy(d) + steps.dx(d));
}

// What depthwise_conv2d_backward writes and reads. takes_dx: pixels of dx are taken.
template <class T>
struct DepthwiseBackward {
  T* dx;
  const T* dx_add;
  T *dweight, *dbias;
  const T *dy, *x, *weight;
  bool takes_dx;
};

// depthwise_conv2d_backward where o.x or o.dy is null, and rows_of or dy_of computes pixels of it,
// or where, with o.takes_dx, take(rows, first, count) gets pixels of dx in the place of o.dx.
template <class T, class RowsOf, class DyOf, class Take>
void depthwise_conv2d_backward_of_rows(const DepthwiseBackward<T>& o, const RowsOf& rows_of,
                                       const DyOf& dy_of, const Take& take, T* workspace,
                                       const DepthwiseConv2dDims& d) {
  const bool of_weight = o.dweight || o.dbias, of_x = o.takes_dx || o.dx;
  if (!of_x && !of_weight) return;
  const std::int64_t height = d.out_height(), rows = d.batch * height;
  const std::int64_t taps = d.kernel_height * d.kernel_width, row_size = d.width * d.channels;
  const std::int64_t tiles = depthwise_conv2d_backward_tiles(d);
  const std::int64_t partial_size = (taps + 1) * d.channels;
  const DepthwiseSteps steps = depthwise_conv2d_backward_steps(d);
  T* const rooms = workspace + depthwise_conv2d_room(1, 1, depthwise_conv2d_backward_workspace(d));
  parallel_for(steps.groups, 2 * depthwise_conv2d_work(d), [&](std::int64_t group) {
    T* const room = rooms + group * (steps.x(d) + steps.dy(d) + steps.dx(d));
    T* const dx_room = room + steps.x(d) + steps.dy(d);
    RowWindow<T, RowsOf> of_map(room, o.x, rows_of, d.height, d.width, d.channels);
    RowWindow<T, DyOf> of_gradient(room + steps.x(d), o.dy, dy_of, height, d.out_width(),
                                   d.channels);
    const std::int64_t end = tiles * (group + 1) / steps.groups;
    for (std::int64_t tile = tiles * group / steps.groups; tile < end; ++tile) {
      T* const partial = workspace + tile * partial_size;
      if (of_weight) std::fill_n(partial, partial_size, T(0));
      depthwise_conv2d_steps(
          height, rows * tile / tiles, rows * (tile + 1) / tiles, steps.step,
          [&](std::int64_t image, std::int64_t first, std::int64_t last) {
            // The rows of dx that go with those of dy, and the rows of dy that lead to them.
            const std::int64_t top = first * d.height / height, bottom = last * d.height / height;
            const std::int64_t dy_top =
                std::max<std::int64_t>(top + d.padding_height - d.kernel_height + 1, 0) /
                d.stride_height;
            const std::int64_t dy_bottom = std::min(
                height,
                std::max<std::int64_t>(bottom - 1 + d.padding_height, 0) / d.stride_height + 1);
            const T* const dy_here =
                of_gradient.rows(image, std::min(first, dy_top), std::max(last, dy_bottom));
            if (of_weight) {
              const std::int64_t x_top = d.top_of(first);
              ANTHER_SELECT(depthwise_backward_weight<T>)
              (partial, partial + taps * d.channels, dy_here,
               of_map.rows(image, x_top, d.bottom_of(last, x_top)), d, first, last);
            }
            if (!of_x) return;
            ANTHER_SELECT(depthwise_backward_input<T>)
            (o.takes_dx ? dx_room - top * row_size : o.dx + image * d.height * row_size,
             !o.takes_dx && o.dx_add ? o.dx_add + image * d.height * row_size : nullptr, dy_here,
             o.weight, static_cast<const T*>(nullptr), d, top, bottom);
            if (o.takes_dx)
              take(dx_room, (image * d.height + top) * d.width, (bottom - top) * d.width);
          });
    }
  });
  if (of_weight) depthwise_conv2d_add_parts(o.dweight, o.dbias, workspace, tiles, taps, d.channels);
}

}  // namespace anther::inline v0_1::kernels
