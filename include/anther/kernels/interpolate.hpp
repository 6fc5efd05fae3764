// Maps of another size: the nearest pixel, or between the nearest four (bilinear).
// x (N, H, W, C), y (N, H', W', C). Row i of y is at row s i (nearest) or s (i + 1/2) - 1/2 of x,
// s = H / H' or what is given; with align_corners at s i, s = (H - 1) / (H' - 1). So PyTorch has
// it. Backward keeps nothing.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "anther/core/parallel_for.hpp"
#include "anther/kernels/pool2d.hpp"
#include "anther/kernels/vec.hpp"

namespace anther::inline v0_1::kernels {

struct InterpolateDims {
  std::int64_t batch, height, width, channels, out_height, out_width;
  std::int64_t bilinear;       // 0: nearest
  std::int64_t align_corners;  // of bilinear
  double scale_height = 0;     // rows of x for a row of y; 0: they follow from the sizes
  double scale_width = 0;

  // Calls visit with all members, in their order.
  template <class Visit>
  constexpr decltype(auto) members(const Visit& visit) const {
    return visit(batch, height, width, channels, out_height, out_width, bilinear, align_corners,
                 scale_height, scale_width);
  }
};

// Where a row or column of y is in x: at `low`, and as far as `weight` towards `high`.
template <class T>
struct Interpolated {
  std::int64_t low, high;
  T weight;
};

// Place i of `out` in a direction in which x has `size` places.
template <class T>
Interpolated<T> interpolated(std::int64_t i, std::int64_t size, std::int64_t out, double scale,
                             const InterpolateDims& d) {
  if (size == out) return {i, i, T(0)};  // whatever the scale, here and below: PyTorch's way
  if (d.bilinear == 0 && out == 2 * size) return {i / 2, i / 2, T(0)};
  if (d.bilinear == 0) {  // in float for double's maps too
    const float step =
        scale > 0 ? static_cast<float>(scale) : static_cast<float>(size) / static_cast<float>(out);
    const auto at = static_cast<std::int64_t>(std::floor(static_cast<float>(i) * step));
    return {std::min(at, size - 1), std::min(at, size - 1), T(0)};
  }
  T at;
  if (d.align_corners != 0)
    at = out > 1 ? static_cast<T>(size - 1) / static_cast<T>(out - 1) * static_cast<T>(i) : T(0);
  else
    at = (scale > 0 ? static_cast<T>(scale) : static_cast<T>(size) / static_cast<T>(out)) *
             (static_cast<T>(i) + T(0.5)) -
         T(0.5);
  at = std::max(at, T(0));
  const std::int64_t low = std::min(static_cast<std::int64_t>(at), size - 1);
  return {low, std::min(low + 1, size - 1), std::clamp(at - static_cast<T>(low), T(0), T(1))};
}
template <class T>
Interpolated<T> interpolated_row(std::int64_t i, const InterpolateDims& d) {
  return interpolated<T>(i, d.height, d.out_height, d.scale_height, d);
}

// Columns of y whose places are computed together.
inline constexpr std::int64_t interpolate_columns = 64;

// Columns j to j + count - 1 of a row of y.
template <class T>
struct InterpolateRun {
  Interpolated<T> row;
  Interpolated<T> column[interpolate_columns];
  std::int64_t count;
};

#define ANTHER_BODY "anther/kernels/interpolate.inl"
#include "anther/kernels/for_each_isa.inl"

// Calls body(first column, run) for row i of y.
template <class T, class Body>
void for_interpolate_runs(std::int64_t i, const InterpolateDims& d, const Body& body) {
  InterpolateRun<T> run;
  run.row = interpolated_row<T>(i, d);
  for (std::int64_t j = 0; j < d.out_width; j += interpolate_columns) {
    run.count = std::min(interpolate_columns, d.out_width - j);
    for (std::int64_t k = 0; k < run.count; ++k)
      run.column[k] = interpolated<T>(j + k, d.width, d.out_width, d.scale_width, d);
    body(j, run);
  }
}

template <class T>
void interpolate_forward(T* y, const T* x, const InterpolateDims& d) {
  for_pool_lines(y, x, d, [&](T* line, const T* image, std::int64_t i) {
    for_interpolate_runs<T>(i, d, [&](std::int64_t j, const InterpolateRun<T>& run) {
      ANTHER_SELECT(interpolate_forward_run<T>)(line + j * d.channels, image, d, run);
    });
  });
}

// dx = dx_add + ...; dx_add may be null or dx.
template <class T>
void interpolate_backward(T* dx, const T* dx_add, const T* dy, const InterpolateDims& d) {
  const std::int64_t size = d.height * d.width * d.channels;
  const std::int64_t line = d.out_width * d.channels;
  for_pool_tiles(
      d, d.batch * (size + d.out_height * line),
      [&](std::int64_t n, std::int64_t c, std::int64_t count) {
        T* const to = dx + n * size + c;
        const T* const add = dx_add ? dx_add + n * size + c : nullptr;
        std::int64_t started = 0;  // rows of dx that hold dx_add
        const auto start = [&](std::int64_t end) {
          if (end > started)
            ANTHER_SELECT(interpolate_start_rows<T>)(to, add, d, started, end, count);
          started = std::max(started, end);
        };
        for (std::int64_t i = 0; i < d.out_height; ++i)
          for_interpolate_runs<T>(i, d, [&](std::int64_t j, const InterpolateRun<T>& run) {
            start(run.row.high + 1);
            ANTHER_SELECT(interpolate_backward_run<T>)
            (to, dy + (n * d.out_height + i) * line + j * d.channels + c, d, run, count);
          });
        start(d.height);
      });
}

}  // namespace anther::inline v0_1::kernels
