// What a line chart shows, its axes, and how numbers are written along them.
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "anther/core/once.hpp"
#include "anther/io/text.hpp"

namespace anther::inline v0_1::report {

struct PlotPoint {
  double x = 0;
  double y = 0;  // NaN or infinite: a gap in the line
};

// Whether there is something to draw; beyond 1e100 the arithmetic of an axis could overflow.
inline bool drawable(const PlotPoint& point) {
  return std::abs(point.x) < 1e100 && std::abs(point.y) < 1e100;
}

enum class PlotStyle {
  raw,     // thin and pale: many noisy points
  solid,   // with a filled marker at each point
  dashed,  // with a hollow one
};

struct PlotSeries {
  std::string label;
  std::string color = "#2563eb";
  PlotStyle style = PlotStyle::solid;
  std::vector<PlotPoint> points = {};  // x rising
};

struct PlotPanel {
  std::string title;
  std::string x_label;
  double x_end = 0;        // the x axis runs from 0 to the last point, and at least to here
  bool percent = false;    // y runs from 0 % to at most 100 %; the values are fractions
  bool from_zero = false;  // y begins at 0 at the latest
  std::vector<PlotSeries> series = {};
};

// Panels side by side.
struct Plot {
  std::string title;
  std::string subtitle;
  std::vector<PlotPanel> panels = {};
  std::string id = "panel";  // what the ids in the SVG begin with: of several plots in a page
};

// At most about 1000 points, which is enough for the eye: of each run of neighbours the lowest and
// the highest, so that spikes stay. A run with nothing to draw becomes a gap.
ANTHER_ONCE std::vector<PlotPoint> thinned(const std::vector<PlotPoint>& points) {
  constexpr std::size_t most = 2000, runs = 500;
  if (points.size() <= most) return points;
  std::vector<PlotPoint> result;
  for (std::size_t run = 0; run < runs; ++run) {
    const std::size_t begin = run * points.size() / runs, end = (run + 1) * points.size() / runs;
    std::size_t low = end, high = end;
    for (std::size_t i = begin; i < end; ++i) {
      if (!drawable(points[i])) continue;
      if (low == end || points[i].y < points[low].y) low = i;
      if (high == end || points[i].y > points[high].y) high = i;
    }
    if (low == end) {
      result.push_back(points[begin]);
    } else {
      result.push_back(points[std::min(low, high)]);
      if (low != high) result.push_back(points[std::max(low, high)]);
    }
  }
  return result;
}

// Text as it stands in XML or HTML, between tags or quotes; control characters, and U+FFFE and
// U+FFFF, which XML forbids, are left out, and bytes that are not UTF-8 are written as \xE4.
ANTHER_ONCE std::string xml_escaped(std::string_view text) {
  std::string result;
  for (const char c : io::to_utf8(text)) {
    if (c == '&')
      result += "&amp;";
    else if (c == '<')
      result += "&lt;";
    else if (c == '>')
      result += "&gt;";
    else if (c == '"')
      result += "&quot;";
    else if (static_cast<unsigned char>(c) >= 0x20)
      result += c;
    if (result.ends_with("\xEF\xBF\xBE") || result.ends_with("\xEF\xBF\xBF"))
      result.resize(result.size() - 3);
  }
  return result;
}

// A number with a point and so many decimals, whatever the locale.
ANTHER_ONCE std::string fixed_decimals(double value, int decimals) {
  char text[400];
  const auto end =
      std::to_chars(text, text + sizeof text, value, std::chars_format::fixed, decimals).ptr;
  const std::string result(text, end);
  return result.find_first_of("123456789") == std::string::npos && result[0] == '-'
             ? result.substr(1)
             : result;
}

// The same if that is short, or else three digits and an exponent.
inline std::string short_number(double value, int decimals) {
  if (decimals <= 5 && std::abs(value) < 1e6) return fixed_decimals(value, decimals);
  char text[32];
  return {text, std::to_chars(text, text + sizeof text, value, std::chars_format::general, 3).ptr};
}

// A value to be read by itself: three decimals, or three digits if it is smaller than those.
inline std::string legend_number(double value) {
  return short_number(value, std::abs(value) >= 0.1 ? 3 : 6);
}

// An axis: its ends, and ticks at multiples of a round step.
struct PlotAxis {
  double low = 0;
  double high = 1;
  double step = 0.5;

  // `count`: about how many steps.
  static double round_step(double range, double count) {
    const double power = std::pow(10.0, std::floor(std::log10(range / count)));
    const double factor = range / count / power;
    return power * (factor < 1.5 ? 1 : factor < 3.5 ? 2 : factor < 7.5 ? 5 : 10);
  }
  int first() const { return static_cast<int>(std::ceil(low / step - 1e-6)); }
  int last() const { return static_cast<int>(std::floor(high / step + 1e-6)); }

  std::string label(int tick) const {
    const double value = tick * step;
    const int decimals = std::max(0, -static_cast<int>(std::floor(std::log10(step) + 1e-6)));
    return short_number(value, decimals);
  }
};

}  // namespace anther::inline v0_1::report
