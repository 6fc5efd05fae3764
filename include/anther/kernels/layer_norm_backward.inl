// The bodies of LayerNorm's backward. See layer_norm.hpp and layer_norm.inl.

// The statistics that turn a row of dy into one of dx: with g = w dy and d = x - mean - rest,
// dx = g rstd + d slope + offset.
template <class T>
struct LayerNormRow {
  T mean, rest, rstd, slope, offset;
};

// One vector of the rows' sums of g and of g (x - mean).
template <class T, int rows, bool is_whole>
ANTHER_INLINE void layer_norm_sums_step(Vec<T> (&total)[Vec<T>::lanes], const T* dy, const T* x,
                                        const T* mean, const T* weight, std::int64_t channels,
                                        std::int64_t count) {
  const Vec<T> w = !weight    ? Vec<T>::broadcast(T(1))
                   : is_whole ? Vec<T>::load(weight)
                              : Vec<T>::load_partial(weight, count);
  ANTHER_UNROLL for (int i = 0; i < rows; ++i) {
    const std::int64_t at = i * channels;
    // dy is 0 behind the last channel, so the products are.
    const Vec<T> g = w * (is_whole ? Vec<T>::load(dy + at) : Vec<T>::load_partial(dy + at, count));
    const Vec<T> d = (is_whole ? Vec<T>::load(x + at) : Vec<T>::load_partial(x + at, count)) -
                     Vec<T>::broadcast(mean[2 * i]);
    total[i] = total[i] + g;
    total[rows + i] = fma(g, d, total[rows + i]);
  }
}

// One vector of the rows' dx, and of what they add to dweight and dbias.
template <class T, int rows, bool is_whole>
ANTHER_INLINE void layer_norm_dx_step(LayerNormBackward<T> o, const LayerNormRow<T>* row,
                                      std::int64_t channels, std::int64_t count) {
  const Vec<T> w = !o.weight  ? Vec<T>::broadcast(T(1))
                   : is_whole ? Vec<T>::load(o.weight)
                              : Vec<T>::load_partial(o.weight, count);
  Vec<T> sum = Vec<T>::zero(), product = Vec<T>::zero();
  ANTHER_UNROLL for (int i = 0; i < rows; ++i) {
    const std::int64_t at = i * channels;
    const Vec<T> gradient =
        is_whole ? Vec<T>::load(o.dy + at) : Vec<T>::load_partial(o.dy + at, count);
    const Vec<T> d = ((is_whole ? Vec<T>::load(o.x + at) : Vec<T>::load_partial(o.x + at, count)) -
                      Vec<T>::broadcast(row[i].mean)) -
                     Vec<T>::broadcast(row[i].rest);
    const Vec<T> scaled = gradient * Vec<T>::broadcast(row[i].rstd);
    sum = sum + gradient;
    product = fma(scaled, d, product);
    if (o.dx) {
      Vec<T> value = fma(d, Vec<T>::broadcast(row[i].slope), Vec<T>::broadcast(row[i].offset));
      value = fma(scaled, w, value);
      if (o.add)
        value =
            value + (is_whole ? Vec<T>::load(o.add + at) : Vec<T>::load_partial(o.add + at, count));
      if (is_whole)
        value.store(o.dx + at);
      else
        store_first(value, o.dx + at, count);
    }
  }
  (Vec<T>::load(o.dweight) + product).store(o.dweight);
  (Vec<T>::load(o.dbias) + sum).store(o.dbias);
}

// The same, from channel c on.
template <class T>
ANTHER_INLINE LayerNormBackward<T> layer_norm_from_channel(LayerNormBackward<T> o, std::int64_t c) {
  return {o.dx ? o.dx + c : nullptr,
          o.add ? o.add + c : nullptr,
          o.dweight + c,
          o.dbias + c,
          o.dy + c,
          o.x + c,
          o.mean,
          o.rstd,
          o.weight ? o.weight + c : nullptr};
}

// `rows` rows: half as many as there are lanes, whose two sums are then one vector, or a single
// one.
template <class T, int rows>
ANTHER_INLINE void layer_norm_backward_rows(LayerNormBackward<T> o, std::int64_t channels,
                                            StreamedPiece<T>& before) {
  constexpr int lanes = Vec<T>::lanes;
  const T *const dy = o.dy, *const x = o.x, *const mean = o.mean, *const weight = o.weight;
  Vec<T> total[lanes];
  ANTHER_UNROLL for (int i = 0; i < lanes; ++i) total[i] = Vec<T>::zero();
  std::int64_t c = 0;
  for (; c + lanes <= channels; c += lanes) {
    layer_norm_prefetch<T, rows>(x + c * rows, channels);
    layer_norm_prefetch<T, rows>(dy + c * rows, channels);
    layer_norm_stream<T, rows, 2>(before);
    layer_norm_sums_step<T, rows, true>(total, dy + c, x + c, mean, weight ? weight + c : nullptr,
                                        channels, lanes);
  }
  if (c < channels)
    layer_norm_sums_step<T, rows, false>(total, dy + c, x + c, mean, weight ? weight + c : nullptr,
                                         channels, channels - c);
  T sums[lanes];
  lane_sums<T>(total).store(sums);
  // With x^ = d rstd and means over the row: dx = rstd (g - mean(g) - x^ mean(g x^)).
  const T share = T(-1) / static_cast<T>(channels);
  LayerNormRow<T> row[rows];
  ANTHER_UNROLL for (int i = 0; i < rows; ++i) {
    const T r = o.rstd[i], rest = mean[2 * i + 1];
    const T gd = fma(Vec<T>::broadcast(-rest), Vec<T>::broadcast(sums[i]),
                     Vec<T>::broadcast(sums[rows + i]))[0];
    row[i] = {mean[2 * i], rest, r, r * (r * (r * (share * gd))), r * (share * sums[i])};
  }
  for (c = 0; c + lanes <= channels; c += lanes) {
    layer_norm_stream<T, rows, 2>(before);
    layer_norm_dx_step<T, rows, true>(layer_norm_from_channel(o, c), row, channels, lanes);
  }
  if (c < channels)
    layer_norm_dx_step<T, rows, false>(layer_norm_from_channel(o, c), row, channels, channels - c);
}

// Rows of `vectors` vectors, the last of which may be partial: each is read once, and dweight and
// dbias stay in registers.
template <class T, int vectors>
void layer_norm_backward_short(LayerNormBackward<T> o, const LayerNormDims& dims,
                               StreamedPiece<T>& before) {
  constexpr int lanes = Vec<T>::lanes;
  const std::int64_t rows = dims.rows, channels = dims.channels;
  const T *dy = o.dy, *x = o.x, *add = o.add;
  const T *const mean = o.mean, *const rstd = o.rstd;
  T* dx = o.dx;
  const Vec<T> share = Vec<T>::broadcast(T(-1) / static_cast<T>(channels));
  Vec<T> w[vectors], product[vectors], sum[vectors];
  ANTHER_UNROLL for (int j = 0; j < vectors; ++j) {
    w[j] = o.weight ? layer_norm_load<T, vectors>(o.weight, j, channels) : Vec<T>::broadcast(T(1));
    product[j] = Vec<T>::load(o.dweight + j * lanes);
    sum[j] = Vec<T>::load(o.dbias + j * lanes);
  }
  for (std::int64_t row = 0; row < rows; ++row) {
    stream_lines<vectors * vector_bytes / 64>(before);
    const Vec<T> center = Vec<T>::broadcast(mean[2 * row]), r = Vec<T>::broadcast(rstd[row]);
    const Vec<T> rest = Vec<T>::broadcast(mean[2 * row + 1]);
    Vec<T> gradient[vectors], d[vectors], g_sum = Vec<T>::zero(), gd_sum = Vec<T>::zero();
    ANTHER_UNROLL for (int j = 0; j < vectors; ++j) {
      gradient[j] = layer_norm_load<T, vectors>(dy, j, channels);
      d[j] = (layer_norm_load<T, vectors>(x, j, channels) - center) - rest;
      const Vec<T> g = w[j] * gradient[j];  // 0 behind the last channel, as dy is
      g_sum = g_sum + g;
      gd_sum = fma(g, d[j], gd_sum);
    }
    // See layer_norm_backward_rows.
    const Vec<T> slope = r * (r * (r * (share * lane_sum(gd_sum))));
    const Vec<T> offset = r * (share * lane_sum(g_sum));
    ANTHER_UNROLL for (int j = 0; j < vectors; ++j) {
      const Vec<T> scaled = gradient[j] * r;
      sum[j] = sum[j] + gradient[j];
      product[j] = fma(scaled, d[j], product[j]);
      if (!dx) continue;
      Vec<T> value = fma(scaled, w[j], fma(d[j], slope, offset));
      if (add) value = value + layer_norm_load<T, vectors>(add, j, channels);
      layer_norm_store<T, vectors>(value, dx, j, channels);
    }
    dy += channels;
    x += channels;
    if (dx) dx += channels;
    if (add) add += channels;
  }
  ANTHER_UNROLL for (int j = 0; j < vectors; ++j) {
    product[j].store(o.dweight + j * lanes);
    sum[j].store(o.dbias + j * lanes);
  }
}

// The same, from a row on.
template <class T>
ANTHER_INLINE LayerNormBackward<T> layer_norm_from_row(LayerNormBackward<T> o, std::int64_t row,
                                                       std::int64_t channels) {
  const std::int64_t at = row * channels;
  return {o.dx ? o.dx + at : nullptr,
          o.add ? o.add + at : nullptr,
          o.dweight,
          o.dbias,
          o.dy + at,
          o.x + at,
          o.mean + 2 * row,
          o.rstd + row,
          o.weight};
}

// dweight and dbias, which are added to, have room for whole vectors. before: see stream_pieces.
template <class T>
void layer_norm_backward_tile(LayerNormBackward<T> o, const LayerNormDims& dims,
                              StreamedPiece<T>& before) {
  constexpr int lanes = Vec<T>::lanes;
  const std::int64_t channels = dims.channels;
  if constexpr (vector_registers == 32) {
    constexpr decltype(&layer_norm_backward_short<T, 1>) run[] = {
        layer_norm_backward_short<T, 1>, layer_norm_backward_short<T, 2>,
        layer_norm_backward_short<T, 3>, layer_norm_backward_short<T, 4>,
        layer_norm_backward_short<T, 5>, layer_norm_backward_short<T, 6>,
        layer_norm_backward_short<T, 7>, layer_norm_backward_short<T, 8>};
    if (channels <= 8 * lanes) return run[(channels - 1) / lanes](o, dims, before);
  }
  std::int64_t row = 0;
  for (; row + lanes / 2 <= dims.rows; row += lanes / 2)
    layer_norm_backward_rows<T, lanes / 2>(layer_norm_from_row(o, row, channels), channels, before);
  for (; row < dims.rows; ++row)
    layer_norm_backward_rows<T, 1>(layer_norm_from_row(o, row, channels), channels, before);
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
