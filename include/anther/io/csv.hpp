// Tables as text: a line for each row; the first line names the columns. Numbers are written with
// the fewest digits that read back as the same bits.
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "anther/core/check.hpp"
#include "anther/core/once.hpp"
#include "anther/io/atomic_file.hpp"
#include "anther/io/file.hpp"

namespace anther::inline v0_1::io {

// One cell as it stands in the file.
template <class Number>
requires std::integral<Number> || std::floating_point<Number> std::string csv_cell(Number number) {
  if constexpr (std::floating_point<Number>)
    if (std::isnan(number)) return "nan";  // whatever its sign
  char text[64];
  return {text, std::to_chars(text, text + sizeof text, number).ptr};
}
// Text with a comma or a quote is put in quotes; a line break is an error.
ANTHER_ONCE std::string csv_cell(std::string_view text) {
  detail::check(text.find_first_of("\r\n") == std::string_view::npos,
                "csv: expected text without line breaks, got ", text);
  if (text.find_first_of(",\"") == std::string_view::npos) return std::string(text);
  std::string cell = "\"";
  for (const char c : text) cell.append(c == '"' ? 2 : 1, c);
  return cell + '"';
}

// The cells of a line, without their quotes.
ANTHER_ONCE std::vector<std::string> split_csv_line(std::string_view line) {
  std::vector<std::string> cells(1);
  bool in_quotes = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '"' && in_quotes && line.substr(i + 1).starts_with('"'))
      cells.back() += line[++i];
    else if (line[i] == '"')
      in_quotes = !in_quotes;
    else if (line[i] == ',' && !in_quotes)
      cells.emplace_back();
    else
      cells.back() += line[i];
  }
  return cells;
}

struct CsvTable {
  std::vector<std::string> columns;
  std::vector<std::vector<double>> rows;  // NaN for a cell that is not a number

  // The values of one column; empty if there is none of this name.
  std::vector<double> column(std::string_view name) const {
    std::vector<double> values;
    const auto found = std::find(columns.begin(), columns.end(), name);
    if (found == columns.end()) return values;
    const auto index = static_cast<std::size_t>(found - columns.begin());
    for (const auto& row : rows) values.push_back(row[index]);
    return values;
  }
};

struct ReadCsvOptions {
  // A table of a person's or of another program: a last line counts without its end too, blank
  // lines at the end do not, lines may end in "\r" alone, and spaces around a cell are no part of
  // it.
  bool foreign = false;
};

// Reads a table. A last line without its end, as a killed program leaves it, is ignored. A row with
// more or fewer cells than there are columns is an error that names the file and the line.
ANTHER_ONCE CsvTable read_csv(const std::filesystem::path& path,
                              const ReadCsvOptions& options = {}) {
  constexpr const char* blanks = " \t\r\n";
  std::string content = read_text_file(path);
  char line_end = '\n';
  if (options.foreign) {
    if (content.find('\n') == std::string::npos) line_end = '\r';
    content.resize(content.find_last_not_of(blanks) + 1);
    if (!content.empty()) content += line_end;
  }
  CsvTable table;
  std::int64_t number = 0;
  for (std::size_t begin = 0, end; (end = content.find(line_end, begin)) != std::string::npos;
       begin = end + 1) {
    std::string_view line = std::string_view(content).substr(begin, end - begin);
    if (line.ends_with('\r')) line.remove_suffix(1);
    std::vector<std::string> cells = split_csv_line(line);
    if (options.foreign)
      for (std::string& cell : cells) {
        cell.resize(cell.find_last_not_of(blanks) + 1);
        cell.erase(0, cell.find_first_not_of(blanks));
        // from_chars knows no plus sign.
        if (cell.size() > 1 && cell[0] == '+' && cell[1] != '-') cell.erase(0, 1);
      }
    if (++number == 1) {
      table.columns = cells;
      continue;
    }
    detail::check(cells.size() == table.columns.size(), path.string(), ": line ", number,
                  ": expected ", table.columns.size(), " cells, got ", cells.size());
    auto& row = table.rows.emplace_back();
    for (const std::string& cell : cells) {
      double value = 0;
      const auto [rest, error] = std::from_chars(cell.data(), cell.data() + cell.size(), value);
      const bool whole = error == std::errc() && rest == cell.data() + cell.size();
      row.push_back(whole ? value : std::numeric_limits<double>::quiet_NaN());
    }
  }
  detail::check(number > 0, path.string(), ": expected a line that names the columns");
  return table;
}

// Writes a table row by row; a row is in the file when row() returns.
//
//   CsvWriter steps("steps.csv", {"step", "loss", "lr"});
//   steps.row(1, 4.6f, 1e-3);
class CsvWriter {
 public:
  // Starts a new table in place of what the file has. Throws, naming the file and the reason, if it
  // cannot be written; so does row().
  CsvWriter(const std::filesystem::path& path, const std::vector<std::string>& columns)
      : CsvWriter(path, columns, header_line(columns)) {}

  // Continues a table whose first column counts up (steps, epochs): keeps the rows up to `last`,
  // and drops those after it, which the resumed run will write again. Starts a new table if there
  // is no file. Throws if the file has other columns.
  static CsvWriter resume(const std::filesystem::path& path,
                          const std::vector<std::string>& columns, std::int64_t last) {
    if (!std::filesystem::exists(path)) return CsvWriter(path, columns);
    detail::check(!columns.empty(), path.string(), ": expected at least one column");
    const CsvTable table = read_csv(path);
    const std::string content = read_text_file(path);
    std::string expected = header_line(columns);
    expected.pop_back();
    detail::check(table.columns == columns, path.string(), ": expected the columns ", expected,
                  ", got ", content.substr(0, content.find('\n')));
    // Rows that are kept are copied, not printed again.
    std::size_t end = content.find('\n') + 1;
    for (const auto& row : table.rows) {
      if (!(row[0] <= static_cast<double>(last))) break;
      end = content.find('\n', end) + 1;
    }
    return CsvWriter(path, columns, content.substr(0, end));
  }

  // Writes one row: a number or text for each column.
  template <class... Values>
  void row(const Values&... values) {
    write({csv_cell(values)...});
  }
  // The same for cells that csv_cell made.
  void row(const std::vector<std::string>& cells) { write(cells); }

 private:
  void write(const std::vector<std::string>& cells) {
    detail::check(cells.size() == columns_, file_.path().string(), ": expected a row of ", columns_,
                  " values, got ", cells.size());
    std::string line;
    for (const std::string& cell : cells) line += cell + ',';
    line.back() = '\n';
    try {
      file_.write(line);
    } catch (const Error&) {
      file_.truncate(size_);  // half a row would spoil the file
      throw;
    }
    size_ += static_cast<std::int64_t>(line.size());
  }

  CsvWriter(const std::filesystem::path& path, const std::vector<std::string>& columns,
            const std::string& content)
      : columns_(columns.size()), size_(static_cast<std::int64_t>(content.size())) {
    detail::check(columns_ > 0, path.string(), ": expected at least one column");
    write_file_atomically(path, content);
    file_ = File::open_for_appending(path);
  }

  static std::string header_line(const std::vector<std::string>& columns) {
    std::string line;
    for (const std::string& column : columns) line += csv_cell(column) + ',';
    if (!line.empty()) line.back() = '\n';
    return line;
  }

  File file_;
  std::size_t columns_ = 0;
  std::int64_t size_ = 0;  // of the file, in bytes
};

}  // namespace anther::inline v0_1::io
