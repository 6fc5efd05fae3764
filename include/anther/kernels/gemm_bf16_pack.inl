// The bodies of gemm_bf16.hpp: packing.
//
// Both operands are copied into tiles, each of 32 elements of the depth. A tile of B has 16 rows of
// 16 columns, and each element is a pair: those of an even k and of the next one. A tile of A has
// 16 rows of 32 elements: in bfloat16 for AMX; as floats, rounded, for FMA, which need not widen
// them then. Beyond the edges stand zeros. Source is T, or std::uint16_t of a map that is stored in
// bfloat16 (bf16_map.hpp).

// Two rows of floats as one of pairs.
template <class T>
ANTHER_INLINE Bf16Lanes<T> bf16_pairs(const Vec<T>& even, const Vec<T>& odd) {
  return {(bf16_round(even).raw >> 16) | bf16_round(odd).raw};
}
#if ANTHER_VECTOR_ISA == 3
// The same by AVX512-BF16, which every processor with AMX has.
template <class T>
ANTHER_INLINE Bf16Lanes<T> bf16_convert(const Vec<T>& low, const Vec<T>& high) {
  Bf16Lanes<T> result;
  asm("vcvtne2ps2bf16 %1, %2, %0" : "=v"(result.raw) : "v"(low.raw), "v"(high.raw));
  return result;
}
template <class T>
ANTHER_INLINE Bf16Lanes<T> bf16_convert_pairs(const Vec<T>& even, const Vec<T>& odd) {
  typedef short Words __attribute__((vector_size(64)));
  const Words both = reinterpret_cast<Words>(bf16_convert(even, odd).raw);
  const Words pairs =
      __builtin_shufflevector(both, both, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23, 8,
                              24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  return {reinterpret_cast<typename Bf16Lanes<T>::Raw>(pairs)};
}

// Rows of 16 pairs become columns.
template <class T>
ANTHER_INLINE void bf16_transpose16(Vec<T> (&r)[16]) {
  Vec<T> t[16];
  ANTHER_UNROLL for (int i = 0; i < 16; i += 2) {
    t[i].raw = __builtin_shufflevector(r[i].raw, r[i + 1].raw, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9,
                                       25, 12, 28, 13, 29);
    t[i + 1].raw = __builtin_shufflevector(r[i].raw, r[i + 1].raw, 2, 18, 3, 19, 6, 22, 7, 23, 10,
                                           26, 11, 27, 14, 30, 15, 31);
  }
  ANTHER_UNROLL for (int i = 0; i < 16; i += 4) {
    ANTHER_UNROLL for (int j = 0; j < 2; ++j) {
      r[i + 2 * j].raw = __builtin_shufflevector(t[i + j].raw, t[i + j + 2].raw, 0, 1, 16, 17, 4, 5,
                                                 20, 21, 8, 9, 24, 25, 12, 13, 28, 29);
      r[i + 2 * j + 1].raw = __builtin_shufflevector(t[i + j].raw, t[i + j + 2].raw, 2, 3, 18, 19,
                                                     6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
    }
  }
  // r[4 j + q]: in its four quarters the columns q, 4 + q, 8 + q, 12 + q of rows 4 j to 4 j + 3.
  ANTHER_UNROLL for (int i = 0; i < 16; i += 8) {
    ANTHER_UNROLL for (int q = 0; q < 4; ++q) {
      t[i + q].raw = __builtin_shufflevector(r[i + q].raw, r[i + 4 + q].raw, 0, 1, 2, 3, 8, 9, 10,
                                             11, 16, 17, 18, 19, 24, 25, 26, 27);
      t[i + 4 + q].raw = __builtin_shufflevector(r[i + q].raw, r[i + 4 + q].raw, 4, 5, 6, 7, 12, 13,
                                                 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
    }
  }
  ANTHER_UNROLL for (int i = 0; i < 8; i += 4) {
    ANTHER_UNROLL for (int q = 0; q < 4; ++q) {
      r[i + q].raw = __builtin_shufflevector(t[i + q].raw, t[i + 8 + q].raw, 0, 1, 2, 3, 8, 9, 10,
                                             11, 16, 17, 18, 19, 24, 25, 26, 27);
      r[i + 8 + q].raw = __builtin_shufflevector(t[i + q].raw, t[i + 8 + q].raw, 4, 5, 6, 7, 12, 13,
                                                 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
    }
  }
}
#endif

// Packing.

// A row of pairs: up to a vector of two rows, of which each may be null.
template <class T, bool amx>
ANTHER_INLINE Bf16Lanes<T> bf16_pairs_at(const T* even, const T* odd, std::int64_t count) {
  const Vec<T> first = even ? Vec<T>::load_partial(even, count) : Vec<T>::zero();
  const Vec<T> second = odd ? Vec<T>::load_partial(odd, count) : Vec<T>::zero();
#if ANTHER_VECTOR_ISA == 3
  if constexpr (amx) return bf16_convert_pairs(first, second);
#endif
  return bf16_pairs(first, second);
}
template <class T, bool amx>
ANTHER_INLINE Bf16Lanes<T> bf16_pairs_at(const std::uint16_t* even, const std::uint16_t* odd,
                                         std::int64_t count) {
  const Bf16Lanes<T> zero = {};
  return {((even ? bf16_load<T>(even, count) : zero).raw >> 16) |
          (odd ? bf16_load<T>(odd, count) : zero).raw};
}
// Up to a vector of numbers, as rounded floats.
template <class T>
ANTHER_INLINE Bf16Lanes<T> bf16_rounded_at(const T* from, std::int64_t count) {
  return bf16_round(Vec<T>::load_partial(from, count));
}
template <class T>
ANTHER_INLINE Bf16Lanes<T> bf16_rounded_at(const std::uint16_t* from, std::int64_t count) {
  return bf16_load<T>(from, count);
}
#if ANTHER_VECTOR_ISA == 3
// Up to 32 numbers as pairs, and as a row of a tile of A for AMX.
template <class T>
ANTHER_INLINE Bf16Lanes<T> bf16_rounded_pairs(const T* from, std::int64_t count) {
  constexpr std::int64_t lanes = Vec<T>::lanes;
  const std::int64_t second = count > lanes ? lanes : 0;
  return bf16_convert(Vec<T>::load_partial(from, count),
                      Vec<T>::load_partial(from + second, second > 0 ? count - lanes : 0));
}
template <class T>
ANTHER_INLINE void bf16_row_of_a(std::uint16_t* to, const T* from, std::int64_t count) {
  bf16_store(bf16_rounded_pairs(from, count), to);
}
template <class T>
ANTHER_INLINE void bf16_row_of_a(std::uint16_t* to, const std::uint16_t* from, std::int64_t count) {
  using Memory = typename Bf16Lanes<T>::Memory;
  using Half = typename Bf16Lanes<T>::HalfMemory;
  if (count >= 32) {
    *reinterpret_cast<Memory*>(to) = *reinterpret_cast<const Memory*>(from);
    return;
  }
  *reinterpret_cast<Memory*>(to) = Memory{};
  std::int64_t i = 0;
  if (count >= 16) {
    *reinterpret_cast<Half*>(to) = *reinterpret_cast<const Half*>(from);
    i = 16;
  }
  for (; i < count; ++i) to[i] = from[i];
}
#endif

// A's tiles of up to 16 rows of x, of which `depth` elements count: the tiles of one row of tiles
// follow each other.
template <class T, bool amx, class Source>
void bf16_pack_a(std::uint16_t* to, const Source* x, std::int64_t x_stride, std::int64_t rows,
                 std::int64_t depth) {
  constexpr std::int64_t lanes = Vec<T>::lanes, tile = (amx ? 1 : 2) * bf16_tile;
  for (std::int64_t i = 0; i < rows; ++i, x += x_stride, to += tile / 16) {
    std::uint16_t* at = to;
    std::int64_t k = 0;
#if ANTHER_VECTOR_ISA == 3
    if constexpr (amx) {
      for (; k + 32 <= depth; k += 32, at += tile) bf16_row_of_a<T>(at, x + k, 32);
      if (k < depth) bf16_row_of_a<T>(at, x + k, depth - k);
      continue;
    }
#endif
    for (; k < depth; k += 32, at += tile)
      for (std::int64_t n = 0; n < 32; n += lanes)
        bf16_store(k + n < depth ? bf16_rounded_at<T>(x + k + n, depth - k - n) : Bf16Lanes<T>{},
                   at + 2 * n);
  }
}

// One tile of A from the transpose of dy: `outs` of its columns, up to 16, and up to 32 of its
// rows.
template <class T, bool amx, class Source>
void bf16_pack_transposed(std::uint16_t* to, const Source* dy, std::int64_t dy_stride,
                          std::int64_t rows, std::int64_t outs) {
#if ANTHER_VECTOR_ISA == 3
  if constexpr (amx) {
    Vec<T> pairs[16];
    if (rows >= 32 && outs >= 16) {
      ANTHER_UNROLL for (int p = 0; p < 16; ++p) {
        const Source* const even = dy + 2 * p * dy_stride;
        pairs[p] = bf16_widened(bf16_pairs_at<T, amx>(even, even + dy_stride, 16));
      }
    } else {
      T room[16][16];
      for (std::int64_t p = 0; p < 16; ++p) {
        const Source *even = dy + 2 * p * dy_stride, *odd = even + dy_stride;
        bf16_store(bf16_pairs_at<T, amx>(2 * p < rows ? even : nullptr,
                                         2 * p + 1 < rows ? odd : nullptr, outs),
                   room[p]);
      }
      ANTHER_UNROLL for (int p = 0; p < 16; ++p) pairs[p] = Vec<T>::load(room[p]);
    }
    bf16_transpose16(pairs);
    ANTHER_UNROLL for (int i = 0; i < 16; ++i) {
      pairs[i].store(reinterpret_cast<T*>(to) + 16 * i);
    }
    return;
  }
#endif
  Source tile[16][32] = {};
  for (std::int64_t r = 0; r < rows && r < 32; ++r)
    for (std::int64_t i = 0; i < outs && i < 16; ++i) tile[i][r] = dy[r * dy_stride + i];
  bf16_pack_a<T, false>(to, tile[0], 32, 16, 32);
}

// A row of a tile of B: pairs of up to 16 columns of two rows, of which odd may be null.
template <class T, bool amx, class Source>
ANTHER_INLINE void bf16_pack_pairs(std::uint16_t* to, const Source* even, const Source* odd,
                                   std::int64_t columns) {
  constexpr std::int64_t lanes = Vec<T>::lanes;
  for (std::int64_t n = 0; n < 16; n += lanes) {
    const std::int64_t here = n < columns ? columns - n : 0, at = here > 0 ? n : 0;
    bf16_store(bf16_pairs_at<T, amx>(even ? even + at : nullptr, odd ? odd + at : nullptr, here),
               to + 2 * n);
  }
}

// All tiles of B, which is x: up to 512 rows of `columns` elements.
template <class T, bool amx, class Source>
void bf16_pack_b(std::uint16_t* to, const Source* x, std::int64_t x_stride, std::int64_t rows,
                 std::int64_t columns) {
  const std::int64_t steps = bf16_steps(rows), whole = columns / 32 * 32;
  const std::int64_t last_stride = bf16_b_stride(columns - whole);
  for (std::int64_t r = 0; r < 32 * steps; r += 2) {
    const Source *even = x + r * x_stride, *odd = even + x_stride;
    std::uint16_t* at = to + r / 32 * 2 * bf16_tile + r % 32 * 16;
    std::int64_t n = 0;
    if (r + 1 < rows) {
      for (; n < whole; n += 32, at += 2 * steps * bf16_tile) {
        bf16_pack_pairs<T, amx, Source>(at, even + n, odd + n, 16);
        bf16_pack_pairs<T, amx, Source>(at + bf16_tile, even + n + 16, odd + n + 16, 16);
      }
    } else {
      if (r >= rows) even = nullptr;
      odd = nullptr;
    }
    for (; n < columns; n += 16) {
      const std::int64_t panel = n / 32 * 32, stride = panel < whole ? 2 * bf16_tile : last_stride;
      bf16_pack_pairs<T, amx, Source>(
          to + panel * 32 * steps + (n - panel) * 32 + r / 32 * stride + r % 32 * 16,
          even ? even + n : nullptr, odd ? odd + n : nullptr, columns - n);
    }
  }
}

// Copies rows of `columns` elements; and adds add to them, if there is one.
template <class T>
void bf16_copy_columns(T* to, std::int64_t to_stride, const T* from, std::int64_t from_stride,
                       const T* add, std::int64_t add_stride, std::int64_t rows,
                       std::int64_t columns) {
  constexpr std::int64_t lanes = Vec<T>::lanes;
  for (std::int64_t i = 0; i < rows; ++i, to += to_stride, from += from_stride) {
    std::int64_t n = 0;
    for (; n + lanes <= columns; n += lanes) {
      Vec<T> value = Vec<T>::load(from + n);
      if (add) value = value + Vec<T>::load(add + n);
      value.store(to + n);
    }
    if (n < columns) {
      Vec<T> value = Vec<T>::load_partial(from + n, columns - n);
      if (add) value = value + Vec<T>::load_partial(add + n, columns - n);
      value.store_partial(to + n, columns - n);
    }
    if (add) add += add_stride;
  }
}

// Up to a vector of sums; add may be null.
template <class T, class Source>
ANTHER_INLINE Vec<T> bf16_sums_at(const T* from, const Source* add, std::int64_t n,
                                  std::int64_t columns) {
  const Vec<T> value = Vec<T>::load(from + n);
  return add ? value + map_load<T>(add + n, columns - n) : value;
}

// The same, rounded to bfloat16; add may be a map in bfloat16, too.
template <class T, bool converts, class Source>
void bf16_narrow_columns(std::uint16_t* to, std::int64_t to_stride, const T* from,
                         std::int64_t from_stride, const Source* add, std::int64_t add_stride,
                         std::int64_t rows, std::int64_t columns) {
  constexpr std::int64_t lanes = Vec<T>::lanes;
  for (std::int64_t i = 0; i < rows; ++i, to += to_stride, from += from_stride) {
    std::int64_t n = 0;
#if ANTHER_VECTOR_ISA == 3
    if constexpr (converts)
      for (; n + 2 * lanes <= columns; n += 2 * lanes)
        bf16_store(bf16_convert(bf16_sums_at(from, add, n, columns),
                                bf16_sums_at(from, add, n + lanes, columns)),
                   to + n);
#endif
    for (; n < columns; n += lanes)
      bf16_store_rounded<T, converts>(bf16_sums_at(from, add, n, columns), to + n, columns - n);
    if (add) add += add_stride;
  }
}

// One panel of pack.depth rows of B, which are read from b as `rows` says.
template <class T, bool amx>
void bf16_pack_rows(std::uint16_t* packed, const T* b, const PackOptions& pack,
                    const PackRows& rows, std::int64_t number) {
  const std::int64_t first = 32 * number, columns = pack.columns - first;
  const std::int64_t tiles = columns > 16 ? 2 : 1;
  packed += first * 32 * bf16_steps(pack.depth);
  const auto* const start = b + first * pack.column_stride;
  T room[32];
  for (std::int64_t k = 0; k < pack.depth; k += 32) {
    std::int64_t at[32];  // where the rows begin; -1 beyond the last
    const std::int64_t deep = pack.depth - k < 32 ? pack.depth - k : 32;
    bool in_line = pack.depth_stride == 1;
    for (std::int64_t i = 0; i < 32; ++i) {
      const std::int64_t row = rows.first + k + i, tap = row / rows.inner;
      at[i] = i >= deep ? -1
                        : tap / rows.line * rows.line_stride + tap % rows.line * rows.tap_stride +
                              row % rows.inner * pack.depth_stride;
      in_line = in_line && (i >= deep || at[i] == at[0] + i);
    }
    for (std::int64_t tile = 0; tile < tiles; ++tile, packed += bf16_tile) {
      const T* const from = start + 16 * tile * pack.column_stride;
      const std::int64_t here = columns - 16 * tile < 16 ? columns - 16 * tile : 16;
      if (pack.column_stride == 1) {
        for (std::int64_t p = 0; p < 16; ++p)
          bf16_pack_pairs<T, amx, T>(
              packed + 32 * p, k + 2 * p < pack.depth ? from + at[2 * p] : nullptr,
              k + 2 * p + 1 < pack.depth ? from + at[2 * p + 1] : nullptr, here);
        continue;
      }
#if ANTHER_VECTOR_ISA == 3
      if constexpr (amx)
        if (in_line) {
          Vec<T> pairs[16];
          ANTHER_UNROLL for (int n = 0; n < 16; ++n) {
            const std::int64_t column = n < here ? n : 0;
            pairs[n] = bf16_widened(bf16_rounded_pairs(from + column * pack.column_stride + at[0],
                                                       n < here ? deep : 0));
          }
          bf16_transpose16(pairs);
          ANTHER_UNROLL for (int p = 0; p < 16; ++p) {
            pairs[p].store(reinterpret_cast<T*>(packed + 32 * p));
          }
          continue;
        }
#endif
      for (std::int64_t n = 0; n < 16; ++n) {
        const T* const column = from + n * pack.column_stride;
        for (std::int64_t i = 0; i < 32; ++i)
          room[i] = n >= here || k + i >= pack.depth ? T(0) : column[at[i]];
        for (std::int64_t i = 0; i < 32; i += Vec<T>::lanes) {
          const Bf16Lanes<T> rounded = bf16_round(Vec<T>::load(room + i));
          ANTHER_UNROLL for (int j = 0; j < Vec<T>::lanes; ++j) {
            packed[(i + j) / 2 * 32 + 2 * n + j % 2] =
                static_cast<std::uint16_t>(rounded.raw[j] >> 16);
          }
        }
      }
    }
  }
}
