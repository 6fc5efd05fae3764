// The bodies of the depth-wise transposed convolution whose kernel is its stride (2 or 4), without
// padding: every y has one x, and every x has stride^2 y. See depthwise_conv_transpose2d.hpp; its
// other cases are depthwise_conv2d.inl's. At least as many channels as a vector has lanes: the last
// vector of channels overlaps the one before it.

// Rows first to last - 1 of one image's x: y = x weight + bias.
template <class T, int stride>
void depthwise_spread_forward(T* y, const T* x, const T* weight, const T* bias, std::int64_t width,
                              std::int64_t channels, std::int64_t first, std::int64_t last) {
  const std::int64_t y_row = width * stride * channels;
  for (std::int64_t row = first * stride; row < last * stride; ++row) {
    const T* x_here = x + row / stride * width * channels;
    const T* taps = weight + row % stride * stride * channels;
    T* y_here = y + row * y_row;
    for (std::int64_t j = 0; j < width; ++j) {
      for (std::int64_t start = 0; start < channels; start += Vec<T>::lanes) {
        const std::int64_t c = overlapped<T>(start, channels);
        const Vec<T> value = Vec<T>::load(x_here + c);
        const Vec<T> bias_here = bias ? Vec<T>::load(bias + c) : Vec<T>::zero();
        ANTHER_UNROLL for (int b = 0; b < stride; ++b) {
          fma(value, Vec<T>::load(taps + b * channels + c), bias_here)
              .store(y_here + b * channels + c);
        }
      }
      x_here += channels;
      y_here += stride * channels;
    }
  }
}

// For one vector of channels and one of the kernel's rows, over one row of x and of dy: dx = add +
// the sum of dy weight, but for the first `kept` lanes, where it is add; dweight += the products of
// x and dy, dbias += the sum of dy, but for the first `done` lanes. add may be null or dx.
template <class T, int stride, bool of_x, bool of_weight>
ANTHER_INLINE void depthwise_spread_backward_row(T* dx, const T* add, T* dweight, T* dbias,
                                                 const T* dy, const T* x, const T* weight,
                                                 std::int64_t width, std::int64_t channels,
                                                 std::int64_t kept, std::int64_t done) {
  constexpr int columns = 4 / stride;  // at a time: their sums are independent of each other
  Vec<T> tap[stride], sum[columns][stride], bias_sum[columns];
  ANTHER_UNROLL for (int b = 0; b < stride; ++b) {
    tap[b] = of_x ? Vec<T>::load(weight + b * channels) : Vec<T>::zero();
  }
  ANTHER_UNROLL for (int j = 0; j < columns; ++j) {
    bias_sum[j] = Vec<T>::zero();
    ANTHER_UNROLL for (int b = 0; b < stride; ++b) sum[j][b] = Vec<T>::zero();
  }
  for (std::int64_t column = 0; column < width; column += columns) {
    ANTHER_UNROLL for (int j = 0; j < columns; ++j) {
      if (j > 0 && column + j >= width) continue;
      const std::int64_t at = (column + j) * channels;
      Vec<T> slope[stride];
      ANTHER_UNROLL for (int b = 0; b < stride; ++b) {
        slope[b] = Vec<T>::load(dy + at * stride + b * channels);
      }
      if constexpr (of_x) {
        Vec<T> value = slope[0] * tap[0];
        ANTHER_UNROLL for (int b = 1; b < stride; ++b) value = fma(slope[b], tap[b], value);
        if (kept > 0) value = without_first_lanes(value, kept);
        if (add) value = value + Vec<T>::load(add + at);
        value.store(dx + at);
      }
      if constexpr (of_weight) {
        const Vec<T> value = Vec<T>::load(x + at);
        ANTHER_UNROLL for (int b = 0; b < stride; ++b) {
          sum[j][b] = fma(value, slope[b], sum[j][b]);
        }
        ANTHER_UNROLL for (int half = stride / 2; half > 0; half /= 2) {
          ANTHER_UNROLL for (int b = 0; b < half; ++b) slope[b] = slope[b] + slope[b + half];
        }
        bias_sum[j] = bias_sum[j] + slope[0];
      }
    }
  }
  if constexpr (of_weight) {
    ANTHER_UNROLL for (int j = 1; j < columns; ++j) {
      bias_sum[0] = bias_sum[0] + bias_sum[j];
      ANTHER_UNROLL for (int b = 0; b < stride; ++b) sum[0][b] = sum[0][b] + sum[j][b];
    }
    ANTHER_UNROLL for (int b = 0; b < stride; ++b) {
      depthwise_accumulate(dweight + b * channels, sum[0][b], done);
    }
    depthwise_accumulate(dbias, bias_sum[0], done);
  }
}

// Rows first to last - 1 of one image's x: dx = add + the sum of dy weight, and dweight (stride,
// stride, C) and dbias (C) += theirs. A row of dy is gone through once, while it is in the cache.
template <class T, int stride, bool of_x, bool of_weight>
void depthwise_spread_backward(T* dx, const T* add, T* dweight, T* dbias, const T* dy, const T* x,
                               const T* weight, std::int64_t width, std::int64_t channels,
                               std::int64_t first, std::int64_t last) {
  for (std::int64_t row = first * stride; row < last * stride; ++row) {
    const std::int64_t a = row % stride, at = row / stride * width * channels;
    const T* const from = a > 0 ? dx : add;
    for (std::int64_t start = 0; start < channels; start += Vec<T>::lanes) {
      const std::int64_t c = overlapped<T>(start, channels), done = start - c;
      const std::int64_t tap = a * stride * channels + c;
      depthwise_spread_backward_row<T, stride, of_x, of_weight>(
          of_x ? dx + at + c : nullptr, from ? from + at + c : nullptr,
          of_weight ? dweight + tap : nullptr, of_weight ? dbias + c : nullptr,
          dy + row * width * stride * channels + c, of_weight ? x + at + c : nullptr,
          of_x ? weight + tap : nullptr, width, channels, from == dx ? done : 0, done);
    }
  }
}

template <class T>
bool depthwise_is_spread(const DepthwiseConvTranspose2dDims& d) {
  const std::int64_t stride = d.stride_height;
  return (stride == 2 || stride == 4) && d.stride_width == stride && d.kernel_height == stride &&
         d.kernel_width == stride && d.padding_height == 0 && d.padding_width == 0 &&
         d.output_padding_height == 0 && d.output_padding_width == 0 && d.channels >= Vec<T>::lanes;
}

// sum (C) += the sum of the rows of dy.
template <class T>
void depthwise_add_rows(T* sum, const T* dy, std::int64_t rows, std::int64_t channels) {
  for (std::int64_t c = 0; c < channels; c += Vec<T>::lanes) {
    Vec<T> here = Vec<T>::load_partial(sum + c, channels - c);
    for (std::int64_t row = 0; row < rows; ++row)
      here = here + Vec<T>::load_partial(dy + row * channels + c, channels - c);
    store_channels(sum + c, here, channels - c);
  }
}
