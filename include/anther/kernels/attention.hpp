// Scaled dot-product attention of several heads (Vaswani et al. 2017, section 3.2):
//   o = dropout(softmax(q k^T / sqrt(head_dim) + mask)) v, for each sample and head.
// q (N, queries, heads head_dim), k and v (N, keys, heads head_dim), o as q; head h has the
// channels h head_dim to (h + 1) head_dim - 1; rows may be further apart than they are wide, so q,
// k and v may be parts of one matrix. Backward keeps q, k, v and the probabilities
// (N, heads, queries, keys).
#pragma once

#include <algorithm>
#include <cstdint>

#include "anther/core/parallel_for.hpp"
#include "anther/core/random.hpp"
#include "anther/kernels/bf16.hpp"
#include "anther/kernels/elementwise.hpp"
#include "anther/kernels/gemm.hpp"
#include "anther/kernels/softmax.hpp"
#include "anther/kernels/vec.hpp"

namespace anther::inline v0_1::kernels {

struct AttentionDims {
  std::int64_t batch, heads, queries, keys, head_dim;
  std::int64_t q_stride, kv_stride;  // from one row to the next
  double scale;                      // 1 / sqrt(head_dim)
  // 1: products are of numbers in bfloat16 (attention_bf16.hpp), and the probabilities are kept as
  // a map in bfloat16; o, or its gradient, is one.
  std::int64_t bf16 = 0, o_bf16 = 0;

  // Calls visit with all members, in their order.
  template <class Visit>
  constexpr decltype(auto) members(const Visit& visit) const {
    return visit(batch, heads, queries, keys, head_dim, q_stride, kv_stride, scale, bf16, o_bf16);
  }

  std::int64_t tiles() const { return batch * heads; }
  std::int64_t o_stride() const { return heads * head_dim; }
  std::int64_t probabilities() const { return batch * heads * queries * keys; }
};

// The queries of a block of the products in bfloat16, at most: whole pairs of their tiles.
inline std::int64_t attention_bf16_block(const AttentionDims& d) {
  constexpr std::int64_t most = 128;
  return std::min(most, (d.queries + 31) / 32 * 32);
}
// From one row of scores to the next: whole cache lines, which tiles are stored to.
inline std::int64_t attention_bf16_stride(const AttentionDims& d) {
  return (d.keys + 15) / 16 * 16;
}

// What forward and backward write and read, of all heads or of one.
template <class T>
struct AttentionForward {
  T *o = nullptr, *probabilities = nullptr;
  const T *q = nullptr, *k = nullptr, *v = nullptr;
};
template <class T>
struct AttentionBackward {
  T *dq = nullptr, *dk = nullptr, *dv = nullptr;
  const T *d_o = nullptr, *probabilities = nullptr, *q = nullptr, *k = nullptr, *v = nullptr;
  T* dscores = nullptr;
};

// Which keys a query sees, and what is dropped of the probabilities. The default is: all, nothing.
template <class T>
struct AttentionMask {
  const T* added = nullptr;            // to scale q k^T, or null
  const std::int32_t* kept = nullptr;  // 0: the query does not see the key; or null
  // From one sample, head, query, key to the next of `added` or `kept`; 0: they share the elements.
  std::int64_t sample_stride = 0, head_stride = 0, query_stride = 0, key_stride = 0;
  bool causal = false;  // query i sees the keys 0 to i
  double dropout_p = 0;
  RandomKey key = {};
  std::int64_t first_sample = 0;  // its number, for the random numbers

  std::int64_t place(std::int64_t sample, std::int64_t head) const {
    return sample * sample_stride + head * head_stride;
  }
  // The part of a head of a sample.
  AttentionMask of_head(std::int64_t sample, std::int64_t head) const {
    AttentionMask part = *this;
    if (added) part.added += place(sample, head);
    if (kept) part.kept += place(sample, head);
    part.key = key.fold(static_cast<std::uint64_t>(first_sample + sample))
                   .fold(static_cast<std::uint64_t>(head));
    return part;
  }
};

// to = dropout(from), a row of probabilities, which is the row `row` of its head. The random
// numbers follow from the head's key, the row and the column.
template <class T>
void attention_dropout_row(T* to, const T* from, std::int64_t row, std::int64_t columns,
                           const AttentionMask<T>& mask) {
  const auto least = static_cast<std::uint64_t>(mask.dropout_p * 0x1p32);
  const T factor[] = {T(0), static_cast<T>(1 / (1 - mask.dropout_p))};  // dropped, kept
  for (std::int64_t j = 0; j < columns; j += 4) {
    const auto words = dropout_words(mask.key.fold(static_cast<std::uint64_t>(row)),
                                     static_cast<std::uint64_t>(j / 4));
    for (std::int64_t i = j; i < std::min(j + 4, columns); ++i)
      to[i] = from[i] * factor[words[static_cast<std::size_t>(i - j)] >= least];
  }
}

#define ANTHER_BODY "anther/kernels/attention.inl"
#include "anther/kernels/for_each_isa.inl"

// The elements of workspace of a head. dropout: whether there is room for the probabilities that
// are left: in backward, and in bfloat16 in forward too.
template <class T>
std::int64_t attention_head_size(const AttentionDims& d, bool dropout) {
  if (d.bf16 == 0) return ANTHER_SELECT(attention_head_workspace<T>)(d, dropout);
  return bf16_packed_size<T>(d.keys, d.head_dim) + bf16_packed_size<T>(d.head_dim, d.keys) +
         (dropout ? 3 : 2) * attention_bf16_block(d) * attention_bf16_stride(d);
}
// Heads take turns in so many groups, each with a workspace of its own.
inline std::int64_t attention_groups(const AttentionDims& d, std::int64_t threads) {
  return threads == 1 ? 1 : std::min(4 * threads, d.tiles());
}
template <class T>
std::int64_t attention_workspace(const AttentionDims& d, std::int64_t threads,
                                 bool dropout = false) {
  return attention_groups(d, threads) * attention_head_size<T>(d, dropout);
}
// head(tile, workspace) for each head of each sample.
template <class T, class Head>
void attention_heads(T* workspace, std::int64_t size, std::int64_t work, const AttentionDims& d,
                     const Head& head) {
  const std::int64_t groups = attention_groups(d, available_threads());
  parallel_for(groups, work, [&](std::int64_t group) {
    const std::int64_t end = d.tiles() * (group + 1) / groups;
    for (std::int64_t tile = d.tiles() * group / groups; tile < end; ++tile)
      head(tile, workspace + group * size);
  });
}

// head(operands, workspace, mask) for each head of each sample.
template <class T, class Head>
void attention_forward_heads(const AttentionForward<T>& o, T* workspace, const AttentionDims& d,
                             const AttentionMask<T>& mask, const Head& head) {
  const std::int64_t size = attention_head_size<T>(d, d.bf16 != 0 && mask.dropout_p > 0);
  attention_heads(
      workspace, size, d.probabilities() * d.head_dim / 16, d, [&](std::int64_t tile, T* room) {
        const std::int64_t n = tile / d.heads, channel = tile % d.heads * d.head_dim;
        const std::int64_t at_q = n * d.queries * d.q_stride + channel;
        const std::int64_t at_kv = n * d.keys * d.kv_stride + channel;
        head(
            {map_at(o.o, n * d.queries * d.o_stride() + channel, d.o_bf16),
             o.probabilities ? map_at(o.probabilities, tile * d.queries * d.keys, d.bf16) : nullptr,
             o.q + at_q, o.k + at_kv, o.v + at_kv},
            room, mask.of_head(n, tile % d.heads));
      });
}
template <class T, class Head>
void attention_backward_heads(const AttentionBackward<T>& o, T* workspace, const AttentionDims& d,
                              const AttentionMask<T>& mask, const Head& head) {
  const std::int64_t size = attention_head_size<T>(d, mask.dropout_p > 0);
  attention_heads(
      workspace, size, d.probabilities() * d.head_dim / 5, d, [&](std::int64_t tile, T* room) {
        const std::int64_t n = tile / d.heads, channel = tile % d.heads * d.head_dim;
        const std::int64_t at_q = n * d.queries * d.q_stride + channel;
        const std::int64_t at_kv = n * d.keys * d.kv_stride + channel;
        head({o.dq + at_q, o.dk + at_kv, o.dv + at_kv,
              map_at(o.d_o, n * d.queries * d.o_stride() + channel, d.o_bf16),
              map_at(o.probabilities, tile * d.queries * d.keys, d.bf16), o.q + at_q, o.k + at_kv,
              o.v + at_kv, o.dscores ? o.dscores + tile * d.queries * d.keys : nullptr},
             room, mask.of_head(n, tile % d.heads));
      });
}

// o.probabilities: null where no backward follows. They are those before dropout.
template <class T>
void attention_forward(T* o, T* probabilities, const T* q, const T* k, const T* v, T* workspace,
                       const AttentionDims& d, const AttentionMask<T>& mask = {}) {
  const auto body = ANTHER_SELECT(attention_head_forward<T>);
  attention_forward_heads<T>({o, probabilities, q, k, v}, workspace, d, mask,
                             [&](const AttentionForward<T>& head, T* room,
                                 const AttentionMask<T>& its) { body(head, room, d, its); });
}

// dq, dk, dv (laid out as q, k, v) += their gradients; d_o as o. dscores (N, heads, queries, keys):
// the gradient of scale q k^T + mask, or null where it is not wanted.
template <class T>
void attention_backward(const AttentionBackward<T>& o, T* workspace, const AttentionDims& d,
                        const AttentionMask<T>& mask = {}) {
  const auto body = ANTHER_SELECT(attention_head_backward<T>);
  attention_backward_heads<T>(o, workspace, d, mask,
                              [&](const AttentionBackward<T>& head, T* room,
                                  const AttentionMask<T>& its) { body(head, room, d, its); });
}

// dmask += dscores, summed over what shares an element of the mask, in their order.
template <class T>
void attention_mask_backward(T* dmask, const T* dscores, const AttentionDims& d,
                             const AttentionMask<T>& mask) {
  const std::int64_t rows = mask.query_stride == 0 ? 1 : d.queries;
  parallel_for(rows, d.probabilities() / 2, [&](std::int64_t row) {
    for (std::int64_t tile = 0; tile < d.tiles(); ++tile)
      for (std::int64_t q = row; q < d.queries; q += rows) {
        const T* from = dscores + (tile * d.queries + q) * d.keys;
        T* const to = dmask + mask.place(tile / d.heads, tile % d.heads) + q * mask.query_stride;
        for (std::int64_t j = 0; j < d.keys; ++j) to[j * mask.key_stride] += from[j];
      }
  });
}

}  // namespace anther::inline v0_1::kernels
