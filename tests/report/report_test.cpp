#include "anther/report/report.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "anther/painted/painted.hpp"
#include "tests/io/temporary_folder.hpp"

namespace {

using namespace anther;
using namespace anther::detail;
using namespace anther::io;
using namespace anther::kernels;
using namespace anther::painted;
using namespace anther::report;
using namespace anther::vision;

std::string base64_of(std::string_view text) {
  return base64({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
}

TEST_CASE("report: base64 of the test vectors of RFC 4648, section 10") {
  CHECK(base64_of("") == "");
  CHECK(base64_of("f") == "Zg==");
  CHECK(base64_of("fo") == "Zm8=");
  CHECK(base64_of("foo") == "Zm9v");
  CHECK(base64_of("foob") == "Zm9vYg==");
  CHECK(base64_of("fooba") == "Zm9vYmE=");
  CHECK(base64_of("foobar") == "Zm9vYmFy");
  CHECK(base64_of("\xff\xfb\xbf") == "//u/");
}

// The image is q, k and v of one head of one channel.
struct OneHead : Module<float> {
  explicit OneHead(const Scope<float>& scope) : Module(scope, "OneHead") {}
  Variable<float> forward(Variable<float> x) const override { return self_attention(x, 1); }
};

// Predictions for eight painted flowers of three classes, made by hand.
struct Source {
  Source() {
    const auto add = [&](std::int32_t label, std::vector<float> logits) {
      const std::vector<double> p = log_softmax_of<float>(logits);
      const auto best = std::max_element(p.begin(), p.end()) - p.begin();
      evaluation.confusion.add(label, best);
      data::Batch batch;
      batch.labels = {label};
      metrics.add({{1, 3}, logits}, batch);
      evaluation.report.samples = std::ssize(evaluation.predictions) + 1;
      evaluation.report.metrics = metrics.values();
      evaluation.predictions.push_back(
          {.index = std::ssize(evaluation.predictions),
           .label = label,
           .predicted = static_cast<std::int32_t>(best),
           .probability = std::exp(p[static_cast<std::size_t>(best)]),
           .label_probability = std::exp(p[static_cast<std::size_t>(label)])});
    };
    add(0, {2, 0, 0});
    add(0, {3, 0, 0});
    add(1, {5, 0, 0});
    add(1, {0, 1, 0});
    add(1, {2, 0, 0});
  }
  ReportSource source() const {
    return {.model = model,
            .data = data,
            .class_names = class_names,
            .preprocess = preprocess,
            .evaluation = evaluation,
            .title = "A <run>",
            .part = "test",
            .arguments = {{"lr", 0.5}, {"note", "<script>"}},
            .facts = {{"peak memory", "7 MB"}}};
  }

  ParameterStore<float> store;
  OneHead model{store};
  PaintedFlowers data{PaintedOptions{.size = 8, .image_size = 40, .seed = 1}};
  std::vector<std::string> class_names = {"rose", "<lily>", "never seen"};
  Preprocess preprocess{.image_size = 32};
  MetricSums metrics{{top_k(1), top_k(5)}};
  Evaluation evaluation{.confusion = ConfusionMatrix(3)};
};

TEST_CASE("report: a page that needs nothing else, with all its parts") {
  const Source made;
  const std::string page = ReportWriter::html(made.source());
  CHECK(page.starts_with("<!doctype html>"));
  CHECK(page.ends_with("</html>\n"));
  for (const char* tag : {"div", "figure", "figcaption", "table", "p", "h2", "span", "svg", "text"})
    CHECK(count_of(page, text_of("<", tag, ">")) + count_of(page, text_of("<", tag, " ")) ==
          count_of(page, text_of("</", tag, ">")));
  // Nothing from elsewhere, and no script.
  CHECK(count_of(page, "src=\"") == count_of(page, "src=\"data:image/jpeg;base64,"));
  CHECK(count_of(page, "http") == count_of(page, "xmlns=\"http://www.w3.org/2000/svg\""));
  for (const char* outside : {"<script", "<link", "@import", "href=", "<lily>", "A <run>"})
    CHECK(!contains(page, outside));

  CHECK(contains(page, "<h1>A &lt;run&gt;</h1>"));
  CHECK(contains(page, "60.0%</b><span>test top-1"));
  CHECK(contains(page, "66.7%</b><span>mean over classes"));  // of 1 and 1/3
  CHECK(contains(page, "7 MB</b><span>peak memory"));
  CHECK(contains(page, "&lt;script&gt;"));
  CHECK(!contains(page, "Loss and accuracy"));  // there is no run
}

TEST_CASE("report: the most confident mistake is first, and its truth is said") {
  const Source made;
  const std::string page = ReportWriter::html(made.source());
  CHECK(contains(page, "2 of 5 images were taken for another class"));
  const std::size_t mistakes = page.find("most confident mistakes</h2>");
  const std::string first = page.substr(page.find("<figcaption>", mistakes), 200);
  CHECK(contains(first, "wrong\">rose</span> <span class=\"soft\">98.7%"));
  CHECK(contains(first, "</span> &lt;lily&gt; <span class=\"soft\">(0.7%)"));
  CHECK(contains(page, "<tr><td>&lt;lily&gt;<td>rose<td class=\"number\">2 of 3</tr>"));
  // Classes without images have no accuracy; the lowest is first.
  const std::string classes = page.substr(page.find("Accuracy of each class"));
  CHECK(classes.find("title=\"&lt;lily&gt;\"") < classes.find("title=\"rose\""));
  CHECK(!contains(classes, "title=\"never seen\""));
  // Of the right ones two classes, of the wrong ones one: three rows of a picture and a map.
  CHECK(count_of(page, "class=\"attention\"") == 3);
  CHECK(count_of(page, ", 32x32</figcaption>") == 3);
}

TEST_CASE("report: nothing wrong, nothing to attend with") {
  Source made;
  made.evaluation = {.confusion = ConfusionMatrix(3)};
  made.evaluation.confusion.add(0, 0);
  const std::string page = ReportWriter::html(made.source());
  CHECK(contains(page, "every image was recognised"));
  CHECK(!contains(page, "<h2>Attention"));
  CHECK(!contains(page, "most frequent confusions"));
}

TEST_CASE("report: a run's curves, and one without its tables is named") {
  const Source made;
  const TemporaryFolder folder;
  ReportSource source = made.source();
  source.run = folder.path();
  source.part = "train";
  source.run_part = "test";
  source.weights = "<these> weights";
  CHECK(contains(error_of([&] { write_report(folder / "r.html", source); }), "results.csv"));
  CsvWriter steps(folder / "steps.csv", {"step", "epoch", "train/loss", "train/top1", "lr"});
  steps.row(1, 1.0, 2.0, 0.5, 0.1);
  CsvWriter results(folder / "results.csv",
                    {"epoch", "time", "train/loss", "train/top1", "val/loss", "val/top1",
                     "val/top5", "lr", "images_per_s", "stall_s"});
  results.row(1, 100, 2.0, 0.5, 2.5, 0.25, 0.75, 0.1, 42.25, 5);
  write_report(folder / "r.html", source);
  const std::string page = read_text_file(folder / "r.html");
  CHECK(contains(page, "Loss and accuracy"));
  CHECK(contains(page, "5 images of train, 3 classes, evaluated with &lt;these&gt; weights. "));
  // The curves are of what the run evaluated.
  CHECK(contains(page, "best test top-1 25.0% after epoch 1"));
  CHECK(contains(page, "1:40</b><span>run time"));
  CHECK(contains(page, "5.0%</b><span>waiting for images"));
  // The two plots' ids do not meet.
  CHECK(count_of(page, "id=\"curves0\"") == 1);
  CHECK(count_of(page, "id=\"speed0\"") == 1);
}

}  // namespace
