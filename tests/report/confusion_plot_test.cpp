#include "anther/report/confusion_plot.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "tests/io/temporary_folder.hpp"

namespace {

using namespace anther;
using namespace anther::detail;
using namespace anther::io;
using namespace anther::report;

ConfusionMatrix matrix_of(const std::vector<std::vector<int>>& counts) {
  ConfusionMatrix matrix(std::ssize(counts));
  for (std::size_t label = 0; label < counts.size(); ++label)
    for (std::size_t c = 0; c < counts.size(); ++c)
      for (int i = 0; i < counts[label][c]; ++i)
        matrix.add(static_cast<std::int64_t>(label), static_cast<std::int64_t>(c));
  return matrix;
}

TEST_CASE("confusion plot: a cell for each pair that occurs, blue where right") {
  const ConfusionMatrix matrix = matrix_of({{3, 1, 0}, {0, 4, 0}, {0, 0, 0}});
  const std::string svg = ConfusionPlot::svg(matrix, {"a<b", "rose", "lily"});
  CHECK(count_of(svg, "fill=\"#2563eb\"") == 2);
  CHECK(count_of(svg, "fill=\"#ea580c\"") == 1);
  CHECK(contains(svg, "<title>a&lt;b taken for rose: 1 of 4</title>"));
  CHECK(contains(svg, "fill-opacity=\"0.500\""));  // the root of 1 / 4
  CHECK(contains(svg, "7 of 8 right (87.5%)"));
  CHECK(count_of(svg, ">lily</text>") == 2);
  CHECK(count_of(svg, "<text") == count_of(svg, "</text>"));
}

TEST_CASE("confusion plot: of many classes, and of none of their images") {
  std::vector<std::string> names;
  for (int i = 0; i < 200; ++i) names.push_back(text_of("a rather long name of class ", i));
  const ConfusionMatrix empty(200);
  const std::string svg = ConfusionPlot::svg(empty, names);
  CHECK(contains(svg, "0 of 0 right; "));
  CHECK(!contains(svg, "nan"));
  CHECK(contains(error_of([&] { ConfusionPlot::svg(empty, {"a"}); }), "expected 200 class names"));
}

TEST_CASE("confusion plot: the table, and the ending of the name") {
  const ConfusionMatrix matrix = matrix_of({{3, 1}, {0, 4}});
  const std::vector<std::string> names = {"a, b", "rose"};
  const TemporaryFolder folder;
  write_confusion_matrix(folder / "c.csv", matrix, names);
  CHECK(read_text_file(folder / "c.csv") ==
        "true/predicted,\"a, b\",rose\n\"a, b\",3,1\nrose,0,4\n");
  write_confusion_matrix(folder / "c.svg", matrix, names);
  CHECK(read_text_file(folder / "c.svg") == ConfusionPlot::svg(matrix, names));
  CHECK(contains(error_of([&] { write_confusion_matrix(folder / "c.png", matrix, names); }),
                 "ends in .svg or .csv"));
}

}  // namespace
