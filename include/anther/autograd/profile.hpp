// Where the time of passes goes: calls, time and multiply-accumulates of each op in each stage.
//
//   Profile profile;
//   tape.begin({.profile = &profile});
//   ...
//   std::fputs(profile.table().c_str(), stdout);
#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdio>
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
    Row& row = row_of(layer, op);
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
  // counts for the op that reads it. A template, so that only programs that call it compile it.
  template <class = void>
  std::string table(const std::vector<std::string>& stage_paths = {}) const {
    const std::lock_guard lock(mutex_);
    std::vector<Row> rows, stages;
    Row all;
    const auto add_to = [](std::vector<Row>& sums, const std::string& stage, const std::string& op,
                           const Row& row) {
      const auto place = place_of(sums, stage, op);
      if (place == sums.end() || place->layer != stage || place->op != op)
        sums.insert(place, Row{stage, op})->add(row);
      else
        place->add(row);
    };
    for (const Row& row : rows_) {
      const std::string stage = stage_of(row.layer, stage_paths);
      add_to(rows, stage, row.op, row);
      add_to(stages, stage, "", row);
      all.add(row);
    }
    for (Row& row : rows) row.layer += "  " + row.op;
    std::stable_sort(rows.begin(), rows.end(),
                     [](const Row& a, const Row& b) { return a.total() > b.total(); });
    std::size_t width = 10;
    for (const Row& row : rows) width = std::max(width, row.layer.size());
    std::string text =
        line(width, "stage  op", "calls", "forward ms", "backward ms", "share", "GFLOP/s");
    const auto add = [&](const std::string& name, const Row& row) {
      const double rate = row.macs > 0 ? 2e-9 * static_cast<double>(row.macs) / row.total() : 0;
      text += line(width, name, std::to_string(row.calls[0]), number(1e3 * row.seconds[0]),
                   number(1e3 * row.seconds[1]), number(100 * row.total() / all.total()) + " %",
                   rate > 0 ? number(rate) : "");
    };
    for (const Row& row : rows) add(row.layer, row);
    text += std::string(width + 57, '-') + "\n";
    for (const Row& row : stages) add(row.layer.empty() ? "(none)" : row.layer, row);
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
    std::string layer, op;
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
    char* const end =
        std::to_chars(text, text + sizeof text, value, std::chars_format::fixed, 1).ptr;
    return {text, end};
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

  // Where the row of a layer and an op is, or belongs: rows are in the order of both.
  static std::vector<Row>::iterator place_of(std::vector<Row>& rows, std::string_view layer,
                                             std::string_view op) {
    std::size_t first = 0, last = rows.size();
    while (first < last) {
      const std::size_t middle = (first + last) / 2;
      const int order = layer.compare(rows[middle].layer);
      if (order > 0 || (order == 0 && op.compare(rows[middle].op) > 0))
        first = middle + 1;
      else
        last = middle;
    }
    return rows.begin() + static_cast<std::ptrdiff_t>(first);
  }

  // The row of a layer and an op, inserted if there is none. A look-up allocates nothing.
  Row& row_of(std::string_view layer, std::string_view op) {
    const auto place = place_of(rows_, layer, op);
    if (place != rows_.end() && place->layer == layer && place->op == op) return *place;
    return *rows_.insert(place, Row{std::string(layer), std::string(op)});
  }

  mutable std::mutex mutex_;
  std::vector<Row> rows_;
};

}  // namespace anther::inline v0_1
