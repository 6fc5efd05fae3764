// Pooling of windows: the largest value of each, or the average.
// x (N, H, W, C), y (N, H', W', C). A window of a map is `kernel` pixels in each direction, which
// are `dilation` apart; it begins at i stride - padding. Adaptive ones go from floor(i H / H') to
// ceil((i + 1) H / H'). The gradient of a maximum goes to the first pixel that has it, or where
// there are NaNs to the last of them, as PyTorch's does. Backward keeps x for the maximum.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "anther/core/parallel_for.hpp"
#include "anther/kernels/vec.hpp"

namespace anther::inline v0_1::kernels {

// The pixels first, first + step, ... below last of a map, in one direction.
struct PoolRange {
  std::int64_t first, last, step;

  std::int64_t count() const { return first < last ? (last - first + step - 1) / step : 0; }
};

// The part of a window that is inside a map of `size`.
constexpr PoolRange pool_range(std::int64_t start, std::int64_t kernel, std::int64_t dilation,
                               std::int64_t size) {
  const std::int64_t before = start < 0 ? (-start + dilation - 1) / dilation : 0;
  const std::int64_t end = start + (kernel - 1) * dilation + 1;
  return {start + before * dilation, end < size ? end : size, dilation};
}

struct MaxPool2dDims {
  std::int64_t batch, height, width, channels, out_height, out_width;
  std::int64_t kernel_height, kernel_width, stride_height, stride_width;
  std::int64_t padding_height, padding_width, dilation_height, dilation_width;

  // Calls visit with all members, in their order.
  template <class Visit>
  constexpr decltype(auto) members(const Visit& visit) const {
    return visit(batch, height, width, channels, out_height, out_width, kernel_height, kernel_width,
                 stride_height, stride_width, padding_height, padding_width, dilation_height,
                 dilation_width);
  }

  PoolRange rows(std::int64_t i) const {
    return pool_range(i * stride_height - padding_height, kernel_height, dilation_height, height);
  }
  PoolRange columns(std::int64_t j) const {
    return pool_range(j * stride_width - padding_width, kernel_width, dilation_width, width);
  }
};

struct AvgPool2dDims {
  std::int64_t batch, height, width, channels, out_height, out_width;
  // Not read where the pool is adaptive.
  std::int64_t kernel_height, kernel_width, stride_height, stride_width;
  std::int64_t padding_height, padding_width;
  std::int64_t count_include_pad;  // 1: a sum is divided by the padding's pixels too
  std::int64_t adaptive;           // 1: windows follow from the two sizes

  // Calls visit with all members, in their order.
  template <class Visit>
  constexpr decltype(auto) members(const Visit& visit) const {
    return visit(batch, height, width, channels, out_height, out_width, kernel_height, kernel_width,
                 stride_height, stride_width, padding_height, padding_width, count_include_pad,
                 adaptive);
  }

  PoolRange rows(std::int64_t i) const {
    if (adaptive != 0) return {i * height / out_height, last_of(i, height, out_height), 1};
    return pool_range(i * stride_height - padding_height, kernel_height, 1, height);
  }
  PoolRange columns(std::int64_t j) const {
    if (adaptive != 0) return {j * width / out_width, last_of(j, width, out_width), 1};
    return pool_range(j * stride_width - padding_width, kernel_width, 1, width);
  }
  // What the sum of window (i, j) is divided by.
  std::int64_t divisor(std::int64_t i, std::int64_t j) const {
    if (adaptive != 0 || count_include_pad == 0) return rows(i).count() * columns(j).count();
    return padded_count(i * stride_height - padding_height, kernel_height,
                        height + padding_height) *
           padded_count(j * stride_width - padding_width, kernel_width, width + padding_width);
  }

 private:
  static std::int64_t last_of(std::int64_t i, std::int64_t size, std::int64_t out) {
    return ((i + 1) * size + out - 1) / out;
  }
  static std::int64_t padded_count(std::int64_t start, std::int64_t kernel, std::int64_t end) {
    return std::min(start + kernel, end) - start;
  }
};

#define ANTHER_BODY "anther/kernels/pool2d.inl"
#include "anther/kernels/for_each_isa.inl"

// Channels of one tile: no window mixes channels.
inline constexpr std::int64_t pool_channels = 64;

// Calls body(image, first channel, how many) in parallel.
template <class Dims, class Body>
void for_pool_tiles(const Dims& d, std::int64_t work, const Body& body) {
  const std::int64_t parts = (d.channels + pool_channels - 1) / pool_channels;
  parallel_for(d.batch * parts, work, [&](std::int64_t tile) {
    const std::int64_t first = tile % parts * pool_channels;
    body(tile / parts, first, std::min(pool_channels, d.channels - first));
  });
}

// Calls body(y_line, x_image, i) for every line of the result, in parallel.
template <class T, class Dims, class Body>
void for_pool_lines(T* y, const T* x, const Dims& d, const Body& body) {
  const std::int64_t line = d.out_width * d.channels, lines = d.batch * d.out_height;
  parallel_for(lines, lines * line, [&](std::int64_t tile) {
    body(y + tile * line, x + tile / d.out_height * d.height * d.width * d.channels,
         tile % d.out_height);
  });
}

template <class T>
void max_pool2d_forward(T* y, const T* x, const MaxPool2dDims& d) {
  for_pool_lines(y, x, d, [&](T* line, const T* image, std::int64_t i) {
    ANTHER_SELECT(max_pool2d_forward_line<T>)(line, image, d, i);
  });
}

// dx = dx_add + ...; dx_add may be null or dx.
template <class T>
void max_pool2d_backward(T* dx, const T* dx_add, const T* dy, const T* x, const MaxPool2dDims& d) {
  const std::int64_t size = d.height * d.width * d.channels;
  const std::int64_t out_size = d.out_height * d.out_width * d.channels;
  for_pool_tiles(
      d, d.batch * (size + out_size * 4), [&](std::int64_t n, std::int64_t c, std::int64_t count) {
        const std::int64_t at = n * size + c;
        ANTHER_SELECT(max_pool2d_backward_image<T>)
        (dx + at, dx_add ? dx_add + at : nullptr, dy + n * out_size + c, x + at, d, count);
      });
}

template <class T>
void avg_pool2d_forward(T* y, const T* x, const AvgPool2dDims& d) {
  for_pool_lines(y, x, d, [&](T* line, const T* image, std::int64_t i) {
    ANTHER_SELECT(avg_pool2d_forward_line<T>)(line, image, d, i);
  });
}

// dx = dx_add + ...; dx_add may be null or dx.
template <class T>
void avg_pool2d_backward(T* dx, const T* dx_add, const T* dy, const AvgPool2dDims& d) {
  const std::int64_t size = d.height * d.width * d.channels;
  const std::int64_t out_size = d.out_height * d.out_width * d.channels;
  for_pool_tiles(d, d.batch * (size + out_size * 2),
                 [&](std::int64_t n, std::int64_t c, std::int64_t count) {
                   const std::int64_t at = n * size + c;
                   ANTHER_SELECT(avg_pool2d_backward_image<T>)
                   (dx + at, dx_add ? dx_add + at : nullptr, dy + n * out_size + c, d, count);
                 });
}

}  // namespace anther::inline v0_1::kernels
