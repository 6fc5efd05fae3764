// MNIST's IDX files: right ones, and what is said of wrong ones.
#include "anther/data/vision/idx.hpp"

#include <doctest/doctest.h>

#include <vector>

#include "test_files.hpp"

namespace {

using namespace anther;
using namespace anther::vision;
using test_files::contains;
using test_files::error_of;
using test_files::Folder;

// Three images of 2 x 2 pixels: 0, 1, 2, ... 11.
std::vector<std::uint8_t> images() {
  std::vector<std::uint8_t> bytes = {0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 2};
  for (std::uint8_t i = 0; i < 12; ++i) bytes.push_back(i);
  return bytes;
}
std::vector<std::uint8_t> labels() {
  return {0, 0, 8, 1, 0, 0, 0, 3, 9, 0, 4};
}
void write_all(const Folder& folder) {
  for (const char* part : {"train", "t10k"}) {
    folder.write(std::string(part) + "-images-idx3-ubyte", images());
    folder.write(std::string(part) + "-labels-idx1-ubyte", labels());
  }
}

TEST_CASE("IDX: images between 0 and 1 with their labels") {
  const Folder folder;
  write_all(folder);
  const MnistParts parts = open_mnist(folder.path());
  for (const data::DatasetPointer& part : {parts.train, parts.test}) {
    CHECK(part->size() == 3);
    CHECK(part->input_shape() == Shape{2, 2, 1});
    CHECK(part->target() == data::classes());
    CHECK(part->class_names().size() == 10);
    std::vector<float> input(4);
    std::vector<std::int32_t> label(1);
    part->load(1, {}, {.input = input, .classes = label, .numbers = {}});
    CHECK(input == std::vector<float>{4.f / 255, 5.f / 255, 6.f / 255, 7.f / 255});
    CHECK(label[0] == 0);
    part->load(2, {}, {.input = input, .classes = label, .numbers = {}});
    CHECK(label[0] == 4);
  }
}

TEST_CASE("IDX: what is wrong is named") {
  const Folder folder;
  write_all(folder);
  const std::string file = "train-images-idx3-ubyte";
  const auto error = [&](const std::string& name, std::vector<std::uint8_t> bytes) {
    folder.write(name, bytes);
    const std::string text = error_of([&] { open_mnist(folder.path()); });
    CHECK(contains(text, (folder.path() / name).string() + ": "));
    write_all(folder);
    return text;
  };
  const auto changed = [&](std::size_t at, std::uint8_t value) {
    auto bytes = images();
    bytes[at] = value;
    return bytes;
  };
  auto cut = images(), longer = images();
  cut.pop_back();
  longer.push_back(0);
  CHECK(contains(error(file, cut), ", got 27"));
  CHECK(contains(error(file, longer), ", got 29"));
  CHECK(contains(error(file, {}), "not an IDX file"));
  CHECK(contains(error(file, {0, 0, 8, 3, 0, 0}), "the file ends within its dimensions"));
  CHECK(contains(error(file, changed(0, 1)), "not an IDX file"));
  CHECK(contains(error(file, changed(2, 13)), "expected elements of the type 8 (bytes), got 13"));
  CHECK(contains(error(file, changed(3, 1)), "expected 3 dimensions, got 1"));
  CHECK(contains(error(file, changed(7, 0)), "expected dimensions of at least 1, got 0"));
  auto huge = images();
  for (const std::size_t at : {4, 8, 12}) huge[at] = 0xFF;
  CHECK(contains(error(file, huge), "too large"));
  CHECK(contains(error(file, {0x1F, 0x8B, 8, 0}), "unpack it with gunzip first"));
  CHECK(contains(error("train-labels-idx1-ubyte", {0, 0, 8, 1, 0, 0, 0, 3, 1, 10, 0}),
                 "label 1: expected 0 to 9, got 10"));
  CHECK(contains(error("t10k-labels-idx1-ubyte", {0, 0, 8, 1, 0, 0, 0, 2, 1, 2}),
                 "expected 3 labels for the images of "));

  std::filesystem::rename(folder.path() / file, folder.path() / (file + ".gz"));
  CHECK(contains(error_of([&] { open_mnist(folder.path()); }),
                 file + ".gz: the file is compressed; unpack it with gunzip first"));
  CHECK(contains(error_of([&] { open_mnist(folder.path() / "none"); }), "cannot be read"));
}

}  // namespace
