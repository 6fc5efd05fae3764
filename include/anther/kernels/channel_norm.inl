// The bodies of GroupNorm, InstanceNorm and BatchNorm. See channel_norm.hpp.
//
// An array over the channels in the workspace has room for `folded` elements and a vector more, so
// whole vectors are stored to it; what stands behind its last channel is never used.

// What channel_norm_sums adds up, each for every column.
enum class ChannelSums { values, deviations, gradients };

// One column vector of `rows` folded rows:
//   values      sum += x
//   deviations  sum += x - center,  product += (x - center)^2
//   gradients   sum += dy,          product += dy (x - center)
template <class T, ChannelSums what, int rows, bool whole>
ANTHER_INLINE void channel_norm_sums_step(T* sum, T* product, const T* x, const T* dy,
                                          const T* center, std::int64_t folded,
                                          std::int64_t count) {
  Vec<T> value[rows];
  Vec<T> total = Vec<T>::zero();
  const Vec<T> middle = what == ChannelSums::values ? Vec<T>::zero()
                        : whole                     ? Vec<T>::load(center)
                                                    : Vec<T>::load_partial(center, count);
  ANTHER_UNROLL for (int i = 0; i < rows; ++i) {
    value[i] = whole ? Vec<T>::load(x + i * folded) : Vec<T>::load_partial(x + i * folded, count);
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

template <class T, ChannelSums what, int rows>
ANTHER_INLINE void channel_norm_sums_rows(T* sum, T* product, const T* x, const T* dy,
                                          const T* center, std::int64_t folded,
                                          std::int64_t columns) {
  constexpr int lanes = Vec<T>::lanes;
  constexpr int line = 64 / static_cast<int>(sizeof(T));
  std::int64_t i = 0;
  for (; i + lanes <= columns; i += lanes) {
    // As many lines as the step below reads, 160 lines from here: the rows that it reads side by
    // side are no pattern that processors prefetch well.
    ANTHER_UNROLL for (int ahead = 0; ahead < rows * lanes; ahead += line) {
      __builtin_prefetch(x + i * rows + ahead + 160 * line);
      if (what == ChannelSums::gradients) __builtin_prefetch(dy + i * rows + ahead + 160 * line);
    }
    channel_norm_sums_step<T, what, rows, true>(sum + i, product + i, x + i, dy + i, center + i,
                                                folded, lanes);
  }
  if (i < columns)
    channel_norm_sums_step<T, what, rows, false>(sum + i, product + i, x + i, dy + i, center + i,
                                                 folded, columns - i);
}

// Adds up `elements` elements of x (and dy): rows of `folded`, of which the last may be shorter.
template <class T, ChannelSums what>
void channel_norm_sums(T* sum, T* product, const T* x, const T* dy, const T* center,
                       std::int64_t folded, std::int64_t elements) {
  for (std::int64_t i = 0; i < folded; ++i) sum[i] = T(0);
  for (std::int64_t i = 0; i < folded; ++i) product[i] = T(0);
  for (; elements >= 4 * folded; elements -= 4 * folded, x += 4 * folded, dy += 4 * folded)
    channel_norm_sums_rows<T, what, 4>(sum, product, x, dy, center, folded, folded);
  for (; elements > 0; elements -= folded, x += folded, dy += folded)
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

// One tile's moments: each channel's mean as center + shift, and `squares`, the sum of the squared
// distances from it. Where a mean is far from 0, the sum of the two would lose much of the shift.
//
// center is the mean of the tile's first sixteenth. It lies within 4 deviations of the tile's mean,
// so what is taken off the squares at the end is at most 16 times what is left.
template <class T>
void channel_norm_moments(T* center, T* shift, T* squares, const T* x, std::int64_t rows,
                          std::int64_t channels, std::int64_t folded) {
  constexpr int lanes = Vec<T>::lanes;
  const std::int64_t fold = folded / channels;
  std::int64_t first = (rows + 64 * fold - 1) / (64 * fold) * 4 * fold;
  if (first > rows) first = rows;
  channel_norm_sums<T, ChannelSums::values>(center, squares, x, x, x, folded, first * channels);
  channel_norm_unfold(center, channels, folded);
  const Vec<T> first_share = Vec<T>::broadcast(T(1) / static_cast<T>(first));
  for (std::int64_t c = 0; c < channels; c += lanes)
    (Vec<T>::load(center + c) * first_share).store(center + c);
  channel_norm_fold(center, channels, folded);

  channel_norm_sums<T, ChannelSums::deviations>(shift, squares, x, x, center, folded,
                                                rows * channels);
  channel_norm_unfold(shift, channels, folded);
  channel_norm_unfold(squares, channels, folded);
  const Vec<T> share = Vec<T>::broadcast(T(1) / static_cast<T>(rows));
  for (std::int64_t c = 0; c < channels; c += lanes) {
    const Vec<T> total = Vec<T>::load(shift + c);
    const Vec<T> mean = total * share;
    // max returns its second argument where that is not a number.
    max(Vec<T>::zero(), Vec<T>::load(squares + c) - total * mean).store(squares + c);
    mean.store(shift + c);
  }
}

// rstd = 1 / sqrt(variance + eps), and y = x scale + shift, all of each channel.
template <class T>
void channel_norm_scale(T* scale, T* shift, T* rstd, const T* mean, const T* variance,
                        const T* weight, const T* bias, T eps, std::int64_t channels,
                        std::int64_t folded) {
  for (std::int64_t c = 0; c < channels; c += Vec<T>::lanes) {
    Vec<T> factor = rsqrt(Vec<T>::load(variance + c) + Vec<T>::broadcast(eps));
    factor.store(rstd + c);
    if (weight) factor = factor * Vec<T>::load_partial(weight + c, channels - c);
    const Vec<T> offset = bias ? Vec<T>::load_partial(bias + c, channels - c) : Vec<T>::zero();
    fma(Vec<T>{-factor.raw}, Vec<T>::load(mean + c), offset).store(shift + c);
    factor.store(scale + c);
  }
  channel_norm_fold(scale, channels, folded);
  channel_norm_fold(shift, channels, folded);
}

// scale and shift from constant statistics, which have no room behind their last channel; `spare`
// is three arrays of `stride` elements.
template <class T>
void channel_norm_constants(T* scale, T* shift, T* spare, const T* mean, const T* variance,
                            const T* weight, const T* bias, T eps, std::int64_t channels,
                            std::int64_t folded, std::int64_t stride) {
  channel_norm_spread(spare, mean, 1, channels, channels);
  channel_norm_spread(spare + stride, variance, 1, channels, channels);
  channel_norm_scale(scale, shift, spare + 2 * stride, spare, spare + stride, weight, bias, eps,
                     channels, folded);
}

// Merges the tiles' moments, in the order of the tiles (Chan, Golub and LeVeque, "Updating formulae
// and a pairwise algorithm for computing sample variances", 1979), into those of the segment, and
// those into scale and shift: y = x scale + shift. A tile has three arrays, of `stride` elements.
template <class T>
void channel_norm_forward_segment(T* scale, T* shift, T* mean_out, T* rstd_out, T* variance_out,
                                  T* tile_arrays, const T* weight, const T* bias, T eps,
                                  std::int64_t tiles, std::int64_t tile_rows, std::int64_t rows,
                                  std::int64_t channels, std::int64_t groups, std::int64_t folded,
                                  std::int64_t stride) {
  constexpr int lanes = Vec<T>::lanes;
  T* const center = tile_arrays;
  T* const mean = tile_arrays + stride;  // less the center, and later less the reference
  T* const variance = tile_arrays + 2 * stride;
  T merged_rows = static_cast<T>(tile_rows < rows ? tile_rows : rows);
  for (std::int64_t tile = 1; tile < tiles; ++tile) {
    const std::int64_t other = tile * 3 * stride;
    const std::int64_t left = rows - tile * tile_rows;
    const T new_rows = static_cast<T>(left < tile_rows ? left : tile_rows);
    const Vec<T> share = Vec<T>::broadcast(new_rows / (merged_rows + new_rows));
    const Vec<T> between = share * Vec<T>::broadcast(merged_rows);
    merged_rows += new_rows;
    for (std::int64_t c = 0; c < channels; c += lanes) {
      const Vec<T> old = Vec<T>::load(mean + c);
      const Vec<T> center_step = Vec<T>::load(center + other + c) - Vec<T>::load(center + c);
      const Vec<T> step = center_step + (Vec<T>::load(mean + other + c) - old);
      const Vec<T> within = Vec<T>::load(variance + c) + Vec<T>::load(variance + other + c);
      fma(step, share, old).store(mean + c);
      fma(step * step, between, within).store(variance + c);
    }
  }
  // A group's variance: the mean of its channels' variances and squared distances from its mean.
  // The distances are taken by way of a reference, the center of the group's first channel.
  const std::int64_t size = channels / groups;
  T* const reference = scale;
  T* const group_mean = shift;  // less the reference
  channel_norm_spread(reference, center, size, channels, groups);
  for (std::int64_t c = 0; c < channels; c += lanes) {
    const Vec<T> center_step = Vec<T>::load(center + c) - Vec<T>::load(reference + c);
    (center_step + Vec<T>::load(mean + c)).store(mean + c);
  }
  channel_norm_group_means(group_mean, mean, channels, groups);
  T* const spare = center;
  const Vec<T> row_share = Vec<T>::broadcast(T(1) / static_cast<T>(rows));
  for (std::int64_t c = 0; c < channels; c += lanes) {
    const Vec<T> group = Vec<T>::load(group_mean + c);
    const Vec<T> distance = Vec<T>::load(mean + c) - group;
    fma(distance, distance, Vec<T>::load(variance + c) * row_share).store(spare + c);
    (Vec<T>::load(reference + c) + group).store(mean + c);
  }
  channel_norm_group_means(variance, spare, channels, groups);
  for (std::int64_t group = 0; group < groups; ++group) mean_out[group] = mean[group * size];
  if (variance_out)
    for (std::int64_t group = 0; group < groups; ++group)
      variance_out[group] = variance[group * size];
  channel_norm_scale(scale, shift, spare, mean, variance, weight, bias, eps, channels, folded);
  for (std::int64_t group = 0; group < groups; ++group) rstd_out[group] = spare[group * size];
}

// One vector of y = x scale + shift. streamed: what is read next is fetched into the second-level
// cache; while a pass stores, there is room to read.
template <class T, bool whole, bool streamed>
ANTHER_INLINE void channel_norm_affine_step(T* y, const T* x, const T* scale, const T* shift,
                                            std::int64_t count, std::int64_t next) {
  if (streamed) __builtin_prefetch(x + next, 0, 2);
  Vec<T> value = whole ? Vec<T>::load(x) : Vec<T>::load_partial(x, count);
  value = fma(value, Vec<T>::load(scale), Vec<T>::load(shift));
  if (!whole)
    store_first(value, y, count);
  else if (streamed)
    stream_vector(value, y);
  else
    value.store(y);
}

template <class T, bool streamed>
ANTHER_INLINE void channel_norm_affine_rows(T* y, const T* x, const T* scale, const T* shift,
                                            std::int64_t folded, std::int64_t elements,
                                            std::int64_t next) {
  constexpr int lanes = Vec<T>::lanes;
  for (; elements > 0; elements -= folded) {
    const std::int64_t columns = elements < folded ? elements : folded;
    std::int64_t i = 0;
    for (; i + lanes <= columns; i += lanes)
      channel_norm_affine_step<T, true, streamed>(y + i, x + i, scale + i, shift + i, lanes, next);
    if (i < columns)
      channel_norm_affine_step<T, false, streamed>(y + i, x + i, scale + i, shift + i, columns - i,
                                                   next);
    y += columns;
    x += columns;
  }
}

// y = x scale + shift, over `elements` elements. streamed: y, whose folded rows are then whole
// lines, is stored past the caches, and what stands `next` elements after x is fetched.
template <class T>
void channel_norm_affine(T* y, const T* x, const T* scale, const T* shift, std::int64_t folded,
                         std::int64_t elements, bool streamed, std::int64_t next) {
  if (!streamed)
    return channel_norm_affine_rows<T, false>(y, x, scale, shift, folded, elements, next);
  channel_norm_affine_rows<T, true>(y, x, scale, shift, folded, elements, next);
  stream_fence();
}

// One tile's sums of dy and of dy (x - mean), of each channel. mean is (groups).
template <class T>
void channel_norm_gradient_sums(T* center, T* sum, T* product, const T* dy, const T* x,
                                const T* mean, std::int64_t rows, std::int64_t channels,
                                std::int64_t groups, std::int64_t folded) {
  channel_norm_spread(center, mean, 1, channels, groups);
  channel_norm_fold(center, channels, folded);
  channel_norm_sums<T, ChannelSums::gradients>(sum, product, x, dy, center, folded,
                                               rows * channels);
  channel_norm_unfold(sum, channels, folded);
  channel_norm_unfold(product, channels, folded);
}

// Adds up the tiles' sums, in order, into the segment's parts of dweight and dbias, and into what
// dx is made of: dx = dy factor + x slope + offset; where the statistics are constants (`frozen`),
// slope and offset are 0. All have `stride` elements; a tile has three arrays.
template <class T>
void channel_norm_backward_segment(T* dweight, T* dbias, T* factor, T* slope, T* offset,
                                   T* tile_arrays, const T* rstd, const T* weight, bool frozen,
                                   std::int64_t tiles, std::int64_t rows, std::int64_t channels,
                                   std::int64_t groups, std::int64_t folded, std::int64_t stride) {
  constexpr int lanes = Vec<T>::lanes;
  const T* const mean = tile_arrays;
  T* const sums = tile_arrays + stride;
  T* const products = tile_arrays + 2 * stride;
  channel_norm_spread(factor, rstd, 1, channels, groups);
  for (std::int64_t c = 0; c < channels; c += lanes) {
    Vec<T> sum = Vec<T>::load(sums + c);
    Vec<T> product = Vec<T>::load(products + c);
    for (std::int64_t tile = 1; tile < tiles; ++tile) {
      sum = sum + Vec<T>::load(sums + tile * 3 * stride + c);
      product = product + Vec<T>::load(products + tile * 3 * stride + c);
    }
    product = product * Vec<T>::load(factor + c);
    sum.store(dbias + c);
    product.store(dweight + c);
    if (weight) {
      const Vec<T> w = Vec<T>::load_partial(weight + c, channels - c);
      sum = sum * w;
      product = product * w;
    }
    sum.store(sums + c);
    product.store(products + c);
  }
  // With x^ = (x - mean) rstd, and means over the rows and the group:
  // dx = rstd (w dy - mean(w dy) - x^ mean(w dy x^)).
  channel_norm_group_means(offset, sums, channels, groups);
  channel_norm_group_means(slope, products, channels, groups);
  const Vec<T> share = Vec<T>::broadcast(frozen ? T(0) : T(-1) / static_cast<T>(rows));
  for (std::int64_t c = 0; c < channels; c += lanes) {
    const Vec<T> r = Vec<T>::load(factor + c);
    const Vec<T> r_share = r * share;
    const Vec<T> by_x = r * (r_share * Vec<T>::load(slope + c));
    const Vec<T> constant = r_share * Vec<T>::load(offset + c) - Vec<T>::load(mean + c) * by_x;
    by_x.store(slope + c);
    constant.store(offset + c);
    if (weight) (r * Vec<T>::load_partial(weight + c, channels - c)).store(factor + c);
  }
  channel_norm_fold(factor, channels, folded);
  channel_norm_fold(slope, channels, folded);
  channel_norm_fold(offset, channels, folded);
}

// One vector of dx = add + dy factor + x slope + offset.
template <class T, bool added, bool whole, bool streamed>
ANTHER_INLINE void channel_norm_dx_step(T* dx, const T* add, const T* dy, const T* x,
                                        const T* factor, const T* slope, const T* offset,
                                        std::int64_t count, std::int64_t next) {
  if (streamed) {
    __builtin_prefetch(dy + next, 0, 2);
    __builtin_prefetch(x + next, 0, 2);
    if (added) __builtin_prefetch(add + stream_ahead);
  }
  const Vec<T> gradient = whole ? Vec<T>::load(dy) : Vec<T>::load_partial(dy, count);
  const Vec<T> input = whole ? Vec<T>::load(x) : Vec<T>::load_partial(x, count);
  Vec<T> value = fma(input, Vec<T>::load(slope), Vec<T>::load(offset));
  value = fma(gradient, Vec<T>::load(factor), value);
  if (added) value = value + (whole ? Vec<T>::load(add) : Vec<T>::load_partial(add, count));
  if (!whole)
    store_first(value, dx, count);
  else if (streamed)
    stream_vector(value, dx);
  else
    value.store(dx);
}

template <class T, bool added, bool streamed>
ANTHER_INLINE void channel_norm_dx_rows(T* dx, const T* add, const T* dy, const T* x,
                                        const T* factor, const T* slope, const T* offset,
                                        std::int64_t folded, std::int64_t elements,
                                        std::int64_t next) {
  constexpr int lanes = Vec<T>::lanes;
  for (; elements > 0; elements -= folded) {
    const std::int64_t columns = elements < folded ? elements : folded;
    std::int64_t i = 0;
    for (; i + lanes <= columns; i += lanes)
      channel_norm_dx_step<T, added, true, streamed>(dx + i, add + i, dy + i, x + i, factor + i,
                                                     slope + i, offset + i, lanes, next);
    if (i < columns)
      channel_norm_dx_step<T, added, false, streamed>(dx + i, add + i, dy + i, x + i, factor + i,
                                                      slope + i, offset + i, columns - i, next);
    dx += columns;
    dy += columns;
    x += columns;
    add += columns;
  }
}

template <class T, bool streamed>
ANTHER_INLINE void channel_norm_dx_all(T* dx, const T* add, const T* dy, const T* x,
                                       const T* factor, const T* slope, const T* offset,
                                       std::int64_t folded, std::int64_t elements,
                                       std::int64_t next) {
  if (add)
    channel_norm_dx_rows<T, true, streamed>(dx, add, dy, x, factor, slope, offset, folded, elements,
                                            next);
  else
    channel_norm_dx_rows<T, false, streamed>(dx, x, dy, x, factor, slope, offset, folded, elements,
                                             next);
}

// dx = add + dy factor + x slope + offset, over `elements` elements; add may be null. streamed: as
// above.
template <class T>
void channel_norm_dx(T* dx, const T* add, const T* dy, const T* x, const T* factor, const T* slope,
                     const T* offset, std::int64_t folded, std::int64_t elements, bool streamed,
                     std::int64_t next) {
  if (!streamed)
    return channel_norm_dx_all<T, false>(dx, add, dy, x, factor, slope, offset, folded, elements,
                                         next);
  channel_norm_dx_all<T, true>(dx, add, dy, x, factor, slope, offset, folded, elements, next);
  stream_fence();
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
