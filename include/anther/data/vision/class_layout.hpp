// Data sets of class folders, and what their layouts mean:
//
//   train/<class>/ and val/<class>/         train on the first, validate on the second
//   train/<class>/ alone, or <class>/       a share of each class is held out to validate on
//   and test/<class>/ beside either         evaluated at the end, and nothing is chosen by it
//
// Folders of parts have other names too (class_parts.hpp), in capitals or not. What is held out
// follows from a file's name: more files, or another place of the folder, move none of the others.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "anther/core/check.hpp"
#include "anther/core/once.hpp"
#include "anther/core/random.hpp"
#include "anther/data/vision/class_folders.hpp"
#include "anther/data/vision/class_parts.hpp"

namespace anther::inline v0_1::vision {

struct ClassFolderOptions {
  double val_fraction = 0.1;      // of each class, where there is no folder to validate on
  std::uint64_t seed = 0;         // which images those are
  bool skip_unsupported = false;  // leave HEIC, TIFF, ... out instead of throwing
  bool allow_empty = false;       // keep a class that has no image to train on
  bool hold_out = true;           // where there is no folder to validate on
  bool choose_by_test = false;    // the test is what is evaluated: nothing is held out beside it
  // The files that were held out before, as ClassFolders has them: these are held out again.
  std::vector<std::string> held_out = {};
  // A model's: labels are by these. Some may have no folder, and no folder of images to train on is
  // needed.
  std::vector<std::string> class_names = {};
};

// What open_class_folders found.
struct ClassFolders {
  ImageSetPointer train;  // null where only a model's classes were asked for, and there is none
  ImageSetPointer val;    // null if the test is chosen by, and there is no folder for it
  ImageSetPointer test;   // null if there is none, or it has no labels
  PartFolders parts;
  std::vector<std::string> class_names;
  bool val_is_held_out = false;                      // from train
  std::vector<std::string> held_out;                 // its files: class/name
  std::int64_t unlabelled_test = 0;                  // images in test that are in no class's folder
  bool val_is_empty = false, test_is_empty = false;  // there are folders, but no image in them
  FolderNotes notes;
};

// Which files of a class are held out. A file's own number, which follows from its name, decides:
// so more files move none. Of two or more files at least one is held out, but not all.
ANTHER_ONCE std::vector<bool> held_out(const ClassFolder& one, const ClassFolderOptions& options,
                                       const std::set<std::string>& before) {
  const std::size_t count = one.files.size();
  std::vector<bool> chosen(count, false);
  if (count < 2) return chosen;
  const RandomKey key = RandomKey(options.seed).fold("val").fold(one.name);
  std::vector<double> numbers(count);
  for (std::size_t i = 0; i < count; ++i) {
    const std::string name = one.name_of(i);
    numbers[i] = uniform(key.fold(name), 0);
    chosen[i] = before.empty() ? numbers[i] < options.val_fraction
                               : before.contains(one.name + '/' + io::to_utf8(name));
  }
  const auto least = std::min_element(numbers.begin(), numbers.end()) - numbers.begin();
  const auto greatest = std::max_element(numbers.begin(), numbers.end()) - numbers.begin();
  const auto number = std::count(chosen.begin(), chosen.end(), true);
  if (number == 0 && before.empty()) chosen[static_cast<std::size_t>(least)] = true;
  if (number == std::ssize(chosen)) chosen[static_cast<std::size_t>(greatest)] = false;
  return chosen;
}

// Reads class folders, and throws only where nothing can be made of them: what is amiss in single
// files and classes is in the notes. No image is decoded.
class ClassLayout {
 public:
  ClassLayout(const std::filesystem::path& folder, const ClassFolderOptions& options)
      : folder_(folder), options_(options) {
    detail::check(std::filesystem::is_directory(folder), folder.string(), ": no such folder");
    found_.parts = find_parts(folder);
    PartFolders& parts = found_.parts;
    const bool of_model = !options.class_names.empty();
    if (!parts.any()) {
      parts.train = folder;  // <class>/ in the folder itself
      parts.others.clear();
    }
    detail::check(of_model || !parts.train.empty(), (folder / "train").string(),
                  ": no such folder");
    train_ = classes_in(parts.train);
    if (of_model) {
      found_.class_names = options.class_names;
      check_one_more(train_);
    } else {
      for (const ClassFolder& one : train_) found_.class_names.push_back(one.name);
      std::sort(found_.class_names.begin(), found_.class_names.end());
      check_classes_of_train();
    }
    read_val_and_test();
    split_train();
  }
  ClassFolders result() && { return std::move(found_); }

 private:
  using Files = std::vector<ImageFiles::File>;

  std::vector<ClassFolder> classes_in(const std::filesystem::path& part) {
    return part.empty() ? std::vector<ClassFolder>() : read_class_folder(part, found_.notes);
  }

  void check_classes_of_train() {
    const std::filesystem::path& train = found_.parts.train;
    if (train_.empty()) {
      const std::int64_t loose = loose_images(train);
      detail::fail(train.string(), ": expected a folder for each class, found none",
                   loose > 0 ? detail::text_of(", and ", loose,
                                               " images without a label; where a table or their "
                                               "names have the labels, move them into folders")
                             : "");
    }
    if (train_.size() == 1) check_only_class(train_[0]);
    check_no_annotations();
    if (train_.size() == 1)
      found_.notes.add(FolderProblem::Kind::other, train,
                       "there is one class only, " + train_[0].name + ": nothing to tell apart");
    std::size_t images = 0;
    for (const ClassFolder& one : train_) {
      images += one.files.size();
      if (one.files.empty())
        found_.notes.add(FolderProblem::Kind::empty, one.path,
                         "the class has no image file that is known (JPEG, PNG, BMP, GIF)");
    }
    detail::check(images > 0 || !found_.notes.problems.empty(), train.string(),
                  ": expected images in the classes' folders, found none");
    for (const std::string& name : found_.parts.others)
      if (has_images(folder_ / name))
        found_.notes.add(FolderProblem::Kind::other, folder_ / name,
                         "this folder is no part (train, val, test): it is not read");
  }

  // images/ beside masks/ or labels/ is data for segmentation or detection.
  void check_no_annotations() const {
    constexpr std::array<std::string_view, 4> pictures = {"images", "image", "imgs", "jpegimages"};
    constexpr std::array<std::string_view, 8> others = {
        "masks",       "mask",       "labels",  "label",
        "annotations", "annotation", "trimaps", "segmentationclass"};
    const auto is_one_of = [](const auto& words, const std::string& name) {
      return std::find(words.begin(), words.end(), lower_case(name)) != words.end();
    };
    std::string picture, other;
    for (const ClassFolder& one : train_) {
      if (is_one_of(pictures, one.name))
        picture = one.name;
      else if (is_one_of(others, one.name))
        other = one.name;
      else
        return;
    }
    detail::check(picture.empty() || other.empty(), found_.parts.train.string(),
                  ": expected a folder for each class, found ", picture, " and ", other,
                  ", as data for segmentation or detection have");
  }

  // train/train/<class>/ and train/images/<class>/, as archives unpack, would be one class.
  static void check_only_class(const ClassFolder& one) {
    std::set<std::string> folders;
    for (const auto& file : one.files) {
      const std::filesystem::path below = file.lexically_relative(one.path);
      if (below.begin() == below.end() || std::next(below.begin()) == below.end()) return;
      folders.insert(below.begin()->string());
    }
    detail::check(folders.size() < 2, one.path.parent_path().string(),
                  ": expected a folder for each class, found one, ", one.path.string(), ", with ",
                  folders.size(), " folders in it: if these are the classes, move them up");
  }

  bool is_class(const std::string& name) const {
    const auto& names = found_.class_names;
    return std::find(names.begin(), names.end(), name) != names.end();
  }

  // val/val/<class>/, where train/ has these classes.
  void check_one_more(const std::vector<ClassFolder>& classes) const {
    if (classes.size() != 1 || is_class(classes[0].name)) return;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(classes[0].path, error))
      if (entry.is_directory(error) && is_class(io::to_utf8(entry.path().filename().string())))
        return check_only_class(classes[0]);
  }

  // The label of a class; empty, with a note, for one that is unknown.
  std::optional<int> label_of(const ClassFolder& one) {
    const auto& names = found_.class_names;
    const auto place = std::find(names.begin(), names.end(), one.name);
    if (place != names.end()) return static_cast<int>(place - names.begin());
    if (one.files.empty()) return {};
    std::string text = options_.class_names.empty() ? "there is no such class in train"
                                                    : "the model has no such class";
    for (const std::string& name : names)
      if (io::look_alike(name, one.name))
        text += ", but " + name + ", which differs in capitals or in how accents are stored";
    found_.notes.add(FolderProblem::Kind::unknown_class, one.path, std::move(text));
    return {};
  }

  ImageSetPointer labelled(const std::vector<ClassFolder>& classes) {
    Files files;
    for (const ClassFolder& one : classes)
      if (const auto label = label_of(one))
        for (const auto& path : one.files) files.push_back({path, *label});
    sort_by_label(files);
    return images(std::move(files));
  }
  // A model's classes may stand in another order than their folders.
  static void sort_by_label(Files& files) {
    std::stable_sort(files.begin(), files.end(),
                     [](const auto& a, const auto& b) { return a.label < b.label; });
  }
  ImageSetPointer images(Files files) const {
    return files.empty() ? nullptr
                         : std::make_shared<const ImageFiles>(std::move(files), found_.class_names);
  }

  void note_empty_classes(const std::vector<ClassFolder>& classes) {
    for (const ClassFolder& one : classes)
      if (one.files.empty())
        found_.notes.add(FolderProblem::Kind::empty, one.path, "no image of this class here");
  }

  void read_val_and_test() {
    if (const auto& folder = found_.parts.val; !folder.empty()) {
      const auto classes = classes_in(folder);
      const std::int64_t loose = loose_images(folder);
      detail::check(!classes.empty() || loose == 0, folder.string(),
                    ": expected a folder for each class, found ", loose,
                    " images without a label; take the folder away, and a share of train is held "
                    "out in its place");
      check_one_more(classes);
      found_.val = labelled(classes);
      found_.val_is_empty = found_.val == nullptr;
      if (found_.val) note_empty_classes(classes);
    }
    if (const auto& folder = found_.parts.test; !folder.empty()) {
      const auto classes = classes_in(folder);
      check_one_more(classes);
      // test/1.jpg, ... or test/unknown/1.jpg, ..., as tools want it that read folders only.
      if (classes.empty() || (classes.size() == 1 && !is_class(classes[0].name))) {
        found_.unlabelled_test = loose_images(folder);
        for (const ClassFolder& one : classes) found_.unlabelled_test += std::ssize(one.files);
        found_.test_is_empty = found_.unlabelled_test == 0;
        return;
      }
      found_.test = labelled(classes);
      found_.test_is_empty = found_.test == nullptr;
      if (found_.test) note_empty_classes(classes);
    }
  }

  void split_train() {
    if (train_.empty()) return;
    const bool choose_by_test = options_.choose_by_test && found_.test;
    found_.val_is_held_out = options_.hold_out && !found_.val && !choose_by_test;
    detail::check(
        !found_.val_is_held_out || (options_.val_fraction > 0 && options_.val_fraction < 1),
        "val_fraction: expected more than 0 and less than 1, got ", options_.val_fraction);
    const std::set<std::string> before = known_before();
    Files train, val;
    for (const ClassFolder& one : train_) {
      const auto label = label_of(one);
      if (!label) continue;
      if (one.files.size() == 1)
        found_.notes.add(FolderProblem::Kind::alone, one.path,
                         found_.val_is_held_out
                             ? "the class has one image, which is trained on: none is left to "
                               "validate"
                             : "the class has one image to train on");
      const std::vector<bool> for_val = found_.val_is_held_out
                                            ? held_out(one, options_, before)
                                            : std::vector<bool>(one.files.size(), false);
      for (std::size_t i = 0; i < one.files.size(); ++i) {
        (for_val[i] ? val : train).push_back({one.files[i], *label});
        if (for_val[i]) found_.held_out.push_back(one.name + '/' + io::to_utf8(one.name_of(i)));
      }
    }
    sort_by_label(train);
    sort_by_label(val);
    found_.train = images(std::move(train));
    if (!found_.val_is_held_out) return;
    detail::check(!val.empty() || !options_.class_names.empty() || !found_.notes.problems.empty(),
                  found_.parts.train.string(), ": expected images to hold out, found none");
    found_.val = images(std::move(val));
  }

  // Those of the files that were held out before, if the folder has any of them.
  std::set<std::string> known_before() const {
    const std::set<std::string> before(options_.held_out.begin(), options_.held_out.end());
    for (const ClassFolder& one : train_)
      for (std::size_t i = 0; i < one.files.size(); ++i)
        if (before.contains(one.name + '/' + io::to_utf8(one.name_of(i)))) return before;
    return {};
  }

  std::filesystem::path folder_;
  ClassFolderOptions options_;
  ClassFolders found_;
  std::vector<ClassFolder> train_;
};

// Opens class folders. No image is decoded. Throws, naming what is amiss, if there is nothing to
// train on, a class has no image to train on (but see allow_empty), val or test has a class that
// train does not have, or the format of a file is not supported (but see skip_unsupported).
ANTHER_ONCE ClassFolders open_class_folders(const std::filesystem::path& folder,
                                            const ClassFolderOptions& options = {}) {
  using Kind = FolderProblem::Kind;
  ClassFolders found = ClassLayout(folder, options).result();
  const auto train = found.parts.train / "";  // it may have been given with a slash at its end
  std::vector<const FolderProblem*> unknown;
  for (const FolderProblem& problem : found.notes.problems) {
    const bool of_train = problem.path.parent_path() / "" == train;
    detail::check(problem.kind != Kind::bad_name, problem.message());
    detail::check(problem.kind != Kind::unsupported || options.skip_unsupported, problem.message());
    detail::check(problem.kind != Kind::empty || !of_train || options.allow_empty,
                  problem.message(), "; --allow-empty keeps it all the same");
    if (problem.kind == Kind::unknown_class) unknown.push_back(&problem);
  }
  if (!unknown.empty()) {
    std::string more;
    for (std::size_t i = 1; i < unknown.size(); ++i)
      more += detail::text_of(i == 1 ? "; nor " : ", ", unknown[i]->path.filename().string());
    detail::fail(unknown[0]->message(), more);
  }
  return found;
}

}  // namespace anther::inline v0_1::vision
