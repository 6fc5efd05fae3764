// The arithmetic of libjpeg-turbo's decoder, whose pixels Pillow, torchvision and browsers have, to
// the last bit. A body of kernels/for_each_isa.inl; jpeg_arithmetic.hpp selects its functions.

// Rows or columns of a block: 4 or 8 side by side. Unsigned, because the sums of a damaged file may
// overflow; what is shifted right is signed.
constexpr int jpeg_lanes = ANTHER_VECTOR_BYTES >= 32 ? 8 : 4;
typedef unsigned JpegWords __attribute__((vector_size(4 * jpeg_lanes)));
typedef int JpegInts __attribute__((vector_size(4 * jpeg_lanes)));
typedef short JpegShorts __attribute__((vector_size(2 * jpeg_lanes)));
typedef unsigned char JpegBytes __attribute__((vector_size(jpeg_lanes)));

// The same bits, as signed and as unsigned numbers.
ANTHER_INLINE JpegInts jpeg_ints(const JpegWords& words) {
  return reinterpret_cast<const JpegInts&>(words);
}
ANTHER_INLINE JpegWords jpeg_words(const JpegInts& ints) {
  return reinterpret_cast<const JpegWords&>(ints);
}

template <class To, class From>
ANTHER_INLINE To jpeg_loaded(const From* from) {
  To value;
  __builtin_memcpy(&value, from, sizeof(value));
  return value;
}

ANTHER_INLINE JpegInts jpeg_clamped(const JpegInts& levels) {
  const JpegInts zero = {}, white = zero + 255;
  const JpegInts positive = levels < zero ? zero : levels;
  return positive > white ? white : positive;
}

// A fraction of 13 bits, as a factor that wraps.
constexpr unsigned jpeg_fraction(double value) {
  return static_cast<unsigned>(static_cast<int>(value * 8192 + (value < 0 ? -0.5 : 0.5)));
}

// The inverse transform of 8 values, in all lanes: Loeffler, Ligtenberg and Moschytz, "Practical
// fast 1-D DCT algorithms with 11 multiplications" (1989), scaled by the root of 8. Of the result,
// 13 + `more` bits are rounded away.
template <int more>
ANTHER_INLINE void jpeg_inverse_pass(JpegWords (&v)[8]) {
  const JpegWords turned = (v[2] + v[6]) * jpeg_fraction(0.541196100);
  const JpegWords even2 = turned - v[6] * jpeg_fraction(1.847759065);
  const JpegWords even3 = turned + v[2] * jpeg_fraction(0.765366865);
  const JpegWords sum = (v[0] + v[4]) << 13, difference = (v[0] - v[4]) << 13;
  const JpegWords even[4] = {sum + even3, difference + even2, difference - even2, sum - even3};

  const JpegWords all = (v[7] + v[3] + v[5] + v[1]) * jpeg_fraction(1.175875602);
  const JpegWords a = (v[7] + v[1]) * jpeg_fraction(-0.899976223);
  const JpegWords b = (v[5] + v[3]) * jpeg_fraction(-2.562915447);
  const JpegWords c = (v[7] + v[3]) * jpeg_fraction(-1.961570560) + all;
  const JpegWords d = (v[5] + v[1]) * jpeg_fraction(-0.390180644) + all;
  const JpegWords odd[4] = {
      v[1] * jpeg_fraction(1.501321110) + a + d, v[3] * jpeg_fraction(3.072711026) + b + c,
      v[5] * jpeg_fraction(2.053119869) + b + d, v[7] * jpeg_fraction(0.298631336) + a + c};

  constexpr int bits = 13 + more;
  ANTHER_UNROLL for (int i = 0; i < 4; ++i) {
    const JpegWords rounded = even[i] + (1u << (bits - 1));
    v[i] = jpeg_words(jpeg_ints(rounded + odd[i]) >> bits);
    v[7 - i] = jpeg_words(jpeg_ints(rounded - odd[i]) >> bits);
  }
}

// The lanes of each group of vectors become its vectors.
ANTHER_INLINE void jpeg_transpose(JpegWords (&v)[8]) {
  JpegWords t[8];
#if ANTHER_VECTOR_BYTES >= 32
  JpegWords u[8];
  ANTHER_UNROLL for (int i = 0; i < 8; i += 2) {
    t[i] = __builtin_shufflevector(v[i], v[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
    t[i + 1] = __builtin_shufflevector(v[i], v[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
  }
  ANTHER_UNROLL for (int i = 0; i < 8; i += 4) ANTHER_UNROLL for (int j = 0; j < 2; ++j) {
    const JpegWords &one = t[i + j], &two = t[i + j + 2];
    u[i + 2 * j] = __builtin_shufflevector(one, two, 0, 1, 8, 9, 4, 5, 12, 13);
    u[i + 2 * j + 1] = __builtin_shufflevector(one, two, 2, 3, 10, 11, 6, 7, 14, 15);
  }
  ANTHER_UNROLL for (int i = 0; i < 4; ++i) {
    v[i] = __builtin_shufflevector(u[i], u[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
    v[i + 4] = __builtin_shufflevector(u[i], u[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
  }
#else
  ANTHER_UNROLL for (int i = 0; i < 8; i += 2) {
    t[i] = __builtin_shufflevector(v[i], v[i + 1], 0, 4, 1, 5);
    t[i + 1] = __builtin_shufflevector(v[i], v[i + 1], 2, 6, 3, 7);
  }
  ANTHER_UNROLL for (int i = 0; i < 8; i += 4) ANTHER_UNROLL for (int j = 0; j < 2; ++j) {
    v[i + 2 * j] = __builtin_shufflevector(t[i + j], t[i + j + 2], 0, 1, 4, 5);
    v[i + 2 * j + 1] = __builtin_shufflevector(t[i + j], t[i + j + 2], 2, 3, 6, 7);
  }
#endif
}

// A block: 64 coefficients, rows from the top, to 8 x 8 levels. First the columns, to a precision
// of 2 bits more than the levels', then the rows.
template <class Level>
inline void jpeg_inverse_dct(Level* out, int stride, short* coefficients) {
  typedef short Half __attribute__((vector_size(16)));
  Half any = {};
  ANTHER_UNROLL for (int y = 0; y < 8; ++y) {
    Half row = jpeg_loaded<Half>(coefficients + 8 * y);
    if (y == 0) row[0] = 0;
    any |= row;
  }
  unsigned long long parts[2];
  __builtin_memcpy(parts, &any, 16);
  if ((parts[0] | parts[1]) == 0) {  // an even area: what the passes below would make of it
    const int level = ((coefficients[0] * 4 + 16) >> 5) + 128;
    for (int y = 0; y < 8; ++y)
      __builtin_memset(out + y * stride, level < 0 ? 0 : level > 255 ? 255 : level, 8);
    return;
  }

  unsigned between[64];  // (column, row)
  for (int x = 0; x < 8; x += jpeg_lanes) {
    JpegWords v[8];
    ANTHER_UNROLL for (int y = 0; y < 8; ++y) v[y] = jpeg_words(
        __builtin_convertvector(jpeg_loaded<JpegShorts>(coefficients + 8 * y + x), JpegInts));
    jpeg_inverse_pass<-2>(v);
    jpeg_transpose(v);
    // Of 4 lanes: v[0] to v[3] are rows 0 to 3 of four columns, v[4] to v[7] rows 4 to 7.
    ANTHER_UNROLL for (int i = 0; i < 8; ++i) __builtin_memcpy(
        between + 8 * (x + i % jpeg_lanes) + i / jpeg_lanes * jpeg_lanes, &v[i], sizeof(v[i]));
  }
  for (int y = 0; y < 8; y += jpeg_lanes) {
    JpegWords v[8];
    ANTHER_UNROLL for (int x = 0; x < 8; ++x) v[x] = jpeg_loaded<JpegWords>(between + 8 * x + y);
    jpeg_inverse_pass<5>(v);
    // Four neighbours of a row share a lane.
    unsigned pixels[2][jpeg_lanes];
    ANTHER_UNROLL for (int half = 0; half < 2; ++half) {
      JpegWords four = {};
      ANTHER_UNROLL for (int i = 0; i < 4; ++i) {
        const int place = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? i : 3 - i;
        four |= jpeg_words(jpeg_clamped(jpeg_ints(v[4 * half + i]) + 128)) << (8 * place);
      }
      __builtin_memcpy(pixels[half], &four, sizeof(four));
    }
    for (int i = 0; i < jpeg_lanes; ++i)
      for (int half = 0; half < 2; ++half)
        __builtin_memcpy(out + (y + i) * stride + 4 * half, &pixels[half][i], 4);
  }
}

// 3 near + far, in groups of 8: what lies behind `count` is written too.
template <class Level>
inline void jpeg_mix_rows(short* out, const Level* near, const Level* far, int count) {
  typedef Level Bytes8 __attribute__((vector_size(8)));
  typedef short Shorts8 __attribute__((vector_size(16)));
  for (int x = 0; x < count; x += 8) {
    const Shorts8 sum = 3 * __builtin_convertvector(jpeg_loaded<Bytes8>(near + x), Shorts8) +
                        __builtin_convertvector(jpeg_loaded<Bytes8>(far + x), Shorts8);
    __builtin_memcpy(out + x, &sum, 16);
  }
}

// Twice as wide: to the left and to the right of each sum, a quarter of the neighbour's. Sums are
// 16 times a level; of the two roundings, one is downwards, so that the whole becomes no brighter.
// There is a sum ahead of the first and behind the last. In groups of 8.
template <class Level>
inline void jpeg_widen_row(Level* out, const short* sums, int count, int to_left, int to_right) {
  typedef short Shorts8 __attribute__((vector_size(16)));
  for (int x = 0; x < count; x += 8) {
    const Shorts8 here = 3 * jpeg_loaded<Shorts8>(sums + x);
    const Shorts8 left =
        (here + jpeg_loaded<Shorts8>(sums + x - 1) + static_cast<short>(to_left)) >> 4;
    const Shorts8 right =
        (here + jpeg_loaded<Shorts8>(sums + x + 1) + static_cast<short>(to_right)) >> 4;
    const bool little = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__;
    const Shorts8 both = little ? left | right << 8 : right | left << 8;
    __builtin_memcpy(out + 2 * x, &both, 16);
  }
}

// Luma and two chroma to red, green and blue (ITU-R BT.601), by fractions of 16 bits. In groups of
// 8: what lies behind `count` is written too, and a byte more.
template <class Level>
inline void jpeg_rgb_row(Level* out, const Level* luma, const Level* blue, const Level* red,
                         int count) {
  for (int x = 0; x < count; x += jpeg_lanes, out += 3 * jpeg_lanes) {
    const JpegInts y = __builtin_convertvector(jpeg_loaded<JpegBytes>(luma + x), JpegInts);
    const JpegInts cb = __builtin_convertvector(jpeg_loaded<JpegBytes>(blue + x), JpegInts) - 128;
    const JpegInts cr = __builtin_convertvector(jpeg_loaded<JpegBytes>(red + x), JpegInts) - 128;
    const JpegInts r = jpeg_clamped(y + ((91881 * cr + 32768) >> 16));
    const JpegInts g = jpeg_clamped(y + ((-22554 * cb - 46802 * cr + 32768) >> 16));
    const JpegInts b = jpeg_clamped(y + ((116130 * cb + 32768) >> 16));
    const bool little = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__;
    const JpegInts pixels = little ? r | g << 8 | b << 16 : b << 8 | g << 16 | r << 24;
    int four[jpeg_lanes];
    __builtin_memcpy(four, &pixels, sizeof(four));
    for (int i = 0; i < jpeg_lanes; ++i) __builtin_memcpy(out + 3 * i, &four[i], 4);
  }
}
