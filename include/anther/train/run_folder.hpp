// The folder of one training run: runs/<experiment>/1, 2, 3, ..., each with weights/ in it.
#pragma once

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include "anther/core/check.hpp"
#include "anther/core/once.hpp"

namespace anther::inline v0_1 {

// The number that the name of a run's folder stands for; empty if it is no such name.
ANTHER_ONCE std::optional<int> run_number(std::string_view name) {
  int number = 0;
  const auto [rest, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  const bool whole = error == std::errc() && rest == name.data() + name.size();
  return whole && number > 0 && name[0] != '0' && name.size() <= 9 ? std::optional(number)
                                                                   : std::nullopt;
}

// The highest run number in a folder; 0 if there is none, or no such folder.
ANTHER_ONCE int last_run_number(const std::filesystem::path& experiment) {
  std::error_code error;
  int last = 0;
  for (const auto& entry : std::filesystem::directory_iterator(experiment, error))
    last = std::max(last, run_number(entry.path().filename().string()).value_or(0));
  return last;
}

struct RunFolderOptions {
  std::filesystem::path root = "runs";
  std::string experiment = "train";
  std::filesystem::path output = {};  // this very folder; empty: the next of root/experiment
  bool resume = false;                // `output` is a run to go on with
};

class RunFolder {
 public:
  // Makes the folder, and weights/ in it. The number is one above the highest there, so that a
  // higher number means a later run, even if others are deleted, or two programs start at once. An
  // `output` that is not empty is refused, unless resuming. Errors name the folder and the reason.
  explicit RunFolder(const RunFolderOptions& options) {
    path_ = options.output.empty() ? next_of(options) : options.output;
    if (!options.output.empty()) check_output(options.resume);
    make(path_ / "weights");
  }

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path weights() const { return path_ / "weights"; }
  // A file of this name in the folder.
  std::filesystem::path operator/(std::string_view name) const { return path_ / name; }

  // The folder of the latest run of an experiment, if there is one.
  static std::optional<std::filesystem::path> latest(const std::filesystem::path& root,
                                                     const std::string& experiment) {
    const int last = last_run_number(root / experiment);
    return last > 0 ? std::optional(root / experiment / std::to_string(last)) : std::nullopt;
  }

 private:
  static std::filesystem::path next_of(const RunFolderOptions& options) {
    detail::check(!options.resume, "run folder: to resume, give the folder of the run as output");
    const std::string& name = options.experiment;
    detail::check(
        !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos,
        "experiment: expected the name of a folder, got '", name, "'");
    const auto parent = options.root / name;
    make(parent);
    for (int number = last_run_number(parent) + 1;; ++number) {
      const auto path = parent / std::to_string(number);
      std::error_code error;
      if (std::filesystem::create_directory(path, error)) return path;
      detail::check(!error || error == std::errc::file_exists, path.string(),
                    ": cannot create: ", error.message());
    }
  }

  void check_output(bool resume) const {
    const std::string name = path_.string();
    std::error_code error;
    const auto status = std::filesystem::status(path_, error);
    if (!std::filesystem::exists(status)) {
      detail::check(!resume, name, ": cannot resume: there is no such folder");
      return;
    }
    detail::check(std::filesystem::is_directory(status), name, ": expected a folder, got a file");
    const bool empty = std::filesystem::is_empty(path_, error);
    detail::check(!error, name, ": cannot read: ", error.message());
    detail::check(
        empty || resume, name,
        ": expected an empty or new folder for the run's files; resume the run that is in it, or "
        "choose another");
  }

  static void make(const std::filesystem::path& folder) {
    std::error_code error;
    std::filesystem::create_directories(folder, error);
    detail::check(!error, folder.string(), ": cannot create: ", error.message());
  }

  std::filesystem::path path_;
};

}  // namespace anther::inline v0_1
