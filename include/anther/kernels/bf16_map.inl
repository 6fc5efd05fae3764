// The bodies of bf16_map.hpp: rounding to bfloat16, and maps that are stored so.

// Rounded floats: the upper half of each lane is the bfloat16, the lower half zero. Half: those
// numbers as they stand in memory.
template <class T>
struct Bf16Lanes {
  typedef unsigned Raw __attribute__((vector_size(ANTHER_VECTOR_BYTES)));
  typedef unsigned Memory __attribute__((vector_size(ANTHER_VECTOR_BYTES), aligned(2), may_alias));
  typedef std::uint16_t Half __attribute__((vector_size(ANTHER_VECTOR_BYTES / 2)));
  typedef std::uint16_t HalfMemory
      __attribute__((vector_size(ANTHER_VECTOR_BYTES / 2), aligned(2), may_alias));
  Raw raw;
};

// To nearest, ties to even; denormals become zeros, and a NaN stays one.
template <class T>
ANTHER_INLINE Bf16Lanes<T> bf16_round(const Vec<T>& a) {
  using Raw = typename Bf16Lanes<T>::Raw;
  const Raw bits = reinterpret_cast<Raw>(a.raw), exponent = bits & 0x7f800000u,
            fraction = bits & 0x007fffffu;
  const Raw rounded = bits + 0x7fffu + ((bits >> 16) & 1u);
  const Raw kept = ((exponent == 0x7f800000u) & (fraction != 0u)) ? bits | 0x00400000u : rounded;
  return {(exponent == 0u ? bits & 0x80000000u : kept) & 0xffff0000u};
}
template <class T>
ANTHER_INLINE void bf16_store(const Bf16Lanes<T>& lanes, void* to) {
  *static_cast<typename Bf16Lanes<T>::Memory*>(to) = lanes.raw;
}

// Numbers of a map in bfloat16.
template <class T>
ANTHER_INLINE Bf16Lanes<T> bf16_load(const std::uint16_t* from) {
#if ANTHER_VECTOR_ISA == 3
  // GCC widens by halves.
  typename Bf16Lanes<T>::Raw wide;
  asm("vpmovzxwd %1, %0"
      : "=v"(wide)
      : "m"(*reinterpret_cast<const typename Bf16Lanes<T>::HalfMemory*>(from)));
  return {wide << 16};
#else
  const typename Bf16Lanes<T>::Half half =
      *reinterpret_cast<const typename Bf16Lanes<T>::HalfMemory*>(from);
  return {__builtin_convertvector(half, typename Bf16Lanes<T>::Raw) << 16};
#endif
}
template <class T>
ANTHER_INLINE Bf16Lanes<T> bf16_load(const std::uint16_t* from, std::int64_t count) {
  if (count >= Vec<T>::lanes) return bf16_load<T>(from);
  std::uint16_t room[ANTHER_VECTOR_BYTES / 4] = {};
  for (std::int64_t i = 0; i < count; ++i) room[i] = from[i];
  return bf16_load<T>(room);
}
template <class T>
ANTHER_INLINE Vec<T> bf16_widened(const Bf16Lanes<T>& a) {
  return {reinterpret_cast<typename Vec<T>::Raw>(a.raw)};
}

// Up to a vector of numbers, as floats: of a map of floats, or of one in bfloat16.
template <class T>
ANTHER_INLINE Vec<T> map_load(const T* from, std::int64_t count) {
  return count >= Vec<T>::lanes ? Vec<T>::load(from) : Vec<T>::load_partial(from, count);
}
template <class T>
ANTHER_INLINE Vec<T> map_load(const std::uint16_t* from, std::int64_t count) {
  return bf16_widened<T>(bf16_load<T>(from, count));
}

// Rounds and stores up to a vector of floats. converts: by AVX512-BF16, which every processor with
// AMX has.
template <class T, bool converts>
ANTHER_INLINE void bf16_store_rounded(const Vec<T>& a, std::uint16_t* to, std::int64_t count) {
  typename Bf16Lanes<T>::Half half;
#if ANTHER_VECTOR_ISA == 3
  if constexpr (converts)
    asm("vcvtneps2bf16 %1, %0" : "=v"(half) : "v"(a.raw));
  else
#endif
    half = __builtin_convertvector(bf16_round(a).raw >> 16, typename Bf16Lanes<T>::Half);
  if (count >= Vec<T>::lanes) {
    *reinterpret_cast<typename Bf16Lanes<T>::HalfMemory*>(to) = half;
    return;
  }
  for (std::int64_t i = 0; i < count; ++i) to[i] = half[i];
}

// y = x for `count` numbers.
template <class T, bool converts>
void bf16_narrow(std::uint16_t* y, const T* x, std::int64_t count) {
  constexpr std::int64_t lanes = Vec<T>::lanes;
  for (std::int64_t i = 0; i < count; i += lanes)
    bf16_store_rounded<T, converts>(map_load<T>(x + i, count - i), y + i, count - i);
}
template <class T>
void bf16_widen(T* y, const std::uint16_t* x, std::int64_t count) {
  constexpr std::int64_t lanes = Vec<T>::lanes;
  for (std::int64_t i = 0; i < count; i += lanes) {
    const Vec<T> value = map_load<T>(x + i, count - i);
    if (i + lanes <= count)
      value.store(y + i);
    else
      value.store_partial(y + i, count - i);
  }
}

// sum[c] += the sum over the rows of x[r][c], eight rows at a time.
template <class T>
void bf16_column_sums(T* sum, const std::uint16_t* x, std::int64_t rows, std::int64_t columns,
                      std::int64_t x_stride) {
  for (std::int64_t row = 0; row < rows; row += 8) {
    const std::uint16_t* const from = x + row * x_stride;
    const std::int64_t here = rows - row < 8 ? rows - row : 8;
    for (std::int64_t c = 0; c < columns; c += Vec<T>::lanes) {
      Vec<T> all = map_load<T>(from + c, columns - c);
      for (std::int64_t i = 1; i < here; ++i)
        all = all + map_load<T>(from + i * x_stride + c, columns - c);
      (Vec<T>::load_partial(sum + c, columns - c) + all).store_partial(sum + c, columns - c);
    }
  }
}
