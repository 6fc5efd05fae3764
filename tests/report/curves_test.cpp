#include "anther/report/curves.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "../io/temporary_folder.hpp"
#include "anther/core/random.hpp"

namespace {

using anther::report::PlotAxis;
using anther::report::PlotPoint;
using anther::report::PlotStyle;
using anther::report::TrainingCurves;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

std::string svg_of(const TrainingCurves& curves) {
  const std::string svg = anther::report::PlotWriter::svg(anther::report::training_plot(curves));
  // Well formed as far as can be seen, and no number that is none.
  CHECK(svg.starts_with("<svg "));
  CHECK(svg.ends_with("</svg>\n"));
  CHECK(count_of(svg, "<g ") == count_of(svg, "</g>"));
  CHECK(count_of(svg, "<text ") == count_of(svg, "</text>"));
  CHECK(count_of(svg, "\"") % 2 == 0);
  CHECK(!contains(svg, "=\"nan"));
  CHECK(!contains(svg, "=\"inf"));
  for (const char* bad : {"Mnan", "Lnan", "Minf", " nan", " inf", "-inf"})
    CHECK(!contains(svg, bad));
  return svg;
}

// The path of the first line of this color and width; raw lines have a width of 1.2, others of 2.
std::string path_of(const std::string& svg, const std::string& width) {
  const std::size_t end = svg.find("stroke-width=\"" + width);
  REQUIRE(end != std::string::npos);
  const std::size_t begin = svg.rfind("<path d=\"", end) + 9;
  return svg.substr(begin, svg.find('"', begin) - begin);
}

TrainingCurves run(int epochs, int steps_per_epoch) {
  TrainingCurves curves{.title = "EdgeViT",
                        .metrics = {anther::metric_info("top1"), anther::metric_info("top5")}};
  for (int step = 1; step <= epochs * steps_per_epoch; ++step)
    curves.steps.push_back({1.0 * step / steps_per_epoch, 4.6 / (1 + 0.01 * step), 0.001 * step});
  for (int epoch = 1; epoch <= epochs; ++epoch)
    curves.epochs.push_back(
        {1.0 * epoch, 4.0 / epoch, 0.04 * epoch, 4.2 / epoch, nan, {0.03 * epoch, 0.045 * epoch}});
  return curves;
}

TEST_CASE("curves: all series, their last values and the best epoch are there") {
  TrainingCurves curves = run(20, 49);
  curves.val_name = "test";
  curves.epochs[9].val_metrics[0] = 0.75;
  const std::string svg = svg_of(curves);
  CHECK(contains(svg, ">20 epochs, 980 steps, best test top-1 75.0% after epoch 10<"));
  CHECK(count_of(svg, ">each step<") == 2);
  CHECK(contains(svg, ">train<tspan dx=\"5\" font-weight=\"600\">0.200</tspan>"));
  CHECK(contains(svg, ">test<tspan dx=\"5\" font-weight=\"600\">0.210</tspan>"));
  CHECK(contains(svg, ">train<tspan dx=\"5\" font-weight=\"600\">80.0%</tspan>"));
  CHECK(contains(svg, ">test top-1<tspan dx=\"5\" font-weight=\"600\">60.0%</tspan>"));
  CHECK(contains(svg, ">test top-5<tspan dx=\"5\" font-weight=\"600\">90.0%</tspan>"));
  CHECK(count_of(path_of(svg, "1.2"), "L") == 979);
  CHECK(count_of(path_of(svg, "2"), "L") == 19);
  CHECK(count_of(svg, "<circle") == 5 * 20 + 5);  // and those in the legend
}

TEST_CASE("curves: any number of points") {
  CHECK(contains(svg_of({}), "no finite values"));
  CHECK(contains(svg_of(run(1, 1)), ">1 epoch, 1 step, "));
  const std::string large = svg_of(run(400, 50));
  CHECK(large.size() < 100'000);
  CHECK(count_of(large, "<circle") == 5);
  // A run without accuracies or evaluations has no series for these.
  TrainingCurves only_loss = run(2, 3);
  for (auto& step : only_loss.steps) step.metric = nan;
  for (auto& epoch : only_loss.epochs) epoch = {epoch.epoch, epoch.train_loss};
  const auto plot = training_plot(only_loss);
  CHECK(plot.panels[0].series.size() == 2);
  CHECK(plot.panels[1].series.empty());
}

TEST_CASE("curves: what is not finite is a gap") {
  TrainingCurves curves = run(20, 49);
  for (const std::size_t i : {10u, 11u, 300u}) curves.steps[i].loss = nan;
  curves.steps[500].loss = infinity;
  curves.epochs[4].train_loss = nan;
  curves.epochs[6].train_loss = -infinity;
  curves.epochs[19].val_loss = nan;
  const std::string svg = svg_of(curves);
  CHECK(count_of(path_of(svg, "1.2"), "M") == 4);
  CHECK(count_of(path_of(svg, "1.2"), "L") == 980 - 4 - 4);
  CHECK(count_of(path_of(svg, "2"), "M") == 3);  // the sixth epoch stands alone
  CHECK(contains(svg, ">val<tspan dx=\"5\" font-weight=\"600\">0.221</tspan>"));  // the 19th
}

TEST_CASE("curves: an epoch without an evaluation is no gap") {
  TrainingCurves curves = run(20, 49);
  const std::string full = svg_of(curves);
  for (std::size_t i = 0; i < 20; i += 2) {
    auto& epoch = curves.epochs[i];
    epoch.val_loss = nan;
    epoch.val_metrics.clear();
  }
  const std::string svg = svg_of(curves);
  CHECK(count_of(svg, "M") == count_of(full, "M"));
  CHECK(count_of(svg, "<circle") == count_of(full, "<circle") - 3 * 10);
}

TEST_CASE("curves: extreme values") {
  const double values[] = {0,     1,     -1,     1e-320, 1e-13,    1e12,      1e99,
                           1e101, 1e308, -1e308, nan,    infinity, -infinity, 4.6};
  for (const double a : values)
    for (const double b : values) {
      CAPTURE(a);
      CAPTURE(b);
      TrainingCurves curves = run(3, 5);
      curves.epochs[0].train_loss = a;
      curves.epochs[1].train_loss = b;
      curves.steps[3].loss = b;
      curves.epochs[1].val_metrics[0] = a;
      curves.epochs[2].val_metrics[1] = b;
      CHECK(svg_of(curves).size() < 30'000);
    }
}

TEST_CASE("curves: a rare spike of the steps does not flatten the rest") {
  TrainingCurves curves = run(20, 49);
  curves.steps[0].loss = 1e9;
  CHECK(!contains(svg_of(curves), "e+0"));
}

TEST_CASE("curves: text is escaped, and the file written") {
  const TemporaryFolder folder;
  TrainingCurves curves = run(1, 2);
  curves.title = "a <b> & \"c\"\n\xEF\xBF\xBE\xEF\xBF\xBF\xEF\xBF\xBD";
  curves.val_name = "<";
  write_training_curves(folder / "curves.svg", curves);
  const std::string svg = anther::io::read_text_file(folder / "curves.svg");
  CHECK(contains(svg, ">a &lt;b&gt; &amp; &quot;c&quot;\xEF\xBF\xBD</text>"));
  CHECK(contains(svg, ">&lt; top-1<"));
  CHECK(contains(error_of([&] { write_training_curves(folder / "none/curves.svg", curves); }),
                 (folder / "none/curves.svg").string()));
}

TEST_CASE("plot: thinning keeps the spikes and the gaps") {
  std::vector<PlotPoint> points;
  const anther::RandomKey key(1);
  for (int i = 0; i < 100'000; ++i)
    points.push_back({1.0 * i, anther::uniform(key, static_cast<std::uint64_t>(i))});
  points[5000].y = 50;
  points[77'777].y = -50;
  for (std::size_t i = 20'000; i < 30'000; ++i) points[i].y = nan;
  const auto few = anther::report::thinned(points);
  CHECK(few.size() <= 1000);
  double low = 0, high = 0, last_x = -1;
  int gaps = 0;
  for (const auto& point : few) {
    low = std::min(low, std::isnan(point.y) ? 0 : point.y);
    high = std::max(high, std::isnan(point.y) ? 0 : point.y);
    gaps += std::isnan(point.y);
    CHECK(point.x > last_x);
    last_x = point.x;
  }
  CHECK(low == -50);
  CHECK(high == 50);
  CHECK(gaps == 50);
  CHECK(anther::report::thinned({points.begin(), points.begin() + 2000}).size() == 2000);
}

TEST_CASE("plot: ticks are round") {
  CHECK(PlotAxis::round_step(20, 8) == 2);
  CHECK(PlotAxis::round_step(0.3, 5) == doctest::Approx(0.05));
  CHECK(PlotAxis::round_step(4.6, 5) == 1);
  CHECK(PlotAxis{0, 1, 0.25}.label(3) == "0.8");
  CHECK(PlotAxis{0, 1, 0.2}.label(3) == "0.6");
  CHECK(PlotAxis{-1, 1, 0.5}.label(0) == "0.0");
  CHECK(PlotAxis{0, 50, 10}.label(3) == "30");
  CHECK(PlotAxis{0, 1e7, 2e6}.label(1) == "2e+06");
  CHECK(anther::report::fixed_decimals(-0.04, 1) == "0.0");
  CHECK(anther::report::fixed_decimals(-12.34, 1) == "-12.3");
}

TEST_CASE("curves: read from a run's tables") {
  const TemporaryFolder folder;
  anther::io::CsvWriter steps(folder / "steps.csv", {"step", "epoch", "train/loss", "lr"});
  steps.row(1, 0.5, 4.0, 0.1);
  steps.row(2, 1.0, 3.0, 0.1);
  anther::io::CsvWriter results(folder / "results.csv",
                                {"epoch", "train/loss", "train/top1", "val/loss", "val/top1",
                                 "val_ema/loss", "val_ema/top1"});
  results.row(1, 3.5, 0.25, 3.75, 0.125, 3.25, 0.5);
  const TrainingCurves curves =
      anther::report::training_curves(anther::io::read_csv(folder / "steps.csv"),
                                      anther::io::read_csv(folder / "results.csv"), "Run", "valid");
  CHECK(curves.title == "Run");
  CHECK(curves.val_name == "valid");
  REQUIRE(curves.steps.size() == 2);
  CHECK(curves.steps[0].epoch == 0.5);
  CHECK(curves.steps[1].loss == 3.0);
  CHECK(std::isnan(curves.steps[1].metric));
  REQUIRE(curves.epochs.size() == 1);
  CHECK(curves.epochs[0].epoch == 1);
  CHECK(curves.epochs[0].train_loss == 3.5);
  CHECK(curves.epochs[0].train_metric == 0.25);
  CHECK(curves.epochs[0].val_loss == 3.75);
  CHECK(curves.metrics == std::vector{anther::metric_info("top1")});
  CHECK(curves.epochs[0].val_metrics == std::vector{0.125});
  CHECK(curves.epochs[0].ema_loss == 3.25);
  CHECK(curves.best_by(curves.epochs[0]) == 0.5);
  const std::string svg = svg_of(curves);
  CHECK(contains(svg, "best valid top-1 50.0% after epoch 1"));
  CHECK(contains(svg, ">valid, averaged weights<"));
  CHECK(contains(svg, ">valid top-1, averaged weights<"));
}

TEST_CASE("curves: a metric that is no share, of which less is better") {
  TrainingCurves curves{.metrics = {anther::metric_info("mae"), anther::metric_info("rmse")}};
  for (int epoch = 1; epoch <= 3; ++epoch)
    curves.epochs.push_back({1.0 * epoch, 1, 40.0, 1, nan, {epoch == 2 ? 12.5 : 30, 50}});
  const std::string svg = svg_of(curves);
  CHECK(contains(svg, "best val mean absolute error 12.500 after epoch 2"));
  CHECK(contains(svg, ">val mean absolute error<"));
  CHECK(!contains(svg, "RMSE"));  // of another scale
  curves.metrics.clear();
  curves.epochs[2].val_loss = 0.5;
  CHECK(contains(svg_of(curves), "best val loss 0.500 after epoch 3"));
  CHECK(training_plot(curves).panels.size() == 1);
}

TEST_CASE("plot: the legend's value is one that can be read") {
  const std::pair<double, const char*> rows[] = {{0, "0"},           {1.25e-4, "0.000125"},
                                                 {1e-5, "1e-05"},    {-0.02, "-0.02"},
                                                 {3.99114, "3.991"}, {43.7, "43.700"}};
  for (const auto& row : rows) {
    CAPTURE(row.first);
    anther::report::Plot plot;
    plot.panels.resize(1);
    plot.panels[0].series.push_back({.label = "rate", .points = {{0, 1e-3}, {1, row.first}}});
    CHECK(contains(anther::report::PlotWriter::svg(plot),
                   "font-weight=\"600\">" + std::string(row.second) + "</tspan>"));
  }
}

TEST_CASE("plot: an axis from zero, and ids of one's own") {
  anther::report::Plot plot;
  plot.id = "rate<";
  plot.panels.resize(1);
  plot.panels[0].series.push_back({.label = "lr", .points = {{0, 1e-3}, {1, 1e-3}}});
  CHECK(!contains(anther::report::PlotWriter::svg(plot), ">0.0010</text>"));
  plot.panels[0].from_zero = true;
  const std::string svg = anther::report::PlotWriter::svg(plot);
  CHECK(contains(svg, ">0.0010</text>"));
  CHECK(contains(svg, "id=\"rate&lt;0\""));
  CHECK(contains(svg, "url(#rate&lt;0)"));
}

}  // namespace
