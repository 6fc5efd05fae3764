// Flowers-102, class folders, CIFAR-10, the painted flowers; and telling them apart.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "anther/data/vision/open.hpp"
#include "anther/painted/opener.hpp"
#include "image_samples.hpp"
#include "mat_writer.hpp"
#include "test_files.hpp"

namespace {

using namespace anther;
using namespace anther::data;
using namespace anther::painted;
using namespace anther::vision;
using test_files::contains;
using test_files::error_of;
using test_files::Folder;

// Six images in the published layout.
void write_flowers(const Folder& folder) {
  for (int i = 1; i <= 6; ++i)
    folder.write("jpg/image_0000" + std::to_string(i) + ".jpg",
                 i == 2 ? samples::jpeg_grey : samples::jpeg_rgb);
  folder.write("imagelabels.mat", mat_writer::file({mat_writer::compressed(mat_writer::array(
                                      "labels", {1, 6}, 2, {77, 1, 102, 5, 6, 7}, 9))}));
  folder.write("setid.mat",
               mat_writer::file(
                   {mat_writer::compressed(mat_writer::array("trnid", {1, 1}, 4, {3}, 11)),
                    mat_writer::compressed(mat_writer::array("valid", {1, 2}, 4, {2, 4}, 11)),
                    mat_writer::compressed(mat_writer::array("tstid", {1, 3}, 4, {6, 1, 5}, 11))}));
}

TEST_CASE("the names of the flowers are 102 and in the published order") {
  CHECK(std::set<std::string_view>(flower_names.begin(), flower_names.end()).size() == 102);
  const std::pair<std::size_t, const char*> some[] = {
      {1, "pink primrose"},       {12, "colt's foot"},   {21, "fire lily"},
      {40, "lenten rose"},        {51, "petunia"},       {54, "sunflower"},
      {60, "pink-yellow dahlia"}, {73, "water lily"},    {77, "passion flower"},
      {84, "columbine"},          {95, "bougainvillea"}, {102, "blackberry lily"}};
  for (const auto& [number, name] : some) CHECK(flower_names[number - 1] == name);
}

TEST_CASE("some of the classes, numbered anew, in every part") {
  CHECK(parse_classes("0-2", 4) == std::vector<std::int64_t>{0, 1, 2});
  CHECK(parse_classes("1,3", 4) == std::vector<std::int64_t>{1, 3});
  CHECK(parse_classes("0,2-3", 4) == std::vector<std::int64_t>{0, 2, 3});
  for (const char* wrong :
       {"", "4", "0-4", "-1", "0-", "x", "0,", "1 2", "0-1-2", "99999999999999999999"})
    CHECK(contains(error_of([&] { parse_classes(wrong, 4); }),
                   "classes: expected numbers from 0 to 3, like 0-81 or 3,5,7-9, got "));
  for (const char* wrong : {"2-1", "1,1", "1,0", "0-2,2"})
    CHECK(contains(error_of([&] { parse_classes(wrong, 4); }), "rising order"));

  const auto painted = open_data("painted", {.image_size = 32}, {opener({.train = 20})}).train;
  for (const std::vector<std::int64_t>& wrong : {std::vector<std::int64_t>{0, 17}, {-1}, {3, 3}})
    CHECK(error_of([&] { ClassSubset(painted, wrong); }) ==
          "classes: expected numbers from 0 to 16, each once, got " + std::to_string(wrong.back()));

  const auto open = [] {
    return open_data("painted", {.image_size = 32}, {opener({.train = 60, .val = 40, .test = 40})});
  };
  const OpenedData whole = open();
  OpenedData some = open(), rest = open();
  select_classes(some, "2,5-6");
  select_classes(rest, "0-1,3-4,7-16");
  CHECK(some.class_names ==
        std::vector<std::string>{whole.class_names[2], whole.class_names[5], whole.class_names[6]});
  CHECK(some.train->class_names() == some.class_names);
  CHECK(contains(some.description, "; of the classes 2,5-6: "));
  CHECK(some.train->size() + rest.train->size() == 60);
  CHECK(some.test->size() + rest.test->size() == 40);
  std::int64_t at = 0;
  for (std::int64_t i = 0; i < whole.val->size(); ++i) {
    const int label = whole.val->label(i);
    if (label != 2 && label != 5 && label != 6) continue;
    REQUIRE(at < some.val->size());
    CHECK(some.class_names[static_cast<std::size_t>(some.val->label(at))] ==
          whole.class_names[static_cast<std::size_t>(label)]);
    CHECK(some.val->name(at) == whole.val->name(i));
    CHECK(some.val->image(at).pixels == whole.val->image(i).pixels);
    ++at;
  }
  CHECK(at == some.val->size());
  CHECK(at > 0);

  // Where validation and test are one, they stay one; a class without images is not taken.
  const Folder folder;
  write_flowers(folder);
  OpenedData flowers = open_data(folder.path().string());
  CHECK(contains(error_of([&] { select_classes(flowers, "6"); }),
                 "classes: expected images of each part, got 1 images to train on, 0 to validate"));
}

TEST_CASE("Flowers-102: labels from 0, and the split paddle swaps training and test") {
  const Folder folder;
  write_flowers(folder);
  const OpenedData paddle = open_data(folder.path().string());
  CHECK(paddle.kind == "flowers102");
  CHECK(paddle.class_names.size() == 102);
  CHECK(paddle.train->size() == 3);
  CHECK(paddle.val->size() == 2);
  CHECK(paddle.test->size() == 1);
  CHECK(paddle.train->label(0) == 6);
  CHECK(paddle.train->label(1) == 76);
  CHECK(paddle.test->label(0) == 101);
  CHECK(paddle.val->label(0) == 0);
  CHECK(paddle.val->image(0).width == 16);
  CHECK(paddle.val->name(0) == (folder.path() / "jpg/image_00002.jpg").string());
  CHECK(contains(paddle.description,
                 "split paddle: 3 images to train on, 2 to validate, 1 to test, 102 classes"));

  const OpenedData official = open_data(folder.path().string(), {.split = "official"});
  CHECK(official.train->size() == 1);
  CHECK(official.test->size() == 3);
  CHECK(official.val_name == "valid");
  CHECK(official.test_name == "test");
  const OpenedData trainval = open_data(folder.path().string(), {.split = "trainval"});
  CHECK(trainval.train->size() == 3);
  CHECK(trainval.train->name(0) == official.train->name(0));
  CHECK(trainval.train->name(1) == official.val->name(0));
  CHECK(trainval.test->name(2) == official.test->name(2));
  CHECK(trainval.val == trainval.test);
  CHECK(trainval.val_name == "test");
  CHECK(
      contains(error_of([&] { open_data(folder.path().string(), {.split = "odd"}); }), "\"odd\""));
}

TEST_CASE("Flowers-102: what is missing or wrong is named") {
  const Folder folder;
  const auto error = [&] { return error_of([&] { open_data(folder.path().string()); }); };
  const std::string base = folder.path().string();
  CHECK(contains(error_of([&] { open_data(base + "/none"); }), base + "/none: no such folder"));
  write_flowers(folder);
  std::filesystem::remove(folder.path() / "jpg/image_00005.jpg");
  CHECK(contains(error(), base + "/jpg/image_00005.jpg: missing"));
  folder.write("jpg/image_00005.jpg", {1, 2, 3});
  CHECK(error() == "");  // decoded only when it is needed
  CHECK(contains(error_of([&] { open_data(base).train->image(2); }),
                 base + "/jpg/image_00005.jpg: not an image"));

  folder.write("setid.mat", mat_writer::file({mat_writer::array("trnid", {1, 1}, 4, {7}, 11)}));
  CHECK(contains(error(),
                 base + "/setid.mat: variable trnid: expected whole numbers from 1 to 6, found 7"));
  folder.write("setid.mat", mat_writer::file({mat_writer::array("trnid", {1, 1}, 4, {1}, 11)}));
  CHECK(contains(error(), base + "/setid.mat: no variable valid"));
  std::filesystem::remove(folder.path() / "setid.mat");
  CHECK(contains(error(), base + "/setid.mat: "));
  write_flowers(folder);
  folder.write("imagelabels.mat",
               mat_writer::file({mat_writer::array("labels", {1, 2}, 2, {0, 3}, 9)}));
  CHECK(contains(
      error(),
      base + "/imagelabels.mat: variable labels: expected whole numbers from 1 to 102, found 0"));
}

TEST_CASE("class folders: classes sorted bytewise, val by name") {
  const Folder folder;
  for (const char* file : {"train/rose/b.jpg", "train/rose/A.JPG", "train/Zinnia/x/deep.jpeg",
                           "train/aster/1.png", "val/rose/v.jpg", "val/aster/w.png"})
    folder.write(file, contains(file, "png") ? samples::png_rgb : samples::jpeg_rgb);
  folder.write("train/rose/notes.txt", {1});
  folder.write("train/rose/.hidden.jpg", {1});
  const OpenedData data = open_data(folder.path().string());
  CHECK(data.kind == "class-folders");
  CHECK(data.class_names == std::vector<std::string>{"Zinnia", "aster", "rose"});
  REQUIRE(data.train->size() == 4);
  CHECK(data.train->name(2) == (folder.path() / "train/rose/A.JPG").string());
  CHECK(data.train->label(3) == 2);
  CHECK(data.train->image(1).width == 8);
  CHECK(data.val->size() == 2);
  CHECK(data.val->label(0) == 1);
  CHECK(data.val->label(1) == 2);
  CHECK(data.test == data.val);
  CHECK(data.val_name == "val");
  CHECK(data.test_name == "val");
  CHECK(contains(data.description, "2 to validate, none to test"));

  folder.write("val/tulip/w.jpg", samples::jpeg_rgb);
  const auto error = [&] { return error_of([&] { open_data(folder.path().string()); }); };
  CHECK(contains(error(), "val/tulip: there is no such class in train"));
  std::filesystem::remove_all(folder.path() / "val/tulip");
  folder.write("test/rose/t.jpg", samples::jpeg_rgb);
  CHECK(open_data(folder.path().string()).test->size() == 1);
  CHECK(open_data(folder.path().string()).test_name == "test");
  std::filesystem::create_directories(folder.path() / "train/empty");
  CHECK(contains(error(),
                 "train/empty: the class has no image file that is known (JPEG, PNG, BMP, GIF)"));
  std::filesystem::create_directories(folder.path() / "train/a\nb");
  std::filesystem::remove_all(folder.path() / "train/empty");
  CHECK(contains(error(), "train/a\nb: expected a class's name without line breaks"));
}

TEST_CASE(
    "class folders without val: a share of each class is held out, the same one for the same "
    "seed") {
  const Folder folder;
  const std::map<std::string, int> sizes = {{"a", 20}, {"b", 34}, {"c", 2}};
  for (const auto& [name, size] : sizes)
    for (int i = 0; i < size; ++i)
      folder.write("train/" + name + "/" + std::to_string(i) + ".jpg", {1});
  const auto names = [](const ImageSet& data) {
    std::set<std::string> found;
    for (std::int64_t i = 0; i < data.size(); ++i) found.insert(data.name(i));
    return found;
  };
  const OpenedData data = open_data(folder.path().string(), {.val_fraction = 0.1, .seed = 3});
  std::map<int, int> counts;
  for (std::int64_t i = 0; i < data.val->size(); ++i) ++counts[data.val->label(i)];
  for (int label = 0; label < 3; ++label) CHECK(counts[label] >= 1);
  const std::int64_t held_out = data.val->size();
  CHECK(data.train->size() == 56 - held_out);
  CHECK(held_out < 15);  // 5.6 are expected
  std::set<std::string> both = names(*data.train);
  both.merge(names(*data.val));
  CHECK(both.size() == 56);
  CHECK(contains(data.description, "no val folder, " + std::to_string(held_out) +
                                       " images of train are held out for it"));

  const auto val_of = [&](std::uint64_t seed) {
    return names(*open_data(folder.path().string(), {.seed = seed}).val);
  };
  CHECK(val_of(3) == val_of(3));
  CHECK(val_of(3) != val_of(4));
  CHECK(error_of([&] { open_data(folder.path().string(), {.val_fraction = 1}); }) != "");
}

TEST_CASE("class folders: files that are not decoded are named, or left out and counted") {
  const Folder folder;
  for (const char* file : {"train/a/1.jpg", "train/a/2.jpg", "train/b/1.jpg", "train/b/2.jpg"})
    folder.write(file, samples::jpeg_rgb);
  folder.write("train/b/3.TIFF", {1});
  const std::string path = folder.path().string();
  CHECK(error_of([&] { open_data(path); }) ==
        path + "/train/b/3.TIFF: TIFF is not supported; convert it to JPEG or PNG");
  const OpenedData data = open_data(path, {.skip_bad = true});
  CHECK(data.train->size() + data.val->size() == 4);
  CHECK(contains(data.description, "1 files of unsupported formats left out"));
  folder.write("train/b/4.heic", {1});
  std::filesystem::remove(folder.path() / "train/b/3.TIFF");
  CHECK(contains(error_of([&] { open_data(path); }), "HEIC is not supported"));
}

TEST_CASE("CIFAR-10: planes become pixels, sizes and labels are checked") {
  const Folder folder;
  Bytes bytes(2 * Cifar10::record);
  bytes[0] = 9;
  bytes[Cifar10::record] = 3;
  for (std::size_t channel = 0; channel < 3; ++channel)
    bytes[1 + channel * 1024 + 33] = static_cast<std::uint8_t>(10 + channel);  // row 1, column 1
  folder.write("data_batch_1.bin", bytes);
  const Cifar10 data({folder.path() / "data_batch_1.bin"}, 2);
  CHECK(data.size() == 2);
  CHECK(data.label(0) == 9);
  CHECK(data.label(1) == 3);
  const Image image = data.image(0);
  CHECK(image.width == 32);
  CHECK(image.row(1)[3] == 10);
  CHECK(image.row(1)[5] == 12);
  CHECK(contains(data.name(1), "data_batch_1.bin: image 1"));

  // As a whole it has 10,000 images a file.
  CHECK(
      contains(error_of([&] { open_data(folder.path().string()); }),
               "data_batch_1.bin: expected 30730000 bytes (10000 images of CIFAR-10), found 6146"));
  bytes[Cifar10::record] = 10;
  folder.write("x.bin", bytes);
  CHECK(contains(error_of([&] { Cifar10({folder.path() / "x.bin"}, 2); }),
                 "x.bin: image 1: expected a label of 0 to 9"));

  const Folder whole;  // files of zeros that take no room on the disk
  for (const char* file : {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                           "data_batch_4.bin", "data_batch_5.bin", "test_batch.bin"}) {
    whole.write(std::string("cifar-10-batches-bin/") + file, {});
    std::filesystem::resize_file(whole.path() / "cifar-10-batches-bin" / file, 30'730'000);
  }
  const OpenedData opened = open_data(whole.path().string());
  CHECK(opened.kind == "cifar10");
  CHECK(opened.val_name == "test");
  CHECK(opened.train->size() == 50'000);
  CHECK(opened.test->size() == 10'000);
  CHECK(opened.class_names[9] == "truck");
  CHECK(contains(opened.train->name(49'999), "data_batch_5.bin: image 9999"));
}

TEST_CASE("a folder of another kind is refused, and told what is known") {
  const Folder folder;
  folder.write("photo.dat", samples::jpeg_rgb);
  const std::string error = error_of([&] { open_data(folder.path().string()); });
  CHECK(contains(error, folder.path().string() + ": not a data set that is known"));
  CHECK(contains(error, "train/<class>/"));
  CHECK_FALSE(contains(error, "painted"));  // unless a program knows them
  CHECK(contains(error_of([&] { open_data(folder.path().string(), {}, {opener()}); }),
                 "Expected one of: the word painted, Flowers-102 ("));
  CHECK(contains(error_of([] { open_data("painted"); }), "painted: no such folder"));
  CHECK(contains(error_of([&] { open_data((folder.path() / "photo.dat").string()); }),
                 "expected a folder, found a file"));
  folder.write("photo.jpg", samples::jpeg_rgb);
  CHECK(contains(error_of([&] { open_data(folder.path().string()); }),
                 "expected a folder for each class, found 1 images without a label"));
}

TEST_CASE("painted flowers are a function of seed, index and size") {
  const PaintedFlowers flowers({.size = 34, .image_size = 64, .seed = 5});
  CHECK(flowers.class_names().size() == 17);
  std::set<std::vector<std::uint8_t>> different;
  for (std::int64_t i = 0; i < flowers.size(); ++i) {
    const Image image = flowers.image(i);
    CHECK(image.width == 64);
    CHECK(image.height == 64);
    CHECK(flowers.label(i) == i % 17);
    CHECK(image == PaintedFlowers({.size = 100, .image_size = 64, .seed = 5}).image(i));
    different.insert(image.pixels);
    const auto [darkest, brightest] = std::minmax_element(image.pixels.begin(), image.pixels.end());
    CHECK(*brightest - *darkest > 60);
  }
  CHECK(different.size() == 34);
  CHECK(flowers.image(3) != PaintedFlowers({.size = 34, .image_size = 64, .seed = 6}).image(3));
  CHECK_THROWS_AS(flowers.image(34), Error);
  CHECK_THROWS_AS(PaintedFlowers({.image_size = 8}), Error);

  // The same picture, larger: about the same colours.
  const auto mean = [](const Image& image) {
    double sum = 0;
    for (const std::uint8_t level : image.pixels) sum += level;
    return sum / static_cast<double>(image.pixels.size());
  };
  CHECK(mean(flowers.image(7)) ==
        doctest::Approx(mean(PaintedFlowers({.size = 34, .image_size = 128, .seed = 5}).image(7)))
            .epsilon(0.05));
}

TEST_CASE("painted flowers are the same whatever compiled them") {
  // The mean levels of the first few.
  constexpr std::array<double, 8> means = {74.8, 89.4, 175.8, 75.2, 113.9, 86.4, 35.5, 112.4};
  const PaintedFlowers flowers({.size = 8, .image_size = 32});
  for (std::size_t i = 0; i < means.size(); ++i) {
    const Image image = flowers.image(static_cast<std::int64_t>(i));
    const double sum = std::accumulate(image.pixels.begin(), image.pixels.end(), 0.0);
    CHECK(sum / static_cast<double>(image.pixels.size()) ==
          doctest::Approx(means[i]).epsilon(0.005));
  }
}

TEST_CASE("the painted flowers' parts have no image in common") {
  const OpenedData data =
      open_data("painted", {.image_size = 32}, {opener({.train = 40, .val = 30, .test = 30})});
  CHECK(data.kind == "painted");
  CHECK(contains(data.description, "no photographs"));
  std::set<std::vector<std::uint8_t>> all;
  for (const ImageSetPointer& part : {data.train, data.val, data.test})
    for (std::int64_t i = 0; i < part->size(); ++i) all.insert(part->image(i).pixels);
  CHECK(all.size() == 100);
}

}  // namespace
