// The bodies of cross_entropy.hpp: one row, serially.

// dlogits = dlogits_add + factor (e^(logits - greatest - log_sum) - base), over one row. log_sums:
// these two.
template <class T>
void cross_entropy_backward_row(T* dlogits, const T* dlogits_add, const T* logits,
                                std::int64_t columns, const T* log_sums, T factor, T base) {
  constexpr std::int64_t lanes = Vec<T>::lanes;
  const Vec<T> greatest = Vec<T>::broadcast(log_sums[0]);
  const Vec<T> log_sum = Vec<T>::broadcast(log_sums[1]), times = Vec<T>::broadcast(factor);
  const Vec<T> less = Vec<T>::broadcast(base), log2 = Vec<T>::broadcast(log2_e<T>);
  std::int64_t c = 0;
  for (; c + lanes <= columns; c += lanes) {
    Vec<T> value = times * (exp2(Vec<T>::load(logits + c) - greatest - log_sum, log2) - less);
    if (dlogits_add) value = Vec<T>::load(dlogits_add + c) + value;
    value.store(dlogits + c);
  }
  if (c == columns) return;
  const std::int64_t left = columns - c;
  Vec<T> value =
      times * (exp2(Vec<T>::load_partial(logits + c, left) - greatest - log_sum, log2) - less);
  if (dlogits_add) value = Vec<T>::load_partial(dlogits_add + c, left) + value;
  store_first(value, dlogits + c, left);
}
