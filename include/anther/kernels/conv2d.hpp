// Convolution of any kernel, stride, padding, dilation and groups, as products of patches:
//   y[n, i, j, o] = bias[o] + sum_{a, b, c} x[n, s i + d a - p, s j + d b - p, c] weight[o, a, b,
//   c]
// x (N, H, W, C), weight (O, kh, kw, C / groups), y (N, H', W', O). Backward keeps x.
// dx is a convolution of dy with the kernel turned round, or several where there is a stride. 3x3
// ones of stride 1 go Winograd's way (kernels/winograd.hpp) where that is faster. 1x1 convolutions
// are ops/linear.hpp, depth-wise ones kernels/depthwise_conv2d.hpp.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>

#include "anther/core/parallel_for.hpp"
#include "anther/kernels/elementwise.hpp"
#include "anther/kernels/gemm.hpp"
#include "anther/kernels/packed_weight.hpp"
#include "anther/kernels/patch_product.hpp"
#include "anther/kernels/winograd.hpp"

namespace anther::inline v0_1::kernels {

struct Conv2dDims {
  std::int64_t batch, height, width, in_channels, out_channels;
  std::int64_t kernel_height, kernel_width, stride_height, stride_width;
  std::int64_t padding_height, padding_width, dilation_height, dilation_width, groups;
  std::int64_t bf16 = 0;       // 1: the products are those of gemm_bf16.hpp
  std::int64_t maps_bf16 = 0;  // 1: besides, x and dy are maps in bfloat16; see reads_bf16()

  // Calls visit with all members, in their order.
  template <class Visit>
  constexpr decltype(auto) members(const Visit& visit) const {
    return visit(batch, height, width, in_channels, out_channels, kernel_height, kernel_width,
                 stride_height, stride_width, padding_height, padding_width, dilation_height,
                 dilation_width, groups, bf16, maps_bf16);
  }

  // The pixels that a kernel spans.
  std::int64_t span_height() const { return (kernel_height - 1) * dilation_height + 1; }
  std::int64_t span_width() const { return (kernel_width - 1) * dilation_width + 1; }
  std::int64_t out_height() const {
    return (height + 2 * padding_height - span_height()) / stride_height + 1;
  }
  std::int64_t out_width() const {
    return (width + 2 * padding_width - span_width()) / stride_width + 1;
  }
  std::int64_t rows() const { return batch * out_height() * out_width(); }
  std::int64_t group_in() const { return in_channels / groups; }
  std::int64_t group_out() const { return out_channels / groups; }
  std::int64_t taps() const { return kernel_height * kernel_width; }
  // The elements of a patch that one output channel sees.
  std::int64_t depth() const { return taps() * group_in(); }
  // Whether maps in bfloat16 can be read: their numbers are copied in pairs.
  bool reads_bf16() const { return bf16 != 0 && group_in() % 2 == 0 && group_out() % 2 == 0; }
};

// The same convolution, where patches stand side by side, of a map whose pixels are kernel_width
// pixels of x: more columns for the gradient of the input, and fewer products.
inline Conv2dDims conv2d_folded(Conv2dDims d) {
  if (d.groups > 1 || d.stride_width != d.kernel_width || d.padding_width > 0 ||
      d.dilation_width > 1 || d.width % d.kernel_width != 0)
    return d;
  d.width /= d.kernel_width;
  d.in_channels *= d.kernel_width;
  d.kernel_width = d.stride_width = 1;
  return d;
}

// The same convolution, and that of dy which is the gradient of the input, by Winograd's way.
// It pays if it can be done so and is faster.
inline WinogradDims conv2d_winograd(const Conv2dDims& d) {
  const bool is_possible = d.bf16 == 0 && d.groups == 1 && d.kernel_height == 3 &&
                           d.kernel_width == 3 && d.stride_height == 1 && d.stride_width == 1 &&
                           d.dilation_height == 1 && d.dilation_width == 1 &&
                           d.padding_height <= 2 && d.padding_width <= 2;
  if (!is_possible) return {};
  return {d.batch,       d.height,       d.width,          d.in_channels,  d.out_height(),
          d.out_width(), d.out_channels, d.padding_height, d.padding_width};
}
inline WinogradDims conv2d_input_winograd(const Conv2dDims& d) {
  const WinogradDims w = conv2d_winograd(d);
  return {w.batch, w.out_height, w.out_width,          w.out_channels,     w.height,
          w.width, w.channels,   2 - w.padding_height, 2 - w.padding_width};
}

// How forward and the gradient of the input read the weight.
inline PackOptions conv2d_pack(const Conv2dDims& d) {
  if (conv2d_winograd(d).pays())
    return {.columns = d.out_channels,
            .depth = 16 * d.in_channels,
            .column_stride = d.depth(),
            .depth_stride = 1,
            .tap_stride = d.in_channels,
            .winograd = 1};
  return {.columns = d.group_out(),
          .depth = d.depth(),
          .column_stride = d.depth(),
          .depth_stride = 1,
          .groups = d.groups,
          .group_stride = d.group_out() * d.depth(),
          .most_rows = patch_tile_depth,
          .bf16 = d.bf16};
}
inline PackOptions conv2d_input_pack(const Conv2dDims& of) {
  if (conv2d_input_winograd(of).pays())
    return {.columns = of.in_channels,
            .depth = 16 * of.out_channels,
            .column_stride = 1,
            .depth_stride = of.depth(),
            .tap_stride = of.in_channels,
            .winograd = 2};
  const Conv2dDims d = conv2d_folded(of);
  return {.columns = d.group_in(),
          .depth = d.taps() * d.group_out(),
          .column_stride = 1,
          .depth_stride = d.depth(),
          .groups = d.groups,
          .group_stride = d.group_out() * d.depth(),
          .most_rows = patch_tile_depth,
          .kernel_height = d.kernel_height,
          .kernel_width = d.kernel_width,
          .step_height = d.stride_height / std::gcd(d.stride_height, d.dilation_height),
          .step_width = d.stride_width / std::gcd(d.stride_width, d.dilation_width),
          .tap_stride = d.group_in(),
          .bf16 = d.bf16};
}

inline PatchDims conv2d_patches(const Conv2dDims& d) {
  return {.height = d.height,
          .width = d.width,
          .channels = d.in_channels,
          .in_channels = d.group_in(),
          .kernel_height = d.kernel_height,
          .kernel_width = d.kernel_width,
          .stride_height = d.stride_height,
          .stride_width = d.stride_width,
          .dilation_height = d.dilation_height,
          .dilation_width = d.dilation_width,
          .start_height = -d.padding_height,
          .start_width = -d.padding_width,
          .out_height = d.out_height(),
          .out_width = d.out_width(),
          .bf16 = d.maps_bf16};
}

// Elements of workspace for forward, and for the gradient of the input.
inline std::int64_t conv2d_forward_workspace(const Conv2dDims& d, std::int64_t threads) {
  return winograd_workspace(conv2d_winograd(d), threads);
}
inline std::int64_t conv2d_backward_input_workspace(const Conv2dDims& d, std::int64_t threads) {
  const std::int64_t folded = conv2d_folded(d).in_channels;  // a bias's, in conv2d_backward_input
  return std::max(winograd_workspace(conv2d_input_winograd(d), threads),
                  folded > d.in_channels ? folded : 0);
}

// y = ... + add, and then finish(first, count) for rows of y (pixels). packed: the weight, packed
// by conv2d_pack(d). bias and add may be null; add may be y.
template <class T, class Finish>
void conv2d_forward(T* y, const T* add, const T* x, const T* packed, const T* bias, T* workspace,
                    const Conv2dDims& d, const Finish& finish) {
  if (const WinogradDims w = conv2d_winograd(d); w.pays())
    return winograd_conv2d<T>({y, add, x, packed, bias}, workspace, w, finish);
  const PatchProduct product{
      conv2d_patches(d), d.out_height(), d.out_width(), d.out_channels, 1, 1, 0, 0, 0};
  const PackOptions pack = conv2d_pack(d);
  // A depth that is cut is summed up first: y has the bits of add + (what it is without).
  const bool later =
      add && add != y && pack_block(pack.depth, patch_tile_depth, pack.bf16) < pack.depth;
  patch_products<T>(
      {y, later ? nullptr : add, x, packed, bias}, [&](std::int64_t) { return product; }, 1,
      d.batch, d.groups, pack,
      [&](std::int64_t first, std::int64_t count) {
        const std::int64_t at = first * d.out_channels;
        if (later) kernels::add<T>(y + at, add + at, y + at, count * d.out_channels);
        finish(first, count);
      });
}
template <class T>
void conv2d_forward(T* y, const T* add, const T* x, const T* packed, const T* bias, T* workspace,
                    const Conv2dDims& d) {
  conv2d_forward(y, add, x, packed, bias, workspace, d, no_finish);
}

// The rows (or columns) of the input that are `residue` modulo the stride see the taps a with
// d a = residue + p modulo the stride, and those of dy at distances of `dilation`.
struct ConvPhase {
  std::int64_t tap_class = 0, taps = 0;  // the taps' number modulo `step`, and how many
  std::int64_t dilation = 1, start = 0;  // from one tap's row of dy to the next's; the last tap's
  std::int64_t count = 0;                // of the rows

  ConvPhase(std::int64_t residue, std::int64_t size, std::int64_t kernel, std::int64_t stride,
            std::int64_t padding, std::int64_t tap_dilation) {
    const std::int64_t step = stride / std::gcd(stride, tap_dilation);
    count = residue < size ? (size - 1 - residue) / stride + 1 : 0;
    dilation = step * tap_dilation / stride;
    const std::int64_t classes = std::min(step, kernel);  // those that have taps
    while (tap_class < classes && (tap_class * tap_dilation - residue - padding) % stride != 0)
      ++tap_class;
    if (tap_class == classes) return;
    taps = TapClass(kernel, step, tap_class).count;
    const std::int64_t last = tap_class + (taps - 1) * step;
    if (taps > 0) start = (residue + padding - last * tap_dilation) / stride;
  }
};

// dx = dx_add + ..., dx_add may be null or dx. packed: the weight, packed by conv2d_input_pack(d).
// bias (C) may be null: it is for the transposed convolution, whose forward this is.
template <class T>
void conv2d_backward_input(T* dx, const T* dx_add, const T* dy, const T* packed, const T* bias,
                           T* workspace, const Conv2dDims& of) {
  if (const WinogradDims w = conv2d_input_winograd(of); w.pays())
    return winograd_conv2d<T>({dx, dx_add, dy, packed, bias}, workspace, w, no_finish);
  const PackOptions pack = conv2d_input_pack(of);
  const Conv2dDims d = conv2d_folded(of);
  if (bias && d.in_channels > of.in_channels) {  // once for each pixel that a pixel is made of
    for (std::int64_t c = 0; c < d.in_channels; c += of.in_channels)
      std::copy_n(bias, of.in_channels, workspace + c);
    bias = workspace;
  }
  // Residues that a row and a column of the map have.
  const std::int64_t row_phases = std::min(d.stride_height, d.height),
                     column_phases = std::min(d.stride_width, d.width);
  const auto product_at = [&](std::int64_t i) {
    const std::int64_t row = i / column_phases, column = i % column_phases;
    const ConvPhase h(row, d.height, d.kernel_height, d.stride_height, d.padding_height,
                      d.dilation_height);
    const ConvPhase w(column, d.width, d.kernel_width, d.stride_width, d.padding_width,
                      d.dilation_width);
    const std::int64_t before =
        h.taps * w.taps == 0
            ? 0
            : pack_rows_at(
                  pack_rows_before(TapClass(d.kernel_height, pack.step_height, h.tap_class),
                                   TapClass(d.kernel_width, pack.step_width, w.tap_class),
                                   d.kernel_width, d.group_out()),
                  h.tap_class * pack.step_width + w.tap_class, d.bf16);
    return PatchProduct{{.height = d.out_height(),
                         .width = d.out_width(),
                         .channels = d.out_channels,
                         .in_channels = d.group_out(),
                         .kernel_height = h.taps,
                         .kernel_width = w.taps,
                         .stride_height = 1,
                         .stride_width = 1,
                         .dilation_height = h.dilation,
                         .dilation_width = w.dilation,
                         .start_height = h.start,
                         .start_width = w.start,
                         .out_height = h.count,
                         .out_width = w.count,
                         .bf16 = d.maps_bf16},
                        d.height,
                        d.width,
                        d.in_channels,
                        d.stride_height,
                        d.stride_width,
                        row,
                        column,
                        before};
  };
  patch_products<T>({dx, dx_add, dy, packed, bias}, product_at, row_phases * column_phases, d.batch,
                    d.groups, pack);
}

// How the weight's gradient is cut, as gemm_tn is: the rows into chunks, which sum to partial
// results, by shapes alone.
inline GemmTnDims conv2d_weight_product(const Conv2dDims& d) {
  return {.rows = d.rows(),
          .outs = d.group_out(),
          .columns = d.depth(),
          .dy_stride = d.out_channels,
          .x_stride = d.depth(),
          .dw_stride = d.depth(),
          .bf16 = d.bf16};
}

// Elements of workspace for the weight's gradient.
template <class T>
std::int64_t conv2d_backward_weight_workspace(const Conv2dDims& d) {
  if (const WinogradDims w = conv2d_winograd(d); winograd_weight_pays(w))
    return winograd_weight_workspace(w);
  return d.groups * gemm_tn_workspace<T>(conv2d_weight_product(d));
}

// dweight += ...
template <class T>
void conv2d_backward_weight(T* dweight, const T* dy, const T* x, T* workspace,
                            const Conv2dDims& d) {
  if (const WinogradDims w = conv2d_winograd(d); winograd_weight_pays(w))
    return winograd_backward_weight<T>(dweight, dy, x, workspace, w);
  const GemmTnDims product = conv2d_weight_product(d);
  const GemmTnTiles tiles(product, true, available_threads());
  const PatchDims patches = conv2d_patches(d);
  const auto multiply = gemm_tn_body<T>(d.bf16);
  const std::int64_t blocks = tiles.out_tiles * tiles.column_tiles;
  const std::int64_t size = product.outs * product.columns, partial = (tiles.chunks - 1) * size;
  // Whole panels of columns at a time.
  constexpr std::int64_t width = patch_tile_depth / 48 * 48;
  constexpr std::int64_t bf16_rows = patch_tile_rows / 32 * 32;  // whole blocks of their sums
  parallel_for(
      d.groups * tiles.chunks * blocks, d.rows() * d.groups * size / 50, [&](std::int64_t tile) {
        alignas(64) T columns[patch_tile_rows * width];
        const std::int64_t group = tile / (tiles.chunks * blocks);
        const std::int64_t chunk = tile / blocks % tiles.chunks, block = tile % blocks;
        const std::int64_t out = block % tiles.out_tiles * tiles.outs;
        const std::int64_t outs = std::min(tiles.outs, product.outs - out);
        const std::int64_t first = block / tiles.out_tiles * tiles.columns;
        const std::int64_t last = std::min(first + tiles.columns, product.columns);
        const std::int64_t row = chunk * tiles.chunk_rows;
        const std::int64_t rows =
            std::max<std::int64_t>(std::min(tiles.chunk_rows, product.rows - row), 0);
        T* to =
            chunk > 0 ? workspace + group * partial + (chunk - 1) * size : dweight + group * size;
        to += out * product.columns;
        if (chunk > 0)
          for (std::int64_t i = 0; i < outs; ++i)
            std::fill_n(to + i * product.columns + first, last - first, T(0));
        const std::int64_t most = d.bf16 ? bf16_rows : patch_tile_rows;
        const std::int64_t parts = (rows + most - 1) / most;
        for (std::int64_t part = 0; part < parts; ++part) {
          const auto begin = [&](std::int64_t number) {
            return d.bf16 ? std::min(rows, number * bf16_rows) : rows * number / parts;
          };
          const std::int64_t at = row + begin(part), count = row + begin(part + 1) - at;
          const T* const dy_here =
              map_at(dy, at * d.out_channels + group * product.outs + out, d.maps_bf16);
          for (std::int64_t k = first; k < last; k += width) {
            const std::int64_t end = std::min(k + width, last);
            patch_gather_map(columns, map_at(x, group * d.group_in(), d.maps_bf16), patches,
                             {at, count, k, end});
            multiply(to + k, dy_here, columns,
                     {.rows = count,
                      .outs = outs,
                      .columns = end - k,
                      .dy_stride = d.out_channels,
                      .x_stride = end - k,
                      .dw_stride = product.columns,
                      .bf16 = d.bf16,
                      .dy_bf16 = d.maps_bf16,
                      .x_bf16 = d.maps_bf16});
          }
        }
      });
  if (tiles.chunks == 1) return;
  const auto add_row = ANTHER_SELECT(gemm_tn_add_row<T>);
  parallel_for(d.out_channels, d.groups * size * tiles.chunks / 8, [&](std::int64_t out) {
    add_row(dweight + out * product.columns,
            workspace + out / product.outs * partial + out % product.outs * product.columns,
            product.columns, size, tiles.chunks - 1);
  });
}

}  // namespace anther::inline v0_1::kernels
