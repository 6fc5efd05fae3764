// Opens an image set by its folder, whatever its layout: Flowers-102, class folders, CIFAR-10, and
// what else a program knows.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "anther/core/check.hpp"
#include "anther/core/once.hpp"
#include "anther/data/vision/cifar10.hpp"
#include "anther/data/vision/class_layout.hpp"
#include "anther/data/vision/class_subset.hpp"
#include "anther/data/vision/flowers102.hpp"
#include "anther/data/vision/image_set.hpp"

namespace anther::inline v0_1::vision {

struct OpenOptions {
  std::string split = "paddle";   // Flowers-102: "paddle", "official" or "trainval"
  double val_fraction = 0.1;      // class folders without val/: the share of train/
  std::uint64_t seed = 0;         // which images those are; of images that are drawn, how
  bool skip_bad = false;          // class folders: leave out files of unsupported formats
  std::int64_t image_size = 128;  // pixels, where images are drawn and not read
  // Class folders: as ClassFolderOptions has these.
  bool allow_empty = false, hold_out = true, choose_by_test = false;
  std::vector<std::string> held_out = {}, class_names = {};
};

// The parts of a data set. val and test are the same part, with the same name, if the data has only
// one of them.
struct OpenedData {
  ImageSetPointer train;
  ImageSetPointer val;
  ImageSetPointer test;
  std::string val_name = "valid", test_name = "test";  // what the data itself calls them
  std::vector<std::string> class_names;
  std::string kind;                        // the opener's name: "flowers102", "class-folders", ...
  std::string description;                 // a sentence for people
  std::vector<std::string> warnings = {};  // what is amiss with the data, a line each
  std::vector<std::string> held_out = {};  // files of train that are val: class/name

  bool has_test() const { return test != val; }
};

// For people.
ANTHER_ONCE std::string sizes_of(const OpenedData& data) {
  const auto size = [](const ImageSetPointer& part) { return part ? part->size() : 0; };
  const std::string classes = detail::text_of(data.class_names.size(), " classes");
  if (data.val == data.train) return detail::text_of(size(data.val), " images, ", classes);
  std::string text = detail::text_of(size(data.train), " images to train on, ");
  if (data.has_test())
    text += detail::text_of(size(data.val), " to validate, ", size(data.test), " to test, ");
  else
    text += detail::text_of(size(data.val), lower_case(data.test_name).starts_with("test")
                                                ? " to test, none to validate, "
                                                : " to validate, none to test, ");
  return text + classes;
}

ANTHER_ONCE OpenedData open_flowers_folder(const std::filesystem::path& folder,
                                           const OpenOptions& options) {
  OpenedData data;
  auto [train, val, test] = open_flowers102(folder, options.split);
  data.train = std::move(train);
  data.val = std::move(val);
  data.test = std::move(test);
  if (data.val == data.test) data.val_name = data.test_name;
  data.description =
      detail::text_of("Oxford Flowers-102 in ", folder.string(), ", split ", options.split);
  return data;
}

// What is said of class folders: which folder is which part, what is held out, what is passed over.
ANTHER_ONCE std::string description_of(const std::filesystem::path& folder,
                                       const ClassFolders& found) {
  std::string parts, text;
  for (const auto* part : {&found.parts.train, &found.parts.val, &found.parts.test})
    if (!part->empty() && *part != folder)
      parts += (parts.empty() ? " (" : ", ") + io::to_utf8(part->filename().string());
  text = detail::text_of("class folders in ", folder.string(), parts, parts.empty() ? "" : ")");
  const auto add = [&](const auto&... words) { text += detail::text_of(", ", words...); };
  const auto name = [](const std::filesystem::path& part) { return part.filename().string(); };
  if (found.val_is_empty) add(name(found.parts.val), " has no images");
  if (found.val_is_held_out && found.val)
    add(found.parts.val.empty() ? "no val folder, " : "", found.val->size(),
        " images of train are held out for it");
  if (found.unlabelled_test > 0)
    add(name(found.parts.test), " has no labels: its ", found.unlabelled_test,
        " images are not evaluated");
  else if (found.test_is_empty)
    add(name(found.parts.test), " has no images");
  if (!found.notes.system.empty()) {
    std::string names;
    for (const std::string& one : found.notes.system) names += (names.empty() ? "" : ", ") + one;
    add("hidden and system folders passed over (", names, ")");
  }
  if (!found.notes.others.empty()) {
    std::int64_t count = 0;
    for (const auto& [other, files] : found.notes.others) count += files;
    const std::string& ending = found.notes.others.begin()->first;
    add(count, count == 1 ? " file that is no image" : " files that are no images",
        " passed over (", ending.empty() ? "without an ending" : ending,
        found.notes.others.size() > 1 ? ", ...)" : ")");
  }
  if (found.notes.unsupported > 0)
    add(found.notes.unsupported, " files of unsupported formats left out");
  return text;
}

ANTHER_ONCE OpenedData open_class_folder(const std::filesystem::path& folder,
                                         const OpenOptions& options) {
  const ClassFolders found = open_class_folders(folder, {.val_fraction = options.val_fraction,
                                                         .seed = options.seed,
                                                         .skip_unsupported = options.skip_bad,
                                                         .allow_empty = options.allow_empty,
                                                         .hold_out = options.hold_out,
                                                         .choose_by_test = options.choose_by_test,
                                                         .held_out = options.held_out,
                                                         .class_names = options.class_names});
  const auto name = [](const std::filesystem::path& part) { return part.filename().string(); };
  OpenedData data;
  data.train = found.train;
  data.val = found.val;
  data.test = found.test;
  detail::check(data.train || !options.class_names.empty(), folder.string(),
                ": expected images to train on, found none");
  detail::check(data.val || data.test || !options.hold_out || !options.class_names.empty(),
                folder.string(),
                ": expected a class of at least two images, of which one is held out, or a folder "
                "val");
  data.val_name = found.parts.val.empty() || found.val_is_empty ? "val" : name(found.parts.val);
  data.test_name = found.test ? name(found.parts.test) : data.val_name;
  if (!data.test) data.test = data.val;
  if (!data.val) data.val = data.test, data.val_name = data.test_name;
  if (!data.val) data.val = data.test = data.train, data.val_name = data.test_name = "all";
  detail::check(data.val != nullptr, folder.string(), ": expected images, found none");
  data.class_names = found.class_names;
  data.held_out = found.held_out;
  data.description = description_of(folder, found);
  using Kind = FolderProblem::Kind;
  for (const FolderProblem& problem : found.notes.problems)
    if (problem.kind != Kind::unsupported) data.warnings.push_back(io::to_utf8(problem.message()));
  return data;
}

ANTHER_ONCE OpenedData open_cifar_folder(const std::filesystem::path& folder) {
  OpenedData data;
  auto [train, test] = open_cifar10(folder);
  data.train = std::move(train);
  data.val = test;
  data.test = std::move(test);
  data.val_name = "test";
  data.description = detail::text_of("CIFAR-10 in ", folder.string(),
                                     ", no validation part: the test images are it");
  return data;
}

// A kind of data set that open_data knows.
struct Opener {
  std::string kind;      // its name
  std::string expected;  // what to look for, for the message that nothing fits: "CIFAR-10 (...)"
  // Whether `where`, a folder or a word, is such a data set.
  std::function<bool(const std::string& where)> fits;
  std::function<OpenedData(const std::string& where, const OpenOptions& options)> open;
};

// Those whose files are images, in the order in which they are tried.
// of_model: to evaluate a model of known classes, folders of some of them are a data set too.
ANTHER_ONCE std::vector<Opener> file_openers(bool of_model = false) {
  return {{"flowers102", "Flowers-102 (imagelabels.mat, setid.mat and jpg/)",
           [](const std::string& where) { return is_flowers102(where); },
           [](const std::string& where, const OpenOptions& options) {
             return open_flowers_folder(where, options);
           }},
          {"cifar10", "CIFAR-10 (data_batch_1.bin, ...)",
           [](const std::string& where) { return !cifar10_folder(where).empty(); },
           [](const std::string& where, const OpenOptions&) { return open_cifar_folder(where); }},
          {"class-folders",
           "class folders (train/<class>/, or at least two <class>/, with image files)",
           [of_model](const std::string& where) {
             return is_class_folders(where) || (of_model && has_folders(where));
           },
           [](const std::string& where, const OpenOptions& options) {
             return open_class_folder(where, options);
           }}};
}

// Throws where there are parts without train, each class has parts of its own, there are pictures
// without labels only, a folder in this one is a data set (archives are often unpacked into one
// more folder), or one folder alone has pictures: it may be a class, or hold all that there is.
ANTHER_ONCE void check_nested(const std::filesystem::path& folder) {
  const PartFolders parts = find_parts(folder);
  for (const auto& part : {parts.val, parts.test})
    detail::check(part.empty(), folder.string(), ": not a data set that is known: it has ",
                  part.filename().string(), ", but no folder train to train on");
  std::vector<std::filesystem::path> within;  // <class>/train
  for (const std::string& name : parts.others) {
    const auto train = find_parts(folder / name).train;
    if (!train.empty() && loose_images(train) > 0) within.push_back(train);
  }
  if (within.size() > 1) {
    const auto& first = within[0];
    detail::fail(folder.string(), ": expected train/<class>/, ..., found the parts within the ",
                 "classes: move ", first.string(), " to ",
                 (folder / first.filename() / first.parent_path().filename()).string(),
                 ", and the others in the same way");
  }
  for (const std::string& name : parts.others)
    detail::check(!is_class_folders(folder / name), folder.string(), ": is no data set, but ",
                  (folder / name).string(),
                  " is one: give that folder; or, if its folders are no classes, move all into ",
                  (folder / "train").string());
  const std::int64_t loose = loose_images(folder);
  detail::check(loose == 0, folder.string(), ": expected a folder for each class, found ", loose,
                " images without a label");
  for (const std::string& name : parts.others)
    detail::check(!holds_image(folder / name), folder.string(),
                  ": expected at least two classes' folders, found images in ",
                  (folder / name).string(), " alone; if it is a class, move it to ",
                  (folder / "train" / name).string());
}

// Opens a data set by its folder, or by another word that one of the `more` openers knows; these
// are asked first. No image is decoded yet. Throws, naming the path, if there is no such folder,
// its layout is unknown, or something in it is missing or wrong.
ANTHER_ONCE OpenedData open_data(const std::string& where, const OpenOptions& options = {},
                                 const std::vector<Opener>& more = {}) {
  const auto open = [&](const Opener& opener) {
    OpenedData data = opener.open(where, options);
    data.kind = opener.kind;
    if (data.class_names.empty()) data.class_names = data.train->class_names();
    data.description += ": " + sizes_of(data);
    return data;
  };
  try {
    std::string expected;
    const auto opened = [&](const std::vector<Opener>& openers) -> std::optional<OpenedData> {
      for (const Opener& opener : openers) {
        if (opener.fits(where)) return open(opener);
        expected += (expected.empty() ? "" : ", ") + opener.expected;
      }
      return {};
    };
    if (auto data = opened(more)) {
      if (std::filesystem::is_directory(where))
        data->warnings.push_back(where + " is a word, and a folder here too: write ./" + where +
                                 " for the folder");
      return *data;
    }
    const std::filesystem::path folder(where);
    detail::check(std::filesystem::exists(folder), where, ": no such folder");
    detail::check(std::filesystem::is_directory(folder), where,
                  ": expected a folder, found a file");
    if (auto data = opened(file_openers(!options.class_names.empty()))) return *data;
    check_nested(folder);
    detail::fail(where, ": not a data set that is known. Expected one of: ", expected);
  } catch (const std::filesystem::filesystem_error& error) {
    detail::fail(error.path1().string(), ": ", error.code().message());
  }
}

// Restricts all parts of a data set to the classes that a text names (parse_classes). Throws if the
// text is wrong, or if a part of the data has no image of them.
ANTHER_ONCE void select_classes(OpenedData& data, std::string_view text) {
  const auto classes = parse_classes(text, std::ssize(data.class_names));
  const auto part = [&](const ImageSetPointer& whole) {
    return std::make_shared<const ClassSubset>(whole, classes);
  };
  const bool one = data.val == data.test;
  data.train = part(data.train);
  data.test = part(data.test);
  data.val = one ? data.test : part(data.val);
  data.class_names = data.train->class_names();
  detail::check(data.train->size() > 0 && data.val->size() > 0 && data.test->size() > 0,
                "classes: expected images of each part, got ", sizes_of(data));
  data.description += detail::text_of("; of the classes ", text, ": ", sizes_of(data));
}

}  // namespace anther::inline v0_1::vision
