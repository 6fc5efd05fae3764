// A confusion matrix as a picture (SVG) and as a table (CSV).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <type_traits>
#include <vector>

#include "anther/core/check.hpp"
#include "anther/core/once.hpp"
#include "anther/io/atomic_file.hpp"
#include "anther/io/csv.hpp"
#include "anther/report/plot_data.hpp"
#include "anther/train/metrics.hpp"

namespace anther::inline v0_1::report {

// Rows are the true classes, columns the predicted ones. The strength of a cell is the square root
// of its share of the row, so that single mistakes can be seen. Right predictions are blue, wrong
// ones orange. A browser shows the numbers of the cell under the pointer.
class ConfusionPlot {
 public:
  static std::string svg(const ConfusionMatrix& matrix,
                         const std::vector<std::string>& class_names) {
    detail::check(std::ssize(class_names) == matrix.classes(), "confusion matrix: expected ",
                  matrix.classes(), " class names, got ", class_names.size());
    return ConfusionPlot(matrix, class_names).write();
  }

  static bool is_small(const ConfusionMatrix& matrix) { return matrix.classes() <= 20; }

 private:
  static constexpr const char* right_color = "#2563eb";
  static constexpr const char* wrong_color = "#ea580c";
  static constexpr std::size_t most_letters = 26;  // of a label

  ConfusionPlot(const ConfusionMatrix& matrix, const std::vector<std::string>& class_names)
      : matrix_(matrix), classes_(static_cast<double>(matrix.classes())) {
    // A matrix of few classes is shown beside other things; one of many needs the width of a page.
    cell_ = std::clamp(std::floor((is_small(matrix) ? 600 : 960) / classes_), 4.0, 54.0);
    font_ = std::min(12.0, cell_ - 0.5);
    std::size_t longest = 0;
    for (const std::string& name : class_names) {
      names_.push_back(io::shortened(io::to_utf8(name), most_letters));
      longest = std::max(longest, io::terminal_columns(names_.back()));
    }
    margin_ = std::max(60.0, 34 + 0.56 * font_ * static_cast<double>(longest));
  }

  std::string write() {
    const double side = cell_ * classes_, width = std::max(margin_ + side + 24, 580.0),
                 height = top + side + margin_;
    add("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"", width, "\" height=\"", height,
        "\" viewBox=\"0 0 ", width, " ", height, "\" font-family=\"system-ui, -apple-system, ",
        "'Segoe UI', Roboto, 'Helvetica Neue', 'Liberation Sans', Arial, sans-serif\">\n",
        "<title>Confusion matrix</title>\n<rect width=\"100%\" height=\"100%\" ",
        "fill=\"#ffffff\"/>\n");
    add("<text x=\"24\" y=\"38\" font-size=\"20\" font-weight=\"600\" fill=\"#111827\">",
        "Confusion matrix</text>\n<text x=\"24\" y=\"61\" font-size=\"13\" fill=\"#6b7280\">",
        std::to_string(matrix_.correct()), " of ", std::to_string(matrix_.samples()), " right");
    if (matrix_.samples() > 0) add(" (", fixed_decimals(100 * matrix_.accuracy(), 1), "%)");
    add("; rows: the true class, columns: the predicted one</text>\n");
    add_grid(side);
    for (std::int64_t label = 0; label < matrix_.classes(); ++label) add_row(label);
    add("<text x=\"", margin_ + side / 2, "\" y=\"", height - 8, "\" font-size=\"12\" ",
        "text-anchor=\"middle\" fill=\"#4b5563\">predicted</text>\n<text transform=\"translate(16 ",
        top + side / 2, ") rotate(-90)\" font-size=\"12\" text-anchor=\"middle\" ",
        "fill=\"#4b5563\">true</text>\n</svg>\n");
    return text_;
  }

  void add_grid(double side) {
    add("<rect x=\"", margin_, "\" y=\"", top, "\" width=\"", side, "\" height=\"", side,
        "\" fill=\"#f3f4f6\" stroke=\"#9ca3af\"/>\n<path stroke=\"#ffffff\" stroke-width=\"",
        cell_ < 20 ? "0.5" : "1", "\" d=\"");
    for (double i = 1; i < classes_; ++i)
      add("M", margin_ + i * cell_, " ", top, "v", side, "M", margin_, " ", top + i * cell_, "h",
          side);
    add("\"/>\n");
  }

  void add_row(std::int64_t label) {
    const double middle = (static_cast<double>(label) + 0.5) * cell_;
    const std::string name = xml_escaped(names_[static_cast<std::size_t>(label)]);
    add("<text x=\"", margin_ - 5, "\" y=\"", top + middle + 0.35 * font_, "\" font-size=\"", font_,
        "\" text-anchor=\"end\" fill=\"#374151\">", name, "</text>\n");
    add("<text transform=\"translate(", margin_ + middle + 0.35 * font_, " ",
        top + cell_ * classes_ + 5, ") rotate(-90)\" font-size=\"", font_,
        "\" text-anchor=\"end\" fill=\"#374151\">", name, "</text>\n");
    const std::int64_t images = matrix_.labelled(label);
    for (std::int64_t predicted = 0; predicted < matrix_.classes(); ++predicted)
      if (matrix_(label, predicted) > 0) add_cell(label, predicted, images);
  }

  void add_cell(std::int64_t label, std::int64_t predicted, std::int64_t images) {
    const std::int64_t count = matrix_(label, predicted);
    const double x = margin_ + static_cast<double>(predicted) * cell_,
                 y = top + static_cast<double>(label) * cell_;
    const double strength = std::sqrt(share_of(count, images));
    add("<rect x=\"", x, "\" y=\"", y, "\" width=\"", cell_, "\" height=\"", cell_, "\" fill=\"",
        label == predicted ? right_color : wrong_color, "\" fill-opacity=\"",
        fixed_decimals(strength, 3), "\"><title>",
        xml_escaped(names_[static_cast<std::size_t>(label)]), " taken for ",
        xml_escaped(names_[static_cast<std::size_t>(predicted)]), ": ", std::to_string(count),
        " of ", std::to_string(images), "</title></rect>\n");
    if (cell_ < 24) return;
    add("<text x=\"", x + cell_ / 2, "\" y=\"", y + cell_ / 2 + 4, "\" font-size=\"",
        count < 1000 ? 12.0 : 9.0, "\" text-anchor=\"middle\" pointer-events=\"none\" fill=\"",
        strength > 0.75 ? "#fffffe" : "#111827", "\">", std::to_string(count), "</text>\n");
  }

  template <class... Parts>
  void add(const Parts&... parts) {
    const auto shown = []<class Part>(const Part& part) {
      if constexpr (std::is_same_v<Part, double>)
        return fixed_decimals(part, 1);
      else
        return detail::text_of(part);
    };
    ((text_ += shown(parts)), ...);
  }

  static constexpr double top = 84;
  const ConfusionMatrix& matrix_;
  double classes_, cell_ = 0, font_ = 0, margin_ = 0;
  std::vector<std::string> names_;
  std::string text_;
};

// A row for each true class, a column for each predicted one.
ANTHER_ONCE std::string confusion_csv(const ConfusionMatrix& matrix,
                                      const std::vector<std::string>& class_names) {
  detail::check(std::ssize(class_names) == matrix.classes(), "confusion matrix: expected ",
                matrix.classes(), " class names, got ", class_names.size());
  std::string text = "true/predicted";
  for (const std::string& name : class_names) text += ',' + io::csv_cell(name);
  text += '\n';
  for (std::int64_t label = 0; label < matrix.classes(); ++label) {
    text += io::csv_cell(class_names[static_cast<std::size_t>(label)]);
    for (std::int64_t c = 0; c < matrix.classes(); ++c)
      text += ',' + io::csv_cell(matrix(label, c));
    text += '\n';
  }
  return text;
}

// Writes the picture or the table, depending on the ending of the file's name (.svg, .csv).
ANTHER_ONCE void write_confusion_matrix(const std::filesystem::path& path,
                                        const ConfusionMatrix& matrix,
                                        const std::vector<std::string>& class_names) {
  const std::string ending = path.extension().string();
  detail::check(ending == ".svg" || ending == ".csv", path.string(),
                ": expected a name that ends in .svg or .csv");
  io::write_file_atomically(path, ending == ".svg" ? ConfusionPlot::svg(matrix, class_names)
                                                   : confusion_csv(matrix, class_names));
}

}  // namespace anther::inline v0_1::report
