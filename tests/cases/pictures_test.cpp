// Pictures as cameras, telephones and other programs write them: what they have in common is that
// other programs open them.
#include <doctest/doctest.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "anther/data/vision/decode.hpp"
#include "anther/data/vision/png.hpp"
#include "tests/cases/made_pictures.hpp"
#include "tests/cases/written_samples.hpp"
#include "tests/data/vision/image_samples.hpp"
#include "tests/data/vision/test_files.hpp"

namespace {

using namespace anther;
using namespace anther::vision;
using namespace made_pictures;

using test_files::contains;
using test_files::error_of;

const std::vector<const Bytes*>& jpegs() {
  static const std::vector<const Bytes*> all = {
      &samples::jpeg_rgb, &samples::jpeg_progressive, &written_samples::jpeg_restart,
      &written_samples::jpeg_progressive_restart, &samples::jpeg_grey};
  return all;
}
// Where the last scan's header begins.
std::size_t last_scan(const Bytes& jpeg) {
  std::size_t at = jpeg.size() - 2;
  while (jpeg[at] != 0xFF || jpeg[at + 1] != 0xDA) --at;
  return at;
}

TEST_CASE("bytes between a JPEG's scan and its end marker change nothing") {
  const Bytes end = {0xFF, 0xD9};
  const Bytes fillings[] = {
      Bytes(64, 0x5A),                         // DJI's cameras
      repeated({0x5A, 0x5A, 0xFF, 0x00}, 16),  // FF 00, as within a scan
      repeated({0x5A, 0x5A, 0xFF, 0xD1}, 16),  // a restart that nothing has announced
      {0xFF, 0xD0},
      {0xFF, 0xD7, 0xFF, 0x00},
      {0xFF, 0x01},
      {0xFF, 0xFF, 0xFF},
      {0x00},
      Bytes(5000, 0),
      {0xFF, 0x02, 0x00, 0x04, 1, 2},  // a marker without a meaning
      {0xFF, 0xF3, 0x00},
      {0xFF, 0x5A, 0xFF, 0xFF}};  // a segment longer than the file
  for (const Bytes* jpeg : jpegs())
    for (const Bytes& filling : fillings) {
      CAPTURE(filling.size());
      CHECK(decoded(without_end(*jpeg, 2) + filling + end) == decoded(*jpeg));
    }
  // Between a progressive file's scans as well.
  const Bytes& progressive = samples::jpeg_progressive;
  const auto scan = static_cast<std::ptrdiff_t>(last_scan(progressive));
  for (const Bytes& filling : fillings) {
    if (filling.size() > 2 && (filling[1] == 0x5A || filling[1] == 0xF3) && filling[0] == 0xFF)
      continue;  // what claims to be longer than it is would hide the scans to come
    const Bytes head(progressive.begin(), progressive.begin() + scan);
    const Bytes tail(progressive.begin() + scan, progressive.end());
    CAPTURE(filling.size());
    CHECK(decoded(head + filling + tail) == decoded(progressive));
  }
}

TEST_CASE("stray bytes before a restart marker change nothing") {
  const Bytes& good = written_samples::jpeg_restart;
  std::size_t at = last_scan(good);
  while (good[at] != 0xFF || good[at + 1] != 0xD0) ++at;
  const auto marker = static_cast<std::ptrdiff_t>(at);
  const Bytes head(good.begin(), good.begin() + marker), tail(good.begin() + marker, good.end());
  for (const Bytes& filling :
       {Bytes(9, 0x5A), repeated({0x5A, 0xFF, 0x00}, 4), Bytes{0xFF, 0xFF}, Bytes{0x00}}) {
    CAPTURE(filling.size());
    CHECK(decoded(head + filling + tail) == decoded(good));
  }
}

TEST_CASE("bytes that belong nowhere in a JPEG's header change nothing") {
  for (const Bytes& filling : {Bytes{0xFF, 0x00}, Bytes{0xFF, 0x00, 0x17}, Bytes{0xFF, 0xD3},
                               Bytes{0xFF, 0x01}, Bytes{0xFF, 0xD8}, Bytes(7, 0)})
    for (const Bytes* jpeg : jpegs()) {
      std::size_t segments = 0;
      for (std::size_t at = 2; at + 4 < jpeg->size();) {
        if (at > 2 || filling[0] == 0xFF) {
          Bytes file = *jpeg;
          file.insert(file.begin() + static_cast<std::ptrdiff_t>(at), filling.begin(),
                      filling.end());
          CAPTURE(at);
          CHECK(decoded(file) == decoded(*jpeg));
        }
        ++segments;
        if ((*jpeg)[at + 1] == 0xDA) break;
        at += 2 + load_be16(&(*jpeg)[at + 2]);
      }
      CHECK(segments > 4);
    }
}

TEST_CASE("a JPEG without its end marker decodes where its scan is whole") {
  const Bytes trailers[] = {
      {},
      {0xFF},
      {0x00},
      text_bytes(std::string_view("\0\0\1\x0A\x0E\0\0\0Image_UTC_Data1526", 26)),  // Samsung's
      Bytes(500, 0),
      Bytes{0xFF, 0x00, 0xFF, 0x7F, 0xFF, 0xFF, 0x10},
      samples::jpeg_grey,  // another picture, a preview
      without_end(samples::jpeg_rgb, 100),
      samples::png_rgb};
  for (const Bytes* jpeg : jpegs())
    for (const Bytes& trailer : trailers) {
      const Bytes file = without_end(*jpeg, 2) + trailer;
      CAPTURE(trailer.size());
      CHECK(decoded(file) == decoded(*jpeg));
    }
  // And where it is not whole it is refused, even if something follows.
  for (const Bytes* jpeg : jpegs())
    for (const std::size_t missing : {3u, 4u, 5u, 10u, 30u, 60u}) {
      const Bytes cut = without_end(*jpeg, missing);
      for (const Bytes& trailer : {Bytes{}, Bytes{0xFF}, text_bytes("\xFF\x7F\xFF\xFF\x10"),
                                   samples::jpeg_grey, Bytes{0xFF, 0xE1, 0xFF, 0xFF, 1}}) {
        CAPTURE(missing);
        CHECK(contains(error_of([&] { decoded(cut + trailer); }), "picture: "));
      }
    }
}

TEST_CASE("a progressive JPEG that ends between two scans is refused") {
  const Bytes& good = samples::jpeg_progressive;
  const std::size_t last = last_scan(good);
  const Bytes cut(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(last));
  CHECK(contains(error_of([&] { decoded(cut); }), "truncated"));
  CHECK(contains(error_of([&] { decoded(cut + Bytes(300, 0x31)); }), "truncated"));
}

TEST_CASE("a JPEG without Huffman tables, as webcams store it, has those of the standard") {
  for (const Bytes* jpeg : {&samples::jpeg_rgb, &samples::jpeg_grey}) {
    Bytes without(jpeg->begin(), jpeg->begin() + 2);
    std::size_t at = 2, left_out = 0;
    for (bool more = true; more;) {
      const std::size_t length = 2 + load_be16(&(*jpeg)[at + 2]);
      const auto begin = jpeg->begin() + static_cast<std::ptrdiff_t>(at);
      more = (*jpeg)[at + 1] != 0xDA;
      if ((*jpeg)[at + 1] == 0xC4)
        ++left_out;
      else
        without.insert(without.end(), begin, begin + static_cast<std::ptrdiff_t>(length));
      at += length;
    }
    without.insert(without.end(), jpeg->begin() + static_cast<std::ptrdiff_t>(at), jpeg->end());
    CHECK(left_out > 0);
    CHECK(decoded(without) == decoded(*jpeg));
    const auto decoder = image_decoders().jpeg.exchange(nullptr);
    CHECK(decoded(without) == decoded(*jpeg));
    image_decoders().jpeg = decoder;
  }
}

TEST_CASE("every scan walked code by code ends where the decoder finds its end") {
  for (const Bytes* jpeg : jpegs()) {
    JpegFile walked(*jpeg, "picture", true);
    CHECK(decoded(walked.rewritten()) == decoded(*jpeg));
    CHECK(walked.rewritten().size() <= jpeg->size());
    // As a file of its own it is a usual one.
    CHECK(JpegFile(walked.rewritten(), "again").rewritten().empty());
  }
  // Any byte of a scan that is missing is noticed.
  for (const Bytes* jpeg : jpegs())
    for (std::size_t end = last_scan(*jpeg) + 10; end + 2 < jpeg->size(); ++end)
      CHECK_THROWS_AS(JpegFile(ByteSpan(*jpeg).first(end), "cut", true), Error);
}

TEST_CASE("a restart marker too many changes nothing, and one too few is damage") {
  const Bytes& good = written_samples::jpeg_restart;
  const auto begin = good.begin() + static_cast<std::ptrdiff_t>(last_scan(good));
  std::uint8_t last = 0;
  Bytes::const_iterator second;
  int markers = 0;
  for (auto at = begin + 12; at + 2 < good.end(); ++at)
    if (*at == 0xFF && at[1] >= 0xD0 && at[1] <= 0xD7) {
      last = at[1];
      if (++markers == 2) second = at;
    }
  REQUIRE(markers > 3);
  const auto next = static_cast<std::uint8_t>(last == 0xD7 ? 0xD0 : last + 1);
  CHECK(decoded(without_end(good, 2) + Bytes{0xFF, next, 0xFF, 0xD9}) == decoded(good));
  CHECK(decoded(without_end(good, 2) + Bytes{0xFF, next}) == decoded(good));
  const Bytes fewer = Bytes(good.begin(), second) + Bytes(second + 2, good.end());
  CHECK(contains(error_of([&] { decoded(fewer); }), "damaged"));
}

// ---- orientation

Bytes tiff_of(int type, std::uint32_t value, bool little, std::uint32_t count = 1) {
  Bytes tiff = text_bytes(little ? "II" : "MM");
  const auto add = [&](std::uint32_t v, int size) {
    little ? add_le(tiff, v, size) : add_be(tiff, v, size);
  };
  add(42, 2), add(8, 4), add(1, 2), add(0x112, 2), add(static_cast<std::uint32_t>(type), 2);
  add(count, 4);
  const int size = type == 1 || type == 6 ? 1 : type == 3 || type == 8 ? 2 : 4;
  add(value, size);
  tiff.resize(tiff.size() + static_cast<std::size_t>(4 - size) + 4);
  return tiff;
}
Bytes xmp_of(std::string_view statement) {
  return text_bytes(
      "<?xpacket begin='' id='W5M0MpCehiHzreSzNTczkc9d'?><x:xmpmeta xmlns:x='adobe:ns:meta/'>"
      "<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'><rdf:Description "
      "xmlns:tiff='http://ns.adobe.com/tiff/1.0/' " +
      std::string(statement) + "</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end='w'?>");
}
const char* const xmp_six[] = {
    "tiff:Orientation=\"6\">", "tiff:Orientation='6'>", "tiff:Orientation = \"6\">",
    "><tiff:Orientation>6</tiff:Orientation>", "><tiff:Orientation>\n 6 </tiff:Orientation>"};

Bytes with_segment(const Bytes& jpeg, const Bytes& data) {
  Bytes file = {0xFF, 0xD8, 0xFF, 0xE1};
  add_be(file, static_cast<std::uint32_t>(data.size() + 2), 2);
  return file + data + Bytes(jpeg.begin() + 2, jpeg.end());
}
Bytes with_exif(const Bytes& jpeg, const Bytes& tiff) {
  return with_segment(jpeg, text_bytes(std::string_view("Exif\0\0", 6)) + tiff);
}
Bytes with_xmp(const Bytes& jpeg, const Bytes& xmp) {
  return with_segment(jpeg,
                      text_bytes(std::string_view("http://ns.adobe.com/xap/1.0/\0", 29)) + xmp);
}
// The PNG with a chunk behind its header.
Bytes with_chunk(const Bytes& png, std::string_view type, const Bytes& data) {
  return Bytes(png.begin(), png.begin() + 33) + chunk(type, data) +
         Bytes(png.begin() + 33, png.end());
}
// A profile as ImageMagick writes it.
Bytes raw_profile_of(const std::string& name, const Bytes& data) {
  std::string text = "\n" + name + "\n      " + std::to_string(data.size());
  for (std::size_t i = 0; i < data.size(); ++i) {
    if (i % 36 == 0) text += '\n';
    text += "0123456789abcdef"[data[i] >> 4];
    text += "0123456789abcdef"[data[i] & 15];
  }
  return text_bytes(text + "\n");
}
Bytes keyword(std::string_view word) {
  return text_bytes(word) + Bytes{0};
}

TEST_CASE("EXIF's orientation may be any type of whole number") {
  const Image turned = oriented(decoded(samples::jpeg_rgb), 6);
  for (const int type : {1, 3, 4, 6, 8, 9})
    for (const bool little : {false, true}) {
      CAPTURE(type);
      CHECK(decoded(with_exif(samples::jpeg_rgb, tiff_of(type, 6, little))) == turned);
    }
  const Image as_stored = decoded(samples::jpeg_rgb);
  for (const std::uint32_t value : {0u, 9u, 0x60000u, 0x10006u, 0xFFFFFFFFu})
    CHECK(decoded(with_exif(samples::jpeg_rgb, tiff_of(4, value, true))) == as_stored);
  for (const int type : {0, 2, 5, 7, 10, 11, 12, 77})
    CHECK(decoded(with_exif(samples::jpeg_rgb, tiff_of(type, 6, true))) == as_stored);
  CHECK(decoded(with_exif(samples::jpeg_rgb, tiff_of(3, 6, true, 2))) == turned);
  CHECK(decoded(with_exif(samples::jpeg_rgb, tiff_of(3, 6, true, 3))) == as_stored);
}

TEST_CASE("orientation from XMP, in JPEG and in PNG") {
  const Image jpeg = oriented(decoded(samples::jpeg_rgb), 6);
  const Image png = oriented(decoded(samples::png_rgb), 6);
  for (const char* statement : xmp_six) {
    CAPTURE(statement);
    const Bytes xmp = xmp_of(statement);
    CHECK(decoded(with_xmp(samples::jpeg_rgb, xmp)) == jpeg);
    const Bytes word = keyword("XML:com.adobe.xmp");
    CHECK(decoded(with_chunk(samples::png_rgb, "iTXt", word + Bytes{0, 0, 0, 0} + xmp)) == png);
    CHECK(decoded(with_chunk(samples::png_rgb, "iTXt", word + Bytes{1, 0, 0, 0} + stored(xmp))) ==
          png);
    CHECK(decoded(with_chunk(samples::png_rgb, "iTXt",
                             word + Bytes{0, 0} + text_bytes("en") + Bytes{0} + text_bytes("XMP") +
                                 Bytes{0} + xmp)) == png);
    CHECK(decoded(with_chunk(samples::png_rgb, "tEXt", word + xmp)) == png);
    CHECK(decoded(with_chunk(samples::png_rgb, "zTXt", word + Bytes{0} + stored(xmp))) == png);
  }
  for (const char* statement :
       {"tiff:Orientation=\"9\">", "tiff:Orientation=\"0\">", "tiff:Orientation=\"16\">",
        "tiff:Orientation=\"\">", "tiff:Orientation", "tiff:OrientationX=\"6\">",
        "exif:Orientation=\"6\">"}) {
    CAPTURE(statement);
    CHECK(decoded(with_xmp(samples::jpeg_rgb, xmp_of(statement))) == decoded(samples::jpeg_rgb));
  }
}

TEST_CASE("EXIF's orientation goes before XMP's") {
  const Bytes xmp = xmp_of(xmp_six[0]);
  for (const int first : {1, 3, 8}) {
    const Bytes exif = tiff_of(3, static_cast<std::uint32_t>(first), true);
    const Image wanted = oriented(decoded(samples::jpeg_rgb), first);
    CHECK(decoded(with_exif(with_xmp(samples::jpeg_rgb, xmp), exif)) == wanted);
    CHECK(decoded(with_xmp(with_exif(samples::jpeg_rgb, exif), xmp)) == wanted);
  }
  // EXIF that states none leaves it to XMP.
  Bytes other = tiff_of(3, 3, true);
  other[10] = 0x0F;  // tag 0x010F, the maker
  CHECK(decoded(with_exif(with_xmp(samples::jpeg_rgb, xmp), other)) ==
        oriented(decoded(samples::jpeg_rgb), 6));
}

TEST_CASE("orientation from PNG's eXIf, and from ImageMagick's texts") {
  const Image turned = oriented(decoded(samples::png_rgb), 6);
  for (const int type : {3, 4}) {
    const Bytes tiff = tiff_of(type, 6, type == 3);
    const Bytes exif = text_bytes(std::string_view("Exif\0\0", 6)) + tiff;
    CHECK(decoded(with_chunk(samples::png_rgb, "eXIf", tiff)) == turned);
    CHECK(decoded(with_chunk(samples::png_rgb, "eXIf", exif)) == turned);
    for (const char* name : {"exif", "APP1"})
      for (const Bytes* block : {&exif, &tiff}) {
        const Bytes word = keyword(std::string("Raw profile type ") + name);
        const Bytes profile = raw_profile_of(name, *block);
        CAPTURE(name);
        CHECK(decoded(with_chunk(samples::png_rgb, "tEXt", word + profile)) == turned);
        CHECK(decoded(with_chunk(samples::png_rgb, "zTXt", word + Bytes{0} + stored(profile))) ==
              turned);
        CHECK(decoded(with_chunk(samples::png_rgb, "iTXt", word + Bytes{0, 0, 0, 0} + profile)) ==
              turned);
        CHECK(decoded(with_chunk(samples::png_rgb, "iTXt",
                                 word + Bytes{1, 0, 0, 0} + stored(profile))) == turned);
      }
  }
  const Bytes xmp = raw_profile_of("xmp", xmp_of(xmp_six[1]));
  CHECK(decoded(with_chunk(samples::png_rgb, "zTXt",
                           keyword("Raw profile type xmp") + Bytes{0} + stored(xmp))) == turned);
  const Bytes app1 =
      raw_profile_of("APP1", text_bytes(std::string_view("http://ns.adobe.com/xap/1.0/\0", 29)) +
                                 xmp_of(xmp_six[1]));
  CHECK(decoded(with_chunk(samples::png_rgb, "tEXt", keyword("Raw profile type APP1") + app1)) ==
        turned);
  // The chunk that is made for it goes first.
  CHECK(decoded(with_chunk(
            with_chunk(samples::png_rgb, "eXIf", tiff_of(3, 3, true)), "tEXt",
            keyword("Raw profile type exif") + raw_profile_of("exif", tiff_of(3, 6, true)))) ==
        oriented(decoded(samples::png_rgb), 3));
}

TEST_CASE("texts of a PNG that make no sense are passed over") {
  for (const char* type : {"tEXt", "zTXt", "iTXt"})
    for (const char* word : {"Raw profile type exif", "XML:com.adobe.xmp", ""})
      for (const Bytes& rest :
           {Bytes{}, Bytes{0}, Bytes{0, 1}, Bytes{0, 1, 0}, Bytes{0, 0, 0, 0, 0, 'x'},
            Bytes{0, 1, 0, 0, 0, 0x78, 0x01, 0xFF, 0xFF}, text_bytes("\n\n\n\nff0")})
        CHECK(decoded(with_chunk(samples::png_rgb, type, text_bytes(word) + rest)) ==
              decoded(samples::png_rgb));
}

}  // namespace
