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
#include "anther/data/vision/cifar10.hpp"
#include "anther/data/vision/class_folders.hpp"
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
};

// The parts of a data set. val and test are the same part, with the same name, if the data has only
// one of them.
struct OpenedData {
  ImageSetPointer train;
  ImageSetPointer val;
  ImageSetPointer test;
  std::string val_name = "valid", test_name = "test";  // what the data itself calls them
  std::vector<std::string> class_names;
  std::string kind;         // the opener's name: "flowers102", "class-folders", ...
  std::string description;  // a sentence for people
};

// For people.
inline std::string sizes_of(const OpenedData& data) {
  return detail::text_of(data.train->size(), " images to train on, ", data.val->size(),
                         " to validate, ", data.test->size(), " to test, ", data.class_names.size(),
                         " classes");
}

inline OpenedData open_flowers_folder(const std::filesystem::path& folder,
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

inline OpenedData open_class_folder(const std::filesystem::path& folder,
                                    const OpenOptions& options) {
  const ClassFolders found = open_class_folders(folder, {.val_fraction = options.val_fraction,
                                                         .seed = options.seed,
                                                         .skip_unsupported = options.skip_bad});
  OpenedData data;
  data.train = found.train;
  data.val = found.val;
  data.test = found.test ? found.test : found.val;
  data.val_name = "val";
  data.test_name = found.test ? "test" : "val";
  data.description = detail::text_of("class folders in ", folder.string());
  if (found.val_is_held_out)
    data.description += detail::text_of(", no val folder: ", data.val->size(),
                                        " images of train kept for validation");
  if (!found.test) data.description += ", no test folder: the validation images are the test";
  if (found.unsupported > 0)
    data.description +=
        detail::text_of(", ", found.unsupported, " files of unsupported formats left out");
  return data;
}

inline OpenedData open_cifar_folder(const std::filesystem::path& folder) {
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
inline std::vector<Opener> file_openers() {
  return {{"flowers102", "Flowers-102 (imagelabels.mat, setid.mat and jpg/)",
           [](const std::string& where) { return is_flowers102(where); },
           [](const std::string& where, const OpenOptions& options) {
             return open_flowers_folder(where, options);
           }},
          {"cifar10", "CIFAR-10 (data_batch_1.bin, ...)",
           [](const std::string& where) { return !cifar10_folder(where).empty(); },
           [](const std::string& where, const OpenOptions&) { return open_cifar_folder(where); }},
          {"class-folders", "class folders (train/<class>/ with image files)",
           [](const std::string& where) { return is_class_folders(where); },
           [](const std::string& where, const OpenOptions& options) {
             return open_class_folder(where, options);
           }}};
}

// Opens a data set by its folder, or by another word that one of the `more` openers knows; these
// are asked first. No image is decoded yet. Throws, naming the path, if there is no such folder,
// its layout is unknown, or something in it is missing or wrong.
inline OpenedData open_data(const std::string& where, const OpenOptions& options = {},
                            const std::vector<Opener>& more = {}) {
  const auto open = [&](const Opener& opener) {
    OpenedData data = opener.open(where, options);
    data.kind = opener.kind;
    data.class_names = data.train->class_names();
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
    if (auto data = opened(more)) return *data;
    const std::filesystem::path folder(where);
    detail::check(std::filesystem::exists(folder), where, ": no such folder");
    detail::check(std::filesystem::is_directory(folder), where,
                  ": expected a folder, found a file");
    if (auto data = opened(file_openers())) return *data;
    detail::fail(where, ": not a data set that is known. Expected one of: ", expected);
  } catch (const std::filesystem::filesystem_error& error) {
    detail::fail(error.path1().string(), ": ", error.code().message());
  }
}

// Restricts all parts of a data set to the classes that a text names (parse_classes). Throws if the
// text is wrong, or if a part of the data has no image of them.
inline void select_classes(OpenedData& data, std::string_view text) {
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
