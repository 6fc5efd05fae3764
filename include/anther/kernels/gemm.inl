// The bodies of gemm.hpp.
//
// B is packed in panels of 1 to 3 vectors of columns: all rows of one panel, then the next panel,
// so that the inner loop reads it front to back. x is read in place.

// Where code is to stay small rather than fast: x86-64 without AVX2.
constexpr bool gemm_has_few_shapes = ANTHER_VECTOR_ISA == 0 && vector_registers == 16;

// Rows of the register tile that is `vectors` wide: its accumulators, one row of the packed operand
// and one broadcast fit the registers.
constexpr int gemm_tile_rows(int vectors) {
  const bool many = vector_registers == 32;
  if (gemm_has_few_shapes) return 4;
#if defined(__aarch64__)
  if (vectors == 3) return 7;  // for 8, GCC keeps some of the sums in memory
#endif
  return vectors == 3 ? (many ? 8 : 4) : vectors == 2 ? (many ? 10 : 6) : 12;
}
// Whether there is also a tile of one row less. (Only products of very few columns are one vector
// wide.)
constexpr bool gemm_has_shorter(int vectors) {
  return vectors > 1 && !gemm_has_few_shapes;
}

// How a number of rows is cut into tiles of `full` rows, and as many as need be of one row less:
// 49 = 7 x 7. Small numbers cannot be cut so; of those, rows are left, for tiles of 4 and 1.
struct GemmCut {
  std::int64_t full, shorter;
  GemmCut(std::int64_t rows, std::int64_t tile_rows, bool has_shorter) {
    const std::int64_t tiles = (rows + tile_rows - 1) / tile_rows;
    shorter = tiles * tile_rows - rows;
    full = tiles - shorter;
    if (has_shorter && full >= 0) return;
    shorter = 0;
    full = rows / tile_rows;
  }
};

// The columns are cut into as few panels as the widest tile allows, of widths that differ by at
// most one vector. Only the last vector of the last panel may be partial; it is packed with zeros.
struct GemmPanel {
  int vectors;
  std::int64_t column;   // the first
  std::int64_t columns;  // how many exist
};
template <class T>
ANTHER_INLINE std::int64_t gemm_vectors(std::int64_t columns) {
  return (columns + Vec<T>::lanes - 1) / Vec<T>::lanes;
}
template <class T>
std::int64_t gemm_panels(std::int64_t columns) {
  return (gemm_vectors<T>(columns) + 2) / 3;
}
template <class T>
GemmPanel gemm_panel(std::int64_t columns, std::int64_t number) {
  const std::int64_t vectors = gemm_vectors<T>(columns);
  const std::int64_t panels = gemm_panels<T>(columns);
  const std::int64_t wider = vectors % panels;  // how many panels have one vector more
  const std::int64_t first =
      (number * (vectors / panels) + (number < wider ? number : wider)) * Vec<T>::lanes;
  const std::int64_t here = vectors / panels + (number < wider ? 1 : 0);
  const std::int64_t width = here * Vec<T>::lanes;
  return {static_cast<int>(here), first, columns - first < width ? columns - first : width};
}

// 36 columns are two vectors of 16 and a quarter: of four rows the last quarters are computed in
// one vector. For that the last vector of such a panel is packed as four copies of its quarter.
template <class T>
ANTHER_INLINE bool gemm_has_quarter(int vectors, std::int64_t tail) {
  return Vec<T>::lanes == 16 && vectors == 3 && tail == 4;
}

template <class T>
std::int64_t gemm_packed_size(std::int64_t columns, std::int64_t depth) {
  return gemm_vectors<T>(columns) * Vec<T>::lanes * depth;
}

// to[j to_stride + i] = from[i from_stride + j] for i, j < 4.
template <class T>
ANTHER_INLINE void gemm_transpose4(T* to, std::int64_t to_stride, const T* from,
                                   std::int64_t from_stride) {
  if constexpr (sizeof(T) == 4) {
    typedef T Four __attribute__((vector_size(16)));
    typedef T Memory __attribute__((vector_size(16), aligned(sizeof(T)), may_alias));
    const Four a = *reinterpret_cast<const Memory*>(from);
    const Four b = *reinterpret_cast<const Memory*>(from + from_stride);
    const Four c = *reinterpret_cast<const Memory*>(from + 2 * from_stride);
    const Four d = *reinterpret_cast<const Memory*>(from + 3 * from_stride);
    const Four ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5);
    const Four ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
    const Four cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5);
    const Four cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    *reinterpret_cast<Memory*>(to) = __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5);
    *reinterpret_cast<Memory*>(to + to_stride) =
        __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7);
    *reinterpret_cast<Memory*>(to + 2 * to_stride) =
        __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5);
    *reinterpret_cast<Memory*>(to + 3 * to_stride) =
        __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7);
  } else {
    ANTHER_UNROLL for (int j = 0; j < 4; ++j) ANTHER_UNROLL for (int i = 0; i < 4; ++i)
        to[j * to_stride + i] = from[i * from_stride + j];
  }
}

// Packs one panel of B; b points at the panel's first column.
template <class T>
void gemm_pack_columns(T* packed, const T* b, const GemmPanel& panel, const PackOptions& pack) {
  constexpr std::int64_t lanes = Vec<T>::lanes;
  const std::int64_t depth = pack.depth, column_stride = pack.column_stride;
  const std::int64_t width = panel.vectors * lanes;
  if (column_stride == 1) {
    for (std::int64_t k = 0; k < depth; ++k)
      for (std::int64_t n = 0; n < width; n += lanes)
        Vec<T>::load_partial(b + k * pack.depth_stride + n, panel.columns - n)
            .store(packed + k * width + n);
    return;
  }
  const bool by_fours = pack.depth_stride == 1;
  for (std::int64_t n = 0; n < width;) {
    const bool four = by_fours && n + 4 <= panel.columns;
    std::int64_t k = 0;
    if (four)
      for (; k + 4 <= depth; k += 4)
        gemm_transpose4<T>(packed + k * width + n, width, b + n * column_stride + k, column_stride);
    const std::int64_t end = n + (four ? 4 : 1);
    for (; k < depth; ++k)
      for (std::int64_t i = n; i < end; ++i)
        packed[k * width + i] =
            i < panel.columns ? b[i * column_stride + k * pack.depth_stride] : T(0);
    n = end;
  }
}
// One panel of pack.depth rows of B, which are read from b as `rows` says.
template <class T>
void gemm_pack_rows(T* packed, const T* b, const PackOptions& pack, const PackRows& rows,
                    std::int64_t number) {
  constexpr std::int64_t lanes = Vec<T>::lanes;
  const GemmPanel panel = gemm_panel<T>(pack.columns, number);
  packed += panel.column * pack.depth;
  b += panel.column * pack.column_stride;
  PackOptions run = pack;
  for (std::int64_t k = 0; k < pack.depth; k += run.depth) {
    const std::int64_t tap = (rows.first + k) / rows.inner, at = (rows.first + k) % rows.inner;
    const std::int64_t left = pack.depth - k;
    run.depth = rows.inner - at < left ? rows.inner - at : left;
    gemm_pack_columns(packed + k * panel.vectors * lanes,
                      b + tap / rows.line * rows.line_stride + tap % rows.line * rows.tap_stride +
                          at * pack.depth_stride,
                      panel, run);
  }
  if (!gemm_has_quarter<T>(panel.vectors, panel.columns - (panel.vectors - 1) * lanes)) return;
  for (std::int64_t k = 0; k < pack.depth; ++k) {
    T* const last = packed + (k * panel.vectors + panel.vectors - 1) * lanes;
    for (std::int64_t i = 4; i < lanes; ++i) last[i] = last[i - 4];
  }
}
template <class T>
void gemm_pack_panel(T* packed, const T* b, const PackOptions& pack, std::int64_t number) {
  gemm_pack_rows(packed, b, pack, {.inner = pack.depth}, number);
}
template <class T>
void gemm_pack(T* packed, const T* b, const PackOptions& pack) {
  const std::int64_t panels = gemm_panels<T>(pack.columns);
  for (std::int64_t number = 0; number < panels; ++number)
    gemm_pack_panel<T>(packed, b, pack, number);
}

// The panel after this one, which the first tiles of this one fetch into the second-level cache, a
// line with each step of the inner loop: a model's weights come from memory, or from the last-level
// cache at best, and the first tile of a panel would wait for them.
template <class T>
struct GemmAhead {
  static constexpr std::int64_t line = 64 / static_cast<std::int64_t>(sizeof(T));
  const T* at;
  std::int64_t lines;  // that are left

  // What a tile of so many steps fetches first; and how far from there to the next, 0 where all is
  // fetched.
  ANTHER_INLINE const T* take(std::int64_t steps, std::int64_t& stride) {
    const T* const from = at;
    stride = lines > 0 ? line : 0;
    at += steps * stride;
    lines -= steps;
    return from;
  }
};

// Adds to a tile's sums, and stores them; of their last vector `tail` columns exist.
template <class T, int rows, int vectors>
ANTHER_INLINE void gemm_store(Vec<T> (&sum)[rows][vectors], const GemmOperands<T>& o,
                              const GemmDims& d, std::int64_t tail) {
  constexpr int lanes = Vec<T>::lanes, last = vectors - 1;
  const std::int64_t y_stride = d.y_stride, add_stride = d.add_stride;
  const T* add = o.add;
  T* y = o.y;
  ANTHER_UNROLL for (int i = 0; i < rows; ++i) {
    ANTHER_UNROLL for (int j = 0; j < last; ++j) {
      if (add) sum[i][j] = sum[i][j] + Vec<T>::load(add + j * lanes);
      sum[i][j].store(y + j * lanes);
    }
    if (partial_is_cheap || tail == lanes) {
      if (add) sum[i][last] = sum[i][last] + Vec<T>::load_partial(add + last * lanes, tail);
      sum[i][last].store_partial(y + last * lanes, tail);
    }
    y += y_stride;
    if (add) add += add_stride;
    asm("" : "+r"(y));
  }
  if (partial_is_cheap || tail == lanes) return;
  y = o.y + last * lanes;
  add = o.add ? o.add + last * lanes : nullptr;
  T rest[rows][lanes];  // in memory: unrolled, this would be most of the code
  ANTHER_UNROLL for (int i = 0; i < rows; ++i) sum[i][last].store(rest[i]);
  for (int i = 0; i < rows; ++i) {
    Vec<T> value = Vec<T>::load(rest[i]);
    if (add) value = value + Vec<T>::load_partial(add + i * add_stride, tail);
    value.store_partial(y + i * y_stride, tail);
  }
}

// y = x B + bias + add, for a tile of `rows` rows and `vectors` vectors of columns, of whose last
// `tail` columns exist. o.packed is a panel.
template <class T, int rows, int vectors>
void gemm_tile(GemmAhead<T>& ahead, const GemmOperands<T>& o, const GemmDims& d,
               std::int64_t tail) {
  constexpr int lanes = Vec<T>::lanes;
  constexpr int last = vectors - 1;
  const T *x = o.x, *b = o.packed;
  const std::int64_t x_stride = d.x_stride, depth = d.depth;
  Vec<T> sum[rows][vectors];
  ANTHER_UNROLL for (int j = 0; j < vectors; ++j) {
    const Vec<T> start = !o.bias    ? Vec<T>::zero()
                         : j < last ? Vec<T>::load(o.bias + j * lanes)
                                    : Vec<T>::load_partial(o.bias + j * lanes, tail);
    ANTHER_UNROLL for (int i = 0; i < rows; ++i) sum[i][j] = start;
  }
  // The next tile's rows are fetched meanwhile (where rows follow each other closely); the hardware
  // alone does not see them coming. From memory this is worth up to a half.
  const T* next = x + rows * x_stride;
  std::int64_t far_stride;
  const T* far = ahead.take(depth, far_stride);
  for (std::int64_t k = 0; k < depth; ++k) {
    __builtin_prefetch(next);
    next += rows;
    __builtin_prefetch(far, 0, 2);
    far += far_stride;
    Vec<T> row[vectors];
    ANTHER_UNROLL for (int j = 0; j < vectors; ++j) row[j] = Vec<T>::load(b + j * lanes);
    ANTHER_UNROLL for (int i = 0; i < rows; ++i) {
      const Vec<T> value = Vec<T>::broadcast(x[i * x_stride + k]);
      ANTHER_UNROLL for (int j = 0; j < vectors; ++j) sum[i][j] = fma(value, row[j], sum[i][j]);
    }
    b += vectors * lanes;
  }
  gemm_store<T, rows, vectors>(sum, o, d, tail);
}

#if ANTHER_VECTOR_ISA == 3
// b in the lanes of the mask, else a. Of a shuffle GCC 12 would make more broadcasts and inserts.
template <unsigned short mask>
ANTHER_INLINE Vec<float> gemm_blend(const Vec<float>& a, const Vec<float>& b) {
#if defined(__clang__)
  return {__builtin_ia32_selectps_512(mask, b.raw, a.raw)};
#else
  return {__builtin_ia32_blendmps_512_mask(a.raw, b.raw, mask)};
#endif
}

// gemm_tile for a panel that has a quarter: last[f] holds the quarters of rows 4 f to 4 f + 3, one
// after another.
template <int rows, class T>
void gemm_quarter_tile(GemmAhead<T>& ahead, const GemmOperands<T>& o, const GemmDims& d) {
  constexpr int lanes = Vec<T>::lanes, fours = rows / 4, quarter = 4;
  const T *x = o.x, *b = o.packed;
  const std::int64_t x_stride = d.x_stride, depth = d.depth;
  Vec<T> sum[rows][2], last[fours];
  ANTHER_UNROLL for (int j = 0; j < 2; ++j) {
    const Vec<T> start = o.bias ? Vec<T>::load(o.bias + j * lanes) : Vec<T>::zero();
    ANTHER_UNROLL for (int i = 0; i < rows; ++i) sum[i][j] = start;
  }
  T rest[fours][lanes];
  for (int i = 0; i < lanes; ++i) rest[0][i] = o.bias ? o.bias[2 * lanes + i % quarter] : T(0);
  ANTHER_UNROLL for (int f = 0; f < fours; ++f) last[f] = Vec<T>::load(rest[0]);
  const T* next = x + rows * x_stride;
  std::int64_t far_stride;
  const T* far = ahead.take(depth, far_stride);
  for (std::int64_t k = 0; k < depth; ++k) {
    __builtin_prefetch(next);
    next += rows;
    __builtin_prefetch(far, 0, 2);
    far += far_stride;
    const Vec<T> row0 = Vec<T>::load(b), row1 = Vec<T>::load(b + lanes),
                 row2 = Vec<T>::load(b + 2 * lanes);
    ANTHER_UNROLL for (int f = 0; f < fours; ++f) {
      Vec<T> value[4];
      ANTHER_UNROLL for (int i = 0; i < 4; ++i) {
        value[i] = Vec<T>::broadcast(x[(4 * f + i) * x_stride + k]);
        sum[4 * f + i][0] = fma(value[i], row0, sum[4 * f + i][0]);
        sum[4 * f + i][1] = fma(value[i], row1, sum[4 * f + i][1]);
      }
      last[f] = fma(gemm_blend<0xff00>(gemm_blend<0x00f0>(value[0], value[1]),
                                       gemm_blend<0xf000>(value[2], value[3])),
                    row2, last[f]);
    }
    b += 3 * lanes;
  }
  ANTHER_UNROLL for (int f = 0; f < fours; ++f) last[f].store(rest[f]);
  const std::int64_t y_stride = d.y_stride, add_stride = d.add_stride;
  const T* add = o.add;
  T* y = o.y;
  ANTHER_UNROLL for (int i = 0; i < rows; ++i) {
    ANTHER_UNROLL for (int j = 0; j < 2; ++j) {
      if (add) sum[i][j] = sum[i][j] + Vec<T>::load(add + j * lanes);
      sum[i][j].store(y + j * lanes);
    }
    const T* const from = rest[i / 4] + i % 4 * quarter;
    ANTHER_UNROLL for (int j = 0; j < quarter; ++j) {
      y[2 * lanes + j] = add ? from[j] + add[2 * lanes + j] : from[j];
    }
    y += y_stride;
    if (add) add += add_stride;
    asm("" : "+r"(y));
  }
}
#endif

// Goes on by `rows` rows.
template <class T>
ANTHER_INLINE void gemm_advance(GemmOperands<T>& o, const GemmDims& d, std::int64_t rows) {
  o.x += rows * d.x_stride;
  o.y += rows * d.y_stride;
  if (o.add) o.add += rows * d.add_stride;
}

// All rows of one panel, which o.packed is. It has `columns` columns.
template <class T, int vectors>
void gemm_rows(GemmOperands<T> o, const GemmDims& d, std::int64_t columns) {
  constexpr int full = gemm_tile_rows(vectors);
  constexpr bool has_shorter = gemm_has_shorter(vectors);
  const std::int64_t tail = columns - (vectors - 1) * Vec<T>::lanes;
  const std::int64_t elements = d.depth * vectors * Vec<T>::lanes;
  GemmAhead<T> ahead = {o.packed + elements, elements / GemmAhead<T>::line};
  std::int64_t rows = d.rows;
#if ANTHER_VECTOR_ISA == 3
  if constexpr (sizeof(T) == 4 && vectors == 3)
    for (const bool by_quarters = gemm_has_quarter<T>(vectors, tail); by_quarters && rows >= 8;
         rows -= 8) {
      gemm_quarter_tile<8>(ahead, o, d);
      gemm_advance(o, d, 8);
    }
#endif
  GemmCut cut(rows, full, has_shorter);
  while (rows > 0) {
    std::int64_t done = 1;
    if (cut.full > 0) {
      gemm_tile<T, full, vectors>(ahead, o, d, tail);
      done = full;
      --cut.full;
    } else if (has_shorter && cut.shorter > 0) {
      gemm_tile<T, has_shorter ? full - 1 : full, vectors>(ahead, o, d, tail);
      done = full - 1;
      --cut.shorter;
    } else if (rows >= 4) {
      gemm_tile<T, 4, vectors>(ahead, o, d, tail);
      done = 4;
    } else {
      gemm_tile<T, 1, vectors>(ahead, o, d, tail);
    }
    gemm_advance(o, d, done);
    rows -= done;
  }
}

// y (rows, columns) = x (rows, depth) B + bias + add, for the panels first to last - 1.
template <class T>
void gemm(const GemmOperands<T>& o, const GemmDims& d, std::int64_t first, std::int64_t last) {
  for (std::int64_t number = first; number < last; ++number) {
    const GemmPanel panel = gemm_panel<T>(d.columns, number);
    const auto run = panel.vectors == 3   ? &gemm_rows<T, 3>
                     : panel.vectors == 2 ? &gemm_rows<T, 2>
                                          : &gemm_rows<T, 1>;
    run({o.y + panel.column, o.add ? o.add + panel.column : nullptr, o.x,
         o.packed + panel.column * d.depth, o.bias ? o.bias + panel.column : nullptr},
        d, panel.columns);
  }
}
