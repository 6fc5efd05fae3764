// The bodies of GroupNorm's, InstanceNorm's and BatchNorm's forward. See channel_norm.hpp.

// One tile's moments: each channel's mean as center + shift, and `squares`, the sum of the squared
// distances from it. Where a mean is far from 0, the sum of the two would lose much of the shift.
//
// center is the mean of the tile's first sixteenth. It lies within 4 deviations of the tile's mean,
// so what is taken off the squares at the end is at most 16 times what is left.
template <class T, class Source = T>
void channel_norm_moments(T* center, T* shift, T* squares, const Source* x, std::int64_t rows,
                          std::int64_t channels, std::int64_t folded) {
  constexpr int lanes = Vec<T>::lanes;
  const std::int64_t fold = folded / channels;
  std::int64_t first = (rows + 64 * fold - 1) / (64 * fold) * 4 * fold;
  if (first > rows) first = rows;
  channel_norm_sums<T, ChannelSums::values>(center, squares, x, center, center, folded,
                                            first * channels);
  channel_norm_unfold(center, channels, folded);
  const Vec<T> first_share = Vec<T>::broadcast(T(1) / static_cast<T>(first));
  for (std::int64_t c = 0; c < channels; c += lanes)
    (Vec<T>::load(center + c) * first_share).store(center + c);
  channel_norm_fold(center, channels, folded);

  channel_norm_sums<T, ChannelSums::deviations>(shift, squares, x, center, center, folded,
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

// rstd = 1 / sqrt(variance + eps), scale and shift.
template <class T>
void channel_norm_scale(T* scale, T* shift, T* rstd, const ChannelNormScale<T>& from,
                        std::int64_t channels, std::int64_t folded) {
  for (std::int64_t c = 0; c < channels; c += Vec<T>::lanes) {
    const std::int64_t left = channels - c;
    Vec<T> factor = rsqrt(Vec<T>::load(from.variance + c) + Vec<T>::broadcast(from.eps));
    factor.store(rstd + c);
    if (from.weight) factor = factor * Vec<T>::load_partial(from.weight + c, left);
    const Vec<T> offset = from.bias ? Vec<T>::load_partial(from.bias + c, left) : Vec<T>::zero();
    fma(Vec<T>{-factor.raw}, Vec<T>::load(from.mean + c), offset).store(shift + c);
    factor.store(scale + c);
  }
  channel_norm_fold(scale, channels, folded);
  channel_norm_fold(shift, channels, folded);
}

// scale and shift from constant statistics, which have no room behind their last channel; `spare`
// is three arrays.
template <class T>
void channel_norm_constants(T* scale, T* shift, T* spare, const ChannelNormScale<T>& from,
                            std::int64_t channels, const ChannelNormTiles& plan) {
  T *const mean = spare, *const variance = spare + plan.stride;
  channel_norm_spread(mean, from.mean, 1, channels, channels);
  channel_norm_spread(variance, from.variance, 1, channels, channels);
  channel_norm_scale(scale, shift, spare + 2 * plan.stride,
                     {mean, variance, from.weight, from.bias, from.eps}, channels, plan.folded);
}

// Merges the tiles' moments, in the order of the tiles (Chan, Golub and LeVeque, "Updating formulae
// and a pairwise algorithm for computing sample variances", 1979), into those of the first, whose
// arrays the tiles' begin with. A tile has three arrays.
template <class T>
void channel_norm_merge(T* arrays, const ChannelNormDims& d, const ChannelNormTiles& plan) {
  constexpr int lanes = Vec<T>::lanes;
  T *const center = arrays, *const mean = center + plan.stride,
           *const variance = mean + plan.stride;
  T merged_rows = static_cast<T>(plan.tile_rows < d.rows ? plan.tile_rows : d.rows);
  for (std::int64_t tile = 1; tile < plan.tiles; ++tile) {
    const std::int64_t other = tile * 3 * plan.stride;
    const std::int64_t left = d.rows - tile * plan.tile_rows;
    const T new_rows = static_cast<T>(left < plan.tile_rows ? left : plan.tile_rows);
    const Vec<T> share = Vec<T>::broadcast(new_rows / (merged_rows + new_rows));
    const Vec<T> between = share * Vec<T>::broadcast(merged_rows);
    merged_rows += new_rows;
    for (std::int64_t c = 0; c < d.channels; c += lanes) {
      const Vec<T> old = Vec<T>::load(mean + c);
      const Vec<T> center_step = Vec<T>::load(center + other + c) - Vec<T>::load(center + c);
      const Vec<T> step = center_step + (Vec<T>::load(mean + other + c) - old);
      const Vec<T> within = Vec<T>::load(variance + c) + Vec<T>::load(variance + other + c);
      fma(step, share, old).store(mean + c);
      fma(step * step, between, within).store(variance + c);
    }
  }
}

// Makes of the tiles' moments those of the segment, and of these scale and shift, folded. The means
// of what `arrays` begins with are less the center, and later less the reference.
template <class T>
void channel_norm_forward_segment(const ChannelNormStatistics<T>& to, T* arrays, const T* weight,
                                  const T* bias, const ChannelNormDims& d,
                                  const ChannelNormTiles& plan) {
  constexpr int lanes = Vec<T>::lanes;
  const std::int64_t channels = d.channels, groups = d.groups, stride = plan.stride;
  channel_norm_merge(arrays, d, plan);
  T *const center = arrays, *const mean = arrays + stride, *const variance = arrays + 2 * stride;
  // A group's variance: the mean of its channels' variances and squared distances from its mean.
  // The distances are taken by way of a reference, the center of the group's first channel.
  const std::int64_t size = channels / groups;
  T *const scale = to.affine, *const shift = to.affine + stride;
  T* const reference = scale;
  T* const group_mean = shift;  // less the reference
  channel_norm_spread(reference, center, size, channels, groups);
  for (std::int64_t c = 0; c < channels; c += lanes) {
    const Vec<T> center_step = Vec<T>::load(center + c) - Vec<T>::load(reference + c);
    (center_step + Vec<T>::load(mean + c)).store(mean + c);
  }
  channel_norm_group_means(group_mean, mean, channels, groups);
  T* const spare = center;
  const Vec<T> row_share = Vec<T>::broadcast(T(1) / static_cast<T>(d.rows));
  for (std::int64_t c = 0; c < channels; c += lanes) {
    const Vec<T> group = Vec<T>::load(group_mean + c);
    const Vec<T> distance = Vec<T>::load(mean + c) - group;
    fma(distance, distance, Vec<T>::load(variance + c) * row_share).store(spare + c);
    (Vec<T>::load(reference + c) + group).store(mean + c);
  }
  channel_norm_group_means(variance, spare, channels, groups);
  channel_norm_scale(scale, shift, spare, {mean, variance, weight, bias, static_cast<T>(d.eps)},
                     channels, plan.folded);
  for (std::int64_t group = 0; group < groups; ++group) {
    to.mean[group] = mean[group * size];
    to.rstd[group] = spare[group * size];
    if (to.variance) to.variance[group] = variance[group * size];
  }
}

// y = x scale + shift, over `elements` elements; affine is scale and shift, folded rows.
template <class T>
void channel_norm_affine(T* y, const T* x, const T* affine, std::int64_t elements,
                         const ChannelNormTiles& plan) {
  constexpr int lanes = Vec<T>::lanes;
  const T *const scale = affine, *const shift = affine + plan.stride;
  const std::int64_t folded = plan.folded;
  for (; elements > 0; elements -= folded) {
    const std::int64_t columns = elements < folded ? elements : folded;
    std::int64_t i = 0;
    for (; i + lanes <= columns; i += lanes)
      fma(Vec<T>::load(x + i), Vec<T>::load(scale + i), Vec<T>::load(shift + i)).store(y + i);
    if (i < columns)
      store_first(fma(Vec<T>::load_partial(x + i, columns - i), Vec<T>::load(scale + i),
                      Vec<T>::load(shift + i)),
                  y + i, columns - i);
    y += columns;
    x += columns;
  }
}
