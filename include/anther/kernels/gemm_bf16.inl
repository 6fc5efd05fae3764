// The bodies of gemm_bf16.hpp: the products. Their operands are in the tiles of gemm_bf16_pack.inl.

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
          reinterpret_cast<const T*>(p.a + i / 16 * p.a_tiles.tile) + i % 16 * 32,
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
  const std::int64_t a_row = 2 * p.a_tiles.row;
  for (std::int64_t step = 0; step < p.steps; ++step) {
    amx_load<6>(b, 64);
    amx_load<4>(a, a_row);
    amx_multiply<0, 4, 6>();
    if constexpr (row_tiles > 1) {
      amx_load<5>(a + p.a_tiles.tile, a_row);
      amx_multiply<2, 5, 6>();
    }
    if constexpr (column_tiles > 1) {
      amx_load<7>(b + bf16_tile, 64);
      amx_multiply<1, 4, 7>();
      if constexpr (row_tiles > 1) amx_multiply<3, 5, 7>();
    }
    a += p.a_tiles.step;
    b += p.b_stride;
  }
  const std::int64_t stride = p.y_stride * bytes;
  T* const low = p.y + 16 * p.y_stride;
  amx_store<0>(p.y, stride);
  if constexpr (column_tiles > 1) amx_store<1>(p.y + 16, stride);
  if constexpr (row_tiles > 1) amx_store<2>(low, stride);
  if constexpr (row_tiles > 1 && column_tiles > 1) amx_store<3>(low + 16, stride);
}

template <class T>
void bf16_amx_block(const Bf16Block<T>& p, int row_tiles, int column_tiles) {
  (row_tiles > 1      ? column_tiles > 1 ? &bf16_amx_tiles<T, 2, 2> : &bf16_amx_tiles<T, 2, 1>
        : column_tiles > 1 ? &bf16_amx_tiles<T, 1, 2>
                      : &bf16_amx_tiles<T, 1, 1>)(p);
}
#endif
