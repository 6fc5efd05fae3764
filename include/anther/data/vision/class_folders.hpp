// Images in folders named after their class: train/<class>/..., val/<class>/..., test/<class>/...
//
// Classes are the folders of train/, sorted bytewise; files are sorted bytewise by their path.
// Where there is no val/, a share of each class of train/ is kept for validation.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <numeric>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "anther/core/check.hpp"
#include "anther/core/random.hpp"
#include "anther/data/vision/decode.hpp"
#include "anther/data/vision/image_set.hpp"

namespace anther::inline v0_1::vision {

struct ClassFolderOptions {
  double val_fraction = 0.1;      // of each class of train/, where there is no val/
  std::uint64_t seed = 0;         // which images those are
  bool skip_unsupported = false;  // leave WebP, HEIC, ... out instead of throwing
};

// Image files, each with a label.
class ImageFiles final : public ImageSet {
 public:
  struct File {
    std::filesystem::path path;
    int label = 0;
  };
  ImageFiles(std::vector<File> files, std::vector<std::string> class_names)
      : files_(std::move(files)), class_names_(std::move(class_names)) {}

  std::int64_t size() const override { return static_cast<std::int64_t>(files_.size()); }
  Image image(std::int64_t index) const override { return decode_image(file(index).path); }
  int label(std::int64_t index) const override { return file(index).label; }
  std::string name(std::int64_t index) const override { return file(index).path.string(); }
  const std::vector<std::string>& class_names() const override { return class_names_; }

 private:
  const File& file(std::int64_t index) const { return files_[static_cast<std::size_t>(index)]; }

  std::vector<File> files_;
  std::vector<std::string> class_names_;
};

// What open_class_folders found. test is null if there is no folder test/.
struct ClassFolders {
  ImageSetPointer train;
  ImageSetPointer val;
  ImageSetPointer test;
  bool val_is_held_out = false;  // from train/
  std::int64_t unsupported = 0;  // files left out
};

// The ending of a file's name in lower case, with its dot.
inline std::string lower_extension(const std::filesystem::path& path) {
  std::string extension = path.extension().string();
  for (char& c : extension)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return extension;
}

inline bool is_image_extension(std::string_view extension) {
  constexpr std::array<std::string_view, 5> known = {".jpg", ".jpeg", ".jfif", ".png", ".bmp"};
  return std::find(known.begin(), known.end(), extension) != known.end();
}

// The name of an image format that is not decoded, by the ending of a file's name; "" for others.
inline std::string_view unsupported_format(std::string_view extension) {
  constexpr std::pair<std::string_view, std::string_view> formats[] = {
      {".webp", "WebP"},     {".heic", "HEIC"},     {".heif", "HEIC"}, {".avif", "AVIF"},
      {".gif", "GIF"},       {".tif", "TIFF"},      {".tiff", "TIFF"}, {".jxl", "JPEG XL"},
      {".jp2", "JPEG 2000"}, {".psd", "Photoshop"}, {".svg", "SVG"},   {".dng", "raw"},
      {".cr2", "raw"},       {".nef", "raw"},       {".arw", "raw"}};
  for (const auto& [ending, name] : formats)
    if (ending == extension) return name;
  return "";
}

// Reads the tree of one part (train, val, test) of class folders.
class ClassFolderReader {
 public:
  ClassFolderReader(std::filesystem::path folder, const ClassFolderOptions& options)
      : folder_(std::move(folder)), options_(options) {}

  // The names of the folders in train/, sorted bytewise. Hidden folders are not classes.
  std::vector<std::string> class_names() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
      const std::string name = entry.path().filename().string();
      if (!entry.is_directory() || name.starts_with('.')) continue;
      // Tables and charts show the name of a class on one line.
      detail::check(name.find_first_of("\r\n") == name.npos, entry.path().string(),
                    ": expected a class's name without line breaks");
      names.push_back(name);
    }
    std::sort(names.begin(), names.end());  // std::string compares bytes
    detail::check(!names.empty(), folder_.string(),
                  ": expected a folder for each class, found none");
    return names;
  }

  // The image files of a class, sorted bytewise. Throws if there is none, or if one has a format
  // that is not supported (unless those are to be skipped).
  std::vector<std::filesystem::path> files(const std::string& class_name) {
    std::vector<std::filesystem::path> found;
    const std::filesystem::path class_folder = folder_ / class_name;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(class_folder)) {
      const std::string name = entry.path().filename().string();
      if (name.starts_with('.') || !entry.is_regular_file()) continue;
      const std::string extension = lower_extension(entry.path());
      if (const std::string_view format = unsupported_format(extension); !format.empty()) {
        detail::check(options_.skip_unsupported, entry.path().string(), ": ", format,
                      " is not supported; convert it to JPEG or PNG");
        ++unsupported_;
      } else if (is_image_extension(extension)) {
        found.push_back(entry.path());
      }
    }
    detail::check(!found.empty(), class_folder.string(),
                  ": the class has no JPEG, PNG or BMP file");
    std::sort(found.begin(), found.end(),
              [](const auto& a, const auto& b) { return a.native() < b.native(); });
    return found;
  }

  std::int64_t unsupported() const { return unsupported_; }

 private:
  std::filesystem::path folder_;
  ClassFolderOptions options_;
  std::int64_t unsupported_ = 0;
};

// Which files of a class are kept for validation: at least one, but not all.
inline std::vector<bool> held_out(std::size_t files, const std::string& class_name,
                                  const ClassFolderOptions& options) {
  const auto share =
      static_cast<std::size_t>(std::lround(options.val_fraction * static_cast<double>(files)));
  const std::size_t count = std::clamp<std::size_t>(share, 1, files - 1);
  std::vector<std::size_t> order(files);
  std::iota(order.begin(), order.end(), std::size_t{0});
  const RandomKey key = RandomKey(options.seed).fold("val").fold(class_name);
  std::vector<bool> chosen(files, false);
  for (std::size_t i = 0; i < count; ++i) {
    const auto left = static_cast<std::int64_t>(files - i);
    std::swap(order[i], order[i + static_cast<std::size_t>(uniform_below(key, i, left))]);
    chosen[order[i]] = true;
  }
  return chosen;
}

// Whether the folder holds class folders, that is, whether it has a train/.
inline bool is_class_folders(const std::filesystem::path& folder) {
  std::error_code error;
  return std::filesystem::is_directory(folder / "train", error);
}

// Opens class folders. No image is decoded. Throws, naming the path, if train/ is missing, a class
// is empty, val/ or test/ has a class that train/ does not have, a class is too small to be split,
// or the format of a file is not supported.
inline ClassFolders open_class_folders(const std::filesystem::path& folder,
                                       const ClassFolderOptions& options = {}) {
  detail::check(std::filesystem::is_directory(folder), folder.string(), ": no such folder");
  detail::check(is_class_folders(folder), (folder / "train").string(), ": no such folder");
  ClassFolders found;
  ClassFolderReader train_reader(folder / "train", options);
  const std::vector<std::string> classes = train_reader.class_names();

  const auto read_part = [&](const char* part) -> ImageSetPointer {
    const std::filesystem::path part_folder = folder / part;
    if (!std::filesystem::is_directory(part_folder)) return nullptr;
    ClassFolderReader reader(part_folder, options);
    std::vector<ImageFiles::File> files;
    for (const std::string& name : reader.class_names()) {
      const auto place = std::lower_bound(classes.begin(), classes.end(), name);
      detail::check(place != classes.end() && *place == name, (part_folder / name).string(),
                    ": there is no such class in train");
      for (auto& path : reader.files(name))
        files.push_back({std::move(path), static_cast<int>(place - classes.begin())});
    }
    found.unsupported += reader.unsupported();
    return std::make_shared<const ImageFiles>(std::move(files), classes);
  };
  found.val = read_part("val");
  found.test = read_part("test");
  found.val_is_held_out = found.val == nullptr;
  detail::check(!found.val_is_held_out || (options.val_fraction > 0 && options.val_fraction < 1),
                "val_fraction: expected more than 0 and less than 1, got ", options.val_fraction);

  std::vector<ImageFiles::File> train, val;
  for (std::size_t label = 0; label < classes.size(); ++label) {
    auto paths = train_reader.files(classes[label]);
    detail::check(!found.val_is_held_out || paths.size() >= 2,
                  (folder / "train" / classes[label]).string(),
                  ": expected at least 2 images, of which one is for validation, found 1");
    const std::vector<bool> for_val = found.val_is_held_out
                                          ? held_out(paths.size(), classes[label], options)
                                          : std::vector<bool>(paths.size(), false);
    for (std::size_t i = 0; i < paths.size(); ++i)
      (for_val[i] ? val : train).push_back({std::move(paths[i]), static_cast<int>(label)});
  }
  found.unsupported += train_reader.unsupported();
  found.train = std::make_shared<const ImageFiles>(std::move(train), classes);
  if (found.val_is_held_out)
    found.val = std::make_shared<const ImageFiles>(std::move(val), classes);
  return found;
}

}  // namespace anther::inline v0_1::vision
