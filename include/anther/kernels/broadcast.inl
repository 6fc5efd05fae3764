// The bodies of broadcast.hpp.

// A NaN of either stays one.
template <class T>
ANTHER_INLINE Vec<T> max_of_both(const Vec<T>& a, const Vec<T>& b) {
  return {a.raw != a.raw ? a.raw : max(a, b).raw};
}
// What the lesser of two gives its derivative: 1 where a < b, 1/2 where they are equal, else 0.
template <class T>
ANTHER_INLINE Vec<T> share_of_less(const Vec<T>& a, const Vec<T>& b) {
  const Vec<T> one = Vec<T>::broadcast(T(1)), half = Vec<T>::broadcast(T(0.5));
  return select_less(a, b, one, select_less(b, a, Vec<T>::zero(), half));
}

template <class T, Binary op>
struct BinaryFormula;

#define ANTHER_BINARY(name, value_of, derivative_a, derivative_b, onnx)                      \
  template <class T>                                                                         \
  struct BinaryFormula<T, Binary::name> {                                                    \
    static ANTHER_INLINE Vec<T> value(const Vec<T>& a, const Vec<T>& b) { return value_of; } \
    template <int input>                                                                     \
    static ANTHER_INLINE Vec<T> derivative([[maybe_unused]] const Vec<T>& a,                 \
                                           [[maybe_unused]] const Vec<T>& b) {               \
      if constexpr (input == 0)                                                              \
        return derivative_a;                                                                 \
      else                                                                                   \
        return derivative_b;                                                                 \
    }                                                                                        \
  };
#include "anther/kernels/binary_table.inl"

// A vector from element i on of a row; of a row whose elements are one, that one.
template <class T>
ANTHER_INLINE Vec<T> load_row(const T* row, std::int64_t step, std::int64_t i, std::int64_t left) {
  if (step == 0) return Vec<T>::broadcast(*row);
  return left >= Vec<T>::lanes ? Vec<T>::load(row + i) : Vec<T>::load_partial(row + i, left);
}

template <class T, Binary op>
void binary_forward(T* y, const T* a, const T* b, const BroadcastRows& d) {
  for (std::int64_t row = 0; row < d.rows; ++row, y += d.columns, a += d.a_row, b += d.b_row)
    for (std::int64_t i = 0; i < d.columns; i += Vec<T>::lanes) {
      const std::int64_t left = d.columns - i;
      const Vec<T> value = BinaryFormula<T, op>::value(load_row(a, d.a_step, i, left),
                                                       load_row(b, d.b_step, i, left));
      if (left >= Vec<T>::lanes)
        value.store(y + i);
      else
        store_first(value, y + i, left);
    }
}

// t = t_add + dy times the derivative by input 0 or 1; t_add may be null.
template <class T, Binary op, int input>
void binary_backward(T* t, const T* t_add, const T* dy, const T* a, const T* b,
                     const BroadcastRows& d) {
  const std::int64_t add_row = t_add ? d.columns : 0;
  for (std::int64_t row = 0; row < d.rows; ++row) {
    for (std::int64_t i = 0; i < d.columns; i += Vec<T>::lanes) {
      const std::int64_t left = d.columns - i;
      Vec<T> value = load_row(dy, 1, i, left) *
                     BinaryFormula<T, op>::template derivative<input>(
                         load_row(a, d.a_step, i, left), load_row(b, d.b_step, i, left));
      if (t_add) value = load_row(t_add, 1, i, left) + value;
      if (left >= Vec<T>::lanes)
        value.store(t + i);
      else
        store_first(value, t + i, left);
    }
    t += d.columns, t_add += add_row, dy += d.columns, a += d.a_row, b += d.b_row;
  }
}
