// The bodies of LayerNorm. See layer_norm.hpp.

// Where lane i of half a step of lane_sums comes from, in a and b behind one another.
template <class T>
constexpr int lane_sums_from(int unit, int half, int i) {
  constexpr int lanes = Vec<T>::lanes;
  // Floats next to each other: as processors interleave them, within 16 bytes.
  if (unit == 1 && sizeof(T) == 4) return i / 4 * 4 + half * 2 + i % 4 / 2 + i % 2 * lanes;
  return i / (2 * unit) * (2 * unit) + half * unit + i % unit + i / unit % 2 * lanes;
}

template <class T, int unit, int... i>
ANTHER_INLINE Vec<T> lane_sums_step(const Vec<T>& a, const Vec<T>& b,
                                    std::integer_sequence<int, i...>) {
  return {__builtin_shufflevector(a.raw, b.raw, lane_sums_from<T>(unit, 0, i)...) +
          __builtin_shufflevector(a.raw, b.raw, lane_sums_from<T>(unit, 1, i)...)};
}

// The sums over the lanes of as many vectors as there are lanes: lane i is the sum over a[i].
template <class T, int unit = 1>
ANTHER_INLINE Vec<T> lane_sums(const Vec<T> (&a)[Vec<T>::lanes / unit]) {
  constexpr int lanes = Vec<T>::lanes;
  if constexpr (unit == lanes) {
    return a[0];
  } else {
    Vec<T> halved[lanes / unit / 2];
    ANTHER_UNROLL for (int i = 0; i < lanes / unit / 2; ++i) halved[i] =
        lane_sums_step<T, unit>(a[2 * i], a[2 * i + 1], std::make_integer_sequence<int, lanes>{});
    return lane_sums<T, 2 * unit>(halved);
  }
}

// A row's channels are whole vectors and a tail. The tail is read and written as the last vector of
// the row, which overlaps the one before it, and counted by way of a mask. It is read before
// anything is written and written last, so that outputs may be inputs. Only rows shorter than a
// vector
// (`small`) are read and written in part.

// 1 in the lanes of the tail, else 0.
template <class T, bool small>
ANTHER_INLINE Vec<T> layer_norm_tail_mask(std::int64_t tail) {
  T lane[Vec<T>::lanes];
  ANTHER_UNROLL for (int i = 0; i < Vec<T>::lanes; ++i) {
    const int rank = small ? i : Vec<T>::lanes - 1 - i;
    lane[i] = rank < tail ? T(1) : T(0);
  }
  return Vec<T>::load(lane);
}
template <class T, bool small>
ANTHER_INLINE Vec<T> layer_norm_load(const T* from, std::int64_t count) {
  return small ? Vec<T>::load_partial(from, count) : Vec<T>::load(from);
}
template <class T, bool small>
ANTHER_INLINE void layer_norm_store(const Vec<T>& value, T* to, std::int64_t count) {
  if (small)
    store_first(value, to, count);
  else
    value.store(to);
}

// One vector of the rows' y.
template <class T, int rows, bool small>
ANTHER_INLINE void layer_norm_normalise(Vec<T> (&y)[rows], const T* x, const T* mean, const T* rstd,
                                        const T* weight, const T* bias, std::int64_t channels) {
  const Vec<T> w = weight ? layer_norm_load<T, small>(weight, channels) : Vec<T>::broadcast(T(1));
  const Vec<T> b = bias ? layer_norm_load<T, small>(bias, channels) : Vec<T>::zero();
  ANTHER_UNROLL for (int i = 0; i < rows; ++i) {
    const Vec<T> d =
        layer_norm_load<T, small>(x + i * channels, channels) - Vec<T>::broadcast(mean[i]);
    y[i] = fma(d * Vec<T>::broadcast(rstd[i]), w, b);
  }
}

// `rows` rows: as many as there are lanes, whose sums are then one vector, or a single one.
template <class T, int rows, bool small>
ANTHER_INLINE void layer_norm_forward_rows(T* y, T* mean_out, T* rstd_out, const T* x,
                                           const T* weight, const T* bias, T eps,
                                           std::int64_t channels) {
  constexpr int lanes = Vec<T>::lanes;
  const std::int64_t whole = small ? 0 : channels / lanes * lanes;
  const std::int64_t tail = channels - whole, last = small ? 0 : channels - lanes;
  const Vec<T> mask = layer_norm_tail_mask<T, small>(tail);
  const Vec<T> share = Vec<T>::broadcast(T(1) / static_cast<T>(channels));
  T mean[lanes], rstd[lanes];
  Vec<T> total[lanes];
  ANTHER_UNROLL for (int i = 0; i < lanes; ++i) total[i] = Vec<T>::zero();
  for (std::int64_t c = 0; c < whole; c += lanes)
    ANTHER_UNROLL for (int i = 0; i < rows; ++i) total[i] =
        total[i] + Vec<T>::load(x + i * channels + c);
  if (tail)
    ANTHER_UNROLL for (int i = 0; i < rows; ++i) total[i] =
        fma(mask, layer_norm_load<T, small>(x + i * channels + last, channels), total[i]);
  (lane_sums<T>(total) * share).store(mean);

  ANTHER_UNROLL for (int i = 0; i < lanes; ++i) total[i] = Vec<T>::zero();
  for (std::int64_t c = 0; c < whole; c += lanes) ANTHER_UNROLL for (int i = 0; i < rows; ++i) {
      const Vec<T> d = Vec<T>::load(x + i * channels + c) - Vec<T>::broadcast(mean[i]);
      total[i] = fma(d, d, total[i]);
    }
  if (tail) ANTHER_UNROLL for (int i = 0; i < rows; ++i) {
      const Vec<T> value = layer_norm_load<T, small>(x + i * channels + last, channels);
      const Vec<T> d = mask * (value - Vec<T>::broadcast(mean[i]));
      total[i] = fma(d, d, total[i]);
    }
  rsqrt(fma(lane_sums<T>(total), share, Vec<T>::broadcast(eps))).store(rstd);
  ANTHER_UNROLL for (int i = 0; i < rows; ++i) {
    mean_out[i] = mean[i];
    rstd_out[i] = rstd[i];
  }

  Vec<T> last_y[rows];
  if (tail)
    layer_norm_normalise<T, rows, small>(last_y, x + last, mean, rstd,
                                         weight ? weight + last : nullptr,
                                         bias ? bias + last : nullptr, channels);
  for (std::int64_t c = 0; c < whole; c += lanes) {
    Vec<T> value[rows];
    layer_norm_normalise<T, rows, small>(value, x + c, mean, rstd, weight ? weight + c : nullptr,
                                         bias ? bias + c : nullptr, channels);
    ANTHER_UNROLL for (int i = 0; i < rows; ++i) value[i].store(y + i * channels + c);
  }
  if (tail)
    ANTHER_UNROLL for (int i = 0; i < rows; ++i)
        layer_norm_store<T, small>(last_y[i], y + i * channels + last, channels);
}

template <class T>
void layer_norm_forward_tile(T* y, T* mean, T* rstd, const T* x, const T* weight, const T* bias,
                             T eps, std::int64_t rows, std::int64_t channels) {
  constexpr int lanes = Vec<T>::lanes;
  std::int64_t row = 0;
  if (channels < lanes) {
    for (; row < rows; ++row)
      layer_norm_forward_rows<T, 1, true>(y + row * channels, mean + row, rstd + row,
                                          x + row * channels, weight, bias, eps, channels);
    return;
  }
  for (; row + lanes <= rows; row += lanes)
    layer_norm_forward_rows<T, lanes, false>(y + row * channels, mean + row, rstd + row,
                                             x + row * channels, weight, bias, eps, channels);
  for (; row < rows; ++row)
    layer_norm_forward_rows<T, 1, false>(y + row * channels, mean + row, rstd + row,
                                         x + row * channels, weight, bias, eps, channels);
}

// What turns a row of dy into one of dx: with g = w dy and d = x - mean,
// dx = g rstd + d slope + offset.
template <class T>
struct LayerNormRow {
  T mean, rstd, slope, offset;
};

// One vector of the rows' sums of g and of g d; w is 0 in lanes that do not count.
template <class T, int rows, bool small>
ANTHER_INLINE void layer_norm_gradient_sums(Vec<T> (&total)[Vec<T>::lanes], const T* dy, const T* x,
                                            const T* mean, const Vec<T>& w, std::int64_t channels) {
  ANTHER_UNROLL for (int i = 0; i < rows; ++i) {
    const Vec<T> g = w * layer_norm_load<T, small>(dy + i * channels, channels);
    const Vec<T> d =
        layer_norm_load<T, small>(x + i * channels, channels) - Vec<T>::broadcast(mean[i]);
    total[i] = total[i] + g;
    total[rows + i] = fma(g, d, total[rows + i]);
  }
}

// One vector of the rows' dx, and of what they add to dweight (`product`) and dbias (`sum`).
template <class T, int rows, bool small>
ANTHER_INLINE void layer_norm_dx(Vec<T> (&dx)[rows], Vec<T>& product, Vec<T>& sum, const T* add,
                                 const T* dy, const T* x, const LayerNormRow<T>* row,
                                 const Vec<T>& w, std::int64_t channels) {
  sum = product = Vec<T>::zero();
  ANTHER_UNROLL for (int i = 0; i < rows; ++i) {
    const std::int64_t at = i * channels;
    const Vec<T> gradient = layer_norm_load<T, small>(dy + at, channels);
    const Vec<T> d = layer_norm_load<T, small>(x + at, channels) - Vec<T>::broadcast(row[i].mean);
    const Vec<T> scaled = gradient * Vec<T>::broadcast(row[i].rstd);
    sum = sum + gradient;
    product = fma(scaled, d, product);
    dx[i] = fma(d, Vec<T>::broadcast(row[i].slope), Vec<T>::broadcast(row[i].offset));
    dx[i] = fma(scaled, w, dx[i]);
    if (add) dx[i] = dx[i] + layer_norm_load<T, small>(add + at, channels);
  }
}

// `rows` rows: half as many as there are lanes, whose two sums are then one vector, or a single
// one.
template <class T, int rows, bool small>
ANTHER_INLINE void layer_norm_backward_rows(T* dx, const T* add, T* dweight, T* dbias, const T* dy,
                                            const T* x, const T* mean, const T* rstd,
                                            const T* weight, std::int64_t channels) {
  constexpr int lanes = Vec<T>::lanes;
  const std::int64_t whole = small ? 0 : channels / lanes * lanes;
  const std::int64_t tail = channels - whole, last = small ? 0 : channels - lanes;
  const Vec<T> one = Vec<T>::broadcast(T(1));
  const Vec<T> mask = layer_norm_tail_mask<T, small>(tail);
  const Vec<T> last_w = weight ? layer_norm_load<T, small>(weight + last, channels) : one;
  Vec<T> total[lanes];
  ANTHER_UNROLL for (int i = 0; i < lanes; ++i) total[i] = Vec<T>::zero();
  for (std::int64_t c = 0; c < whole; c += lanes)
    layer_norm_gradient_sums<T, rows, false>(total, dy + c, x + c, mean,
                                             weight ? Vec<T>::load(weight + c) : one, channels);
  if (tail)
    layer_norm_gradient_sums<T, rows, small>(total, dy + last, x + last, mean, last_w * mask,
                                             channels);
  T sums[lanes];
  lane_sums<T>(total).store(sums);
  // With x^ = d rstd and means over the row: dx = rstd (g - mean(g) - x^ mean(g x^)).
  const T share = T(-1) / static_cast<T>(channels);
  LayerNormRow<T> row[rows];
  ANTHER_UNROLL for (int i = 0; i < rows; ++i) {
    const T r = rstd[i];
    row[i] = {mean[i], r, r * (r * (r * (share * sums[rows + i]))), r * (share * sums[i])};
  }
  Vec<T> last_dx[rows], product, sum;
  if (tail) {
    layer_norm_dx<T, rows, small>(last_dx, product, sum, add ? add + last : nullptr, dy + last,
                                  x + last, row, last_w, channels);
    fma(product, mask, Vec<T>::load(dweight + last)).store(dweight + last);
    fma(sum, mask, Vec<T>::load(dbias + last)).store(dbias + last);
  }
  for (std::int64_t c = 0; c < whole; c += lanes) {
    Vec<T> value[rows];
    layer_norm_dx<T, rows, false>(value, product, sum, add ? add + c : nullptr, dy + c, x + c, row,
                                  weight ? Vec<T>::load(weight + c) : one, channels);
    (Vec<T>::load(dweight + c) + product).store(dweight + c);
    (Vec<T>::load(dbias + c) + sum).store(dbias + c);
    if (dx) ANTHER_UNROLL for (int i = 0; i < rows; ++i) value[i].store(dx + i * channels + c);
  }
  if (tail && dx)
    ANTHER_UNROLL for (int i = 0; i < rows; ++i)
        layer_norm_store<T, small>(last_dx[i], dx + i * channels + last, channels);
}

// dweight and dbias are this tile's, with room for whole vectors.
template <class T>
void layer_norm_backward_tile(T* dx, const T* add, T* dweight, T* dbias, const T* dy, const T* x,
                              const T* mean, const T* rstd, const T* weight, std::int64_t rows,
                              std::int64_t channels) {
  constexpr int lanes = Vec<T>::lanes;
  for (std::int64_t c = 0; c < channels; c += lanes) {
    Vec<T>::zero().store(dweight + c);
    Vec<T>::zero().store(dbias + c);
  }
  std::int64_t row = 0;
#define ANTHER_ROWS(count, small)                                                               \
  layer_norm_backward_rows<T, count, small>(                                                    \
      dx ? dx + row * channels : nullptr, add ? add + row * channels : nullptr, dweight, dbias, \
      dy + row * channels, x + row * channels, mean + row, rstd + row, weight, channels);       \
  row += count
  while (channels < lanes && row < rows) {
    ANTHER_ROWS(1, true);
  }
  while (row + lanes / 2 <= rows) {
    ANTHER_ROWS(lanes / 2, false);
  }
  while (row < rows) {
    ANTHER_ROWS(1, false);
  }
#undef ANTHER_ROWS
}

// to += the tiles' parts, in order; those of two tiles are `stride` elements apart.
template <class T>
void layer_norm_add_parts(T* to, const T* parts, std::int64_t tiles, std::int64_t channels,
                          std::int64_t stride) {
  for (std::int64_t c = 0; c < channels; c += Vec<T>::lanes) {
    Vec<T> total = Vec<T>::load(parts + c);
    for (std::int64_t tile = 1; tile < tiles; ++tile)
      total = total + Vec<T>::load(parts + tile * stride + c);
    total = total + Vec<T>::load_partial(to + c, channels - c);
    total.store_partial(to + c, channels - c);
  }
}
