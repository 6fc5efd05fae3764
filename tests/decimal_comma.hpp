// A locale whose numbers have a comma, for as long as this lives: what is written must not change.
#pragma once

#include <doctest/doctest.h>

#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "tests/io/temporary_folder.hpp"

// The system may have none: then it is made, where there is localedef.
class DecimalComma {
 public:
  DecimalComma() {
    const std::string command =
        "localedef -i de_DE -f UTF-8 '" + (folder_ / "de_DE.UTF-8").string() + "' >/dev/null 2>&1";
    if (std::system(command.c_str()) == 0) ::setenv("LOCPATH", folder_.path().c_str(), 1);
    std::setlocale(LC_NUMERIC, "de_DE.UTF-8");
    char text[8];
    std::snprintf(text, sizeof text, "%.1f", 1.5);
    if (std::string(text) != "1,5") MESSAGE("no locale with a decimal comma");
  }
  ~DecimalComma() {
    std::setlocale(LC_NUMERIC, "C");
    ::unsetenv("LOCPATH");
  }
  DecimalComma(const DecimalComma&) = delete;
  DecimalComma& operator=(const DecimalComma&) = delete;

 private:
  TemporaryFolder folder_;
};
