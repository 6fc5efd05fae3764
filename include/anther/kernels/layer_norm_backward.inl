// The bodies of LayerNorm's backward. See layer_norm.hpp and layer_norm.inl.

// The statistics that turn a row of dy into one of dx: with g = w dy and d = x - mean,
// dx = g rstd + d slope + offset.
template <class T>
struct LayerNormRow {
  T mean, rstd, slope, offset;
};

// Of the sums over a row of g and of g d. With x^ = d rstd and means over the row:
// dx = rstd (g - mean(g) - x^ mean(g x^)).
template <class T>
ANTHER_INLINE LayerNormRow<T> layer_norm_row(T mean, T rstd, T g_sum, T gd_sum, T share) {
  return {mean, rstd, rstd * (rstd * (rstd * (share * gd_sum))), rstd * (share * g_sum)};
}

// One vector of the dx of `rows` rows, and of what they add to dweight and dbias; `count` elements
// of it.
template <class T, bool whole>
ANTHER_INLINE void layer_norm_dx_step(LayerNormBackward<T> o, const LayerNormRow<T>* row,
                                      std::int64_t rows, std::int64_t channels, std::int64_t at,
                                      std::int64_t c, std::int64_t count) {
  const Vec<T> w = !o.weight ? Vec<T>::broadcast(T(1))
                   : whole   ? Vec<T>::load(o.weight + c)
                             : Vec<T>::load_partial(o.weight + c, count);
  Vec<T> sum = Vec<T>::zero(), product = Vec<T>::zero();
  for (std::int64_t i = 0; i < rows; ++i, at += channels) {
    const Vec<T> gradient =
        whole ? Vec<T>::load(o.dy + at) : Vec<T>::load_partial(o.dy + at, count);
    const Vec<T> d = (whole ? Vec<T>::load(o.x + at) : Vec<T>::load_partial(o.x + at, count)) -
                     Vec<T>::broadcast(row[i].mean);
    const Vec<T> scaled = gradient * Vec<T>::broadcast(row[i].rstd);
    sum = sum + gradient;
    product = fma(scaled, d, product);
    if (!o.dx) continue;
    Vec<T> value = fma(d, Vec<T>::broadcast(row[i].slope), Vec<T>::broadcast(row[i].offset));
    value = fma(scaled, w, value);
    if (o.add)
      value = value + (whole ? Vec<T>::load(o.add + at) : Vec<T>::load_partial(o.add + at, count));
    if (whole)
      value.store(o.dx + at);
    else
      store_first(value, o.dx + at, count);
  }
  (Vec<T>::load(o.dweight + c) + product).store(o.dweight + c);
  (Vec<T>::load(o.dbias + c) + sum).store(o.dbias + c);
}

// dx, dweight and dbias of `rows` rows from `first` on.
template <class T>
void layer_norm_dx(LayerNormBackward<T> o, const LayerNormRow<T>* row, std::int64_t first,
                   std::int64_t rows, std::int64_t channels, StreamedPiece<T>& before) {
  constexpr int lanes = Vec<T>::lanes;
  const std::int64_t at = first * channels;
  std::int64_t c = 0;
  for (; c + lanes <= channels; c += lanes) {
    if (rows > 1) stream_lines(before, layer_norm_lines(lanes / 2, 2));
    layer_norm_dx_step<T, true>(o, row, rows, channels, at + c, c, lanes);
  }
  if (c < channels) layer_norm_dx_step<T, false>(o, row, rows, channels, at + c, c, channels - c);
}

// One row.
template <class T>
void layer_norm_backward_row(LayerNormBackward<T> o, std::int64_t row, std::int64_t channels,
                             StreamedPiece<T>& before) {
  constexpr std::int64_t lanes = Vec<T>::lanes;
  const T *const dy = o.dy + row * channels, *const x = o.x + row * channels;
  const Vec<T> one = Vec<T>::broadcast(T(1)), center = Vec<T>::broadcast(o.mean[row]);
  Vec<T> g_sum = Vec<T>::zero(), gd_sum = Vec<T>::zero();
  for (std::int64_t c = 0; c < channels; c += lanes) {
    const std::int64_t count = channels - c;
    const Vec<T> w = o.weight ? Vec<T>::load_partial(o.weight + c, count) : one;
    const Vec<T> g = w * Vec<T>::load_partial(dy + c, count);  // 0 behind the last channel
    g_sum = g_sum + g;
    gd_sum = fma(g, Vec<T>::load_partial(x + c, count) - center, gd_sum);
  }
  const LayerNormRow<T> statistics =
      layer_norm_row(o.mean[row], o.rstd[row], lane_sum(g_sum)[0], lane_sum(gd_sum)[0],
                     T(-1) / static_cast<T>(channels));
  layer_norm_dx(o, &statistics, row, 1, channels, before);
}

// Half as many rows as there are lanes, whose two sums are then one vector, from `first` on.
template <class T>
void layer_norm_backward_block(LayerNormBackward<T> o, std::int64_t first, std::int64_t channels,
                               StreamedPiece<T>& before) {
  constexpr int lanes = Vec<T>::lanes, rows = lanes / 2;
  const T *const dy = o.dy + first * channels, *const x = o.x + first * channels;
  const T *const mean = o.mean + first, *const rstd = o.rstd + first;
  const Vec<T> one = Vec<T>::broadcast(T(1));
  Vec<T> total[lanes];
  ANTHER_UNROLL for (int i = 0; i < lanes; ++i) total[i] = Vec<T>::zero();
  std::int64_t c = 0;
  for (; c + lanes <= channels; c += lanes) {
    layer_norm_prefetch<T, rows>(x + c * rows, channels);
    layer_norm_prefetch<T, rows>(dy + c * rows, channels);
    stream_lines(before, layer_norm_lines(rows, 2));
    const Vec<T> w = o.weight ? Vec<T>::load(o.weight + c) : one;
    ANTHER_UNROLL for (int i = 0; i < rows; ++i) {
      const std::int64_t at = i * channels + c;
      const Vec<T> g = w * Vec<T>::load(dy + at);
      total[i] = total[i] + g;
      total[rows + i] = fma(g, Vec<T>::load(x + at) - Vec<T>::broadcast(mean[i]), total[rows + i]);
    }
  }
  T sums[lanes][lanes], sum[lanes];
  ANTHER_UNROLL for (int i = 0; i < lanes; ++i) total[i].store(sums[i]);
  if (c < channels) {
    const std::int64_t tail = channels - c;
    const Vec<T> w = o.weight ? Vec<T>::load_partial(o.weight + c, tail) : one;
    for (int i = 0; i < rows; ++i) {
      const std::int64_t at = i * channels + c;
      const Vec<T> g = w * Vec<T>::load_partial(dy + at, tail);  // 0 behind the last channel
      const Vec<T> d = Vec<T>::load_partial(x + at, tail) - Vec<T>::broadcast(mean[i]);
      (Vec<T>::load(sums[i]) + g).store(sums[i]);
      fma(g, d, Vec<T>::load(sums[rows + i])).store(sums[rows + i]);
    }
  }
  layer_norm_lane_sums(sum, sums[0]);
  LayerNormRow<T> row[rows];
  for (int i = 0; i < rows; ++i)
    row[i] =
        layer_norm_row(mean[i], rstd[i], sum[i], sum[rows + i], T(-1) / static_cast<T>(channels));
  layer_norm_dx(o, row, first, rows, channels, before);
}

// Rows of at most `vectors` and more than `fewer` vectors: each is read once, and dweight and dbias
// stay in registers.
template <class T, int fewer, int vectors>
void layer_norm_backward_short(LayerNormBackward<T> o, const LayerNormDims& dims,
                               StreamedPiece<T>& before) {
  const std::int64_t channels = dims.channels;
  const Vec<T> share = Vec<T>::broadcast(T(-1) / static_cast<T>(channels));
  const T *dy = o.dy, *x = o.x, *add = o.add;
  T* dx = o.dx;
  std::int64_t counts[vectors];
  Vec<T> w[vectors], product[vectors], sum[vectors];
  ANTHER_UNROLL for (int j = 0; j < vectors; ++j) {
    counts[j] = layer_norm_count<T>(j, channels);
    w[j] = o.weight ? layer_norm_load<T, fewer>(o.weight, j, counts) : Vec<T>::broadcast(T(1));
    product[j] = layer_norm_load<T, fewer>(o.dweight, j, counts);
    sum[j] = layer_norm_load<T, fewer>(o.dbias, j, counts);
  }
  for (std::int64_t row = 0; row < dims.rows; ++row) {
    stream_lines(before, vectors * vector_bytes / 64);
    const Vec<T> center = Vec<T>::broadcast(o.mean[row]), r = Vec<T>::broadcast(o.rstd[row]);
    Vec<T> gradient[vectors], d[vectors], g_sum = Vec<T>::zero(), gd_sum = Vec<T>::zero();
    ANTHER_UNROLL for (int j = 0; j < vectors; ++j) {
      gradient[j] = layer_norm_load<T, fewer>(dy, j, counts);
      d[j] = layer_norm_load<T, fewer>(x, j, counts) - center;
      const Vec<T> g = w[j] * gradient[j];  // 0 behind the last channel, as dy is
      g_sum = g_sum + g;
      gd_sum = fma(g, d[j], gd_sum);
    }
    // See layer_norm_row.
    const Vec<T> slope = r * (r * (r * (share * lane_sum(gd_sum))));
    const Vec<T> offset = r * (share * lane_sum(g_sum));
    ANTHER_UNROLL for (int j = 0; j < vectors; ++j) {
      const Vec<T> scaled = gradient[j] * r;
      sum[j] = sum[j] + gradient[j];
      product[j] = fma(scaled, d[j], product[j]);
      if (!dx) continue;
      Vec<T> value = fma(scaled, w[j], fma(d[j], slope, offset));
      if (add) value = value + layer_norm_load<T, fewer>(add, j, counts);
      layer_norm_store<T, fewer>(value, dx, j, counts);
    }
    dy += channels;
    x += channels;
    if (dx) dx += channels;
    if (add) add += channels;
  }
  ANTHER_UNROLL for (int j = 0; j < vectors; ++j) {
    layer_norm_store<T, fewer>(product[j], o.dweight, j, counts);
    layer_norm_store<T, fewer>(sum[j], o.dbias, j, counts);
  }
}

// dweight and dbias, which are added to, have room for whole vectors. before: see stream_pieces.
template <class T>
void layer_norm_backward_tile(LayerNormBackward<T> o, const LayerNormDims& dims,
                              StreamedPiece<T>& before) {
  constexpr int lanes = Vec<T>::lanes;
  if constexpr (vector_registers == 32) {
    if (dims.channels <= 3 * lanes) return layer_norm_backward_short<T, 0, 3>(o, dims, before);
    if (dims.channels <= 5 * lanes) return layer_norm_backward_short<T, 3, 5>(o, dims, before);
    if (dims.channels <= 6 * lanes) return layer_norm_backward_short<T, 5, 6>(o, dims, before);
    if (dims.channels <= 8 * lanes) return layer_norm_backward_short<T, 6, 8>(o, dims, before);
  }
  std::int64_t row = 0;
  for (; row + lanes / 2 <= dims.rows; row += lanes / 2)
    layer_norm_backward_block(o, row, dims.channels, before);
  for (; row < dims.rows; ++row) layer_norm_backward_row(o, row, dims.channels, before);
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
