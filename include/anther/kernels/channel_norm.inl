// What the bodies of GroupNorm's, InstanceNorm's and BatchNorm's forward and backward share. See
// channel_norm.hpp. Source is T, or std::uint16_t where x is a map in bfloat16.
//
// An array over the channels in the workspace has room for `folded` elements and a vector more, so
// whole vectors are stored to it; what stands behind its last channel is never used.

// Fetches the line that stands 160 lines behind `from`. An address, because no pointer may be so
// far beyond an array.
template <class Source>
ANTHER_INLINE void channel_norm_prefetch(const Source* from) {
  __builtin_prefetch(
      reinterpret_cast<const void*>(reinterpret_cast<std::uintptr_t>(from) + 160 * 64));
}

// What channel_norm_sums adds up, each for every column.
enum class ChannelSums { values, deviations, gradients };

// One column vector of `rows` folded rows:
//   values      sum += x
//   deviations  sum += x - center,  product += (x - center)^2
//   gradients   sum += dy,          product += dy (x - center)
template <class T, ChannelSums what, int rows, bool whole, class Source>
ANTHER_INLINE void channel_norm_sums_step(T* sum, T* product, const Source* x, const T* dy,
                                          const T* center, std::int64_t folded,
                                          std::int64_t count) {
  Vec<T> value[rows];
  Vec<T> total = Vec<T>::zero();
  const Vec<T> middle = what == ChannelSums::values ? Vec<T>::zero()
                        : whole                     ? Vec<T>::load(center)
                                                    : Vec<T>::load_partial(center, count);
  ANTHER_UNROLL for (int i = 0; i < rows; ++i) {
    value[i] = map_load<T>(x + i * folded, whole ? Vec<T>::lanes : count);
    if (what != ChannelSums::values) value[i] = value[i] - middle;
  }
  if constexpr (what == ChannelSums::gradients) {
    Vec<T> products = Vec<T>::zero();
    ANTHER_UNROLL for (int i = 0; i < rows; ++i) {
      const Vec<T> gradient =
          whole ? Vec<T>::load(dy + i * folded) : Vec<T>::load_partial(dy + i * folded, count);
      total = i == 0 ? gradient : total + gradient;
      products = i == 0 ? gradient * value[i] : fma(gradient, value[i], products);
    }
    (Vec<T>::load(product) + products).store(product);
  } else {
    Vec<T> squares = Vec<T>::zero();
    ANTHER_UNROLL for (int i = 0; i < rows; ++i) {
      total = i == 0 ? value[i] : total + value[i];
      squares = i == 0 ? value[i] * value[i] : fma(value[i], value[i], squares);
    }
    if constexpr (what == ChannelSums::deviations) (Vec<T>::load(product) + squares).store(product);
  }
  (Vec<T>::load(sum) + total).store(sum);
}

template <class T, ChannelSums what, int rows, class Source>
ANTHER_INLINE void channel_norm_sums_rows(T* sum, T* product, const Source* x, const T* dy,
                                          const T* center, std::int64_t folded,
                                          std::int64_t columns) {
  constexpr int lanes = Vec<T>::lanes;
  constexpr int line = 64 / static_cast<int>(sizeof(T));
  constexpr int x_line = 64 / static_cast<int>(sizeof(Source));
  std::int64_t i = 0;
  for (; i + lanes <= columns; i += lanes) {
    // As many lines as the step below reads: the rows that it reads side by side are no pattern
    // that processors prefetch well.
    ANTHER_UNROLL for (int ahead = 0; ahead < rows * lanes; ahead += x_line)
        channel_norm_prefetch(x + i * rows + ahead);
    if constexpr (what == ChannelSums::gradients) {
      ANTHER_UNROLL for (int ahead = 0; ahead < rows * lanes; ahead += line)
          channel_norm_prefetch(dy + i * rows + ahead);
    }
    channel_norm_sums_step<T, what, rows, true>(sum + i, product + i, x + i, dy + i, center + i,
                                                folded, lanes);
  }
  if (i < columns)
    channel_norm_sums_step<T, what, rows, false>(sum + i, product + i, x + i, dy + i, center + i,
                                                 folded, columns - i);
}

// Adds up `elements` elements of x (and dy): rows of `folded`, of which the last may be shorter.
template <class T, ChannelSums what, class Source>
void channel_norm_sums(T* sum, T* product, const Source* x, const T* dy, const T* center,
                       std::int64_t folded, std::int64_t elements) {
  for (std::int64_t i = 0; i < folded; ++i) sum[i] = T(0);
  for (std::int64_t i = 0; i < folded; ++i) product[i] = T(0);
  const std::int64_t dy_folded = what == ChannelSums::gradients ? folded : 0;
  for (; elements >= 4 * folded; elements -= 4 * folded, x += 4 * folded, dy += 4 * dy_folded)
    channel_norm_sums_rows<T, what, 4>(sum, product, x, dy, center, folded, folded);
  for (; elements > 0; elements -= folded, x += folded, dy += dy_folded)
    channel_norm_sums_rows<T, what, 1>(sum, product, x, dy, center, folded,
                                       elements < folded ? elements : folded);
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
