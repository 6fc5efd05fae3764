// Decoding: formats, orientation, and files that are damaged, hostile, or of another kind.
#include "anther/data/vision/image.hpp"
#include "anther/data/vision/decode.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>
#include <string>

#include "image_samples.hpp"
#include "test_files.hpp"

namespace {

using namespace anther;
using namespace anther::vision;

using test_files::contains;
using test_files::error_of;

// The colours that generate_samples.py paints: top left, top right, bottom left, bottom right.
constexpr int quadrants[4][3] = {{200, 30, 40}, {30, 180, 60}, {40, 60, 210}, {230, 220, 90}};

// Which quadrant's colour is found near a corner; -1 for none of them, within a tolerance.
int quadrant_at(const Image& image, bool right, bool bottom, int tolerance = 6) {
  const std::uint8_t* pixel =
      image.row(bottom ? image.height - 2 : 1) + 3 * (right ? image.width - 2 : 1);
  for (int q = 0; q < 4; ++q) {
    bool same = true;
    for (int c = 0; c < 3; ++c) same = same && std::abs(pixel[c] - quadrants[q][c]) <= tolerance;
    if (same) return q;
  }
  return -1;
}
std::string corners(const Image& image, int tolerance = 6) {
  std::string text;
  for (int q = 0; q < 4; ++q)
    text += std::to_string(quadrant_at(image, q % 2 == 1, q / 2 == 1, tolerance));
  return text;
}

// A TIFF structure with one tag: the orientation.
Bytes orientation_block(int orientation, bool little) {
  Bytes tiff =
      little ? Bytes{'I', 'I', 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 1, 3, 0, 1, 0, 0, 0, 0, 0, 0, 0}
             : Bytes{'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1, 1, 0x12, 0, 3, 0, 0, 0, 1, 0, 0, 0, 0};
  tiff[little ? 18 : 19] = static_cast<std::uint8_t>(orientation);
  return tiff;
}

// The JPEG file with a segment inserted behind its first marker.
Bytes with_segment(const Bytes& jpeg, std::uint8_t marker, const Bytes& data) {
  Bytes segment = {0xFF, marker, static_cast<std::uint8_t>((data.size() + 2) >> 8),
                   static_cast<std::uint8_t>((data.size() + 2) & 255)};
  segment.insert(segment.end(), data.begin(), data.end());
  Bytes file = jpeg;
  file.insert(file.begin() + 2, segment.begin(), segment.end());
  return file;
}
Bytes with_exif(const Bytes& jpeg, const Bytes& tiff) {
  Bytes data = {'E', 'x', 'i', 'f', 0, 0};
  data.insert(data.end(), tiff.begin(), tiff.end());
  return with_segment(jpeg, 0xE1, data);
}

Bytes text_bytes(std::string_view text) {
  return Bytes(text.begin(), text.end());
}

TEST_CASE("JPEG, PNG and BMP decode to RGB, rows from the top") {
  for (const auto* file :
       {&samples::jpeg_rgb, &samples::jpeg_progressive, &samples::jpeg_restart}) {
    const Image image = decode_image(*file, "photo.jpg");
    CHECK(image.width == 48);
    CHECK(image.height == 32);
    CHECK(image.pixels.size() == 48 * 32 * 3);
    CHECK(corners(image) == "0123");
  }
  for (const auto* file : {&samples::png_rgb, &samples::png_palette, &samples::bmp_rgb}) {
    const Image image = decode_image(*file, "picture");
    CHECK(image.width == 8);
    CHECK(image.height == 4);
    CHECK(corners(image, 0) == "0123");
  }
}

TEST_CASE("grey is repeated, alpha dropped, CMYK converted") {
  for (const auto* file : {&samples::jpeg_grey, &samples::png_grey}) {
    const Image image = decode_image(*file, "grey");
    for (std::size_t i = 0; i < image.pixels.size(); i += 3) {
      CHECK(image.pixels[i] == image.pixels[i + 1]);
      CHECK(image.pixels[i] == image.pixels[i + 2]);
    }
    CHECK(std::abs(image.row(1)[3] - 82) <= 3);  // the luminance of the first colour
  }
  CHECK(corners(decode_image(samples::png_rgba, "alpha.png"), 0) == "0123");
  CHECK(corners(decode_image(samples::jpeg_cmyk, "cmyk.jpg"), 10) == "0123");
}

TEST_CASE("EXIF's orientation is honoured") {
  // What is shown at the corners, from EXIF 2.3 (0th row, 0th column).
  const char* shown[] = {"0123", "1032", "3210", "2301", "0213", "2031", "3120", "1302"};
  for (int orientation = 1; orientation <= 8; ++orientation)
    for (const bool little : {false, true}) {
      CAPTURE(orientation);
      const Image image = decode_image(
          with_exif(samples::jpeg_rgb, orientation_block(orientation, little)), "a.jpg");
      CHECK(image.width == (orientation >= 5 ? 32 : 48));
      CHECK(image.height == (orientation >= 5 ? 48 : 32));
      CHECK(corners(image) == shown[orientation - 1]);
    }
  CHECK_THROWS_AS(oriented(Image(1, 1), 9), Error);
}

TEST_CASE("an EXIF block that makes no sense is no orientation, and never read past its end") {
  const Bytes whole = orientation_block(6, true);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    cut.shrink_to_fit();
    CHECK(exif_orientation(cut) == 1);
  }
  CHECK(exif_orientation(whole) == 6);
  for (const std::size_t at : {0u, 1u, 2u, 12u, 14u}) {
    Bytes wrong = whole;
    wrong[at] ^= 0x40;
    CHECK(exif_orientation(wrong) == 1);
  }
  for (const int value : {0, 9, 200}) CHECK(exif_orientation(orientation_block(value, true)) == 1);
  Bytes far = whole;
  far[4] = far[5] = far[6] = far[7] = 0xFF;  // the directory is 4 GB away
  CHECK(exif_orientation(far) == 1);
  Bytes many = whole;
  many[8] = many[9] = 0xFF;  // 65,535 entries, the orientation's tag not among the first
  many[10] = 0;
  CHECK(exif_orientation(many) == 1);
}

TEST_CASE("a file cut off anywhere is an error that names it") {
  for (const auto* file :
       {&samples::jpeg_rgb, &samples::jpeg_progressive, &samples::jpeg_restart, &samples::jpeg_grey,
        &samples::png_rgb, &samples::png_palette, &samples::bmp_rgb})
    // A JPEG that lacks nothing but its end marker is whole.
    for (std::size_t size = 0; size < file->size() - ((*file)[0] == 0xFF ? 2 : 0); ++size) {
      Bytes cut(file->begin(), file->begin() + static_cast<std::ptrdiff_t>(size));
      cut.shrink_to_fit();
      const std::string error = error_of([&] { decode_image(cut, "folder/photo"); });
      CAPTURE(size);
      REQUIRE(contains(error, "folder/photo: "));
      if (size > 32) REQUIRE(contains(error, "truncated"));
    }
  // Bytes behind the end are no harm (cameras append previews), and a thumbnail's end is not the
  // end.
  Bytes longer = samples::jpeg_rgb;
  longer.resize(longer.size() + 100);
  CHECK(corners(decode_image(longer, "a.jpg")) == "0123");
  Bytes cut = with_segment(samples::jpeg_rgb, 0xE2, samples::jpeg_grey);
  CHECK(corners(decode_image(cut, "a.jpg")) == "0123");
  cut.resize(cut.size() - 40);
  CHECK(contains(error_of([&] { decode_image(cut, "a.jpg"); }), "truncated"));
}

TEST_CASE("a PNG with a flipped bit is an error") {
  for (std::size_t at = 8; at < samples::png_rgb.size(); ++at) {
    Bytes damaged = samples::png_rgb;
    damaged[at] ^= 1;
    CAPTURE(at);
    CHECK(contains(error_of([&] { decode_image(damaged, "a.png"); }), "a.png: "));
  }
}

TEST_CASE("formats that are not decoded are named") {
  using namespace std::string_view_literals;
  const std::pair<std::string_view, const char*> files[] = {{"\0\0\0\x18"
                                                             "ftypheic\0\0\0\0mif1heic"sv,
                                                             "HEIC"},
                                                            {"\0\0\0\x1c"
                                                             "ftypmif1\0\0\0\0mif1avifmiaf"sv,
                                                             "AVIF"},
                                                            {"\0\0\0\x1c"
                                                             "ftypavif\0\0\0\0avifmif1miaf"sv,
                                                             "AVIF"},
                                                            {"II*\0\x08\0\0\0"sv, "TIFF"},
                                                            {"MM\0*\0\0\0\x08"sv, "TIFF"},
                                                            {"\xFF\x0A\0\0"sv, "JPEG XL"}};
  for (const auto& [text, format] : files) {
    const Bytes bytes = text_bytes(text);
    const std::string error = error_of([&] { decode_image(bytes, "x.jpg"); });
    CHECK(contains(error, std::string("x.jpg: ") + format + " is not supported"));
  }
  CHECK(contains(error_of([] { decode_image(text_bytes("<html>"), "x.jpg"); }),
                 "x.jpg: not an image"));
  CHECK(contains(error_of([] { decode_image(Bytes{}, "x.jpg"); }), "x.jpg: the file is empty"));
}

// The JPEG with another frame header: its bytes from the precision on.
Bytes with_frame(std::size_t offset, std::initializer_list<std::uint8_t> bytes,
                 std::uint8_t marker = 0xC0) {
  Bytes file = samples::jpeg_rgb;
  for (std::size_t at = 2; at + 4 < file.size(); at += 2 + load_be16(&file[at + 2]))
    if (file[at + 1] == 0xC0) {
      file[at + 1] = marker;
      std::copy(bytes.begin(), bytes.end(),
                file.begin() + static_cast<std::ptrdiff_t>(at + 4 + offset));
      return file;
    }
  return {};
}

TEST_CASE("too many pixels are an error ahead of any allocation") {
  const std::string error = error_of([] {
    decode_image(with_frame(1, {0xFF, 0xFF, 0xFF, 0xFF}), "huge.jpg");
  });
  CHECK(contains(error, "huge.jpg: expected an image of 1 to 250000000 pixels, got 65535 x 65535"));
  CHECK(contains(error_of([] { decode_image(with_frame(1, {0, 0}), "flat.jpg"); }), "got 48 x 0"));
}

TEST_CASE("kinds of JPEG that are not decoded say what they are") {
  const auto error = [](const Bytes& file) {
    return error_of([&] { decode_image(file, "a.jpg"); });
  };
  CHECK(contains(error(with_frame(0, {}, 0xC9)), "arithmetic coding"));
  CHECK(contains(error(with_frame(0, {}, 0xC3)), "lossless"));
  CHECK(contains(error(with_frame(0, {12})), "12 bits"));
  CHECK(contains(error(with_frame(5, {2})), "2 components"));
  // CMYK without Adobe's marker.
  Bytes cmyk = samples::jpeg_cmyk;
  cmyk[3] = 0xED;
  CHECK(contains(error(cmyk), "no Adobe marker"));
}

TEST_CASE("a Huffman table that is longer than any can be is an error") {
  Bytes table(17, 255);  // 16 times 255 codes: past the end of the decoder's table
  table[0] = 0;
  table.resize(17 + 16 * 255);
  CHECK(contains(
      error_of([&] { decode_image(with_segment(samples::jpeg_rgb, 0xC4, table), "a.jpg"); }),
      "a.jpg: corrupt JPEG (a Huffman table)"));
}

TEST_CASE("a JPEG of many scans, each a walk over the whole image, is an error") {
  const Bytes& good = samples::jpeg_progressive;
  const auto scans = [&](int count) {
    // From the last scan's marker to the end marker.
    std::size_t at = good.size() - 2;
    while (good[at] != 0xFF || good[at + 1] != 0xDA) --at;
    const auto begin = good.begin() + static_cast<std::ptrdiff_t>(at);
    Bytes file(good.begin(), begin);
    for (int i = 0; i < count; ++i) file.insert(file.end(), begin, good.end() - 2);
    file.insert(file.end(), good.end() - 2, good.end());
    return file;
  };
  CHECK(scans(1) == good);
  CHECK(check_image(scans(50), "a.jpg").width > 0);
  CHECK(error_of([&] { decode_image(scans(101), "a.jpg"); }) ==
        "a.jpg: JPEG with more than 100 scans is not supported");
}

TEST_CASE("a BMP of more pixels than can be counted is an error") {
  Bytes bmp = samples::bmp_rgb;
  for (const std::size_t at : {18u, 22u}) {  // 99,999,999 x 99,999,999, of 65,535 bits a pixel
    bmp[at] = 0xFF, bmp[at + 1] = 0xE0, bmp[at + 2] = 0xF5, bmp[at + 3] = 0x05;
  }
  bmp[28] = bmp[29] = 0xFF;
  CHECK(contains(error_of([&] { decode_image(bmp, "a.bmp"); }),
                 "a.bmp: expected an image of 1 to 250000000 pixels"));
}

TEST_CASE("damaged bytes anywhere never crash") {
  for (const auto* file :
       {&samples::jpeg_rgb, &samples::jpeg_progressive, &samples::png_palette, &samples::bmp_rgb})
    for (std::size_t at = 0; at < file->size(); ++at)
      for (const int value : {0, 0x7F, 0xFF}) {
        Bytes damaged = *file;
        damaged[at] = static_cast<std::uint8_t>(value);
        try {
          const Image image = decode_image(damaged, "a");
          REQUIRE(image.pixels.size() == static_cast<std::size_t>(image.width) *
                                             static_cast<std::size_t>(image.height) * 3);
        } catch (const Error& error) {
          REQUIRE(contains(error.what(), "a: "));
        }
      }
}

TEST_CASE("a file on disk: its path is in every message") {
  const test_files::Folder files;
  const std::filesystem::path folder = files.path(), path = folder / "photo.jpg";
  const auto write = [&](const Bytes& bytes) { files.write("photo.jpg", bytes); };
  write(samples::jpeg_rgb);
  CHECK(corners(decode_image(path)) == "0123");
  write(Bytes(samples::jpeg_rgb.begin(), samples::jpeg_rgb.end() - 10));
  CHECK(contains(error_of([&] { decode_image(path); }),
                 path.string() + ": the JPEG's image data, from byte "));
  CHECK(contains(error_of([&] { decode_image(folder / "none.jpg"); }),
                 (folder / "none.jpg").string() + ": "));
  CHECK(contains(error_of([&] { decode_image(folder); }),
                 folder.string() + ": expected a file, found a folder"));
}

}  // namespace
