// The bodies of attention.hpp: one head of one sample, serially. Scores are computed for a block of
// queries at a time, and so stay in the cache.

// The queries of a block, at most; blocks are as even as they can be.
constexpr std::int64_t attention_block = 64;

template <class T>
std::int64_t attention_head_workspace(const AttentionDims& d) {
  return gemm_packed_size<T>(d.keys, d.head_dim) + gemm_packed_size<T>(d.head_dim, d.keys) +
         attention_block * d.keys;
}

// A product of all panels.
template <class T>
void attention_product(T* y, const T* add, const T* x, const T* packed, const GemmDims& d) {
  gemm<T>({y, add, x, packed, nullptr}, d, 0, gemm_panels<T>(d.columns));
}

// k^T or v^T (head_dim, keys) as a product's B, packed.
template <class T>
void attention_pack_turned(T* packed, const T* rows, const AttentionDims& d) {
  gemm_pack<T>(packed, rows, {d.keys, d.head_dim, d.kv_stride, 1});
}

// k or v (keys, head_dim) as a product's B, packed.
template <class T>
void attention_pack(T* packed, const T* rows, const AttentionDims& d) {
  gemm_pack<T>(packed, rows, {d.head_dim, d.keys, 1, d.kv_stride});
}

// o = softmax(scale q k^T) v. p (queries, keys): where the probabilities are kept, or null.
template <class T>
void attention_head_forward(T* o, T* p, const T* q, const T* k, const T* v, T* workspace,
                            const AttentionDims& d) {
  T* const k_packed = workspace;
  T* const v_packed = k_packed + gemm_packed_size<T>(d.keys, d.head_dim);
  T* const block = v_packed + gemm_packed_size<T>(d.head_dim, d.keys);
  attention_pack_turned(k_packed, k, d);
  attention_pack(v_packed, v, d);
  const std::int64_t blocks = (d.queries + attention_block - 1) / attention_block;
  for (std::int64_t b = 0; b < blocks; ++b) {
    const std::int64_t row = d.queries * b / blocks, rows = d.queries * (b + 1) / blocks - row;
    T* const scores = p ? p + row * d.keys : block;
    attention_product<T>(scores, nullptr, q + row * d.q_stride, k_packed,
                         {rows, d.keys, d.head_dim, d.q_stride, d.keys});
    softmax_forward<T>(scores, scores, {rows, d.keys, d.keys, d.keys, d.scale});
    attention_product<T>(o + row * d.o_stride(), nullptr, scores, v_packed,
                         {rows, d.head_dim, d.keys, d.keys, d.o_stride()});
  }
}

// dq, dk and dv, which start as what is to be added to. With p the probabilities:
//   dv += p^T do;  ds = p (do v^T - rowsum(p do v^T));  dq += scale ds k;  dk += scale ds^T q
template <class T>
void attention_head_backward(AttentionBackward<T> o, T* workspace, const AttentionDims& d) {
  T* const v_packed = workspace;
  T* const k_packed = v_packed + gemm_packed_size<T>(d.keys, d.head_dim);
  T* const block = k_packed + gemm_packed_size<T>(d.head_dim, d.keys);
  attention_pack_turned(v_packed, o.v, d);
  attention_pack(k_packed, o.k, d);
  const std::int64_t blocks = (d.queries + attention_block - 1) / attention_block;
  for (std::int64_t b = 0; b < blocks; ++b) {
    const std::int64_t row = d.queries * b / blocks, rows = d.queries * (b + 1) / blocks - row;
    const T* const here = o.probabilities + row * d.keys;
    const T* const do_here = o.d_o + row * d.o_stride();
    T* const dq_here = o.dq + row * d.q_stride;
    attention_product<T>(block, nullptr, do_here, v_packed,
                         {rows, d.keys, d.head_dim, d.o_stride(), d.keys});
    softmax_backward<T>(block, nullptr, block, here, {rows, d.keys, d.keys, d.keys, d.scale});
    attention_product<T>(dq_here, dq_here, block, k_packed,
                         {rows, d.head_dim, d.keys, d.keys, d.q_stride, d.q_stride});
    gemm_tn<T>(o.dk, block, o.q + row * d.q_stride,
               {rows, d.keys, d.head_dim, d.keys, d.q_stride, d.kv_stride});
    gemm_tn<T>(o.dv, here, do_here, {rows, d.keys, d.head_dim, d.keys, d.o_stride(), d.kv_stride});
  }
}
