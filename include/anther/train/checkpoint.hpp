// The state of a run, from which it goes on bit for bit. For weights to use, see model_card.hpp.
#pragma once

#include <algorithm>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "anther/core/once.hpp"
#include "anther/io/safetensors.hpp"
#include "anther/optim/model_ema.hpp"
#include "anther/optim/optimizer.hpp"
#include "anther/train/model_card.hpp"
#include "anther/train/weights.hpp"

namespace anther::inline v0_1 {

// The prefixes of those tensors of a state that are not the model's own weights.
inline const std::string state_prefix = "optimizer.";
inline const std::string ema_prefix = state_prefix + "ema.";

// Where the state is that was `ago` before the one at path: last.state.safetensors and
// last.state.1.safetensors, say.
inline std::filesystem::path earlier_state(const std::filesystem::path& path, int ago) {
  const std::string ending = path.extension().string();
  return path.parent_path() / detail::text_of(path.stem().string(), ".", ago, ending);
}

// Gives the file at path a second name, that of the state before it, and those before it theirs, as
// far as `states` files are kept. At every moment there is a file at path.
ANTHER_ONCE void keep_earlier_states(const std::filesystem::path& path, int states) {
  namespace fs = std::filesystem;
  std::error_code error;
  if (states < 2 || !fs::exists(path, error)) return;
  const auto move = [&](const fs::path& from, const fs::path& to) {
    fs::rename(from, to, error);
    detail::check(!error, to.string(), ": cannot rename ", from.filename().string(), ": ",
                  error.message());
  };
  for (int ago = states - 1; ago > 1; --ago)
    if (fs::exists(earlier_state(path, ago - 1), error))
      move(earlier_state(path, ago - 1), earlier_state(path, ago));
  const fs::path second = earlier_state(path, 1), made = second.string() + ".tmp";
  fs::remove(made, error);
  fs::create_hard_link(path, made, error);
  if (error) {  // not every file system has them
    error.clear();
    fs::copy_file(path, made, error);
  }
  detail::check(!error, second.string(), ": cannot keep the state before: ", error.message());
  move(made, second);
}

// Everything that a run needs to go on: the weights, the optimiser, the average of the weights if
// there is one, how far the run is, and what the caller adds; with checksums. states: how many
// files are kept, this one and those before it.
template <class T>
void save_state(const std::filesystem::path& path, const Optimizer<T>& optimizer,
                const nlohmann::json& progress, const ModelEma<T>* ema = nullptr, int states = 1) {
  const ParameterStore<T>& store = optimizer.store();
  TorchTensors<T> tensors;
  tensors.add(store, store.values(), {.batches = optimizer.steps()});
  for (const auto& state : optimizer.whole_state())
    for (std::size_t i = 0; i < store.parameters().size(); ++i)
      tensors.add(state_prefix + state.name + "." + store.parameters()[i].name,
                  store.parameters()[i], store.slice_of(state.values.span(), static_cast<int>(i)));
  if (ema) {
    for (std::size_t i = 0; i < store.parameters().size(); ++i)
      tensors.add(ema_prefix + store.parameters()[i].name, store.parameters()[i],
                  store.slice_of(ema->values(), static_cast<int>(i)));
    for (std::size_t i = 0; i < store.buffers().size(); ++i)
      tensors.add(ema_prefix + store.buffers()[i].name, store.buffers()[i],
                  store.buffer_slice_of(ema->buffer_values(), static_cast<int>(i)));
  }
  // By names: the steps that frozen parameters have not made.
  nlohmann::json missed = nlohmann::json::object();
  for (std::size_t i = 0; i < optimizer.missed_steps().size(); ++i)
    if (const std::int64_t count = optimizer.missed_steps()[i]; count > 0)
      missed[store.parameters()[i].name] = count;
  io::write_safetensors(
      path, tensors.tensors(),
      {{"optimizer_steps", std::to_string(optimizer.steps())},
       {"missed_steps", missed.dump()},
       {"progress", progress.dump()}},
      {.checksums = true, .before_commit = [&] { keep_earlier_states(path, states); }});
}

// The progress in a run's state, and the optimiser's steps. Throws, naming the file, if it is not a
// state.
struct SavedProgress {
  nlohmann::json progress;
  std::int64_t steps = 0;
  std::map<std::string, std::int64_t> missed_steps;
};
ANTHER_ONCE SavedProgress progress_of(const io::SafetensorsFile& file) {
  const auto metadata = [&](const char* key) {
    const auto found = file.metadata().find(key);
    detail::check(found != file.metadata().end(), file.path().string(),
                  ": expected the state of a run, got none of the metadata \"", key, "\"");
    return found->second;
  };
  const std::string progress = metadata("progress"), steps = metadata("optimizer_steps");
  try {
    SavedProgress saved{io::parse_shallow_json(progress), std::stoll(steps), {}};
    detail::check(saved.steps >= 0, "optimizer_steps: expected at least 0, got ", saved.steps);
    // Files of before have none.
    if (const auto found = file.metadata().find("missed_steps"); found != file.metadata().end())
      io::parse_shallow_json(found->second).get_to(saved.missed_steps);
    for (const auto& [name, count] : saved.missed_steps)
      detail::check(count >= 0 && count <= saved.steps, "missed_steps: expected 0 to ", saved.steps,
                    " of ", name, ", got ", count);
    return saved;
  } catch (const std::exception& error) {
    detail::fail(file.path().string(), ": metadata: ", io::printable(error.what()));
  }
}

// Brings weights, optimiser and average back, before ranks share the optimiser, and returns the
// progress that was saved. If the file is that of another model or optimiser it throws, naming the
// file, before anything changes.
template <class T>
nlohmann::json load_state(const std::filesystem::path& path, Optimizer<T>& optimizer,
                          ModelEma<T>* ema = nullptr) {
  const io::SafetensorsFile file(path);
  file.check_all_bytes();
  ParameterStore<T>& store = optimizer.store();
  const SavedProgress saved = progress_of(file);
  std::vector<std::int64_t> missed(store.parameters().size());
  for (std::size_t i = 0; i < missed.size(); ++i)
    if (const auto found = saved.missed_steps.find(store.parameters()[i].name);
        found != saved.missed_steps.end())
      missed[i] = found->second;
  detail::check(optimizer.segment().size() == store.size(),
                "state: load it before ranks share the optimiser");
  check_weights(file, store, {.ignored = state_prefix});
  for (const io::SafetensorsEntry& entry : file.entries()) {
    const std::string& name = entry.name;
    const bool known = !name.starts_with(state_prefix) || name.starts_with(ema_prefix) ||
                       std::ranges::any_of(optimizer.state(), [&](const auto& state) {
                         return name.starts_with(state_prefix + state.name + ".");
                       });
    detail::check(known, path.string(), ": ", io::printable(name),
                  " is of another optimiser than the one that is to go on");
  }
  // Reads into new memory first: of a damaged file, nothing must be left behind.
  const auto read = [&](const std::string& prefix) {
    AlignedBuffer<T> values(store.size());
    for (std::size_t i = 0; i < store.parameters().size(); ++i) {
      const ParameterInfo& info = store.parameters()[i];
      check_tensor<T>(file, prefix + info.name, info);
      load_tensor(file, prefix + info.name, info,
                  store.slice_of(values.span(), static_cast<int>(i)));
    }
    return values;
  };
  std::vector<AlignedBuffer<T>> states;
  for (const auto& state : optimizer.state())
    states.push_back(read(state_prefix + state.name + "."));
  AlignedBuffer<T> average, average_buffers;
  if (ema) {
    average = read(ema_prefix);
    average_buffers = AlignedBuffer<T>(std::ssize(ema->buffer_values()));
    for (std::size_t i = 0; i < store.buffers().size(); ++i) {
      const ParameterInfo& info = store.buffers()[i];
      check_tensor<T>(file, ema_prefix + info.name, info);
      load_tensor(file, ema_prefix + info.name, info,
                  store.buffer_slice_of(average_buffers.span(), static_cast<int>(i)));
    }
  }
  load_weights(file, store, {.ignored = state_prefix});
  for (std::size_t i = 0; i < states.size(); ++i)
    optimizer.state()[i].values = std::move(states[i]);
  if (ema) {
    std::ranges::copy(average.span(), ema->values().begin());
    std::ranges::copy(average_buffers.span(), ema->buffer_values().begin());
  }
  optimizer.set_steps(saved.steps, std::move(missed));
  return saved.progress;
}

// The folder of the run to go on with, of those in `root` (runs/train, or a run's own folder): of
// the runs that have a state and are not finished, the one whose state was written last; where all
// are finished, the one of these. A state that cannot be read is passed over, and what is wrong
// with it is added to `problems`.
ANTHER_ONCE std::optional<std::filesystem::path> newest_run(
    const std::filesystem::path& root, std::vector<std::string>* problems = nullptr) {
  std::optional<std::filesystem::path> newest;
  std::filesystem::file_time_type newest_time;
  bool newest_finished = true;
  std::error_code error;
  const auto consider = [&](const std::filesystem::path& run) {
    const auto state = run / "weights" / "last.state.safetensors";
    if (!std::filesystem::exists(run / "args.json", error) ||
        !std::filesystem::exists(state, error))
      return;
    bool finished = true;
    try {
      finished = progress_of(io::SafetensorsFile(state)).progress.value("finished", true);
    } catch (const Error& problem) {
      if (problems) problems->push_back(problem.what());
      return;
    } catch (const nlohmann::json::exception& problem) {
      if (problems) problems->push_back(state.string() + ": " + problem.what());
      return;
    }
    const auto time = std::filesystem::last_write_time(state, error);
    if (newest && (finished != newest_finished ? finished : time <= newest_time)) return;
    newest = run;
    newest_finished = finished;
    newest_time = time;
  };
  consider(root);
  for (const auto& entry : std::filesystem::directory_iterator(root, error)) consider(entry.path());
  return newest;
}

ANTHER_ONCE_FOR(void save_state(const std::filesystem::path&, const Optimizer<float>&,
                                const nlohmann::json&, const ModelEma<float>*, int))
ANTHER_ONCE_FOR(nlohmann::json load_state(const std::filesystem::path&, Optimizer<float>&,
                                          ModelEma<float>*))

}  // namespace anther::inline v0_1
