// Opens a data set by its folder, whatever its layout: Flowers-102, class folders, CIFAR-10; or the
// painted flowers, by the word "painted".
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "anther/core/check.hpp"
#include "anther/data/dataset.hpp"
#include "anther/data/vision/cifar10.hpp"
#include "anther/data/vision/class_folders.hpp"
#include "anther/data/vision/class_subset.hpp"
#include "anther/data/vision/flowers102.hpp"
#include "anther/painted/painted.hpp"

namespace anther::inline v0_1::vision {

enum class DataKind { flowers102, class_folders, cifar10, painted };

inline std::string to_string(DataKind kind) {
  switch (kind) {
    case DataKind::flowers102:
      return "flowers102";
    case DataKind::class_folders:
      return "class-folders";
    case DataKind::cifar10:
      return "cifar10";
    case DataKind::painted:
      return "painted";
  }
  return "unknown";
}

struct OpenOptions {
  std::string split = "paddle";       // Flowers-102: "paddle", "official" or "trainval"
  double val_fraction = 0.1;          // class folders without val/: the share of train/
  std::uint64_t seed = 0;             // which images those are; and of the painted flowers
  bool skip_bad = false;              // class folders: leave out files of unsupported formats
  std::int64_t image_size = 128;      // painted flowers: pixels,
  std::int64_t painted_train = 3060;  // and how many
  std::int64_t painted_val = 510;
  std::int64_t painted_test = 1020;
};

// A data set's parts. val and test are the same one, of one name, where the data has only one of
// them.
struct OpenedData {
  data::DatasetPointer train;
  data::DatasetPointer val;
  data::DatasetPointer test;
  std::string val_name = "valid", test_name = "test";  // what the data itself calls them
  std::vector<std::string> class_names;
  DataKind kind = DataKind::painted;
  std::string description;  // a sentence for people
};

// For people.
inline std::string sizes_of(const OpenedData& data) {
  return detail::text_of(data.train->size(), " images to train on, ", data.val->size(),
                         " to validate, ", data.test->size(), " to test, ", data.class_names.size(),
                         " classes");
}

inline OpenedData open_painted(const OpenOptions& options) {
  // Each part has a seed of its own: no image is in two parts.
  const auto part = [&](std::int64_t size, std::string_view name) {
    return std::make_shared<const painted::PaintedFlowers>(
        painted::PaintedOptions{.size = size,
                                .image_size = options.image_size,
                                .seed = RandomKey(options.seed).fold(name).value()});
  };
  OpenedData data;
  data.kind = DataKind::painted;
  data.train = part(options.painted_train, "train");
  data.val = part(options.painted_val, "val");
  data.test = part(options.painted_test, "test");
  data.description = "painted flowers, drawn by Anther (no photographs)";
  return data;
}

inline OpenedData open_flowers_folder(const std::filesystem::path& folder,
                                      const OpenOptions& options) {
  OpenedData data;
  data.kind = DataKind::flowers102;
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
  data.kind = DataKind::class_folders;
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
  data.kind = DataKind::cifar10;
  auto [train, test] = open_cifar10(folder);
  data.train = std::move(train);
  data.val = test;
  data.test = std::move(test);
  data.val_name = "test";
  data.description = detail::text_of("CIFAR-10 in ", folder.string(),
                                     ", no validation part: the test images are it");
  return data;
}

// Opens the folder, or the painted flowers where `where` is "painted". No image is decoded yet.
// Throws, naming the path, where there is no such folder, its layout is none of the known, or
// something in it is missing or wrong.
inline OpenedData open_data(const std::string& where, const OpenOptions& options = {}) {
  OpenedData data;
  try {
    const std::filesystem::path folder(where);
    if (where == "painted") {
      data = open_painted(options);
    } else {
      detail::check(std::filesystem::exists(folder), where, ": no such folder");
      detail::check(std::filesystem::is_directory(folder), where,
                    ": expected a folder, found a file");
      if (is_flowers102(folder))
        data = open_flowers_folder(folder, options);
      else if (!cifar10_folder(folder).empty())
        data = open_cifar_folder(folder);
      else if (is_class_folders(folder))
        data = open_class_folder(folder, options);
      else
        detail::fail(
            where,
            ": not a data set that is known. Expected one of: Flowers-102 (imagelabels.mat, "
            "setid.mat "
            "and jpg/), class folders (train/<class>/ with image files), CIFAR-10 "
            "(data_batch_1.bin, ...)");
    }
  } catch (const std::filesystem::filesystem_error& error) {
    detail::fail(error.path1().string(), ": ", error.code().message());
  }
  data.class_names = data.train->class_names();
  data.description += ": " + sizes_of(data);
  return data;
}

// Leaves of a data set the classes that a text means (parse_classes), in all its parts. Throws
// where the text is wrong, or a part of the data has no image of them.
inline void select_classes(OpenedData& data, std::string_view text) {
  const auto classes = parse_classes(text, std::ssize(data.class_names));
  const auto part = [&](const data::DatasetPointer& whole) {
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
