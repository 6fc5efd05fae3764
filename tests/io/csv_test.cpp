#include "anther/io/csv.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "../io/limited_file_size.hpp"
#include "../io/temporary_folder.hpp"
#include "anther/core/random.hpp"

namespace {

using anther::io::CsvWriter;
using anther::io::read_csv;
using anther::io::read_text_file;

TEST_CASE("csv: each row is in the file when it is written, exactly") {
  const TemporaryFolder folder;
  const auto path = folder / "steps.csv";
  CsvWriter writer(path, {"step", "loss", "lr", "note"});
  CHECK(read_text_file(path) == "step,loss,lr,note\n");
  writer.row(1, 3.9911f, 1e-3, "plain");
  CHECK(read_text_file(path) == "step,loss,lr,note\n1,3.9911,0.001,plain\n");
  writer.row(std::int64_t{1} << 60, -std::nan(""), std::numeric_limits<double>::infinity(),
             std::string("a \"b\", c"));
  CHECK(read_text_file(path).ends_with("\n1152921504606846976,nan,inf,\"a \"\"b\"\", c\"\n"));
  CHECK(error_of([&] { writer.row(1, 2); }) ==
        path.string() + ": expected a row of 4 values, got 2");
  CHECK(contains(error_of([&] { writer.row(1, 2, 3, "a\nb"); }), "line breaks"));
  CHECK(read_csv(path).rows.size() == 2);
}

TEST_CASE("csv: numbers read back as the same bits") {
  const TemporaryFolder folder;
  const auto path = folder / "a.csv";
  std::vector<double> doubles = {0.0, -0.0, 0.1, 5e-324, 1.7976931348623157e308, -1e22};
  std::vector<float> floats = {0.0f, 0.1f, 1e-45f, 3.4028235e38f, 16777217.0f, -1e10f};
  const anther::RandomKey key(1);
  for (std::uint64_t i = 0; i < 2000; ++i) {
    const double value = std::bit_cast<double>(anther::random_bits(key, i));
    if (std::isfinite(value)) doubles.push_back(value);
    const float small = std::bit_cast<float>(static_cast<std::uint32_t>(random_bits(key, i)));
    floats.push_back(std::isfinite(small) ? small : 0.0f);
  }
  doubles.resize(2000);
  floats.resize(2000);
  CsvWriter writer(path, {"double", "float"});
  for (std::size_t i = 0; i < 2000; ++i) writer.row(doubles[i], floats[i]);
  const auto table = read_csv(path);
  int wrong = 0;
  for (std::size_t i = 0; i < 2000; ++i) {
    const double value = table.rows[i][0];
    const float small = static_cast<float>(table.rows[i][1]);
    wrong += std::memcmp(&value, &doubles[i], 8) != 0;
    wrong += std::memcmp(&small, &floats[i], 4) != 0;
  }
  CHECK(wrong == 0);
}

TEST_CASE("csv: going on after a step") {
  const TemporaryFolder folder;
  const auto path = folder / "steps.csv";
  const std::vector<std::string> columns = {"step", "loss"};
  {
    CsvWriter writer = CsvWriter::resume(path, columns, 10);  // no file: a new one
    for (int step = 1; step <= 5; ++step) writer.row(step, 0.1 * step);
  }
  {
    CsvWriter writer = CsvWriter::resume(path, columns, 3);
    writer.row(4, -4);
  }
  CHECK(read_text_file(path) == "step,loss\n1,0.1\n2,0.2\n3,0.30000000000000004\n4,-4\n");
  CHECK(folder.entries() == 1);

  // A killed program leaves half a row.
  anther::io::write_file_atomically(path, "step,loss\n1,0.5\n2,0.25\n3,0.1");
  CsvWriter::resume(path, columns, 7).row(3, 1);
  CHECK(read_text_file(path) == "step,loss\n1,0.5\n2,0.25\n3,1\n");
  CsvWriter::resume(path, columns, 0).row(1, 2);
  CHECK(read_text_file(path) == "step,loss\n1,2\n");

  CHECK(error_of([&] {
          CsvWriter::resume(path, {"epoch", "loss"}, 1);
        }) == path.string() + ": expected the columns epoch,loss, got step,loss");
  anther::io::write_file_atomically(path, "step,loss\n1,2,3\n");
  CHECK(error_of([&] { CsvWriter::resume(path, columns, 1); }) ==
        path.string() + ": line 2: expected 2 cells, got 3");
  CHECK(read_text_file(path) == "step,loss\n1,2,3\n");
  anther::io::write_file_atomically(path, "no end");
  CHECK(contains(error_of([&] { CsvWriter::resume(path, columns, 1); }), path.string()));
}

TEST_CASE("csv: reading") {
  const TemporaryFolder folder;
  const auto path = folder / "a.csv";
  anther::io::write_file_atomically(path,
                                    "epoch,\"val,loss\",name\r\n1,2.5,\"x,\"\"y\"\r\n2,nan,\n");
  const auto table = read_csv(path);
  CHECK(table.columns == std::vector<std::string>{"epoch", "val,loss", "name"});
  CHECK(table.column("epoch") == std::vector<double>{1, 2});
  CHECK(table.column("val,loss")[0] == 2.5);
  CHECK(std::isnan(table.column("val,loss")[1]));
  CHECK(std::isnan(table.column("name")[0]));
  CHECK(table.column("other").empty());
}

TEST_CASE("csv: a full disk is named, and leaves whole rows") {
  const TemporaryFolder folder;
  const auto path = folder / "steps.csv";
  CsvWriter writer(path, {"step", "loss"});
  std::string message;
  int step = 0;
  {
    const LimitedFileSize limit(1000);
    message = error_of([&] {
      for (;;) {
        writer.row(step + 1, 0.123456789);
        ++step;
      }
    });
  }
  CHECK(message == path.string() + ": cannot write: File too large");
  const auto table = read_csv(path);
  CHECK(static_cast<int>(table.rows.size()) == step);
  CHECK(read_text_file(path).back() == '\n');
  writer.row(step + 1, 1);  // there is room again
  CHECK(static_cast<int>(read_csv(path).rows.size()) == step + 1);

  CHECK(contains(error_of([&] { CsvWriter(folder / "none/a.csv", {"a"}); }),
                 (folder / "none/a.csv").string() + ": cannot write: No such file"));
  CHECK_THROWS_AS(CsvWriter(path, {}), anther::Error);
}

}  // namespace
