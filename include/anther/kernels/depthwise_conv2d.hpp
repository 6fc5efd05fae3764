// Depth-wise convolution: y[n,i,j,c] = bias[c] + sum over a, b of x[n, s i + a - p, s j + b - p, c]
// weight[a,b,c], s the stride and p the padding (zeros outside the map).
// x (N, H, W, C), y (N, OH, OW, C), weight (kh, kw, C), bias (C).
// Backward keeps x and weight.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "anther/core/parallel_for.hpp"
#include "anther/kernels/vec.hpp"

namespace anther::inline v0_1::kernels {

struct DepthwiseConv2dDims {
  std::int64_t batch = 0, height = 0, width = 0, channels = 0;  // of x
  std::int64_t kernel_height = 1, kernel_width = 1;
  std::int64_t stride_height = 1, stride_width = 1;
  std::int64_t padding_height = 0, padding_width = 0;

  // Calls visit with all members, in their order.
  template <class Visit>
  constexpr decltype(auto) members(const Visit& visit) const {
    return visit(batch, height, width, channels, kernel_height, kernel_width, stride_height,
                 stride_width, padding_height, padding_width);
  }

  std::int64_t out_height() const {
    return (height + 2 * padding_height - kernel_height) / stride_height + 1;
  }
  std::int64_t out_width() const {
    return (width + 2 * padding_width - kernel_width) / stride_width + 1;
  }
};

// What so many rows of y need stays in the first-level cache while the gradient of the weight goes
// through all taps.
inline std::int64_t depthwise_conv2d_weight_rows(const DepthwiseConv2dDims& dims) {
  return std::clamp<std::int64_t>(112 / std::max<std::int64_t>(dims.out_width(), 1), 1, 112);
}

#define ANTHER_BODY "anther/kernels/depthwise_conv2d.inl"
#include "anther/kernels/for_each_isa.inl"
#define ANTHER_BODY "anther/kernels/depthwise_conv2d_weight.inl"
#include "anther/kernels/for_each_isa.inl"

// body(image, first row, last row) over tiles of about 8,000 elements of a map (N, H, W, C); of
// half as many where threads share them, so that each has about the rows that it wrote an op
// before.
template <class Body>
void for_each_row_tile(std::int64_t batch, std::int64_t height, std::int64_t row_size,
                       std::int64_t work, const Body& body) {
  const std::int64_t tile_size = available_threads() > 1 ? 1 << 12 : 1 << 13;
  const std::int64_t tiles = std::clamp<std::int64_t>(
      height * row_size / tile_size, 1, std::max<std::int64_t>(height, 1));  // of an image
  parallel_for(batch * tiles, work, [&](std::int64_t tile) {
    const std::int64_t t = tile % tiles;
    body(tile / tiles, height * t / tiles, height * (t + 1) / tiles);
  });
}

// About the nanoseconds of a pass over the map y with all taps.
inline std::int64_t depthwise_conv2d_work(const DepthwiseConv2dDims& d) {
  return d.batch * d.out_height() * d.out_width() * d.channels *
         (d.kernel_height * d.kernel_width + 4) / 35;
}

// y = y_add + conv(x) + bias, and then finish(first, count) for rows of y (pixels), by the thread
// that has computed them. bias may be null; y_add may be null, y itself, or x where the shapes
// agree (a residual).
template <class T, class Finish>
void depthwise_conv2d_forward(T* y, const T* y_add, const T* x, const T* weight, const T* bias,
                              const DepthwiseConv2dDims& dims, const Finish& finish) {
  const std::int64_t x_size = dims.height * dims.width * dims.channels;
  const std::int64_t y_size = dims.out_height() * dims.out_width() * dims.channels;
  for_each_row_tile(dims.batch, dims.out_height(), dims.out_width() * dims.channels,
                    depthwise_conv2d_work(dims),
                    [&](std::int64_t image, std::int64_t first, std::int64_t last) {
                      ANTHER_SELECT(depthwise_forward<T>)
                      (y + image * y_size, y_add ? y_add + image * y_size : nullptr,
                       x + image * x_size, weight, bias, dims, first, last);
                      finish((image * dims.out_height() + first) * dims.out_width(),
                             (last - first) * dims.out_width());
                    });
}
template <class T>
void depthwise_conv2d_forward(T* y, const T* y_add, const T* x, const T* weight, const T* bias,
                              const DepthwiseConv2dDims& dims) {
  depthwise_conv2d_forward(y, y_add, x, weight, bias, dims, [](std::int64_t, std::int64_t) {});
}

// The parts of `rows` rows, of `size` elements in all, whose sums are added in order: a power of
// two where there are so many rows, so that threads share them out evenly.
inline std::int64_t depthwise_conv2d_tiles(std::int64_t rows, std::int64_t size) {
  std::int64_t tiles = 1;
  while (tiles < 32 && tiles << 14 < size) tiles *= 2;
  return std::clamp<std::int64_t>(tiles, 1, std::max<std::int64_t>(rows, 1));
}

inline std::int64_t depthwise_conv2d_backward_tiles(const DepthwiseConv2dDims& dims) {
  const std::int64_t rows = dims.batch * dims.out_height();
  return depthwise_conv2d_tiles(rows, rows * dims.out_width() * dims.channels);
}

// Elements of the workspace of backward.
inline std::int64_t depthwise_conv2d_backward_workspace(const DepthwiseConv2dDims& dims) {
  return depthwise_conv2d_backward_tiles(dims) * (dims.kernel_height * dims.kernel_width + 1) *
         dims.channels;
}

// dweight and dbias, either of which may be null, += the tiles' parts, in order. parts (tiles, taps
// + 1, channels): dbias's are the last.
template <class T>
void depthwise_conv2d_add_parts(T* dweight, T* dbias, const T* parts, std::int64_t tiles,
                                std::int64_t taps, std::int64_t channels) {
  const std::int64_t stride = (taps + 1) * channels;
  parallel_for(taps + 1, tiles * stride / 8, [&](std::int64_t tap) {
    T* const to = tap == taps ? dbias : dweight ? dweight + tap * channels : nullptr;
    if (to) ANTHER_SELECT(depthwise_add_partials<T>)
    (to, parts + tap * channels, tiles, stride, channels);
  });
}

// The part of a pass that one thread takes where x is computed and not stored: so few parts that
// each has its own window, and that little is computed twice where they meet.
inline std::int64_t depthwise_conv2d_groups(std::int64_t tiles,
                                            std::int64_t threads = available_threads()) {
  return threads == 1 ? 1 : std::min(4 * threads, tiles);
}
// The rows of y of a step down, whose rows of x stay in the second-level cache: a multiple of
// `unit`.
inline std::int64_t depthwise_conv2d_step(const DepthwiseConv2dDims& dims, std::int64_t unit) {
  constexpr std::int64_t window_size = 1 << 16;
  const std::int64_t row = std::max<std::int64_t>(dims.width * dims.channels, 1);
  const std::int64_t step =
      (window_size / row - dims.kernel_height) / std::max<std::int64_t>(dims.stride_height, 1) + 1;
  return std::max<std::int64_t>(step / unit, 1) * unit;
}
// The rows of x that `step` rows of y read, at most; and the elements of a window of so many.
inline std::int64_t depthwise_conv2d_window_rows(const DepthwiseConv2dDims& dims,
                                                 std::int64_t step) {
  const std::int64_t most = std::min(step, dims.out_height());
  return std::min(dims.height, (most - 1) * dims.stride_height + dims.kernel_height);
}
inline std::int64_t depthwise_conv2d_window_size(const DepthwiseConv2dDims& dims,
                                                 std::int64_t step) {
  return (depthwise_conv2d_window_rows(dims, step) * dims.width * dims.channels + 15) / 16 * 16;
}

// An x that is computed just before it is read: rows_of(to, first, count) computes pixels of it.
// The window moves down through an image, and what it still needs moves up in it.
template <class T, class RowsOf>
class DepthwiseWindow {
 public:
  DepthwiseWindow(T* room, const RowsOf& rows_of, const DepthwiseConv2dDims& dims)
      : room_(room), rows_of_(rows_of), dims_(dims) {}

  // Where the image would begin if it were stored. The rows of it that the rows first to last - 1
  // of y read are there.
  const T* rows(std::int64_t image, std::int64_t first, std::int64_t last) {
    const DepthwiseConv2dDims& d = dims_;
    const std::int64_t row_size = d.width * d.channels;
    const std::int64_t top =
        std::clamp<std::int64_t>(first * d.stride_height - d.padding_height, 0, d.height);
    const std::int64_t bottom = std::clamp<std::int64_t>(
        (last - 1) * d.stride_height - d.padding_height + d.kernel_height, top, d.height);
    if (image != image_ || top < top_ || top > bottom_) bottom_ = top;
    if (bottom_ > top && top > top_)
      std::copy(room_ + (top - top_) * row_size, room_ + (bottom_ - top_) * row_size, room_);
    if (bottom > bottom_)
      rows_of_(room_ + (bottom_ - top) * row_size, (image * d.height + bottom_) * d.width,
               (bottom - bottom_) * d.width);
    image_ = image;
    top_ = top;
    bottom_ = std::max(bottom, bottom_);
    return room_ - top * row_size;
  }

 private:
  T* const room_;
  const RowsOf& rows_of_;
  const DepthwiseConv2dDims& dims_;
  std::int64_t image_ = -1, top_ = 0, bottom_ = 0;  // the rows that are there
};

// body(image, first, last) for the rows begin to end - 1 of all images, `step` at a time.
template <class Body>
void depthwise_conv2d_steps(std::int64_t height, std::int64_t begin, std::int64_t end,
                            std::int64_t step, const Body& body) {
  for (std::int64_t row = begin; row < end;) {
    const std::int64_t image = row / height, first = row - image * height;
    const std::int64_t last = std::min({first + step, end - image * height, height});
    body(image, first, last);
    row = image * height + last;
  }
}

// Elements of the workspace of depthwise_conv2d_forward_of_rows.
inline std::int64_t depthwise_conv2d_rows_workspace(const DepthwiseConv2dDims& dims,
                                                    std::int64_t threads) {
  return depthwise_conv2d_groups(dims.batch * dims.out_height(), threads) *
         depthwise_conv2d_window_size(dims, depthwise_conv2d_step(dims, 1));
}

// depthwise_conv2d_forward of an x that is not stored: rows_of(to, first, count) computes pixels
// of it, by the calling thread alone.
template <class T, class RowsOf, class Finish>
void depthwise_conv2d_forward_of_rows(T* y, const T* y_add, const RowsOf& rows_of, const T* weight,
                                      const T* bias, T* workspace, const DepthwiseConv2dDims& dims,
                                      const Finish& finish) {
  const std::int64_t height = dims.out_height(), rows = dims.batch * height;
  const std::int64_t y_size = height * dims.out_width() * dims.channels;
  const std::int64_t step = depthwise_conv2d_step(dims, 1);
  const std::int64_t groups = depthwise_conv2d_groups(rows);
  parallel_for(groups, depthwise_conv2d_work(dims), [&](std::int64_t group) {
    DepthwiseWindow<T, RowsOf> window(workspace + group * depthwise_conv2d_window_size(dims, step),
                                      rows_of, dims);
    depthwise_conv2d_steps(height, rows * group / groups, rows * (group + 1) / groups, step,
                           [&](std::int64_t image, std::int64_t first, std::int64_t last) {
                             ANTHER_SELECT(depthwise_forward<T>)
                             (y + image * y_size, y_add ? y_add + image * y_size : nullptr,
                              window.rows(image, first, last), weight, bias, dims, first, last);
                             finish((image * height + first) * dims.out_width(),
                                    (last - first) * dims.out_width());
                           });
  });
}

// dx = dx_add + the transposed convolution of dy, and dweight and dbias are added to. All three may
// be null, as may dx_add, which may also be dx, or dy where the shapes agree. A thread goes through
// its rows of dy twice, for the weight and for dx, while they are in its cache.
template <class T>
void depthwise_conv2d_backward(T* dx, const T* dx_add, T* dweight, T* dbias, const T* dy,
                               const T* x, const T* weight, T* workspace,
                               const DepthwiseConv2dDims& dims) {
  const bool of_weight = dweight || dbias;
  if (!dx && !of_weight) return;
  const std::int64_t channels = dims.channels, height = dims.out_height();
  const std::int64_t taps = dims.kernel_height * dims.kernel_width;
  const std::int64_t x_size = dims.height * dims.width * channels;
  const std::int64_t y_size = height * dims.out_width() * channels;
  const std::int64_t tiles = depthwise_conv2d_backward_tiles(dims), rows = dims.batch * height;
  const std::int64_t partial_size = (taps + 1) * channels;
  parallel_for(tiles, 2 * depthwise_conv2d_work(dims), [&](std::int64_t tile) {
    T* const partial = workspace + tile * partial_size;
    if (of_weight) std::fill_n(partial, partial_size, T(0));
    depthwise_conv2d_steps(height, rows * tile / tiles, rows * (tile + 1) / tiles, height,
                           [&](std::int64_t image, std::int64_t first, std::int64_t last) {
                             const T* const dy_here = dy + image * y_size;
                             if (of_weight) ANTHER_SELECT(depthwise_backward_weight<T>)
                             (partial, partial + taps * channels, dy_here, x + image * x_size, dims,
                              first, last);
                             if (dx) ANTHER_SELECT(depthwise_backward_input<T>)
                             (dx + image * x_size, dx_add ? dx_add + image * x_size : nullptr,
                              dy_here, weight, static_cast<const T*>(nullptr), dims,
                              first * dims.height / height, last * dims.height / height);
                           });
  });
  if (!of_weight) return;
  depthwise_conv2d_add_parts(dweight, dbias, workspace, tiles, taps, channels);
}

// The rows of dy of a step of depthwise_conv2d_backward_of_rows: whole blocks of the gradient of
// the weight, so that the sums are those of depthwise_conv2d_backward.
inline std::int64_t depthwise_conv2d_backward_step(const DepthwiseConv2dDims& dims) {
  return depthwise_conv2d_step(dims, depthwise_conv2d_weight_rows(dims));
}
// Elements of dx that `step` rows of dy lead to, at most.
inline std::int64_t depthwise_conv2d_dx_size(const DepthwiseConv2dDims& dims, std::int64_t step) {
  const std::int64_t rows = (step * dims.height + dims.out_height() - 1) / dims.out_height() + 1;
  return (std::min(rows, dims.height) * dims.width * dims.channels + 15) / 16 * 16;
}
// Elements of its workspace.
inline std::int64_t depthwise_conv2d_backward_of_rows_workspace(const DepthwiseConv2dDims& dims) {
  const std::int64_t step = depthwise_conv2d_backward_step(dims);
  return (depthwise_conv2d_backward_workspace(dims) + 15) / 16 * 16 +
         depthwise_conv2d_groups(depthwise_conv2d_backward_tiles(dims)) *
             (depthwise_conv2d_window_size(dims, step) + depthwise_conv2d_dx_size(dims, step));
}

// depthwise_conv2d_backward of an x that is not stored. rows_of(to, first, count) computes pixels
// of it. backward_of(dx, first, count) takes pixels of dx, and may be nullptr: then dx and dx_add
// are as there. Both are called by several threads at once.
template <class T, class RowsOf, class BackwardOf>
void depthwise_conv2d_backward_of_rows(T* dx, const T* dx_add, const BackwardOf& backward_of,
                                       T* dweight, T* dbias, const T* dy, const RowsOf& rows_of,
                                       const T* weight, T* workspace,
                                       const DepthwiseConv2dDims& dims) {
  constexpr bool through = !std::is_same_v<BackwardOf, std::nullptr_t>;
  const bool of_weight = dweight || dbias;
  if (!dx && !through && !of_weight) return;
  const std::int64_t channels = dims.channels, height = dims.out_height();
  const std::int64_t taps = dims.kernel_height * dims.kernel_width;
  const std::int64_t row_size = dims.width * channels, x_size = dims.height * row_size;
  const std::int64_t y_size = height * dims.out_width() * channels;
  const std::int64_t tiles = depthwise_conv2d_backward_tiles(dims), rows = dims.batch * height;
  const std::int64_t partial_size = (taps + 1) * channels;
  const std::int64_t step = depthwise_conv2d_backward_step(dims);
  const std::int64_t window_size = depthwise_conv2d_window_size(dims, step);
  const std::int64_t room_size = window_size + depthwise_conv2d_dx_size(dims, step);
  const std::int64_t groups = depthwise_conv2d_groups(tiles);
  T* const rooms = workspace + (depthwise_conv2d_backward_workspace(dims) + 15) / 16 * 16;
  parallel_for(groups, 2 * depthwise_conv2d_work(dims), [&](std::int64_t group) {
    T* const room = rooms + group * room_size;
    DepthwiseWindow<T, RowsOf> window(room, rows_of, dims);
    for (std::int64_t tile = tiles * group / groups; tile < tiles * (group + 1) / groups; ++tile) {
      T* const partial = workspace + tile * partial_size;
      if (of_weight) std::fill_n(partial, partial_size, T(0));
      depthwise_conv2d_steps(
          height, rows * tile / tiles, rows * (tile + 1) / tiles, step,
          [&](std::int64_t image, std::int64_t first, std::int64_t last) {
            const T* const dy_here = dy + image * y_size;
            if (of_weight) ANTHER_SELECT(depthwise_backward_weight<T>)
            (partial, partial + taps * channels, dy_here, window.rows(image, first, last), dims,
             first, last);
            const std::int64_t top = first * dims.height / height;
            const std::int64_t bottom = last * dims.height / height;
            T* const to = through ? room + window_size - top * row_size : dx + image * x_size;
            if (through || dx) ANTHER_SELECT(depthwise_backward_input<T>)
            (to, !through && dx_add ? dx_add + image * x_size : nullptr, dy_here, weight,
             static_cast<const T*>(nullptr), dims, top, bottom);
            if constexpr (through)
              backward_of(room + window_size, (image * dims.height + top) * dims.width,
                          (bottom - top) * dims.width);
          });
    }
  });
  if (!of_weight) return;
  depthwise_conv2d_add_parts(dweight, dbias, workspace, tiles, taps, channels);
}

}  // namespace anther::inline v0_1::kernels
