// What a run remembers of its data, in data.json of its folder: the classes, how many images each
// part has, a digest of their names, and which were held out. A run that goes on, and an
// evaluation, compare it with the data that they find.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "anther/core/check.hpp"
#include "anther/core/random.hpp"
#include "anther/data/vision/open.hpp"
#include "anther/io/atomic_file.hpp"
#include "anther/io/file.hpp"
#include "anther/io/safetensors.hpp"
#include "anther/io/text.hpp"
#include "anther/train/model_card.hpp"

// A number that follows from the names of a part's images below `where`, and from their classes,
// in whatever order they are.
inline std::string digest_of(const anther::vision::ImageSet& part, std::string_view where) {
  std::uint64_t sum = 0;
  for (std::int64_t i = 0; i < part.size(); ++i) {
    const std::string full = part.name(i);
    std::string_view name = full;
    if (name.starts_with(where)) name.remove_prefix(where.size());
    while (name.starts_with('/')) name.remove_prefix(1);
    sum += anther::RandomKey(1).fold(name).fold(static_cast<std::uint64_t>(part.label(i))).value();
  }
  constexpr char digits[] = "0123456789abcdef";
  std::string text;
  for (int shift = 60; shift >= 0; shift -= 4) text += digits[sum >> shift & 15];
  return text;
}

// where: the data folder.
inline nlohmann::json record_of(const anther::vision::OpenedData& data, const std::string& where) {
  const auto part = [&](const anther::vision::ImageSet& images) {
    std::vector<std::int64_t> counts(data.class_names.size());
    for (std::int64_t i = 0; i < images.size(); ++i)
      ++counts[static_cast<std::size_t>(images.label(i))];
    return nlohmann::json{{"images", images.size()},
                          {"images_of_class", counts},
                          {"digest", digest_of(images, where)}};
  };
  nlohmann::json record = {{"kind", data.kind},
                           {"classes", data.class_names},
                           {"train", part(*data.train)},
                           {"val", part(*data.val)}};
  if (data.has_test()) record["test"] = part(*data.test);
  if (!data.held_out.empty()) record["held_out"] = data.held_out;
  return record;
}

// The record of a run; null where it has none.
inline nlohmann::json read_record(const std::filesystem::path& run) {
  const auto path = run / "data.json";
  if (!std::filesystem::exists(path)) return nullptr;
  nlohmann::json record = nlohmann::json::parse(anther::io::read_text_file(path), nullptr, false);
  const auto is_names = [](const nlohmann::json& json) {
    return json.is_array() &&
           std::ranges::all_of(json, [](const nlohmann::json& name) { return name.is_string(); });
  };
  anther::detail::check(
      record.is_object() && record.contains("classes") && is_names(record["classes"]) &&
          is_names(record.value("held_out", nlohmann::json::array())),
      path.string(), ": expected a JSON object with the run's classes, and what it has held out");
  return record;
}

// Of a run from before there were records: what its weights say, the classes.
inline nlohmann::json record_of_weights(const std::filesystem::path& run) {
  const auto weights = run / "weights" / "last.safetensors";
  if (!std::filesystem::exists(weights)) return nullptr;
  const anther::io::SafetensorsFile file(weights.string());
  return {{"classes", anther::model_card_of(file).class_names}};
}

// The files that a run held out; none where it held out none, or is not known.
inline std::vector<std::string> held_out_of(const nlohmann::json& record) {
  if (!record.is_object()) return {};
  return record.value("held_out", std::vector<std::string>());
}

// A few of the names that are in `these` and not in `those`, for a message.
inline std::string only_in(const std::vector<std::string>& these,
                           const std::vector<std::string>& those) {
  std::string text;
  int count = 0;
  for (const std::string& name : these) {
    if (std::find(those.begin(), those.end(), name) != those.end()) continue;
    if (++count <= 5) text += (text.empty() ? "" : ", ") + name;
  }
  if (count > 5) text += anther::detail::text_of(" and ", count - 5, " more");
  return text;
}

// Throws where a run's data have other classes now: each label would mean another one. Gives a text
// that says which parts have other images now; "" where none has.
inline std::string compare_records(const nlohmann::json& then, const nlohmann::json& now,
                                   const std::string& run, const std::string& where) {
  if (!then.is_object()) return "";
  const auto old_classes = then.at("classes").get<std::vector<std::string>>();
  const auto classes = now.at("classes").get<std::vector<std::string>>();
  if (old_classes != classes) {
    const std::string gone = only_in(old_classes, classes), added = only_in(classes, old_classes);
    anther::detail::fail(run, ": was trained on ", old_classes.size(), " classes, and ", where,
                         " has ", classes.size(), " others now: labels would mean other classes. ",
                         gone.empty() ? "" : "No longer there: " + gone + ". ",
                         added.empty() ? "" : "New: " + added + ". ",
                         gone.empty() && added.empty() ? "Their order is another. " : "",
                         "Give the classes their names back, or begin a new run (from its weights: "
                         "--initial-checkpoint ",
                         run, "/weights/best.safetensors)");
  }
  std::string text;
  for (const char* part : {"train", "val", "test"}) {
    if (!then.contains(part) || !now.contains(part)) continue;
    const nlohmann::json &before = then.at(part), &after = now.at(part);
    if (before.at("digest") == after.at("digest")) continue;
    text +=
        anther::detail::text_of(text.empty() ? "" : "; ", part, ": ", before.at("images").dump(),
                                " images then, ", after.at("images").dump(), " now");
    const auto old_counts = before.at("images_of_class").get<std::vector<std::int64_t>>();
    const auto counts = after.at("images_of_class").get<std::vector<std::int64_t>>();
    int told = 0;
    for (std::size_t c = 0; c < counts.size() && c < old_counts.size(); ++c)
      if (counts[c] != old_counts[c] && ++told <= 5)
        text += anther::detail::text_of(told == 1 ? " (" : ", ", classes[c], " ", old_counts[c],
                                        " -> ", counts[c]);
    if (told > 5) text += ", ...";
    text += told > 0 ? ")" : " (other names)";
  }
  return text;
}

// What differs between the data and what a run that goes on remembers, as text. Throws where the
// classes do.
inline std::string changed_data(const nlohmann::json& record, const std::string& where,
                                const std::filesystem::path& run) {
  const nlohmann::json before = read_record(run);
  return compare_records(before.is_null() ? record_of_weights(run) : before, record, run.string(),
                         where);
}

// Writes the record of a run. changed: what changed_data gave; "" for a new run.
inline void keep_record(nlohmann::json record, const std::string& changed,
                        const std::filesystem::path& run) {
  const nlohmann::json before = read_record(run);
  if (before.is_object() && before.contains("changes")) record["changes"] = before["changes"];
  if (!changed.empty()) {
    std::printf(
        "Data: other images than when the run began: %s. The run goes on with them, and will not "
        "be bit for bit what it would have been.\n",
        changed.c_str());
    record["changes"].push_back(changed);
  }
  anther::io::write_file_atomically(run / "data.json", record.dump(2) + "\n");
}
