// The test of a run: once, at its end, with its best weights, which nothing of the test had a part
// in.
#pragma once

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "anther/data/loader.hpp"
#include "anther/data/vision/open.hpp"
#include "anther/io/atomic_file.hpp"
#include "anther/models/classifier.hpp"
#include "anther/report/progress.hpp"
#include "anther/train/evaluation.hpp"
#include "anther/train/objectives.hpp"
#include "anther/train/run_folder.hpp"
#include "train_options.hpp"

// Evaluates the best weights on the test, and writes test.json. Does nothing where there is no
// test, or the weights were chosen by it. Gives the accuracy, as a report shows it; "" where there
// is none.
inline std::string final_test(const anther::RunFolder& folder,
                              const anther::vision::OpenedData& data, const TrainOptions& o) {
  using namespace anther;
  const std::filesystem::path weights = folder.weights() / "best.safetensors";
  if (!data.has_test() || o.eval_split == "test" || !std::filesystem::exists(weights)) return "";
  try {
    const Classifier classifier(weights);
    data::Loader loader(
        vision::prepared(data.test, classifier.preprocess()),
        {.batch_size = 32, .workers = static_cast<int>(o.workers), .skip_bad = o.skip_bad});
    const StepReport result =
        evaluate([&](const Tensor<float>& images) { return classifier.predict(images); }, loader,
                 cross_entropy_objective(), {top_k(1), top_k(5)});
    const double top1 = value_of(result.metrics, "top1"), top5 = value_of(result.metrics, "top5");
    std::printf("Best weights on %s: top-1 %.2f %%, top-5 %.2f %%, loss %.4f on %lld images\n",
                data.test_name.c_str(), 100 * top1, 100 * top5, result.mean_loss,
                static_cast<long long>(result.samples));
    const nlohmann::json json = {{"part", io::to_utf8(data.test_name)},
                                 {"weights", "best.safetensors"},
                                 {"images", result.samples},
                                 {"skipped", loader.skipped()},
                                 {"top1", top1},
                                 {"top5", top5},
                                 {"loss", result.mean_loss}};
    io::write_file_atomically(folder / "test.json", json.dump(2) + "\n");
    return report::formatted("%.1f%%", 100 * top1);
  } catch (const Error& error) {
    // The run is done, and its report is to come.
    std::fprintf(stderr, "train_flowers: %s could not be evaluated: %s\n", data.test_name.c_str(),
                 error.what());
    return "";
  }
}
