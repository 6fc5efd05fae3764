// Depth-wise convolution's bodies. See depthwise_conv2d.hpp.
//
// The bodies named "same" are for stride 1, a kernel of 3x3 or 5x5 and padding kernel / 2, and for
// at least as many channels as a vector has lanes: the last vector of channels is then a whole one
// that overlaps the one before it. At the map's edges they leave out the taps that fall outside.

// a, with zeros in its first `count` lanes.
template <class T>
ANTHER_INLINE Vec<T> without_first_lanes(const Vec<T>& a, std::int64_t count) {
  Vec<T> lane = Vec<T>::zero();
  ANTHER_UNROLL for (int i = 0; i < Vec<T>::lanes; ++i) lane.raw[i] = static_cast<T>(i);
  return select_less(lane, Vec<T>::broadcast(static_cast<T>(count)), Vec<T>::zero(), a);
}

// Stores what exists of a vector of channels. (AVX2's masked store is slow.)
template <class T>
ANTHER_INLINE void store_channels(T* to, const Vec<T>& a, std::int64_t count) {
  if (count >= Vec<T>::lanes)
    a.store(to);
  else
    a.store_partial(to, count);
}

// Where the vector of channels that would start at `start` does start.
template <class T>
ANTHER_INLINE std::int64_t overlapped(std::int64_t start, std::int64_t channels) {
  return start + Vec<T>::lanes <= channels ? start : channels - Vec<T>::lanes;
}

// `count` columns of one row of y = add + conv(x) + bias, and the vectors of channels that start
// before c_end, from c_begin on. y, add and x point at the first of the columns, x in the first row
// that the kernel reaches, as weight does; `rows` rows of the kernel lie within the map. tap_stride
// leads to the weight's next column (back, where the kernel is flipped). The kernel reaches count +
// kernel - 1 columns of x: first to last - 1 exist.
template <class T, int kernel, int count>
void depthwise_same_tile(T* y, const T* add, const T* x, const T* weight, const T* bias,
                         std::int64_t width, std::int64_t channels, std::int64_t tap_stride,
                         std::int64_t rows, std::int64_t first, std::int64_t last,
                         std::int64_t c_begin, std::int64_t c_end) {
  constexpr int padding = kernel / 2;
  for (std::int64_t start = c_begin; start < c_end; start += Vec<T>::lanes) {
    const std::int64_t c = overlapped<T>(start, channels);
    const Vec<T> bias_here = bias ? Vec<T>::load(bias + c) : Vec<T>::zero();
    Vec<T> sum[count];
    ANTHER_UNROLL for (int i = 0; i < count; ++i) sum[i] = bias_here;
    const T* x_row = x + c;
    const T* weight_row = weight + c;
    for (std::int64_t row = 0; row < rows; ++row) {
      Vec<T> tap[kernel];
      ANTHER_UNROLL for (int b = 0; b < kernel; ++b) {
        tap[b] = Vec<T>::load(weight_row + b * tap_stride);
      }
      // First the columns of x that may lie outside, then the others, without a branch.
      ANTHER_UNROLL for (int k = 0; k < count + kernel - 1; ++k) {
        const int j = k < padding ? k : k < 2 * padding ? count + k : k - padding;
        if (j < padding && j < first) continue;
        if (j >= count + padding && j >= last) continue;
        const Vec<T> value = Vec<T>::load_once(x_row + (j - padding) * channels);
        ANTHER_UNROLL for (int b = 0; b < kernel; ++b) {
          if (j - b >= 0 && j - b < count) sum[j - b] = fma(value, tap[b], sum[j - b]);
        }
      }
      x_row += width * channels;
      weight_row += kernel * tap_stride;
    }
    if (add) {
      if (add == y && c < start)  // in place: the overlap has its sum already
        ANTHER_UNROLL for (int i = 0; i < count; ++i) {
          sum[i] = without_first_lanes(sum[i], start - c);
        }
      ANTHER_UNROLL for (int i = 0; i < count; ++i) {
        sum[i] = sum[i] + Vec<T>::load(add + i * channels + c);
      }
    }
    ANTHER_UNROLL for (int i = 0; i < count; ++i) sum[i].store(y + i * channels + c);
  }
}

// One row of y = add + conv(x) + bias for a kernel of 3 columns of which `rows` rows lie within the
// map: all taps stay in registers, and a column of x goes at once into the three sums that want it.
template <class T, int rows>
void depthwise_same_row_3(T* y, const T* add, const T* x, const T* weight, const T* bias,
                          std::int64_t width, std::int64_t channels, std::int64_t tap_stride) {
  for (std::int64_t start = 0; start < channels; start += Vec<T>::lanes) {
    const std::int64_t c = overlapped<T>(start, channels);
    Vec<T> tap[rows][3];
    ANTHER_UNROLL for (int a = 0; a < rows; ++a) {
      ANTHER_UNROLL for (int b = 0; b < 3; ++b) {
        tap[a][b] = Vec<T>::load(weight + (a * 3 + b) * tap_stride + c);
      }
    }
    Vec<T> bias_here = bias ? Vec<T>::load(bias + c) : Vec<T>::zero();
    if (add == y && c < start) {  // in place: the overlap has its sum already
      ANTHER_UNROLL for (int a = 0; a < rows; ++a) {
        ANTHER_UNROLL for (int b = 0; b < 3; ++b) {
          tap[a][b] = without_first_lanes(tap[a][b], start - c);
        }
      }
      bias_here = without_first_lanes(bias_here, start - c);
    }
    Vec<T> here = bias_here;  // the sums of columns j and j + 1
    Vec<T> right = bias_here;
    ANTHER_UNROLL for (int a = 0; a < rows; ++a) {
      const Vec<T> value = Vec<T>::load_once(x + a * width * channels + c);
      here = fma(value, tap[a][1], here);
      right = fma(value, tap[a][0], right);
    }
    std::int64_t at = c;
    for (std::int64_t j = 1; j < width; ++j) {
      Vec<T> left = here;
      here = right;
      right = bias_here;
      ANTHER_UNROLL for (int a = 0; a < rows; ++a) {
        const Vec<T> value = Vec<T>::load_once(x + a * width * channels + at + channels);
        left = fma(value, tap[a][2], left);
        here = fma(value, tap[a][1], here);
        right = fma(value, tap[a][0], right);
      }
      if (add) left = left + Vec<T>::load(add + at);
      left.store(y + at);
      at += channels;
    }
    if (add) here = here + Vec<T>::load(add + at);
    here.store(y + at);
  }
}

// Row `row` of an image. weight points at the tap that goes with the top left corner.
template <class T>
void depthwise_same_row(T* y, const T* add, const T* x, const T* weight, const T* bias,
                        const DepthwiseConv2dDims& d, std::int64_t tap_stride, std::int64_t row,
                        std::int64_t c_begin, std::int64_t c_end) {
  const std::int64_t kernel = d.kernel_height;
  const std::int64_t padding = kernel / 2;
  const std::int64_t above = row < padding ? padding - row : 0;
  const std::int64_t below = d.height - row + padding < kernel ? d.height - row + padding : kernel;
  const std::int64_t row_size = d.width * d.channels;
  y += row * row_size;
  add = add ? add + row * row_size : nullptr;
  x += (row + above - padding) * row_size;
  weight += above * kernel * tap_stride;
  if (kernel == 3) {
    const auto body = below - above == 3   ? &depthwise_same_row_3<T, 3>
                      : below - above == 2 ? &depthwise_same_row_3<T, 2>
                                           : &depthwise_same_row_3<T, 1>;
    body(y, add, x, weight, bias, d.width, d.channels, tap_stride);
    return;
  }
  // Maps are often 56, 28, 14 or 7 columns wide.
  std::int64_t column = 0;
  while (column < d.width) {
    const std::int64_t left = d.width - column;
    const std::int64_t count = left % 8 != 0 && left % 7 == 0 ? 7
                               : left >= 8                    ? 8
                               : left >= 4                    ? 4
                                                              : 1;
    const auto body = count == 8   ? &depthwise_same_tile<T, 5, 8>
                      : count == 7 ? &depthwise_same_tile<T, 5, 7>
                      : count == 4 ? &depthwise_same_tile<T, 5, 4>
                                   : &depthwise_same_tile<T, 5, 1>;
    const std::int64_t at = column * d.channels;
    body(y + at, add ? add + at : nullptr, x + at, weight, bias, d.width, d.channels, tap_stride,
         below - above, padding - column, left + padding, c_begin, c_end);
    column += count;
  }
}

// Rows first to last - 1 of an image. Where there are many channels, 5x5 takes some at a time, so
// that their taps and rows of x stay in the first-level cache from one row to the next.
template <class T>
void depthwise_same_rows(T* y, const T* add, const T* x, const T* weight, const T* bias,
                         const DepthwiseConv2dDims& d, std::int64_t tap_stride, std::int64_t first,
                         std::int64_t last) {
  constexpr std::int64_t some = 256 / static_cast<std::int64_t>(sizeof(T));
  const std::int64_t block = d.kernel_height == 5 && d.channels >= 2 * some ? some : d.channels;
  for (std::int64_t c = 0; c < d.channels; c += block) {
    const std::int64_t c_end = c + block < d.channels ? c + block : d.channels;
    for (std::int64_t row = first; row < last; ++row)
      depthwise_same_row(y, add, x, weight, bias, d, tap_stride, row, c, c_end);
  }
}

template <class T>
ANTHER_INLINE bool depthwise_is_same(const DepthwiseConv2dDims& d) {
  const std::int64_t kernel = d.kernel_height;
  return (kernel == 3 || kernel == 5) && d.kernel_width == kernel && d.stride_height == 1 &&
         d.stride_width == 1 && d.padding_height == kernel / 2 && d.padding_width == kernel / 2 &&
         d.channels >= Vec<T>::lanes;
}

// One row of y = add + conv(x) + bias for a kernel of 3 columns, any stride and a padding of 1, of
// which `rows` rows lie within the map: x and weight point at the first of those. The taps stay in
// registers.
template <class T, int rows>
void depthwise_strided_row_3(T* y, const T* add, const T* x, const T* weight, const T* bias,
                             const DepthwiseConv2dDims& d) {
  const std::int64_t channels = d.channels, width = d.out_width();
  for (std::int64_t start = 0; start < channels; start += Vec<T>::lanes) {
    const std::int64_t c = overlapped<T>(start, channels);
    const std::int64_t done = add == y ? start - c : 0;  // in place: lanes that have their sum
    Vec<T> tap[rows][3];
    ANTHER_UNROLL for (int a = 0; a < rows; ++a) {
      ANTHER_UNROLL for (int b = 0; b < 3; ++b) {
        tap[a][b] = without_first_lanes(Vec<T>::load(weight + (a * 3 + b) * channels + c), done);
      }
    }
    const Vec<T> bias_here =
        bias ? without_first_lanes(Vec<T>::load(bias + c), done) : Vec<T>::zero();
    for (std::int64_t j = 0; j < width; ++j) {
      const std::int64_t left = j * d.stride_width - 1;
      const T* const from = x + left * channels + c;
      Vec<T> sum = bias_here;
      if (left >= 0 && left + 3 <= d.width) {
        ANTHER_UNROLL for (int a = 0; a < rows; ++a) {
          ANTHER_UNROLL for (int b = 0; b < 3; ++b) {
            sum = fma(Vec<T>::load(from + (a * d.width + b) * channels), tap[a][b], sum);
          }
        }
      } else {
        ANTHER_UNROLL for (int a = 0; a < rows; ++a) {
          ANTHER_UNROLL for (int b = 0; b < 3; ++b) {
            if (left + b >= 0 && left + b < d.width)
              sum = fma(Vec<T>::load(from + (a * d.width + b) * channels), tap[a][b], sum);
          }
        }
      }
      if (add) sum = sum + Vec<T>::load(add + j * channels + c);
      sum.store(y + j * channels + c);
    }
  }
}

template <class T>
void depthwise_strided_row(T* y, const T* add, const T* x, const T* weight, const T* bias,
                           const DepthwiseConv2dDims& d, std::int64_t row) {
  const std::int64_t top = row * d.stride_height - 1;
  const std::int64_t above = top < 0 ? 1 : 0;
  const std::int64_t below = d.height - top < 3 ? d.height - top : 3;
  const auto body = below - above == 3   ? &depthwise_strided_row_3<T, 3>
                    : below - above == 2 ? &depthwise_strided_row_3<T, 2>
                                         : &depthwise_strided_row_3<T, 1>;
  body(y, add, x + (top + above) * d.width * d.channels, weight + above * 3 * d.channels, bias, d);
}

template <class T>
ANTHER_INLINE bool depthwise_is_strided_3(const DepthwiseConv2dDims& d) {
  return d.kernel_height == 3 && d.kernel_width == 3 && d.padding_height == 1 &&
         d.padding_width == 1 && d.channels >= Vec<T>::lanes;
}

// The first multiple of `stride`, as a quotient, that is not below `offset`; at least 0.
ANTHER_INLINE std::int64_t depthwise_first(std::int64_t offset, std::int64_t stride) {
  return offset > 0 ? (offset + stride - 1) / stride : 0;
}

// Rows first to last - 1 of one image: y = add + conv(x) + bias.
template <class T>
void depthwise_forward(T* y, const T* add, const T* x, const T* weight, const T* bias,
                       const DepthwiseConv2dDims& d, std::int64_t first, std::int64_t last) {
  const std::int64_t channels = d.channels;
  if (depthwise_is_same<T>(d)) {
    depthwise_same_rows(y, add, x, weight, bias, d, channels, first, last);
    return;
  }
  if (depthwise_is_strided_3<T>(d)) {
    for (std::int64_t i = first; i < last; ++i) {
      const std::int64_t at = i * d.out_width() * channels;
      depthwise_strided_row(y + at, add ? add + at : nullptr, x, weight, bias, d, i);
    }
    return;
  }
  for (std::int64_t i = first; i < last; ++i) {
    const std::int64_t top = i * d.stride_height - d.padding_height;
    for (std::int64_t j = 0; j < d.out_width(); ++j) {
      const std::int64_t left = j * d.stride_width - d.padding_width;
      const std::int64_t at = (i * d.out_width() + j) * channels;
      for (std::int64_t c = 0; c < channels; c += Vec<T>::lanes) {
        const std::int64_t count = channels - c;
        Vec<T> sum = bias ? Vec<T>::load_partial(bias + c, count) : Vec<T>::zero();
        for (std::int64_t a = top < 0 ? -top : 0; a < d.kernel_height && top + a < d.height; ++a)
          for (std::int64_t b = left < 0 ? -left : 0; b < d.kernel_width && left + b < d.width; ++b)
            sum = fma(
                Vec<T>::load_partial(x + ((top + a) * d.width + left + b) * channels + c, count),
                Vec<T>::load_partial(weight + (a * d.kernel_width + b) * channels + c, count), sum);
        if (add) sum = sum + Vec<T>::load_partial(add + at + c, count);
        store_channels(y + at + c, sum, count);
      }
    }
  }
}

// Rows first to last - 1 of one image: dx = add + bias + the transposed convolution of dy. (bias is
// for the layer of that name, whose forward this is.)
template <class T>
void depthwise_backward_input(T* dx, const T* add, const T* dy, const T* weight, const T* bias,
                              const DepthwiseConv2dDims& d, std::int64_t first, std::int64_t last) {
  const std::int64_t channels = d.channels;
  if (depthwise_is_same<T>(d)) {
    const T* last_tap = weight + (d.kernel_height * d.kernel_width - 1) * channels;
    depthwise_same_rows(dx, add, dy, last_tap, bias, d, -channels, first, last);
    return;
  }
  const std::int64_t height = d.out_height();
  const std::int64_t width = d.out_width();
  for (std::int64_t i = first; i < last; ++i) {
    // The taps a_first, a_first + stride, ... lead to the rows bottom, bottom - 1, ... of dy.
    const std::int64_t a_first = (i + d.padding_height) % d.stride_height;
    const std::int64_t bottom = (i + d.padding_height) / d.stride_height;
    for (std::int64_t j = 0; j < d.width; ++j) {
      const std::int64_t b_first = (j + d.padding_width) % d.stride_width;
      const std::int64_t right = (j + d.padding_width) / d.stride_width;
      const std::int64_t at = (i * d.width + j) * channels;
      for (std::int64_t c = 0; c < channels; c += Vec<T>::lanes) {
        const std::int64_t count = channels - c;
        Vec<T> sum = bias ? Vec<T>::load_partial(bias + c, count) : Vec<T>::zero();
        for (std::int64_t a = a_first, row = bottom; a < d.kernel_height && row >= 0;
             a += d.stride_height, --row) {
          if (row >= height) continue;
          for (std::int64_t b = b_first, column = right; b < d.kernel_width && column >= 0;
               b += d.stride_width, --column) {
            if (column >= width) continue;
            sum = fma(Vec<T>::load_partial(dy + (row * width + column) * channels + c, count),
                      Vec<T>::load_partial(weight + (a * d.kernel_width + b) * channels + c, count),
                      sum);
          }
        }
        if (add) sum = sum + Vec<T>::load_partial(add + at + c, count);
        store_channels(dx + at + c, sum, count);
      }
    }
  }
}
