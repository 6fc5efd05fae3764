// A folder with a folder for each class: which of its files are images, and of which class.
//
// Classes are sorted bytewise by their folders' names, files bytewise by their paths. Links are
// followed. What hidden and system folders hold is no data. Nothing is left out without a word:
// what was passed over, and why, is in FolderNotes.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "anther/core/check.hpp"
#include "anther/core/once.hpp"
#include "anther/data/vision/decode.hpp"
#include "anther/data/vision/image_set.hpp"
#include "anther/io/text.hpp"

namespace anther::inline v0_1::vision {

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
  std::filesystem::path path(std::int64_t index) const override { return file(index).path; }
  const std::vector<std::string>& class_names() const override { return class_names_; }

 private:
  const File& file(std::int64_t index) const { return files_[static_cast<std::size_t>(index)]; }

  std::vector<File> files_;
  std::vector<std::string> class_names_;
};

// With A to Z as a to z, whatever the locale.
ANTHER_ONCE std::string lower_case(std::string_view text) {
  std::string lower(text);
  for (char& c : lower)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return lower;
}

// The ending of a file's name in lower case, with its dot.
inline std::string lower_extension(const std::filesystem::path& path) {
  return lower_case(path.extension().string());
}

// The format that the ending of a file's name (lower_extension) states; "" where it states none.
ANTHER_ONCE std::string_view format_of_extension(std::string_view extension) {
  constexpr std::pair<std::string_view, std::string_view> formats[] = {
      {".jpg", "JPEG"},  {".jpeg", "JPEG"},   {".jpe", "JPEG"},      {".jfif", "JPEG"},
      {".png", "PNG"},   {".bmp", "BMP"},     {".gif", "GIF"},       {".webp", "WebP"},
      {".heic", "HEIC"}, {".heif", "HEIC"},   {".avif", "AVIF"},     {".tif", "TIFF"},
      {".tiff", "TIFF"}, {".jxl", "JPEG XL"}, {".psd", "Photoshop"}, {".jp2", "JPEG 2000"},
      {".svg", "SVG"},   {".dng", "raw"},     {".cr2", "raw"},       {".nef", "raw"},
      {".arw", "raw"}};
  for (const auto& [ending, name] : formats)
    if (ending == extension) return name;
  return "";
}

// Whether this program decodes it: of WebP if it has libwebp.
inline bool is_image_extension(std::string_view extension) {
  const std::string_view format = format_of_extension(extension);
  return format == "JPEG" || format == "PNG" || format == "BMP" || format == "GIF" ||
         (format == "WebP" && image_decoders().webp.load() != nullptr);
}

// The name of an image format that is not decoded, by the ending of a file's name; "" for others.
inline std::string_view unsupported_format(std::string_view extension) {
  return is_image_extension(extension) ? "" : format_of_extension(extension);
}

// Whether a file or folder of this name is the system's or a program's, and not the user's: hidden
// ones (.DS_Store, ._photo.jpg, .ipynb_checkpoints), thumbnails and waste bins of Windows, macOS
// and network drives.
ANTHER_ONCE bool is_system_name(std::string_view name) {
  constexpr std::array<std::string_view, 23> known = {"$recycle.bin",
                                                      "recycler",
                                                      "recycled",
                                                      "system volume information",
                                                      "thumbs.db",
                                                      "ehthumbs.db",
                                                      "desktop.ini",
                                                      "__macosx",
                                                      "network trash folder",
                                                      "temporary items",
                                                      "lost+found",
                                                      "@eadir",
                                                      "@tmp",
                                                      "@recycle",
                                                      "@recently-snapshot",
                                                      "@__thumb",
                                                      "@transcode",
                                                      "@sharebin",
                                                      "#recycle",
                                                      "#snapshot",
                                                      "~snapshot",
                                                      "__pycache__",
                                                      "$extend"};
  if (name.starts_with('.')) return true;
  return std::find(known.begin(), known.end(), lower_case(name)) != known.end();
}

// Something amiss in a folder.
struct FolderProblem {
  enum class Kind { unsupported, empty, alone, unknown_class, bad_name, link, other };
  Kind kind = Kind::other;
  std::filesystem::path path = {};
  std::string text = {};  // what is amiss, to follow the path

  std::string message() const { return path.string() + ": " + text; }
};

// What was found in folders beside images.
struct FolderNotes {
  std::vector<FolderProblem> problems = {};
  std::set<std::string> system = {};                // names of hidden and system folders
  std::map<std::string, std::int64_t> others = {};  // files that are no images, by their ending
  std::int64_t unsupported = 0;                     // files of formats that are not decoded

  void add(FolderProblem::Kind kind, std::filesystem::path path, std::string text) {
    problems.push_back({kind, std::move(path), std::move(text)});
  }
  void merge(FolderNotes more) {
    std::move(more.problems.begin(), more.problems.end(), std::back_inserter(problems));
    system.merge(more.system);
    for (const auto& [ending, count] : more.others) others[ending] += count;
    unsupported += more.unsupported;
  }
};

// Whether a file is the companion that macOS puts beside another (._photo.jpg), and no image
// itself.
inline bool is_companion(std::string_view name) {
  return name.starts_with("._");
}

// What an entry of a folder is, links followed. Throws where the system does not tell, as in a
// folder that may be listed but not entered. A link may lead nowhere.
ANTHER_ONCE std::filesystem::file_status status_of(const std::filesystem::directory_entry& entry) {
  std::error_code error, unknown;
  const auto status = entry.status(error);
  detail::check(std::filesystem::status_known(status) || entry.is_symlink(unknown),
                entry.path().string(), ": ", error.message());
  return status;
}

// The images in a folder and in those within it, links followed. A link to a folder that it lies in
// is not followed, and named; so are links that lead nowhere. Files whose names begin with a dot
// are passed over, unless all images have such names.
class ImageWalk {
 public:
  ImageWalk(const std::filesystem::path& folder, FolderNotes& notes) : notes_(notes) {
    visit(folder, std::filesystem::canonical(folder));
    if (files_.empty() && !hidden_.empty()) {
      files_ = std::move(hidden_);
      notes_.add(FolderProblem::Kind::other, folder,
                 "the names of all its images begin with a dot; they are taken all the same");
    }
    std::sort(files_.begin(), files_.end(),
              [](const auto& a, const auto& b) { return a.native() < b.native(); });
  }
  std::vector<std::filesystem::path> files() && { return std::move(files_); }

 private:
  // real: the folder's path without links.
  void visit(const std::filesystem::path& folder, const std::filesystem::path& real) {
    above_.push_back(real);
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      const std::filesystem::path& path = entry.path();
      const std::string name = path.filename().string();
      std::error_code error;
      const bool link = entry.is_symlink(error);
      const auto status = status_of(entry);
      if (is_system_name(name)) {
        if (std::filesystem::is_directory(status))
          notes_.system.insert(name);
        else if (!is_companion(name) && is_image_extension(lower_extension(path)))
          hidden_.push_back(path);
      } else if (std::filesystem::is_directory(status)) {
        const auto target = link ? std::filesystem::canonical(path) : real / name;
        if (link && is_above(target))
          notes_.add(FolderProblem::Kind::link, path,
                     "a link to a folder that it lies in; it is not followed");
        else
          visit(path, target);
      } else if (std::filesystem::is_regular_file(status)) {
        add_file(path);
      } else if (link && !std::filesystem::exists(status)) {
        notes_.add(FolderProblem::Kind::link, path, "a link that leads nowhere");
      }
    }
    above_.pop_back();
  }

  // Whether a folder is one of those that are being visited, or holds one of them.
  bool is_above(const std::filesystem::path& target) const {
    return std::any_of(above_.begin(), above_.end(), [&](const std::filesystem::path& open) {
      return std::mismatch(target.begin(), target.end(), open.begin(), open.end()).first ==
             target.end();
    });
  }

  void add_file(const std::filesystem::path& path) {
    const std::string extension = lower_extension(path);
    if (const std::string_view format = unsupported_format(extension); !format.empty()) {
      notes_.add(FolderProblem::Kind::unsupported, path,
                 detail::text_of(format, " is not supported; convert it to JPEG or PNG"));
      ++notes_.unsupported;
    } else if (is_image_extension(extension)) {
      files_.push_back(path);
    } else {
      ++notes_.others[extension];
    }
  }

  FolderNotes& notes_;
  std::vector<std::filesystem::path> files_, hidden_, above_;
};

// A class of a folder of classes.
struct ClassFolder {
  std::string name;  // as UTF-8
  std::filesystem::path path = {};
  std::vector<std::filesystem::path> files = {};

  // A file's path within the class's folder, whatever the system.
  std::string name_of(std::size_t file) const {
    return files[file].lexically_relative(path).generic_string();
  }
};

// The classes of a folder, sorted bytewise, with their files.
ANTHER_ONCE std::vector<ClassFolder> read_class_folder(const std::filesystem::path& folder,
                                                       FolderNotes& notes) {
  std::vector<ClassFolder> classes;
  std::int64_t loose = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::filesystem::path& path = entry.path();
    const std::string name = path.filename().string();
    std::error_code error;
    const auto status = status_of(entry);
    const bool is_folder = std::filesystem::is_directory(status);
    if (is_system_name(name)) {
      if (is_folder) notes.system.insert(name);
    } else if (is_folder) {
      // Tables and charts show the name of a class on one line.
      if (name.find_first_of("\r\n") != name.npos)
        notes.add(FolderProblem::Kind::bad_name, path,
                  "expected a class's name without line breaks");
      classes.push_back({.name = io::to_utf8(name), .path = path});
    } else if (entry.is_symlink(error) && !std::filesystem::exists(status)) {
      notes.add(FolderProblem::Kind::link, path, "a link that leads nowhere");
    } else if (is_image_extension(lower_extension(path))) {
      ++loose;
    }
  }
  if (loose > 0 && !classes.empty())
    notes.add(FolderProblem::Kind::other, folder,
              detail::text_of(loose, loose == 1 ? " image lies" : " images lie",
                              " beside the classes' folders, and ", loose == 1 ? "has" : "have",
                              " no label: passed over"));
  std::sort(classes.begin(), classes.end(),
            [](const ClassFolder& a, const ClassFolder& b) { return a.path < b.path; });
  std::map<std::string, std::filesystem::path> paths;
  for (ClassFolder& one : classes) {
    const auto [first, is_new] = paths.emplace(one.name, one.path);
    if (!is_new)
      notes.add(FolderProblem::Kind::bad_name, one.path,
                "expected a name of its own, but " + first->second.string() +
                    " has the same in UTF-8, " + one.name);
    one.files = ImageWalk(one.path, notes).files();
  }
  return classes;
}

// Whether there is an image in a folder, or in those within it.
inline bool has_images(const std::filesystem::path& folder) {
  FolderNotes notes;
  return !ImageWalk(folder, notes).files().empty();
}

// How many images lie in a folder itself.
ANTHER_ONCE std::int64_t loose_images(const std::filesystem::path& folder) {
  std::int64_t count = 0;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error))
    count += !is_system_name(entry.path().filename().string()) &&
             is_image_extension(lower_extension(entry.path())) &&
             std::filesystem::is_regular_file(status_of(entry));
  return count;
}

// Whether an image lies in a folder, or in those within it; ends at the first one. Folders that are
// links, and may lead anywhere, are not looked into.
ANTHER_ONCE bool holds_image(const std::filesystem::path& folder) {
  namespace fs = std::filesystem;
  std::error_code error, unknown;
  fs::recursive_directory_iterator at(folder, fs::directory_options::skip_permission_denied, error);
  for (; !error && at != fs::recursive_directory_iterator(); at.increment(error)) {
    if (is_system_name(at->path().filename().string()))
      at.disable_recursion_pending();
    else if (is_image_extension(lower_extension(at->path())) && at->is_regular_file(unknown))
      return true;
  }
  return false;
}

}  // namespace anther::inline v0_1::vision
