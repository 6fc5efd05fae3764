// The bodies of gelu_bf16.hpp. With c = x within -4.5 and 4.5, and t = 2 c^2 / 4.5^2 - 1, Phi(x) is
// 0.5 + c P(t) to 7e-6, and the derivative of GELU 0.5 + c Q(t) to 9e-5 (1.2e-5 within those
// limits). P and Q are fits of the least greatest error. In t no term is much larger than the sum.

template <class T>
struct GeluBf16Terms {
  Vec<T> lower, c, t;  // lower: the greater of x and -4.5
};
template <class T>
ANTHER_INLINE GeluBf16Terms<T> gelu_bf16_terms(const Vec<T>& x) {
  GeluBf16Terms<T> terms;
  terms.lower = max(Vec<T>::broadcast(T(-4.5)), x);  // in this order a NaN stays one
  terms.c = min(Vec<T>::broadcast(T(4.5)), terms.lower);
  terms.t = fma(terms.c * terms.c, Vec<T>::broadcast(T(0.098765432)), Vec<T>::broadcast(T(-1)));
  return terms;
}
template <class T>
ANTHER_INLINE Vec<T> gelu_bf16_value(const GeluBf16Terms<T>& x) {
  constexpr T p[] = {T(-0.00193053205), T(0.00496270834), T(-0.00607019337), T(0.00965321437),
                     T(-0.0184839759),  T(0.0288576558),  T(-0.040236976),   T(0.054637488),
                     T(-0.0771858841),  T(0.156906039)};
  return x.lower * fma(x.c, polynomial(x.t, p), Vec<T>::broadcast(T(0.5)));
}
template <class T>
ANTHER_INLINE Vec<T> gelu_bf16_derivative(const GeluBf16Terms<T>& x) {
  constexpr T q[] = {T(0.0119352657), T(-0.0293628536), T(0.0284602474), T(-0.0362113826),
                     T(0.0697617307), T(-0.0938373357), T(0.0978995264), T(-0.093922019),
                     T(0.086987406),  T(-0.0900131986), T(0.159431547)};
  return fma(x.c, polynomial(x.t, q), Vec<T>::broadcast(T(0.5)));
}

// `count` numbers, at most a vector.
template <class T, bool converts>
ANTHER_INLINE void gelu_bf16_forward_vec(std::uint16_t* y, const std::uint16_t* x,
                                         std::int64_t count) {
  const GeluBf16Terms<T> terms = gelu_bf16_terms(map_load<T>(x, count));
  bf16_store_rounded<T, converts>(gelu_bf16_value(terms), y, count);
}
template <class T, bool converts>
void gelu_bf16_forward(std::uint16_t* y, const std::uint16_t* x, std::int64_t count) {
  constexpr std::int64_t lanes = Vec<T>::lanes;
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) gelu_bf16_forward_vec<T, converts>(y + i, x + i, lanes);
  if (i < count) gelu_bf16_forward_vec<T, converts>(y + i, x + i, count - i);
}

template <class T, bool converts, bool with_y>
ANTHER_INLINE void gelu_bf16_backward_vec(std::uint16_t* dx, std::uint16_t* y, const T* dy,
                                          const std::uint16_t* x, std::int64_t count) {
  const GeluBf16Terms<T> terms = gelu_bf16_terms(map_load<T>(x, count));
  bf16_store_rounded<T, converts>(map_load<T>(dy, count) * gelu_bf16_derivative(terms), dx, count);
  if constexpr (with_y) bf16_store_rounded<T, converts>(gelu_bf16_value(terms), y, count);
}
template <class T, bool converts, bool with_y>
ANTHER_INLINE void gelu_bf16_backward_all(std::uint16_t* dx, std::uint16_t* y, const T* dy,
                                          const std::uint16_t* x, std::int64_t count) {
  constexpr std::int64_t lanes = Vec<T>::lanes;
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes)
    gelu_bf16_backward_vec<T, converts, with_y>(dx + i, with_y ? y + i : y, dy + i, x + i, lanes);
  if (i < count)
    gelu_bf16_backward_vec<T, converts, with_y>(dx + i, with_y ? y + i : y, dy + i, x + i,
                                                count - i);
}
// y may be null.
template <class T, bool converts>
void gelu_bf16_backward(std::uint16_t* dx, std::uint16_t* y, const T* dy, const std::uint16_t* x,
                        std::int64_t count) {
  if (y)
    gelu_bf16_backward_all<T, converts, true>(dx, y, dy, x, count);
  else
    gelu_bf16_backward_all<T, converts, false>(dx, nullptr, dy, x, count);
}
