// Using what was trained: the run, an evaluation of its weights, and the classification of its
// files one by one agree to the last image.
#include "anther/models/classifier.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "anther/data/vision/open.hpp"
#include "anther/data/vision/png.hpp"
#include "anther/models/edgevit/config.hpp"
#include "anther/models/models.hpp"
#include "anther/optim/adam.hpp"
#include "anther/painted/opener.hpp"
#include "anther/report/report.hpp"
#include "anther/train/checkpoint_callback.hpp"
#include "anther/train/objectives.hpp"
#include "anther/train/predictions.hpp"
#include "anther/train/run_log.hpp"
#include "tests/io/temporary_folder.hpp"

#if defined(__SANITIZE_ADDRESS__)
#define ANTHER_TEST_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ANTHER_TEST_ADDRESS_SANITIZER 1
#endif
#endif

namespace {

using namespace anther;
using namespace anther::detail;
using namespace anther::data;
using namespace anther::io;
using namespace anther::report;
using namespace anther::vision;

// A folder of painted flowers, train/<class>/ and val/<class>/, and a run over it.
struct TrainedRun {
  TrainedRun() {
    const OpenedData painted =
        open_data("painted", {.image_size = 40}, {painted::opener({.train = 170, .val = 51})});
    for (const auto& [part, images] :
         {std::pair{"train", painted.train}, std::pair{"val", painted.val}})
      for (std::int64_t i = 0; i < images->size(); ++i) {
        const auto class_folder = folder / "data" / part /
                                  images->class_names()[static_cast<std::size_t>(images->label(i))];
        std::filesystem::create_directories(class_folder);
        write_png(class_folder / text_of(100 + i, ".png"), images->image(i));
      }
    data = open_data((folder / "data").string());

    const RunFolder run({.output = folder / "run"});
    ParameterStore<float> store;
    EdgeViTOptions options;
    options.dims = {12, 24, 36, 48};
    options.depths = {1, 1, 1, 1};
    options.num_classes = std::ssize(data.class_names);
    const EdgeViT<float> model(store, options);
    store.initialize(3);
    Loader train(prepared(data.train, preprocess), {.batch_size = 8, .shuffle = true});
    Loader val(prepared(data.val, preprocess), {.batch_size = 20});
    Adam<float> adam(store, {});
    CheckpointCallback<float> checkpoint(run, adam,
                                         card_of(model, data.class_names, to_json(preprocess)));
    const Metrics metrics = {top_k(1), top_k(5)};
    LogCallback log(run, {.metrics = metrics});
    report = fit(model, adam, train, val,
                 {.objective = cross_entropy_objective(),
                  .metrics = metrics,
                  .epochs = 12,
                  .schedule = {.lr = 2e-3},
                  .trainer = {.micro_batch = 4, .lanes = 2}},
                 {&checkpoint, &log, &predictions})
                 .back();
  }

  TemporaryFolder folder;
  Preprocess preprocess{.image_size = 32, .resize = ResizeMode::short_side};
  OpenedData data;
  EpochReport report;
  PredictionsCallback predictions{17};
  double top1() const { return value_of(report.val_metrics, "top1"); }
};

const TrainedRun& trained_run() {
  static const TrainedRun run;
  return run;
}

TEST_CASE("classifier: evaluating the weights gives what the run reported") {
  const TrainedRun& run = trained_run();
  Classifier classifier(run.folder / "run" / "weights" / "last.safetensors");
  CHECK(classifier.card().class_names == run.data.class_names);
  CHECK(classifier.preprocess() == run.preprocess);
  Loader loader(prepared(run.data.val, classifier.preprocess()), {.batch_size = 7});
  PredictionsCallback predictions(classifier.classes());
  const StepReport again =
      evaluate(std::cref(classifier.predictor()), loader, cross_entropy_objective(),
               {top_k(1), top_k(5)}, {&predictions});
  const Evaluation& evaluation = predictions.evaluation();
  CHECK(again.samples == 51);
  CHECK(value_of(again.metrics, "top1") == run.top1());
  CHECK(value_of(again.metrics, "top5") == value_of(run.report.val_metrics, "top5"));
  CHECK(again.mean_loss == doctest::Approx(run.report.val_loss).epsilon(1e-5));
  CHECK(evaluation.confusion.accuracy() == run.top1());
  std::int64_t correct = 0;
  std::set<std::int32_t> predicted;
  for (std::size_t i = 0; i < evaluation.predictions.size(); ++i) {
    const Prediction& prediction = evaluation.predictions[i];
    CHECK(prediction.index == static_cast<std::int64_t>(i));
    CHECK(prediction.label == run.data.val->label(prediction.index));
    CHECK(prediction.probability >= prediction.label_probability);
    correct += prediction.correct();
    predicted.insert(prediction.predicted);
  }
  CHECK(predicted.size() >= 3);  // not one answer to everything
  CHECK(share_of(correct, 51) == run.top1());
}

TEST_CASE("classifier: classes without names are called by their numbers") {
  const TemporaryFolder folder;
  ParameterStore<float> store;
  const auto model =
      choose_model("mobilenet_v2", {{"num_classes", 3}, {"width_mult", 0.25}}).make(store);
  store.initialize(1);
  save_weights<float>(folder / "weights.safetensors", store, std::as_const(store).values(),
                      to_metadata(card_of(*model, {}, to_json(Preprocess{.image_size = 32}))));
  const Classifier classifier(folder / "weights.safetensors");
  CHECK(classifier.card().class_names == std::vector<std::string>{"0", "1", "2"});
}

TEST_CASE("classifier: logits that are not finite are no answer") {
  const TemporaryFolder folder;
  ParameterStore<float> store;
  const auto model =
      choose_model("mobilenet_v2", {{"num_classes", 3}, {"width_mult", 0.25}}).make(store);
  store.initialize(1);
  const auto file = folder / "a.png", weights = folder / "weights.safetensors";
  write_png(file, Image(32, 32));
  for (const float bias : {0.0f, NAN, INFINITY}) {
    store.edit().value(static_cast<int>(store.parameters().size()) - 1)[0] = bias;
    save_weights<float>(weights, store, std::as_const(store).values(),
                        to_metadata(card_of(*model, {}, to_json(Preprocess{.image_size = 32}))));
    const Classified answer = Classifier(weights).classify(file, true);
    CHECK(answer.probabilities.size() == (bias == 0 ? 3 : 0));
    CHECK(answer.error.starts_with(file.string() + ": no answer: a logit is ") == (bias != 0));
  }
}

TEST_CASE("classifier: the report of a run has its own accuracy, and its files are there") {
  const TrainedRun& run = trained_run();
  Classifier classifier(run.folder / "run" / "weights" / "last.safetensors");
  const RunFolder folder({.output = run.folder / "run", .resume = true});
  write_run_report({.folder = folder,
                    .class_names = run.data.class_names,
                    .preprocess = run.preprocess,
                    .title = "A run",
                    .part = "val",
                    .arguments = {{"epochs", 12}}},
                   classifier.model(), *run.data.val, run.predictions.evaluation());
  const std::string page = read_text_file(folder / "report.html");
  CHECK(contains(page, "<h1>A run</h1>"));
  CHECK(contains(page, fixed_decimals(100 * run.top1(), 1) + "%</b><span>val top-1"));
  CHECK(contains(page, "Loss and accuracy"));
  CHECK(contains(page, "peak memory"));
  CHECK(contains(page, "stages.3."));  // attention of the last stage
  CHECK(read_text_file(folder / "confusion_matrix.csv").starts_with("true/predicted,aster,"));
  CHECK(contains(page, read_text_file(folder / "confusion_matrix.svg")));
}

TEST_CASE("classifier: classifying the files gives what the run reported") {
  const TrainedRun& run = trained_run();
  Classifier classifier(run.folder / "run" / "weights" / "last.safetensors");
  std::vector<std::filesystem::path> files;
  for (std::int64_t i = 0; i < run.data.val->size(); ++i) files.push_back(run.data.val->name(i));
  const std::vector<Classified> results = classifier.classify(files);
  REQUIRE(results.size() == files.size());
  std::int64_t top1 = 0, top5 = 0;
  for (std::size_t i = 0; i < files.size(); ++i) {
    CHECK(results[i].file == files[i]);
    CHECK(results[i].error.empty());
    double sum = 0;
    for (const double p : results[i].probabilities) sum += p;
    CHECK(sum == doctest::Approx(1));
    const auto top = results[i].top(5);
    const auto place =
        std::find(top.begin(), top.end(), run.data.val->label(static_cast<std::int64_t>(i))) -
        top.begin();
    top1 += place == 0;
    top5 += place < 5;
  }
  CHECK(share_of(top1, 51) == run.top1());
  CHECK(share_of(top5, 51) == value_of(run.report.val_metrics, "top5"));
}

TEST_CASE("classifier: a file that is none is named, and the others have their answers") {
  const TrainedRun& run = trained_run();
  Classifier classifier(run.folder / "run");
  const std::filesystem::path good = run.data.val->name(0), missing = run.folder / "no.png",
                              text = run.folder / "text.jpg", cut = run.folder / "cut.png";
  write_file_atomically(text, "no image");
  write_file_atomically(cut, read_text_file(good).substr(0, 200));
  const std::vector<std::filesystem::path> files = {missing, good, text, cut, good};
  const auto results = classifier.classify(files);
  for (const int i : {0, 2, 3}) {
    CHECK(contains(results[static_cast<std::size_t>(i)].error,
                   files[static_cast<std::size_t>(i)].string()));
    CHECK(results[static_cast<std::size_t>(i)].top(5).empty());
  }
  CHECK(results[1].probabilities == results[4].probabilities);
  CHECK(results[1].probabilities ==
        classifier.classify(std::span(files).subspan(1, 1))[0].probabilities);
  CHECK(results[1].top(1000).size() == 17);
  CHECK(classifier.classify(std::span(files).first(1))[0].top(1).empty());
}

TEST_CASE(
    "classifier: the first image alone, whose packed weights are not kept, has the same bits") {
  const TrainedRun& run = trained_run();
  const Classifier one(run.folder / "run"), several(run.folder / "run");
  const std::vector<std::filesystem::path> files = {run.data.val->name(0), run.data.val->name(1)};
  const auto expected = several.classify(files);
  for (int again = 0; again < 2; ++again)
    for (std::size_t i = 0; i < files.size(); ++i)
      CHECK(one.classify(files[i]).probabilities == expected[i].probabilities);
}

// A service's life: ANTHER_SERVICE_CALLS=1000000 models_tests --test-case='classifier: eight*'
TEST_CASE("classifier: eight threads at once have one thread's bits, and memory stays flat") {
  const char* more = std::getenv("ANTHER_SERVICE_CALLS");
  const std::int64_t calls = more ? std::atoll(more) : 1600;
  const TrainedRun& run = trained_run();
  const Classifier classifier(run.folder / "run");
  std::vector<std::filesystem::path> files;
  for (std::int64_t i = 0; i < 16; ++i) files.push_back(run.data.val->name(i));
  std::vector<std::vector<double>> expected;  // each plain, then each with the flip
  for (const bool flip : {false, true})
    for (const auto& file : files)
      expected.push_back(classifier.classify(file, flip).probabilities);

  std::atomic<std::int64_t> wrong{0};
  const auto serve = [&](std::int64_t count) {
    std::vector<std::jthread> threads;
    for (std::int64_t thread = 0; thread < 8; ++thread)
      threads.emplace_back([&, thread] {
        for (std::int64_t i = thread; i < count; i += 8) {
          const auto at = static_cast<std::size_t>((i * 7 + i / 16) % 16);
          const bool flip = i % 5 == 0;
          wrong += classifier.classify(files[at], flip).probabilities !=
                   expected[flip ? at + files.size() : at];
        }
      });
  };
  const auto resident = [] {
    std::int64_t all = 0, pages = 0;
    std::ifstream("/proc/self/statm") >> all >> pages;
    return pages * 4096;
  };
  serve(calls / 4);
  const std::int64_t before = resident();
  const auto begun = std::chrono::steady_clock::now();
  serve(calls);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begun;
  const std::int64_t grown = resident() - before;
  MESSAGE(calls, " calls in ", seconds.count(), " s, ", before >> 20, " MiB resident before, ",
          grown >> 10, " KiB more after");
  CHECK(wrong == 0);
#ifndef ANTHER_TEST_ADDRESS_SANITIZER
  CHECK(grown < (std::int64_t{4} << 20));
#endif
}

TEST_CASE("classifier: with the flip an image and its mirror image are the same") {
  const TrainedRun& run = trained_run();
  Classifier classifier(run.folder / "run");
  const Image image = run.data.val->image(1);
  Image mirror = oriented(image, 2);
  REQUIRE(mirror != image);
  const auto a = run.folder / "a.png", b = run.folder / "b.png";
  write_png(a, image);
  write_png(b, mirror);
  const std::vector<std::filesystem::path> files = {a, b};
  const auto plain = classifier.classify(files), flipped = classifier.classify(files, true);
  CHECK(plain[0].probabilities != plain[1].probabilities);
  for (std::size_t c = 0; c < 17; ++c) {
    CHECK(flipped[0].probabilities[c] == doctest::Approx(flipped[1].probabilities[c]));
    CHECK(
        flipped[0].probabilities[c] ==
        doctest::Approx((plain[0].probabilities[c] + plain[1].probabilities[c]) / 2).epsilon(1e-4));
  }
}

TEST_CASE("classifier: in mixed precision the answers are nearly the same") {
  const TrainedRun& run = trained_run();
  const Classifier exact(run.folder / "run"), mixed(run.folder / "run", {.amp = true});
  const auto file = run.folder / "mixed.png";
  write_png(file, run.data.val->image(2));
  const Classified a = exact.classify(file), b = mixed.classify(file);
  REQUIRE(a.error + b.error == "");
  CHECK(a.probabilities != b.probabilities);
  for (std::size_t c = 0; c < 17; ++c)
    CHECK(std::abs(a.probabilities[c] - b.probabilities[c]) < 0.02);
}

TEST_CASE("classifier: weights of something else are refused") {
  const TemporaryFolder folder;
  ParameterStore<float> store;
  store.add_parameter("weight", {.shape = {2}});
  save_weights<float>(folder / "w.safetensors", store, store.values(), {});
  CHECK(contains(error_of([&] { Classifier classifier(folder / "w.safetensors"); }),
                 "expected weights that Anther saved"));
  CHECK(contains(error_of([&] { Classifier classifier(folder.path()); }), "best.safetensors"));
}

}  // namespace
