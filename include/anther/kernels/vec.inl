// Vec<T>: as many T as a vector register holds. Part of a kernel body: see for_each_isa.inl.
//
// Every function is always inlined, and takes a Vec by reference: a vector passed by value has an
// ABI that depends on the instruction set.

constexpr int vector_bytes = ANTHER_VECTOR_BYTES;
// How many vector registers there are: they bound a register tile.
#if defined(__aarch64__)
constexpr int vector_registers = 32;
#else
constexpr int vector_registers = vector_bytes == 64 ? 32 : 16;
#endif

// Whether a partial vector is stored as quickly as a whole one.
constexpr bool partial_is_cheap = ANTHER_VECTOR_ISA == 3;

template <class T>
struct Vec {
  static constexpr int lanes = vector_bytes / static_cast<int>(sizeof(T));
  using Integer = std::conditional_t<sizeof(T) == 4, int, long long>;
  typedef T Raw __attribute__((vector_size(ANTHER_VECTOR_BYTES)));
  typedef Integer RawInteger __attribute__((vector_size(ANTHER_VECTOR_BYTES)));
  // For sums that may overflow: those of signed integers must not.
  typedef std::make_unsigned_t<Integer> RawUnsigned
      __attribute__((vector_size(ANTHER_VECTOR_BYTES)));
  // The same in memory: aligned as its elements are, and allowed to alias them.
  typedef T Memory __attribute__((vector_size(ANTHER_VECTOR_BYTES), aligned(sizeof(T)), may_alias));

  Raw raw;

  static ANTHER_INLINE Vec load(const T* from) { return {*reinterpret_cast<const Memory*>(from)}; }
  static ANTHER_INLINE Vec load_once(const T* from);
  static ANTHER_INLINE Vec broadcast(T value) { return {value - Raw{}}; }
  static ANTHER_INLINE Vec zero() { return {Raw{}}; }
  ANTHER_INLINE void store(T* to) const { *reinterpret_cast<Memory*>(to) = raw; }

  // The first `count` lanes; the others are 0, or are not written. count may exceed lanes.
  static ANTHER_INLINE Vec load_partial(const T* from, std::int64_t count);
  ANTHER_INLINE void store_partial(T* to, std::int64_t count) const;

  ANTHER_INLINE T operator[](int lane) const { return raw[lane]; }
};

// Keeps a value in a register, as it is.
template <class T>
ANTHER_INLINE void pin([[maybe_unused]] Vec<T>& value) {
#if ANTHER_VECTOR_ISA == 3
  asm("" : "+v"(value.raw));
#elif ANTHER_VECTOR_ISA == 2
  asm("" : "+x"(value.raw));
#elif defined(__aarch64__) && ANTHER_VECTOR_BYTES == 16
  asm("" : "+w"(value.raw));
#endif
}

// A load for more than one use. Compilers repeat a plain one for every use, as that spares a
// register; but a load that crosses a cache line, as every second one of AVX-512 does where there
// are 36 or 72 channels, takes two turns.
template <class T>
ANTHER_INLINE Vec<T> Vec<T>::load_once(const T* from) {
  Vec value = load(from);
  pin(value);
  return value;
}

template <class T>
ANTHER_INLINE Vec<T> operator+(const Vec<T>& a, const Vec<T>& b) {
  return {a.raw + b.raw};
}
template <class T>
ANTHER_INLINE Vec<T> operator-(const Vec<T>& a, const Vec<T>& b) {
  return {a.raw - b.raw};
}
template <class T>
ANTHER_INLINE Vec<T> operator*(const Vec<T>& a, const Vec<T>& b) {
  Vec<T> product = {a.raw * b.raw};
  pin(product);  // else GCC may fuse it with a sum, and Clang not: fma does where it is meant
  return product;
}
template <class T>
ANTHER_INLINE Vec<T> operator/(const Vec<T>& a, const Vec<T>& b) {
  return {a.raw / b.raw};
}

// a b + c, rounded once where the instruction set can.
template <class T>
ANTHER_INLINE Vec<T> fma(const Vec<T>& a, const Vec<T>& b, const Vec<T>& c) {
#if ANTHER_VECTOR_ISA == 3
  if constexpr (sizeof(T) == 4)
    return {
        __builtin_ia32_vfmaddps512_mask(a.raw, b.raw, c.raw, static_cast<unsigned short>(-1), 4)};
  else
    return {
        __builtin_ia32_vfmaddpd512_mask(a.raw, b.raw, c.raw, static_cast<unsigned char>(-1), 4)};
#elif ANTHER_VECTOR_ISA == 2
  if constexpr (sizeof(T) == 4)
    return {__builtin_ia32_vfmaddps256(a.raw, b.raw, c.raw)};
  else
    return {__builtin_ia32_vfmaddpd256(a.raw, b.raw, c.raw)};
#elif defined(__aarch64__) && ANTHER_VECTOR_BYTES == 16 && defined(__clang__)
  // One instruction, also where the caller's flags forbid the compiler to contract.
#pragma clang fp contract(on)
  return {a.raw * b.raw + c.raw};
#elif defined(__aarch64__) && ANTHER_VECTOR_BYTES == 16
  if constexpr (sizeof(T) == 4)
    return {__builtin_aarch64_fmav4sf(a.raw, b.raw, c.raw)};
  else
    return {__builtin_aarch64_fmav2df(a.raw, b.raw, c.raw)};
#else
  return {a.raw * b.raw + c.raw};
#endif
}

// In each lane, yes where a < b, else no.
template <class T>
ANTHER_INLINE Vec<T> select_less(const Vec<T>& a, const Vec<T>& b, const Vec<T>& yes,
                                 const Vec<T>& no) {
  return {a.raw < b.raw ? yes.raw : no.raw};
}
// Where a lane of either is NaN: b's. (GCC compiles the comparison to two instructions.)
template <class T>
ANTHER_INLINE Vec<T> max(const Vec<T>& a, const Vec<T>& b) {
#if ANTHER_VECTOR_ISA == 3 && !defined(__clang__)
  if constexpr (sizeof(T) == 4)
    return {__builtin_ia32_maxps512_mask(a.raw, b.raw, a.raw, static_cast<short>(-1), 4)};
  else
    return {__builtin_ia32_maxpd512_mask(a.raw, b.raw, a.raw, static_cast<char>(-1), 4)};
#elif ANTHER_VECTOR_ISA == 2
  if constexpr (sizeof(T) == 4)
    return {__builtin_ia32_maxps256(a.raw, b.raw)};
  else
    return {__builtin_ia32_maxpd256(a.raw, b.raw)};
#else
  return {a.raw > b.raw ? a.raw : b.raw};
#endif
}
template <class T>
ANTHER_INLINE Vec<T> min(const Vec<T>& a, const Vec<T>& b) {
#if ANTHER_VECTOR_ISA == 3 && !defined(__clang__)
  if constexpr (sizeof(T) == 4)
    return {__builtin_ia32_minps512_mask(a.raw, b.raw, a.raw, static_cast<short>(-1), 4)};
  else
    return {__builtin_ia32_minpd512_mask(a.raw, b.raw, a.raw, static_cast<char>(-1), 4)};
#elif ANTHER_VECTOR_ISA == 2
  if constexpr (sizeof(T) == 4)
    return {__builtin_ia32_minps256(a.raw, b.raw)};
  else
    return {__builtin_ia32_minpd256(a.raw, b.raw)};
#else
  return {a.raw < b.raw ? a.raw : b.raw};
#endif
}
template <class T>
ANTHER_INLINE Vec<T> abs(const Vec<T>& a) {
  using Raw = typename Vec<T>::Raw;
  using RawInteger = typename Vec<T>::RawInteger;
  return {reinterpret_cast<Raw>(reinterpret_cast<RawInteger>(a.raw) &
                                std::numeric_limits<typename Vec<T>::Integer>::max())};
}
// That of `sign`, with the size of a, which is not negative.
template <class T>
ANTHER_INLINE Vec<T> copysign(const Vec<T>& a, const Vec<T>& sign) {
  using Raw = typename Vec<T>::Raw;
  using RawInteger = typename Vec<T>::RawInteger;
  return {reinterpret_cast<Raw>(reinterpret_cast<RawInteger>(a.raw) |
                                (reinterpret_cast<RawInteger>(sign.raw) &
                                 std::numeric_limits<typename Vec<T>::Integer>::min()))};
}

// Lane i of the result is lane i + step of a, or any where there is none.
template <class T, int step, int... i>
ANTHER_INLINE Vec<T> lanes_from(const Vec<T>& a, std::integer_sequence<int, i...>) {
  return {__builtin_shufflevector(a.raw, a.raw, (i + step) % Vec<T>::lanes...)};
}

// The sum and the maximum over the lanes, in a fixed order: by halves.
template <class T, int half = Vec<T>::lanes / 2>
ANTHER_INLINE T sum(const Vec<T>& a) {
  if constexpr (half == 0)
    return a[0];
  else
    return sum<T, half / 2>(
        a + lanes_from<T, half>(a, std::make_integer_sequence<int, Vec<T>::lanes>{}));
}
template <class T, int half = Vec<T>::lanes / 2>
ANTHER_INLINE T max_lane(const Vec<T>& a) {
  if constexpr (half == 0)
    return a[0];
  else
    return max_lane<T, half / 2>(
        max(a, lanes_from<T, half>(a, std::make_integer_sequence<int, Vec<T>::lanes>{})));
}

#if ANTHER_VECTOR_ISA == 2
// -1 in the first `count` lanes, as maskload and maskstore read it.
template <class T>
ANTHER_INLINE typename Vec<T>::RawInteger first_lanes(std::int64_t count) {
  using Integer = typename Vec<T>::Integer;
  typename Vec<T>::RawInteger number;
  ANTHER_UNROLL for (int i = 0; i < Vec<T>::lanes; ++i) number[i] = static_cast<Integer>(i);
  return number < (static_cast<Integer>(count < Vec<T>::lanes ? count : Vec<T>::lanes) -
                   typename Vec<T>::RawInteger{});
}
#endif

template <class T>
ANTHER_INLINE Vec<T> Vec<T>::load_partial(const T* from, std::int64_t count) {
#if ANTHER_VECTOR_ISA == 3
  const unsigned mask = count >= lanes ? (1u << lanes) - 1u : (1u << count) - 1u;
  if constexpr (sizeof(T) == 4)
    return {__builtin_ia32_loadups512_mask(from, Raw{}, static_cast<unsigned short>(mask))};
  else
    return {__builtin_ia32_loadupd512_mask(from, Raw{}, static_cast<unsigned char>(mask))};
#elif ANTHER_VECTOR_ISA == 2
  if constexpr (sizeof(T) == 4)
    return {
        __builtin_ia32_maskloadps256(reinterpret_cast<const Raw*>(from), first_lanes<T>(count))};
  else
    return {
        __builtin_ia32_maskloadpd256(reinterpret_cast<const Raw*>(from), first_lanes<T>(count))};
#else
  if (count >= lanes) return load(from);
  T lane[lanes] = {};
  for (int i = 0; i < count; ++i) lane[i] = from[i];
  return load(lane);
#endif
}

template <class T>
ANTHER_INLINE void Vec<T>::store_partial(T* to, std::int64_t count) const {
#if ANTHER_VECTOR_ISA == 3
  const unsigned mask = count >= lanes ? (1u << lanes) - 1u : (1u << count) - 1u;
  if constexpr (sizeof(T) == 4)
    __builtin_ia32_storeups512_mask(to, raw, static_cast<unsigned short>(mask));
  else
    __builtin_ia32_storeupd512_mask(to, raw, static_cast<unsigned char>(mask));
#elif ANTHER_VECTOR_ISA == 2
  // By halves: a masked store takes tens of cycles on AMD's processors before Zen 4.
  if (count >= lanes) return store(to);
  typedef T Half __attribute__((vector_size(16)));
  typedef T HalfMemory __attribute__((vector_size(16), aligned(sizeof(T)), may_alias));
  Half rest;
  if constexpr (sizeof(T) == 4)
    rest = __builtin_shufflevector(raw, raw, 0, 1, 2, 3);
  else
    rest = __builtin_shufflevector(raw, raw, 0, 1);
  if (count >= lanes / 2) {
    *reinterpret_cast<HalfMemory*>(to) = rest;
    if constexpr (sizeof(T) == 4)
      rest = __builtin_shufflevector(raw, raw, 4, 5, 6, 7);
    else
      rest = __builtin_shufflevector(raw, raw, 2, 3);
    to += lanes / 2;
    count -= lanes / 2;
  }
  ANTHER_UNROLL for (int i = 0; i < lanes / 2 - 1; ++i) if (i < count) to[i] = rest[i];
#else
  if (count >= lanes) return store(to);
  T lane[lanes];
  store(lane);
  for (int i = 0; i < count; ++i) to[i] = lane[i];
#endif
}

// store_partial for count < lanes, without AVX2's masked store, which is slow on many processors:
// as halves, quarters, ...
template <class T>
ANTHER_INLINE void store_first(const Vec<T>& a, T* to, std::int64_t count) {
#if ANTHER_VECTOR_ISA == 3
  a.store_partial(to, count);
#else
  T lane[Vec<T>::lanes];
  a.store(lane);
  const T* from = lane;
  ANTHER_UNROLL for (int part = Vec<T>::lanes / 2; part > 0; part /= 2) {
    if ((count & part) == 0) continue;
    __builtin_memcpy(to, from, static_cast<std::size_t>(part) * sizeof(T));
    to += part;
    from += part;
  }
#endif
}
