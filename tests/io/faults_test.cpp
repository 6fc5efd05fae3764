// What the operating system may do to a file while it is written. The functions below stand before
// those of the C library.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <string>

#include "anther/io/atomic_file.hpp"
#include "temporary_folder.hpp"

namespace {

enum class Fault { none, writes_nothing, full_disk, interrupted, no_sync, no_rename };
Fault fault = Fault::none;
int calls = 0;

}  // namespace

extern "C" ssize_t write(int descriptor, const void* from, size_t bytes) {
  if (descriptor > 2 && fault != Fault::none) {
    ++calls;
    if (fault == Fault::writes_nothing) return 0;
    if (fault == Fault::full_disk && calls > 1) {
      errno = ENOSPC;
      return -1;
    }
    if (fault == Fault::interrupted) {
      if (calls % 2 == 1) {
        errno = EINTR;
        return -1;
      }
      bytes = bytes > 3 ? 3 : bytes;  // and only a part at a time
    }
    if (fault == Fault::full_disk && bytes > 100) bytes = 100;
  }
  return ::syscall(SYS_write, descriptor, from, bytes);
}
extern "C" int fsync(int descriptor) {
  if (fault == Fault::no_sync) {
    errno = EIO;
    return -1;
  }
  return static_cast<int>(::syscall(SYS_fsync, descriptor));
}
extern "C" int rename(const char* from, const char* to) noexcept {
  if (fault == Fault::no_rename) {
    errno = EROFS;
    return -1;
  }
  return static_cast<int>(::syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0));
}

namespace {

struct WithFault {
  explicit WithFault(Fault of) {
    fault = of;
    calls = 0;
  }
  ~WithFault() { fault = Fault::none; }
};

TEST_CASE("atomic file: faults of the system are told, and the old file stays") {
  const TemporaryFolder folder;
  const auto path = folder / "a.txt";
  anther::io::write_file_atomically(path, "old");
  const std::string text(1000, 'x');
  const auto message = [&](Fault of) {
    const WithFault with(of);
    return error_of([&] { anther::io::write_file_atomically(path, text); });
  };
  const std::string start = path.string() + ": cannot ";
  // This would otherwise go on for ever.
  CHECK(message(Fault::writes_nothing) == start + "write: the system took none of 1000 bytes");
  CHECK(message(Fault::full_disk) == start + "write: No space left on device");
  CHECK(message(Fault::no_sync) == start + "write: Input/output error");
  CHECK(message(Fault::no_rename) == start + "rename the finished file: Read-only file system");
  CHECK(anther::io::read_text_file(path) == "old");
  CHECK(folder.entries() == 1);
  // What is no fault: signals, and writes of a part.
  CHECK(message(Fault::interrupted).empty());
  CHECK(calls > 600);
  CHECK(anther::io::read_text_file(path) == text);
}

}  // namespace
