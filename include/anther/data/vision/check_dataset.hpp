// Reads all of a data set and says what is amiss with it, before a training run meets it: files
// that are damaged, of a format that is not decoded, or named as another one; the same bytes in two
// classes, or in two parts; classes that are empty or have a single image; links that lead nowhere.
//
//   const DatasetCheck check = check_dataset("my_photographs");
//   for (const DatasetProblem& problem : check.problems) std::puts(problem.message().c_str());
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "anther/core/check.hpp"
#include "anther/data/vision/bytes.hpp"
#include "anther/data/vision/image_format.hpp"
#include "anther/data/vision/open.hpp"

namespace anther::inline v0_1::vision {

struct DatasetProblem {
  // One of dataset_problem_kinds.
  std::string kind;
  std::string file;  // or the folder of a class
  std::string text;

  std::string message() const { return file + ": " + text; }
};

// What each kind means is told by `text`. The order is that of a report.
inline constexpr std::array<std::string_view, 8> dataset_problem_kinds = {
    "damaged", "unsupported", "misnamed", "doubled", "empty", "alone", "unknown class", "other"};

struct DatasetCheck {
  std::string description;                    // of the data
  std::int64_t images = 0;                    // that were read
  std::vector<DatasetProblem> problems = {};  // by their kind, then by their file

  std::int64_t count(std::string_view kind) const {
    return std::count_if(problems.begin(), problems.end(),
                         [&](const DatasetProblem& problem) { return problem.kind == kind; });
  }
};

struct CheckDatasetOptions {
  int threads = 1;
  // Called from time to time with the number of images that are done, and that there are.
  std::function<void(std::int64_t done, std::int64_t all)> progress = {};
};

class DatasetChecker {
 public:
  // open: makes the data set; options that would stop at what is amiss are off.
  DatasetChecker(const std::string& where, OpenOptions open, const std::vector<Opener>& more,
                 CheckDatasetOptions options)
      : options_(std::move(options)) {
    open.skip_bad = open.allow_empty = true;
    std::error_code error;
    const std::filesystem::path folder(where);
    const bool word = std::any_of(more.begin(), more.end(),
                                  [&](const Opener& opener) { return opener.fits(where); });
    if (!word && std::filesystem::is_directory(folder, error) && !is_flowers102(folder) &&
        cifar10_folder(folder).empty() && is_class_folders(folder))
      add_class_folders(folder, open);
    else
      add_data(open_data(where, open, more));
    read_all();
    find_doubled();
    sort_problems();
  }
  DatasetCheck result() && { return std::move(check_); }

 private:
  struct Item {
    const ImageSet* data;
    std::int64_t index;
    std::string_view part;
    std::uint64_t bytes = 0, hash = 0;
  };

  void add(std::string kind, const std::string& file, const std::string& text) {
    const std::lock_guard lock(mutex_);
    check_.problems.push_back({std::move(kind), io::to_utf8(file), io::to_utf8(text)});
  }

  void add_part(const ImageSetPointer& part, std::string_view name) {
    if (!part) return;
    sets_.push_back(part);
    for (std::int64_t i = 0; i < part->size(); ++i) items_.push_back({part.get(), i, name});
  }

  void add_class_folders(const std::filesystem::path& folder, const OpenOptions& open) {
    const ClassFolders found = ClassLayout(folder, {.val_fraction = open.val_fraction,
                                                    .seed = open.seed,
                                                    .hold_out = open.hold_out,
                                                    .choose_by_test = open.choose_by_test})
                                   .result();
    check_.description = description_of(folder, found);
    for (const FolderProblem& problem : found.notes.problems)
      add(kind_of(problem.kind), problem.path.string(), problem.text);
    add_part(found.train, "train");
    add_part(found.val, found.val_is_held_out ? "train, held out to validate" : "val");
    add_part(found.test, "test");
  }

  void add_data(const OpenedData& data) {
    check_.description = data.description;
    add_part(data.train, "train");
    add_part(data.val, data.val_name == data.test_name ? "test" : "val");
    if (data.has_test()) add_part(data.test, "test");
  }

  static std::string kind_of(FolderProblem::Kind kind) {
    using Kind = FolderProblem::Kind;
    switch (kind) {
      case Kind::unsupported:
        return "unsupported";
      case Kind::empty:
        return "empty";
      case Kind::alone:
        return "alone";
      case Kind::unknown_class:
        return "unknown class";
      case Kind::bad_name:
      case Kind::link:
      case Kind::other:
        break;
    }
    return "other";
  }

  // Each thread takes an image at a time.
  void read_all() {
    const auto all = std::ssize(items_);
    check_.images = all;
    std::atomic<std::int64_t> next = 0, done = 0;
    std::exception_ptr failure;
    const auto work = [&] {
      try {
        for (std::int64_t i; (i = next++) < all;) {
          read(items_[static_cast<std::size_t>(i)]);
          const std::int64_t so_far = ++done;
          if (!options_.progress) continue;
          const std::lock_guard lock(mutex_);
          options_.progress(so_far, all);
        }
      } catch (...) {
        const std::lock_guard lock(mutex_);
        failure = std::current_exception();
        next = all;
      }
    };
    std::vector<std::thread> threads;
    for (int t = 1; t < options_.threads; ++t) threads.emplace_back(work);
    work();
    for (std::thread& thread : threads) thread.join();
    if (failure) std::rethrow_exception(failure);
  }

  void read(Item& item) {
    const std::string name = item.data->name(item.index);
    const std::filesystem::path path = item.data->path(item.index);
    std::string_view format;
    try {
      Bytes file;
      if (!path.empty()) {
        file = read_file(path);
        format = image_format(file);
        const std::string_view stated = format_of_extension(lower_extension(path));
        if (!format.empty() && !stated.empty() && stated != format)
          add("misnamed", name, detail::text_of("named as ", stated, ", but is ", format));
      }
      const Image image = path.empty() ? item.data->image(item.index) : decode_image(file, name);
      // Decoders pass over what is missing in the middle of a JPEG.
      if (format == "JPEG") static_cast<void>(JpegFile(file, name, true));
      if (path.empty()) file.assign(image.pixels.begin(), image.pixels.end());
      item.bytes = file.size();
      item.hash =
          RandomKey(0)
              .fold(std::string_view(reinterpret_cast<const char*>(file.data()), file.size()))
              .value();
    } catch (const Error& error) {
      std::string text = error.what();
      if (text.starts_with(name + ": ")) text.erase(0, name.size() + 2);
      const bool unsupported = text.find("not supported") != std::string::npos;
      add(unsupported ? "unsupported" : "damaged", name, text);
    }
  }

  // Of the same bytes: those of two classes, or of two parts. Twice in one class and part does no
  // harm.
  void find_doubled() {
    std::map<std::pair<std::uint64_t, std::uint64_t>, std::vector<const Item*>> same;
    for (const Item& item : items_)
      if (item.bytes > 0) same[{item.bytes, item.hash}].push_back(&item);
    const auto label = [](const Item* item) { return item->data->label(item->index); };
    for (const auto& [key, group] : same) {
      const Item* first = group.front();
      for (const Item* other : group) {
        if (label(other) == label(first) && other->part == first->part) continue;
        const auto& names = other->data->class_names();
        const auto class_of = [&](const Item* item) {
          return names[static_cast<std::size_t>(label(item))];
        };
        add("doubled", other->data->name(other->index),
            detail::text_of(
                "the same as ", first->data->name(first->index),
                label(other) != label(first)
                    ? detail::text_of("; the classes are ", class_of(other), " and ",
                                      class_of(first))
                    : "",
                other->part != first->part
                    ? detail::text_of("; the parts are ", other->part, " and ", first->part)
                    : ""));
      }
    }
  }

  void sort_problems() {
    const auto place = [](const DatasetProblem& problem) {
      const auto& kinds = dataset_problem_kinds;
      const auto kind = std::find(kinds.begin(), kinds.end(), problem.kind);
      return std::pair<std::ptrdiff_t, const std::string&>(kind - kinds.begin(), problem.file);
    };
    std::sort(check_.problems.begin(), check_.problems.end(),
              [&](const auto& a, const auto& b) { return place(a) < place(b); });
  }

  CheckDatasetOptions options_;
  DatasetCheck check_;
  std::vector<ImageSetPointer> sets_;
  std::vector<Item> items_;
  std::mutex mutex_;
};

// Throws only where there is no data set that can be read at all. options: of the data, as
// open_data has them. more: other kinds of data sets.
inline DatasetCheck check_dataset(const std::string& where, const OpenOptions& options = {},
                                  const std::vector<Opener>& more = {},
                                  CheckDatasetOptions how = {}) {
  return DatasetChecker(where, options, more, std::move(how)).result();
}

}  // namespace anther::inline v0_1::vision
