// Where the time of passes goes: calls, time and multiply-accumulates of each op in each stage.
//
//   Profile profile;
//   tape.begin({.profile = &profile});
//   ...
//   std::fputs(profile.table().c_str(), stdout);
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace anther::inline v0_1 {

class Profile {
 public:
  // Adds a call. May be called from several threads at once.
  void add(std::string_view op, std::string_view layer, bool backward, double seconds,
           std::int64_t macs) {
    const std::lock_guard lock(mutex_);
    Row& row = at(at(rows_, layer), op);
    row.calls[backward] += 1;
    row.seconds[backward] += seconds;
    row.macs += macs;
  }

  void clear() {
    const std::lock_guard lock(mutex_);
    rows_.clear();
  }

  // One row for each op and stage, the most expensive first; then one for each stage, and the sum.
  // stages: the paths of the model's stages (stage_modules(store)). A layer outside them is listed
  // under the first part of its path. Times are in milliseconds, summed over the threads. GFLOP/s
  // count 2 for each multiply-accumulate, and are those of one thread. What a lazy op computes
  // counts for the op that reads it.
  std::string table(const std::vector<std::string>& stage_paths = {}) const {
    const std::lock_guard lock(mutex_);
    std::vector<std::pair<std::string, Row>> rows;
    std::map<std::string, Row> stages;
    Row all;
    std::map<std::pair<std::string, std::string>, Row> by_stage;
    for (const auto& [layer, ops] : rows_)
      for (const auto& [op, row] : ops) {
        const std::string stage = stage_of(layer, stage_paths);
        by_stage[{stage, op}].add(row);
        stages[stage].add(row);
        all.add(row);
      }
    for (const auto& [stage_and_op, row] : by_stage)
      rows.emplace_back(stage_and_op.first + "  " + stage_and_op.second, row);
    std::stable_sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) {
      return a.second.total() > b.second.total();
    });
    std::size_t width = 10;
    for (const auto& [name, row] : rows) width = std::max(width, name.size());
    std::string text =
        line(width, "stage  op", "calls", "forward ms", "backward ms", "share", "GFLOP/s");
    const auto add = [&](const std::string& name, const Row& row) {
      const double rate = row.macs > 0 ? 2e-9 * static_cast<double>(row.macs) / row.total() : 0;
      text += line(width, name, std::to_string(row.calls[0]), number(1e3 * row.seconds[0]),
                   number(1e3 * row.seconds[1]), number(100 * row.total() / all.total()) + " %",
                   rate > 0 ? number(rate) : "");
    };
    for (const auto& [name, row] : rows) add(name, row);
    text += std::string(width + 57, '-') + "\n";
    for (const auto& [name, row] : stages) add(name.empty() ? "(none)" : name, row);
    add("all", all);
    return text;
  }

 private:
  static std::string stage_of(const std::string& layer, const std::vector<std::string>& stages) {
    for (const std::string& stage : stages)
      if (layer.starts_with(stage) && (layer.size() == stage.size() || layer[stage.size()] == '.'))
        return stage;
    return layer.substr(0, layer.find('.'));
  }

  struct Row {
    std::int64_t calls[2] = {0, 0};  // forward, backward
    double seconds[2] = {0, 0};
    std::int64_t macs = 0;  // forward and backward

    double total() const { return seconds[0] + seconds[1]; }
    void add(const Row& other) {
      for (int i : {0, 1}) calls[i] += other.calls[i], seconds[i] += other.seconds[i];
      macs += other.macs;
    }
  };

  static std::string number(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.1f", value);
    return text;
  }
  static std::string line(std::size_t width, const std::string& name, const std::string& calls,
                          const std::string& forward, const std::string& backward,
                          const std::string& share, const std::string& rate) {
    char text[256];
    std::snprintf(text, sizeof text, "%-*.120s %8s %12s %12s %10s %10s\n", static_cast<int>(width),
                  name.c_str(), calls.c_str(), forward.c_str(), backward.c_str(), share.c_str(),
                  rate.c_str());
    return text;
  }

  // The value of a name, inserted if there is none. A look-up allocates nothing.
  template <class Map>
  static typename Map::mapped_type& at(Map& map, std::string_view name) {
    const auto found = map.find(name);
    return found != map.end() ? found->second : map[std::string(name)];
  }

  mutable std::mutex mutex_;
  std::map<std::string, std::map<std::string, Row, std::less<>>, std::less<>> rows_;
};

}  // namespace anther::inline v0_1
