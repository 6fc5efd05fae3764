// The bodies of GroupNorm's, InstanceNorm's and BatchNorm's backward. See channel_norm.hpp.

// One tile's sums of dy and of dy (x - mean), of each channel. mean is (groups). `arrays`: the
// means, the sums, and the products.
template <class T, class Source = T>
void channel_norm_gradient_sums(T* arrays, const T* dy, const Source* x, const T* mean,
                                std::int64_t rows, const ChannelNormDims& d,
                                const ChannelNormTiles& plan) {
  T *const center = arrays, *const sum = arrays + plan.stride, *const product = sum + plan.stride;
  channel_norm_spread(center, mean, 1, d.channels, d.groups);
  channel_norm_fold(center, d.channels, plan.folded);
  channel_norm_sums<T, ChannelSums::gradients>(sum, product, x, dy, center, plan.folded,
                                               rows * d.channels);
  channel_norm_unfold(sum, d.channels, plan.folded);
  channel_norm_unfold(product, d.channels, plan.folded);
}

// Adds up the tiles' sums, in order, into the segment's parts of dweight and dbias, and into what
// dx is made of: dx = dy factor + x slope + offset; where the statistics are constants (`frozen`),
// slope and offset are 0. `to` is these five arrays; a tile has three.
template <class T>
void channel_norm_backward_segment(T* to, T* tile_arrays, const T* rstd, const T* weight,
                                   bool frozen, const ChannelNormDims& d,
                                   const ChannelNormTiles& plan) {
  constexpr int lanes = Vec<T>::lanes;
  const std::int64_t channels = d.channels, groups = d.groups, stride = plan.stride;
  T *const dweight = to, *const dbias = to + stride, *const factor = to + 2 * stride;
  T *const slope = to + 3 * stride, *const offset = to + 4 * stride;
  const T* const mean = tile_arrays;
  T* const sums = tile_arrays + stride;
  T* const products = tile_arrays + 2 * stride;
  channel_norm_spread(factor, rstd, 1, channels, groups);
  for (std::int64_t c = 0; c < channels; c += lanes) {
    Vec<T> sum = Vec<T>::load(sums + c);
    Vec<T> product = Vec<T>::load(products + c);
    for (std::int64_t tile = 1; tile < plan.tiles; ++tile) {
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
  const Vec<T> share = Vec<T>::broadcast(frozen ? T(0) : T(-1) / static_cast<T>(d.rows));
  for (std::int64_t c = 0; c < channels; c += lanes) {
    const Vec<T> r = Vec<T>::load(factor + c);
    const Vec<T> r_share = r * share;
    const Vec<T> by_x = r * (r_share * Vec<T>::load(slope + c));
    const Vec<T> constant = r_share * Vec<T>::load(offset + c) - Vec<T>::load(mean + c) * by_x;
    by_x.store(slope + c);
    constant.store(offset + c);
    if (weight) (r * Vec<T>::load_partial(weight + c, channels - c)).store(factor + c);
  }
  channel_norm_fold(factor, channels, plan.folded);
  channel_norm_fold(slope, channels, plan.folded);
  channel_norm_fold(offset, channels, plan.folded);
}

// One vector of dx = add + dy factor + x slope + offset, from element i on, or `count` elements of
// it. streamed: what is read next is fetched into the second-level cache; while a pass stores,
// there is room to read.
template <class T, bool added, bool whole, bool streamed, class Source>
ANTHER_INLINE void channel_norm_dx_step(ChannelNormDx<T, Source> o, std::int64_t i,
                                        std::int64_t count, std::int64_t next) {
  if (streamed) {
    __builtin_prefetch(o.dy + i + next, 0, 2);
    __builtin_prefetch(o.x + i + next, 0, 2);
    if (added) __builtin_prefetch(o.add + i + stream_ahead);
  }
  const Vec<T> gradient = whole ? Vec<T>::load(o.dy + i) : Vec<T>::load_partial(o.dy + i, count);
  const Vec<T> input = map_load<T>(o.x + i, whole ? Vec<T>::lanes : count);
  Vec<T> value = fma(input, Vec<T>::load(o.slope + i), Vec<T>::load(o.offset + i));
  value = fma(gradient, Vec<T>::load(o.factor + i), value);
  if (added)
    value = value + (whole ? Vec<T>::load(o.add + i) : Vec<T>::load_partial(o.add + i, count));
  if (!whole)
    store_first(value, o.dx + i, count);
  else if (streamed)
    stream_vector(value, o.dx + i);
  else
    value.store(o.dx + i);
}

// By value: as far as the compiler knows, the store of a vector could change what a reference to
// the pointers leads to.
template <class T, bool added, bool streamed, class Source>
ANTHER_INLINE void channel_norm_dx_rows(ChannelNormDx<T, Source> o, std::int64_t folded,
                                        std::int64_t elements, std::int64_t next) {
  constexpr int lanes = Vec<T>::lanes;
  for (; elements > 0; elements -= folded) {
    const std::int64_t columns = elements < folded ? elements : folded;
    std::int64_t i = 0;
    for (; i + lanes <= columns; i += lanes)
      channel_norm_dx_step<T, added, true, streamed>(o, i, lanes, next);
    if (i < columns) channel_norm_dx_step<T, added, false, streamed>(o, i, columns - i, next);
    o.dx += columns;
    o.dy += columns;
    o.x += columns;
    if (added) o.add += columns;
  }
}

// dx, over `elements` elements; o.add may be null. streamed: dx, whose folded rows are then whole
// lines, is stored past the caches, and what stands `next` elements after dy and x is fetched.
template <class T, class Source = T>
void channel_norm_dx(ChannelNormDx<T, Source> o, std::int64_t folded, std::int64_t elements,
                     bool streamed, std::int64_t next) {
  if (!streamed) {
    if (o.add) return channel_norm_dx_rows<T, true, false>(o, folded, elements, next);
    return channel_norm_dx_rows<T, false, false>(o, folded, elements, next);
  }
  if (o.add)
    channel_norm_dx_rows<T, true, true>(o, folded, elements, next);
  else
    channel_norm_dx_rows<T, false, true>(o, folded, elements, next);
  stream_fence();
}
