// The bodies of attention.hpp: one head of one sample, serially. Scores are computed for a block of
// queries at a time, and so stay in the cache.

// The queries of a block, at most; blocks are as even as they can be.
constexpr std::int64_t attention_block = 64;

template <class T>
std::int64_t attention_head_workspace(std::int64_t keys, std::int64_t head_dim) {
  return gemm_packed_size<T>(keys, head_dim) + gemm_packed_size<T>(head_dim, keys) +
         attention_block * keys;
}

// o = softmax(scale q k^T) v. p (queries, keys): where the probabilities are kept, or null.
template <class T>
void attention_head_forward(T* o, T* p, const T* q, const T* k, const T* v, T* workspace,
                            std::int64_t queries, std::int64_t keys, std::int64_t head_dim,
                            std::int64_t q_stride, std::int64_t kv_stride, std::int64_t o_stride,
                            T scale) {
  T* const k_packed = workspace;
  T* const v_packed = k_packed + gemm_packed_size<T>(keys, head_dim);
  T* const block = v_packed + gemm_packed_size<T>(head_dim, keys);
  gemm_pack<T>(k_packed, k, keys, head_dim, kv_stride, 1);
  gemm_pack<T>(v_packed, v, head_dim, keys, 1, kv_stride);
  const std::int64_t blocks = (queries + attention_block - 1) / attention_block;
  for (std::int64_t b = 0; b < blocks; ++b) {
    const std::int64_t row = queries * b / blocks, rows = queries * (b + 1) / blocks - row;
    T* const scores = p ? p + row * keys : block;
    gemm<T>(rows, keys, head_dim, q + row * q_stride, q_stride, k_packed, scores, keys, nullptr,
            nullptr, 0, 0, gemm_panels<T>(keys));
    softmax_forward<T>(scores, scores, rows, keys, keys, keys, scale);
    gemm<T>(rows, head_dim, keys, scores, keys, v_packed, o + row * o_stride, o_stride, nullptr,
            nullptr, 0, 0, gemm_panels<T>(head_dim));
  }
}

// dq, dk and dv, which start as what is to be added to; p: the probabilities.
//   dv += p^T do;  ds = p (do v^T - rowsum(p do v^T));  dq += scale ds k;  dk += scale ds^T q
template <class T>
void attention_head_backward(T* dq, T* dk, T* dv, const T* d_o, const T* p, const T* q, const T* k,
                             const T* v, T* workspace, std::int64_t queries, std::int64_t keys,
                             std::int64_t head_dim, std::int64_t q_stride, std::int64_t kv_stride,
                             std::int64_t o_stride, T scale) {
  T* const v_packed = workspace;
  T* const k_packed = v_packed + gemm_packed_size<T>(keys, head_dim);
  T* const block = k_packed + gemm_packed_size<T>(head_dim, keys);
  gemm_pack<T>(v_packed, v, keys, head_dim, kv_stride, 1);
  gemm_pack<T>(k_packed, k, head_dim, keys, 1, kv_stride);
  const std::int64_t blocks = (queries + attention_block - 1) / attention_block;
  for (std::int64_t b = 0; b < blocks; ++b) {
    const std::int64_t row = queries * b / blocks, rows = queries * (b + 1) / blocks - row;
    const T* const here = p + row * keys;
    gemm<T>(rows, keys, head_dim, d_o + row * o_stride, o_stride, v_packed, block, keys, nullptr,
            nullptr, 0, 0, gemm_panels<T>(keys));
    softmax_backward<T>(block, nullptr, block, here, rows, keys, keys, keys, scale);
    gemm<T>(rows, head_dim, keys, block, keys, k_packed, dq + row * q_stride, q_stride, nullptr,
            dq + row * q_stride, q_stride, 0, gemm_panels<T>(head_dim));
    gemm_tn<T>(rows, keys, head_dim, block, keys, q + row * q_stride, q_stride, dk, kv_stride);
    gemm_tn<T>(rows, keys, head_dim, here, keys, d_o + row * o_stride, o_stride, dv, kv_stride);
  }
}
