// Elementary functions of vectors: exp, expm1, log, log1p, tanh, logistic, power; and arithmetic of
// a vector and a number. Part of a kernel body, as vec.inl is.

template <class T>
ANTHER_INLINE Vec<T> operator-(const Vec<T>& a) {
  return {-a.raw};
}
template <class T>
ANTHER_INLINE Vec<T> operator+(std::type_identity_t<T> a, const Vec<T>& b) {
  return Vec<T>::broadcast(a) + b;
}
template <class T>
ANTHER_INLINE Vec<T> operator-(std::type_identity_t<T> a, const Vec<T>& b) {
  return Vec<T>::broadcast(a) - b;
}
template <class T>
ANTHER_INLINE Vec<T> operator-(const Vec<T>& a, std::type_identity_t<T> b) {
  return a - Vec<T>::broadcast(b);
}
template <class T>
ANTHER_INLINE Vec<T> operator*(std::type_identity_t<T> a, const Vec<T>& b) {
  return Vec<T>::broadcast(a) * b;
}
template <class T>
ANTHER_INLINE Vec<T> operator/(std::type_identity_t<T> a, const Vec<T>& b) {
  return Vec<T>::broadcast(a) / b;
}
// A NaN of b stays one.
template <class T>
ANTHER_INLINE Vec<T> max(std::type_identity_t<T> a, const Vec<T>& b) {
  return max(Vec<T>::broadcast(a), b);
}
template <class T>
ANTHER_INLINE Vec<T> min(std::type_identity_t<T> a, const Vec<T>& b) {
  return min(Vec<T>::broadcast(a), b);
}
// In each lane: yes where x > threshold, else no.
template <class T>
ANTHER_INLINE Vec<T> select_above(const Vec<T>& x, std::type_identity_t<T> threshold,
                                  const Vec<T>& yes, const Vec<T>& no) {
  return select_less(Vec<T>::broadcast(threshold), x, yes, no);
}
// In each lane: yes where x <= most, else no.
template <class T>
ANTHER_INLINE Vec<T> select_up_to(const Vec<T>& x, std::type_identity_t<T> most, const Vec<T>& yes,
                                  const Vec<T>& no) {
  return {x.raw <= most ? yes.raw : no.raw};
}
// 1 where low < x < high, else 0.
template <class T>
ANTHER_INLINE Vec<T> is_between(const Vec<T>& x, std::type_identity_t<T> low,
                                std::type_identity_t<T> high) {
  const Vec<T> one = Vec<T>::broadcast(T(1)), zero = Vec<T>::zero();
  return select_above(x, low, select_less(x, Vec<T>::broadcast(high), one, zero), zero);
}

// ln 2 in two parts. The first has so few bits that its product with an exponent (a multiple of
// 1/8) is exact (Cody and Waite, "Software manual for the elementary functions", 1980).
template <class T>
constexpr T ln2_high = sizeof(T) == 4 ? T(0.693359375) : T(0.693147180369123816490);
template <class T>
constexpr T ln2_low = sizeof(T) == 4 ? T(-2.12194440054690583e-4) : T(1.90821492927058770002e-10);

// e^x, within 2 units in the last place. Results less than the least normal number go to 0.
template <class T>
ANTHER_INLINE Vec<T> exp(const Vec<T>& argument) {
  constexpr bool is_float = sizeof(T) == 4;
  const Vec<T> shift = Vec<T>::broadcast(eighths_shift<T>);
  const Vec<T> x = max(is_float ? T(-88.02) : T(-709.08), min(is_float ? T(89) : T(710), argument));
  const Vec<T> shifted = fma(x, Vec<T>::broadcast(log2_e<T>), shift);
  const Vec<T> n = shifted - shift;  // a multiple of 1/8
  const Vec<T> rest =
      fma(n, Vec<T>::broadcast(-ln2_low<T>), fma(n, Vec<T>::broadcast(-ln2_high<T>), x));
  const Vec<T> r = log2_e<T> * rest;
  // 2^128 is infinite, so that for x > 0 half of the power is computed and doubled.
  const Vec<T> half = select_above(x, T(0), Vec<T>::broadcast(T(1)), Vec<T>::zero());
  const Vec<T> power = power_of_2(shifted - half);
  return (1 + half) * fma(power, exp2_slope(r) * r, power);
}

// e^x = power (1 + rest) for x <= 0, where power is a whole power of 2: so that e^x - 1 keeps its
// accuracy where x is close to 0.
template <class T>
struct ExpParts {
  Vec<T> power, rest;
};
template <class T>
ANTHER_INLINE ExpParts<T> exp_parts(const Vec<T>& argument) {
  using Raw = typename Vec<T>::Raw;
  using RawInteger = typename Vec<T>::RawInteger;
  constexpr bool is_float = sizeof(T) == 4;
  // Adding it rounds to an integer and leaves that in the low bits of the sum.
  const Vec<T> shift = Vec<T>::broadcast(is_float ? T(12582912) : T(6755399441055744));
  const Vec<T> x = max(is_float ? T(-30) : T(-50), argument);
  const Vec<T> shifted = fma(x, Vec<T>::broadcast(log2_e<T>), shift);
  const Vec<T> n = shifted - shift;
  const Vec<T> r =
      fma(n, Vec<T>::broadcast(-ln2_low<T>), fma(n, Vec<T>::broadcast(-ln2_high<T>), x));
  Vec<T> terms;  // (e^r - 1 - r) / r^2 by its series, |r| <= 0.35
  if constexpr (is_float) {
    constexpr T series[] = {T(1.0 / 5040), T(1.0 / 720), T(1.0 / 120),
                            T(1.0 / 24),   T(1.0 / 6),   T(0.5)};
    terms = polynomial(r, series);
  } else {
    constexpr T series[] = {T(1.0 / 87178291200),
                            T(1.0 / 6227020800),
                            T(1.0 / 479001600),
                            T(1.0 / 39916800),
                            T(1.0 / 3628800),
                            T(1.0 / 362880),
                            T(1.0 / 40320),
                            T(1.0 / 5040),
                            T(1.0 / 720),
                            T(1.0 / 120),
                            T(1.0 / 24),
                            T(1.0 / 6),
                            T(0.5)};
    terms = polynomial(r, series);
  }
  const Vec<T> one = Vec<T>::broadcast(T(1));
  const Vec<T> power = {
      reinterpret_cast<Raw>((reinterpret_cast<RawInteger>(shifted.raw)
                             << mantissa_bits<T>)+reinterpret_cast<RawInteger>(one.raw))};
  return {power, fma(r * r, terms, r)};
}

// e^x - 1 for x <= 0, within 1.2 units in the last place.
template <class T>
ANTHER_INLINE Vec<T> expm1(const Vec<T>& x) {
  const ExpParts<T> e = exp_parts(x);
  return fma(e.power, e.rest, e.power - T(1));
}

// ln x, within 1.5 units in the last place; -infinity at 0, NaN below. With x = 2^k (1 + f) and
// s = f / (2 + f): ln(1 + f) = f - f^2 / 2 + s (f^2 / 2 + R), R = 2 (s^2 / 3 + s^4 / 5 + ...).
template <class T>
ANTHER_INLINE Vec<T> log(const Vec<T>& argument) {
  using Raw = typename Vec<T>::Raw;
  using RawInteger = typename Vec<T>::RawInteger;
  using Integer = typename Vec<T>::Integer;
  constexpr bool is_float = sizeof(T) == 4;
  constexpr T infinity = std::numeric_limits<T>::infinity();
  // A subnormal number is scaled first.
  const Vec<T> least = Vec<T>::broadcast(std::numeric_limits<T>::min());
  const Vec<T> scale = Vec<T>::broadcast(is_float ? T(0x1p24) : T(0x1p54));
  const Vec<T> x = select_less(argument, least, argument * scale, argument);
  const Vec<T> scaled_by =
      select_less(argument, least, Vec<T>::broadcast(is_float ? T(24) : T(54)), Vec<T>::zero());

  const Integer root_half = std::bit_cast<Integer>(T(0.70710678118654752440));
  const RawInteger bits = reinterpret_cast<RawInteger>(x.raw);
  const RawInteger exponent = (bits - root_half) >> mantissa_bits<T>;
  // The exponent as a number: added to the bits of a number whose unit is 1.
  const Vec<T> shift = Vec<T>::broadcast(is_float ? T(12582912) : T(6755399441055744));
  const Vec<T> shifted = {
      reinterpret_cast<Raw>(reinterpret_cast<RawInteger>(shift.raw) + exponent)};
  const Vec<T> k = shifted - shift - scaled_by;
  const Vec<T> f = Vec<T>{reinterpret_cast<Raw>(bits - (exponent << mantissa_bits<T>))} - T(1);
  const Vec<T> s = f / (2 + f), z = s * s, half_square = T(0.5) * f * f;
  Vec<T> series;
  if constexpr (is_float) {
    constexpr T terms[] = {T(2.0 / 11), T(2.0 / 9), T(2.0 / 7), T(2.0 / 5), T(2.0 / 3)};
    series = polynomial(z, terms);
  } else {
    constexpr T terms[] = {T(2.0 / 23), T(2.0 / 21), T(2.0 / 19), T(2.0 / 17),
                           T(2.0 / 15), T(2.0 / 13), T(2.0 / 11), T(2.0 / 9),
                           T(2.0 / 7),  T(2.0 / 5),  T(2.0 / 3)};
    series = polynomial(z, terms);
  }
  const Vec<T> low = fma(k, Vec<T>::broadcast(ln2_low<T>), s * fma(z, series, half_square));
  const Vec<T> value = fma(k, Vec<T>::broadcast(ln2_high<T>), f - (half_square - low));
  const Vec<T> below =
      select_less(argument, Vec<T>::zero(), Vec<T>::broadcast(std::numeric_limits<T>::quiet_NaN()),
                  Vec<T>::broadcast(-infinity));
  // Infinity and NaN are their own logarithms.
  return select_less(argument, Vec<T>::broadcast(infinity),
                     select_above(argument, T(0), value, below), argument);
}

// ln(1 + x) for finite x > -1: what rounding 1 + x has lost is added again.
template <class T>
ANTHER_INLINE Vec<T> log1p(const Vec<T>& x) {
  const Vec<T> sum = 1 + x;
  return log(sum) + (x - (sum - T(1))) / sum;
}

// (1 - t) / (1 + t) with the sign of x, t = e^(-2 |x|); as 1 - 2 t / (1 + t) where that is close to
// 1, so that 1 - tanh(x)^2 is accurate too. Within 3 units in the last place.
template <class T>
ANTHER_INLINE Vec<T> tanh(const Vec<T>& x) {
  const Vec<T> magnitude = abs(x);
  const ExpParts<T> e = exp_parts(T(-2) * magnitude);
  const Vec<T> t = fma(e.power, e.rest, e.power);
  const Vec<T> below = fma(e.power, -e.rest, 1 - e.power);
  const Vec<T> ratio = select_above(magnitude, T(0.5), 2 * t, below) / (1 + t);
  const Vec<T> y = select_above(magnitude, T(0.5), 1 - ratio, ratio);
  return select_less(x, Vec<T>::zero(), -y, y);
}

// 1 / (1 + e^-x)
template <class T>
ANTHER_INLINE Vec<T> logistic(const Vec<T>& x) {
  return 1 / (1 + exp(-x));
}

// ln(1 + e^x)
template <class T>
ANTHER_INLINE Vec<T> log1p_exp(const Vec<T>& x) {
  return max(0, x) + log1p(exp(-abs(x)));
}

// x^exponent: by products for an integer of at most 64, otherwise e^(exponent ln |x|), which has
// the sign of x for an odd integer; for x < 0 it is NaN unless the exponent is an integer.
template <class T>
ANTHER_INLINE Vec<T> power(const Vec<T>& x, T exponent) {
  const T magnitude = exponent < T(0) ? -exponent : exponent;
  if (magnitude == T(0.5)) {
    const Vec<T> root = sqrt(x);
    return exponent < T(0) ? 1 / root : root;
  }
  const int count = magnitude <= T(64) ? static_cast<int>(magnitude) : -1;
  if (static_cast<T>(count) != magnitude) {
    // From 2^53 on all are even integers.
    constexpr T even = T(std::int64_t{1} << 53);
    const std::int64_t whole = magnitude < even ? static_cast<std::int64_t>(magnitude) : 0;
    if (magnitude < even && static_cast<T>(whole) != magnitude) return exp(exponent * log(x));
    const Vec<T> from = abs(x);
    if (exponent - exponent != T(0)) {  // infinite: 1 stays, and a NaN
      const Vec<T> one = Vec<T>::broadcast(T(1)), zero = Vec<T>::zero(), great = one / zero;
      const bool grows = exponent > T(0);
      return select_less(from, one, grows ? zero : great,
                         select_less(one, from, grows ? great : zero, from));
    }
    const Vec<T> size = exp(exponent * log(from));
    return whole % 2 == 0 ? size : copysign(size, x);
  }
  Vec<T> product = Vec<T>::broadcast(T(1)), square = x;
  for (int left = count; left > 0; left /= 2) {
    if (left % 2 != 0) product = product * square;
    square = square * square;
  }
  return exponent < T(0) ? 1 / product : product;
}
