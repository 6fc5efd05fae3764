// The bodies of LayerNorm's forward, and what backward shares with them. See layer_norm.hpp.
//
// Where there are many registers, rows of few vectors are read once for their statistics, and kept
// in registers meanwhile. Other rows are worked on in blocks of as many as a vector has lanes,
// whose sums are then one vector. Structs of pointers are passed by value: as far as the compiler
// knows, the store of a vector could change what a reference leads to.

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

// Between the steps of a block of rows, each of which is a vector of every row: as many lines of
// the piece before as are gone after `passes` passes over the columns, with one to spare for those
// behind the last whole vector.
template <class T, int rows, int passes>
ANTHER_INLINE void layer_norm_stream(StreamedPiece<T>& before) {
  if (rows > 1) stream_lines<rows * vector_bytes / 64 / passes + 1>(before);
}

// 1 in the first `count` lanes, else 0.
template <class T>
ANTHER_INLINE Vec<T> layer_norm_mask(std::int64_t count) {
  T lane[Vec<T>::lanes];
  ANTHER_UNROLL for (int i = 0; i < Vec<T>::lanes; ++i) lane[i] = i < count ? T(1) : T(0);
  return Vec<T>::load(lane);
}

// A mean as the number nearest to it, and what is left: where a row's elements are far from 0, the
// rounding of the mean alone would be seen beside their deviation. They are summed as differences
// to the row's first element, which is at most a few deviations from the mean.
template <class T>
struct LayerNormMean {
  Vec<T> near, rest;

  ANTHER_INLINE LayerNormMean(const Vec<T>& first, const Vec<T>& from_first)
      : near(first + from_first), rest(from_first - (near - first)) {}
};

// The sums of x - center over each of `rows` rows, or of its squares.
template <class T, int rows, bool squared>
ANTHER_INLINE void layer_norm_row_sums(Vec<T>* total, const T* x, const T* center,
                                       std::int64_t channels, const Vec<T>& mask,
                                       StreamedPiece<T>& before) {
  constexpr int lanes = Vec<T>::lanes;
  const std::int64_t whole = channels / lanes * lanes, tail = channels - whole;
  Vec<T> from[rows], sum[rows];
  ANTHER_UNROLL for (int i = 0; i < rows; ++i) {
    from[i] = Vec<T>::broadcast(center[i]);
    sum[i] = Vec<T>::zero();
  }
  for (std::int64_t c = 0; c < whole; c += lanes) {
    if (!squared) layer_norm_prefetch<T, rows>(x + c * rows, channels);
    layer_norm_stream<T, rows, 3>(before);
    ANTHER_UNROLL for (int i = 0; i < rows; ++i) {
      const Vec<T> d = Vec<T>::load(x + i * channels + c) - from[i];
      sum[i] = squared ? fma(d, d, sum[i]) : sum[i] + d;
    }
  }
  ANTHER_UNROLL for (int i = 0; i < rows; ++i) {
    if (tail) {
      const Vec<T> d = mask * (Vec<T>::load_partial(x + i * channels + whole, tail) - from[i]);
      sum[i] = squared ? fma(d, d, sum[i]) : sum[i] + d;
    }
    total[i] = sum[i];
  }
}

// Lane i is lane first + i / 2 of a, or of b where i is odd.
template <class T, int first, int... i>
ANTHER_INLINE Vec<T> layer_norm_pairs(const Vec<T>& a, const Vec<T>& b,
                                      std::integer_sequence<int, i...>) {
  return {__builtin_shufflevector(a.raw, b.raw, (first + i / 2 + i % 2 * Vec<T>::lanes)...)};
}

// What normalises a row: z = (x - mean) rstd + shift, shift = -rest rstd.
template <class T>
struct LayerNormConstants {
  T mean[Vec<T>::lanes], rstd[Vec<T>::lanes], shift[Vec<T>::lanes];

  ANTHER_INLINE void set(const LayerNormMean<T>& center, const Vec<T>& factor) {
    center.near.store(mean);
    factor.store(rstd);
    (Vec<T>{-center.rest.raw} * factor).store(shift);
  }

  // Keeps `count` rows of them for backward.
  ANTHER_INLINE void keep(const LayerNormMean<T>& center, T* mean_to, T* rstd_to,
                          std::int64_t count) const {
    constexpr int lanes = Vec<T>::lanes, half = lanes / 2;
    constexpr std::make_integer_sequence<int, lanes> lane;
    layer_norm_pairs<T, 0>(center.near, center.rest, lane).store_partial(mean_to, 2 * count);
    if (count > half)
      layer_norm_pairs<T, half>(center.near, center.rest, lane)
          .store_partial(mean_to + lanes, 2 * count - lanes);
    Vec<T>::load(rstd).store_partial(rstd_to, count);
  }
};

// `rows` rows of y, from number `first` of the constants on.
template <class T, int rows>
ANTHER_INLINE void layer_norm_normalize(T* y, const T* x, const LayerNormForward<T>& o,
                                        const LayerNormConstants<T>& constants, int first,
                                        std::int64_t channels, StreamedPiece<T>& before) {
  constexpr int lanes = Vec<T>::lanes;
  const std::int64_t whole = channels / lanes * lanes, tail = channels - whole;
  const T *const weight = o.weight, *const bias = o.bias;
  Vec<T> mean[rows], rstd[rows], shift[rows];
  ANTHER_UNROLL for (int i = 0; i < rows; ++i) {
    mean[i] = Vec<T>::broadcast(constants.mean[first + i]);
    rstd[i] = Vec<T>::broadcast(constants.rstd[first + i]);
    shift[i] = Vec<T>::broadcast(constants.shift[first + i]);
  }
  for (std::int64_t c = 0; c < whole; c += lanes) {
    layer_norm_stream<T, rows, 3>(before);
    const Vec<T> w = weight ? Vec<T>::load(weight + c) : Vec<T>::broadcast(T(1));
    const Vec<T> b = bias ? Vec<T>::load(bias + c) : Vec<T>::zero();
    ANTHER_UNROLL for (int i = 0; i < rows; ++i) {
      const Vec<T> d = Vec<T>::load(x + i * channels + c) - mean[i];
      fma(fma(d, rstd[i], shift[i]), w, b).store(y + i * channels + c);
    }
  }
  if (!tail) return;
  const Vec<T> w = weight ? Vec<T>::load_partial(weight + whole, tail) : Vec<T>::broadcast(T(1));
  const Vec<T> b = bias ? Vec<T>::load_partial(bias + whole, tail) : Vec<T>::zero();
  ANTHER_UNROLL for (int i = 0; i < rows; ++i) {
    const Vec<T> d = Vec<T>::load_partial(x + i * channels + whole, tail) - mean[i];
    store_first(fma(fma(d, rstd[i], shift[i]), w, b), y + i * channels + whole, tail);
  }
}

// `rows` rows: as many as there are lanes, whose sums are then one vector, or a single one. In each
// pass as many of them go side by side as have their constants in registers.
template <class T, int rows>
ANTHER_INLINE void layer_norm_forward_rows(LayerNormForward<T> o, T eps, std::int64_t channels,
                                           const Vec<T>& mask, StreamedPiece<T>& before) {
  constexpr int lanes = Vec<T>::lanes;
  constexpr int most = vector_registers == 32 ? rows : 4;
  constexpr int summed = rows < most ? rows : most,
                written = vector_registers == 32 || rows < 2 ? rows : 2;
  const T* const x = o.x;
  const Vec<T> share = Vec<T>::broadcast(T(1) / static_cast<T>(channels));
  LayerNormConstants<T> constants;
  T start[lanes] = {};
  Vec<T> total[lanes];
  ANTHER_UNROLL for (int i = 0; i < lanes; ++i) total[i] = Vec<T>::zero();
  ANTHER_UNROLL for (int i = 0; i < rows; ++i) start[i] = x[i * channels];
  for (int i = 0; i < rows; i += summed)
    layer_norm_row_sums<T, summed, false>(total + i, x + i * channels, start + i, channels, mask,
                                          before);
  const LayerNormMean<T> center(Vec<T>::load(start), lane_sums<T>(total) * share);
  T near[lanes];
  center.near.store(near);
  for (int i = 0; i < rows; i += summed)
    layer_norm_row_sums<T, summed, true>(total + i, x + i * channels, near + i, channels, mask,
                                         before);
  const Vec<T> variance = fma(lane_sums<T>(total), share, Vec<T>::broadcast(eps));
  constants.set(center, rsqrt(fma(Vec<T>{-center.rest.raw}, center.rest, variance)));
  constants.keep(center, o.mean, o.rstd, rows);
  for (int i = 0; i < rows; i += written)
    layer_norm_normalize<T, written>(o.y + i * channels, x + i * channels, o, constants, i,
                                     channels, before);
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

// Vector j of a row of `vectors` vectors, the last of which may be partial.
template <class T, int vectors>
ANTHER_INLINE Vec<T> layer_norm_load(const T* row, int j, std::int64_t channels) {
  constexpr int lanes = Vec<T>::lanes;
  return j < vectors - 1 ? Vec<T>::load(row + j * lanes)
                         : Vec<T>::load_partial(row + j * lanes, channels - j * lanes);
}

// Stores it.
template <class T, int vectors>
ANTHER_INLINE void layer_norm_store(const Vec<T>& a, T* row, int j, std::int64_t channels) {
  constexpr int lanes = Vec<T>::lanes;
  if (j < vectors - 1 || channels == vectors * lanes)
    a.store(row + j * lanes);
  else
    store_first(a, row + j * lanes, channels - j * lanes);
}

// Rows of `vectors` vectors, the last of which may be partial: each is read once for its
// statistics, while it is in registers, and once more for y. As many rows as there are lanes share
// a reciprocal square root.
template <class T, int vectors>
void layer_norm_forward_short(LayerNormForward<T> o, const LayerNormDims& dims,
                              StreamedPiece<T>& before) {
  constexpr int lanes = Vec<T>::lanes, last = vectors - 1;
  constexpr int lines = (vectors * vector_bytes / 64 + 1) / 2;
  const std::int64_t rows = dims.rows, channels = dims.channels;
  const T eps = static_cast<T>(dims.eps);
  T* const y = o.y;
  const T* const x = o.x;
  const Vec<T> share = Vec<T>::broadcast(T(1) / static_cast<T>(channels));
  const Vec<T> mask = layer_norm_mask<T>(channels - last * lanes);
  Vec<T> w[vectors], b[vectors];
  ANTHER_UNROLL for (int j = 0; j < vectors; ++j) {
    w[j] = o.weight ? layer_norm_load<T, vectors>(o.weight, j, channels) : Vec<T>::broadcast(T(1));
    b[j] = o.bias ? layer_norm_load<T, vectors>(o.bias, j, channels) : Vec<T>::zero();
  }
  for (std::int64_t row = 0; row < rows; row += lanes) {
    const std::int64_t count = rows - row < lanes ? rows - row : lanes;
    Vec<T> squares[lanes];
    T first[lanes] = {}, from_first[lanes] = {};
    for (std::int64_t i = count; i < lanes; ++i) squares[i] = Vec<T>::zero();
    for (std::int64_t i = 0; i < count; ++i) {
      stream_lines<lines>(before);
      const T* const from = x + (row + i) * channels;
      const Vec<T> start = Vec<T>::broadcast(from[0]);
      Vec<T> value[vectors], sum = Vec<T>::zero();
      ANTHER_UNROLL for (int j = 0; j < vectors; ++j) {
        value[j] = layer_norm_load<T, vectors>(from, j, channels) - start;
        sum = j < last ? sum + value[j] : fma(mask, value[j], sum);
      }
      const Vec<T> center = lane_sum(sum) * share;
      first[i] = from[0];
      from_first[i] = center.raw[0];
      sum = Vec<T>::zero();
      ANTHER_UNROLL for (int j = 0; j < vectors; ++j) {
        const Vec<T> d = j < last ? value[j] - center : mask * (value[j] - center);
        sum = fma(d, d, sum);
      }
      squares[i] = sum;
    }
    LayerNormConstants<T> constants;
    const LayerNormMean<T> center(Vec<T>::load(first), Vec<T>::load(from_first));
    constants.set(center, rsqrt(fma(lane_sums<T>(squares), share, Vec<T>::broadcast(eps))));
    constants.keep(center, o.mean + 2 * row, o.rstd + row, count);
    for (std::int64_t i = 0; i < count; ++i) {
      stream_lines<lines>(before);
      const T* const from = x + (row + i) * channels;
      T* const to = y + (row + i) * channels;
      const Vec<T> mean = Vec<T>::broadcast(constants.mean[i]);
      const Vec<T> factor = Vec<T>::broadcast(constants.rstd[i]);
      const Vec<T> offset = Vec<T>::broadcast(constants.shift[i]);
      ANTHER_UNROLL for (int j = 0; j < vectors; ++j) {
        const Vec<T> d = layer_norm_load<T, vectors>(from, j, channels) - mean;
        layer_norm_store<T, vectors>(fma(fma(d, factor, offset), w[j], b[j]), to, j, channels);
      }
    }
  }
}

// before: see stream_pieces.
template <class T>
void layer_norm_forward_tile(LayerNormForward<T> o, const LayerNormDims& dims,
                             StreamedPiece<T>& before) {
  constexpr int lanes = Vec<T>::lanes;
  const std::int64_t rows = dims.rows, channels = dims.channels;
  if constexpr (vector_registers == 32) {
    constexpr decltype(&layer_norm_forward_short<T, 1>) run[] = {
        layer_norm_forward_short<T, 1>, layer_norm_forward_short<T, 2>,
        layer_norm_forward_short<T, 3>, layer_norm_forward_short<T, 4>,
        layer_norm_forward_short<T, 5>, layer_norm_forward_short<T, 6>,
        layer_norm_forward_short<T, 7>, layer_norm_forward_short<T, 8>,
        layer_norm_forward_short<T, 9>};
    if (channels <= 9 * lanes) return run[(channels - 1) / lanes](o, dims, before);
  }
  const T eps = static_cast<T>(dims.eps);
  const Vec<T> mask = layer_norm_mask<T>(channels % lanes);
  std::int64_t row = 0;
  for (; row + lanes <= rows; row += lanes)
    layer_norm_forward_rows<T, lanes>({o.y + row * channels, o.mean + 2 * row, o.rstd + row,
                                       o.x + row * channels, o.weight, o.bias},
                                      eps, channels, mask, before);
  for (; row < rows; ++row)
    layer_norm_forward_rows<T, 1>({o.y + row * channels, o.mean + 2 * row, o.rstd + row,
                                   o.x + row * channels, o.weight, o.bias},
                                  eps, channels, mask, before);
}
