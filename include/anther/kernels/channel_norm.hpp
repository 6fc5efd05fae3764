// What GroupNorm, InstanceNorm and BatchNorm share: x is cut into segments of rows (a sample, or
// the whole batch), and normalised over a segment's rows and a group's channels:
//   y = (x - mean) rstd weight + bias,   rstd = 1 / sqrt(variance + eps)
// x, y, dy, dx (segments, rows, channels); mean, rstd (segments, groups); weight, bias (channels).
// Backward needs x, mean and rstd.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>

#include "anther/core/parallel_for.hpp"
#include "anther/kernels/stream.hpp"
#include "anther/kernels/vec.hpp"

namespace anther::inline v0_1::kernels {

#define ANTHER_BODY "anther/kernels/channel_norm.inl"
#include "anther/kernels/for_each_isa.inl"

// The variance is taken over rows * channels / groups values, so rows is at least 1.
struct ChannelNormDims {
  std::int64_t segments = 0;
  std::int64_t rows = 0;  // of one segment
  std::int64_t channels = 0;
  std::int64_t groups = 0;  // divides channels

  // Calls visit with all members, in their order.
  template <class Visit>
  constexpr decltype(auto) members(const Visit& visit) const {
    return visit(segments, rows, channels, groups);
  }
};

// How a segment is worked on: in tiles of rows, whose sums are combined in order.
struct ChannelNormTiles {
  std::int64_t folded = 0;     // elements of a folded row
  std::int64_t stride = 0;     // room for a folded row and a vector
  std::int64_t tile_rows = 0;  // of the last tile, at most
  std::int64_t tiles = 0;      // of one segment
};

// 36 channels do not fill vectors, four times 36 do: rows are folded, as many into one as make
// whole vectors of 16 elements, and at least 8 of those, so that sums of neighbouring vectors
// overlap. Channels that would need a row of more than 1024 elements keep a tail instead.
inline ChannelNormTiles channel_norm_tiles(const ChannelNormDims& dims) {
  constexpr std::int64_t unit = 16, least_folded = 128, most_folded = 1024, tile_elements = 1 << 15;
  std::int64_t fold = unit / std::gcd(dims.channels, unit);
  if (fold * dims.channels > most_folded) fold = 1;
  while (fold * dims.channels < least_folded) fold *= 2;
  ChannelNormTiles plan;
  plan.folded = fold * dims.channels;
  plan.stride = (plan.folded + 2 * unit - 1) / unit * unit;
  const std::int64_t step = 4 * fold;  // the rows that are summed at once
  const std::int64_t most_rows =
      std::max(tile_elements / dims.channels / step, std::int64_t{1}) * step;
  const std::int64_t rows = std::max(dims.rows, std::int64_t{1});
  plan.tiles = (rows + most_rows - 1) / most_rows;
  plan.tile_rows = (rows + plan.tiles * step - 1) / (plan.tiles * step) * step;
  plan.tiles = (rows + plan.tile_rows - 1) / plan.tile_rows;
  return plan;
}

// Elements of workspace for forward or backward: three arrays a tile and five a segment.
inline std::int64_t channel_norm_workspace(const ChannelNormDims& dims) {
  const ChannelNormTiles plan = channel_norm_tiles(dims);
  return dims.segments * (3 * plan.tiles + 5) * plan.stride;
}

// One pass over the tiles, then finish(segment), then another pass. A thread takes whole segments
// where they can be shared out evenly, so that a segment is in its cache for the second pass. (That
// goes forwards like the first: backwards it would begin with what was read last, but it would read
// no further ahead than the end of a tile.) The bits are the same either way.
template <class First, class Finish, class Second>
void channel_norm_passes(const ChannelNormDims& dims, std::int64_t tiles, std::int64_t work,
                         const First& first, const Finish& finish, const Second& second) {
  const std::int64_t threads = available_threads();
  if (tiles == 1 || dims.segments % threads == 0 || dims.segments >= 4 * threads) {
    parallel_for(dims.segments, work, [&](std::int64_t segment) {
      for (std::int64_t tile = 0; tile < tiles; ++tile) first(segment, tile);
      finish(segment);
      for (std::int64_t tile = 0; tile < tiles; ++tile) second(segment, tile);
    });
  } else {
    parallel_for(dims.segments * tiles, work / 2,
                 [&](std::int64_t i) { first(i / tiles, i % tiles); });
    for (std::int64_t segment = 0; segment < dims.segments; ++segment) finish(segment);
    parallel_for(dims.segments * tiles, work / 2,
                 [&](std::int64_t i) { second(i / tiles, i % tiles); });
  }
}

// How far on the second pass fetches what is read next: what stands in the same place of the next
// segment, where there is one.
inline std::int64_t channel_norm_next(const ChannelNormDims& dims, std::int64_t segment) {
  return segment + 1 < dims.segments ? dims.rows * dims.channels : stream_ahead;
}

// Elements of `affine`: of each segment, y = x scale + shift as folded rows.
inline std::int64_t channel_norm_affine_size(const ChannelNormDims& dims) {
  return dims.segments * 2 * channel_norm_tiles(dims).stride;
}

// variance (segments, groups), the mean squared distance from the mean, may be null, as may weight
// and bias. y may be x, or null where channel_norm_rows follows; affine may be null where it does
// not.
template <class T>
void channel_norm_forward(T* y, T* affine, T* mean, T* rstd, T* variance, const T* x,
                          const T* weight, const T* bias, T eps, T* workspace,
                          const ChannelNormDims& dims) {
  if (dims.segments * dims.rows * dims.channels == 0) return;
  const ChannelNormTiles plan = channel_norm_tiles(dims);
  const std::int64_t channels = dims.channels, groups = dims.groups, stride = plan.stride;
  const bool streamed =
      plan.folded % 16 == 0 && is_streamed<T>(dims.segments * dims.rows * channels);
  const auto arrays = [&](std::int64_t segment, std::int64_t tile) {
    return workspace + (segment * (3 * plan.tiles + 5) + 3 * tile) * stride;
  };
  const auto first_element = [&](std::int64_t segment, std::int64_t tile) {
    return (segment * dims.rows + tile * plan.tile_rows) * channels;
  };
  const auto rows_of = [&](std::int64_t tile) {
    return std::min(plan.tile_rows, dims.rows - tile * plan.tile_rows);
  };
  channel_norm_passes(
      dims, plan.tiles, dims.segments * dims.rows * channels / 4,
      [&](std::int64_t segment, std::int64_t tile) {
        T* const to = arrays(segment, tile);
        ANTHER_SELECT(channel_norm_moments<T>)
        (to, to + stride, to + 2 * stride, x + first_element(segment, tile), rows_of(tile),
         channels, plan.folded);
      },
      [&](std::int64_t segment) {
        T* const scale = arrays(segment, plan.tiles);
        ANTHER_SELECT(channel_norm_forward_segment<T>)
        (scale, scale + stride, mean + segment * groups, rstd + segment * groups,
         variance ? variance + segment * groups : nullptr, arrays(segment, 0), weight, bias, eps,
         plan.tiles, plan.tile_rows, dims.rows, channels, groups, plan.folded, stride);
        if (affine) std::copy_n(scale, 2 * stride, affine + segment * 2 * stride);
      },
      [&](std::int64_t segment, std::int64_t tile) {
        if (!y) return;
        const T* const scale = arrays(segment, plan.tiles);
        const std::int64_t at = first_element(segment, tile);
        ANTHER_SELECT(channel_norm_affine<T>)
        (y + at, x + at, scale, scale + stride, plan.folded, rows_of(tile) * channels,
         streamed && is_at_line(y + at), channel_norm_next(dims, segment));
      });
}

// Rows first, ..., first + count - 1 of y, counted over all segments, to y. x is all of x.
template <class T>
void channel_norm_rows(T* y, const T* x, const T* affine, std::int64_t first, std::int64_t count,
                       const ChannelNormDims& dims) {
  const ChannelNormTiles plan = channel_norm_tiles(dims);
  while (count > 0) {
    const std::int64_t segment = first / dims.rows;
    const std::int64_t here = std::min(count, (segment + 1) * dims.rows - first);
    const T* const scale = affine + segment * 2 * plan.stride;
    ANTHER_SELECT(channel_norm_affine<T>)
    (y, x + first * dims.channels, scale, scale + plan.stride, plan.folded, here * dims.channels,
     false, 0);
    y += here * dims.channels;
    first += here;
    count -= here;
  }
}

// dx = dx_add + the gradient; dweight and dbias are added to; each may be null, as may dx_add and
// weight. With `frozen`, mean and rstd are constants that do not depend on x. dx may be dy.
template <class T>
void channel_norm_backward(T* dx, const T* dx_add, T* dweight, T* dbias, const T* dy, const T* x,
                           const T* mean, const T* rstd, const T* weight, bool frozen, T* workspace,
                           const ChannelNormDims& dims) {
  if (dims.segments * dims.rows * dims.channels == 0) return;
  const ChannelNormTiles plan = channel_norm_tiles(dims);
  const std::int64_t channels = dims.channels, groups = dims.groups, stride = plan.stride;
  const std::int64_t segment_stride = (3 * plan.tiles + 5) * stride;
  const bool streamed =
      plan.folded % 16 == 0 && is_streamed<T>(dims.segments * dims.rows * channels);
  const auto arrays = [&](std::int64_t segment, std::int64_t tile) {
    return workspace + segment * segment_stride + 3 * tile * stride;
  };
  const auto first_element = [&](std::int64_t segment, std::int64_t tile) {
    return (segment * dims.rows + tile * plan.tile_rows) * channels;
  };
  const auto rows_of = [&](std::int64_t tile) {
    return std::min(plan.tile_rows, dims.rows - tile * plan.tile_rows);
  };
  channel_norm_passes(
      dims, plan.tiles, dims.segments * dims.rows * channels / 2,
      [&](std::int64_t segment, std::int64_t tile) {
        T* const to = arrays(segment, tile);
        const std::int64_t at = first_element(segment, tile);
        ANTHER_SELECT(channel_norm_gradient_sums<T>)
        (to, to + stride, to + 2 * stride, dy + at, x + at, mean + segment * groups, rows_of(tile),
         channels, groups, plan.folded);
      },
      [&](std::int64_t segment) {
        T* const to = arrays(segment, plan.tiles);
        ANTHER_SELECT(channel_norm_backward_segment<T>)
        (to, to + stride, to + 2 * stride, to + 3 * stride, to + 4 * stride, arrays(segment, 0),
         rstd + segment * groups, weight, frozen, plan.tiles, dims.rows, channels, groups,
         plan.folded, stride);
      },
      [&](std::int64_t segment, std::int64_t tile) {
        if (!dx) return;
        const T* const factor = arrays(segment, plan.tiles) + 2 * stride;
        const std::int64_t at = first_element(segment, tile);
        const T* const add = dx_add ? dx_add + at : nullptr;
        // Constant statistics leave out the term of x; dy in its place is in the cache already.
        const T* const input = frozen ? dy + at : x + at;
        ANTHER_SELECT(channel_norm_dx<T>)
        (dx + at, add, dy + at, input, factor, factor + stride, factor + 2 * stride, plan.folded,
         rows_of(tile) * channels, streamed && is_at_line(dx + at),
         channel_norm_next(dims, segment));
      });
  const T* const parts = arrays(0, plan.tiles);
  if (dweight) {
    ANTHER_SELECT(channel_norm_add_parts<T>)
    (dweight, parts, dims.segments, channels, segment_stride);
  }
  if (dbias) {
    ANTHER_SELECT(channel_norm_add_parts<T>)
    (dbias, parts + stride, dims.segments, channels, segment_stride);
  }
}

}  // namespace anther::inline v0_1::kernels
