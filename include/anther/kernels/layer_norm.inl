// The bodies of LayerNorm's forward, and what backward shares with them. See layer_norm.hpp.
//
// Where there are many registers, rows of few vectors are read once for their statistics, and kept
// in registers meanwhile. Other rows are worked on in blocks of as many as a vector has lanes,
// whose sums are then one vector.

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

template <class T, int distance, int... i>
ANTHER_INLINE Vec<T> lane_sum_step(const Vec<T>& a, std::integer_sequence<int, i...>) {
  return {a.raw + __builtin_shufflevector(a.raw, a.raw, (i ^ distance)...)};
}

// The sum over the lanes of a, in each lane: the same bits as lane_sums, which adds a float's lanes
// two apart before neighbours.
template <class T>
ANTHER_INLINE Vec<T> lane_sum(Vec<T> a) {
  constexpr int lanes = Vec<T>::lanes;
  constexpr std::make_integer_sequence<int, lanes> lane;
  if constexpr (sizeof(T) == 4) a = lane_sum_step<T, 2>(a, lane);
  a = lane_sum_step<T, 1>(a, lane);
  if constexpr (sizeof(T) == 8 && lanes > 2) a = lane_sum_step<T, 2>(a, lane);
  if constexpr (lanes > 4) a = lane_sum_step<T, 4>(a, lane);
  if constexpr (lanes > 8) a = lane_sum_step<T, 8>(a, lane);
  return a;
}

// to[i] = the sum over the lanes of vector i of `vectors`, of which there are as many as lanes.
template <class T>
__attribute__((noinline)) void layer_norm_lane_sums(T* to, const T* vectors) {
  constexpr int lanes = Vec<T>::lanes;
  Vec<T> all[lanes];
  ANTHER_UNROLL for (int i = 0; i < lanes; ++i) all[i] = Vec<T>::load(vectors + i * lanes);
  lane_sums<T>(all).store(to);
}

// As many lines as a vector of each of `rows` rows is, 64 lines from here. Long rows that are read
// side by side are no pattern that processors prefetch well; short ones are.
template <class T, int rows>
ANTHER_INLINE void layer_norm_prefetch(const T* from, std::int64_t channels) {
  constexpr int line = 64 / static_cast<int>(sizeof(T));
  if (channels < 8 * line) return;
  ANTHER_UNROLL for (int ahead = 0; ahead < rows * Vec<T>::lanes; ahead += line) {
    __builtin_prefetch(from + ahead + 64 * line);
  }
}

// The lines of the piece before that are stored with a step over a vector of each of `rows` rows,
// in one of `passes` passes: one more than is needed, for those behind the last whole vector.
constexpr std::int64_t layer_norm_lines(int rows, int passes) {
  return rows * vector_bytes / 64 / passes + 1;
}

// 1 in the first `count` lanes, else 0.
template <class T>
ANTHER_INLINE Vec<T> layer_norm_mask(std::int64_t count) {
  T lane[Vec<T>::lanes];
  ANTHER_UNROLL for (int i = 0; i < Vec<T>::lanes; ++i) lane[i] = i < count ? T(1) : T(0);
  return Vec<T>::load(lane);
}

// What one row's y is made of.
template <class T>
void layer_norm_forward_row_y(LayerNormForward<T> o, std::int64_t row, std::int64_t channels) {
  constexpr std::int64_t lanes = Vec<T>::lanes;
  const Vec<T> center = Vec<T>::broadcast(o.mean[row]), factor = Vec<T>::broadcast(o.rstd[row]);
  const Vec<T> one = Vec<T>::broadcast(T(1)), zero = Vec<T>::zero();
  const T* const x = o.x + row * channels;
  T* const y = o.y + row * channels;
  std::int64_t c = 0;
  for (; c + lanes <= channels; c += lanes) {
    const Vec<T> d = Vec<T>::load(x + c) - center;
    fma(d * factor, o.weight ? Vec<T>::load(o.weight + c) : one,
        o.bias ? Vec<T>::load(o.bias + c) : zero)
        .store(y + c);
  }
  if (c == channels) return;
  const std::int64_t tail = channels - c;
  const Vec<T> d = Vec<T>::load_partial(x + c, tail) - center;
  store_first(fma(d * factor, o.weight ? Vec<T>::load_partial(o.weight + c, tail) : one,
                  o.bias ? Vec<T>::load_partial(o.bias + c, tail) : zero),
              y + c, tail);
}

// One row.
template <class T>
void layer_norm_forward_row(LayerNormForward<T> o, const LayerNormDims& dims, std::int64_t row) {
  constexpr std::int64_t lanes = Vec<T>::lanes;
  const std::int64_t whole = dims.channels / lanes * lanes, tail = dims.channels - whole;
  const Vec<T> share = Vec<T>::broadcast(T(1) / static_cast<T>(dims.channels));
  const T* const x = o.x + row * dims.channels;
  Vec<T> total = Vec<T>::zero();
  for (std::int64_t c = 0; c < whole; c += lanes) total = total + Vec<T>::load(x + c);
  if (tail) total = total + Vec<T>::load_partial(x + whole, tail);
  const Vec<T> center = lane_sum(total) * share;
  total = Vec<T>::zero();
  for (std::int64_t c = 0; c < whole; c += lanes) {
    const Vec<T> d = Vec<T>::load(x + c) - center;
    total = fma(d, d, total);
  }
  if (tail) {
    const Vec<T> d = layer_norm_mask<T>(tail) * (Vec<T>::load_partial(x + whole, tail) - center);
    total = fma(d, d, total);
  }
  o.mean[row] = center[0];
  const Vec<T> eps = Vec<T>::broadcast(static_cast<T>(dims.eps));
  o.rstd[row] = rsqrt(fma(lane_sum(total), share, eps))[0];
  layer_norm_forward_row_y(o, row, dims.channels);
}

// As many rows as there are lanes, from `first` on.
template <class T>
void layer_norm_forward_block(LayerNormForward<T> o, const LayerNormDims& dims, std::int64_t first,
                              StreamedPiece<T>& before) {
  constexpr int lanes = Vec<T>::lanes;
  const std::int64_t channels = dims.channels;
  const std::int64_t whole = channels / lanes * lanes, tail = channels - whole;
  const Vec<T> share = Vec<T>::broadcast(T(1) / static_cast<T>(channels));
  const T* const x = o.x + first * channels;
  T *const mean = o.mean + first, *const rstd = o.rstd + first;
  T sums[lanes][lanes];
  Vec<T> total[lanes];
  ANTHER_UNROLL for (int i = 0; i < lanes; ++i) total[i] = Vec<T>::zero();
  for (std::int64_t c = 0; c < whole; c += lanes) {
    layer_norm_prefetch<T, lanes>(x + c * lanes, channels);
    stream_lines(before, layer_norm_lines(lanes, 3));
    ANTHER_UNROLL for (int i = 0; i < lanes; ++i) {
      total[i] = total[i] + Vec<T>::load(x + i * channels + c);
    }
  }
  ANTHER_UNROLL for (int i = 0; i < lanes; ++i) total[i].store(sums[i]);
  if (tail)
    for (int i = 0; i < lanes; ++i) {
      const Vec<T> rest = Vec<T>::load_partial(x + i * channels + whole, tail);
      (Vec<T>::load(sums[i]) + rest).store(sums[i]);
    }
  layer_norm_lane_sums(mean, sums[0]);
  (Vec<T>::load(mean) * share).store(mean);

  ANTHER_UNROLL for (int i = 0; i < lanes; ++i) total[i] = Vec<T>::zero();
  for (std::int64_t c = 0; c < whole; c += lanes) {
    stream_lines(before, layer_norm_lines(lanes, 3));
    ANTHER_UNROLL for (int i = 0; i < lanes; ++i) {
      const Vec<T> d = Vec<T>::load(x + i * channels + c) - Vec<T>::broadcast(mean[i]);
      total[i] = fma(d, d, total[i]);
    }
  }
  ANTHER_UNROLL for (int i = 0; i < lanes; ++i) total[i].store(sums[i]);
  if (tail) {
    const Vec<T> mask = layer_norm_mask<T>(tail);
    for (int i = 0; i < lanes; ++i) {
      const Vec<T> d = mask * (Vec<T>::load_partial(x + i * channels + whole, tail) -
                               Vec<T>::broadcast(mean[i]));
      fma(d, d, Vec<T>::load(sums[i])).store(sums[i]);
    }
  }
  layer_norm_lane_sums(rstd, sums[0]);
  const Vec<T> eps = Vec<T>::broadcast(static_cast<T>(dims.eps));
  rsqrt(fma(Vec<T>::load(rstd), share, eps)).store(rstd);

  const std::int64_t lines = whole / lanes * vector_bytes / 64 / 3 + 1;
  for (int i = 0; i < lanes; ++i) {
    stream_lines(before, lines);
    layer_norm_forward_row_y(o, first + i, channels);
  }
}

// Vector j of a row of at most `vectors` and more than `fewer` vectors.
template <class T, int fewer>
ANTHER_INLINE Vec<T> layer_norm_load(const T* row, int j, const std::int64_t* counts) {
  constexpr int lanes = Vec<T>::lanes;
  return j < fewer ? Vec<T>::load(row + j * lanes)
                   : Vec<T>::load_partial(row + j * lanes, counts[j]);
}

// Stores it.
template <class T, int fewer>
ANTHER_INLINE void layer_norm_store(const Vec<T>& a, T* row, int j, const std::int64_t* counts) {
  constexpr int lanes = Vec<T>::lanes;
  if (j < fewer || counts[j] == lanes)
    a.store(row + j * lanes);
  else
    store_first(a, row + j * lanes, counts[j]);
}

// How many elements vector j of a row has.
template <class T>
ANTHER_INLINE std::int64_t layer_norm_count(int j, std::int64_t channels) {
  constexpr int lanes = Vec<T>::lanes;
  const std::int64_t left = channels - j * lanes;
  return left < 0 ? 0 : left < lanes ? left : lanes;
}

// Rows of at most `vectors` and more than `fewer` vectors: each is read once for its statistics,
// while it is in registers, and once more for y. As many rows as there are lanes share a reciprocal
// square root.
template <class T, int fewer, int vectors>
void layer_norm_forward_short(LayerNormForward<T> o, const LayerNormDims& dims,
                              StreamedPiece<T>& before) {
  constexpr int lanes = Vec<T>::lanes;
  constexpr std::int64_t lines = (vectors * vector_bytes / 64 + 1) / 2;
  const std::int64_t channels = dims.channels;
  const Vec<T> share = Vec<T>::broadcast(T(1) / static_cast<T>(channels));
  const Vec<T> eps = Vec<T>::broadcast(static_cast<T>(dims.eps));
  std::int64_t counts[vectors];
  Vec<T> mask[vectors], w[vectors], b[vectors];
  ANTHER_UNROLL for (int j = 0; j < vectors; ++j) {
    counts[j] = layer_norm_count<T>(j, channels);
    mask[j] = layer_norm_mask<T>(counts[j]);
    w[j] = o.weight ? layer_norm_load<T, fewer>(o.weight, j, counts) : Vec<T>::broadcast(T(1));
    b[j] = o.bias ? layer_norm_load<T, fewer>(o.bias, j, counts) : Vec<T>::zero();
  }
  for (std::int64_t row = 0; row < dims.rows; row += lanes) {
    const std::int64_t count = dims.rows - row < lanes ? dims.rows - row : lanes;
    T squares[lanes][lanes] = {};
    for (std::int64_t i = 0; i < count; ++i) {
      stream_lines(before, lines);
      const T* const from = o.x + (row + i) * channels;
      Vec<T> value[vectors], sum = Vec<T>::zero();
      ANTHER_UNROLL for (int j = 0; j < vectors; ++j) {
        value[j] = layer_norm_load<T, fewer>(from, j, counts);
        sum = sum + value[j];
      }
      const Vec<T> center = lane_sum(sum) * share;
      o.mean[row + i] = center.raw[0];
      sum = Vec<T>::zero();
      ANTHER_UNROLL for (int j = 0; j < vectors; ++j) {
        const Vec<T> d = j < fewer ? value[j] - center : mask[j] * (value[j] - center);
        sum = fma(d, d, sum);
      }
      sum.store(squares[i]);
    }
    T r[lanes];
    layer_norm_lane_sums(r, squares[0]);
    rsqrt(fma(Vec<T>::load(r), share, eps)).store(r);
    for (std::int64_t i = 0; i < count; ++i) {
      stream_lines(before, lines);
      const T* const from = o.x + (row + i) * channels;
      T* const to = o.y + (row + i) * channels;
      const Vec<T> center = Vec<T>::broadcast(o.mean[row + i]), factor = Vec<T>::broadcast(r[i]);
      o.rstd[row + i] = r[i];
      ANTHER_UNROLL for (int j = 0; j < vectors; ++j) {
        const Vec<T> d = layer_norm_load<T, fewer>(from, j, counts) - center;
        layer_norm_store<T, fewer>(fma(d * factor, w[j], b[j]), to, j, counts);
      }
    }
  }
}

// before: see stream_pieces.
template <class T>
void layer_norm_forward_tile(LayerNormForward<T> o, const LayerNormDims& dims,
                             StreamedPiece<T>& before) {
  constexpr int lanes = Vec<T>::lanes;
  if constexpr (vector_registers == 32) {
    if (dims.channels <= 2 * lanes) return layer_norm_forward_short<T, 0, 2>(o, dims, before);
    if (dims.channels <= 3 * lanes) return layer_norm_forward_short<T, 2, 3>(o, dims, before);
    if (dims.channels <= 5 * lanes) return layer_norm_forward_short<T, 3, 5>(o, dims, before);
    if (dims.channels <= 6 * lanes) return layer_norm_forward_short<T, 5, 6>(o, dims, before);
    if (dims.channels <= 9 * lanes) return layer_norm_forward_short<T, 6, 9>(o, dims, before);
  }
  std::int64_t row = 0;
  for (; row + lanes <= dims.rows; row += lanes) layer_norm_forward_block(o, dims, row, before);
  for (; row < dims.rows; ++row) layer_norm_forward_row(o, dims, row);
}
