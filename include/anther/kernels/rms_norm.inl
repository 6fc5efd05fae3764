// The bodies of rms_norm.hpp: some rows, serially.

// The sum over a row of a b c; c may be null, which stands for ones.
template <class T>
ANTHER_INLINE T rms_norm_sum(const T* a, const T* b, const T* c, std::int64_t channels) {
  constexpr std::int64_t lanes = Vec<T>::lanes;
  Vec<T> part[2] = {Vec<T>::zero(), Vec<T>::zero()};
  std::int64_t i = 0;
  for (; i + 2 * lanes <= channels; i += 2 * lanes) ANTHER_UNROLL for (int j = 0; j < 2; ++j) {
      Vec<T> value = Vec<T>::load(a + i + j * lanes);
      if (c) value = value * Vec<T>::load(c + i + j * lanes);
      part[j] = fma(value, Vec<T>::load(b + i + j * lanes), part[j]);
    }
  for (; i < channels; i += lanes) {
    Vec<T> value = Vec<T>::load_partial(a + i, channels - i);
    if (c) value = value * Vec<T>::load_partial(c + i, channels - i);
    part[0] = fma(value, Vec<T>::load_partial(b + i, channels - i), part[0]);
  }
  return sum(part[0] + part[1]);
}

template <class T>
void rms_norm_forward_rows(T* y, T* rstd, const T* x, const T* weight, const RMSNormDims& d) {
  constexpr std::int64_t lanes = Vec<T>::lanes;
  const Vec<T> eps = Vec<T>::broadcast(static_cast<T>(d.eps));
  const Vec<T> share = Vec<T>::broadcast(T(1) / static_cast<T>(d.channels));
  for (std::int64_t row = 0; row < d.rows; ++row, x += d.channels, y += d.channels) {
    const Vec<T> squares = Vec<T>::broadcast(rms_norm_sum<T>(x, x, nullptr, d.channels));
    const Vec<T> factor = Vec<T>::broadcast(T(1)) / sqrt(fma(share, squares, eps));
    rstd[row] = factor[0];
    for (std::int64_t c = 0; c < d.channels; c += lanes) {
      const std::int64_t left = d.channels - c;
      Vec<T> value = Vec<T>::load_partial(x + c, left) * factor;
      if (weight) value = value * Vec<T>::load_partial(weight + c, left);
      value.store_partial(y + c, left);
    }
  }
}

// dweight, which is added to, has room for whole vectors.
template <class T>
void rms_norm_backward_rows(RMSNormBackward<T> o, const RMSNormDims& d) {
  constexpr std::int64_t lanes = Vec<T>::lanes;
  const T share = T(1) / static_cast<T>(d.channels);
  for (std::int64_t row = 0; row < d.rows; ++row) {
    const T r = o.rstd[row];
    const T dot = rms_norm_sum<T>(o.dy, o.x, o.weight, d.channels);
    const Vec<T> factor = Vec<T>::broadcast(r);
    const Vec<T> slope = Vec<T>::broadcast(r * (r * (r * (share * -dot))));
    for (std::int64_t c = 0; c < d.channels; c += lanes) {
      const std::int64_t left = d.channels - c;
      const Vec<T> x = Vec<T>::load_partial(o.x + c, left);
      const Vec<T> scaled = factor * Vec<T>::load_partial(o.dy + c, left);
      fma(scaled, x, Vec<T>::load(o.dweight + c)).store(o.dweight + c);
      if (!o.dx) continue;
      Vec<T> value = scaled;
      if (o.weight) value = value * Vec<T>::load_partial(o.weight + c, left);
      value = fma(x, slope, value);
      if (o.add) value = Vec<T>::load_partial(o.add + c, left) + value;
      value.store_partial(o.dx + c, left);
    }
    o.dy += d.channels;
    o.x += d.channels;
    if (o.dx) o.dx += d.channels;
    if (o.add) o.add += d.channels;
  }
}
