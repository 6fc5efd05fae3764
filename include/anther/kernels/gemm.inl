// The bodies of gemm.hpp.
//
// B is packed in panels of 1 to 3 vectors of columns: all rows of one panel, then the next panel,
// so that the inner loop reads it front to back. x is read in place.

// Rows of the register tile that is `vectors` wide: its accumulators, one row of the packed operand
// and one broadcast fit the registers, and 96 rows are whole tiles.
constexpr int gemm_tile_rows(int vectors) {
  const bool many = vector_registers == 32;
  return vectors == 3 ? (many ? 8 : 4) : vectors == 2 ? (many ? 12 : 6) : 12;
}

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

// Packs one panel of B, where B[k][n] = b[k depth_stride + n column_stride].
template <class T>
void gemm_pack_panel(T* packed, const T* b, std::int64_t columns, std::int64_t depth,
                     std::int64_t column_stride, std::int64_t depth_stride, std::int64_t number) {
  constexpr std::int64_t lanes = Vec<T>::lanes;
  const GemmPanel panel = gemm_panel<T>(columns, number);
  const std::int64_t width = panel.vectors * lanes;
  b += panel.column * column_stride;
  packed += panel.column * depth;
  if (column_stride == 1) {
    for (std::int64_t k = 0; k < depth; ++k)
      for (std::int64_t n = 0; n < width; n += lanes)
        Vec<T>::load_partial(b + k * depth_stride + n, panel.columns - n)
            .store(packed + k * width + n);
    return;
  }
  const bool by_fours = depth_stride == 1;
  for (std::int64_t n = 0; n < width;) {
    const bool four = by_fours && n + 4 <= panel.columns;
    std::int64_t k = 0;
    if (four)
      for (; k + 4 <= depth; k += 4)
        gemm_transpose4<T>(packed + k * width + n, width, b + n * column_stride + k, column_stride);
    const std::int64_t end = n + (four ? 4 : 1);
    for (; k < depth; ++k)
      for (std::int64_t i = n; i < end; ++i)
        packed[k * width + i] = i < panel.columns ? b[i * column_stride + k * depth_stride] : T(0);
    n = end;
  }
}
template <class T>
void gemm_pack(T* packed, const T* b, std::int64_t columns, std::int64_t depth,
               std::int64_t column_stride, std::int64_t depth_stride) {
  const std::int64_t panels = gemm_panels<T>(columns);
  for (std::int64_t number = 0; number < panels; ++number)
    gemm_pack_panel<T>(packed, b, columns, depth, column_stride, depth_stride, number);
}

// y = x B + bias + add, for a tile of `rows` rows and `vectors` vectors of columns, of whose last
// `tail` columns exist. b is a panel.
template <class T, int rows, int vectors>
void gemm_tile(std::int64_t depth, const T* x, std::int64_t x_stride, const T* b, T* y,
               std::int64_t y_stride, const T* bias, const T* add, std::int64_t add_stride,
               std::int64_t tail) {
  constexpr int lanes = Vec<T>::lanes;
  constexpr int last = vectors - 1;
  Vec<T> sum[rows][vectors];
  ANTHER_UNROLL for (int j = 0; j < vectors; ++j) {
    const Vec<T> start = !bias      ? Vec<T>::zero()
                         : j < last ? Vec<T>::load(bias + j * lanes)
                                    : Vec<T>::load_partial(bias + j * lanes, tail);
    ANTHER_UNROLL for (int i = 0; i < rows; ++i) sum[i][j] = start;
  }
  const T* next =
      x + rows * x_stride;  // the next tile's rows, where rows follow each other closely
  for (std::int64_t k = 0; k < depth; ++k) {
    __builtin_prefetch(next);
    next += rows;
    Vec<T> row[vectors];
    ANTHER_UNROLL for (int j = 0; j < vectors; ++j) row[j] = Vec<T>::load(b + j * lanes);
    ANTHER_UNROLL for (int i = 0; i < rows; ++i) {
      const Vec<T> value = Vec<T>::broadcast(x[i * x_stride + k]);
      ANTHER_UNROLL for (int j = 0; j < vectors; ++j) sum[i][j] = fma(value, row[j], sum[i][j]);
    }
    b += vectors * lanes;
  }
  ANTHER_UNROLL for (int i = 0; i < rows; ++i) {
    ANTHER_UNROLL for (int j = 0; j < last; ++j) {
      if (add) sum[i][j] = sum[i][j] + Vec<T>::load(add + i * add_stride + j * lanes);
      sum[i][j].store(y + i * y_stride + j * lanes);
    }
    if (add)
      sum[i][last] = sum[i][last] + Vec<T>::load_partial(add + i * add_stride + last * lanes, tail);
    sum[i][last].store_partial(y + i * y_stride + last * lanes, tail);
  }
}

// All rows of one panel.
template <class T, int vectors>
void gemm_rows(std::int64_t rows, std::int64_t depth, const T* x, std::int64_t x_stride, const T* b,
               T* y, std::int64_t y_stride, const T* bias, const T* add, std::int64_t add_stride,
               std::int64_t columns) {
  constexpr int full = gemm_tile_rows(vectors);
  const std::int64_t tail = columns - (vectors - 1) * Vec<T>::lanes;
  while (rows > 0) {
    std::int64_t done = 1;
    if (rows >= full) {
      gemm_tile<T, full, vectors>(depth, x, x_stride, b, y, y_stride, bias, add, add_stride, tail);
      done = full;
    } else if (full > 4 && rows >= 4) {
      gemm_tile<T, 4, vectors>(depth, x, x_stride, b, y, y_stride, bias, add, add_stride, tail);
      done = 4;
    } else {
      gemm_tile<T, 1, vectors>(depth, x, x_stride, b, y, y_stride, bias, add, add_stride, tail);
    }
    rows -= done;
    x += done * x_stride;
    y += done * y_stride;
    if (add) add += done * add_stride;
  }
}

// y (rows, columns) = x (rows, depth) B + bias + add, for the panels first_panel to last_panel - 1.
template <class T>
void gemm(std::int64_t rows, std::int64_t columns, std::int64_t depth, const T* x,
          std::int64_t x_stride, const T* packed, T* y, std::int64_t y_stride, const T* bias,
          const T* add, std::int64_t add_stride, std::int64_t first_panel,
          std::int64_t last_panel) {
  for (std::int64_t number = first_panel; number < last_panel; ++number) {
    const GemmPanel panel = gemm_panel<T>(columns, number);
    const auto run = panel.vectors == 3   ? &gemm_rows<T, 3>
                     : panel.vectors == 2 ? &gemm_rows<T, 2>
                                          : &gemm_rows<T, 1>;
    run(rows, depth, x, x_stride, packed + panel.column * depth, y + panel.column, y_stride,
        bias ? bias + panel.column : nullptr, add ? add + panel.column : nullptr, add_stride,
        panel.columns);
  }
}

// The rows of dy and x that one pass of the weight gradient sums over: they stay in the first-level
// cache while all tiles of dw pass over them.
constexpr std::int64_t gemm_tn_rows = 96;

// The next block of rows, which the tiles of this one fetch: each of the first tiles takes a slice,
// a cache line from each row of dy or of x. The hardware alone does not see it coming.
template <class T>
struct GemmTnAhead {
  const T* slice[2];       // of dy, of x: the next
  std::int64_t stride[2];  // from one row to the next
  std::int64_t slices[2];  // how many are left
  std::int64_t every;      // so many tiles share one slice's turn
  std::int64_t wait;       // tiles until the next slice

  // Where this tile's slice begins, and the distance between its lines: 0 where it has none.
  ANTHER_INLINE const T* next_slice(std::int64_t& line_stride) {
    constexpr std::int64_t line = 64 / static_cast<std::int64_t>(sizeof(T));
    line_stride = 0;
    const int which = slices[0] > 0 ? 0 : 1;
    const T* from = slice[which];
    if (slices[which] == 0 || --wait > 0) return from;
    wait = every;
    line_stride = stride[which];
    slice[which] += line;
    --slices[which];
    return from;
  }
};

// dw += dy^T x for a tile of `outs` rows and `vectors` vectors of columns, over `rows` rows of dy
// and x. Of the tile's columns the first `columns` exist in dw, whose strides may be those of its
// transpose.
template <class T, int outs, int vectors>
void gemm_tn_tile(GemmTnAhead<T>& ahead, std::int64_t rows, const T* dy, std::int64_t dy_stride,
                  const T* x, std::int64_t x_stride, T* dw, std::int64_t out_stride,
                  std::int64_t column_stride, std::int64_t columns) {
  constexpr int lanes = Vec<T>::lanes;
  constexpr int width = vectors * lanes;
  const bool whole = column_stride == 1 && columns == width;
  Vec<T> sum[outs][vectors];
  ANTHER_UNROLL for (int i = 0; i < outs; ++i) {
    __builtin_prefetch(dw + i * out_stride, 1);
    __builtin_prefetch(dw + i * out_stride + (columns - 1) * column_stride, 1);
    ANTHER_UNROLL for (int j = 0; j < vectors; ++j) sum[i][j] = Vec<T>::zero();
  }
  std::int64_t far_stride;
  const T* far = ahead.next_slice(far_stride);
  for (; rows > 0; --rows) {
    __builtin_prefetch(far);
    far += far_stride;
    Vec<T> row[vectors];
    ANTHER_UNROLL for (int j = 0; j < vectors; ++j) row[j] = Vec<T>::load(x + j * lanes);
    ANTHER_UNROLL for (int i = 0; i < outs; ++i) {
      const Vec<T> value = Vec<T>::broadcast(dy[i]);
      ANTHER_UNROLL for (int j = 0; j < vectors; ++j) sum[i][j] = fma(value, row[j], sum[i][j]);
    }
    x += x_stride;
    dy += dy_stride;
  }
  if (whole) {
    ANTHER_UNROLL for (int i = 0; i < outs; ++i) {
      ANTHER_UNROLL for (int j = 0; j < vectors; ++j) {
        T* to = dw + i * out_stride + j * lanes;
        (Vec<T>::load(to) + sum[i][j]).store(to);
      }
    }
    return;
  }
  T sums[outs][width];
  ANTHER_UNROLL for (int i = 0; i < outs; ++i) ANTHER_UNROLL for (int j = 0; j < vectors; ++j)
      sum[i][j]
          .store(sums[i] + j * lanes);
  for (int i = 0; i < outs; ++i)
    for (std::int64_t n = 0; n < columns; ++n) dw[i * out_stride + n * column_stride] += sums[i][n];
}

// All tiles of one panel of dw's columns, in one block of rows. The panel of x is read from a copy
// where it is partial, or so wide that its rows would push each other out of the cache.
template <class T, int vectors>
void gemm_tn_outs(GemmTnAhead<T>& ahead, std::int64_t rows, std::int64_t outs, const T* dy,
                  std::int64_t dy_stride, const T* x, std::int64_t x_stride, T* dw,
                  std::int64_t out_stride, std::int64_t column_stride, std::int64_t columns) {
  constexpr int full = gemm_tile_rows(vectors);
  constexpr int lanes = Vec<T>::lanes;
  constexpr int width = vectors * lanes;
  alignas(64) T copy[gemm_tn_rows * width];
  if (columns < width || x_stride + dy_stride > 192) {
    const std::int64_t tail = columns - (vectors - 1) * lanes;
    T* to = copy;
    for (std::int64_t r = 0; r < rows; ++r) {
      ANTHER_UNROLL for (int j = 0; j + 1 < vectors; ++j) Vec<T>::load(x + j * lanes)
          .store(to + j * lanes);
      Vec<T>::load_partial(x + (vectors - 1) * lanes, tail).store(to + (vectors - 1) * lanes);
      x += x_stride;
      to += width;
    }
    x = copy;
    x_stride = width;
  }
  while (outs > 0) {
    std::int64_t done = 1;
    if (outs >= full) {
      gemm_tn_tile<T, full, vectors>(ahead, rows, dy, dy_stride, x, x_stride, dw, out_stride,
                                     column_stride, columns);
      done = full;
    } else if (full > 4 && outs >= 4) {
      gemm_tn_tile<T, 4, vectors>(ahead, rows, dy, dy_stride, x, x_stride, dw, out_stride,
                                  column_stride, columns);
      done = 4;
    } else {
      gemm_tn_tile<T, 1, vectors>(ahead, rows, dy, dy_stride, x, x_stride, dw, out_stride,
                                  column_stride, columns);
    }
    outs -= done;
    dy += done;
    dw += done * out_stride;
  }
}

// One block of rows.
template <class T>
void gemm_tn_block(GemmTnAhead<T>& ahead, std::int64_t rows, std::int64_t outs,
                   std::int64_t columns, const T* dy, std::int64_t dy_stride, const T* x,
                   std::int64_t x_stride, T* dw, std::int64_t out_stride,
                   std::int64_t column_stride) {
  const std::int64_t panels = gemm_panels<T>(columns);
  for (std::int64_t number = 0; number < panels; ++number) {
    const GemmPanel panel = gemm_panel<T>(columns, number);
    const auto run = panel.vectors == 3   ? &gemm_tn_outs<T, 3>
                     : panel.vectors == 2 ? &gemm_tn_outs<T, 2>
                                          : &gemm_tn_outs<T, 1>;
    run(ahead, rows, outs, dy, dy_stride, x + panel.column, x_stride,
        dw + panel.column * column_stride, out_stride, column_stride, panel.columns);
  }
}

// dw (outs, columns) += dy^T x for one block of rows. Columns that would fill at most half of a
// vector change places with outs: their part of dw is computed as its transpose.
template <class T>
void gemm_tn_both(GemmTnAhead<T>& ahead, std::int64_t rows, std::int64_t outs, std::int64_t columns,
                  const T* dy, std::int64_t dy_stride, const T* x, std::int64_t x_stride, T* dw,
                  std::int64_t dw_stride) {
  constexpr std::int64_t lanes = Vec<T>::lanes;
  const std::int64_t rest = columns % lanes;
  const std::int64_t turned = rest <= lanes / 2 && outs > rest ? rest : 0;
  const std::int64_t straight = columns - turned;
  gemm_tn_block<T>(ahead, rows, outs, straight, dy, dy_stride, x, x_stride, dw, dw_stride, 1);
  gemm_tn_block<T>(ahead, rows, turned, outs, x + straight, x_stride, dy, dy_stride, dw + straight,
                   1, dw_stride);
}

// dw (outs, columns) += dy^T x, dy (rows, outs), x (rows, columns). Each element of dw gets the
// sums of blocks of gemm_tn_rows rows, in rising order.
template <class T>
void gemm_tn(std::int64_t rows, std::int64_t outs, std::int64_t columns, const T* dy,
             std::int64_t dy_stride, const T* x, std::int64_t x_stride, T* dw,
             std::int64_t dw_stride) {
  constexpr std::int64_t lanes = Vec<T>::lanes;
  constexpr std::int64_t line = 64 / static_cast<std::int64_t>(sizeof(T));
  // Both measured on Zen 3. Fetching ahead brings 10 to 25 % with narrow rows, and costs 2 with
  // others. Reading dy from a copy brings 10 % where its rows are so wide that only a few cache
  // sets hold the same columns of all.
  const bool fetch = dy_stride + x_stride > 96 && dy_stride + x_stride <= 512;
  const bool copy = dy_stride > 900;
  const std::int64_t dy_slices = fetch ? (outs + line - 1) / line : 0;
  const std::int64_t x_slices = fetch ? (columns + line - 1) / line : 0;
  const std::int64_t every = outs * columns / (12 * lanes) / (dy_slices + x_slices + 1) + 1;
  constexpr std::int64_t copied = 96;
  alignas(64) T dy_copy[gemm_tn_rows * copied];
  for (std::int64_t row = 0; row < rows; row += gemm_tn_rows) {
    const std::int64_t count = rows - row < gemm_tn_rows ? rows - row : gemm_tn_rows;
    const T* dy_here = dy + row * dy_stride;
    const T* x_here = x + row * x_stride;
    GemmTnAhead<T> ahead = {{dy_here + gemm_tn_rows * dy_stride, x_here + gemm_tn_rows * x_stride},
                            {dy_stride, x_stride},
                            {dy_slices, x_slices},
                            every,
                            1};
    if (!copy) {
      gemm_tn_both<T>(ahead, count, outs, columns, dy_here, dy_stride, x_here, x_stride, dw,
                      dw_stride);
      continue;
    }
    for (std::int64_t out = 0; out < outs; out += copied) {
      const std::int64_t here = outs - out < copied ? outs - out : copied;
      for (std::int64_t r = 0; r < count; ++r)
        for (std::int64_t i = 0; i < here; i += lanes)
          Vec<T>::load_partial(dy_here + r * dy_stride + out + i, here - i)
              .store(dy_copy + r * copied + i);
      gemm_tn_both<T>(ahead, count, here, columns, dy_copy, copied, x_here, x_stride,
                      dw + out * dw_stride, dw_stride);
    }
  }
}

// dw += the partial sums, in order; columns 0 to columns - 1 of one row of each, `size` apart.
template <class T>
void gemm_tn_add_row(T* dw, const T* partial, std::int64_t columns, std::int64_t size,
                     std::int64_t count) {
  constexpr std::int64_t lanes = Vec<T>::lanes;
  for (std::int64_t i = 0; i < columns; i += lanes) {
    Vec<T> sum = Vec<T>::load_partial(dw + i, columns - i);
    for (std::int64_t p = 0; p < count; ++p)
      sum = sum + Vec<T>::load_partial(partial + p * size + i, columns - i);
    sum.store_partial(dw + i, columns - i);
  }
}
