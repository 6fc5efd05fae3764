// Headers of Anther as one text that includes none of them: each header once, before those that
// include it, without comments. Files that end in .inl appear as often as they are included: a
// kernel's body once for each instruction set.
#pragma once

#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "anther/core/check.hpp"
#include "anther/io/file.hpp"

namespace anther::inline v0_1::exports {

// The text of a header by its path in an include line. Throws if there is none.
using SourceReader = std::function<std::string(const std::string& path)>;

// Reads sources from the folder that contains anther/.
inline SourceReader sources_in(std::filesystem::path folder) {
  return [folder = std::move(folder)](const std::string& path) {
    return io::read_text_file(folder / path);
  };
}

class Amalgamation {
 public:
  // stand_ins: headers that are replaced by others.
  Amalgamation(SourceReader read, std::map<std::string, std::string, std::less<>> stand_ins)
      : read_(std::move(read)), stand_ins_(std::move(stand_ins)) {}

  void add(std::string_view header) {
    const auto stand_in = stand_ins_.find(header);
    const std::string path(stand_in == stand_ins_.end() ? header : stand_in->second);
    if (added_.insert(path).second) splice(path);
  }

  const std::string& text() const { return text_; }
  // The standard headers that the text needs: <cstdint>, ...
  const std::set<std::string>& standard_headers() const { return standard_headers_; }
  // The macros that the text defines.
  const std::set<std::string>& macros() const { return macros_; }

 private:
  void splice(const std::string& path) {
    const std::string source = read_(path);
    for (std::size_t at = 0; at < source.size();) {
      const std::size_t end = std::min(source.find('\n', at), source.size());
      add_line(std::string_view(source).substr(at, end - at));
      at = end + 1;
    }
  }

  void add_line(std::string_view line) {
    const std::size_t start = line.find_first_not_of(' ');
    const std::string_view code = start == line.npos ? std::string_view() : line.substr(start);
    if (code.empty() || code.starts_with("//") || code == "#pragma once") return;
    if (code == "#include ANTHER_BODY") return splice(body_);
    if (code.starts_with("#if")) ++conditions_;
    if (code.starts_with("#endif")) --conditions_;
    if (code.starts_with("#include ") && !is_conditional_standard_header(code.substr(9)))
      return add_include(code.substr(9));
    if (code.starts_with("#define ")) {
      const std::string_view rest = code.substr(8);
      const std::string_view name = rest.substr(0, rest.find_first_of(" ("));
      macros_.emplace(name);
      if (name == "ANTHER_BODY") body_ = between_quotes(rest);
    }
    // If the text is in a namespace of its own, anther is not at the root.
    std::string rooted(line);
    constexpr std::string_view root = " ::anther::";
    for (std::size_t at; (at = rooted.find(root)) != rooted.npos;) rooted.erase(at + 1, 2);
    text_ += rooted + '\n';
  }

  static bool is_standard_header(std::string_view what) {
    return what.starts_with('<') && !what.starts_with("<anther/");
  }
  // Within an #if, as <omp.h> is: it stays where it is.
  bool is_conditional_standard_header(std::string_view what) const {
    return conditions_ > 0 && is_standard_header(what);
  }

  void add_include(std::string_view what) {
    const std::string path = between_quotes(what);
    // A kernel's body, and the file that compiles it, appear as often as they are included.
    if (path.ends_with(".inl")) return splice(path);
    if (is_standard_header(what))
      standard_headers_.insert("<" + path + ">");
    else
      add(path);
  }

  static std::string between_quotes(std::string_view text) {
    const std::size_t first = text.find_first_of("\"<");
    const std::size_t last = first == text.npos ? first : text.find_first_of("\">", first + 1);
    detail::check(last != text.npos, "expected a path in quotes, got ", text);
    return std::string(text.substr(first + 1, last - first - 1));
  }

  SourceReader read_;
  std::map<std::string, std::string, std::less<>> stand_ins_;
  std::set<std::string> added_, standard_headers_, macros_;
  std::string body_, text_;
  int conditions_ = 0;  // that the line stands within
};

}  // namespace anther::inline v0_1::exports
