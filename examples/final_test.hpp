// The test of a run: once, at its end, with its best weights, which nothing of the test had a part
// in.
#pragma once

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "anther/data/loader.hpp"
#include "anther/data/vision/open.hpp"
#include "anther/distributed/message.hpp"
#include "anther/distributed/process_group.hpp"
#include "anther/io/atomic_file.hpp"
#include "anther/io/safetensors.hpp"
#include "anther/models/models.hpp"
#include "anther/report/progress.hpp"
#include "anther/train/agreement.hpp"
#include "anther/train/evaluation.hpp"
#include "anther/train/objectives.hpp"
#include "anther/train/predictor.hpp"
#include "anther/train/run_folder.hpp"
#include "anther/train/weights.hpp"
#include "train_options.hpp"

// The images that an evaluation has left out, of all ranks.
inline std::int64_t all_skipped(const anther::data::Loader& loader, anther::Agreement& agreement) {
  anther::Message own;
  own.put(loader.skipped());
  std::int64_t all = 0;
  for (anther::Message& other : agreement.agree(own)) all += other.get<std::int64_t>();
  return all;
}

// Evaluates the best weights on the test, and writes test.json. Does nothing where there is no
// test, or the weights were chosen by it. Gives the accuracy, as a report shows it; "" where there
// is none. Every rank calls it, and evaluates some of the batches; folder: null but on rank 0.
inline std::string final_test(const anther::RunFolder* folder,
                              const anther::vision::OpenedData& data, const TrainOptions& o,
                              const anther::ChosenModel& chosen,
                              const anther::vision::Preprocess& preprocess,
                              anther::ProcessGroup* group) {
  using namespace anther;
  if (!data.has_test() || o.eval_split == "test") return "";
  try {
    Agreement agreement(group, {}, {});
    ParameterStore<float> store;
    const std::unique_ptr<Module<float>> model = chosen.make(store);
    bool found = false;
    agreement.attempt([&] {
      if (!folder) return;
      const std::filesystem::path weights = folder->weights() / "best.safetensors";
      if (!std::filesystem::exists(weights)) return;
      load_weights(io::SafetensorsFile(weights), store);
      found = true;
    });
    Message own;
    own.put(found);
    if (!agreement.agree(own).front().get<bool>()) return "";
    if (group) {
      const auto edit = store.edit();
      group->broadcast(bytes_of(edit.values()));
      group->broadcast(bytes_of(edit.buffer_values()));
    }
    const std::int64_t size = preprocess.image_size;
    const Predictor<float> predictor(*model, {size, size, 3});
    data::Loader loader(
        vision::prepared(data.test, preprocess),
        {.batch_size = 32, .workers = static_cast<int>(o.workers), .skip_bad = o.skip_bad});
    const StepReport result = evaluate(std::cref(predictor), loader, cross_entropy_objective(),
                                       {top_k(1), top_k(5)}, {}, agreement);
    const std::int64_t skipped = all_skipped(loader, agreement);
    if (!folder) return "";
    const double top1 = value_of(result.metrics, "top1"), top5 = value_of(result.metrics, "top5");
    std::printf("Best weights on %s: top-1 %.2f %%, top-5 %.2f %%, loss %.4f on %lld images\n",
                data.test_name.c_str(), 100 * top1, 100 * top5, result.mean_loss,
                static_cast<long long>(result.samples));
    const nlohmann::json json = {{"part", io::to_utf8(data.test_name)},
                                 {"weights", "best.safetensors"},
                                 {"images", result.samples},
                                 {"skipped", skipped},
                                 {"top1", top1},
                                 {"top5", top5},
                                 {"loss", result.mean_loss}};
    io::write_file_atomically(*folder / "test.json", json.dump(2) + "\n");
    return report::formatted("%.1f%%", 100 * top1);
  } catch (const Error& error) {
    // The run is done, and its report is to come.
    if (is_first(group))
      std::fprintf(stderr, "train_flowers: %s could not be evaluated: %s\n", data.test_name.c_str(),
                   error.what());
    return "";
  }
}
