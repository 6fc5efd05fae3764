#include "anther/train/run_folder.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "../io/temporary_folder.hpp"
#include "anther/io/atomic_file.hpp"

namespace {

namespace fs = std::filesystem;
using anther::RunFolder;

TEST_CASE("run folder: counts from 1, one above the highest") {
  const TemporaryFolder folder;
  const fs::path root = folder / "runs";
  CHECK(!RunFolder::latest(root, "a"));
  for (int n = 1; n <= 3; ++n) {
    const RunFolder run({.root = root, .experiment = "a"});
    CHECK(run.path() == root / "a" / std::to_string(n));
    CHECK(fs::is_directory(run.weights()));
    CHECK(run / "args.json" == run.path() / "args.json");
  }
  fs::remove_all(root / "a/2");
  for (const char* name : {"10", "032", "x", "31b", "-5", "99999999999999999999"})
    fs::create_directory(root / "a" / name);
  anther::io::write_file_atomically(root / "a/20", "a file");
  CHECK(RunFolder({.root = root, .experiment = "a"}).path() == root / "a/21");
  CHECK(RunFolder::latest(root, "a") == root / "a/21");
  CHECK(RunFolder({.root = root, .experiment = "b"}).path() == root / "b/1");
}

TEST_CASE("run folder: several at once get different ones") {
  const TemporaryFolder folder;
  std::vector<std::string> paths(8);
  std::vector<std::thread> threads;
  for (auto& path : paths)
    threads.emplace_back([&] { path = RunFolder({.root = folder.path()}).path().string(); });
  for (auto& thread : threads) thread.join();
  std::sort(paths.begin(), paths.end());
  CHECK(std::unique(paths.begin(), paths.end()) == paths.end());
  CHECK(paths.front() == (folder / "train/1").string());
  CHECK(paths.back() == (folder / "train/8").string());
}

TEST_CASE("run folder: a given one") {
  const TemporaryFolder folder;
  const fs::path output = folder / "a/b";
  CHECK(RunFolder({.output = output}).path() == output);
  CHECK(fs::is_directory(output / "weights"));
  // It has weights/ now.
  CHECK(contains(error_of([&] { RunFolder({.output = output}); }),
                 output.string() + ": expected an empty or new folder"));
  CHECK(RunFolder({.output = output, .resume = true}).path() == output);
  fs::create_directory(folder / "empty");
  CHECK_NOTHROW(RunFolder({.output = folder / "empty"}));

  CHECK(error_of([&] { RunFolder({.output = folder / "none", .resume = true}); }) ==
        (folder / "none").string() + ": cannot resume: there is no such folder");
  CHECK(!fs::exists(folder / "none"));
  anther::io::write_file_atomically(folder / "file", "");
  CHECK(error_of([&] { RunFolder({.output = folder / "file"}); }) ==
        (folder / "file").string() + ": expected a folder, got a file");
}

TEST_CASE("run folder: what cannot be made is named, with the reason") {
  const TemporaryFolder folder;
  anther::io::write_file_atomically(folder / "file", "");
  CHECK(error_of([&] { RunFolder({.output = folder / "file/sub"}); }) ==
        (folder / "file/sub/weights").string() + ": cannot create: Not a directory");
  CHECK(error_of([&] { RunFolder({.root = folder / "file"}); }) ==
        (folder / "file/train").string() + ": cannot create: Not a directory");
  for (const char* name : {"", ".", "..", "a/b", "/"})
    CHECK(contains(error_of([&] { RunFolder({.root = folder.path(), .experiment = name}); }),
                   "experiment: expected the name of a folder, got '"));
  CHECK(contains(error_of([&] { RunFolder({.root = folder.path(), .resume = true}); }),
                 "run folder: to resume"));
}

}  // namespace
