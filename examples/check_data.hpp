// train_flowers --check-data: reads all of the data, and lists what is amiss, as text and as JSON.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "anther/core/parallel_for.hpp"
#include "anther/data/vision/check_dataset.hpp"
#include "anther/io/atomic_file.hpp"
#include "anther/report/progress.hpp"
#include "anther/train/stop_signals.hpp"
#include "output_flags.hpp"
#include "train_data.hpp"

inline nlohmann::json to_json(const anther::vision::DatasetCheck& check) {
  nlohmann::json counts, problems = nlohmann::json::array();
  for (const std::string_view kind : anther::vision::dataset_problem_kinds)
    counts[std::string(kind)] = check.count(kind);
  for (const auto& problem : check.problems)
    problems.push_back({{"kind", problem.kind}, {"file", problem.file}, {"text", problem.text}});
  return {{"data", anther::io::to_utf8(check.description)},
          {"images", check.images},
          {"counts", counts},
          {"problems", problems}};
}

// Gives the program's exit status: 0 where nothing is amiss, 3 where something is. report: a file
// for all of it as JSON; or empty.
inline int check_data(const TrainOptions& o, const std::string& report,
                      const std::vector<anther::vision::Opener>& more) {
  using namespace anther;
  if (o.threads > 0) set_num_threads(static_cast<int>(o.threads));
  check_optional_output("--check-data", report);
  ignore_lost_output();
  constexpr std::int64_t size = 224;  // of images that are drawn
  report::Progress progress({.unit = "img"});
  bool started = false;
  const auto show = [&](std::int64_t done, std::int64_t all) {
    if (!started) progress.start("Checking", all, all);
    started = true;
    progress.update({.steps = done, .samples = done});
  };
  const vision::DatasetCheck check = vision::check_dataset(
      o.data_dir, open_options(o, size), more,
      {.threads = std::max(num_threads(), static_cast<int>(o.workers)), .progress = show});
  progress.finish();
  std::printf("Data: %s\n", check.description.c_str());
  std::string_view kind;
  for (const auto& problem : check.problems) {
    if (problem.kind != kind)
      std::printf("\n%s: %lld\n", problem.kind.c_str(),
                  static_cast<long long>(check.count(problem.kind)));
    kind = problem.kind;
    std::printf("  %s\n", problem.message().c_str());
  }
  std::printf("%s%lld images read; %zu things amiss\n", check.problems.empty() ? "" : "\n",
              static_cast<long long>(check.images), check.problems.size());
  if (!report.empty()) io::write_file_atomically(report, to_json(check).dump(2) + "\n");
  return check.problems.empty() ? 0 : 3;
}
