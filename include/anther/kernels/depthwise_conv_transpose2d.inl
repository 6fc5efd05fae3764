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

// Rows first to last - 1 of one image's dx = add + the sum of dy weight.
template <class T, int stride>
void depthwise_spread_backward_input(T* dx, const T* add, const T* dy, const T* weight,
                                     std::int64_t width, std::int64_t channels, std::int64_t first,
                                     std::int64_t last) {
  const std::int64_t y_row = width * stride * channels;
  for (std::int64_t i = first; i < last; ++i) {
    for (std::int64_t j = 0; j < width; ++j) {
      const std::int64_t at = (i * width + j) * channels;
      const T* dy_here = dy + i * stride * y_row + j * stride * channels;
      for (std::int64_t start = 0; start < channels; start += Vec<T>::lanes) {
        const std::int64_t c = overlapped<T>(start, channels);
        Vec<T> sum[stride];
        ANTHER_UNROLL for (int b = 0; b < stride; ++b) {
          sum[b] =
              Vec<T>::load(dy_here + b * channels + c) * Vec<T>::load(weight + b * channels + c);
        }
        ANTHER_UNROLL for (int a = 1; a < stride; ++a) {
          ANTHER_UNROLL for (int b = 0; b < stride; ++b) {
            sum[b] = fma(Vec<T>::load(dy_here + a * y_row + b * channels + c),
                         Vec<T>::load(weight + (a * stride + b) * channels + c), sum[b]);
          }
        }
        ANTHER_UNROLL for (int half = stride / 2; half > 0; half /= 2) {
          ANTHER_UNROLL for (int b = 0; b < half; ++b) sum[b] = sum[b] + sum[b + half];
        }
        if (add) {
          if (add == dx)
            sum[0] = without_first_lanes(sum[0], start - c);  // the overlap has its sum
          sum[0] = sum[0] + Vec<T>::load(add + at + c);
        }
        sum[0].store(dx + at + c);
      }
    }
  }
}

// For one vector of channels and one of the kernel's rows, over one row of x and of dy: dweight +=
// the products of x and dy, dbias += the sum of dy.
template <class T, int stride>
void depthwise_spread_weight(T* dweight, T* dbias, const T* dy, const T* x, std::int64_t width,
                             std::int64_t channels, std::int64_t done) {
  constexpr int columns = 2;  // at a time: their sums are independent of each other
  Vec<T> sum[columns][stride];
  Vec<T> bias_sum[columns];
  ANTHER_UNROLL for (int j = 0; j < columns; ++j) {
    bias_sum[j] = Vec<T>::zero();
    ANTHER_UNROLL for (int b = 0; b < stride; ++b) sum[j][b] = Vec<T>::zero();
  }
  for (std::int64_t left = width; left > 0; left -= columns) {
    ANTHER_UNROLL for (int j = 0; j < columns; ++j) {
      if (j > 0 && j >= left) continue;
      const Vec<T> value = Vec<T>::load(x + j * channels);
      Vec<T> slope[stride];
      ANTHER_UNROLL for (int b = 0; b < stride; ++b) {
        slope[b] = Vec<T>::load(dy + (j * stride + b) * channels);
        sum[j][b] = fma(value, slope[b], sum[j][b]);
      }
      ANTHER_UNROLL for (int half = stride / 2; half > 0; half /= 2) {
        ANTHER_UNROLL for (int b = 0; b < half; ++b) slope[b] = slope[b] + slope[b + half];
      }
      bias_sum[j] = bias_sum[j] + slope[0];
    }
    x += columns * channels;
    dy += columns * stride * channels;
  }
  ANTHER_UNROLL for (int b = 0; b < stride; ++b) {
    depthwise_accumulate(dweight + b * channels, sum[0][b] + sum[1][b], done);
  }
  depthwise_accumulate(dbias, bias_sum[0] + bias_sum[1], done);
}

// Rows first to last - 1 of one image's x: dweight (stride, stride, C) and dbias (C) += theirs.
template <class T, int stride>
void depthwise_spread_backward_weight(T* dweight, T* dbias, const T* dy, const T* x,
                                      std::int64_t width, std::int64_t channels, std::int64_t first,
                                      std::int64_t last) {
  for (std::int64_t row = first * stride; row < last * stride; ++row) {
    const std::int64_t tap = row % stride * stride;
    for (std::int64_t start = 0; start < channels; start += Vec<T>::lanes) {
      const std::int64_t c = overlapped<T>(start, channels);
      depthwise_spread_weight<T, stride>(
          dweight + tap * channels + c, dbias + c, dy + row * width * stride * channels + c,
          x + row / stride * width * channels + c, width, channels, start - c);
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
