// Names of classes in all languages, and in none: in the confusion matrix, on contact sheets, in
// tables; and options that look like numbers.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "anther/io/text.hpp"
#include "anther/report/confusion_plot.hpp"
#include "anther/report/contact_sheet.hpp"
#include "anther/train/metrics.hpp"
#include "examples/trained_data.hpp"
#include "tests/data/vision/test_files.hpp"

namespace {

using namespace anther;
using test_files::contains;
using test_files::error_of;

std::string text_times(std::string_view text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

const std::vector<std::string> names = {
    "Колокольчик персиколистный обыкновенный",
    "bông hướng dương Đà Lạt vàng",
    "bo\u0302ng hu\u031Bo\u031B\u0301ng du\u031Bo\u031Bng \u0110a\u0300 La\u0323t "
    "va\u0300ng",  // as macOS
    "非常に長い名前の花非常に長い名前の花非常に長い名前の花",
    "\u1112\u1161\u11AB\u1100\u116E\u11A8\u110B\u1165 "
    "\u1112\u1161\u11AB\u1100\u116E\u11A8\u110B\u1165",
    "🌻🌻🌻🌻🌻🌻🌻🌻🌻🌻🌻🌻🌻🌻🌻🌻🌻🌻🌻🌻🌻🌻🌻🌻🌻🌻🌻🌻",
    text_times("\U0001F469\u200D\U0001F33E", 27),  // one letter each
    "fl\xE4"
    "che, which is in Latin-1 and long",
    "<daisy> & \"co\"",
    "\x01\x02 control",
};

// The text between > and < of each <text> element.
std::vector<std::string> labels_of(const std::string& svg) {
  std::vector<std::string> found;
  for (std::size_t at = 0; (at = svg.find("<text", at)) != std::string::npos;) {
    at = svg.find('>', at) + 1;
    found.push_back(svg.substr(at, svg.find('<', at) - at));
  }
  return found;
}

TEST_CASE("the confusion matrix is UTF-8, with whole letters, whatever the classes are called") {
  ConfusionMatrix matrix(std::ssize(names));
  for (std::int64_t c = 0; c < matrix.classes(); ++c) matrix.add(c, c);
  const std::string svg = report::ConfusionPlot::svg(matrix, names);
  CHECK(io::is_utf8(svg));
  for (const char c : svg) CHECK((static_cast<unsigned char>(c) >= 0x20 || c == '\n'));
  const std::vector<std::string> labels = labels_of(svg);
  const auto shown = [&](const std::string& label) {
    return std::find(labels.begin(), labels.end(), label) != labels.end();
  };
  CHECK(shown("Колокольчик персиколистн.."));
  CHECK(shown("bông hướng dương Đà Lạt .."));
  CHECK(shown("fl\\xE4che, which is in L.."));
  CHECK(shown("&lt;daisy&gt; &amp; &quot;co&quot;"));
  for (const std::string& label : labels) {
    if (contains(label, "&")) continue;
    if (label.ends_with("..")) CHECK(io::letter_count(label) == 26);
  }
  // What was not too long before is not cut now.
  CHECK(contains(report::ConfusionPlot::svg(ConfusionMatrix(1), {"Колокольчик персиколистный"}),
                 ">Колокольчик персиколистный<"));
}

TEST_CASE("the built-in font: accents are left out, Greek and Cyrillic are transliterated") {
  CHECK(report::to_ascii("Tagetes, ñandú, Straße, Łódź") == "Tagetes, NandU, StraSSe, LOdZ");
  CHECK(report::to_ascii("Колокольчик") == "KOLOKOL'CHIK");
  CHECK(report::to_ascii("Ромашка Ёж Щука") == "ROMASHKA EZH SHCHUKA");
  CHECK(report::to_ascii("bông hướng dương Đà Lạt") == "bOng hUOng dUOng DA LAt");
  CHECK(report::to_ascii("bo\u0302ng La\u0323t") == "bong Lat");
  CHECK(report::to_ascii("μαργαρίτα") == "MARGARITA");
  CHECK(report::to_ascii("“daisy” – ’s…") == "\"daisy\" - 's...");
  CHECK(report::to_ascii("ＤＡＩＳＹ") == "DAISY");
  CHECK(report::to_ascii("菊花 a") == "?? a");
  CHECK(report::to_ascii("a\xE4z") == "a?z");
  for (const std::string& name : names)
    for (const char c : report::to_ascii(name)) CHECK(static_cast<unsigned char>(c) < 0x80);
  // No printable sign of ASCII is a box, nor like another.
  std::vector<std::array<std::uint8_t, 7>> seen;
  const auto box = report::glyph_of('\x01');
  for (char sign = '!'; sign <= '~'; ++sign) {
    if (sign >= 'a' && sign <= 'z') continue;
    CAPTURE(sign);
    const auto rows = report::glyph_of(sign);
    CHECK(rows != box);
    CHECK(std::find(seen.begin(), seen.end(), rows) == seen.end());
    seen.push_back(rows);
  }
}

TEST_CASE("captions of contact sheets are letters; a name without any becomes its number") {
  data::Batch batch;
  batch.indices = {0};
  for (std::int32_t label = 0; label < std::ssize(names); ++label) {
    batch.labels = {label};
    for (std::size_t columns = 4; columns < 30; ++columns)
      for (const std::string& line : report::caption(batch, 0, names, columns)) {
        CHECK(line.size() <= columns);
        for (const char c : line) CHECK((static_cast<unsigned char>(c) < 0x80));
      }
  }
  const auto caption = [&](std::int32_t label) {
    batch.labels = {label};
    return report::caption(batch, 0, names, 21);
  };
  CHECK(caption(0) == std::vector<std::string>{"KOLOKOL'CHIK", "PERSIKOLISTNYJ OBYKNO"});
  CHECK(caption(3) == std::vector<std::string>{"class 3"});
  CHECK(caption(5) == std::vector<std::string>{"class 5"});
}

TEST_CASE("texts of args.json may be numbers: a folder called 2024, one class") {
  const nlohmann::json arguments = {{"data_dir", 2024}, {"classes", 3},   {"split", true},
                                    {"teacher", 1.5},   {"model", "xxs"}, {"aa", nullptr},
                                    {"mean", {1, 2}}};
  CHECK(text_argument(arguments, "data_dir", "x") == "2024");
  CHECK(text_argument(arguments, "classes", "") == "3");
  CHECK(text_argument(arguments, "split", "") == "true");
  CHECK(text_argument(arguments, "teacher", "") == "1.5");
  CHECK(text_argument(arguments, "model", "") == "xxs");
  CHECK(text_argument(arguments, "aa", "none") == "none");
  CHECK(text_argument(arguments, "absent", "none") == "none");
  CHECK(contains(error_of([&] { text_argument(arguments, "mean", ""); }),
                 "args.json: mean: expected text, got array"));
}

TEST_CASE("records of data: other classes are refused by name, other images are told") {
  const auto record = [](const std::vector<std::string>& classes, std::vector<int> counts,
                         const char* digest) {
    int images = 0;
    for (const int count : counts) images += count;
    return nlohmann::json{
        {"classes", classes},
        {"train", {{"images", images}, {"images_of_class", counts}, {"digest", digest}}}};
  };
  const auto then = record({"a", "b"}, {3, 4}, "1");
  CHECK(compare_records(then, record({"a", "b"}, {3, 4}, "1"), "run", "data") == "");
  CHECK(compare_records(nullptr, then, "run", "data") == "");
  CHECK(compare_records({{"classes", {"a", "b"}}}, then, "run", "data") == "");
  CHECK(compare_records(then, record({"a", "b"}, {3, 6}, "2"), "run", "data") ==
        "train: 7 images then, 9 now (b 4 -> 6)");
  CHECK(contains(compare_records(then, record({"a", "b"}, {3, 4}, "2"), "run", "data"),
                 "(other names)"));
  const auto refusal = [&](const std::vector<std::string>& classes) {
    std::vector<int> counts(classes.size(), 1);
    return error_of([&] { compare_records(then, record(classes, counts, "3"), "run", "data"); });
  };
  CHECK(contains(refusal({"b", "z"}), "No longer there: a. New: z. "));
  CHECK(contains(refusal({"a", "b", "c"}), "New: c. "));
  CHECK(contains(refusal({"b"}), "No longer there: a. "));
  CHECK(contains(refusal({"b", "a"}), "Their order is another"));
}

}  // namespace
