// The bodies of attention.hpp: one head of one sample, serially. Scores are computed for a block of
// queries at a time, and so stay in the cache.

// The queries of a block, at most; blocks are as even as they can be.
constexpr std::int64_t attention_block = 64;

template <class T>
std::int64_t attention_head_workspace(const AttentionDims& d, bool dropout) {
  return gemm_packed_size<T>(d.keys, d.head_dim) + gemm_packed_size<T>(d.head_dim, d.keys) +
         (dropout ? 2 : 1) * attention_block * d.keys;
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

// y = x B, the columns below `limit` alone; a few more may be written. B was packed with d.columns.
template <class T>
void attention_product_before(T* y, const T* x, const T* packed, const GemmDims& d,
                              std::int64_t limit) {
  std::int64_t last = gemm_panels<T>(d.columns);
  while (last > 1 && gemm_panel<T>(d.columns, last - 1).column >= limit) --last;
  gemm<T>({y, nullptr, x, packed, nullptr}, d, 0, last);
}

// y = x B + add for the first `limit` columns of x and rows of B, which was packed with d.depth.
template <class T>
void attention_product_within(T* y, const T* add, const T* x, const T* packed, const GemmDims& d,
                              std::int64_t limit) {
  for (std::int64_t number = 0; number < gemm_panels<T>(d.columns); ++number) {
    const GemmPanel panel = gemm_panel<T>(d.columns, number);
    GemmDims part = d;
    part.columns = panel.columns;
    part.depth = limit;
    gemm<T>({y + panel.column, add ? add + panel.column : nullptr, x,
             packed + panel.column * d.depth, nullptr},
            part, 0, 1);
  }
}

// How many keys the query `row` sees, of which the mask may hide some more.
template <class T>
ANTHER_INLINE std::int64_t attention_limit(const AttentionMask<T>& mask, std::int64_t row,
                                           std::int64_t keys) {
  return mask.causal && row + 1 < keys ? row + 1 : keys;
}

// s = scale s + mask, a row of products. Returns whether the query sees any key.
template <class T>
bool attention_add_mask(T* s, std::int64_t row, std::int64_t columns, T scale,
                        const AttentionMask<T>& mask) {
  constexpr T hidden = -std::numeric_limits<T>::infinity();
  bool sees = false;
  for (std::int64_t j = 0; j < columns; ++j) {
    const std::int64_t at = row * mask.query_stride + j * mask.key_stride;
    s[j] = mask.kept && mask.kept[at] == 0 ? hidden
           : mask.added                    ? scale * s[j] + mask.added[at]
                                           : scale * s[j];
    sees |= s[j] != hidden;
  }
  return sees;
}

// The probabilities of a row, in the place of its products; 0 for keys that the query does not see.
template <class T>
void attention_softmax_row(T* s, std::int64_t row, const AttentionDims& d,
                           const AttentionMask<T>& mask) {
  const std::int64_t columns = attention_limit(mask, row, d.keys);
  const bool is_masked = mask.added || mask.kept;
  std::int64_t seen = columns;
  if (is_masked && !attention_add_mask(s, row, columns, static_cast<T>(d.scale), mask)) seen = 0;
  if (seen > 0) softmax_forward<T>(s, s, {1, columns, d.keys, d.keys, is_masked ? 1 : d.scale});
  for (std::int64_t j = seen; j < d.keys; ++j) s[j] = T(0);
}

// o = dropout(softmax(scale q k^T + mask)) v. o.probabilities (queries, keys): where the
// probabilities are kept, or null.
template <class T>
void attention_head_forward(AttentionForward<T> o, T* workspace, const AttentionDims& d,
                            const AttentionMask<T>& mask) {
  T* const k_packed = workspace;
  T* const v_packed = k_packed + gemm_packed_size<T>(d.keys, d.head_dim);
  T* const block = v_packed + gemm_packed_size<T>(d.head_dim, d.keys);
  attention_pack_turned(k_packed, o.k, d);
  attention_pack(v_packed, o.v, d);
  const bool plain = !mask.added && !mask.kept && !mask.causal;
  const std::int64_t blocks = (d.queries + attention_block - 1) / attention_block;
  for (std::int64_t b = 0; b < blocks; ++b) {
    const std::int64_t row = d.queries * b / blocks, rows = d.queries * (b + 1) / blocks - row;
    const std::int64_t limit = attention_limit(mask, row + rows - 1, d.keys);
    T* const scores = o.probabilities ? o.probabilities + row * d.keys : block;
    attention_product_before<T>(scores, o.q + row * d.q_stride, k_packed,
                                {rows, d.keys, d.head_dim, d.q_stride, d.keys}, limit);
    if (plain)
      softmax_forward<T>(scores, scores, {rows, d.keys, d.keys, d.keys, d.scale});
    else
      for (std::int64_t i = 0; i < rows; ++i)
        attention_softmax_row(scores + i * d.keys, row + i, d, mask);
    if (mask.dropout_p > 0)
      for (std::int64_t i = 0; i < rows; ++i)
        attention_dropout_row(block + i * d.keys, scores + i * d.keys, row + i, limit, mask);
    attention_product_within<T>(o.o + row * d.o_stride(), nullptr,
                                mask.dropout_p > 0 ? block : scores, v_packed,
                                {rows, d.head_dim, d.keys, d.keys, d.o_stride()}, limit);
  }
}

// dq, dk and dv, which start as what is to be added to. With p the probabilities, m dropout's
// factors, and dp = m do v^T:
//   dv += (m p)^T do;  ds = p (dp - rowsum(p dp));  dq += scale ds k;  dk += scale ds^T q
template <class T>
void attention_head_backward(AttentionBackward<T> o, T* workspace, const AttentionDims& d,
                             const AttentionMask<T>& mask) {
  T* const v_packed = workspace;
  T* const k_packed = v_packed + gemm_packed_size<T>(d.keys, d.head_dim);
  T* const block = k_packed + gemm_packed_size<T>(d.head_dim, d.keys);
  T* const dropped = block + attention_block * d.keys;
  attention_pack_turned(v_packed, o.v, d);
  attention_pack(k_packed, o.k, d);
  const std::int64_t blocks = (d.queries + attention_block - 1) / attention_block;
  for (std::int64_t b = 0; b < blocks; ++b) {
    const std::int64_t row = d.queries * b / blocks, rows = d.queries * (b + 1) / blocks - row;
    const std::int64_t limit = attention_limit(mask, row + rows - 1, d.keys);
    const T* const here = o.probabilities + row * d.keys;
    const T* const do_here = o.d_o + row * d.o_stride();
    T* const dq_here = o.dq + row * d.q_stride;
    attention_product_before<T>(block, do_here, v_packed,
                                {rows, d.keys, d.head_dim, d.o_stride(), d.keys}, limit);
    const T* used = here;
    if (mask.dropout_p > 0) {
      for (std::int64_t i = 0; i < rows; ++i) {
        T* const dp = block + i * d.keys;
        attention_dropout_row(dp, dp, row + i, limit, mask);
        attention_dropout_row(dropped + i * d.keys, here + i * d.keys, row + i, limit, mask);
      }
      used = dropped;
    }
    softmax_backward<T>(block, nullptr, block, here, {rows, limit, d.keys, d.keys, d.scale});
    attention_product_within<T>(dq_here, dq_here, block, k_packed,
                                {rows, d.head_dim, d.keys, d.keys, d.q_stride, d.q_stride}, limit);
    gemm_tn<T>(o.dk, block, o.q + row * d.q_stride,
               {rows, limit, d.head_dim, d.keys, d.q_stride, d.kv_stride});
    gemm_tn<T>(o.dv, used, do_here, {rows, limit, d.head_dim, d.keys, d.o_stride(), d.kv_stride});
    if (!o.dscores) continue;
    const T share = static_cast<T>(1 / d.scale);
    for (std::int64_t i = 0; i < rows; ++i)
      for (std::int64_t j = 0; j < d.keys; ++j)
        o.dscores[(row + i) * d.keys + j] = j < limit ? share * block[i * d.keys + j] : T(0);
  }
}
