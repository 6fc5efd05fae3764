// The bodies of gemm_bf16.hpp: the products. Their operands are in the tiles of gemm_bf16_pack.inl.

// y = start + A B for up to two tiles of rows by two of columns, `steps` tiles deep. start and y
// are whole tiles; start may be null, or have a stride of 0.
template <class T>
struct Bf16Block {
  const std::uint16_t *a, *b;
  std::int64_t a_stride,
      b_stride;  // from a tile of A to that of the next rows; from a step to the next
  std::int64_t steps;
  const T* start;
  std::int64_t start_stride;
  T* y;
  std::int64_t y_stride;
};

// a b + c of rounded floats. The product of two is exact in double, and no sum lies so that its
// second rounding could go wrong.
template <class T>
ANTHER_INLINE Vec<T> bf16_fma(const Vec<T>& a, const Vec<T>& b, const Vec<T>& c) {
#if ANTHER_VECTOR_ISA > 0
  return fma(a, b, c);
#else
  Vec<T> result;
  ANTHER_UNROLL for (int i = 0; i < Vec<T>::lanes; ++i) {
    result.raw[i] = static_cast<T>(static_cast<double>(a[i]) * static_cast<double>(b[i]) +
                                   static_cast<double>(c[i]));
  }
  return result;
#endif
}

// By FMA, for `rows` rows and so many vectors of columns of one tile.
template <class T, int rows, int vectors>
ANTHER_INLINE void bf16_fma_rows(const T* a, const std::uint16_t* b, const Bf16Block<T>& p,
                                 const T* start, T* y) {
  constexpr int lanes = Vec<T>::lanes;
  using Lanes = Bf16Lanes<T>;
  ANTHER_UNROLL for (int i = 0; i < rows; ++i) ANTHER_UNROLL for (int j = 0; j < vectors; ++j)(
      start ? Vec<T>::load(start + i * p.start_stride + j * lanes) : Vec<T>::zero())
      .store(y + i * p.y_stride + j * lanes);
  for (std::int64_t step = 0; step < p.steps; ++step) {
    Vec<T> even[rows][vectors], odd[rows][vectors];
    ANTHER_UNROLL for (int i = 0; i < rows; ++i) ANTHER_UNROLL for (int j = 0; j < vectors; ++j)
        even[i][j] = odd[i][j] = Vec<T>::zero();
    const std::uint16_t* pairs = b;
    for (int k = 0; k < 32; k += 2, pairs += 32) {
      Vec<T> first[vectors], second[vectors];
      ANTHER_UNROLL for (int j = 0; j < vectors; ++j) {
        const auto both = *reinterpret_cast<const typename Lanes::Memory*>(pairs + 2 * j * lanes);
        first[j].raw = reinterpret_cast<typename Vec<T>::Raw>(both << 16);
        second[j].raw = reinterpret_cast<typename Vec<T>::Raw>(both & 0xffff0000u);
      }
      ANTHER_UNROLL for (int i = 0; i < rows; ++i) {
        const Vec<T> a_even = Vec<T>::broadcast(a[32 * i + k]);
        ANTHER_UNROLL for (int j = 0; j < vectors; ++j) even[i][j] =
            bf16_fma(a_even, first[j], even[i][j]);
        const Vec<T> a_odd = Vec<T>::broadcast(a[32 * i + k + 1]);
        ANTHER_UNROLL for (int j = 0; j < vectors; ++j) odd[i][j] =
            bf16_fma(a_odd, second[j], odd[i][j]);
      }
    }
    ANTHER_UNROLL for (int i = 0; i < rows; ++i) ANTHER_UNROLL for (int j = 0; j < vectors; ++j) {
      T* const to = y + i * p.y_stride + j * lanes;
      (Vec<T>::load(to) + (even[i][j] + odd[i][j])).store(to);
    }
    a += bf16_tile;
    b += p.b_stride;
  }
}
template <class T>
void bf16_fma_block(const Bf16Block<T>& p, int row_tiles, int column_tiles) {
  constexpr int lanes = Vec<T>::lanes, in_tile = 16 / lanes, vectors = in_tile > 2 ? 2 : in_tile;
  constexpr int rows = lanes == 16 && vector_registers == 32 ? 8 : 2;
  for (int i = 0; i < 16 * row_tiles; i += rows)
    for (int j = 0; j < column_tiles * in_tile; j += vectors)
      bf16_fma_rows<T, rows, vectors>(
          reinterpret_cast<const T*>(p.a + i / 16 * p.a_stride) + i % 16 * 32,
          p.b + j / in_tile * bf16_tile + j % in_tile * 2 * lanes, p,
          p.start ? p.start + i * p.start_stride + j * lanes : nullptr,
          p.y + i * p.y_stride + j * lanes);
}

#if ANTHER_VECTOR_ISA == 3
// AMX's instructions; tiles are named by number.
template <int tile>
ANTHER_INLINE void amx_zero() {
  asm volatile("tilezero %%tmm%c0" : : "i"(tile));
}
template <int tile>
ANTHER_INLINE void amx_load(const void* from, std::int64_t stride_bytes) {
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2"
               :
               : "r"(from), "r"(stride_bytes), "i"(tile)
               : "memory");
}
template <int tile>
ANTHER_INLINE void amx_store(void* to, std::int64_t stride_bytes) {
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)"
               :
               : "r"(to), "r"(stride_bytes), "i"(tile)
               : "memory");
}
template <int sum, int a, int b>
ANTHER_INLINE void amx_multiply() {
  asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(sum), "i"(a), "i"(b));
}

// Tiles 0 to 3 hold the sums, 4 and 5 those of A, 6 and 7 those of B.
template <class T, int row_tiles, int column_tiles>
void bf16_amx_tiles(const Bf16Block<T>& p) {
  constexpr std::int64_t bytes = sizeof(T);
  if (p.start) {
    const std::int64_t stride = p.start_stride * bytes;
    const T* const low = p.start + 16 * p.start_stride;
    amx_load<0>(p.start, stride);
    if constexpr (column_tiles > 1) amx_load<1>(p.start + 16, stride);
    if constexpr (row_tiles > 1) amx_load<2>(low, stride);
    if constexpr (row_tiles > 1 && column_tiles > 1) amx_load<3>(low + 16, stride);
  } else {
    amx_zero<0>();
    amx_zero<1>();
    amx_zero<2>();
    amx_zero<3>();
  }
  const std::uint16_t *a = p.a, *b = p.b;
  for (std::int64_t step = 0; step < p.steps; ++step) {
    amx_load<6>(b, 64);
    amx_load<4>(a, 64);
    amx_multiply<0, 4, 6>();
    if constexpr (row_tiles > 1) {
      amx_load<5>(a + p.a_stride, 64);
      amx_multiply<2, 5, 6>();
    }
    if constexpr (column_tiles > 1) {
      amx_load<7>(b + bf16_tile, 64);
      amx_multiply<1, 4, 7>();
      if constexpr (row_tiles > 1) amx_multiply<3, 5, 7>();
    }
    a += bf16_tile;
    b += p.b_stride;
  }
  const std::int64_t stride = p.y_stride * bytes;
  T* const low = p.y + 16 * p.y_stride;
  amx_store<0>(p.y, stride);
  if constexpr (column_tiles > 1) amx_store<1>(p.y + 16, stride);
  if constexpr (row_tiles > 1) amx_store<2>(low, stride);
  if constexpr (row_tiles > 1 && column_tiles > 1) amx_store<3>(low + 16, stride);
}
#endif

template <class T, bool amx>
ANTHER_INLINE void bf16_block(const Bf16Block<T>& p, int row_tiles, int column_tiles) {
#if ANTHER_VECTOR_ISA == 3
  if constexpr (amx) {
    (row_tiles > 1      ? column_tiles > 1 ? &bf16_amx_tiles<T, 2, 2> : &bf16_amx_tiles<T, 2, 1>
          : column_tiles > 1 ? &bf16_amx_tiles<T, 1, 2>
                        : &bf16_amx_tiles<T, 1, 1>)(p);
    return;
  }
#endif
  bf16_fma_block(p, row_tiles, column_tiles);
}

// `count` vectors of `columns` elements, up to a tile's width, from rows to rows; and add, if there
// is one, to them.
template <class T>
ANTHER_INLINE void bf16_copy_columns(T* to, std::int64_t to_stride, const T* from,
                                     std::int64_t from_stride, const T* add,
                                     std::int64_t add_stride, std::int64_t rows,
                                     std::int64_t columns) {
  for (std::int64_t n = 0; n < columns; n += Vec<T>::lanes) {
    const std::int64_t here = columns - n;
    for (std::int64_t i = 0; i < rows; ++i) {
      Vec<T> value = Vec<T>::load_partial(from + i * from_stride + n, here);
      if (add) value = value + Vec<T>::load_partial(add + i * add_stride + n, here);
      value.store_partial(to + i * to_stride + n, here);
    }
  }
}

// A block of which rows x columns exist, where tiles are partial or there is something to add:
// y = (start + A B) + add. The sums are in memory of its own.
template <class T, bool amx>
__attribute__((noinline)) void bf16_block_at_edge(const Bf16Block<T>& whole, std::int64_t rows,
                                                  std::int64_t columns, const T* add,
                                                  std::int64_t add_stride) {
  alignas(64) T start[32 * 32], sums[32 * 32];
  const int row_tiles = rows > 16 ? 2 : 1, column_tiles = columns > 16 ? 2 : 1;
  Bf16Block<T> p = whole;
  if (p.start && (columns < 16 * column_tiles || (rows < 16 * row_tiles && p.start_stride != 0))) {
    const std::int64_t start_rows = p.start_stride == 0 ? 1 : rows;
    for (std::int64_t i = 0; i < 32 * 32; i += Vec<T>::lanes) Vec<T>::zero().store(start + i);
    bf16_copy_columns<T>(start, 32, p.start, p.start_stride, nullptr, 0, start_rows, columns);
    p.start = start;
    if (p.start_stride != 0) p.start_stride = 32;
  }
  p.y = sums;
  p.y_stride = 32;
  bf16_block<T, amx>(p, row_tiles, column_tiles);
  bf16_copy_columns<T>(whole.y, whole.y_stride, sums, 32, add, add_stride, rows, columns);
}
template <class T, bool amx>
ANTHER_INLINE void bf16_any_block(const Bf16Block<T>& p, std::int64_t rows, std::int64_t columns,
                                  const T* add, std::int64_t add_stride) {
  if (rows % 16 == 0 && columns % 16 == 0 && !add)
    bf16_block<T, amx>(p, static_cast<int>(rows / 16), static_cast<int>(columns / 16));
  else
    bf16_block_at_edge<T, amx>(p, rows, columns, add, add_stride);
}

// y (rows, columns) = x (rows, depth) B + bias + add, for the panels first to last - 1. Where there
// is no bias and add is y, the sums start from it.
template <class T, bool amx>
void bf16_gemm(const GemmOperands<T>& o, const GemmDims& d, std::int64_t first, std::int64_t last) {
  // A depth beyond this is cut.
  constexpr std::int64_t most_steps = 128, room = most_steps * 2 * bf16_tile;
  alignas(64) std::uint16_t a[room];
  const auto* const packed = reinterpret_cast<const std::uint16_t*>(o.packed);
  const std::int64_t all_steps = bf16_steps(d.depth);
  for (std::int64_t done = 0;; done += most_steps) {
    const std::int64_t steps = all_steps - done < most_steps ? all_steps - done : most_steps;
    const bool goes_on = done > 0 || (!o.bias && o.add == o.y);
    const std::int64_t a_stride = steps * bf16_a_tile<amx>;
    // So many tiles of rows at a time stay in the first-level cache beside a panel of B.
    std::int64_t at_once = 24 * bf16_tile / (a_stride + 1) * 2;
    at_once = at_once < 2 ? 2 : at_once > 6 ? 6 : at_once;
    if (at_once * a_stride > room) at_once = 1;
    for (std::int64_t row = 0; row < d.rows; row += 16 * at_once) {
      const std::int64_t rows = d.rows - row < 16 * at_once ? d.rows - row : 16 * at_once;
      const std::int64_t k = 32 * done, left = d.depth - k;
      for (std::int64_t i = 0; i < rows; i += 16)
        bf16_pack_a<T, amx>(a + i / 16 * a_stride, o.x + (row + i) * d.x_stride + k, d.x_stride,
                            rows - i < 16 ? rows - i : 16,
                            left < 32 * most_steps ? left : 32 * most_steps);
      for (std::int64_t number = first; number < last; ++number) {
        const std::int64_t column = 32 * number;
        const std::int64_t columns = d.columns - column < 32 ? d.columns - column : 32;
        const std::int64_t b_stride = bf16_b_stride(columns);
        const std::int64_t pair = at_once > 1 ? 32 : 16;
        for (std::int64_t i = 0; i < rows; i += pair) {
          T* const y = o.y + (row + i) * d.y_stride + column;
          const T* const add =
              o.add && !goes_on ? o.add + (row + i) * d.add_stride + column : nullptr;
          bf16_any_block<T, amx>({.a = a + i / 16 * a_stride,
                                  .b = packed + column * 32 * all_steps + done * b_stride,
                                  .a_stride = a_stride,
                                  .b_stride = b_stride,
                                  .steps = steps,
                                  .start = goes_on  ? y
                                           : o.bias ? o.bias + column
                                                    : nullptr,
                                  .start_stride = goes_on ? d.y_stride : 0,
                                  .y = y,
                                  .y_stride = d.y_stride},
                                 rows - i < pair ? rows - i : pair, columns, add, d.add_stride);
        }
      }
    }
    if (done + most_steps >= all_steps) return;
  }
}

// dw (outs, columns) += dy^T x: to each element, the sums of blocks of 32 rows, in rising order.
template <class T, bool amx>
void bf16_gemm_tn(T* dw, const T* dy, const T* x, const GemmTnDims& d) {
  constexpr std::int64_t most_columns = 512, most_steps = 8, most_rows = 32 * most_steps;
  constexpr std::int64_t a_stride = most_steps * bf16_a_tile<amx>;
  alignas(64) std::uint16_t b[most_columns * most_rows], a[2 * a_stride];
  for (std::int64_t column = 0; column < d.columns; column += most_columns) {
    const std::int64_t columns =
        d.columns - column < most_columns ? d.columns - column : most_columns;
    for (std::int64_t row = 0; row < d.rows; row += most_rows) {
      const std::int64_t rows = d.rows - row < most_rows ? d.rows - row : most_rows;
      const std::int64_t steps = bf16_steps(rows);
      bf16_pack_b<T, amx>(b, x + row * d.x_stride + column, d.x_stride, rows, columns);
      for (std::int64_t out = 0; out < d.outs; out += 32) {
        const std::int64_t outs = d.outs - out < 32 ? d.outs - out : 32;
        for (std::int64_t i = 0; i < outs; i += 16)
          for (std::int64_t step = 0; step < steps; ++step)
            bf16_pack_transposed<T, amx>(a + i / 16 * a_stride + step * bf16_a_tile<amx>,
                                         dy + (row + 32 * step) * d.dy_stride + out + i,
                                         d.dy_stride, rows - 32 * step, outs - i);
        for (std::int64_t n = 0; n < columns; n += 32) {
          T* const to = dw + out * d.dw_stride + column + n;
          bf16_any_block<T, amx>({.a = a,
                                  .b = b + n * 32 * steps,
                                  .a_stride = a_stride,
                                  .b_stride = bf16_b_stride(columns - n),
                                  .steps = steps,
                                  .start = to,
                                  .start_stride = d.dw_stride,
                                  .y = to,
                                  .y_stride = d.dw_stride},
                                 outs, columns - n < 32 ? columns - n : 32, nullptr, 0);
        }
      }
    }
  }
}
