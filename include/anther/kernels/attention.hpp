// Scaled dot-product attention of several heads (Vaswani et al. 2017, section 3.2):
//   o = softmax(q k^T / sqrt(head_dim)) v, for each sample and head.
// q (N, queries, heads head_dim), k and v (N, keys, heads head_dim), o as q; head h has the
// channels h head_dim to (h + 1) head_dim - 1; rows may be further apart than they are wide, so q,
// k and v may be parts of one matrix. Backward keeps q, k, v and the probabilities
// (N, heads, queries, keys).
#pragma once

#include <cstdint>

#include "anther/core/parallel_for.hpp"
#include "anther/kernels/gemm.hpp"
#include "anther/kernels/softmax.hpp"
#include "anther/kernels/vec.hpp"

namespace anther::inline v0_1::kernels {

struct AttentionDims {
  std::int64_t batch, heads, queries, keys, head_dim;
  std::int64_t q_stride, kv_stride;  // from one row to the next
  double scale;                      // 1 / sqrt(head_dim)

  // Calls visit with all members, in their order.
  template <class Visit>
  constexpr decltype(auto) members(const Visit& visit) const {
    return visit(batch, heads, queries, keys, head_dim, q_stride, kv_stride, scale);
  }

  std::int64_t o_stride() const { return heads * head_dim; }
  std::int64_t probabilities() const { return batch * heads * queries * keys; }
};

// What backward writes and reads, of all heads or of one.
template <class T>
struct AttentionBackward {
  T *dq, *dk, *dv;
  const T *d_o, *probabilities, *q, *k, *v;
};

#define ANTHER_BODY "anther/kernels/attention.inl"
#include "anther/kernels/for_each_isa.inl"

template <class T>
std::int64_t attention_workspace(const AttentionDims& d) {
  return d.batch * d.heads * ANTHER_SELECT(attention_head_workspace<T>)(d);
}

// probabilities: null where no backward follows.
template <class T>
void attention_forward(T* o, T* probabilities, const T* q, const T* k, const T* v, T* workspace,
                       const AttentionDims& d) {
  const auto head = ANTHER_SELECT(attention_head_forward<T>);
  const std::int64_t size = attention_workspace<T>(d) / (d.batch * d.heads);
  parallel_for(d.batch * d.heads, d.probabilities() * d.head_dim / 16, [&](std::int64_t tile) {
    const std::int64_t n = tile / d.heads, channel = tile % d.heads * d.head_dim;
    const std::int64_t at_q = n * d.queries * d.q_stride + channel;
    const std::int64_t at_kv = n * d.keys * d.kv_stride + channel;
    head(o + n * d.queries * d.o_stride() + channel,
         probabilities ? probabilities + tile * d.queries * d.keys : nullptr, q + at_q, k + at_kv,
         v + at_kv, workspace + tile * size, d);
  });
}

// dq, dk, dv (laid out as q, k, v) += their gradients; d_o as o.
template <class T>
void attention_backward(const AttentionBackward<T>& o, T* workspace, const AttentionDims& d) {
  const auto head = ANTHER_SELECT(attention_head_backward<T>);
  const std::int64_t size = attention_workspace<T>(d) / (d.batch * d.heads);
  parallel_for(d.batch * d.heads, d.probabilities() * d.head_dim / 5, [&](std::int64_t tile) {
    const std::int64_t n = tile / d.heads, channel = tile % d.heads * d.head_dim;
    const std::int64_t at_q = n * d.queries * d.q_stride + channel;
    const std::int64_t at_kv = n * d.keys * d.kv_stride + channel;
    head({o.dq + at_q, o.dk + at_kv, o.dv + at_kv, o.d_o + n * d.queries * d.o_stride() + channel,
          o.probabilities + tile * d.queries * d.keys, o.q + at_q, o.k + at_kv, o.v + at_kv},
         workspace + tile * size, d);
  });
}

}  // namespace anther::inline v0_1::kernels
