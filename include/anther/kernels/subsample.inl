// Subsampling's bodies. See subsample.hpp. A pixel or a run of pixels is `count` elements.

template <class T>
ANTHER_INLINE void subsample_copy(T* to, const T* from, std::int64_t count) {
  std::int64_t i = 0;
  for (; i + Vec<T>::lanes <= count; i += Vec<T>::lanes) Vec<T>::load(from + i).store(to + i);
  if (i == count) return;
  if (count >= Vec<T>::lanes)  // once more what stands before the tail, with it
    Vec<T>::load(from + count - Vec<T>::lanes).store(to + count - Vec<T>::lanes);
  else
    Vec<T>::load_partial(from + i, count - i).store_partial(to + i, count - i);
}

// to += from.
template <class T>
ANTHER_INLINE void subsample_accumulate(T* to, const T* from, std::int64_t count) {
  std::int64_t i = 0;
  for (; i + Vec<T>::lanes <= count; i += Vec<T>::lanes)
    (Vec<T>::load(to + i) + Vec<T>::load(from + i)).store(to + i);
  for (; i < count; ++i) to[i] += from[i];
}

// Row `row` of one image's y (OH, OW, C): every stride-th pixel of a row of x (H, W, C).
template <class T>
void subsample_forward_row(T* y, const T* x, const SubsampleDims& d, std::int64_t row) {
  const std::int64_t out_width = d.out_width();
  y += row * out_width * d.channels;
  x += row * d.stride * d.width * d.channels;
  for (std::int64_t j = 0; j < out_width; ++j) {
    subsample_copy(y, x, d.channels);
    y += d.channels;
    x += d.stride * d.channels;
  }
}

// Row `row` of one image's dx (H, W, C) = add + dy where it was taken from.
template <class T>
void subsample_backward_row(T* dx, const T* add, const T* dy, const SubsampleDims& d,
                            std::int64_t row) {
  const std::int64_t row_size = d.width * d.channels;
  dx += row * row_size;
  if (add != dx - row * row_size) {
    if (add) {
      subsample_copy(dx, add + row * row_size, row_size);
    } else {
      std::int64_t i = 0;
      for (; i + Vec<T>::lanes <= row_size; i += Vec<T>::lanes) Vec<T>::zero().store(dx + i);
      for (; i < row_size; ++i) dx[i] = T(0);
    }
  }
  if (row % d.stride != 0) return;
  const std::int64_t out_width = d.out_width();
  dy += row / d.stride * out_width * d.channels;
  for (std::int64_t j = 0; j < out_width; ++j) {
    if (add)
      subsample_accumulate(dx, dy, d.channels);
    else
      subsample_copy(dx, dy, d.channels);
    dx += d.stride * d.channels;
    dy += d.channels;
  }
}
