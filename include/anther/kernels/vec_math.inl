// Functions of vectors: polynomials, powers and roots. Part of a kernel body, as vec.inl is.

// A polynomial by Horner's rule; the coefficient of the highest power first.
template <class T, int count>
ANTHER_INLINE Vec<T> polynomial(const Vec<T>& x, const T (&coefficients)[count]) {
  Vec<T> value = Vec<T>::broadcast(coefficients[0]);
  ANTHER_UNROLL for (int i = 1; i < count; ++i) value =
      fma(value, x, Vec<T>::broadcast(coefficients[i]));
  return value;
}

template <class T>
constexpr int mantissa_bits = sizeof(T) == 4 ? 23 : 52;

// Adding it rounds to a multiple of 1/8, and leaves eight times that in the low bits of the sum.
template <class T>
constexpr T eighths_shift = sizeof(T) == 4 ? T(1572864) : T(844424930131968);

// 2^(i/8), less i in the exponent's lowest bits: what power_of_2 adds there again.
template <class T>
constexpr T eighth_power(double power, int i) {
  using Integer = typename Vec<T>::Integer;
  return std::bit_cast<T>(std::bit_cast<Integer>(static_cast<T>(power)) -
                          (static_cast<Integer>(i) << (mantissa_bits<T> - 3)));
}
template <class T>
constexpr T eighth_powers[8] = {
    eighth_power<T>(1, 0),
    eighth_power<T>(1.0905077326652577, 1),
    eighth_power<T>(1.189207115002721, 2),
    eighth_power<T>(1.2968395546510096, 3),
    eighth_power<T>(1.4142135623730951, 4),
    eighth_power<T>(1.5422108254079407, 5),
    eighth_power<T>(1.681792830507429, 6),
    eighth_power<T>(1.8340080864093424, 7),
};

// table[index % 8] in each lane.
template <class T>
ANTHER_INLINE Vec<T> lookup(const T (&table)[8], const typename Vec<T>::RawInteger& index) {
  constexpr int lanes = Vec<T>::lanes;
  Vec<T> value;
#if ANTHER_VECTOR_ISA >= 2
  if constexpr (lanes >= 8) {
    ANTHER_UNROLL for (int i = 0; i < lanes; ++i) value.raw[i] = table[i % 8];
#if ANTHER_VECTOR_ISA == 2
    return {__builtin_ia32_permvarsf256(value.raw, index)};
#elif defined(__clang__)
    if constexpr (sizeof(T) == 4)
      return {__builtin_ia32_permvarsf512(value.raw, index)};
    else
      return {__builtin_ia32_permvardf512(value.raw, index)};
#else
    if constexpr (sizeof(T) == 4)
      return {__builtin_ia32_permvarsf512_mask(value.raw, index, value.raw,
                                               static_cast<unsigned short>(-1))};
    else
      return {__builtin_ia32_permvardf512_mask(value.raw, index, value.raw,
                                               static_cast<unsigned char>(-1))};
#endif
  }
#endif
  const typename Vec<T>::RawInteger at = index & 7;
  ANTHER_UNROLL for (int i = 0; i < lanes; ++i) value.raw[i] = table[at[i]];
  return value;
}

// 2^n, n a multiple of 1/8, of shifted = n + eighths_shift. n is at least -127 (double: -1023),
// where the result is 0; below -126 (-1022) it is only somewhere between that and the least power.
template <class T>
ANTHER_INLINE Vec<T> power_of_2(const Vec<T>& shifted) {
  using RawUnsigned = typename Vec<T>::RawUnsigned;  // of a NaN the sum overflows
  const Vec<T> fraction =
      lookup(eighth_powers<T>, reinterpret_cast<typename Vec<T>::RawInteger>(shifted.raw));
  return {reinterpret_cast<typename Vec<T>::Raw>(
      reinterpret_cast<RawUnsigned>(fraction.raw) +
      (reinterpret_cast<RawUnsigned>(shifted.raw) << (mantissa_bits<T> - 3)))};
}

template <class T>
constexpr T log2_e = T(1.44269504088896340736);

// (2^r - 1) / r for |r| <= 1/16, a minimax polynomial with the errors 2.5e-8 and 3e-18.
template <class T>
ANTHER_INLINE Vec<T> exp2_slope(const Vec<T>& r) {
  if constexpr (sizeof(T) == 4) {
    constexpr T terms[] = {T(0.055496222058), T(0.24025764804), T(0.69314721429)};
    return polynomial(r, terms);
  } else {
    constexpr T terms[] = {T(0.000015251844333223844), T(0.000154045222785106644),
                           T(0.00133335582389947866),  T(0.00961812908516363885),
                           T(0.0555041086648023368),   T(0.240226506959115175),
                           T(0.693147180559945318)};
    return polynomial(r, terms);
  }
}

// 2^(factor x) for factor x < 127.9 (double: 1023.9) and factor > 0, within 1.2 units in the last
// place of what the product has without rounding (1.4, and the product's, without fused
// multiply-add); below -126 (-1022) it goes to 0, from -127 (-1023) on it is 0, NaN stays NaN.
// 2^(factor x) = 2^n 2^r, n a multiple of 1/8, |r| <= 1/16, by a table and exp2_slope. Tables are
// Tang's way ("Table-driven implementation of the exponential function in IEEE floating-point
// arithmetic", 1989), and eight entries fit a register.
template <class T>
ANTHER_INLINE Vec<T> exp2(const Vec<T>& argument, const Vec<T>& factor) {
  const Vec<T> least = Vec<T>::broadcast(sizeof(T) == 4 ? T(-127) : T(-1023));
  const Vec<T> shift = Vec<T>::broadcast(eighths_shift<T>);
  const Vec<T> x = max(least / factor, argument);  // in this order a NaN stays one
  const Vec<T> shifted = fma(x, factor, shift);
  const Vec<T> r = fma(x, factor, shift - shifted);
  const Vec<T> power = power_of_2(shifted);
  return fma(power, exp2_slope(r) * r, power);
}

template <class T>
ANTHER_INLINE Vec<T> sqrt(const Vec<T>& x) {
#if ANTHER_VECTOR_ISA == 3
#if defined(__clang__)
  if constexpr (sizeof(T) == 4)
    return {__builtin_ia32_sqrtps512(x.raw, 4)};
  else
    return {__builtin_ia32_sqrtpd512(x.raw, 4)};
#else
  if constexpr (sizeof(T) == 4)
    return {__builtin_ia32_sqrtps512_mask(x.raw, x.raw, static_cast<short>(-1), 4)};
  else
    return {__builtin_ia32_sqrtpd512_mask(x.raw, x.raw, static_cast<char>(-1), 4)};
#endif
#elif ANTHER_VECTOR_ISA == 2
  if constexpr (sizeof(T) == 4)
    return {__builtin_ia32_sqrtps256(x.raw)};
  else
    return {__builtin_ia32_sqrtpd256(x.raw)};
#else
  Vec<T> root;
  ANTHER_UNROLL for (int i = 0; i < Vec<T>::lanes; ++i) {
    if constexpr (sizeof(T) == 4)
      root.raw[i] = __builtin_sqrtf(x.raw[i]);
    else
      root.raw[i] = __builtin_sqrt(x.raw[i]);
  }
  return root;
#endif
}

// 1 / sqrt(x), x > 0, within 2 units in the last place: a first guess from the exponent's bits
// (Lomont, "Fast inverse square root", 2003), and Newton's steps.
template <class T>
ANTHER_INLINE Vec<T> rsqrt(const Vec<T>& x) {
  using RawInteger = typename Vec<T>::RawInteger;
  constexpr bool is_float = sizeof(T) == 4;
  constexpr auto magic =
      static_cast<typename Vec<T>::Integer>(is_float ? 0x5F375A86 : 0x5FE6EB50C7B537A9);
  Vec<T> y = {
      reinterpret_cast<typename Vec<T>::Raw>(magic - (reinterpret_cast<RawInteger>(x.raw) >> 1))};
  ANTHER_UNROLL for (int step = 0; step < (is_float ? 3 : 4); ++step) {
    const Vec<T> residual = fma(Vec<T>{-(x.raw * y.raw)}, y, Vec<T>::broadcast(T(1)));
    y = fma(Vec<T>::broadcast(T(0.5)) * y, residual, y);
  }
  return y;
}
