// Files that earlier versions wrote: each version's folder of tests/files/ is read for as long as
// CONTRIBUTING.md promises. A version that changes what is written adds a folder:
//   ANTHER_WRITE_FILES=tests/files/0.2 build/release/tests/train_tests --test-case='files of*'
#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "anther/io/csv.hpp"
#include "anther/io/file.hpp"
#include "anther/models/loaded_model.hpp"
#include "anther/models/mlp/mlp.hpp"
#include "anther/optim/adam.hpp"
#include "anther/train/checkpoint_callback.hpp"

namespace {

using namespace anther;

const MlpOptions small{.sample = {3}, .hidden = {4}, .num_classes = 2};
const std::vector<float> sample = {0.5f, -1, 2};

std::vector<float> outputs(const Module<float>& model) {
  Tape<float> tape;
  tape.begin({.training = false, .backward = false});
  const auto y = model(tape.input({1, 3}, sample));
  return {y.value().begin(), y.value().end()};
}

void write_files(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  ParameterStore<float> store;
  const Mlp<float> model(store, small);
  store.initialize(3);
  Adam<float> adam(store);
  ModelEma<float> ema(store, 0.9);
  std::vector<float> gradients(static_cast<std::size_t>(store.size()), 0.25f);
  adam.step(gradients, 0.1);
  ema.update(1);
  const auto metadata = to_metadata(card_of(model, {"a", "b"}, nullptr));
  save_weights<float>(folder / "weights.safetensors", store, store.values(), metadata);
  FitProgress progress;
  progress.epochs = 1;
  progress.epoch.step = 2;
  progress.metric_sums["top1"] = {3, 16};
  progress.best = 0.5;
  save_state<float>(folder / "state.safetensors", adam, to_json(progress), &ema);
  io::CsvWriter csv(folder / "results.csv", {"epoch", "time", "train/loss"});
  csv.row(1, 0.1, 2.5f);
  const nlohmann::json expected = {{"outputs", outputs(model)}};
  io::write_file_atomically(folder / "expected.json", expected.dump() + "\n");
}

}  // namespace

TEST_CASE("files of all versions are read") {
  if (const char* folder = std::getenv("ANTHER_WRITE_FILES")) write_files(folder);
  int versions = 0;
  for (const auto& entry : std::filesystem::directory_iterator("tests/files")) {
    const std::filesystem::path& folder = entry.path();
    CAPTURE(folder.string());
    ++versions;
    const auto expected =
        nlohmann::json::parse(io::read_text_file(folder / "expected.json")).at("outputs");

    const LoadedModel loaded(folder / "weights.safetensors");
    CHECK(loaded.card.class_names == std::vector<std::string>{"a", "b"});
    const std::vector<float> got = outputs(*loaded.module);
    REQUIRE(got.size() == expected.size());
    for (std::size_t i = 0; i < got.size(); ++i)
      CHECK(got[i] == doctest::Approx(expected[i].get<double>()).epsilon(1e-5));

    ParameterStore<float> store;
    const Mlp<float> model(store, small);
    store.initialize(4);
    Adam<float> adam(store);
    ModelEma<float> ema(store, 0.9);
    const FitProgress progress =
        fit_progress_from_json(load_state<float>(folder / "state.safetensors", adam, &ema));
    CHECK(adam.steps() == 1);
    CHECK(progress.epochs == 1);
    CHECK(progress.epoch.step == 2);
    CHECK(progress.metric_sums.at("top1") == std::vector<double>{3, 16});
    CHECK(outputs(model) == got);
    CHECK(ema.values()[0] != store.values()[0]);

    CHECK(io::read_csv(folder / "results.csv").column("train/loss") == std::vector<double>{2.5});
  }
  CHECK(versions >= 1);
}
