// Files that a program writes at its end: whether they can be written is told at its beginning, and
// not after the work.
#pragma once

#include <filesystem>
#include <initializer_list>
#include <string>
#include <string_view>

#include "anther/core/check.hpp"
#include "anther/io/atomic_file.hpp"

// flag: the option that names the file, or "". endings: those that its name may have; none: any.
inline void check_output(const std::string& flag, const std::string& path,
                         std::initializer_list<std::string_view> endings = {}) {
  const std::string where = flag.empty() ? "" : flag + ": ";
  try {
    anther::io::check_writable(path);
  } catch (const anther::Error& error) {
    anther::detail::fail(where, error.what());
  }
  const std::string ending = std::filesystem::path(path).extension().string();
  bool known = endings.size() == 0;
  std::string all;
  for (const std::string_view one : endings) {
    known = known || one == ending;
    all += (all.empty() ? "" : " or ") + std::string(one);
  }
  anther::detail::check(known, where, path, ": expected a name that ends in ", all);
}

// The same of a file that is written only where it is named.
inline void check_optional_output(const std::string& flag, const std::string& path,
                                  std::initializer_list<std::string_view> endings = {}) {
  if (!path.empty()) check_output(flag, path, endings);
}
