// The bodies of pointwise.hpp.

// Twice what gelu_tanh's tanh takes: 1 + tanh(u) = 2 / (1 + e^(-2 u)). 2 sqrt(2 / pi) = 1.5957...
template <class T>
ANTHER_INLINE Vec<T> gelu_argument(const Vec<T>& x) {
  return x * (T(1.5957691216057308) + T(0.071354816272600244) * (x * x));
}
template <class T>
ANTHER_INLINE Vec<T> gelu_argument_derivative(const Vec<T>& x) {
  return T(1.5957691216057308) + T(0.21406444881780073) * (x * x);
}

// Beyond +-30 it is 1 or 0, but its terms are infinite far out.
template <class T>
ANTHER_INLINE Vec<T> gelu_tanh_derivative(const Vec<T>& x) {
  const Vec<T> c = min(30, max(-30, x)), share = logistic(gelu_argument(c));
  return share * (1 + c * gelu_argument_derivative(c) * (1 - share));
}

// The value and the derivative of an op, from the table.
template <class T, Pointwise op>
struct PointwiseFormula;

#define ANTHER_POINTWISE_2(name, a, a_default, b, b_default, kept, value_of, derivative_of, onnx) \
  template <class T>                                                                              \
  struct PointwiseFormula<T, Pointwise::name> {                                                   \
    static ANTHER_INLINE Vec<T> value(const Vec<T>& x, [[maybe_unused]] T a,                      \
                                      [[maybe_unused]] T b) {                                     \
      return value_of;                                                                            \
    }                                                                                             \
    static ANTHER_INLINE Vec<T> derivative([[maybe_unused]] const Vec<T>& kept,                   \
                                           [[maybe_unused]] T a, [[maybe_unused]] T b) {          \
      return derivative_of;                                                                       \
    }                                                                                             \
  };
#define ANTHER_POINTWISE_1(name, a, a_default, kept, value, derivative, onnx) \
  ANTHER_POINTWISE_2(name, a, , unused_b, , kept, value, derivative, onnx)
#define ANTHER_POINTWISE(name, kept, value, derivative, onnx) \
  ANTHER_POINTWISE_2(name, unused_a, , unused_b, , kept, value, derivative, onnx)
#include "anther/kernels/pointwise_table.inl"

template <class T, Pointwise op>
struct PointwiseMap {
  T a, b;
  ANTHER_INLINE Vec<T> operator()(const Vec<T>& x, const Vec<T>&) const {
    return PointwiseFormula<T, op>::value(x, a, b);
  }
};
template <class T, Pointwise op>
struct PointwiseBackwardMap {
  T a, b;
  ANTHER_INLINE Vec<T> operator()(const Vec<T>& dy, const Vec<T>& kept) const {
    return dy * PointwiseFormula<T, op>::derivative(kept, a, b);
  }
};

template <class T, Pointwise op>
void pointwise_forward(T* y, const T* x, std::int64_t count, const PointwiseNumbers& numbers,
                       bool streamed) {
  const PointwiseMap<T, op> formula{static_cast<T>(numbers.first), static_cast<T>(numbers.second)};
  map(y, static_cast<const T*>(nullptr), x, x, count, formula, streamed);
}

template <class T, Pointwise op>
void pointwise_backward(T* dx, const T* dx_add, const T* dy, const T* kept, std::int64_t count,
                        const PointwiseNumbers& numbers, bool streamed) {
  const PointwiseBackwardMap<T, op> formula{static_cast<T>(numbers.first),
                                            static_cast<T>(numbers.second)};
  map(dx, dx_add, dy, kept, count, formula, streamed);
}
