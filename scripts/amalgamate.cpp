// Prints the umbrella header as one file: see scripts/amalgamate.
#include <cstdio>
#include <exception>
#include <filesystem>
#include <string>

#include "anther/core/version.hpp"
#include "anther/export/amalgamation.hpp"
#include "anther/io/file.hpp"

int main(int argc, char** argv) {
  try {
    anther::detail::check(argc == 2, "usage: amalgamate SOURCE_FOLDER");
    const std::filesystem::path folder(argv[1]);
    // The library that anther/compiled.hpp declares belongs to the separate headers.
    const auto read =
        [headers = anther::exports::sources_in(folder / "include")](const std::string& path) {
          return path == "anther/compiled.hpp" ? std::string() : headers(path);
        };
    anther::exports::Amalgamation sources(read, {});
    sources.add("anther/anther.hpp");

    std::string license = anther::io::read_text_file(folder / "LICENSE");
    std::string text = "// Anther " + std::string(anther::version) +
                       ": tensors and neural networks, in one header. C++20; with -fopenmp on "
                       "several threads.\n//\n";
    for (std::size_t at = 0, end; at < license.size(); at = end + 1) {
      end = std::min(license.find('\n', at), license.size());
      const std::string line = license.substr(at, end - at);
      text += line.empty() ? "//\n" : "// " + line + "\n";
    }
    text += "\n#ifndef ANTHER_SINGLE_HEADER\n#define ANTHER_SINGLE_HEADER\n\n";
    for (const std::string& header : sources.standard_headers())
      text += "#include " + header + "\n";
    text += "\n" + sources.text() + "\n#endif  // ANTHER_SINGLE_HEADER\n";
    if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout))
      anther::detail::fail("the header cannot be written");
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "amalgamate: %s\n", error.what());
    return 1;
  }
}
