// The folders of a data set's parts, by their names: train/, val/ and test/, and what people call
// them otherwise.
#pragma once

#include <algorithm>
#include <array>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "anther/core/check.hpp"
#include "anther/core/once.hpp"
#include "anther/data/vision/class_folders.hpp"

namespace anther::inline v0_1::vision {

// The folders of the parts; empty where there is none.
struct PartFolders {
  std::filesystem::path train, val, test;
  std::vector<std::string> others = {};  // names of folders that are no part

  bool any() const { return !train.empty() || !val.empty() || !test.empty(); }
};

using PartPlace = std::filesystem::path PartFolders::*;

// The part of a name in small letters; null where it is none. loose: rarer names, too.
ANTHER_ONCE PartPlace part_of(std::string_view name, bool loose = false) {
  struct NameOfPart {
    std::string_view name;
    PartPlace place;
  };
  static constexpr NameOfPart names[] = {
      {"train", &PartFolders::train}, {"training", &PartFolders::train}, {"val", &PartFolders::val},
      {"valid", &PartFolders::val},   {"validation", &PartFolders::val}, {"dev", &PartFolders::val},
      {"test", &PartFolders::test},   {"testing", &PartFolders::test}};
  static constexpr NameOfPart rarer[] = {{"eval", &PartFolders::val},
                                         {"evaluation", &PartFolders::val},
                                         {"validate", &PartFolders::val},
                                         {"tests", &PartFolders::test}};
  for (const NameOfPart& part : names)
    if (part.name == name) return part.place;
  for (const NameOfPart& part : rarer)
    if (loose && part.name == name) return part.place;
  return nullptr;
}

// The name of a folder in small letters, without "set": "training" of "Training_Set". loose: also
// without other words and numbers behind it: "train" of "trainset", "train_images", "train2017".
ANTHER_ONCE std::string name_of_part(const std::string& folder, bool loose = false) {
  static constexpr std::array<std::string_view, 12> words = {
      "dataset", "set",  "images", "image",  "imgs", "img",
      "photos",  "pics", "data",   "folder", "dir",  "split"};
  const auto is_sign = [](char c) { return c == '_' || c == '-' || c == ' ' || c == '.'; };
  std::string name = lower_case(folder);
  if (!loose) {
    for (const std::string_view set : {"_set", "-set", " set"})
      if (name.size() > set.size() && name.ends_with(set)) name.resize(name.size() - set.size());
    return name;
  }
  const auto drop = [&](auto is_dropped) {
    while (!name.empty() && is_dropped(name.back())) name.pop_back();
  };
  drop([&](char c) { return is_sign(c) || (c >= '0' && c <= '9'); });
  for (const std::string_view word : words)
    if (name.size() > word.size() && name.ends_with(word)) {
      name.resize(name.size() - word.size());
      break;
    }
  drop(is_sign);
  return name;
}

// Throws where a part has two folders, or is a link that leads nowhere. Loose names
// ("train_images") count where no folder has the plain name, and only if one is to train on.
ANTHER_ONCE PartFolders find_parts(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (is_system_name(name)) continue;
    const auto status = status_of(entry);
    if (std::filesystem::is_directory(status)) names.push_back(name);
    detail::check(
        !entry.is_symlink(error) || std::filesystem::exists(status) || !part_of(name_of_part(name)),
        entry.path().string(), ": a link that leads nowhere");
  }
  std::sort(names.begin(), names.end());

  const auto found = [&](bool loose, const PartFolders& before) {
    PartFolders parts;
    for (const std::string& name : names) {
      const PartPlace place = part_of(name_of_part(name, loose), loose);
      if (!place || !(before.*place).empty()) continue;
      std::filesystem::path& path = parts.*place;
      detail::check(path.empty(), folder.string(), ": expected one folder for a part, found ",
                    path.filename().string(), " and ", name);
      path = folder / name;
    }
    return parts;
  };
  PartFolders parts = found(false, {});
  if (std::any_of(names.begin(), names.end(), [](const std::string& name) {
        return part_of(name_of_part(name, true), true) == &PartFolders::train;
      })) {
    const PartFolders loose = found(true, parts);
    for (PartPlace place : {&PartFolders::train, &PartFolders::val, &PartFolders::test})
      if ((parts.*place).empty()) parts.*place = loose.*place;
  }
  for (const std::string& name : names) {
    const auto path = folder / name;
    if (path != parts.train && path != parts.val && path != parts.test)
      parts.others.push_back(name);
  }
  return parts;
}

// Whether the folder is a data set of class folders: it has a folder to train on, or no folder of a
// part but at least two with images in them, which are classes. Where the images lie in folders of
// these only (below), none of the classes may be a data set itself.
ANTHER_ONCE bool is_class_folders(const std::filesystem::path& folder, bool below = true) {
  const PartFolders parts = find_parts(folder);
  if (parts.any()) return !parts.train.empty();
  const auto count = [&](const auto& is_one) {
    return std::ranges::count_if(parts.others,
                                 [&](const std::string& name) { return is_one(folder / name); });
  };
  if (count([](const auto& path) { return loose_images(path) > 0; }) >= 2) return true;
  return below && count([](const auto& path) { return is_class_folders(path, false); }) == 0 &&
         count(holds_image) >= 2;
}

// Whether the folder holds folders that may be classes or parts.
inline bool has_folders(const std::filesystem::path& folder) {
  const PartFolders parts = find_parts(folder);
  return parts.any() || !parts.others.empty();
}

}  // namespace anther::inline v0_1::vision
