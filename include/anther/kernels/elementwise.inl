// The bodies of elementwise.hpp.

template <class T>
struct AddMap {
  ANTHER_INLINE Vec<T> operator()(const Vec<T>& a, const Vec<T>& b) const { return a + b; }
};
template <class T>
struct ScaleMap {
  Vec<T> factor;
  ANTHER_INLINE Vec<T> operator()(const Vec<T>& x, const Vec<T>&) const { return factor * x; }
};
template <class T>
void add(T* y, const T* a, const T* b, std::int64_t count, bool streamed) {
  map(y, static_cast<const T*>(nullptr), a, b, count, AddMap<T>{}, streamed);
}

// y = y_add + factor x.
template <class T>
void scale(T* y, const T* y_add, const T* x, T factor, std::int64_t count, bool streamed) {
  map(y, y_add, x, x, count, ScaleMap<T>{Vec<T>::broadcast(factor)}, streamed);
}

// sum[c] += the sum over the rows of x[r][c], eight rows at a time.
template <class T>
void column_sums(T* sum, const T* x, std::int64_t rows, std::int64_t columns,
                 std::int64_t x_stride) {
  constexpr std::int64_t lanes = Vec<T>::lanes;
  std::int64_t row = 0;
  for (; row + 8 <= rows; row += 8) {
    const T* from = x + row * x_stride;
    std::int64_t c = 0;
    for (; c + lanes <= columns; c += lanes, from += lanes) {
      const Vec<T> first = (Vec<T>::load(from) + Vec<T>::load(from + x_stride)) +
                           (Vec<T>::load(from + 2 * x_stride) + Vec<T>::load(from + 3 * x_stride));
      const T* half = from + 4 * x_stride;
      const Vec<T> second = (Vec<T>::load(half) + Vec<T>::load(half + x_stride)) +
                            (Vec<T>::load(half + 2 * x_stride) + Vec<T>::load(half + 3 * x_stride));
      (Vec<T>::load(sum + c) + (first + second)).store(sum + c);
    }
    if (c == columns) continue;
    Vec<T> all = Vec<T>::zero();
    ANTHER_UNROLL for (int i = 0; i < 8; ++i) all =
        all + Vec<T>::load_partial(from + i * x_stride, columns - c);
    store_first(Vec<T>::load_partial(sum + c, columns - c) + all, sum + c, columns - c);
  }
  for (; row < rows; ++row)
    for (std::int64_t c = 0; c < columns; c += lanes) {
      const std::int64_t left = columns - c;
      const Vec<T> all =
          Vec<T>::load_partial(sum + c, left) + Vec<T>::load_partial(x + row * x_stride + c, left);
      if (left >= lanes)
        all.store(sum + c);
      else
        store_first(all, sum + c, left);
    }
}
