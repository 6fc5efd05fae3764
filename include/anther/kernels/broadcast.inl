// The bodies of broadcast.hpp.

// A NaN of either stays one.
template <class T>
ANTHER_INLINE Vec<T> max_of_both(const Vec<T>& a, const Vec<T>& b) {
  return {a.raw != a.raw ? a.raw : max(a, b).raw};
}
// What a gets of the gradient as the lesser of two: 0 where b < a, 1/2 where they are equal, else
// 1, also where one is NaN.
template <class T>
ANTHER_INLINE Vec<T> share_of_less(const Vec<T>& a, const Vec<T>& b) {
  const Vec<T> one = Vec<T>::broadcast(T(1)), half = Vec<T>::broadcast(T(0.5));
  return select_less(b, a, Vec<T>::zero(), {a.raw == b.raw ? half.raw : one.raw});
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

// Stores the elements of a row from number i on, with t_add added where that is not null.
template <class T>
ANTHER_INLINE void store_row(const Vec<T>& value, T* row, const T* add, std::int64_t i,
                             std::int64_t left) {
  Vec<T> sum = value;
  if (add) sum = load_row(add, 1, i, left) + value;
  if (left >= Vec<T>::lanes)
    sum.store(row + i);
  else
    store_first(sum, row + i, left);
}

template <class T, Binary op>
void binary_forward(T* y, const T* a, const T* b, const BroadcastRows& d) {
  for (std::int64_t row = 0; row < d.rows; ++row) {
    for (std::int64_t i = 0; i < d.columns; i += Vec<T>::lanes) {
      const std::int64_t left = d.columns - i;
      store_row<T>(BinaryFormula<T, op>::value(load_row(a, d.step[0], i, left),
                                               load_row(b, d.step[1], i, left)),
                   y, nullptr, i, left);
    }
    y += d.columns, a += d.row_stride[0], b += d.row_stride[1];
  }
}

// t = t_add + dy times the derivative by input 0 or 1; t_add may be null.
template <class T, Binary op, int input>
void binary_backward(T* t, const T* t_add, const T* dy, const T* a, const T* b,
                     const BroadcastRows& d) {
  for (std::int64_t row = 0; row < d.rows; ++row) {
    for (std::int64_t i = 0; i < d.columns; i += Vec<T>::lanes) {
      const std::int64_t left = d.columns - i;
      store_row(load_row(dy, 1, i, left) *
                    BinaryFormula<T, op>::template derivative<input>(
                        load_row(a, d.step[0], i, left), load_row(b, d.step[1], i, left)),
                t, t_add, i, left);
    }
    t += d.columns, dy += d.columns, a += d.row_stride[0], b += d.row_stride[1];
    if (t_add) t_add += d.columns;
  }
}

// yes where the condition's integers are not 0, else no, from element i on of a row.
template <class T>
ANTHER_INLINE Vec<T> select_row(const std::int32_t* condition, std::int64_t step, std::int64_t i,
                                std::int64_t left, const Vec<T>& yes, const Vec<T>& no) {
  if (step == 0) return *condition != 0 ? yes : no;
  typename Vec<T>::RawInteger integers = {};
  if (sizeof(T) == 4 && left >= Vec<T>::lanes) {
    __builtin_memcpy(&integers, condition + i, sizeof integers);
  } else {
    ANTHER_UNROLL for (int lane = 0; lane < Vec<T>::lanes; ++lane) {
      if (lane < left) integers[lane] = condition[i + lane];
    }
  }
  return {integers != 0 ? yes.raw : no.raw};
}

template <class T>
void where_forward(T* y, const std::int32_t* condition, const T* a, const T* b,
                   const BroadcastRows& d) {
  for (std::int64_t row = 0; row < d.rows; ++row) {
    for (std::int64_t i = 0; i < d.columns; i += Vec<T>::lanes) {
      const std::int64_t left = d.columns - i;
      store_row<T>(select_row(condition, d.step[0], i, left, load_row(a, d.step[1], i, left),
                              load_row(b, d.step[2], i, left)),
                   y, nullptr, i, left);
    }
    y += d.columns, condition += d.row_stride[0], a += d.row_stride[1], b += d.row_stride[2];
  }
}

// t = t_add + dy where a (or b) was taken; t_add may be null.
template <class T>
void where_backward(T* t, const T* t_add, const T* dy, const std::int32_t* condition, bool of_a,
                    const BroadcastRows& d) {
  const Vec<T> zero = Vec<T>::zero();
  for (std::int64_t row = 0; row < d.rows; ++row) {
    for (std::int64_t i = 0; i < d.columns; i += Vec<T>::lanes) {
      const std::int64_t left = d.columns - i;
      const Vec<T> gradient = load_row(dy, 1, i, left);
      store_row(
          select_row(condition, d.step[0], i, left, of_a ? gradient : zero, of_a ? zero : gradient),
          t, t_add, i, left);
    }
    t += d.columns, dy += d.columns, condition += d.row_stride[0];
    if (t_add) t_add += d.columns;
  }
}
