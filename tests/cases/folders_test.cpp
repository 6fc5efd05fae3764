// Folders as people have them: other names of parts, pictures without labels, hidden folders,
// links, classes that are empty or alone; and what is held out when pictures come and go.
#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "anther/data/vision/check_dataset.hpp"
#include "anther/data/vision/open.hpp"
#include "anther/data/vision/png.hpp"
#include "tests/data/vision/test_files.hpp"

namespace {

using namespace anther;
using namespace anther::vision;
using test_files::contains;
using test_files::error_of;
namespace fs = std::filesystem;

// A picture of noise around a colour; each seed has another one.
std::vector<std::uint8_t> picture(std::uint64_t seed) {
  Image image(12, 12);
  for (std::size_t i = 0; i < image.pixels.size(); ++i)
    image.pixels[i] = static_cast<std::uint8_t>(random_bits(RandomKey(seed), i) & 255);
  return encode_png(image);
}

struct DataFolder : test_files::Folder {
  // count pictures of each class in a part, all of them different.
  void add(const std::string& part, int count,
           const std::vector<std::string>& classes = {"a", "b", "c"}) const {
    for (const std::string& name : classes)
      for (int i = 0; i < count; ++i)
        add_file(part + "/" + name + "/" + std::to_string(i) + ".png");
  }
  void add_file(const std::string& file) const {
    write(file, picture(RandomKey(0).fold(file).value()));
  }
  OpenedData open(OpenOptions options = {}) const {
    options.seed = 42;
    return open_data(path().string(), options);
  }
  std::string error(const OpenOptions& options = {}) const {
    return error_of([&] { open(options); });
  }
  // The names of a part's images, without the folder.
  std::set<std::string> names(const ImageSet& part) const {
    std::set<std::string> found;
    for (std::int64_t i = 0; i < part.size(); ++i)
      found.insert(part.name(i).substr(path().string().size() + 1));
    return found;
  }
};

bool says(const std::vector<std::string>& lines, const std::string& part) {
  return std::any_of(lines.begin(), lines.end(),
                     [&](const std::string& line) { return contains(line, part); });
}

TEST_CASE("parts are known by their usual names, in capitals or not") {
  for (const char* train : {"train", "Train", "TRAIN", "training", "training_set"})
    for (const char* val : {"val", "valid", "validation", "dev", "Val", "Validation"}) {
      const DataFolder folder;
      folder.add(train, 4);
      folder.add(val, 2);
      folder.add("Test", 3);
      const OpenedData data = folder.open();
      CAPTURE(val);
      CHECK(data.train->size() == 12);
      CHECK(data.val->size() == 6);
      CHECK(data.test->size() == 9);
      CHECK(data.val_name == val);
      CHECK(data.test_name == "Test");
      CHECK(contains(data.description, std::string("(") + train + ", " + val + ", Test)"));
      CHECK(contains(data.description, "12 images to train on, 6 to validate, 9 to test"));
    }
  const DataFolder both;
  both.add("train", 2);
  both.add("val", 1);
  both.add("valid", 1);
  CHECK(contains(both.error(), "expected one folder for a part, found val and valid"));
}

TEST_CASE("what each layout means") {
  const DataFolder train_and_test;
  train_and_test.add("train", 20);
  train_and_test.add("test", 5);
  const OpenedData chosen_by_val = train_and_test.open();
  CHECK(chosen_by_val.has_test());
  CHECK(chosen_by_val.train->size() + chosen_by_val.val->size() == 60);
  CHECK(chosen_by_val.val->size() >= 3);
  CHECK(chosen_by_val.test->size() == 15);
  // Nothing is held out for nothing.
  const OpenedData chosen_by_test = train_and_test.open({.choose_by_test = true});
  CHECK(chosen_by_test.train->size() == 60);
  CHECK(chosen_by_test.test->size() == 15);
  CHECK(chosen_by_test.test_name == "test");

  const DataFolder train_only;
  train_only.add("train", 20);
  const OpenedData alone = train_only.open();
  CHECK_FALSE(alone.has_test());
  CHECK(alone.val->size() >= 3);
  // The same without the folder train.
  const DataFolder plain;
  plain.add(".", 20);
  const OpenedData same = plain.open();
  CHECK(same.class_names == std::vector<std::string>{"a", "b", "c"});
  CHECK(same.train->size() == alone.train->size());
  CHECK(same.held_out == alone.held_out);

  // An empty folder is as none.
  fs::create_directories(train_only.path() / "valid" / "a");
  fs::create_directories(train_only.path() / "test");
  const OpenedData empty = train_only.open();
  CHECK(empty.held_out == alone.held_out);
  CHECK(contains(empty.description, "valid has no images"));
  CHECK(contains(empty.description, "test has no images"));
}

TEST_CASE("layouts that would be mistaken for classes are refused") {
  const DataFolder no_train;
  no_train.add("val", 2);
  no_train.add("test", 2);
  CHECK(contains(no_train.error(), "it has val, but no folder train"));
  for (const char* only : {"train/train", "train/images", "Training_Set/training_set"}) {
    const DataFolder one_more;
    one_more.add(only, 2);
    CAPTURE(only);
    CHECK(contains(one_more.error(), "with 3 folders in it: if these are the classes, move them"));
  }
  const DataFolder one_class;  // these are no classes: the class has images of its own
  one_class.add("train/only", 2);
  one_class.add_file("train/only/0.png");
  CHECK(one_class.open().class_names == std::vector<std::string>{"only"});
  const DataFolder nested;  // as archives unpack
  nested.add("archive/train", 2);
  nested.add("archive/val", 2);
  nested.add("__MACOSX/train", 2);
  CHECK(contains(nested.error(), "/archive is one: give that folder"));
  const DataFolder below;  // images/<class>/ beside lists
  below.add("images", 2);
  below.add_file("meta/list.png");
  CHECK(contains(below.error(), "/images is one: give that folder"));
  const DataFolder flat;
  for (int i = 0; i < 3; ++i) flat.add_file("train/" + std::to_string(i) + ".png");
  CHECK(contains(flat.error(), "expected a folder for each class, found none, and 3 images"));
  const DataFolder flat_val;
  flat_val.add("train", 3);
  flat_val.add_file("val/1.png");
  CHECK(contains(flat_val.error(), "val: expected a folder for each class, found 1 images"));
}

TEST_CASE("pictures of classes may lie in folders below only, without train too") {
  for (const char* place : {"", "train/", "flowers/"}) {
    const DataFolder folder;
    for (const char* name : {"a/2023/", "b/2024/5/"})
      for (const char* file : {"1.png", "2.png", "3.png"})
        folder.add_file(std::string(place) + name + file);
    if (place == std::string("flowers/")) {
      CHECK(contains(folder.error(), "/flowers is one: give that folder"));
      continue;
    }
    const OpenedData data = folder.open();
    CHECK(data.class_names == std::vector<std::string>{"a", "b"});
    CHECK(data.train->size() + data.val->size() == 6);
    // Folders in a class could be the classes as well.
    folder.add_file(std::string(place) + "a/2024/1.png");
    if (place == std::string())
      CHECK(contains(folder.error(),
                     "/a is one: give that folder; or, if its folders are no "
                     "classes, move all into "));
    else
      CHECK(folder.open().class_names.size() == 2);
  }
}

TEST_CASE("a folder that may be listed but not entered is named") {
  const DataFolder whole, of_parts;
  whole.add(".", 2);
  of_parts.add("train", 2);
  of_parts.add("val", 2);
  const auto others = fs::perms::group_all | fs::perms::others_all;
  struct AsNobody {  // root may enter any folder
    AsNobody() : changed(::geteuid() == 0 && ::seteuid(65534) == 0) {}
    ~AsNobody() {
      if (changed) CHECK(::seteuid(0) == 0);
    }
    bool changed;
  };
  for (const DataFolder* folder : {&whole, &of_parts}) {
    fs::permissions(folder->path(), others, fs::perm_options::add);
    for (const char* name : {".", "a", "train", "train/a", "val/b"}) {
      const fs::path path = folder->path() / name;
      if (!fs::is_directory(path)) continue;
      const fs::perms before = fs::status(path).permissions();
      const fs::perms execute =
          fs::perms::owner_exec | fs::perms::group_exec | fs::perms::others_exec;
      fs::permissions(path, execute, fs::perm_options::remove);
      CAPTURE(path);
      {
        const AsNobody nobody;
        if (::geteuid() != 0) CHECK(contains(folder->error(), ": Permission denied"));
      }
      fs::permissions(path, before);
    }
    CHECK(folder->open().class_names.size() == 3);
  }
}

TEST_CASE("parts under longer names, and parts that are links") {
  for (const auto& [train, val, test] : {std::array{"trainset", "valset", "testset"},
                                         {"train_images", "val_images", "test_images"},
                                         {"train2017", "val2017", "test2017"},
                                         {"Training Data", "Validate", "Tests"},
                                         {"train", "eval", "test1"},
                                         {"train-dataset", "evaluation", "testing_img"}}) {
    const DataFolder folder;
    folder.add(train, 4);
    folder.add(val, 2);
    folder.add(test, 3);
    CAPTURE(train);
    CHECK(folder.open().train->size() == 12);
    CHECK(folder.open().val->size() == 6);
    CHECK(folder.open().test->size() == 9);
    // The plain name goes before.
    folder.add("val", 1);
    CHECK(folder.open().val->size() == 3);
    CHECK(says(folder.open().warnings, std::string(val) + ": this folder is no part"));
  }
  // As competitions have it: pictures, and a table of their labels. These are no two classes.
  const DataFolder flat;
  for (const char* place : {"train_images/", "test_images/"})
    for (int i = 0; i < 4; ++i) flat.add_file(place + std::to_string(i) + ".png");
  CHECK(contains(flat.error(),
                 "train_images: expected a folder for each class, found none, and 4 "
                 "images without a label; where a table"));
  // Without one to train on these are classes.
  const DataFolder classes;
  classes.add(".", 3, {"test1", "test2", "eval"});
  CHECK(classes.open().class_names.size() == 3);

  const DataFolder linked;
  linked.add("train", 4);
  fs::create_directory_symlink("/nowhere", linked.path() / "valid");
  CHECK(contains(linked.error(), "valid: a link that leads nowhere"));
}

TEST_CASE("folders that are no classes: annotations, parts within classes, one class") {
  for (const char* place : {"", "train/"})
    for (const char* other : {"masks", "labels", "Annotations"}) {
      const DataFolder folder;
      folder.add_file(std::string(place) + "images/1.png");
      folder.add_file(std::string(place) + "images/2.png");
      folder.add_file(std::string(place) + other + "/1.png");
      CHECK(contains(folder.error(), std::string("found images and ") + other));
    }
  const DataFolder within;
  for (const char* name : {"a", "b"})
    for (const char* part : {"train", "test"}) within.add_file(fs::path(name) / part / "1.png");
  CHECK(contains(within.error(), "the parts within the classes: move "));
  CHECK(contains(within.error(), "/a/train to "));
  CHECK(contains(within.error(), "/train/a, and the others"));
  const DataFolder once_more;
  once_more.add("train", 4);
  once_more.add("val/val", 2);
  CHECK(contains(once_more.error(), "/val/val, with 3 folders in it"));
  const DataFolder one;
  one.add("train", 4, {"only"});
  CHECK(says(one.open().warnings, "there is one class only, only: nothing to tell apart"));
  // Without train/ it may be a folder of pictures without labels.
  for (const char* below : {"", "2024/"}) {
    const DataFolder alone;
    for (int i = 0; i < 4; ++i)
      alone.add_file("only/" + std::string(below) + std::to_string(i) + ".png");
    CHECK(contains(alone.error(), "expected at least two classes' folders, found images in "));
    CHECK(contains(alone.error(), "/only alone; if it is a class, move it to "));
    CHECK(contains(alone.error(), "/train/only"));
  }
}

TEST_CASE("classes whose names only look alike are named together") {
  const DataFolder folder;
  folder.add("train", 3, {"caf\u00E9", "Rose", "tulip"});
  folder.add("val", 1, {"cafe\u0301", "rose"});
  const std::string error = folder.error();
  CHECK(contains(error, "no such class in train, but caf\u00E9, which differs in capitals or"));
  CHECK(io::look_alike("Rose", "rOSE"));
  CHECK(io::look_alike("\uD55C", "\u1112\u1161\u11AB"));
  for (const char* other : {"roses", "rote", "ros\u00E9", ""})
    CHECK_FALSE(io::look_alike("rose", other));
  CHECK_FALSE(io::look_alike("caf\u00E9", "cafe"));
}

TEST_CASE("test without labels: flat, or in one folder that is no class") {
  for (const char* place : {"test/", "test/unknown/", "test/images/"}) {
    const DataFolder folder;
    folder.add("train", 20);
    folder.add("val", 5);
    for (int i = 0; i < 4; ++i) folder.add_file(place + std::to_string(i) + ".png");
    const OpenedData data = folder.open();
    CHECK(data.train->size() == 60);
    CHECK_FALSE(data.has_test());
    CHECK(contains(data.description, "test has no labels: its 4 images are not evaluated"));
  }
  const DataFolder wrong;  // names that were mistyped are no lack of labels
  wrong.add("train", 2);
  wrong.add("test", 2, {"aa", "bb"});
  CHECK(contains(wrong.error(), "test/aa: there is no such class in train; nor bb"));
}

TEST_CASE("hidden folders and those of systems are no data, wherever they lie") {
  const DataFolder folder;
  folder.add("train", 10);
  folder.add("val", 3);
  const OpenedData before = folder.open();
  for (const char* name : {".ipynb_checkpoints", ".thumbnails", "@eaDir", "__MACOSX", "#recycle",
                           "$RECYCLE.BIN", "System Volume Information", "@__thumb"})
    for (const char* place : {"train/a/", "train/", "val/", "val/b/", ""})
      folder.add_file(std::string(place) + name + "/copy.png");
  for (const char* name : {"._1.png", ".DS_Store", "Thumbs.db", "desktop.ini", ".hidden.png"})
    folder.write(std::string("train/a/") + name, {1, 2, 3});
  const OpenedData data = folder.open();
  CHECK(folder.names(*data.train) == folder.names(*before.train));
  CHECK(folder.names(*data.val) == folder.names(*before.val));
  CHECK(data.class_names == before.class_names);
  CHECK(contains(data.description, "@eaDir"));
  // A class whose pictures all have such names is a class.
  folder.add_file("train/d/.1.png");
  folder.add_file("train/d/.2.png");
  folder.write("train/d/._1.png", {0, 5, 22, 7});
  const OpenedData dots = folder.open();
  CHECK(dots.train->size() == 32);
  CHECK(says(dots.warnings, "train/d: the names of all its images begin with a dot"));
}

TEST_CASE("links are followed; loops and those that lead nowhere are named") {
  const DataFolder folder;
  folder.add("train", 4);
  folder.add("val", 2);
  for (int i = 0; i < 30; ++i) folder.add_file("store/more/" + std::to_string(i) + ".png");
  const fs::path train = folder.path() / "train";
  fs::create_directory_symlink("../../store", train / "a/more");
  fs::create_symlink("nowhere.png", train / "b/dangling.png");
  fs::create_symlink("self.png", train / "b/self.png");
  fs::create_directory_symlink("..", train / "b/up");
  fs::create_directory_symlink("/", train / "c/root");
  fs::create_directory_symlink("../nowhere", train / "d");
  fs::create_directory_symlink("../train/a", folder.path() / "store/back");
  fs::create_symlink("../b/0.png", train / "c/file.png");
  const OpenedData data = folder.open();
  CHECK(data.class_names == std::vector<std::string>{"a", "b", "c"});
  CHECK(data.train->size() == 12 + 30 + 1);
  for (const char* name :
       {"train/b/dangling.png: a link that leads nowhere",
        "train/b/self.png: a link that leads nowhere", "train/d: a link that leads nowhere",
        "train/b/up: a link to a folder that it lies in",
        "train/c/root: a link to a folder that it lies in",
        "back: a link to a folder that it lies in", "store: this folder is no part"}) {
    CAPTURE(name);
    CHECK(says(data.warnings, name));
  }
  // A class, and a whole part, may be links.
  const DataFolder linked;
  fs::create_directory_symlink(train, linked.path() / "train");
  fs::create_directories(linked.path() / "val");
  fs::create_directory_symlink(folder.path() / "val/a", linked.path() / "val/a");
  CHECK(linked.open().train->size() == 43);
  CHECK(linked.open().val->size() == 2);
}

TEST_CASE("what is held out follows from the files' names: more files move none of them") {
  const DataFolder folder;
  folder.add("train", 60);
  const OpenedData before = folder.open();
  const auto val = folder.names(*before.val), train = folder.names(*before.train);
  CHECK(val.size() > 8);  // 18 are expected
  CHECK(val.size() < 30);
  for (const char* name : {"0000.png", "a.png", "zz.png", "x/y.png", "_.jpg"})
    for (const char* label : {"a", "b", "c"})
      folder.add_file(std::string("train/") + label + "/" + name);
  folder.add("train", 9, {"new"});
  const OpenedData after = folder.open();
  const auto val_after = folder.names(*after.val), train_after = folder.names(*after.train);
  CHECK(std::includes(val_after.begin(), val_after.end(), val.begin(), val.end()));
  CHECK(std::includes(train_after.begin(), train_after.end(), train.begin(), train.end()));
  // A run that remembers what it held out gets these very files.
  const OpenedData again = folder.open({.held_out = before.held_out});
  CHECK(folder.names(*again.val) == val);
  CHECK(again.train->size() == before.train->size() + 15 + 9);

  // The folder's own place is no part of the names, and nor are files that are gone.
  fs::remove(folder.path() / "train/a/0.png");
  const DataFolder moved;
  fs::remove_all(moved.path());
  fs::rename(folder.path(), moved.path());
  std::set<std::string> kept = val_after;
  kept.erase("train/a/0.png");
  CHECK(moved.names(*moved.open().val) == kept);
}

TEST_CASE("small classes keep an image to train on, and one to validate if there are two") {
  for (const double share : {0.01, 0.1, 0.5, 0.99})
    for (int count = 2; count < 7; ++count) {
      const DataFolder folder;
      folder.add("train", count);
      const OpenedData data = folder.open({.val_fraction = share});
      for (int label = 0; label < 3; ++label) {
        const auto has = [&](const ImageSet& part) {
          for (std::int64_t i = 0; i < part.size(); ++i)
            if (part.label(i) == label) return true;
          return false;
        };
        CHECK(has(*data.train));
        CHECK(has(*data.val));
      }
    }
}

TEST_CASE("one image, or none, in a class") {
  const DataFolder folder;
  folder.add("train", 10);
  folder.add_file("train/rare/only.png");
  const OpenedData data = folder.open();
  CHECK(data.class_names.size() == 4);
  CHECK(says(data.warnings, "train/rare: the class has one image, which is trained on"));
  CHECK(folder.names(*data.train).contains("train/rare/only.png"));

  fs::create_directories(folder.path() / "train/none");
  CHECK(contains(folder.error(),
                 "train/none: the class has no image file that is known (JPEG, PNG, BMP, GIF); "
                 "--allow-empty"));
  const OpenedData allowed = folder.open({.allow_empty = true});
  CHECK(allowed.class_names.size() == 5);
  CHECK(says(allowed.warnings, "train/none: the class has no"));
  // However the folder is written.
  const DataFolder plain;
  plain.add(".", 3);
  fs::create_directories(plain.path() / "none");
  for (const char* end : {"", "/", "//", "/."}) {
    CAPTURE(end);
    CHECK(contains(error_of([&] { open_data(plain.path().string() + end); }),
                   "none: the class has no image file that is known"));
  }

  const DataFolder val;
  val.add("train", 3);
  val.add("val", 2, {"a", "c"});
  fs::create_directories(val.path() / "val/b");
  fs::create_directories(val.path() / "val/unknown");
  CHECK(val.open().val->size() == 4);
  CHECK(says(val.open().warnings, "val/b: no image of this class here"));
  val.add_file("val/unknown/1.png");
  CHECK(contains(val.error(), "val/unknown: there is no such class in train"));

  const DataFolder one_each;
  one_each.add("train", 1);
  CHECK(contains(one_each.error(), "expected a class of at least two images"));
  one_each.add("test", 1);
  CHECK(one_each.open({.choose_by_test = true}).train->size() == 3);

  const DataFolder all;
  for (const char* name : {"a", "b"}) fs::create_directories(all.path() / "train" / name);
  CHECK(contains(all.error({.allow_empty = true}), "expected images to train on, found none"));
}

TEST_CASE("names of files and classes that are not UTF-8, and files beside the classes") {
  const DataFolder folder;
  folder.add("train", 4,
             {"fl\xE4"
              "che",
              "b"});
  folder.add("val", 2,
             {"fl\xE4"
              "che",
              "b"});
  folder.add_file("train/b/\xFF.png");
  folder.add_file("train/loose.png");
  folder.write("train/b/labels.txt", {1});
  const OpenedData data = folder.open();
  CHECK(data.class_names == std::vector<std::string>{"b", "fl\\xE4che"});
  CHECK(data.train->size() == 9);
  CHECK(data.val->label(3) == 1);
  CHECK(says(data.warnings, "1 image lies beside the classes' folders"));
  CHECK(contains(data.description, "1 file that is no image passed over (.txt)"));
  // What stands for a byte that is no UTF-8 may be the name of another folder.
  folder.add_file("train/fl\\xE4che/1.png");
  CHECK(contains(folder.error(), "expected a name of its own, but "));
  CHECK(contains(folder.error(), " has the same in UTF-8, fl\\xE4che"));
}

TEST_CASE("a model is evaluated on folders of some of its classes") {
  const std::vector<std::string> model = {"c", "b", "a"};
  const DataFolder some;
  some.add(".", 5, {"a", "c"});
  const OpenedData data = some.open({.hold_out = false, .class_names = model});
  CHECK(data.test->size() == 10);
  CHECK(data.val_name == "all");
  CHECK(data.test->label(0) == 0);  // c
  CHECK(data.test->label(9) == 2);
  CHECK(contains(data.test->name(9), "/a/"));
  some.add(".", 1, {"tulip", "rose"});
  CHECK(contains(some.error({.hold_out = false, .class_names = model}),
                 "rose: the model has no such class; nor tulip"));
  const DataFolder parts;  // without a folder to train on
  parts.add("test", 3, {"b"});
  CHECK(parts.open({.class_names = model}).test->size() == 3);
  const DataFolder below;
  below.add("images", 2);
  CHECK(contains(below.error({.hold_out = false, .class_names = model}),
                 "/images, with 3 folders in it: if these are the classes"));
  const DataFolder flat;
  flat.add_file("1.png");
  CHECK(contains(flat.error({.hold_out = false, .class_names = model}),
                 ": expected a folder for each class, found 1 images without a label"));
  const DataFolder one;
  one.add(".", 3, {"b"});
  CHECK(one.open({.hold_out = false, .class_names = model}).test->size() == 3);
}

TEST_CASE("a limit takes as many images of each class as there are") {
  const DataFolder folder;
  folder.add("train", 30, {"a", "b", "c", "d", "e"});
  folder.add("train", 2, {"f"});
  folder.add("val", 1);
  const OpenedData data = folder.open();
  const auto counts = [&](std::int64_t limit) {
    const ImageSetPointer some = spread_over_classes(data.train, limit);
    std::vector<int> found(6);
    for (std::int64_t i = 0; i < some->size(); ++i) {
      CHECK((i == 0 || some->label(i - 1) <= some->label(i)));
      ++found[static_cast<std::size_t>(some->label(i))];
    }
    return found;
  };
  CHECK(counts(6) == std::vector<int>{1, 1, 1, 1, 1, 1});
  CHECK(counts(17) == std::vector<int>{3, 3, 3, 3, 3, 2});
  CHECK(counts(3) == std::vector<int>{1, 1, 1, 0, 0, 0});
  CHECK(counts(1000) == std::vector<int>{30, 30, 30, 30, 30, 2});
  CHECK(spread_over_classes(data.train, 152) == data.train);
}

TEST_CASE("checking data lists all that is amiss, and nothing else") {
  const DataFolder folder;
  folder.add("train", 12);
  folder.add("val", 3);
  folder.add("test", 3);
  CHECK(check_dataset(folder.path().string()).problems.empty());

  const auto copy = [&](const char* from, const char* to) {
    fs::create_directories((folder.path() / to).parent_path());
    fs::copy_file(folder.path() / from, folder.path() / to);
  };
  copy("train/a/1.png", "train/b/same.png");
  copy("train/a/2.png", "val/a/same.png");
  copy("train/a/3.png", "test/a/same.png");
  copy("train/a/4.png", "train/a/same.png");  // does no harm
  copy("train/a/5.png", "train/a/named.jpg");
  fs::resize_file(folder.path() / "train/c/1.png", 100);
  folder.write("train/c/empty.jpg", {});
  folder.write("train/c/text.png", {'h', 'i'});
  folder.write("train/c/photo.heic", {1});
  folder.write("val/b/photo.TIFF", {1});
  folder.add_file("train/alone/1.png");
  fs::create_directories(folder.path() / "train/none");
  folder.add_file("val/tulip/1.png");
  fs::create_symlink("nowhere", folder.path() / "test/c/link.png");
  for (const int threads : {1, 4}) {
    std::int64_t last = 0;
    const DatasetCheck check = check_dataset(
        folder.path().string(), {}, {},
        {.threads = threads, .progress = [&](std::int64_t, std::int64_t all) { last = all; }});
    CHECK(last == check.images);
    CHECK(check.images == 36 + 9 + 9 + 5 + 2 + 1);
    std::vector<std::string> found;
    for (const DatasetProblem& problem : check.problems)
      found.push_back(problem.kind + ' ' + problem.file.substr(folder.path().string().size() + 1));
    CHECK(found == std::vector<std::string>{
                       "damaged train/c/1.png", "damaged train/c/empty.jpg",
                       "damaged train/c/text.png", "unsupported train/c/photo.heic",
                       "unsupported val/b/photo.TIFF", "misnamed train/a/named.jpg",
                       "doubled test/a/same.png", "doubled train/b/same.png",
                       "doubled val/a/same.png", "empty train/none", "alone train/alone",
                       "unknown class val/tulip", "other test/c/link.png"});
    for (const DatasetProblem& problem : check.problems) {
      if (problem.kind == "misnamed") CHECK(problem.text == "named as JPEG, but is PNG");
      if (contains(problem.file, "train/b/same.png"))
        CHECK(contains(problem.text, "train/a/1.png; the classes are b and a"));
      if (contains(problem.file, "val/a/same.png"))
        CHECK(contains(problem.text, "train/a/2.png; the parts are val and train"));
    }
  }
}

TEST_CASE("checking data whose share is held out: copies on both sides are named") {
  const DataFolder folder;
  folder.add("train", 30);
  const OpenedData data = folder.open();
  fs::copy_file(data.val->name(0), folder.path() / "train/a/copy_1.png");
  fs::copy_file(data.val->name(0), folder.path() / "train/a/copy_2.png");
  fs::copy_file(data.val->name(0), folder.path() / "train/a/copy_3.png");
  OpenOptions options;
  options.seed = 42;
  CHECK(check_dataset(folder.path().string(), options).count("doubled") >= 1);
}

}  // namespace
