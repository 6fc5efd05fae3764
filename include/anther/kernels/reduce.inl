// The bodies of reduce.hpp.

template <class T, Reduction op>
ANTHER_INLINE Vec<T> reduction_start() {
  if constexpr (op == Reduction::max)
    return Vec<T>::broadcast(-std::numeric_limits<T>::infinity());
  else if constexpr (op == Reduction::min)
    return Vec<T>::broadcast(std::numeric_limits<T>::infinity());
  else
    return Vec<T>::zero();
}
// So far, and one more. A NaN stays one.
template <class T, Reduction op>
ANTHER_INLINE Vec<T> reduction_step(const Vec<T>& so_far, const Vec<T>& x) {
  if constexpr (op == Reduction::max)
    return {so_far.raw != so_far.raw ? so_far.raw : max(so_far, x).raw};
  else if constexpr (op == Reduction::min)
    return {so_far.raw != so_far.raw ? so_far.raw : min(so_far, x).raw};
  else if constexpr (op == Reduction::sum_of_squares)
    return fma(x, x, so_far);
  else
    return so_far + x;
}
// Two results of the above.
template <class T, Reduction op>
ANTHER_INLINE Vec<T> reduction_join(const Vec<T>& a, const Vec<T>& b) {
  constexpr Reduction plain = op == Reduction::sum_of_squares ? Reduction::sum : op;
  return reduction_step<T, plain>(a, b);
}
template <class T, Reduction op, int half = Vec<T>::lanes / 2>
ANTHER_INLINE T reduction_of_lanes(const Vec<T>& a) {
  if constexpr (half == 0)
    return a[0];
  else
    return reduction_of_lanes<T, op, half / 2>(reduction_join<T, op>(
        a, lanes_from<T, half>(a, std::make_integer_sequence<int, Vec<T>::lanes>{})));
}

// How many elements are added up before their sum joins the others: so rounding does not grow with
// the number of all.
constexpr std::int64_t reduction_block = 256;

// y = the reduction of `count` elements in a row.
template <class T, Reduction op>
ANTHER_INLINE T reduce_row(const T* x, std::int64_t count) {
  constexpr std::int64_t lanes = Vec<T>::lanes;
  Vec<T> total = reduction_start<T, op>();
  std::int64_t i = 0;
  while (i + lanes <= count) {
    Vec<T> block = reduction_start<T, op>();
    const std::int64_t end =
        i + reduction_block * lanes < count ? i + reduction_block * lanes : count;
    for (; i + lanes <= end; i += lanes) block = reduction_step<T, op>(block, Vec<T>::load(x + i));
    total = reduction_join<T, op>(total, block);
  }
  if (i < count) {
    // The lanes that are missing repeat the row's last element, or are 0.
    Vec<T> last = Vec<T>::load_partial(x + i, count - i);
    if constexpr (op == Reduction::max || op == Reduction::min)
      for (std::int64_t lane = count - i; lane < lanes; ++lane) last.raw[lane] = x[count - 1];
    total = reduction_join<T, op>(total, reduction_step<T, op>(reduction_start<T, op>(), last));
  }
  return reduction_of_lanes<T, op>(total);
}

// y[i] = the reduction over `rows` rows of column i, for `columns` columns; the rows are `stride`
// elements apart.
template <class T, Reduction op>
void reduce_columns(T* y, const T* x, std::int64_t rows, std::int64_t columns,
                    std::int64_t stride) {
  if (columns == 1 && stride == 1) {
    *y = reduce_row<T, op>(x, rows);
    return;
  }
  constexpr std::int64_t lanes = Vec<T>::lanes;
  for (std::int64_t c = 0; c < columns; c += lanes) {
    const std::int64_t left = columns - c;
    Vec<T> total = reduction_start<T, op>();
    for (std::int64_t first = 0; first < rows; first += reduction_block) {
      const std::int64_t end = first + reduction_block < rows ? first + reduction_block : rows;
      Vec<T> block = reduction_start<T, op>();
      for (std::int64_t row = first; row < end; ++row)
        block = reduction_step<T, op>(block, load_row(x + row * stride + c, 1, 0, left));
      total = reduction_join<T, op>(total, block);
    }
    if (left >= lanes)
      total.store(y + c);
    else
      store_first(total, y + c, left);
  }
}
