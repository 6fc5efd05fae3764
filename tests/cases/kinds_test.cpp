// Kinds of pictures that are rarer than a usual JPEG or PNG: old BMPs, GIFs, Apple's PNGs, and very
// large ones.
#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "anther/data/vision/decode.hpp"
#include "anther/data/vision/png.hpp"
#include "tests/cases/made_pictures.hpp"
#include "tests/data/vision/image_samples.hpp"
#include "tests/data/vision/test_files.hpp"

namespace {

using namespace anther;
using namespace anther::vision;
using namespace made_pictures;

using test_files::contains;
using test_files::error_of;

// What every BMP and GIF here shows: 7 x 5 pixels of 4 colours.
constexpr int columns = 7, rows = 5;
constexpr std::uint8_t colours[4][3] = {
    {200, 30, 41}, {30, 180, 66}, {40, 60, 210}, {231, 220, 90}};
int index_at(int x, int y) {
  return (x / 2 + 3 * y) % 4;
}
Image shown() {
  Image image(columns, rows);
  for (int y = 0; y < rows; ++y)
    for (int x = 0; x < columns; ++x) std::copy_n(colours[index_at(x, y)], 3, image.row(y) + 3 * x);
  return image;
}

// The limit as it was, at the end of a test.
struct LimitOfPixels {
  const std::int64_t before = max_image_pixels();
  LimitOfPixels() = default;
  LimitOfPixels(const LimitOfPixels&) = delete;
  LimitOfPixels& operator=(const LimitOfPixels&) = delete;
  ~LimitOfPixels() { set_max_image_pixels(before); }
};

// A BMP with a header of 12, 40, 64, ... bytes. body: the pixels.
struct Bmp {
  std::uint32_t header = 40;
  int bits = 8;
  std::uint32_t compression = 0;
  int height = rows;
  std::uint32_t palette = 4;  // entries
  std::vector<std::uint32_t> masks = {};
  Bytes body = {};

  Bytes file() const {
    const bool core = header == 12;
    Bytes info;
    add_le(info, header, 4);
    add_le(info, columns, core ? 2 : 4);
    add_le(info, static_cast<std::uint32_t>(height), core ? 2 : 4);
    add_le(info, 1, 2);
    add_le(info, static_cast<std::uint32_t>(bits), 2);
    if (!core) {
      add_le(info, compression, 4);
      add_le(info, 0, 4);
      add_le(info, 0, 4);
      add_le(info, 0, 4);
      add_le(info, palette, 4);
      add_le(info, 0, 4);
    }
    Bytes fields;
    for (const std::uint32_t mask : masks) add_le(fields, mask, 4);
    if (!masks.empty()) info = info + fields;
    if (info.size() < header) info.resize(header);
    for (std::uint32_t i = 0; i < palette; ++i) {
      for (const int c : {2, 1, 0}) info.push_back(i < 4 ? colours[i][c] : 9);
      if (!core) info.push_back(0);
    }
    Bytes file = text_bytes("BM");
    add_le(file, static_cast<std::uint32_t>(14 + info.size() + body.size()), 4);
    add_le(file, 0, 4);
    add_le(file, static_cast<std::uint32_t>(14 + info.size()), 4);
    return file + info + body;
  }
};

// Rows of packed indices, from the bottom.
Bytes packed(int bits, bool top_down = false) {
  Bytes body;
  for (int i = 0; i < rows; ++i) {
    const int y = top_down ? i : rows - 1 - i;
    Bytes row(static_cast<std::size_t>((columns * bits + 31) / 32 * 4));
    for (int x = 0; x < columns; ++x)
      row[static_cast<std::size_t>(x * bits / 8)] |=
          static_cast<std::uint8_t>(index_at(x, y) << (8 - bits - x * bits % 8));
    body = body + row;
  }
  return body;
}
Bytes of_colours(int bits, const std::function<std::uint32_t(const std::uint8_t*)>& value) {
  Bytes body;
  for (int y = rows - 1; y >= 0; --y) {
    const std::size_t begin = body.size();
    for (int x = 0; x < columns; ++x) add_le(body, value(colours[index_at(x, y)]), bits / 8);
    while ((body.size() - begin) % 4 != 0) body.push_back(0);
  }
  return body;
}

TEST_CASE("BMP: palettes of every depth, in Windows' and in OS/2's form") {
  for (const int bits : {2, 4, 8}) {
    CAPTURE(bits);
    CHECK(decoded(Bmp{.bits = bits, .body = packed(bits)}.file()) == shown());
    CHECK(decoded(Bmp{.bits = bits, .height = -rows, .body = packed(bits, true)}.file()) ==
          shown());
    for (const std::uint32_t header : {52u, 56u, 64u, 108u, 124u})
      CHECK(decoded(Bmp{.header = header, .bits = bits, .body = packed(bits)}.file()) == shown());
    CHECK(decoded(Bmp{.header = 12, .bits = bits, .palette = 1u << bits, .body = packed(bits)}
                      .file()) == shown());
    // A palette that is shorter than it could be, of three bytes a colour.
    CHECK(decoded(Bmp{.header = 12, .bits = bits, .palette = 4, .body = packed(bits)}.file()) ==
          shown());
    // And one that is longer.
    CHECK(decoded(Bmp{.bits = bits, .palette = 300, .body = packed(bits)}.file()) == shown());
  }
  // One bit.
  Bytes one(4 * rows);
  one[0] = 0x40;
  const Image image = decoded(Bmp{.bits = 1, .palette = 2, .body = one}.file());
  CHECK(image.row(4)[3] == colours[1][0]);
  CHECK(image.row(4)[0] == colours[0][0]);
}

TEST_CASE("BMP: colours beside a palette, and bit fields") {
  const auto rgb24 = [](const std::uint8_t* c) {
    return static_cast<std::uint32_t>(c[0]) << 16 | static_cast<std::uint32_t>(c[1]) << 8 | c[2];
  };
  for (const std::uint32_t palette : {0u, 4u, 256u}) {
    CHECK(decoded(Bmp{.bits = 24, .palette = palette, .body = of_colours(24, rgb24)}.file()) ==
          shown());
    CHECK(decoded(Bmp{.bits = 32, .palette = palette, .body = of_colours(32, rgb24)}.file()) ==
          shown());
  }
  CHECK(
      decoded(Bmp{.header = 12, .bits = 24, .palette = 0, .body = of_colours(24, rgb24)}.file()) ==
      shown());
  // Red lowest; alpha above.
  const Bmp fields{.bits = 32,
                   .compression = 3,
                   .palette = 0,
                   .masks = {0xFF, 0xFF00, 0xFF0000},
                   .body = of_colours(32, [](const std::uint8_t* c) {
                     return static_cast<std::uint32_t>(c[2]) << 16 |
                            static_cast<std::uint32_t>(c[1]) << 8 | c[0] | 0x7F000000u;
                   })};
  CHECK(decoded(fields.file()) == shown());
  // 5, 6 and 5 bits: what is lost is less than what they leave out.
  const Bmp small{.bits = 16,
                  .compression = 3,
                  .palette = 0,
                  .masks = {0xF800, 0x7E0, 0x1F},
                  .body = of_colours(16, [](const std::uint8_t* c) {
                    return static_cast<std::uint32_t>(c[0] >> 3) << 11 |
                           static_cast<std::uint32_t>(c[1] >> 2) << 5 | c[2] >> 3;
                  })};
  const Image image = decoded(small.file()), wanted = shown();
  for (std::size_t i = 0; i < image.pixels.size(); ++i)
    CHECK(std::abs(image.pixels[i] - wanted.pixels[i]) < 8);
}

TEST_CASE("BMP: run lengths of 4, 8 and 24 bits") {
  const auto rows_of = [](const std::function<void(Bytes&, int y)>& row) {
    Bytes body;
    for (int y = rows - 1; y >= 0; --y) {
      row(body, y);
      body.push_back(0);
      body.push_back(y == 0 ? 1 : 0);
    }
    return body;
  };
  const auto at = [](int x, int y) { return static_cast<std::uint8_t>(index_at(x, y)); };
  // Runs of one pixel; a run ahead of the rest one by one; runs of two.
  const Bytes singles = rows_of([&](Bytes& body, int y) {
    for (int x = 0; x < columns; ++x) body = body + Bytes{1, at(x, y)};
  });
  CHECK(decoded(Bmp{.compression = 1, .body = singles}.file()) == shown());
  const Bytes mixed = rows_of([&](Bytes& body, int y) {
    body = body + Bytes{2, at(0, y), 0, 5};
    for (int x = 2; x < columns; ++x) body.push_back(at(x, y));
    body.push_back(0);  // of an even length
  });
  CHECK(decoded(Bmp{.compression = 1, .body = mixed}.file()) == shown());
  CHECK(decoded(Bmp{.header = 64, .compression = 1, .body = mixed}.file()) == shown());
  const Bytes nibbles = rows_of([&](Bytes& body, int y) {
    const auto two = [&](int x) {
      const int second = x + 1 < columns ? at(x + 1, y) : 0;
      return static_cast<std::uint8_t>(at(x, y) << 4 | second);
    };
    body = body + Bytes{2, two(0), 0, 5, two(2), two(4), two(6), 0};
  });
  CHECK(decoded(Bmp{.bits = 4, .compression = 2, .body = nibbles}.file()) == shown());
  const Bytes true_colours = rows_of([&](Bytes& body, int y) {
    for (int x = 0; x < columns; ++x) {
      const std::uint8_t* c = colours[index_at(x, y)];
      body = body + Bytes{1, c[2], c[1], c[0]};
    }
  });
  CHECK(decoded(Bmp{.header = 64, .bits = 24, .compression = 4, .palette = 0, .body = true_colours}
                    .file()) == shown());
  // A move leaves pixels of the first colour; so does an early end. A run may be longer than its
  // row by what encoders round up.
  const Image moved =
      decoded(Bmp{.compression = 1, .body = {3, 1, 0, 2, 1, 1, 200, 2, 0, 1}}.file());
  CHECK(moved.row(4)[0] == colours[1][0]);
  CHECK(moved.row(4)[9] == colours[0][0]);
  CHECK(moved.row(3)[9] == colours[0][0]);
  CHECK(moved.row(3)[12] == colours[2][0]);
  CHECK(moved.row(2)[0] == colours[0][0]);
}

TEST_CASE("BMP: cut off, hostile, or of a kind that is not decoded") {
  const LimitOfPixels limit;
  set_max_image_pixels(1 << 16);  // large ones would only take long
  const Bmp files[] = {{.body = packed(8)},
                       {.header = 12, .body = packed(8)},
                       {.compression = 1, .body = {255, 1, 0, 2, 255, 255, 0, 9, 1, 2, 3}},
                       {.bits = 4, .compression = 2, .body = {255, 1, 0, 2, 0, 1, 0, 1}},
                       {.bits = 16,
                        .compression = 3,
                        .palette = 0,
                        .masks = {0xF800, 0x7E0, 0x1F},
                        .body = of_colours(16, [](const std::uint8_t* c) { return c[0] * 77u; })}};
  for (const Bmp& bmp : files) {
    const Bytes whole = bmp.file();
    for (std::size_t size = 0; size < whole.size(); ++size) {
      Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
      cut.shrink_to_fit();
      error_of([&] { decoded(cut); });  // under the sanitizers: no read past the end
    }
    for (std::size_t at = 0; at < whole.size(); ++at)
      for (const int value : {0, 1, 0x7F, 0x80, 0xFF}) {
        Bytes damaged = whole;
        damaged[at] = static_cast<std::uint8_t>(value);
        error_of([&] { decoded(damaged); });
      }
  }
  const auto error = [](const Bmp& bmp) { return error_of([&] { decoded(bmp.file()); }); };
  CHECK(contains(error({.body = Bytes(20)}), "the file is truncated"));
  CHECK(contains(error({.compression = 1, .body = {3, 1}}), "the file is truncated"));
  CHECK(contains(error({.compression = 1, .body = Bytes{0, 200} + Bytes(200) + Bytes{0, 1}}),
                 "pixels leave their row"));
  CHECK(contains(error({.compression = 4, .body = packed(8)}), "compression 4"));
  CHECK(contains(error({.bits = 3, .body = packed(8)}), "3 bits a pixel"));
  CHECK(contains(error({.header = 99, .body = packed(8)}), "a header of 99 bytes"));
}

// A GIF with codes that are never longer than at the start: a clear code ahead of them runs out.
Bytes lzw_of(const std::vector<std::uint8_t>& indices, int least) {
  Bytes data;
  std::uint32_t bits = 0;
  int have = 0;
  const auto put = [&](std::uint32_t code) {
    bits |= code << have;
    for (have += least + 1; have >= 8; have -= 8, bits >>= 8)
      data.push_back(static_cast<std::uint8_t>(bits));
  };
  const std::uint32_t clear = 1u << least;
  for (std::size_t i = 0; i < indices.size(); ++i) {
    if (i % (clear - 2) == 0) put(clear);
    put(indices[i]);
  }
  put(clear + 1);
  if (have > 0) data.push_back(static_cast<std::uint8_t>(bits));
  Bytes blocks = {static_cast<std::uint8_t>(least)};
  for (std::size_t at = 0; at < data.size(); at += 255) {
    const std::size_t size = std::min<std::size_t>(255, data.size() - at);
    blocks.push_back(static_cast<std::uint8_t>(size));
    blocks.insert(blocks.end(), data.begin() + static_cast<std::ptrdiff_t>(at),
                  data.begin() + static_cast<std::ptrdiff_t>(at + size));
  }
  return blocks + Bytes{0};
}
Bytes gif_palette() {
  Bytes palette;
  for (const auto& colour : colours) palette.insert(palette.end(), colour, colour + 3);
  return palette;
}
Bytes gif_frame(bool interlaced, bool own_palette, int left = 0, int top = 0) {
  std::vector<std::uint8_t> indices;
  const auto add = [&](int y) {
    for (int x = 0; x < columns; ++x) indices.push_back(static_cast<std::uint8_t>(index_at(x, y)));
  };
  if (interlaced)
    for (const int y : {0, 4, 2, 1, 3}) add(y);
  else
    for (int y = 0; y < rows; ++y) add(y);
  Bytes frame = {0x2C};
  add_le(frame, static_cast<std::uint32_t>(left), 2),
      add_le(frame, static_cast<std::uint32_t>(top), 2);
  add_le(frame, columns, 2), add_le(frame, rows, 2);
  frame.push_back(static_cast<std::uint8_t>((interlaced ? 0x40 : 0) | (own_palette ? 0x81 : 0)));
  return frame + (own_palette ? gif_palette() : Bytes{}) + lzw_of(indices, 3);
}
Bytes gif(const Bytes& blocks, int width = columns, int height = rows, bool palette = true) {
  Bytes file = text_bytes("GIF89a");
  add_le(file, static_cast<std::uint32_t>(width), 2);
  add_le(file, static_cast<std::uint32_t>(height), 2);
  file = file + Bytes{static_cast<std::uint8_t>(palette ? 0x81 : 0), 0, 0};
  return file + (palette ? gif_palette() : Bytes{}) + blocks + Bytes{0x3B};
}

TEST_CASE("GIF: the first picture, with either palette, in either order of rows") {
  const Bytes comment = {0x21, 0xFE, 3, 'a', 'b', 'c', 0};
  for (const bool interlaced : {false, true})
    for (const bool own : {false, true}) {
      const Bytes frame = gif_frame(interlaced, own);
      CHECK(decoded(gif(frame, columns, rows, !own)) == shown());
      CHECK(decoded(gif(comment + frame + comment + gif_frame(false, false, 1, 1))) == shown());
    }
  // A picture that reaches beyond its screen; and one that leaves a part of it.
  CHECK(decoded(gif(gif_frame(false, false), 1, 1)) == shown());
  const Bytes transparent = {0x21, 0xF9, 4, 1, 0, 0, 3, 0};
  const Image image = decoded(gif(transparent + gif_frame(false, false, 2, 1), 12, 9));
  CHECK(image.width == 12);
  CHECK(image.height == 9);
  for (int c = 0; c < 3; ++c) {
    CHECK(image.row(0)[c] == colours[3][c]);
    CHECK(image.row(1)[6 + c] == shown().row(0)[c]);
  }
  // Without a palette indices are levels.
  CHECK(decoded(gif(gif_frame(false, false), columns, rows, false)).row(0)[6] == index_at(2, 0));
}

TEST_CASE("GIF: longer codes, and a code for what it only then defines") {
  // A row of one colour grows by one letter a code, up to codes of 12 bits.
  std::string data;
  std::uint64_t bits = 0;
  int have = 0, size = 3;
  const auto put = [&](std::uint32_t code) {
    bits |= std::uint64_t{code} << have;
    for (have += size; have >= 8; have -= 8, bits >>= 8) data += static_cast<char>(bits);
  };
  put(4);
  put(2);
  std::uint32_t next = 6, pixels = 1;
  for (std::uint32_t length = 2; next < 4096; ++length) {
    put(next);
    pixels += length;
    ++next;
    if (next == 1u << size && size < 12) ++size;
  }
  put(5);
  if (have > 0) data += static_cast<char>(bits);
  const std::uint32_t width = 1024, height = pixels / width;
  Bytes file = text_bytes("GIF89a");
  add_le(file, width, 2), add_le(file, height, 2);
  file = file + Bytes{0x81, 0, 0} + gif_palette() + Bytes{0x2C, 0, 0, 0, 0};
  add_le(file, width, 2), add_le(file, height, 2);
  file = file + Bytes{0, 2};
  for (std::size_t at = 0; at < data.size(); at += 255) {
    const std::string block = data.substr(at, 255);
    file = file + Bytes{static_cast<std::uint8_t>(block.size())} + text_bytes(block);
  }
  file = file + Bytes{0, 0x3B};
  const Image image = decoded(file);
  CHECK(image.height == static_cast<int>(height));
  CHECK(image.row(0)[0] == colours[2][0]);
  CHECK(std::equal(image.pixels.begin() + 3, image.pixels.end(), image.pixels.begin()));
}

TEST_CASE("GIF: cut off or damaged") {
  const LimitOfPixels limit;
  set_max_image_pixels(1 << 16);
  const Bytes whole = gif(Bytes{0x21, 0xF9, 4, 1, 0, 0, 3, 0} + gif_frame(true, true));
  for (std::size_t size = 6; size < whole.size() - 3; ++size) {
    Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    cut.shrink_to_fit();
    CAPTURE(size);
    CHECK(contains(error_of([&] { decoded(cut); }), "picture: "));
  }
  for (std::size_t at = 0; at < whole.size(); ++at)
    for (const int value : {0, 1, 0x7F, 0x80, 0xFF}) {
      Bytes damaged = whole;
      damaged[at] = static_cast<std::uint8_t>(value);
      error_of([&] { decoded(damaged); });
    }
  CHECK(contains(error_of([&] { decoded(gif({})); }), "the GIF has no picture"));
}

TEST_CASE("PNG as Apple's tools write it") {
  for (const int channels : {3, 4}) {
    const Image wanted = shown();
    Bytes rows_data;
    for (int y = 0; y < rows; ++y) {
      rows_data.push_back(0);
      for (int x = 0; x < columns; ++x) {
        const std::uint8_t* c = wanted.row(y) + 3 * x;
        const int alpha = channels == 4 ? 255 - 20 * x : 255;
        for (const int i : {2, 1, 0})
          rows_data.push_back(static_cast<std::uint8_t>((c[i] * alpha + 127) / 255));
        if (channels == 4) rows_data.push_back(static_cast<std::uint8_t>(alpha));
      }
    }
    // Compressed data without zlib's header and checksum.
    Bytes deflated = stored(rows_data);
    deflated = Bytes(deflated.begin() + 2, deflated.end() - 4);
    Bytes header;
    add_be(header, columns, 4), add_be(header, rows, 4);
    header = header + Bytes{8, static_cast<std::uint8_t>(channels == 4 ? 6 : 2), 0, 0, 0};
    const Bytes file = text_bytes("\x89PNG\r\n\x1A\n") + chunk("CgBI", {0x50, 0, 0x20, 6}) +
                       chunk("IHDR", header) + chunk("IDAT", deflated) + chunk("IEND", {});
    const Image image = decoded(file);
    REQUIRE(image.pixels.size() == wanted.pixels.size());
    for (std::size_t i = 0; i < image.pixels.size(); ++i)
      CHECK(std::abs(image.pixels[i] - wanted.pixels[i]) <= (channels == 4 ? 1 : 0));
  }
}

TEST_CASE("the most pixels of an image can be set") {
  const LimitOfPixels limit;
  CHECK(max_image_pixels() >= 200'000'000);  // telephones take as many
  const std::int64_t pixels = 48 * 32;
  set_max_image_pixels(pixels);
  CHECK(decoded(samples::jpeg_rgb).width == 48);
  set_max_image_pixels(pixels - 1);
  const std::string error = error_of([] { decoded(samples::jpeg_rgb); });
  CHECK(contains(error, "picture: expected an image of 1 to 1535 pixels, got 48 x 32"));
  CHECK(contains(error, "ANTHER_MAX_IMAGE_PIXELS"));
  CHECK_THROWS_AS(set_max_image_pixels(0), Error);
}

TEST_CASE("a grey PNG of 108 megapixels decodes") {
  constexpr int width = 12000, height = 9000;
  // One bit a pixel, all rows the same: zlib data of repeated bytes, in blocks without compression.
  Bytes rows_data;
  for (int y = 0; y < height; ++y) {
    rows_data.push_back(0);
    rows_data.insert(rows_data.end(), width / 8, 0xAA);
  }
  Bytes header;
  add_be(header, width, 4), add_be(header, height, 4);
  header = header + Bytes{1, 0, 0, 0, 0};
  const Image image = decoded(text_bytes("\x89PNG\r\n\x1A\n") + chunk("IHDR", header) +
                              chunk("IDAT", stored(rows_data)) + chunk("IEND", {}));
  CHECK(image.width == width);
  CHECK(image.height == height);
  CHECK(image.row(height - 1)[0] == 255);
  CHECK(image.row(height - 1)[3 * (width - 1)] == 0);
}

}  // namespace
