#include "anther/data/table.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "anther/data/loader.hpp"
#include "anther/io/atomic_file.hpp"
#include "tests/io/temporary_folder.hpp"

namespace {

using namespace anther;
using namespace anther::data;

TEST_CASE("table: a file's columns, the target apart") {
  const TemporaryFolder folder;
  const auto path = folder / "houses.csv";
  io::write_file_atomically(path, "rooms,price,age\n3,100.5,20\n5,250,1\n1,40,99\n");
  const auto table = read_table(path, {.target = "price"});
  CHECK(table->size() == 3);
  CHECK(table->input_shape() == Shape{2});
  CHECK(table->target() == numbers());
  CHECK(table->class_names().empty());
  Loader loader(table, {.batch_size = 2});
  Batch batch;
  loader.start_epoch(0);
  REQUIRE(loader.next(batch));
  CHECK(std::vector<float>(batch.inputs.begin(), batch.inputs.end()) ==
        std::vector<float>{3, 20, 5, 1});
  CHECK(batch.values == std::vector<float>{100.5f, 250});
  CHECK(batch.labels.empty());

  const auto some = read_table(path, {.target = "rooms", .features = {"age"}});
  CHECK(some->input_shape() == Shape{1});

  const auto error = [&](const TableOptions& options) {
    return error_of([&] { read_table(path, options); });
  };
  CHECK(contains(error({.target = "prize"}), "houses.csv: expected a column \"prize\""));
  CHECK(contains(error({.target = "price", .features = {"rooms", "garden"}}), "\"garden\""));
  CHECK(contains(error({.target = "price", .features = {"rooms", "price"}}),
                 "expected features without the target and each once, got \"price\", the target"));
  CHECK(
      contains(error({.target = "price", .features = {"rooms", "rooms"}}), "got \"rooms\" twice"));
  io::write_file_atomically(path, "rooms,price\n3,100.5\n5,much\n");
  CHECK(contains(error({.target = "price"}), "line 3, column \"price\": expected a number"));
  io::write_file_atomically(path, "price\n3\n");
  CHECK(contains(error({.target = "price"}), "columns beside the target"));
}

TEST_CASE("table: files as people and other programs write them") {
  const TemporaryFolder folder;
  const auto path = folder / "a.csv";
  using Rows = std::vector<std::vector<float>>;  // the inputs and, last, the target
  const auto rows = [&](const std::string& text, const TableOptions& options = {.target = "y"}) {
    io::write_file_atomically(path, text);
    const auto table = read_table(path, options);
    Rows all;
    for (std::int64_t i = 0; i < table->size(); ++i) {
      std::vector<float>& row = all.emplace_back(table->input_shape().numel() + 1);
      const std::span<float> numbers(row);
      table->load(
          i, {},
          {.input = numbers.first(row.size() - 1), .classes = {}, .numbers = numbers.last(1)});
    }
    return all;
  };
  const Rows two = {{1, 2}, {3, 4}};
  for (const char* text :
       {"x,y\n1,2\n3,4\n", "x,y\n1,2\n3,4", "x,y\r\n1,2\r\n3,4", "x,y\n1,2\n3,4\n\n",
        "x,y\r\n1,2\r\n3,4\r\n\r\n", "x,y\n1,2\n3,4\n \n", "x,y\r1,2\r3,4\r", "x,y\r1,2\r3,4",
        "x, y\n1, 2\n 3 ,4 \n", "\"x\",\"y\"\n\"1\",\"2\"\n3,\t4\n"}) {
    CAPTURE(text);
    CHECK(rows(text) == two);
  }
  CHECK(rows("x,y").empty());
  CHECK(contains(error_of([&] { rows("\n"); }), "expected a line that names the columns"));
  CHECK(contains(error_of([&] { rows("x,y\n1,2\n\n3,4\n"); }), "line 3: expected 2 cells, got 1"));

  // Two columns of one name.
  CHECK(rows("x,x,y\n1,2,3\n") == Rows{{1, 2, 3}});
  CHECK(contains(error_of([&] { rows("x,y,y\n1,2,3\n"); }), "a column \"y\", found several"));
  CHECK(contains(error_of([&] { rows("x,x,y\n1,2,3\n", {.target = "y", .features = {"x"}}); }),
                 "a column \"x\", found several"));

  CHECK(rows("x,y\n+1,+2e0\n") == Rows{{1, 2}});
  CHECK(contains(error_of([&] { rows("x,y\n+-1,2\n"); }), "expected a number"));
  CHECK(rows("x,y\n3e38,1e-50\n") == Rows{{3e38f, 0}});
  CHECK(contains(error_of([&] { rows("x,y\n1,2\n1e39,4\n"); }),
                 "line 3, column \"x\": expected a number that a float can hold, got 1e+39"));
  CHECK(error_of([&] { rows("x,y\n1,\n"); }).ends_with("column \"y\": expected a number"));
}

TEST_CASE("table: targets of any kind") {
  const Table vectors(Tensor<float>({4, 2}), Tensor<float>({4, 3}));
  CHECK(vectors.target() == numbers({3}));
  const Table labelled(Tensor<float>({2, 5}), std::vector<std::int32_t>{1, 0}, {}, {"a", "b"});
  CHECK(labelled.target() == classes());
  CHECK(labelled.class_names()[1] == "b");
  CHECK(contains(error_of([] {
                   Table(Tensor<float>({2, 5}), std::vector<std::int32_t>{1, 2}, {}, {"a", "b"});
                 }),
                 "expected labels below 2, the names of classes, got 2 of row 2"));
  const Table maps(Tensor<float>({2, 2, 3, 1}), std::vector<std::int32_t>(12), {2, 3});
  CHECK(maps.input_shape() == Shape{2, 3, 1});
  CHECK(maps.target() == classes({2, 3}));
  CHECK(contains(error_of([] {
                   Table(Tensor<float>({4, 2}), Tensor<float>({3}));
                 }),
                 "a target for each of 4 samples, got the shape (3)"));
  CHECK(contains(error_of([] {
                   Table(Tensor<float>({2, 2}), std::vector<std::int32_t>(3), Shape{2});
                 }),
                 "expected 4 labels for 2 samples, got 3"));
}

TEST_CASE("split: two parts without a sample in common, the same ones for the same seed") {
  Tensor<float> inputs({50, 1}), targets({50});
  for (std::int64_t i = 0; i < 50; ++i) inputs[i] = targets[i] = static_cast<float>(i);
  const DatasetPointer table = std::make_shared<const Table>(std::move(inputs), targets);
  const auto names = [](const Dataset& part) {
    std::vector<std::string> all;
    for (std::int64_t i = 0; i < part.size(); ++i) all.push_back(part.name(i));
    return all;
  };
  const auto [train, val] = split(table, 0.2, 7);
  CHECK(train->size() == 40);
  CHECK(val->size() == 10);
  std::set<std::string> all;
  for (const auto& part : {names(*train), names(*val)}) all.insert(part.begin(), part.end());
  CHECK(all.size() == 50);
  const auto [again, again_val] = split(table, 0.2, 7);
  CHECK(names(*again_val) == names(*val));
  const auto [other, other_val] = split(table, 0.2, 8);
  CHECK(names(*other_val) != names(*val));
  // Each has at least one sample.
  CHECK(split(table, 0.001, 1).second->size() == 1);
  CHECK(split(table, 0.999, 1).first->size() == 1);
  float value = 0, target = 0;
  val->load(3, {}, {.input = {&value, 1}, .classes = {}, .numbers = {&target, 1}});
  CHECK(val->name(3) == "row " + std::to_string(static_cast<int>(value) + 1));
  CHECK(target == value);
  CHECK(contains(error_of([&] { split(table, 1, 1); }), "a share between 0 and 1, got 1"));
  CHECK(contains(error_of([&] { Subset(table, {50}); }), "below 50, got 50"));
}

}  // namespace
