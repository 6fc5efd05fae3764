// A file descriptor that closes itself. Every failure is an Error with the file's name and the
// operating system's reason.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "anther/core/check.hpp"
#include "anther/core/once.hpp"

namespace anther::inline v0_1::io {

// Throws "<path>: cannot <action>: <the reason that the error number stands for>".
[[noreturn]] inline void fail_with_errno(const std::filesystem::path& path, std::string_view action,
                                         int error_number) {
  detail::fail(path.string(), ": cannot ", action, ": ",
               std::generic_category().message(error_number));
}

class File {
 public:
  File() = default;
  // Takes over an open descriptor; `path` is the name in messages.
  File(int descriptor, std::filesystem::path path)
      : descriptor_(descriptor), path_(std::move(path)) {}
  File(File&& other) noexcept
      : descriptor_(std::exchange(other.descriptor_, -1)), path_(std::move(other.path_)) {}
  File& operator=(File&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    std::swap(path_, other.path_);
    return *this;
  }
  ~File() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }

  // A regular file to read from. A folder, a pipe or a device is an error.
  static File open_for_reading(const std::filesystem::path& path) {
    // Without O_NONBLOCK, opening a pipe would wait for a writer.
    File file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK), path);
    if (file.descriptor_ < 0) fail_with_errno(path, "open", errno);
    detail::check(S_ISREG(file.status().st_mode), path.string(),
                  ": expected a regular file, got a ",
                  S_ISDIR(file.status().st_mode) ? "folder" : "pipe or device");
    return file;
  }

  // A file to append to, made where there is none.
  static File open_for_appending(const std::filesystem::path& path) {
    File file(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666), path);
    if (file.descriptor_ < 0) fail_with_errno(path, "open", errno);
    return file;
  }

  const std::filesystem::path& path() const { return path_; }
  // In bytes.
  std::int64_t size() const { return status().st_size; }
  struct stat status() const {
    struct stat status {};
    if (::fstat(descriptor_, &status) != 0) fail_with_errno(path_, "read", errno);
    return status;
  }

  // Reads exactly `bytes` bytes from `offset` on; throws if the file ends before. Any number of
  // threads may read at once.
  void read_at(std::int64_t offset, void* into, std::int64_t bytes) const {
    for (std::int64_t done = 0; done < bytes;) {
      const ssize_t got = ::pread(descriptor_, static_cast<std::byte*>(into) + done,
                                  static_cast<std::size_t>(bytes - done), offset + done);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) fail_with_errno(path_, "read", errno);
      detail::check(got > 0, path_.string(), ": expected ", bytes, " bytes from byte ", offset,
                    " on, the file ends after ", done);
      done += got;
    }
  }

  // Writes all of it at the file's position.
  void write(const void* from, std::int64_t bytes) {
    for (std::int64_t done = 0; done < bytes;) {
      const ssize_t written = ::write(descriptor_, static_cast<const std::byte*>(from) + done,
                                      static_cast<std::size_t>(bytes - done));
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) fail_with_errno(path_, "write", errno);
      // Some network and user-space file systems do this when they are full.
      detail::check(written > 0, path_.string(), ": cannot write: the system took none of ",
                    bytes - done, " bytes");
      done += written;
    }
  }
  void write(std::string_view text) { write(text.data(), static_cast<std::int64_t>(text.size())); }

  // Truncates the file; false if that fails.
  bool truncate(std::int64_t bytes) { return ::ftruncate(descriptor_, bytes) == 0; }
  // Sets the permissions; false if that fails.
  bool set_mode(mode_t mode) { return ::fchmod(descriptor_, mode) == 0; }

  // Returns when the content is on the disk.
  void sync() {
    // EINVAL and ENOSYS: this file system cannot do it, which is no reason not to write to it.
    if (::fsync(descriptor_) != 0 && errno != EINVAL && errno != ENOSYS)
      fail_with_errno(path_, "write", errno);
  }
  // Some file systems tell only here that a write failed.
  void close() {
    if (::close(std::exchange(descriptor_, -1)) != 0 && errno != EINTR)
      fail_with_errno(path_, "write", errno);
  }

 private:
  int descriptor_ = -1;
  std::filesystem::path path_;
};

// The whole content of a regular file of text, without the byte order mark that Windows' programs
// put ahead of it. Throws, naming the file, if it is in UTF-16.
ANTHER_ONCE std::string read_text_file(const std::filesystem::path& path) {
  const File file = File::open_for_reading(path);
  std::string content(static_cast<std::size_t>(file.size()), '\0');
  file.read_at(0, content.data(), file.size());
  detail::check(!content.starts_with("\xFF\xFE") && !content.starts_with("\xFE\xFF"), path.string(),
                ": expected text in UTF-8, got UTF-16; save it as UTF-8");
  if (content.starts_with("\xEF\xBB\xBF")) content.erase(0, 3);
  return content;
}

// Its lines, without their ends ("\n" or "\r\n"), and without empty ones at the end.
ANTHER_ONCE std::vector<std::string> read_lines(const std::filesystem::path& path) {
  const std::string content = read_text_file(path);
  std::vector<std::string> lines;
  for (std::size_t begin = 0; begin < content.size();) {
    const std::size_t end = std::min(content.find('\n', begin), content.size());
    lines.push_back(content.substr(begin, end - begin));
    if (lines.back().ends_with('\r')) lines.back().pop_back();
    begin = end + 1;
  }
  while (!lines.empty() && lines.back().empty()) lines.pop_back();
  return lines;
}

}  // namespace anther::inline v0_1::io
