// A folder of its own for a test, gone at its end, and files in it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "anther/core/check.hpp"

namespace test_files {

class Folder {
 public:
  Folder() {
    path_ = std::filesystem::temp_directory_path() /
            ("anther_test_" + std::to_string(std::random_device{}()));
    std::filesystem::create_directories(path_);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }
  const std::filesystem::path& path() const { return path_; }

  // Writes a file, and the folders that it stands in.
  void write(const std::string& file, const std::vector<std::uint8_t>& bytes) const {
    std::filesystem::create_directories((path_ / file).parent_path());
    std::ofstream out(path_ / file, std::ios::binary);
    out.write(reinterpret_cast<const char*>(bytes.data()),
              static_cast<std::streamsize>(bytes.size()));
  }

 private:
  std::filesystem::path path_;
};

// The message of the Error that an action throws; "" where it throws none.
inline std::string error_of(const auto& action) {
  try {
    action();
  } catch (const anther::Error& error) {
    return error.what();
  }
  return "";
}
inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace test_files
