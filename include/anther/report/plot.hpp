// Line charts as SVG: one file that a browser, an editor or a README shows, without any library.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "anther/core/check.hpp"
#include "anther/report/plot_data.hpp"

namespace anther::inline v0_1::report {

// The chart as the text of an SVG file.
class PlotWriter {
 public:
  static std::string svg(const Plot& plot) {
    detail::check(!plot.panels.empty(), "plot: expected at least one panel");
    return PlotWriter().write(plot);
  }

 private:
  static constexpr double panel_width = 600, panel_height = 400, header = 84;
  static constexpr double left = 70, right = 22, legend_top = 34, legend_row = 20, bottom = 46;

  std::string write(const Plot& plot) {
    id_ = xml_escaped(plot.id);
    for (const PlotPanel& panel : plot.panels) {
      legend_rows_ = 1;
      lay_out_legend(panel);
      most_legend_rows_ = std::max(most_legend_rows_, legend_rows_);
    }
    const double width = panel_width * static_cast<double>(plot.panels.size());
    const double height = header + panel_height + 10;
    add("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"", width, "\" height=\"", height,
        "\" viewBox=\"0 0 ", width, " ", height, "\" font-family=\"system-ui, -apple-system, ",
        "'Segoe UI', Roboto, 'Helvetica Neue', 'Liberation Sans', Arial, sans-serif\">\n<title>",
        xml_escaped(plot.title),
        "</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n");
    add_text(left - 46, 38, 20, "#111827", plot.title, "font-weight=\"600\"");
    add_text(left - 46, 61, 13, "#6b7280", plot.subtitle);
    for (std::size_t i = 0; i < plot.panels.size(); ++i) {
      add("<g transform=\"translate(", panel_width * static_cast<double>(i), " ", header, ")\">\n");
      add_panel(plot.panels[i], i);
      add("</g>\n");
    }
    add("</svg>\n");
    return text_;
  }

  void add_panel(const PlotPanel& panel, std::size_t index) {
    top_ = legend_top + legend_row * most_legend_rows_ + 4;
    const bool any = choose_axes(panel);
    add_text(left, 16, 14, "#111827", panel.title, "font-weight=\"600\"");
    for (int tick = y_.first(); tick <= y_.last(); ++tick) {
      const double y = y_at(tick * y_.step);
      add("<path d=\"M", left, " ", y, "H", panel_width - right, "\" stroke=\"",
          tick == 0 && y_.low == 0 ? "#9ca3af" : "#e5e7eb", "\"/>\n");
      add_text(left - 8, y + 4, 12, "#4b5563", y_.label(tick) + (panel.percent ? "%" : ""),
               "text-anchor=\"end\"");
    }
    const double base = panel_height - bottom;
    add("<path d=\"M", left, " ", base, "H", panel_width - right, "\" stroke=\"#9ca3af\"/>\n");
    for (int tick = x_.first(); tick <= x_.last(); ++tick) {
      const double x = x_at(tick * x_.step);
      add("<path d=\"M", x, " ", base, "v5\" stroke=\"#9ca3af\"/>\n");
      add_text(x, base + 19, 12, "#4b5563", x_.label(tick), "text-anchor=\"middle\"");
    }
    const double middle = (left + panel_width - right) / 2;
    add_text(middle, panel_height - 6, 12, "#4b5563", panel.x_label, "text-anchor=\"middle\"");

    add("<clipPath id=\"", id_, index, "\"><rect x=\"", left - 2, "\" y=\"", top_ - 2,
        "\" width=\"", panel_width - right - left + 4, "\" height=\"", base - top_ + 4,
        "\"/></clipPath>\n");
    for (const PlotSeries& series : panel.series) add_series(series, index);
    for (const LegendItem& item : lay_out_legend(panel)) {
      add_sample(*item.series, item.x, item.y - 4);
      add("<text x=\"", item.x + 28, "\" y=\"", item.y, "\" font-size=\"12\" fill=\"#374151\">",
          xml_escaped(item.series->label), "<tspan dx=\"5\" font-weight=\"600\">", item.value,
          "</tspan></text>\n");
    }
    if (!any)
      add_text(middle, (top_ + base) / 2, 13, "#6b7280", "no finite values",
               "text-anchor=\"middle\"");
  }

  // Chooses the axes so that all points can be seen, except for the rarest hundredth of raw ones at
  // either end. False if there is no finite point.
  bool choose_axes(const PlotPanel& panel) {
    constexpr double infinity = std::numeric_limits<double>::infinity();
    double low = infinity, high = -infinity;
    x_ = y_ = {};
    x_.high = panel.x_end;
    scale_ = panel.percent ? 100 : 1;
    for (const PlotSeries& series : panel.series) {
      std::vector<double> values;
      for (const PlotPoint& point : series.points) {
        if (!drawable(point)) continue;
        values.push_back(scale_ * point.y);
        x_.high = std::max(x_.high, point.x);
      }
      if (values.empty()) continue;
      std::sort(values.begin(), values.end());
      const std::size_t rare = series.style == PlotStyle::raw ? values.size() / 100 : 0;
      low = std::min(low, values[rare]);
      high = std::max(high, values[values.size() - 1 - rare]);
    }
    if (x_.high <= 0) x_.high = 1;
    x_.step = PlotAxis::round_step(x_.high, 8);
    if (x_.high > 1.5) x_.step = std::max(1.0, x_.step);

    const bool any = low <= high;
    if (!any) low = high = 0;
    if (panel.from_zero) low = std::min(low, 0.0);
    if (panel.percent) {
      low = 0;
      high = std::clamp(high, 1.0, 100.0);
    } else if (high - low < std::max(1e-12, 1e-6 * std::max(std::abs(low), std::abs(high)))) {
      const double room = std::max(0.1 * std::abs(high), 0.5);
      low -= room;
      high += room;
    }
    y_.step = PlotAxis::round_step(high - low, 5);
    y_.low = std::floor(low / y_.step + 1e-6) * y_.step;
    y_.high = std::ceil(high / y_.step - 1e-6) * y_.step;
    return any;
  }

  void add_series(const PlotSeries& series, std::size_t panel) {
    const std::vector<PlotPoint> points = thinned(series.points);
    std::string path;
    bool pen_down = false;
    for (const PlotPoint& point : points) {
      if (!drawable(point)) {
        pen_down = false;
        continue;
      }
      // "h0" makes a single point a dot, because the line has round ends.
      path += detail::text_of(pen_down ? "L" : "M", number(x_at(point.x)), " ",
                              number(y_at(scale_ * point.y)), pen_down ? "" : "h0");
      pen_down = true;
    }
    add("<path d=\"", path, "\" ", line_style(series), " clip-path=\"url(#", id_, panel, ")\"/>\n");
    constexpr std::size_t most_markers = 60;
    if (points.size() > most_markers) return;
    for (const PlotPoint& point : points)
      if (drawable(point) && within(y_, scale_ * point.y))
        add_marker(series, x_at(point.x), y_at(scale_ * point.y));
  }

  static std::string line_style(const PlotSeries& series) {
    return detail::text_of("fill=\"none\" stroke=\"", xml_escaped(series.color),
                           "\" stroke-linecap=\"round\" ",
                           "stroke-linejoin=\"round\" stroke-width=\"",
                           series.style == PlotStyle::raw ? "1.2\" stroke-opacity=\"0.35\"" : "2\"",
                           series.style == PlotStyle::dashed ? " stroke-dasharray=\"5 5\"" : "");
  }

  void add_marker(const PlotSeries& series, double x, double y) {
    if (series.style == PlotStyle::raw) {
      add("<circle cx=\"", x, "\" cy=\"", y, "\" r=\"1.8\" fill=\"", xml_escaped(series.color),
          "\" fill-opacity=\"0.6\"/>\n");
      return;
    }
    const bool hollow = series.style == PlotStyle::dashed;
    add("<circle cx=\"", x, "\" cy=\"", y, "\" r=\"3.5\" stroke-width=\"1.5\" fill=\"",
        hollow ? "#ffffff" : xml_escaped(series.color), "\" stroke=\"",
        hollow ? xml_escaped(series.color) : "#ffffff", "\"/>\n");
  }

  struct LegendItem {
    const PlotSeries* series;
    std::string value;  // the last finite one
    double x, y;
  };

  // Left to right, and on to the next row; the text's width is an estimate. Counts the rows.
  std::vector<LegendItem> lay_out_legend(const PlotPanel& panel) {
    std::vector<LegendItem> items;
    double x = left;
    legend_rows_ = 1;
    for (const PlotSeries& series : panel.series) {
      std::string value;
      if (series.style != PlotStyle::raw && !series.points.empty())
        value = last_value(series, panel.percent);
      const auto letters = static_cast<double>(series.label.size() + value.size());
      const double width = 33 + 6.4 * letters;
      if (x > left && x + width > panel_width - right) {
        x = left;
        ++legend_rows_;
      }
      items.push_back({&series, value, x, legend_top + legend_row * (legend_rows_ - 1) + 4});
      x += width + 16;
    }
    return items;
  }

  static std::string last_value(const PlotSeries& series, bool percent) {
    std::string value = "nan";
    for (const PlotPoint& point : series.points)
      if (drawable(point))
        value = percent ? fixed_decimals(100 * point.y, 1) + "%" : legend_number(point.y);
    return value;
  }

  void add_sample(const PlotSeries& series, double x, double y) {
    add("<path d=\"M", x, " ", y, "h22\" ", line_style(series), "/>\n");
    if (series.style != PlotStyle::raw) add_marker(series, x + 11, y);
  }

  void add_text(double x, double y, int size, std::string_view color, std::string_view text,
                std::string_view attributes = "") {
    add("<text x=\"", x, "\" y=\"", y, "\" font-size=\"", size, "\" fill=\"", color, "\" ",
        attributes, ">", xml_escaped(text), "</text>\n");
  }

  static bool within(const PlotAxis& axis, double value) {
    return value >= axis.low && value <= axis.high;
  }
  double x_at(double x) const {
    return left + (x - x_.low) / (x_.high - x_.low) * (panel_width - right - left);
  }
  double y_at(double y) const {
    const double base = panel_height - bottom;
    // What is far outside need not be written to its last digit.
    return std::clamp(base - (y - y_.low) / (y_.high - y_.low) * (base - top_), -1e4, 1e4);
  }

  static std::string number(double value) { return fixed_decimals(value, 1); }
  template <class... Parts>
  void add(const Parts&... parts) {
    const auto shown = []<class Part>(const Part& part) {
      if constexpr (std::is_same_v<Part, double>)
        return number(part);
      else
        return detail::text_of(part);
    };
    ((text_ += shown(parts)), ...);
  }
  std::string text_, id_;
  PlotAxis x_, y_;    // of the current panel
  double top_ = 0;    // of its lines
  double scale_ = 1;  // from values to y
  int legend_rows_ = 1;
  int most_legend_rows_ = 1;
};

}  // namespace anther::inline v0_1::report
