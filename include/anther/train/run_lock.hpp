// One process at a time writes to the folder of a run: two would mix their files.
#pragma once

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <ctime>
#include <filesystem>
#include <iterator>
#include <string>
#include <system_error>
#include <utility>

#include "anther/core/check.hpp"

namespace anther::inline v0_1 {

// Holds the folder while it lives. The lock is the system's (flock on the file .lock), which
// vanishes with the process, however that ends; the file itself stays, and only says who has or
// had it. Where the file system has no locks there is no protection, and no error.
class RunLock {
 public:
  // Throws, and names the other process, if the folder is held.
  explicit RunLock(const std::filesystem::path& folder) {
    const std::filesystem::path path = file_of(folder);
    descriptor_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    detail::check(descriptor_ >= 0, folder.string(), ": the folder of the run cannot be written: ",
                  std::generic_category().message(errno));
    if (is_held(descriptor_)) {
      const std::string other = text_in(descriptor_);
      ::close(std::exchange(descriptor_, -1));
      detail::fail(held(folder, other));
    }
    const std::string text = own_text();
    if (::ftruncate(descriptor_, 0) != 0 ||
        ::pwrite(descriptor_, text.data(), text.size(), 0) != std::ssize(text))
      return;  // it only says who holds the lock
  }
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;
  ~RunLock() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }

  // Throws as the constructor does, but takes nothing and makes no file.
  static void check_free(const std::filesystem::path& folder) {
    const int descriptor = ::open(file_of(folder).c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return;
    const bool other_has_it = is_held(descriptor);
    const std::string other = text_in(descriptor);
    ::close(descriptor);
    if (other_has_it) detail::fail(held(folder, other));
  }

 private:
  static std::filesystem::path file_of(const std::filesystem::path& folder) {
    return folder / ".lock";
  }
  // Takes the lock, or finds that another process has it.
  static bool is_held(int descriptor) {
    int result = 0;
    do result = ::flock(descriptor, LOCK_EX | LOCK_NB);
    while (result != 0 && errno == EINTR);
    return result != 0 && errno == EWOULDBLOCK;
  }
  static std::string held(const std::filesystem::path& folder, const std::string& other) {
    return detail::text_of(folder.string(), ": another process trains this run",
                           other.empty() ? "" : ": ", other,
                           "; two at once would mix its files. Wait for it, or stop it");
  }
  static std::string own_text() {
    char host[256] = "", since[64] = "";
    if (::gethostname(host, sizeof host - 1) != 0) host[0] = '\0';
    const std::time_t now = std::time(nullptr);
    std::tm parts{};
    if (::localtime_r(&now, &parts))
      std::strftime(since, sizeof since, "%Y-%m-%d %H:%M:%S %z", &parts);
    return detail::text_of("process ", ::getpid(), " on ", static_cast<const char*>(host),
                           ", since ", static_cast<const char*>(since));
  }
  static std::string text_in(int descriptor) {
    char text[512];
    const auto size = ::pread(descriptor, text, sizeof text, 0);
    std::string line(text, size > 0 ? static_cast<std::size_t>(size) : 0);
    return line.substr(0, line.find('\n'));
  }

  int descriptor_ = -1;
};

}  // namespace anther::inline v0_1
