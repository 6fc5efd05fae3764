// What GroupNorm, InstanceNorm and BatchNorm share: x is cut into segments of rows (a sample, or
// the whole batch), and normalised over a segment's rows and a group's channels:
//   y = (x - mean) rstd weight + bias,   rstd = 1 / sqrt(variance + eps)
// x, y, dy, dx (segments, rows, channels); mean, rstd (segments, groups); weight, bias (channels).
// Backward needs x, mean and rstd.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <type_traits>

#include "anther/core/parallel_for.hpp"
#include "anther/kernels/bf16.hpp"
#include "anther/kernels/bf16_map.hpp"
#include "anther/kernels/gemm_dims.hpp"
#include "anther/kernels/stream.hpp"
#include "anther/kernels/vec.hpp"

namespace anther::inline v0_1::kernels {

// The variance is taken over rows * channels / groups values, so rows is at least 1.
struct ChannelNormDims {
  std::int64_t segments = 0;
  std::int64_t rows = 0;  // of one segment
  std::int64_t channels = 0;
  std::int64_t groups = 0;  // divides channels
  double eps = 1e-5;

  // Calls visit with all members, in their order.
  template <class Visit>
  constexpr decltype(auto) members(const Visit& visit) const {
    return visit(segments, rows, channels, groups, eps);
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
  const std::int64_t channels = std::max(dims.channels, std::int64_t{1});
  std::int64_t fold = unit / std::gcd(channels, unit);
  if (fold * channels > most_folded) fold = 1;
  while (fold * channels < least_folded) fold *= 2;
  ChannelNormTiles plan;
  plan.folded = fold * channels;
  plan.stride = (plan.folded + 2 * unit - 1) / unit * unit;
  const std::int64_t step = 4 * fold;  // the rows that are summed at once
  const std::int64_t most_rows = std::max(tile_elements / channels / step, std::int64_t{1}) * step;
  const std::int64_t rows = std::max(dims.rows, std::int64_t{1});
  plan.tiles = (rows + most_rows - 1) / most_rows;
  plan.tile_rows = (rows + plan.tiles * step - 1) / (plan.tiles * step) * step;
  plan.tiles = (rows + plan.tile_rows - 1) / plan.tile_rows;
  return plan;
}

// Where a segment's statistics go: scale and shift (folded rows), of y = x scale + shift; mean,
// rstd and, if it is not null, variance (groups).
template <class T>
struct ChannelNormStatistics {
  T *affine, *mean, *rstd, *variance;
};

// What y = x scale + shift is made of, all of each channel; weight and bias may be null.
template <class T>
struct ChannelNormScale {
  const T *mean, *variance, *weight, *bias;
  T eps;
};

// What backward writes and reads. x, and dx if x is, may be maps in bfloat16.
template <class T>
struct ChannelNormBackward {
  T* dx;
  const T* add;
  T *dweight, *dbias;
  const T *dy, *x, *mean, *rstd, *weight;
  std::int64_t x_bf16 = 0, dx_bf16 = 0;
};

// What a tile's dx is made of: dx = add + dy factor + x slope + offset, the last three folded rows.
// Source: std::uint16_t for an x in bfloat16.
template <class T, class Source = T>
struct ChannelNormDx {
  T* dx;
  const T *add, *dy;
  const Source* x;
  const T *factor, *slope, *offset;
};

#define ANTHER_BODY "anther/kernels/channel_norm.inl"
#include "anther/kernels/for_each_isa.inl"
#define ANTHER_BODY "anther/kernels/channel_norm_forward.inl"
#include "anther/kernels/for_each_isa.inl"
#define ANTHER_BODY "anther/kernels/channel_norm_backward.inl"
#include "anther/kernels/for_each_isa.inl"

// A tile of a segment.
struct ChannelNormTile {
  std::int64_t segment, number, first, rows;  // first: its first element
};
inline ChannelNormTile channel_norm_tile(const ChannelNormDims& dims, const ChannelNormTiles& plan,
                                         std::int64_t segment, std::int64_t number) {
  const std::int64_t row = number * plan.tile_rows;
  return {segment, number, (segment * dims.rows + row) * dims.channels,
          std::min(plan.tile_rows, dims.rows - row)};
}

// Rows of dx go through a room where it is a map in bfloat16: whether they fit.
inline constexpr std::int64_t channel_norm_dx_room = 1 << 13;
inline bool channel_norm_reads_bf16(const ChannelNormDims& dims) {
  return channel_norm_tiles(dims).folded <= channel_norm_dx_room;
}

// Elements of workspace for forward or backward: three arrays a tile and five a segment.
inline std::int64_t channel_norm_workspace(const ChannelNormDims& dims) {
  const ChannelNormTiles plan = channel_norm_tiles(dims);
  return dims.segments * (3 * plan.tiles + 5) * plan.stride;
}

// Elements of a segment's workspace: three arrays for each tile, then five for the segment.
inline std::int64_t channel_norm_segment(const ChannelNormTiles& plan) {
  return (3 * plan.tiles + 5) * plan.stride;
}

// first(tile) for all tiles, then finish(segment), then second(tile), which may be nullptr. A
// thread takes whole segments where they can be shared out evenly, so that a segment is in its
// cache for the second pass. (That goes forwards like the first: backwards it would begin with what
// was read last, but it would read no further ahead than the end of a tile.) The bits are the same
// either way.
template <class First, class Finish, class Second>
void channel_norm_passes(const ChannelNormDims& dims, const ChannelNormTiles& plan,
                         std::int64_t work, const First& first, const Finish& finish,
                         const Second& second) {
  constexpr bool twice = !std::is_same_v<Second, std::nullptr_t>;
  const std::int64_t threads = available_threads(), tiles = plan.tiles;
  const auto tile_of = [&](std::int64_t i) {
    return channel_norm_tile(dims, plan, i / tiles, i % tiles);
  };
  if (tiles == 1 || dims.segments % threads == 0 || dims.segments >= 4 * threads) {
    parallel_for(dims.segments, work, [&](std::int64_t segment) {
      const std::int64_t begin = segment * tiles, end = begin + tiles;
      for (std::int64_t i = begin; i < end; ++i) first(tile_of(i));
      finish(segment);
      if constexpr (twice)
        for (std::int64_t i = begin; i < end; ++i) second(tile_of(i));
    });
  } else {
    parallel_for(dims.segments * tiles, work / 2, [&](std::int64_t i) { first(tile_of(i)); });
    for (std::int64_t segment = 0; segment < dims.segments; ++segment) finish(segment);
    if constexpr (twice)
      parallel_for(dims.segments * tiles, work / 2, [&](std::int64_t i) { second(tile_of(i)); });
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

// The statistics, and in to.affine what channel_norm_rows computes y from. to.variance (segments,
// groups), the mean squared distance from the mean, may be null, as may weight and bias. x_bf16: x
// is a map in bfloat16, which channel_norm_reads_bf16(dims).
template <class T>
void channel_norm_statistics(const ChannelNormStatistics<T>& to, const T* x, const T* weight,
                             const T* bias, T* workspace, const ChannelNormDims& dims,
                             std::int64_t x_bf16 = 0) {
  if (dims.segments * dims.rows * dims.channels == 0) return;
  const ChannelNormTiles plan = channel_norm_tiles(dims);
  const std::int64_t channels = dims.channels, groups = dims.groups, stride = plan.stride;
  const std::int64_t segment_size = channel_norm_segment(plan);
  channel_norm_passes(
      dims, plan, dims.segments * dims.rows * channels / 4,
      [&](const ChannelNormTile& tile) {
        T* const sums = workspace + tile.segment * segment_size + 3 * tile.number * stride;
        if constexpr (has_bf16<T>) {
          if (x_bf16 != 0)
            return bf16_kernels<T>().norm_moments(sums, as_bf16(x) + tile.first, tile.rows,
                                                  channels, plan);
        }
        ANTHER_SELECT(channel_norm_moments<T>)
        (sums, sums + stride, sums + 2 * stride, x + tile.first, tile.rows, channels, plan.folded);
      },
      [&](std::int64_t segment) {
        const std::int64_t at = segment * groups;
        ANTHER_SELECT(channel_norm_forward_segment<T>)
        ({to.affine + segment * 2 * stride, to.mean + at, to.rstd + at,
          to.variance ? to.variance + at : nullptr},
         workspace + segment * segment_size, weight, bias, dims, plan);
      },
      nullptr);
}

// Rows first, ..., first + count - 1, counted over all segments: x and y point at the first of
// them, and may be the same.
template <class T>
void channel_norm_rows(T* y, const T* x, const T* affine, std::int64_t first, std::int64_t count,
                       const ChannelNormDims& dims) {
  const ChannelNormTiles plan = channel_norm_tiles(dims);
  while (count > 0) {
    const std::int64_t segment = first / dims.rows;
    const std::int64_t here = std::min(count, (segment + 1) * dims.rows - first);
    ANTHER_SELECT(channel_norm_affine<T>)
    (y, x, affine + segment * 2 * plan.stride, here * dims.channels, plan);
    x += here * dims.channels;
    y += here * dims.channels;
    first += here;
    count -= here;
  }
}

// The bodies that use_bf16.hpp names: of an x in bfloat16.
template <class T>
void channel_norm_map_moments(T* sums, const std::uint16_t* x, std::int64_t rows,
                              std::int64_t channels, const ChannelNormTiles& plan) {
  ANTHER_SELECT(channel_norm_moments<T, std::uint16_t>)
  (sums, sums + plan.stride, sums + 2 * plan.stride, x, rows, channels, plan.folded);
}
template <class T>
void channel_norm_map_gradient_sums(T* sums, const T* dy, const std::uint16_t* x, const T* mean,
                                    std::int64_t rows, const ChannelNormDims& dims,
                                    const ChannelNormTiles& plan) {
  ANTHER_SELECT(channel_norm_gradient_sums<T, std::uint16_t>)(sums, dy, x, mean, rows, dims, plan);
}
template <class T>
void channel_norm_map_dx(const ChannelNormDx<T, std::uint16_t>& o, std::int64_t elements,
                         const ChannelNormTiles& plan) {
  ANTHER_SELECT(channel_norm_dx<T, std::uint16_t>)(o, plan.folded, elements, false, stream_ahead);
}

// A tile of dx where x is a map in bfloat16; where dx is one, too, a few folded rows at a time.
// Where statistics are constants, x does not count: its slope and offset are 0.
template <class T>
void channel_norm_dx_of_map(const ChannelNormBackward<T>& o, const ChannelNormTile& tile,
                            const T* factor, const ChannelNormDims& dims,
                            const ChannelNormTiles& plan) {
  alignas(64) T room[channel_norm_dx_room];
  const std::int64_t elements = tile.rows * dims.channels;
  const bool narrow = o.dx_bf16 != 0;
  const std::int64_t step = narrow ? channel_norm_dx_room / plan.folded * plan.folded : elements;
  for (std::int64_t at = tile.first; at < tile.first + elements; at += step) {
    const std::int64_t count = std::min(step, tile.first + elements - at);
    bf16_kernels<T>().norm_dx(
        {narrow ? room : o.dx + at, o.add ? o.add + at : nullptr, o.dy + at, as_bf16(o.x) + at,
         factor, factor + plan.stride, factor + 2 * plan.stride},
        count, plan);
    if (narrow) bf16_kernels<T>().narrow(as_bf16(o.dx) + at, room, count);
  }
}

// dx = add + the gradient; dweight and dbias are added to; each may be null, as may add and weight.
// With `frozen`, mean and rstd are constants that do not depend on x. dx may be add or dy.
template <class T>
void channel_norm_backward(const ChannelNormBackward<T>& o, bool frozen, T* workspace,
                           const ChannelNormDims& dims) {
  if (dims.segments * dims.rows * dims.channels == 0) return;
  const ChannelNormTiles plan = channel_norm_tiles(dims);
  const std::int64_t channels = dims.channels, groups = dims.groups, stride = plan.stride;
  const std::int64_t segment_size = channel_norm_segment(plan);
  const bool streamed =
      plan.folded % 16 == 0 && is_streamed<T>(dims.segments * dims.rows * channels);
  T* const parts = workspace + 3 * plan.tiles * stride;  // of the first segment
  channel_norm_passes(
      dims, plan, dims.segments * dims.rows * channels / 2,
      [&](const ChannelNormTile& tile) {
        T* const sums = workspace + tile.segment * segment_size + 3 * tile.number * stride;
        const T* const mean = o.mean + tile.segment * groups;
        if constexpr (has_bf16<T>) {
          if (o.x_bf16 != 0)
            return bf16_kernels<T>().norm_gradient_sums(
                sums, o.dy + tile.first, as_bf16(o.x) + tile.first, mean, tile.rows, dims, plan);
        }
        ANTHER_SELECT(channel_norm_gradient_sums<T>)
        (sums, o.dy + tile.first, o.x + tile.first, mean, tile.rows, dims, plan);
      },
      [&](std::int64_t segment) {
        const std::int64_t at = segment * segment_size;
        ANTHER_SELECT(channel_norm_backward_segment<T>)
        (parts + at, workspace + at, o.rstd + segment * groups, o.weight, frozen, dims, plan);
      },
      [&](const ChannelNormTile& tile) {
        if (!o.dx) return;
        const T* const factor = parts + tile.segment * segment_size + 2 * stride;
        if constexpr (has_bf16<T>) {
          if (o.x_bf16 != 0) return channel_norm_dx_of_map<T>(o, tile, factor, dims, plan);
        }
        T* const to = o.dx + tile.first;
        const T* const gradient = o.dy + tile.first;
        // Constant statistics leave out the term of x; dy in its place is in the cache already.
        ANTHER_SELECT(channel_norm_dx<T>)
        ({to, o.add ? o.add + tile.first : nullptr, gradient, frozen ? gradient : o.x + tile.first,
          factor, factor + stride, factor + 2 * stride},
         plan.folded, tile.rows * channels, streamed && is_at_line(to),
         channel_norm_next(dims, tile.segment));
      });
  if (o.dweight) {
    ANTHER_SELECT(channel_norm_add_parts<T>)
    (o.dweight, parts, dims.segments, channels, segment_size);
  }
  if (o.dbias) {
    ANTHER_SELECT(channel_norm_add_parts<T>)
    (o.dbias, parts + stride, dims.segments, channels, segment_size);
  }
}

}  // namespace anther::inline v0_1::kernels
