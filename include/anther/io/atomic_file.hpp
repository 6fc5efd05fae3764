// Writes a file so that there is always a complete one: the old one or the new one.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <system_error>

#include "anther/core/check.hpp"
#include "anther/io/file.hpp"

namespace anther::inline v0_1::io {

// Collects the new content of a file under a temporary name in the same folder; commit() puts it in
// place. Until then, and if anything fails, the old file stays as it was, and the temporary one is
// removed. Each failure throws Error with the file's name and the reason.
//
//   AtomicFile file("weights/last.safetensors");
//   file.write(bytes, size);
//   file.commit();
class AtomicFile {
 public:
  explicit AtomicFile(const std::filesystem::path& path) : name_(path) {
    detail::check(!path.empty(), "expected the name of a file to write, got an empty one");
    std::error_code error;
    // Renaming over a symbolic link would replace the link, not the file, which may not be there
    // yet.
    target_ = path;
    for (int links = 0; std::filesystem::is_symlink(target_, error); ++links) {
      if (links == 40) fail_with_errno(name_, "write", ELOOP);  // as the system counts them
      target_ = target_.parent_path() / std::filesystem::read_symlink(target_, error);
      if (error) fail_with_errno(name_, "write", error.value());
    }
    const auto old = std::filesystem::status(target_, error);
    detail::check(!std::filesystem::exists(old) || std::filesystem::is_regular_file(old),
                  path.string(), ": cannot write: there is a ",
                  std::filesystem::is_directory(old) ? "folder" : "pipe or device",
                  " of this name");
    open_temporary();
    if (std::filesystem::exists(old)) file_.set_mode(static_cast<mode_t>(old.permissions()));
  }
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile() {
    if (!committed_) ::unlink(temporary_.c_str());
  }

  void write(const void* from, std::int64_t bytes) { file_.write(from, bytes); }
  void write(std::string_view text) { file_.write(text); }

  // Once the new content is on the disk, gives it the file's name. Call it once. before_rename is
  // called between the two; if it throws, the old file stays.
  void commit(const std::function<void()>& before_rename = {}) {
    detail::check(!committed_, name_.string(), ": was committed before");
    file_.sync();
    file_.close();
    if (before_rename) before_rename();
    if (::rename(temporary_.c_str(), target_.c_str()) != 0)
      fail_with_errno(name_, "rename the finished file", errno);
    committed_ = true;
    sync_folder();
  }

 private:
  void open_temporary() {
    // A number that no other AtomicFile of this process has. The number of the process tells
    // processes apart.
    static std::atomic<std::uint64_t> counter{0};
    for (;;) {
      temporary_ = target_.parent_path() /
                   detail::text_of(".", target_.filename().string().substr(0, 200), ".", ::getpid(),
                                   "-", counter.fetch_add(1), ".tmp");
      const int descriptor =
          ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
      const int error_number = errno;
      if (descriptor >= 0) {
        file_ = File(descriptor, name_);
        return;
      }
      // A file that a killed process has left behind may have the name already.
      if (error_number != EEXIST) fail_with_errno(name_, "write", error_number);
    }
  }

  // Makes the new name survive a power failure. Not every file system can do that; then only this
  // is lost.
  void sync_folder() const {
    const auto folder = target_.has_parent_path() ? target_.parent_path() : ".";
    const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) return;
    ::fsync(descriptor);
    ::close(descriptor);
  }

  std::filesystem::path name_;    // as it was given
  std::filesystem::path target_;  // where a symbolic link of that name leads
  std::filesystem::path temporary_;
  File file_;
  bool committed_ = false;
};

// Throws now what writing this file would throw later: where there is no such folder, no right to
// write there, or something of this name that is no file.
inline void check_writable(const std::filesystem::path& path) {
  const AtomicFile probe(path);
}

// Writes a whole file at once, as AtomicFile does.
inline void write_file_atomically(const std::filesystem::path& path, std::string_view content) {
  AtomicFile file(path);
  file.write(content);
  file.commit();
}

}  // namespace anther::inline v0_1::io
