// What the bodies of GroupNorm's, InstanceNorm's and BatchNorm's forward and backward share. See
// channel_norm.hpp.
//
// An array over the channels in the workspace has room for `folded` elements and a vector more, so
// whole vectors are stored to it; what stands behind its last channel is never used. Structs of
// pointers are passed by value: as far as the compiler knows, the store of a vector could change
// what a reference leads to.

// What is added up over folded rows, each for every column, and the rows:
//   without dy  sum += x - center,  product += (x - center)^2
//   with dy     sum += dy,          product += dy (x - center)
template <class T>
struct ChannelNormSums {
  T *sum, *product;
  const T *x, *dy, *center;
};

// `rows` folded rows, `stride` apart, of which the first `columns` columns are whole vectors.
template <class T, bool with_dy, int rows>
ANTHER_INLINE void channel_norm_sums_columns(ChannelNormSums<T> s, std::int64_t stride,
                                             std::int64_t columns) {
  constexpr int lanes = Vec<T>::lanes;
  constexpr int line = 64 / static_cast<int>(sizeof(T));
  for (std::int64_t c = 0; c + lanes <= columns; c += lanes) {
    // As many lines as this step reads, 160 lines from here: the rows that it reads side by side
    // are no pattern that processors prefetch well. An address, because no pointer may be so far
    // beyond an array.
    ANTHER_UNROLL for (int ahead = 0; ahead < rows * lanes; ahead += line) {
      const std::int64_t at = c * rows + ahead;
      __builtin_prefetch(
          reinterpret_cast<const void*>(reinterpret_cast<std::uintptr_t>(s.x + at) + 160 * 64));
      if (with_dy)
        __builtin_prefetch(
            reinterpret_cast<const void*>(reinterpret_cast<std::uintptr_t>(s.dy + at) + 160 * 64));
    }
    const Vec<T> middle = Vec<T>::load(s.center + c);
    Vec<T> total = Vec<T>::zero(), products = Vec<T>::zero();
    ANTHER_UNROLL for (int i = 0; i < rows; ++i) {
      const Vec<T> value = Vec<T>::load(s.x + i * stride + c) - middle;
      const Vec<T> other = with_dy ? Vec<T>::load(s.dy + i * stride + c) : value;
      total = i == 0 ? other : total + other;
      products = i == 0 ? other * value : fma(other, value, products);
    }
    (Vec<T>::load(s.product + c) + products).store(s.product + c);
    (Vec<T>::load(s.sum + c) + total).store(s.sum + c);
  }
}

// The columns behind `whole`, which fill no vector: they are read from a copy.
template <class T, bool with_dy, int rows>
__attribute__((noinline)) void channel_norm_sums_tail(const ChannelNormSums<T>& s,
                                                      std::int64_t stride, std::int64_t whole,
                                                      std::int64_t tail) {
  constexpr int lanes = Vec<T>::lanes;
  T x[rows][lanes], dy[rows][lanes], center[lanes];
  Vec<T>::load_partial(s.center + whole, tail).store(center);
  for (int i = 0; i < rows; ++i) {
    Vec<T>::load_partial(s.x + i * stride + whole, tail).store(x[i]);
    if (with_dy) Vec<T>::load_partial(s.dy + i * stride + whole, tail).store(dy[i]);
  }
  channel_norm_sums_columns<T, with_dy, rows>(
      {s.sum + whole, s.product + whole, x[0], with_dy ? dy[0] : x[0], center}, lanes, lanes);
}

template <class T, bool with_dy, int rows>
ANTHER_INLINE void channel_norm_sums_rows(const ChannelNormSums<T>& s, std::int64_t stride,
                                          std::int64_t columns) {
  channel_norm_sums_columns<T, with_dy, rows>(s, stride, columns);
  const std::int64_t tail = columns % Vec<T>::lanes;
  if (tail != 0) channel_norm_sums_tail<T, with_dy, rows>(s, stride, columns - tail, tail);
}

// Adds up `elements` elements of x (and dy): rows of `folded`, of which the last may be shorter.
template <class T, bool with_dy>
void channel_norm_sums(ChannelNormSums<T> s, std::int64_t folded, std::int64_t elements) {
  for (std::int64_t i = 0; i < folded; ++i) s.sum[i] = T(0);
  for (std::int64_t i = 0; i < folded; ++i) s.product[i] = T(0);
  while (elements > 0) {
    const std::int64_t rows = elements >= 4 * folded ? 4 : 1;
    const std::int64_t columns = elements < folded ? elements : folded;
    if (rows == 4)
      channel_norm_sums_rows<T, with_dy, 4>(s, folded, columns);
    else
      channel_norm_sums_rows<T, with_dy, 1>(s, folded, columns);
    elements -= rows * folded;
    s.x += rows * folded;
    s.dy += rows * folded;
  }
}

// Adds the copies of the channels that stand behind one another in a folded row to the first.
template <class T>
void channel_norm_unfold(T* sum, std::int64_t channels, std::int64_t folded) {
  for (std::int64_t c = 0; c < channels; c += Vec<T>::lanes) {
    Vec<T> total = Vec<T>::load(sum + c);
    for (std::int64_t i = c + channels; i < folded; i += channels)
      total = total + Vec<T>::load(sum + i);
    total.store(sum + c);
  }
}

// Copies the channels behind one another, as often as a folded row has them.
template <class T>
void channel_norm_fold(T* values, std::int64_t channels, std::int64_t folded) {
  for (std::int64_t i = channels; i < folded; i += channels)
    for (std::int64_t c = 0; c < channels; c += Vec<T>::lanes)
      Vec<T>::load(values + c).store(values + i + c);
}

// to (channels): from[0] in the channels of group 0, from[step] in those of group 1, and so on.
template <class T>
void channel_norm_spread(T* to, const T* from, std::int64_t step, std::int64_t channels,
                         std::int64_t groups) {
  const std::int64_t size = channels / groups;
  if (size == 1) {
    for (std::int64_t c = 0; c < channels; c += Vec<T>::lanes)
      Vec<T>::load_partial(from + c, channels - c).store(to + c);
  } else {
    for (std::int64_t group = 0; group < groups; ++group)
      for (std::int64_t i = 0; i < size; i += Vec<T>::lanes)
        Vec<T>::broadcast(from[group * step]).store(to + group * size + i);
  }
}

// to = the means of `from` over each group's channels, in each of its channels.
template <class T>
void channel_norm_group_means(T* to, const T* from, std::int64_t channels, std::int64_t groups) {
  constexpr int lanes = Vec<T>::lanes;
  const std::int64_t size = channels / groups;
  if (size == 1) return channel_norm_spread(to, from, 1, channels, channels);
  for (std::int64_t group = 0; group < groups; ++group) {
    const T* members = from + group * size;
    Vec<T> total = Vec<T>::load_partial(members, size);
    for (std::int64_t i = lanes; i < size; i += lanes)
      total = total + Vec<T>::load_partial(members + i, size - i);
    const Vec<T> mean = Vec<T>::broadcast(sum(total) / static_cast<T>(size));
    for (std::int64_t i = 0; i < size; i += lanes) mean.store(to + group * size + i);
  }
}

// to += the segments' parts, in order; those of two segments are `stride` elements apart.
template <class T>
void channel_norm_add_parts(T* to, const T* parts, std::int64_t segments, std::int64_t channels,
                            std::int64_t stride) {
  for (std::int64_t c = 0; c < channels; c += Vec<T>::lanes) {
    Vec<T> total = Vec<T>::load(parts + c);
    for (std::int64_t segment = 1; segment < segments; ++segment)
      total = total + Vec<T>::load(parts + segment * stride + c);
    total = total + Vec<T>::load_partial(to + c, channels - c);
    total.store_partial(to + c, channels - c);
  }
}
