// The bodies of gemm.hpp: the weight gradient. It uses the panels of gemm.inl.

// Whether rows that are far apart are copied, and the next ones fetched ahead even where dw is
// small. With AVX2 on Zen 3, whose first-level cache has 32 KiB, both bring 10 to 25 %; with
// AVX-512 on Zen 5 (48 KiB), whose larger tiles read rows less often, both cost 2 to 10.
constexpr bool gemm_tn_spares_cache = vector_bytes < 64;

// The rows of dy and x that one pass of the weight gradient sums over, at most: a panel of x stays
// in the first-level cache while all tiles of dw pass over it.
constexpr std::int64_t gemm_tn_rows = gemm_tn_spares_cache ? 112 : 128;

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

// A part of a weight gradient, or all of it: dw (outs, columns) += dy^T x, whose elements are
// out_stride and column_stride apart, as dw may be the transpose of what is stored.
template <class T>
struct GemmTnPart {
  T* dw;
  const T *dy, *x;
  std::int64_t rows, outs, columns;
  std::int64_t dy_stride, x_stride, out_stride, column_stride;
};

// A tile of `outs` rows and `vectors` vectors of columns, of which the first p.columns exist. The
// part is passed by value: as far as the compiler knows, the store of a vector could change what a
// reference to it leads to.
template <class T, int outs, int vectors>
void gemm_tn_tile(GemmTnAhead<T>& ahead, GemmTnPart<T> p) {
  constexpr int lanes = Vec<T>::lanes;
  constexpr int width = vectors * lanes;
  const bool whole = p.column_stride == 1 && p.columns == width;
  Vec<T> sum[outs][vectors];
  ANTHER_UNROLL for (int i = 0; i < outs; ++i) {
    __builtin_prefetch(p.dw + i * p.out_stride, 1);
    __builtin_prefetch(p.dw + i * p.out_stride + (p.columns - 1) * p.column_stride, 1);
    ANTHER_UNROLL for (int j = 0; j < vectors; ++j) sum[i][j] = Vec<T>::zero();
  }
  std::int64_t far_stride;
  const T* far = ahead.next_slice(far_stride);
  for (; p.rows > 0; --p.rows) {
    __builtin_prefetch(far);
    far += far_stride;
    Vec<T> row[vectors];
    ANTHER_UNROLL for (int j = 0; j < vectors; ++j) row[j] = Vec<T>::load(p.x + j * lanes);
    ANTHER_UNROLL for (int i = 0; i < outs; ++i) {
      const Vec<T> value = Vec<T>::broadcast(p.dy[i]);
      ANTHER_UNROLL for (int j = 0; j < vectors; ++j) sum[i][j] = fma(value, row[j], sum[i][j]);
    }
    p.x += p.x_stride;
    p.dy += p.dy_stride;
  }
  if (whole) {
    ANTHER_UNROLL for (int i = 0; i < outs; ++i) {
      ANTHER_UNROLL for (int j = 0; j < vectors; ++j) {
        T* const to = p.dw + i * p.out_stride + j * lanes;
        (Vec<T>::load(to) + sum[i][j]).store(to);
      }
    }
    return;
  }
  T sums[outs][width];
  ANTHER_UNROLL for (int i = 0; i < outs; ++i) {
    ANTHER_UNROLL for (int j = 0; j < vectors; ++j) sum[i][j].store(sums[i] + j * lanes);
  }
  for (int i = 0; i < outs; ++i)
    for (std::int64_t n = 0; n < p.columns; ++n)
      p.dw[i * p.out_stride + n * p.column_stride] += sums[i][n];
}

// All tiles of one panel of dw's columns, in one block of rows. The panel of x is read from a copy
// where it is partial, or so wide that its rows would push each other out of the cache.
template <class T, int vectors>
void gemm_tn_outs(GemmTnAhead<T>& ahead, GemmTnPart<T> p) {
  constexpr int full = gemm_tile_rows(vectors);
  constexpr bool has_shorter = gemm_has_shorter(vectors);
  constexpr int lanes = Vec<T>::lanes;
  constexpr int width = vectors * lanes;
  alignas(64) T copy[gemm_tn_rows * width];
  if (p.columns < width || (gemm_tn_spares_cache && p.x_stride + p.dy_stride > 192)) {
    const std::int64_t tail = p.columns - (vectors - 1) * lanes;
    T* to = copy;
    for (std::int64_t r = 0; r < p.rows; ++r) {
      ANTHER_UNROLL for (int j = 0; j + 1 < vectors; ++j) {
        Vec<T>::load(p.x + j * lanes).store(to + j * lanes);
      }
      Vec<T>::load_partial(p.x + (vectors - 1) * lanes, tail).store(to + (vectors - 1) * lanes);
      p.x += p.x_stride;
      to += width;
    }
    p.x = copy;
    p.x_stride = width;
  }
  GemmCut cut(p.outs, full, has_shorter);
  while (p.outs > 0) {
    std::int64_t done = 1;
    if (cut.full > 0) {
      gemm_tn_tile<T, full, vectors>(ahead, p);
      done = full;
      --cut.full;
    } else if (has_shorter && cut.shorter > 0) {
      gemm_tn_tile<T, has_shorter ? full - 1 : full, vectors>(ahead, p);
      done = full - 1;
      --cut.shorter;
    } else if (p.outs >= 4) {
      gemm_tn_tile<T, 4, vectors>(ahead, p);
      done = 4;
    } else {
      gemm_tn_tile<T, 1, vectors>(ahead, p);
    }
    p.outs -= done;
    p.dy += done;
    p.dw += done * p.out_stride;
  }
}

// One block of rows.
template <class T>
void gemm_tn_block(GemmTnAhead<T>& ahead, const GemmTnPart<T>& p) {
  const std::int64_t panels = gemm_panels<T>(p.columns);
  for (std::int64_t number = 0; number < panels; ++number) {
    const GemmPanel panel = gemm_panel<T>(p.columns, number);
    GemmTnPart<T> part = p;
    part.x += panel.column;
    part.dw += panel.column * p.column_stride;
    part.columns = panel.columns;
    (panel.vectors == 3   ? &gemm_tn_outs<T, 3>
     : panel.vectors == 2 ? &gemm_tn_outs<T, 2>
                          : &gemm_tn_outs<T, 1>)(ahead, part);
  }
}

// The same, but columns that would fill at most half of a vector change places with outs: their
// part of dw is computed as its transpose.
template <class T>
void gemm_tn_both(GemmTnAhead<T>& ahead, GemmTnPart<T> p) {
  constexpr std::int64_t lanes = Vec<T>::lanes;
  const std::int64_t rest = p.columns % lanes;
  const std::int64_t turned = rest <= lanes / 2 && p.outs > rest ? rest : 0;
  p.columns -= turned;
  gemm_tn_block<T>(ahead, p);
  if (turned == 0) return;
  gemm_tn_block<T>(ahead, {.dw = p.dw + p.columns * p.column_stride,
                           .dy = p.x + p.columns,
                           .x = p.dy,
                           .rows = p.rows,
                           .outs = turned,
                           .columns = p.outs,
                           .dy_stride = p.x_stride,
                           .x_stride = p.dy_stride,
                           .out_stride = p.column_stride,
                           .column_stride = p.out_stride});
}

// The same from a copy of dy, in parts of as even a width as can be. Its rows are an odd number of
// cache lines apart, so that a column of it falls on all sets of the cache.
template <class T>
void gemm_tn_copied(GemmTnAhead<T>& ahead, const GemmTnPart<T>& p) {
  constexpr std::int64_t lanes = Vec<T>::lanes;
  constexpr std::int64_t width = 21 * 64 / static_cast<std::int64_t>(sizeof(T));
  alignas(64) T copy[gemm_tn_rows * width];
  const std::int64_t parts = (p.outs + width - 1) / width;
  const std::int64_t size = ((p.outs + parts - 1) / parts + lanes - 1) / lanes * lanes;
  for (std::int64_t out = 0; out < p.outs; out += size) {
    GemmTnPart<T> part = p;
    part.outs = p.outs - out < size ? p.outs - out : size;
    for (std::int64_t r = 0; r < p.rows; ++r)
      for (std::int64_t i = 0; i < part.outs; i += lanes)
        Vec<T>::load_partial(p.dy + r * p.dy_stride + out + i, part.outs - i)
            .store(copy + r * width + i);
    part.dy = copy;
    part.dy_stride = width;
    part.dw += out * p.out_stride;
    gemm_tn_both<T>(ahead, part);
  }
}

// dw (outs, columns) += dy^T x, dy (rows, outs), x (rows, columns). Each element of dw gets the
// sums of blocks of at most gemm_tn_rows rows, as even as they can be, in rising order.
template <class T>
void gemm_tn(T* dw, const T* dy, const T* x, const GemmTnDims& d) {
  constexpr std::int64_t lanes = Vec<T>::lanes;
  constexpr std::int64_t line = 64 / static_cast<std::int64_t>(sizeof(T));
  // Where dw, of which this may be a block, is larger than half of a usual second-level cache, dy
  // and x come from beyond it. Reading dy from a copy brings something where its rows are so wide
  // that the same columns of all share a few cache sets.
  const bool large = d.dy_stride * d.x_stride > 1 << 17;
  const bool fetch = large || (gemm_tn_spares_cache && d.dy_stride + d.x_stride > 96);
  const bool copy = gemm_tn_spares_cache && d.dy_stride > 900;
  const std::int64_t dy_slices = fetch ? (d.outs + line - 1) / line : 0;
  const std::int64_t x_slices = fetch ? (d.columns + line - 1) / line : 0;
  const std::int64_t every = d.outs * d.columns / (12 * lanes) / (dy_slices + x_slices + 1) + 1;
  // A column of dy lies in 16 of the cache's 64 sets where rows are an odd number of four lines
  // apart: 80 rows take five lines of each.
  const std::int64_t most =
      gemm_tn_spares_cache && d.dy_stride % (8 * line) == 4 * line ? 80 : gemm_tn_rows;
  const std::int64_t blocks = (d.rows + most - 1) / most;
  for (std::int64_t block = 0; block < blocks; ++block) {
    const std::int64_t row = d.rows * block / blocks;
    const std::int64_t count = d.rows * (block + 1) / blocks - row;
    const T* dy_here = dy + row * d.dy_stride;
    const T* x_here = x + row * d.x_stride;
    GemmTnAhead<T> ahead = {{dy_here + count * d.dy_stride, x_here + count * d.x_stride},
                            {d.dy_stride, d.x_stride},
                            {dy_slices, x_slices},
                            every,
                            1};
    const GemmTnPart<T> part = {.dw = dw,
                                .dy = dy_here,
                                .x = x_here,
                                .rows = count,
                                .outs = d.outs,
                                .columns = d.columns,
                                .dy_stride = d.dy_stride,
                                .x_stride = d.x_stride,
                                .out_stride = d.dw_stride,
                                .column_stride = 1};
    if constexpr (gemm_tn_spares_cache)
      if (copy) {
        gemm_tn_copied<T>(ahead, part);
        continue;
      }
    gemm_tn_both<T>(ahead, part);
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
