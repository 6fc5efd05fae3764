// report.html: the result of a run or an evaluation on one page that needs no other file: curves,
// the confusion matrix, each class's accuracy, the most confident mistakes, attention as pictures,
// the arguments, speed and memory.
#pragma once

#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "anther/core/once.hpp"
#include "anther/core/version.hpp"
#include "anther/data/vision/image_set.hpp"
#include "anther/data/vision/png.hpp"
#include "anther/data/vision/transforms.hpp"
#include "anther/io/csv.hpp"
#include "anther/nn/module.hpp"
#include "anther/nn/module_tree.hpp"
#include "anther/report/attention_maps.hpp"
#include "anther/report/base64.hpp"
#include "anther/report/confusion_plot.hpp"
#include "anther/report/contact_sheet.hpp"
#include "anther/report/curves.hpp"
#include "anther/report/progress.hpp"
#include "anther/report/report_style.hpp"
#include "anther/train/predictions.hpp"
#include "anther/train/run_folder.hpp"

namespace anther::inline v0_1::report {

// What a report is made from.
struct ReportSource {
  const Module<float>& model;
  const vision::ImageSet& data;  // that was evaluated on
  const std::vector<std::string>& class_names;
  const vision::Preprocess& preprocess;
  const Evaluation& evaluation;
  std::string title = "Anther";
  std::string part = "val";            // what `data` is called: val, test, ...
  std::string weights = {};            // what the model's are: "the averaged weights"
  std::string run_part = "val";        // what the run evaluated, its results.csv's val
  std::filesystem::path run = {};      // folder with results.csv and steps.csv; empty: no curves
  nlohmann::json arguments = nullptr;  // an object; null: none are shown
  std::vector<std::pair<std::string, std::string>> facts = {};  // a name and a value each
};

// The most memory that this process has had at once, in bytes.
inline std::int64_t peak_memory_bytes() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return std::int64_t{1024} * usage.ru_maxrss;
}

// The page as text.
class ReportWriter {
 public:
  static std::string html(const ReportSource& source) { return ReportWriter(source).write(); }

 private:
  static constexpr std::size_t most_mistakes = 24, most_confusions = 12, most_attended = 6;
  static constexpr int picture_side = 224;  // pixels, of the long side

  explicit ReportWriter(const ReportSource& source) : s_(source) {
    detail::check(std::ssize(s_.class_names) == matrix().classes(), "report: expected ",
                  matrix().classes(), " class names, got ", s_.class_names.size());
    if (s_.run.empty()) return;
    results_ = io::read_csv(s_.run / "results.csv");
    steps_ = io::read_csv(s_.run / "steps.csv");
  }

  std::string write() {
    add("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n",
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>",
        xml_escaped(s_.title), "</title>\n<style>", report_style, "</style>\n</head>\n<body>\n");
    add_head();
    add_curves();
    add_confusion();
    add_classes();
    add_mistakes();
    add_attention();
    add_arguments();
    add("</body>\n</html>\n");
    return text_;
  }

  void add_head() {
    const StepReport& report = s_.evaluation.report;
    add("<h1>", xml_escaped(s_.title), "</h1>\n<p class=\"soft\">", report.samples, " images of ",
        xml_escaped(s_.part), ", ", matrix().classes(), " classes",
        s_.weights.empty() ? "" : ", evaluated with " + xml_escaped(s_.weights), ". Anther ",
        version, ".</p>\n<div class=\"tiles\">\n");
    for (const MetricValue& metric : report.metrics)
      add_tile(metric.info.is_share ? percent(metric.value) : legend_number(metric.value),
               s_.part + " " + metric.info.label);
    add_tile(percent(matrix().macro_recall()), "mean over classes");
    add_tile(format_loss(report.mean_loss), s_.part + " loss");
    const auto last = [&](const char* column) {
      const std::vector<double> values = results_.column(column);
      return values.empty() ? std::nan("") : values.back();
    };
    if (const double epochs = last("epoch"); epochs > 0)
      add_tile(fixed_decimals(epochs, 0), epochs == 1 ? "epoch" : "epochs");
    if (const double time = last("time"); time > 0) add_tile(format_duration(time), "run time");
    if (const auto rates = results_.column("images_per_s"); !rates.empty())
      add_tile(fixed_decimals(median(rates), 1), "images/s (median)");
    if (const double share = stall_share(); share >= 0)
      add_tile(percent(share), "waiting for images");
    for (const auto& [name, value] : s_.facts) add_tile(value, name);
    add("</div>\n");
  }

  // The share of the training time that was spent waiting for the loader; NaN if it is not known.
  double stall_share() const {
    const auto stalls = results_.column("stall_s"), times = results_.column("time");
    if (stalls.empty() || times.empty()) return std::nan("");
    return std::accumulate(stalls.begin(), stalls.end(), 0.0) / times.back();
  }

  void add_curves() {
    if (results_.rows.empty()) return;
    add("<h2>Curves</h2>\n");
    Plot curves =
        training_plot(training_curves(steps_, results_, "Loss and accuracy", s_.run_part));
    curves.id = "curves";
    add_plot(PlotWriter::svg(curves));

    Plot speed{.title = "Rate and speed", .subtitle = "", .id = "speed"};
    const auto panel = [&](const char* title, const io::CsvTable& table, const char* column,
                           const char* label) {
      const auto x = table.column("epoch"), y = table.column(column);
      if (x.empty() || y.empty()) return;
      PlotSeries series{.label = label};
      for (std::size_t i = 0; i < x.size(); ++i) series.points.push_back({x[i], y[i]});
      speed.panels.push_back(
          {.title = title, .x_label = "epoch", .x_end = 1, .from_zero = true, .series = {series}});
    };
    panel("Learning rate", steps_, "lr", "rate");
    panel("Training images per second", results_, "images_per_s", "images/s");
    if (!speed.panels.empty()) add_plot(PlotWriter::svg(speed));
  }

  void add_confusion() {
    const bool beside = ConfusionPlot::is_small(matrix());
    add("<h2>Confusion</h2>\n<div class=\"", beside ? "beside" : "", "\">\n");
    add_plot(ConfusionPlot::svg(matrix(), s_.class_names));
    struct Pair {
      std::int64_t count, label, predicted;
    };
    std::vector<Pair> pairs;
    for (std::int64_t label = 0; label < matrix().classes(); ++label)
      for (std::int64_t c = 0; c < matrix().classes(); ++c)
        if (label != c && matrix()(label, c) > 0) pairs.push_back({matrix()(label, c), label, c});
    std::stable_sort(pairs.begin(), pairs.end(),
                     [](const Pair& a, const Pair& b) { return a.count > b.count; });
    pairs.resize(std::min(pairs.size(), most_confusions));
    if (!pairs.empty()) {
      add("<div>\n<p>The most frequent confusions:</p>\n<table>\n",
          "<tr><th>true<th>taken for<th>images</tr>\n");
      for (const Pair& pair : pairs)
        add("<tr><td>", name(pair.label), "<td>", name(pair.predicted), "<td class=\"number\">",
            pair.count, " of ", matrix().labelled(pair.label), "</tr>\n");
      add("</table>\n</div>\n");
    }
    add("</div>\n");
  }

  // The worst first; classes without images are left out.
  void add_classes() {
    std::vector<std::int64_t> order;
    for (std::int64_t c = 0; c < matrix().classes(); ++c)
      if (matrix().labelled(c) > 0) order.push_back(c);
    std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
      return matrix().recall(a) < matrix().recall(b);
    });
    add("<h2>Accuracy of each class</h2>\n<p class=\"soft\">The share of a class's images that "
        "were ",
        "recognised, and their number; the lowest first.</p>\n<div class=\"columns\">\n");
    for (const std::int64_t c : order)
      add("<div class=\"class\"><span title=\"", name(c), "\">", name(c),
          "</span><span class=\"bar\"><i style=\"width:",
          fixed_decimals(100 * matrix().recall(c), 1), "%\"></i></span><span>",
          percent(matrix().recall(c)), "</span><span class=\"soft\">", matrix().labelled(c),
          "</span></div>\n");
    add("</div>\n");
  }

  // Predictions that are right or wrong, the most confident first.
  std::vector<Prediction> most_confident(bool correct) const {
    std::vector<Prediction> chosen;
    for (const Prediction& prediction : s_.evaluation.predictions)
      if (prediction.correct() == correct) chosen.push_back(prediction);
    std::stable_sort(chosen.begin(), chosen.end(), [](const Prediction& a, const Prediction& b) {
      return a.probability > b.probability;
    });
    return chosen;
  }

  void add_mistakes() {
    const std::vector<Prediction> mistakes = most_confident(false);
    add("<h2>The most confident mistakes</h2>\n");
    if (mistakes.empty()) {
      add("<p>None: every image was recognised.</p>\n");
      return;
    }
    add("<p class=\"soft\">", mistakes.size(), " of ", s_.evaluation.report.samples,
        " images were taken for another class",
        mistakes.size() > most_mistakes ? "; those with the highest probability:" : ":",
        "</p>\n<div class=\"grid\">\n");
    for (std::size_t i = 0; i < std::min(mistakes.size(), most_mistakes); ++i) {
      const Prediction& mistake = mistakes[i];
      add("<figure>", img(thumbnail(s_.data.image(mistake.index)), s_.data.name(mistake.index)),
          "<figcaption>");
      add_verdict(mistake);
      add("<br><span class=\"soft\">is</span> ", name(mistake.label), " <span class=\"soft\">(",
          percent(mistake.label_probability), ")</span></figcaption></figure>\n");
    }
    add("</div>\n");
  }

  // The most confident predictions, of different predicted classes: half of them right, half of
  // them wrong.
  std::vector<Prediction> attended() const {
    std::vector<Prediction> chosen;
    for (const bool correct : {true, false}) {
      std::vector<bool> seen(static_cast<std::size_t>(matrix().classes()));
      std::size_t left = most_attended / 2;
      for (const Prediction& prediction : most_confident(correct)) {
        if (left == 0) break;
        if (seen[static_cast<std::size_t>(prediction.predicted)]) continue;
        seen[static_cast<std::size_t>(prediction.predicted)] = true;
        chosen.push_back(prediction);
        --left;
      }
    }
    return chosen;
  }

  void add_attention() {
    const vision::Transform transform(s_.preprocess);
    std::vector<float> values(static_cast<std::size_t>(s_.preprocess.numel()));
    const std::int64_t size = s_.preprocess.image_size;
    bool first = true;
    for (const Prediction& prediction : attended()) {
      transform(s_.data.image(prediction.index), values.data());
      const std::vector<AttentionMap> maps =
          last_of_stages(attention_maps<float>(s_.model, {1, size, size, 3}, values));
      if (maps.empty()) return;
      if (std::exchange(first, false))
        add("<h2>Attention</h2>\n<p class=\"soft\">What the model saw, and how much attention each "
            "position of it received in the last attention block of each stage: the mean over the "
            "heads and over all positions that attend, from the least (violet) to the most "
            "(yellow) of each map.</p>\n");
      const auto side = static_cast<int>(size);
      const vision::Image picture = denormalized(values.data(), side, side, s_.preprocess);
      add("<div class=\"attention\" style=\"grid-template-columns:repeat(", maps.size() + 1,
          ",minmax(0,220px))\">\n<figure>", img(enlarged(picture), s_.data.name(prediction.index)),
          "<figcaption>");
      add_verdict(prediction);
      if (!prediction.correct()) add("<br><span class=\"soft\">is</span> ", name(prediction.label));
      add("</figcaption></figure>\n");
      for (const AttentionMap& map : maps)
        add("<figure>", img(attention_over(enlarged(picture), map), map.layer),
            "<figcaption class=\"soft\">", xml_escaped(map.layer), ", ", map.height, "x", map.width,
            "</figcaption></figure>\n");
      add("</div>\n");
    }
  }

  // Of several maps of a stage, the last one; outside the stages, all maps.
  std::vector<AttentionMap> last_of_stages(std::vector<AttentionMap> maps) const {
    const std::vector<std::string> stages = stage_modules(s_.model.store());
    const auto stage = [&](const AttentionMap& map) {
      for (const std::string& path : stages)
        if (is_within(map.layer, path)) return path;
      return map.layer;
    };
    std::vector<AttentionMap> last;
    for (AttentionMap& map : maps) {
      if (!last.empty() && stage(last.back()) == stage(map)) last.pop_back();
      last.push_back(std::move(map));
    }
    return last;
  }

  void add_arguments() {
    if (!s_.arguments.is_object() || s_.arguments.empty()) return;
    add("<h2>Arguments</h2>\n<div class=\"arguments\">\n");
    for (const auto& [key, value] : s_.arguments.items())
      add("<div><span>", xml_escaped(key), "</span><code>",
          xml_escaped(value.is_string() ? value.get<std::string>() : value.dump()),
          "</code></div>\n");
    add("</div>\n");
  }

  void add_tile(const std::string& value, const std::string& what) {
    add("<div class=\"tile\"><b>", xml_escaped(value), "</b><span>", xml_escaped(what),
        "</span></div>\n");
  }
  void add_plot(const std::string& svg) { add("<div class=\"plot\">\n", svg, "</div>\n"); }
  void add_verdict(const Prediction& prediction) {
    add("<span class=\"name ", prediction.correct() ? "right" : "wrong", "\">",
        name(prediction.predicted), "</span> <span class=\"soft\">",
        percent(prediction.probability), "</span>");
  }

  static std::string img(const vision::Image& image, std::string_view what) {
    return detail::text_of("<img src=\"data:image/jpeg;base64,", base64(vision::encode_jpeg(image)),
                           "\" alt=\"", xml_escaped(what), "\" title=\"", xml_escaped(what), "\">");
  }
  static vision::Image thumbnail(const vision::Image& image) {
    const int most = std::max(image.width, image.height);
    if (most <= picture_side) return image;
    const auto scaled = [&](int length) { return std::max(1, length * picture_side / most); };
    return vision::resize_antialias(image, scaled(image.width), scaled(image.height));
  }
  // A small picture is shown larger: otherwise its maps would have too few pixels.
  static vision::Image enlarged(const vision::Image& image) {
    return image.width >= picture_side
               ? image
               : vision::resize_antialias(image, picture_side, picture_side);
  }

  const ConfusionMatrix& matrix() const { return s_.evaluation.confusion; }
  std::string name(std::int64_t label) const {
    return xml_escaped(s_.class_names[static_cast<std::size_t>(label)]);
  }
  static std::string percent(double share) {
    return std::isnan(share) ? "-" : fixed_decimals(100 * share, 1) + "%";
  }
  static double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
  }
  template <class... Parts>
  void add(const Parts&... parts) {
    text_ += detail::text_of(parts...);
  }

  const ReportSource& s_;
  io::CsvTable results_, steps_;
  std::string text_;
};

// Writes the page to a file, atomically. Throws, naming what is missing, if the run has no
// results.csv or steps.csv.
inline void write_report(const std::filesystem::path& path, const ReportSource& source) {
  io::write_file_atomically(path, ReportWriter::html(source));
}

// What a run leaves behind at its end: report.html, confusion_matrix.svg and confusion_matrix.csv,
// from an evaluation of the model as it is now (the last one of fit()). part: the name of its data.
struct RunReport {
  const RunFolder& folder;
  const std::vector<std::string>& class_names;
  const vision::Preprocess& preprocess;
  std::string title;
  std::string part;
  std::string weights = {};  // as ReportSource has it
  nlohmann::json arguments = nullptr;
  std::string test = {};  // what the test gave at the end; empty: none
};

ANTHER_ONCE void write_run_report(const RunReport& report, const Module<float>& model,
                                  const vision::ImageSet& data, const Evaluation& evaluation) {
  const double megabytes = static_cast<double>(peak_memory_bytes()) / (1 << 20);
  std::vector<std::pair<std::string, std::string>> facts;
  if (!report.test.empty()) facts.emplace_back("test top-1, best weights", report.test);
  facts.emplace_back("peak memory", fixed_decimals(megabytes, 0) + " MB");
  for (const char* file : {"confusion_matrix.svg", "confusion_matrix.csv"})
    write_confusion_matrix(report.folder / file, evaluation.confusion, report.class_names);
  write_report(report.folder / "report.html", {.model = model,
                                               .data = data,
                                               .class_names = report.class_names,
                                               .preprocess = report.preprocess,
                                               .evaluation = evaluation,
                                               .title = report.title,
                                               .part = report.part,
                                               .weights = report.weights,
                                               .run_part = report.part,
                                               .run = report.folder.path(),
                                               .arguments = report.arguments,
                                               .facts = std::move(facts)});
}

}  // namespace anther::inline v0_1::report
