// The bodies of the gradient of a depth-wise convolution's weight. See depthwise_conv2d.hpp, and
// depthwise_conv2d.inl for what "same" means.

// to += sum in all lanes but the first `done`.
template <class T>
ANTHER_INLINE void depthwise_accumulate(T* to, const Vec<T>& sum, std::int64_t done) {
  (Vec<T>::load(to) + without_first_lanes(sum, done)).store(to);
}

// For one vector of channels, `kernel_rows` rows of the kernel and `rows` rows of dy: dweight +=
// the products of dy and x, and, where with_bias, dbias += the sum of dy. x points at the row,
// within the map, that the first of the kernel's rows reaches from the first row of dy.
template <class T, int kernel, int kernel_rows, bool with_bias>
void depthwise_same_weight(T* dweight, T* dbias, const T* dy, const T* x, std::int64_t rows,
                           std::int64_t width, std::int64_t channels, std::int64_t done) {
  constexpr int padding = kernel / 2;
  Vec<T> sum[kernel_rows][kernel];
  ANTHER_UNROLL for (int a = 0; a < kernel_rows; ++a) {
    ANTHER_UNROLL for (int b = 0; b < kernel; ++b) sum[a][b] = Vec<T>::zero();
  }
  Vec<T> bias_sum = Vec<T>::zero();
  for (std::int64_t i = 0; i < rows; ++i) {
    Vec<T> window[kernel];  // dy in the columns j + padding, ..., j - padding
    ANTHER_UNROLL for (int b = 0; b < kernel; ++b) {
      window[b] = b < padding && padding - 1 - b < width
                      ? Vec<T>::load(dy + (padding - 1 - b) * channels)
                      : Vec<T>::zero();
    }
    const T* x_here = x;
    const T* dy_here = dy + padding * channels;
    for (std::int64_t j = 0; j < width; ++j) {
      if constexpr (kernel == 5) {  // not a loop, which Clang would make a memmove
        window[4] = window[3];
        window[3] = window[2];
      }
      window[2] = window[1];
      window[1] = window[0];
      window[0] = Vec<T>::zero();
      if (j + padding < width) window[0] = Vec<T>::load_once(dy_here);
      ANTHER_UNROLL for (int a = 0; a < kernel_rows; ++a) {
        const Vec<T> value = Vec<T>::load_once(x_here + a * width * channels);
        ANTHER_UNROLL for (int b = 0; b < kernel; ++b) sum[a][b] = fma(value, window[b], sum[a][b]);
      }
      if constexpr (with_bias) bias_sum = bias_sum + window[padding];
      x_here += channels;
      dy_here += channels;
    }
    x += width * channels;
    dy += width * channels;
  }
  ANTHER_UNROLL for (int a = 0; a < kernel_rows; ++a) {
    ANTHER_UNROLL for (int b = 0; b < kernel; ++b) {
      depthwise_accumulate(dweight + (a * kernel + b) * channels, sum[a][b], done);
    }
  }
  if constexpr (with_bias) depthwise_accumulate(dbias, bias_sum, done);
}

// The kernel's rows tap to tap + group - 1, for rows first to last - 1 of one image's dy.
template <class T>
void depthwise_same_weight_group(T* dweight, T* dbias, const T* dy, const T* x,
                                 const DepthwiseConv2dDims& d, std::int64_t first,
                                 std::int64_t last, std::int64_t tap, std::int64_t group,
                                 std::int64_t done) {
  const std::int64_t kernel = d.kernel_height;
  const std::int64_t row_size = d.width * d.channels;
  for (std::int64_t i = first; i < last;) {
    // The rows of x that the group leads to, and those of the group that so lie within the map.
    const std::int64_t row = i + tap - kernel / 2;
    const std::int64_t begin = row < 0 ? -row : 0;
    const std::int64_t end = d.height - row < group ? d.height - row : group;
    const std::int64_t whole = d.height - row - group + 1;  // rows of dy for which all of it does
    std::int64_t rows = begin > 0 || whole < 1 ? 1 : whole;
    if (rows > last - i) rows = last - i;
    if (begin < end) {
      const auto body = kernel == 3 ? (end - begin == 3   ? &depthwise_same_weight<T, 3, 3, true>
                                       : end - begin == 2 ? &depthwise_same_weight<T, 3, 2, true>
                                                          : &depthwise_same_weight<T, 3, 1, true>)
                        : end - begin == 2 ? &depthwise_same_weight<T, 5, 2, false>
                        : group == 2       ? &depthwise_same_weight<T, 5, 1, false>
                                           : &depthwise_same_weight<T, 5, 1, true>;
      body(dweight + (tap + begin) * kernel * d.channels, dbias, dy + i * row_size,
           x + (row + begin) * row_size, rows, d.width, d.channels, done);
    }
    i += rows;
  }
}

// Rows first to last - 1 of one image's dy: dweight (kh, kw, C) and dbias (C) += theirs. As many of
// the kernel's rows at a time as leave their sums in registers; dbias goes with the middle row,
// which always leads into the map.
template <class T>
void depthwise_same_backward_weight(T* dweight, T* dbias, const T* dy, const T* x,
                                    const DepthwiseConv2dDims& d, std::int64_t first,
                                    std::int64_t last) {
  for (std::int64_t start = 0; start < d.channels; start += Vec<T>::lanes) {
    const std::int64_t c = overlapped<T>(start, d.channels);
    const std::int64_t done = start - c;
    T* to = dweight + c;
    if (d.kernel_height == 3) {
      depthwise_same_weight_group(to, dbias + c, dy + c, x + c, d, first, last, 0, 3, done);
    } else {
      depthwise_same_weight_group(to, dbias + c, dy + c, x + c, d, first, last, 0, 2, done);
      depthwise_same_weight_group(to, dbias + c, dy + c, x + c, d, first, last, 2, 1, done);
      depthwise_same_weight_group(to, dbias + c, dy + c, x + c, d, first, last, 3, 2, done);
    }
  }
}

// The same for any kernel, stride and padding.
template <class T>
void depthwise_any_backward_weight(T* dweight, T* dbias, const T* dy, const T* x,
                                   const DepthwiseConv2dDims& d, std::int64_t first,
                                   std::int64_t last) {
  const std::int64_t channels = d.channels;
  const std::int64_t width = d.out_width();
  for (std::int64_t c = 0; c < channels; c += Vec<T>::lanes) {
    const std::int64_t count = channels - c;
    Vec<T> bias_sum = Vec<T>::load_partial(dbias + c, count);
    for (std::int64_t at = first * width; at < last * width; ++at)
      bias_sum = bias_sum + Vec<T>::load_partial(dy + at * channels + c, count);
    store_channels(dbias + c, bias_sum, count);
    for (std::int64_t a = 0; a < d.kernel_height; ++a) {
      for (std::int64_t b = 0; b < d.kernel_width; ++b) {
        const std::int64_t j_first = depthwise_first(d.padding_width - b, d.stride_width);
        const std::int64_t j_end = depthwise_first(d.width + d.padding_width - b, d.stride_width);
        T* to = dweight + (a * d.kernel_width + b) * channels + c;
        Vec<T> sum = Vec<T>::load_partial(to, count);
        for (std::int64_t i = first; i < last; ++i) {
          const std::int64_t row = i * d.stride_height + a - d.padding_height;
          if (row < 0 || row >= d.height) continue;
          for (std::int64_t j = j_first; j < j_end && j < width; ++j) {
            const std::int64_t column = j * d.stride_width + b - d.padding_width;
            sum =
                fma(Vec<T>::load_partial(dy + (i * width + j) * channels + c, count),
                    Vec<T>::load_partial(x + (row * d.width + column) * channels + c, count), sum);
          }
        }
        store_channels(to, sum, count);
      }
    }
  }
}

template <class T>
void depthwise_backward_weight(T* dweight, T* dbias, const T* dy, const T* x,
                               const DepthwiseConv2dDims& d, std::int64_t first,
                               std::int64_t last) {
  const std::int64_t block = depthwise_conv2d_weight_rows(d);
  for (std::int64_t row = first; row < last; row += block) {
    const std::int64_t end = row + block < last ? row + block : last;
    if (depthwise_is_same<T>(d))
      depthwise_same_backward_weight(dweight, dbias, dy, x, d, row, end);
    else
      depthwise_any_backward_weight(dweight, dbias, dy, x, d, row, end);
  }
}

// to (count) += the sum over the `tiles` partial results, which are `stride` apart.
template <class T>
void depthwise_add_partials(T* to, const T* partial, std::int64_t tiles, std::int64_t stride,
                            std::int64_t count) {
  for (std::int64_t i = 0; i < count; i += Vec<T>::lanes) {
    Vec<T> sum = Vec<T>::load_partial(partial + i, count - i);
    for (std::int64_t tile = 1; tile < tiles; ++tile)
      sum = sum + Vec<T>::load_partial(partial + tile * stride + i, count - i);
    store_channels(to + i, Vec<T>::load_partial(to + i, count - i) + sum, count - i);
  }
}
