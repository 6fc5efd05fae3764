// The bodies of winograd.hpp. A transformed 4x4 tile or kernel is 16 numbers, (i, j) at 4 i + j.

// to = B^T d B for B^T = (1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1).
template <class T>
ANTHER_INLINE void winograd_transform_input(Vec<T> (&to)[16], const Vec<T> (&d)[16]) {
  Vec<T> half[16];
  ANTHER_UNROLL for (int j = 0; j < 4; ++j) {
    half[j] = d[j] - d[8 + j];
    half[4 + j] = d[4 + j] + d[8 + j];
    half[8 + j] = d[8 + j] - d[4 + j];
    half[12 + j] = d[4 + j] - d[12 + j];
  }
  ANTHER_UNROLL for (int i = 0; i < 16; i += 4) {
    to[i] = half[i] - half[i + 2];
    to[i + 1] = half[i + 1] + half[i + 2];
    to[i + 2] = half[i + 2] - half[i + 1];
    to[i + 3] = half[i + 1] - half[i + 3];
  }
}

// to = G g G^T for G = (1, 0, 0), (1, 1, 1) / 2, (1, -1, 1) / 2, (0, 0, 1).
template <class T>
ANTHER_INLINE void winograd_transform_kernel(Vec<T> (&to)[16], const Vec<T> (&g)[9]) {
  const Vec<T> one_half = Vec<T>::broadcast(T(0.5));
  Vec<T> half[12];
  ANTHER_UNROLL for (int j = 0; j < 3; ++j) {
    const Vec<T> ends = g[j] + g[6 + j];
    half[j] = g[j];
    half[3 + j] = (ends + g[3 + j]) * one_half;
    half[6 + j] = (ends - g[3 + j]) * one_half;
    half[9 + j] = g[6 + j];
  }
  ANTHER_UNROLL for (int i = 0; i < 4; ++i) {
    const Vec<T> ends = half[3 * i] + half[3 * i + 2];
    to[4 * i] = half[3 * i];
    to[4 * i + 1] = (ends + half[3 * i + 1]) * one_half;
    to[4 * i + 2] = (ends - half[3 * i + 1]) * one_half;
    to[4 * i + 3] = half[3 * i + 2];
  }
}

// to = A^T m A for A^T = (1, 1, 1, 0), (0, 1, -1, -1).
template <class T>
ANTHER_INLINE void winograd_transform_output(Vec<T> (&to)[4], const Vec<T> (&m)[16]) {
  Vec<T> half[8];
  ANTHER_UNROLL for (int j = 0; j < 4; ++j) {
    half[j] = (m[j] + m[4 + j]) + m[8 + j];
    half[4 + j] = (m[4 + j] - m[8 + j]) - m[12 + j];
  }
  ANTHER_UNROLL for (int i = 0; i < 2; ++i) {
    to[2 * i] = (half[4 * i] + half[4 * i + 1]) + half[4 * i + 2];
    to[2 * i + 1] = (half[4 * i + 1] - half[4 * i + 2]) - half[4 * i + 3];
  }
}

// Panel `number` of all 16 matrices of a weight.
template <class T>
void winograd_pack_panel(T* packed, const T* weight, const PackOptions& pack, std::int64_t number) {
  constexpr int lanes = Vec<T>::lanes;
  const std::int64_t depth = pack.depth / 16, size = gemm_packed_size<T>(pack.columns, depth);
  const GemmPanel panel = gemm_panel<T>(pack.columns, number);
  const std::int64_t width = panel.vectors * lanes;
  const std::int64_t tap_stride = pack.winograd == 1 ? pack.tap_stride : -pack.tap_stride;
  weight += panel.column * pack.column_stride + (pack.winograd == 1 ? 0 : 8 * pack.tap_stride);
  packed += panel.column * depth;
  Vec<T> g[9], u[16];
  if (pack.column_stride == 1) {
    for (std::int64_t k = 0; k < depth; ++k)
      for (std::int64_t n = 0; n < width; n += lanes) {
        const T* const from = weight + k * pack.depth_stride + n;
        ANTHER_UNROLL for (int tap = 0; tap < 9; ++tap) g[tap] =
            Vec<T>::load(from + tap * tap_stride);
        winograd_transform_kernel(u, g);
        ANTHER_UNROLL for (int t = 0; t < 16; ++t) u[t].store(packed + t * size + k * width + n);
      }
    return;
  }
  alignas(64) T columns[16][3 * lanes * lanes];
  PackOptions turn;
  turn.depth = lanes;
  turn.column_stride = lanes;
  turn.depth_stride = 1;
  for (std::int64_t k = 0; k < depth; k += lanes) {
    for (std::int64_t n = 0; n < width; ++n) {
      const T* const from = weight + k + n * pack.column_stride;
      ANTHER_UNROLL for (int tap = 0; tap < 9; ++tap) g[tap] =
          Vec<T>::load(from + tap * tap_stride);
      winograd_transform_kernel(u, g);
      ANTHER_UNROLL for (int t = 0; t < 16; ++t) u[t].store(columns[t] + n * lanes);
    }
    for (int t = 0; t < 16; ++t)
      gemm_pack_columns(packed + t * size + k * width, columns[t], panel, turn);
  }
}

// values (16, .., channels) = `count` transformed tiles from `tile` on, for which there is room for
// `room` tiles; zeros (channels).
template <class T>
ANTHER_INLINE void winograd_input_tiles(T* values, std::int64_t room, const T* x, const T* zeros,
                                        const WinogradDims& d, std::int64_t tile,
                                        std::int64_t count) {
  for (std::int64_t at = 0; at < count; ++at, ++tile) {
    const std::int64_t line = tile / d.tiles_wide(), n = line / d.tiles_high();
    const std::int64_t row = line % d.tiles_high() * 2 - d.padding_height;
    const std::int64_t column = tile % d.tiles_wide() * 2 - d.padding_width;
    const T* from[16];
    for (int i = 0; i < 4; ++i)
      for (int j = 0; j < 4; ++j) {
        const bool inside =
            row + i >= 0 && row + i < d.height && column + j >= 0 && column + j < d.width;
        from[4 * i + j] =
            inside ? x + ((n * d.height + row + i) * d.width + column + j) * d.channels : zeros;
      }
    T* const to = values + at * d.channels;
    for (std::int64_t c = 0; c < d.channels; c += Vec<T>::lanes) {
      Vec<T> pixel[16], value[16];
      ANTHER_UNROLL for (int t = 0; t < 16; ++t) pixel[t] = Vec<T>::load(from[t] + c);
      winograd_transform_input(value, pixel);
      ANTHER_UNROLL for (int t = 0; t < 16; ++t) value[t].store(to + t * room * d.channels + c);
    }
  }
}

// y = the transformed products (16, count, width) + bias + add, for `width` columns from `first`
// on.
template <class T>
ANTHER_INLINE void winograd_output_tiles(const GemmOperands<T>& o, const T* products,
                                         const WinogradDims& d, std::int64_t tile,
                                         std::int64_t count, std::int64_t first,
                                         std::int64_t width) {
  for (std::int64_t at = 0; at < count; ++at, ++tile) {
    const std::int64_t line = tile / d.tiles_wide(), n = line / d.tiles_high();
    const std::int64_t i = line % d.tiles_high() * 2, j = tile % d.tiles_wide() * 2;
    const std::int64_t y = ((n * d.out_height + i) * d.out_width + j) * d.out_channels + first;
    const std::int64_t rows = i + 1 < d.out_height ? 2 : 1, columns = j + 1 < d.out_width ? 2 : 1;
    for (std::int64_t c = 0; c < width; c += Vec<T>::lanes) {
      Vec<T> product[16], value[4];
      ANTHER_UNROLL for (int t = 0; t < 16; ++t) {
        product[t] = Vec<T>::load(products + (t * count + at) * width + c);
      }
      winograd_transform_output(value, product);
      const Vec<T> bias = o.bias ? Vec<T>::load(o.bias + first + c) : Vec<T>::zero();
      ANTHER_UNROLL for (int k = 0; k < 4; ++k) {
        if (k / 2 >= rows || k % 2 >= columns) continue;
        const std::int64_t to = y + (k / 2 * d.out_width + k % 2) * d.out_channels + c;
        Vec<T> sum = value[k] + bias;
        if (o.add) sum = sum + Vec<T>::load(o.add + to);
        sum.store(o.y + to);
      }
    }
  }
}

// `count` tiles from `tile` on. workspace: winograd_tile_workspace(d) elements.
template <class T>
void winograd_tiles(const GemmOperands<T>& o, T* workspace, const WinogradDims& d,
                    std::int64_t tile, std::int64_t count) {
  const std::int64_t size = gemm_packed_size<T>(d.out_channels, d.channels);
  T* const zeros = workspace;
  T* const values = zeros + d.channels;
  T* const products = values + 16 * count * d.channels;
  for (std::int64_t c = 0; c < d.channels; c += Vec<T>::lanes) Vec<T>::zero().store(zeros + c);
  winograd_input_tiles(values, count, o.x, zeros, d, tile, count);
  for (std::int64_t number = 0; number < gemm_panels<T>(d.out_channels); ++number) {
    const GemmPanel panel = gemm_panel<T>(d.out_channels, number);
    const std::int64_t width = panel.columns;
    const auto run = panel.vectors == 3   ? &gemm_rows<T, 3>
                     : panel.vectors == 2 ? &gemm_rows<T, 2>
                                          : &gemm_rows<T, 1>;
    for (std::int64_t t = 0; t < 16; ++t)
      run({products + t * count * width, nullptr, values + t * count * d.channels,
           o.packed + t * size + panel.column * d.channels, nullptr},
          {count, width, d.channels, d.channels, width, width}, width);
    winograd_output_tiles(o, products, d, tile, count, panel.column, width);
  }
}

// For the weight's gradient: `count` tiles from `tile` on, to place at_tile of values and
// gradients.
template <class T>
void winograd_weight_tiles(const WinogradWeight<T>& o, const WinogradDims& d, std::int64_t tile,
                           std::int64_t at_tile, std::int64_t count) {
  const std::int64_t room = o.room;
  winograd_input_tiles(o.values + at_tile * d.channels, room, o.x, o.zeros, d, tile, count);
  T* const gradients = o.gradients + at_tile * d.out_channels;
  for (std::int64_t at = 0; at < count; ++at, ++tile) {
    const std::int64_t line = tile / d.tiles_wide(), n = line / d.tiles_high();
    const std::int64_t i = line % d.tiles_high() * 2, j = tile % d.tiles_wide() * 2;
    const bool below = i + 1 < d.out_height, beside = j + 1 < d.out_width;
    const T* const from = o.dy + ((n * d.out_height + i) * d.out_width + j) * d.out_channels;
    T* const to = gradients + at * d.out_channels;
    for (std::int64_t c = 0; c < d.out_channels; c += Vec<T>::lanes) {
      const Vec<T> zero = Vec<T>::zero();
      const T* const under = from + d.out_width * d.out_channels;
      const Vec<T> dy[4] = {Vec<T>::load(from + c),
                            beside ? Vec<T>::load(from + d.out_channels + c) : zero,
                            below ? Vec<T>::load(under + c) : zero,
                            below && beside ? Vec<T>::load(under + d.out_channels + c) : zero};
      const Vec<T> rows[8] = {dy[0],         dy[1],         dy[0] + dy[2], dy[1] + dy[3],
                              dy[0] - dy[2], dy[1] - dy[3], zero - dy[2],  zero - dy[3]};
      ANTHER_UNROLL for (int k = 0; k < 4; ++k) {
        const Vec<T>&left = rows[2 * k], &right = rows[2 * k + 1];
        T* const line_to = to + 4 * k * room * d.out_channels + c;
        left.store(line_to);
        (left + right).store(line_to + room * d.out_channels);
        (left - right).store(line_to + 2 * room * d.out_channels);
        (zero - right).store(line_to + 3 * room * d.out_channels);
      }
    }
  }
}

// dweight (9, channels) += G^T sums G, for one output channel; the 16 sums (channels) of it are
// `size` apart.
template <class T>
void winograd_add_weight(T* dweight, const T* sums, std::int64_t size, std::int64_t channels) {
  const Vec<T> one_half = Vec<T>::broadcast(T(0.5));
  for (std::int64_t c = 0; c < channels; c += Vec<T>::lanes) {
    Vec<T> half[12];
    ANTHER_UNROLL for (int j = 0; j < 4; ++j) {
      const Vec<T> u0 = Vec<T>::load(sums + j * size + c);
      const Vec<T> u1 = Vec<T>::load(sums + (4 + j) * size + c) * one_half;
      const Vec<T> u2 = Vec<T>::load(sums + (8 + j) * size + c) * one_half;
      const Vec<T> u3 = Vec<T>::load(sums + (12 + j) * size + c);
      half[j] = u0 + (u1 + u2);
      half[4 + j] = u1 - u2;
      half[8 + j] = (u1 + u2) + u3;
    }
    ANTHER_UNROLL for (int i = 0; i < 3; ++i) {
      const Vec<T> u1 = half[4 * i + 1] * one_half, u2 = half[4 * i + 2] * one_half;
      const Vec<T> taps[3] = {half[4 * i] + (u1 + u2), u1 - u2, (u1 + u2) + half[4 * i + 3]};
      ANTHER_UNROLL for (int j = 0; j < 3; ++j) {
        T* const to = dweight + (3 * i + j) * channels + c;
        (Vec<T>::load(to) + taps[j]).store(to);
      }
    }
  }
}
