// What a pass in bfloat16 calls (TapeOptions::amp): products, the packing of weights, maps and
// GELU. Products reach them by a table alone, which use_bf16() fills, so that a program that never
// asks for bfloat16 does not compile them.
#pragma once

#include <atomic>
#include <cstdint>

#include "anther/kernels/gemm_dims.hpp"

namespace anther::inline v0_1::kernels {

// Only float has products and maps in bfloat16.
template <class T>
inline constexpr bool has_bf16 = sizeof(T) == 4;

// A depth beyond this is cut.
inline constexpr std::int64_t bf16_most_depth = 4096;

// Panels of 32 columns: what threads may share.
inline std::int64_t bf16_panels(std::int64_t columns) {
  return (columns + 31) / 32;
}
// Elements of T that the packed B (depth, columns) takes.
template <class T>
std::int64_t bf16_packed_size(std::int64_t columns, std::int64_t depth) {
  constexpr std::int64_t in_one = sizeof(T) / 2;
  return (columns + 15) / 16 * 16 * ((depth + 31) / 32 * 32) / in_one;
}

struct ColumnSumsDims;
struct AttentionDims;
template <class T>
struct AttentionForward;
template <class T>
struct AttentionBackward;
template <class T>
struct AttentionMask;
struct ChannelNormDims;
struct ChannelNormTiles;
template <class T, class Source>
struct ChannelNormDx;
template <class T>
struct Bf16Kernels {
  // gemm_bf16.hpp; those of gemm.hpp and packed_weight.hpp have the same arguments.
  void (*product)(const GemmOperands<T>& o, const GemmDims& d, std::int64_t first,
                  std::int64_t last);
  void (*product_tn)(T* dw, const T* dy, const T* x, const GemmTnDims& d);
  void (*pack)(T* packed, const T* b, const PackOptions& pack, const PackRows& rows,
               std::int64_t panel);
  // bf16_map.hpp.
  void (*narrow)(std::uint16_t* y, const T* x, std::int64_t count);
  void (*widen)(T* y, const std::uint16_t* x, std::int64_t count);
  void (*column_sums)(T* dbias, const std::uint16_t* dy, T* workspace, const ColumnSumsDims& d);
  // gelu_bf16.hpp.
  void (*gelu_forward)(std::uint16_t* y, const std::uint16_t* x, std::int64_t count);
  void (*gelu_backward)(std::uint16_t* dx, std::uint16_t* y, const T* dy, const std::uint16_t* x,
                        std::int64_t count);
  // attention_bf16.hpp.
  void (*attention_forward)(const AttentionForward<T>& o, T* workspace, const AttentionDims& d,
                            const AttentionMask<T>& mask);
  void (*attention_backward)(const AttentionBackward<T>& o, T* workspace, const AttentionDims& d,
                             const AttentionMask<T>& mask);
  // channel_norm.hpp.
  void (*norm_moments)(T* sums, const std::uint16_t* x, std::int64_t rows, std::int64_t channels,
                       const ChannelNormTiles& plan);
  void (*norm_gradient_sums)(T* sums, const T* dy, const std::uint16_t* x, const T* mean,
                             std::int64_t rows, const ChannelNormDims& dims,
                             const ChannelNormTiles& plan);
  void (*norm_dx)(const ChannelNormDx<T, std::uint16_t>& o, std::int64_t elements,
                  const ChannelNormTiles& plan);
};
template <class T>
inline std::atomic<const Bf16Kernels<T>*> bf16_kernels_in_use{nullptr};

// The kernels, once use_bf16() has been called. There are none for double.
template <class T>
const Bf16Kernels<T>& bf16_kernels() {
  return *bf16_kernels_in_use<T>.load(std::memory_order_acquire);
}

}  // namespace anther::inline v0_1::kernels
