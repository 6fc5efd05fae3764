#include "anther/io/atomic_file.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "limited_file_size.hpp"
#include "temporary_folder.hpp"

namespace {

namespace fs = std::filesystem;

TEST_CASE("atomic file: the new content appears at commit, and nothing else is left") {
  const TemporaryFolder folder;
  const fs::path path = folder / "a.txt";
  anther::io::write_file_atomically(path, "old");
  {
    anther::io::AtomicFile file(path);
    file.write("ne");
    file.write("w", 1);
    CHECK(anther::io::read_text_file(path) == "old");
    file.commit();
    CHECK(anther::io::read_text_file(path) == "new");
    CHECK_THROWS_AS(file.commit(), anther::Error);
  }
  CHECK(anther::io::read_text_file(path) == "new");
  CHECK(folder.entries() == 1);
}

TEST_CASE("atomic file: without commit the old file stays") {
  const TemporaryFolder folder;
  const fs::path path = folder / "a.txt";
  anther::io::write_file_atomically(path, "old");
  { anther::io::AtomicFile(path).write("new"); }
  CHECK(anther::io::read_text_file(path) == "old");
  CHECK(folder.entries() == 1);
}

TEST_CASE("atomic file: a full disk") {
  const TemporaryFolder folder;
  const fs::path path = folder / "a.txt";
  anther::io::write_file_atomically(path, "old");
  std::string message;
  {
    const LimitedFileSize limit(1000);
    message = error_of([&] { anther::io::write_file_atomically(path, std::string(1001, 'x')); });
  }
  CHECK(message == path.string() + ": cannot write: File too large");
  CHECK(anther::io::read_text_file(path) == "old");
  CHECK(folder.entries() == 1);
}

TEST_CASE("atomic file: what cannot be written to is named, with the reason") {
  const TemporaryFolder folder;
  const fs::path missing = folder / "missing/a.txt";
  CHECK(error_of([&] { anther::io::write_file_atomically(missing, ""); }) ==
        missing.string() + ": cannot write: No such file or directory");
  CHECK(error_of([] { anther::io::check_writable(""); }) ==
        "expected the name of a file to write, got an empty one");

  fs::create_directory(folder / "sub");
  CHECK(error_of([&] { anther::io::write_file_atomically(folder / "sub", ""); }) ==
        (folder / "sub").string() + ": cannot write: there is a folder of this name");
  // Renaming a file over a device, which root may, would break the system.
  CHECK(contains(error_of([] { anther::io::write_file_atomically("/dev/null", ""); }),
                 "/dev/null: cannot write: there is a pipe or device of this name"));
  CHECK(fs::is_character_file("/dev/null"));
}

TEST_CASE("atomic file: a symbolic link stays one, permissions are kept") {
  const TemporaryFolder folder;
  fs::create_directory(folder / "sub");
  anther::io::write_file_atomically(folder / "sub/a.txt", "old");
  fs::permissions(folder / "sub/a.txt", fs::perms::owner_read | fs::perms::owner_write);
  fs::create_symlink("sub/a.txt", folder / "link");
  anther::io::write_file_atomically(folder / "link", "new");
  CHECK(fs::is_symlink(folder / "link"));
  CHECK(anther::io::read_text_file(folder / "sub/a.txt") == "new");
  CHECK(fs::status(folder / "sub/a.txt").permissions() ==
        (fs::perms::owner_read | fs::perms::owner_write));

  // The file need not be there yet, and there may be several links to it.
  fs::create_symlink("sub/b.txt", folder / "early");
  fs::create_symlink(folder / "early", folder / "sub/earlier");
  anther::io::write_file_atomically(folder / "sub/earlier", "first");
  CHECK(fs::is_symlink(folder / "sub/earlier"));
  CHECK(fs::is_symlink(folder / "early"));
  CHECK(anther::io::read_text_file(folder / "sub/b.txt") == "first");
  fs::create_symlink("missing/b.txt", folder / "nowhere");
  CHECK(error_of([&] { anther::io::write_file_atomically(folder / "nowhere", ""); }) ==
        (folder / "nowhere").string() + ": cannot write: No such file or directory");
  fs::create_symlink("self", folder / "self");
  CHECK(contains(error_of([&] { anther::io::write_file_atomically(folder / "self", ""); }),
                 "self: cannot write: Too many levels of symbolic links"));
  CHECK(fs::is_symlink(folder / "self"));

  const mode_t old_mask = ::umask(022);
  anther::io::write_file_atomically(folder / "b.txt", "");
  ::umask(old_mask);
  CHECK(fs::status(folder / "b.txt").permissions() == static_cast<fs::perms>(0644));
}

TEST_CASE("atomic file: several of the same name at once, and a name of the greatest length") {
  const TemporaryFolder folder;
  const fs::path path = folder / std::string(255, 'n');
  anther::io::AtomicFile first(path), second(path);
  first.write("first");
  second.write("second");
  first.commit();
  second.commit();
  CHECK(anther::io::read_text_file(path) == "second");
}

TEST_CASE("atomic file: what a killed process left behind is not taken for its own") {
  const TemporaryFolder folder;
  const fs::path path = folder / "a.txt";
  constexpr int count = 200;  // more than the names that this program has used up
  for (int n = 0; n < count; ++n) {
    const std::string name = anther::detail::text_of(".a.txt.", ::getpid(), "-", n, ".tmp");
    anther::io::File::open_for_appending(folder / name).write("left behind");
  }
  anther::io::write_file_atomically(path, "new");
  CHECK(anther::io::read_text_file(path) == "new");
  CHECK(folder.entries() == count + 1);
}

TEST_CASE("file: reading what is not a regular file, or shorter than expected") {
  const TemporaryFolder folder;
  CHECK(error_of([&] { anther::io::read_text_file(folder / "none"); }) ==
        (folder / "none").string() + ": cannot open: No such file or directory");
  CHECK(error_of([&] { anther::io::read_text_file(folder.path()); }) ==
        folder.path().string() + ": expected a regular file, got a folder");
  REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
  CHECK(error_of([&] { anther::io::read_text_file(folder / "pipe"); }) ==
        (folder / "pipe").string() + ": expected a regular file, got a pipe or device");

  anther::io::write_file_atomically(folder / "short", "12345");
  const auto file = anther::io::File::open_for_reading(folder / "short");
  char bytes[4] = {};
  CHECK_NOTHROW(file.read_at(1, bytes, 4));
  CHECK(std::string(bytes, 4) == "2345");
  CHECK(contains(error_of([&] { file.read_at(2, bytes, 4); }), "the file ends after 3"));
}

}  // namespace
