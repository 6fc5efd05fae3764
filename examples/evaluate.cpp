// Evaluates weights that train_flowers saved, on the data of their run unless told otherwise:
// top-1, top-5, loss, and each class.
//
//   evaluate runs/train_flowers/1
//   evaluate best.safetensors --data-dir my_photographs --part val --tta --json result.json
//   evaluate runs/train_flowers/1 --confusion confusion.svg --report report.html
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "anther/anther.hpp"
#include "anther/report/confusion_plot.hpp"
#include "anther/report/progress_callback.hpp"
#include "anther/report/report.hpp"
#include "anther/train/evaluation.hpp"
#include "anther/train/objectives.hpp"
#include "anther/train/predictions.hpp"
#include "anther/train/run_folder.hpp"
#include "anther/train/stop_signals.hpp"
#include "output_flags.hpp"
#include "trained_data.hpp"

namespace {

using namespace anther;

struct Options {
  std::string weights;
  DataFlags data;
  std::string part = "test";
  bool tta = false, amp = false;
  std::int64_t batch_size = 32;
  int workers = 1, threads = 0;
  std::string json, confusion, report;
};

// NaN, for a class without images, is null in JSON.
nlohmann::json to_json(const Evaluation& evaluation, std::int64_t skipped,
                       const vision::ImageSet& data, const std::vector<std::string>& class_names) {
  const StepReport& report = evaluation.report;
  const ConfusionMatrix& confusion = evaluation.confusion;
  nlohmann::json classes = nlohmann::json::array(), matrix = nlohmann::json::array();
  for (std::int64_t c = 0; c < confusion.classes(); ++c) {
    classes.push_back({{"class", class_names[static_cast<std::size_t>(c)]},
                       {"images", confusion.labelled(c)},
                       {"predicted", confusion.predicted(c)},
                       {"accuracy", confusion.recall(c)},
                       {"precision", confusion.precision(c)}});
    auto& row = matrix.emplace_back(nlohmann::json::array());
    for (std::int64_t p = 0; p < confusion.classes(); ++p) row.push_back(confusion(c, p));
  }
  nlohmann::json predictions = nlohmann::json::array();
  for (const Prediction& p : evaluation.predictions)
    predictions.push_back({{"file", io::to_utf8(data.name(p.index))},
                           {"class", class_names[static_cast<std::size_t>(p.label)]},
                           {"predicted", class_names[static_cast<std::size_t>(p.predicted)]},
                           {"probability", p.probability}});
  return {{"top1", value_of(report.metrics, "top1")},
          {"top5", value_of(report.metrics, "top5")},
          {"loss", report.mean_loss},
          {"macro_accuracy", confusion.macro_recall()},
          {"images", report.samples},
          {"skipped", skipped},
          {"seconds", evaluation.seconds},
          {"classes", classes},
          {"confusion_matrix", matrix},
          {"predictions", predictions}};
}

std::string percent(double share) {
  return std::isnan(share) ? "-" : report::formatted("%.2f", 100 * share);
}

void print(const Evaluation& evaluation, const std::vector<std::string>& class_names) {
  const ConfusionMatrix& confusion = evaluation.confusion;
  std::size_t width = 5;
  for (const std::string& name : class_names) width = std::max(width, io::terminal_columns(name));
  std::printf("%s  images  accuracy %%  precision %%\n", io::padded("class", width).c_str());
  for (std::int64_t c = 0; c < confusion.classes(); ++c)
    std::printf("%s  %6lld  %10s  %11s\n",
                io::padded(class_names[static_cast<std::size_t>(c)], width).c_str(),
                static_cast<long long>(confusion.labelled(c)), percent(confusion.recall(c)).c_str(),
                percent(confusion.precision(c)).c_str());
}

// train_flowers/3 of runs/train_flowers/3; a name of its own is enough.
std::string title_of(const std::filesystem::path& folder) {
  // Without "." and a slash at its end, which are no name.
  const std::filesystem::path run = (folder / "").lexically_normal().parent_path();
  const std::string name = run.filename().string();
  return run_number(name) ? (run.parent_path().filename() / name).string() : name;
}

// With the curves and arguments of the run that the weights are from, where its folder is there.
void write_report_of(const Options& o, const Classifier& classifier, const vision::OpenedData& data,
                     const vision::ImageSet& part, const std::string& part_name,
                     const Evaluation& evaluation) {
  const std::filesystem::path run = run_of(o.weights);
  const bool has_run = !run.empty() && std::filesystem::exists(run / "results.csv");
  const ModelCard& card = classifier.card();
  // The split that the run evaluated, whatever is evaluated now: its curves are of that.
  const bool run_on_val =
      text_argument(arguments_of_run(o.weights), "eval_split", "test") == "valid";
  const std::filesystem::path weights = weights_of(o.weights);
  report::write_report(o.report, {.model = classifier.model(),
                                  .data = part,
                                  .class_names = card.class_names,
                                  .preprocess = classifier.preprocess(),
                                  .evaluation = evaluation,
                                  .title = has_run ? title_of(run) : weights.stem().string(),
                                  .part = part_name,
                                  .weights = weights.filename().string(),
                                  .run_part = run_on_val ? data.val_name : data.test_name,
                                  .run = has_run ? run : "",
                                  .arguments = arguments_of_run(o.weights)});
}

void evaluate(const Options& o) {
  check_optional_output("--json", o.json);
  check_optional_output("--confusion", o.confusion, {".csv", ".svg"});
  check_optional_output("--report", o.report, {".html", ".htm"});
  ignore_lost_output();
  if (o.threads > 0) set_num_threads(o.threads);
  const Classifier classifier(o.weights, {.amp = o.amp});
  const vision::OpenedData data =
      open_data_of(classifier, arguments_of_run(o.weights), run_of(o.weights), o.data);
  std::printf("Data: %s\n", data.description.c_str());
  for (const std::string& warning : data.warnings) std::printf("Warning: %s\n", warning.c_str());
  const bool train = o.part == "train", test = o.part == "test";
  const vision::ImageSetPointer part = train ? data.train : test ? data.test : data.val;
  detail::check(part != nullptr, "--part ", o.part, ": the data has no such part");
  // What the data calls it: of class folders without test/ the test is val.
  const std::string part_name =
      train ? "train" : io::to_utf8(test ? data.test_name : data.val_name);
  if (const std::string missing = missing_classes(*part); !missing.empty())
    std::printf("%s\n", missing.c_str());
  data::Loader loader(
      vision::prepared(part, classifier.preprocess()),
      {.batch_size = o.batch_size, .workers = o.workers, .skip_bad = o.data.skip_bad});
  report::ProgressCallback progress(1, part->size(), {.unit = "img"});
  PredictionsCallback predictions(classifier.classes());
  const auto predict = [&](const Tensor<float>& images) {
    return classifier.predict(images, o.tta);
  };
  const StepReport result = anther::evaluate(predict, loader, cross_entropy_objective(),
                                             {top_k(1), top_k(5)}, {&progress, &predictions});
  const Evaluation& evaluation = predictions.evaluation();

  const std::vector<std::string>& names = classifier.card().class_names;
  print(evaluation, names);
  if (loader.skipped() > 0)
    std::printf("Left out: %lld damaged images (the first: %s)\n",
                static_cast<long long>(loader.skipped()), loader.first_skipped().c_str());
  std::printf(
      "Top-1 %.2f %%, top-5 %.2f %%, loss %.4f, mean over classes %.2f %% on %lld images (%s)\n",
      100 * value_of(result.metrics, "top1"), 100 * value_of(result.metrics, "top5"),
      result.mean_loss, 100 * evaluation.confusion.macro_recall(),
      static_cast<long long>(result.samples), part_name.c_str());
  if (!o.json.empty()) {
    nlohmann::json json = to_json(evaluation, loader.skipped(), *part, names);
    json["weights"] = io::to_utf8(weights_of(o.weights).string());
    json["data"] = io::to_utf8(data.description);
    json["part"] = part_name;
    json["tta"] = o.tta;
    json["amp"] = o.amp;
    io::write_file_atomically(o.json, json.dump(2) + "\n");
  }
  if (!o.report.empty()) write_report_of(o, classifier, data, *part, part_name, evaluation);
  if (!o.confusion.empty())
    report::write_confusion_matrix(o.confusion, evaluation.confusion, names);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    Options options;
    CLI::App app("Evaluates weights that train_flowers saved.");
    app.add_option("weights,--checkpoint", options.weights,
                   "a .safetensors file, or the folder of a run: its best")
        ->required();
    add_data_options(app, options.data);
    app.add_option("--part", options.part, "train, test, or val, which Flowers-102 calls valid")
        ->check(CLI::IsMember({"train", "val", "valid", "test"}))
        ->capture_default_str();
    app.add_flag("--tta", options.tta, "the mean over each image and its mirror image");
    app.add_option("--batch-size,-b", options.batch_size, "images at once")
        ->check(CLI::Range(1, 1 << 20))
        ->capture_default_str();
    app.add_option("--workers,-j", options.workers, "threads that decode images")
        ->capture_default_str();
    app.add_flag("--amp", options.amp,
                 "products of numbers in bfloat16: fast where the processor has AMX");
    app.add_option("--threads", options.threads,
                   "compute threads; 0: OMP_NUM_THREADS, or all cores")
        ->check(CLI::Range(0, 1024));
    app.add_option("--json", options.json, "file to write all of it to");
    app.add_option("--confusion", options.confusion,
                   "file to write the confusion matrix to, .csv or .svg");
    app.add_option("--report", options.report, "file to write a page to, .html");
    CLI11_PARSE(app, argc, argv);
    evaluate(options);
  } catch (const std::exception& error) {
    std::fflush(stdout);
    std::fprintf(stderr, "evaluate: %s\n", error.what());
    return 1;
  }
}
