// GELU's bodies, and the vector functions gelu and gelu_derivative, for other bodies to fuse. See
// gelu.hpp.
//
// With a = |x|: phi(a) = 2^n e^(-r/2) / sqrt(2 pi), where a^2 = -2 n ln 2 + r and n is a multiple
// of 1/8, and Phi(-a) = phi(a) P(a) / (a P(a) + S(a)), a form like the first step of the continued
// fraction. P, S (monic) and the polynomial for e^(-r/2) are minimax fits, by Remez's algorithm in
// 60 digits; P and S have positive coefficients, so nothing cancels, and far into the tail the
// relative error is that of rounding a^2, no more than a rounding of x would make. Their relative
// errors: float 8.4e-8 (a > 4: up to 2.3e-7) and 1.8e-8, double 8e-18 and 2.4e-18. The floats' P
// and S share y = a^2 + 4.76 a + 3.92, which takes two multiplications less (Knuth, "The art of
// computer programming", volume 2, section 4.6.4, on adapted coefficients); in this form, too, no
// term is much larger than the sum.

// x^count + coefficients[0] x^(count - 1) + ...
template <class T, int count>
ANTHER_INLINE Vec<T> monic_polynomial(const Vec<T>& x, const T (&coefficients)[count]) {
  Vec<T> value = x + Vec<T>::broadcast(coefficients[0]);
  ANTHER_UNROLL for (int i = 1; i < count; ++i) value =
      fma(value, x, Vec<T>::broadcast(coefficients[i]));
  return value;
}

// For a = |x|, cut to where phi(a) is 0: phi(a), and Phi(-a) / phi(a).
template <class T>
struct NormalTail {
  Vec<T> a, density, ratio;
};

template <class T>
ANTHER_INLINE NormalTail<T> normal_tail(const Vec<T>& x) {
  using Raw = typename Vec<T>::Raw;
  using RawInteger = typename Vec<T>::RawInteger;
  constexpr bool is_float = sizeof(T) == 4;
  constexpr T greatest = is_float ? T(13.269) : T(37.6587);  // n is -127 there (double: -1023)
  const Vec<T> shift = Vec<T>::broadcast(eighths_shift<T>);

  const Vec<T> magnitude = {reinterpret_cast<Raw>(
      reinterpret_cast<RawInteger>(x.raw) & std::numeric_limits<typename Vec<T>::Integer>::max())};
  const Vec<T> a = min(Vec<T>::broadcast(greatest), magnitude);  // in this order a NaN stays one
  const Vec<T> square = a * a;
  const Vec<T> shifted = fma(square, Vec<T>::broadcast(T(-0.72134752044448170368)), shift);
  const Vec<T> r = fma(shifted - shift, Vec<T>::broadcast(T(1.3862943611198906188)), square);
  Vec<T> density, p, s;
  if constexpr (is_float) {
    constexpr T e[] = {T(-0.00831051776832), T(0.0498755853784), T(-0.199471148252),
                       T(0.398942273083)};
    const Vec<T> y = fma(a + Vec<T>::broadcast(T(4.764083)), a, Vec<T>::broadcast(T(3.923901)));
    p = fma(y - a + Vec<T>::broadcast(T(8.843162)), y, Vec<T>::broadcast(T(26.820383)));
    s = fma(a + Vec<T>::broadcast(T(3.774237)), y + Vec<T>::broadcast(T(10.460142)),
            Vec<T>::broadcast(T(7.082154)));
    density = polynomial(r, e);
  } else {
    constexpr T e[] = {T(-6.183678814157045902e-7),  T(8.658181967901831427e-6),
                       T(-0.0001038912195504278228), T(0.001038912185821870312),
                       T(-0.00831129750836022741),   T(0.04986778505018317423),
                       T(-0.1994711402007163419),    T(0.398942280401432677)};
    constexpr T p_terms[] = {T(29.43704927823664655), T(429.1922169680574542),
                             T(4018.487009551774772), T(26525.71560352944551),
                             T(128358.1654060482139), T(460197.5843315940636),
                             T(1207846.987066246268), T(2229356.342298835349),
                             T(2634393.547438832573), T(1538119.057118401785)};
    constexpr T s_terms[] = {
        T(29.43704927982561906), T(427.1922167022708029), T(3959.61293098604476),
        T(25677.3302642033203),  T(120615.589789931259),  T(411363.4479560437462),
        T(989147.9264202524765), T(1543019.885478691476), T(1227241.44835143337)};
    p = monic_polynomial(a, p_terms);
    s = monic_polynomial(a, s_terms);
    density = polynomial(r, e);
  }
  NormalTail<T> tail;
  tail.a.raw = a.raw;  // not = a, which GCC would copy by way of integer registers
  tail.density = density * power_of_2(shifted);
  tail.ratio = p / fma(a, p, s);
  return tail;
}

// x Phi(x) = max(x, 0) - |x| Phi(-|x|).
template <class T>
ANTHER_INLINE Vec<T> gelu(const Vec<T>& x) {
  const NormalTail<T> tail = normal_tail(x);
  return fma(Vec<T>{-tail.density.raw}, tail.a * tail.ratio, max(x, Vec<T>::zero()));
}

// Phi(x) + x phi(x): with g = Phi(-|x|) - |x| phi(x), g for x <= 0, 1 - g above.
template <class T>
ANTHER_INLINE Vec<T> gelu_derivative(const Vec<T>& x) {
  const NormalTail<T> tail = normal_tail(x);
  const Vec<T> g = tail.density * (tail.ratio - tail.a);
  return select_less(Vec<T>::zero(), x, Vec<T>::broadcast(T(1)) - g, g);
}

template <class T>
struct GeluMap {
  ANTHER_INLINE Vec<T> operator()(const Vec<T>& x, const Vec<T>&) const { return gelu(x); }
};
template <class T>
struct GeluBackwardMap {
  ANTHER_INLINE Vec<T> operator()(const Vec<T>& dy, const Vec<T>& x) const {
    return dy * gelu_derivative(x);
  }
};

// One vector of dx = dx_add + dy times the derivative, and of y. Both share the tail.
template <class T>
ANTHER_INLINE void gelu_both_step(Vec<T>& dx, Vec<T>& y, const Vec<T>& dy, const Vec<T>& x) {
  const NormalTail<T> tail = normal_tail(x);
  y = fma(Vec<T>{-tail.density.raw}, tail.a * tail.ratio, max(x, Vec<T>::zero()));
  const Vec<T> g = tail.density * (tail.ratio - tail.a);
  dx = dy * select_less(Vec<T>::zero(), x, Vec<T>::broadcast(T(1)) - g, g);
}

template <class T>
void gelu_backward_with_value(T* dx, const T* dx_add, T* y, const T* dy, const T* x,
                              std::int64_t count) {
  constexpr std::int64_t lanes = Vec<T>::lanes;
  Vec<T> gradient, value;
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    gelu_both_step(gradient, value, Vec<T>::load(dy + i), Vec<T>::load(x + i));
    if (dx_add) gradient = Vec<T>::load(dx_add + i) + gradient;
    gradient.store(dx + i);
    value.store(y + i);
  }
  if (i == count) return;
  const std::int64_t left = count - i;
  gelu_both_step(gradient, value, Vec<T>::load_partial(dy + i, left),
                 Vec<T>::load_partial(x + i, left));
  if (dx_add) gradient = Vec<T>::load_partial(dx_add + i, left) + gradient;
  gradient.store_partial(dx + i, left);
  value.store_partial(y + i, left);
}

template <class T>
void gelu_forward(T* y, const T* x, std::int64_t count, bool streamed) {
  map(y, static_cast<const T*>(nullptr), x, x, count, GeluMap<T>{}, streamed);
}

template <class T>
void gelu_backward(T* dx, const T* dx_add, const T* dy, const T* x, std::int64_t count,
                   bool streamed) {
  map(dx, dx_add, dy, x, count, GeluBackwardMap<T>{}, streamed);
}
