// The attention of attention.hpp with products in bfloat16 (gemm_bf16.hpp). What is multiplied is
// rounded: q, k, v, the probabilities, and the gradients of o and of the scores. Scores, softmax
// and all sums are floats. Backward keeps the probabilities as a map in bfloat16 (bf16_map.hpp).
#pragma once

#include <algorithm>
#include <cstdint>

#include "anther/kernels/attention.hpp"
#include "anther/kernels/bf16_map.hpp"
#include "anther/kernels/gemm_bf16.hpp"
#include "anther/kernels/softmax.hpp"

namespace anther::inline v0_1::kernels {

// A part of a head's products: a block of its queries, and the keys that any of them sees.
struct AttentionBlock {
  std::int64_t row, rows, limit;

  AttentionBlock(const AttentionDims& d, bool causal, std::int64_t first)
      : row(first),
        rows(std::min(attention_bf16_block(d), d.queries - first)),
        limit(causal ? std::min(first + rows, d.keys) : d.keys) {}
};

// Rows of the matrix that k or v is, packed as the B of a product: B[k][n] = rows[n column_stride +
// k depth_stride].
template <class T>
void attention_bf16_pack(T* packed, const T* rows, const PackOptions& pack) {
  for (std::int64_t panel = 0; panel < bf16_panels(pack.columns); ++panel)
    bf16_pack(packed, rows, pack, {.first = 0, .inner = pack.depth}, panel);
}
// k^T or v^T, and k or v.
template <class T>
void attention_bf16_pack_both(T* turned, const T* a, T* straight, const T* b,
                              const AttentionDims& d) {
  attention_bf16_pack(turned, a,
                      {.columns = d.keys,
                       .depth = d.head_dim,
                       .column_stride = d.kv_stride,
                       .depth_stride = 1,
                       .bf16 = 1});
  attention_bf16_pack(straight, b,
                      {.columns = d.head_dim,
                       .depth = d.keys,
                       .column_stride = 1,
                       .depth_stride = d.kv_stride,
                       .bf16 = 1});
}

// (rows, keys) = x (rows, head_dim) B, the columns below block.limit; a few more may be written.
template <class T>
void attention_bf16_scores(T* to, const T* x, std::int64_t x_stride, std::int64_t x_bf16,
                           const T* packed, const AttentionBlock& block, const AttentionDims& d) {
  bf16_product<T>({to, nullptr, x, packed, nullptr},
                  {.rows = block.rows,
                   .columns = d.keys,
                   .depth = d.head_dim,
                   .x_stride = x_stride,
                   .y_stride = attention_bf16_stride(d),
                   .bf16 = 1,
                   .x_bf16 = x_bf16},
                  0, bf16_panels(block.limit));
}

// y (rows, head_dim) = add + x (rows, keys) B, where x is 0 from block.limit on. add is y or null.
// product: its strides, and which of the maps are in bfloat16.
template <class T>
void attention_bf16_mix(const GemmOperands<T>& o, GemmDims product, const AttentionBlock& block,
                        const AttentionDims& d) {
  product.rows = block.rows;
  product.depth = block.limit;
  product.add_stride = product.y_stride;
  product.bf16 = 1;
  for (std::int64_t column = 0; column < d.head_dim; column += 32) {
    T* const y = map_at(o.y, column, product.y_bf16);
    product.columns = std::min<std::int64_t>(32, d.head_dim - column);
    bf16_product<T>(
        {y, o.add ? y : nullptr, o.x, o.packed + bf16_packed_size<T>(column, d.keys), nullptr},
        product, 0, 1);
  }
}

// The probabilities as they are stored, and as rows of floats.
template <class T>
void attention_bf16_keep(std::uint16_t* to, const T* rows, std::int64_t count,
                         const AttentionDims& d) {
  for (std::int64_t i = 0; i < count; ++i) ANTHER_SELECT_BF16(bf16_narrow, T)
  (to + i * d.keys, rows + i * attention_bf16_stride(d), d.keys);
}
template <class T>
void attention_bf16_kept(T* rows, const std::uint16_t* from, std::int64_t count,
                         const AttentionDims& d) {
  for (std::int64_t i = 0; i < count; ++i)
    ANTHER_SELECT(bf16_widen<T>)(rows + i * attention_bf16_stride(d), from + i * d.keys, d.keys);
}

template <class T>
void attention_bf16_head_forward(const AttentionForward<T>& o, T* workspace, const AttentionDims& d,
                                 const AttentionMask<T>& mask) {
  const std::int64_t stride = attention_bf16_stride(d);
  T* const k_packed = workspace;
  T* const v_packed = k_packed + bf16_packed_size<T>(d.keys, d.head_dim);
  T* const scores = v_packed + bf16_packed_size<T>(d.head_dim, d.keys);
  T* const dropped = scores + attention_bf16_block(d) * stride;
  attention_bf16_pack_both(k_packed, o.k, v_packed, o.v, d);
  const bool plain = !mask.added && !mask.kept && !mask.causal;
  for (std::int64_t row = 0; row < d.queries; row += attention_bf16_block(d)) {
    const AttentionBlock block(d, mask.causal, row);
    attention_bf16_scores<T>(scores, o.q + row * d.q_stride, d.q_stride, 0, k_packed, block, d);
    if (plain)
      softmax_forward<T>(scores, scores, {block.rows, d.keys, stride, stride, d.scale});
    else
      for (std::int64_t i = 0; i < block.rows; ++i)
        ANTHER_SELECT(attention_softmax_row<T>)(scores + i * stride, row + i, d, mask);
    if (o.probabilities)
      attention_bf16_keep(as_bf16(o.probabilities) + row * d.keys, scores, block.rows, d);
    const bool drops = mask.dropout_p > 0;
    for (std::int64_t i = 0; drops && i < block.rows; ++i)
      attention_dropout_row(dropped + i * stride, scores + i * stride, row + i, block.limit, mask);
    // What is kept is rounded already.
    const bool reads_kept = o.probabilities && !drops;
    const T* const used = reads_kept ? map_at(o.probabilities, row * d.keys, 1)
                          : drops    ? dropped
                                     : scores;
    attention_bf16_mix<T>(
        {map_at(o.o, row * d.o_stride(), d.o_bf16), nullptr, used, v_packed, nullptr},
        {.x_stride = reads_kept ? d.keys : stride,
         .y_stride = d.o_stride(),
         .x_bf16 = reads_kept,
         .y_bf16 = d.o_bf16},
        block, d);
  }
}

template <class T>
void attention_bf16_head_backward(const AttentionBackward<T>& o, T* workspace,
                                  const AttentionDims& d, const AttentionMask<T>& mask) {
  const std::int64_t stride = attention_bf16_stride(d);
  T* const v_packed = workspace;
  T* const k_packed = v_packed + bf16_packed_size<T>(d.keys, d.head_dim);
  T* const scores = k_packed + bf16_packed_size<T>(d.head_dim, d.keys);  // their gradients
  T* const probabilities = scores + attention_bf16_block(d) * stride;
  T* const dropped = probabilities + attention_bf16_block(d) * stride;
  const bool drops = mask.dropout_p > 0;
  attention_bf16_pack_both(v_packed, o.v, k_packed, o.k, d);
  for (std::int64_t row = 0; row < d.queries; row += attention_bf16_block(d)) {
    const AttentionBlock block(d, mask.causal, row);
    const T* const stored = map_at(o.probabilities, row * d.keys, 1);
    const T* const d_o = map_at(o.d_o, row * d.o_stride(), d.o_bf16);
    attention_bf16_scores<T>(scores, d_o, d.o_stride(), d.o_bf16, v_packed, block, d);
    attention_bf16_kept(probabilities, as_bf16(stored), block.rows, d);
    for (std::int64_t i = 0; drops && i < block.rows; ++i) {
      T* const dp = scores + i * stride;
      attention_dropout_row(dp, dp, row + i, block.limit, mask);
      attention_dropout_row(dropped + i * stride, probabilities + i * stride, row + i, block.limit,
                            mask);
    }
    softmax_backward<T>(scores, nullptr, scores, probabilities,
                        {block.rows, block.limit, stride, stride, d.scale});
    T* const dq = o.dq + row * d.q_stride;
    attention_bf16_mix<T>({dq, dq, scores, k_packed, nullptr},
                          {.x_stride = stride, .y_stride = d.q_stride}, block, d);
    GemmTnDims product{.rows = block.rows,
                       .outs = block.limit,
                       .columns = d.head_dim,
                       .dy_stride = stride,
                       .x_stride = d.q_stride,
                       .dw_stride = d.kv_stride,
                       .bf16 = 1};
    bf16_product_tn<T>(o.dk, scores, o.q + row * d.q_stride, product);
    product.x_stride = d.o_stride();
    product.x_bf16 = d.o_bf16;
    if (!drops) product.dy_stride = d.keys, product.dy_bf16 = 1;
    bf16_product_tn<T>(o.dv, drops ? dropped : stored, d_o, product);
    if (!o.dscores) continue;
    const T share = static_cast<T>(1 / d.scale);
    for (std::int64_t i = 0; i < block.rows; ++i)
      for (std::int64_t j = 0; j < d.keys; ++j)
        o.dscores[(row + i) * d.keys + j] = j < block.limit ? share * scores[i * stride + j] : T(0);
  }
}

// attention_forward and attention_backward. An o in bfloat16 needs at most bf16_most_depth keys.
template <class T>
void attention_bf16_forward(const AttentionForward<T>& o, T* workspace, const AttentionDims& d,
                            const AttentionMask<T>& mask) {
  attention_forward_heads<T>(
      o, workspace, d, mask,
      [&](const AttentionForward<T>& head, T* room, const AttentionMask<T>& its) {
        attention_bf16_head_forward(head, room, d, its);
      });
}
template <class T>
void attention_bf16_backward(const AttentionBackward<T>& o, T* workspace, const AttentionDims& d,
                             const AttentionMask<T>& mask) {
  attention_backward_heads<T>(
      o, workspace, d, mask,
      [&](const AttentionBackward<T>& head, T* room, const AttentionMask<T>& its) {
        attention_bf16_head_backward(head, room, d, its);
      });
}

}  // namespace anther::inline v0_1::kernels
