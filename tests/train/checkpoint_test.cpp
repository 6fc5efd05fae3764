#include "anther/train/checkpoint.hpp"
#include "anther/train/checkpoint_callback.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "anther/data/vision/preprocess_json.hpp"
#include "anther/io/atomic_file.hpp"
#include "anther/io/file.hpp"
#include "anther/models/edgevit/config.hpp"
#include "anther/models/models.hpp"
#include "anther/optim/adam.hpp"
#include "tests/io/limited_file_size.hpp"
#include "tests/io/temporary_folder.hpp"

namespace {

using namespace anther;
using namespace anther::detail;
using namespace anther::io;
using namespace anther::kernels;
using namespace anther::vision;

// The parameters of a small model, without its layers: a convolution, a depth-wise one, and a
// BatchNorm with its running statistics.
void add_parameters(ParameterStore<float>& store, std::int64_t channels = 6) {
  const Init start = Init::normal(1);
  store.add_parameter("conv.weight", {.shape = {channels, 2, 2, 3},
                                      .torch_axes = {0, 3, 1, 2},
                                      .torch_order = false,
                                      .init = start});
  store.add_parameter("conv.bias", {.shape = {channels}, .init = start, .decay = false});
  store.add_parameter("dw.weight", {.shape = {3, 3, channels, 1},
                                    .torch_axes = {2, 3, 0, 1},
                                    .torch_order = false,
                                    .init = start});
  store.add_parameter("norm.weight", {.shape = {channels}, .init = start, .decay = false});
  store.add_buffer("norm.running_mean", {.shape = {channels}, .init = start});
  store.add_counter("norm", "num_batches_tracked");
  store.add_buffer("norm.running_var", {.shape = {channels}, .init = start});
}

// A model's parameters and its optimiser, some steps on.
struct State {
  explicit State(std::uint64_t seed, int steps = 3, std::int64_t channels = 6) {
    add_parameters(store, channels);
    store.initialize(seed);
    adam = std::make_unique<Adam<float>>(store);
    std::vector<float> gradients(static_cast<std::size_t>(store.size()));
    for (int step = 0; step < steps; ++step) {
      for (int i = 0; i < std::ssize(store.parameters()); ++i)
        for (float& g : store.slice_of(std::span(gradients), i))
          g = static_cast<float>(
              normal(RandomKey(seed + 1), static_cast<std::uint64_t>(&g - gradients.data())));
      adam->step(gradients, 0.01);
    }
  }
  std::vector<float> copy() {
    std::vector<float> all(store.values().begin(), store.values().end());
    const auto append = [&](std::span<const float> more) {
      all.insert(all.end(), more.begin(), more.end());
    };
    append(store.buffer_values());
    append(adam->state()[0].values.span());
    append(adam->state()[1].values.span());
    all.push_back(static_cast<float>(adam->steps()));
    return all;
  }

  ParameterStore<float> store;
  std::unique_ptr<Adam<float>> adam;
};

TEST_CASE("weights: what is saved is PyTorch's, and comes back with the same bits") {
  const TemporaryFolder folder;
  State a(1), b(2);
  const auto path = folder / "a.safetensors";
  save_weights<float>(path, a.store, a.store.values(), {{"note", "x"}}, {.batches = 41});

  const SafetensorsFile file(path);
  CHECK(file.entry("conv.weight").shape == Shape{6, 3, 2, 2});
  CHECK(file.entry("dw.weight").shape == Shape{6, 1, 3, 3});
  CHECK(file.read<std::int64_t>("norm.num_batches_tracked")[0] == 41);
  CHECK(file.entries().size() == 7);
  CHECK(file.metadata().at("note") == "x");
  // (o, c, i, j) of PyTorch's is (o, i, j, c) here; (c, 0, i, j) is (i, j, c, 0).
  const Tensor<float> conv = file.read<float>("conv.weight"), dw = file.read<float>("dw.weight");
  CHECK(conv[((4 * 3 + 2) * 2 + 0) * 2 + 1] == a.store.value(0)[((4 * 2 + 0) * 2 + 1) * 3 + 2]);
  CHECK(dw[(5 * 3 + 1) * 3 + 2] == a.store.value(2)[(1 * 3 + 2) * 6 + 5]);

  load_weights(file, b.store);
  CHECK(std::ranges::equal(a.store.values(), b.store.values()));
  CHECK(std::ranges::equal(a.store.buffer_values(), b.store.buffer_values()));

  // Other values of the store's layout: averaged weights.
  const std::vector<float> averaged(static_cast<std::size_t>(a.store.size()), 0.5f);
  save_weights<float>(path, a.store, averaged, {});
  load_weights(SafetensorsFile(path), b.store);
  CHECK(std::ranges::count(b.store.value(2), 0.5f) == 54);
  CHECK(std::ranges::equal(a.store.buffer_values(), b.store.buffer_values()));
}

TEST_CASE("state: comes back with the same bits, and with the run's progress") {
  const TemporaryFolder folder;
  State a(1, 5), b(2, 1);
  const auto path = folder / "state.safetensors";
  const nlohmann::json progress = {
      {"epoch", 3}, {"best", 0.1}, {"name", "\xC3\xA9t\xC3\xA9 \"x\""}};
  save_state(path, *a.adam, progress);
  CHECK(load_state(path, *b.adam) == progress);
  CHECK(a.copy() == b.copy());
  CHECK(b.adam->steps() == 5);
  // Its weights are there for whoever wants no more, once they say what the rest is.
  load_weights(SafetensorsFile(path), b.store, {.ignored = "optimizer."});
  CHECK(contains(error_of([&] { load_weights(SafetensorsFile(path), b.store); }),
                 "not of this model: optimizer.exp_avg.conv.bias"));
}

TEST_CASE("state: steps that frozen parameters have not made come back") {
  const TemporaryFolder folder;
  State a(1), b(2);
  const std::vector<float> gradients(static_cast<std::size_t>(a.store.size()), 0.5f);
  a.store.set_trainable(1, false);
  for (int step = 0; step < 4; ++step) a.adam->step(gradients, 0.01);
  save_state(folder / "state.safetensors", *a.adam, nlohmann::json::object());
  load_state(folder / "state.safetensors", *b.adam);
  CHECK(b.adam->steps() == 7);
  CHECK(b.adam->missed_steps() == std::vector<std::int64_t>{0, 4, 0, 0});
  a.store.set_trainable(1, true);
  a.adam->step(gradients, 0.01);
  b.adam->step(gradients, 0.01);
  CHECK(a.copy() == b.copy());
}

TEST_CASE("state: infinite numbers of a run's progress come back, and NaN") {
  const TemporaryFolder folder;
  State a(1);
  const auto path = folder / "state.safetensors";
  constexpr double infinity = std::numeric_limits<double>::infinity();
  const auto saved = [&](double value) {
    FitProgress progress;
    progress.best = progress.epoch.loss = progress.epoch.mean_loss = value;
    progress.metric_sums = {{"mape", {value, 3}}, {"none", {}}};
    save_state(path, *a.adam, to_json(progress));
    return fit_progress_from_json(load_state(path, *a.adam));
  };
  for (const double value : {infinity, -infinity, 0.5}) {
    const FitProgress read = saved(value);
    CHECK(read.best == value);
    CHECK(read.epoch.loss == value);
    CHECK(read.epoch.mean_loss == value);
    CHECK(read.metric_sums ==
          std::map<std::string, std::vector<double>>{{"mape", {value, 3}}, {"none", {}}});
  }
  CHECK(std::isnan(saved(std::nan("")).metric_sums.at("mape")[0]));
  auto json = to_json(FitProgress{});
  json["best"] = nullptr;  // as older files have it
  CHECK(std::isnan(fit_progress_from_json(json).best));
  json["best"] = "much";
  CHECK(contains(error_of([&] { fit_progress_from_json(json); }), "the progress of a run"));
}

TEST_CASE("state: every number of a run's progress comes back") {
  nlohmann::json json = to_json(FitProgress{});
  double number = 1;
  for (auto& [name, value] : json.items()) {
    if (value.is_number_integer()) value = static_cast<std::int64_t>(++number);
    if (value.is_number_float()) value = ++number + 0.5;
    if (value.is_boolean()) value = true;
  }
  json["metric_sums"]["top1"] = {3.0, 4.0};
  CHECK(to_json(fit_progress_from_json(json)) == json);
  // What is no whole number, or too large for one, is named.
  for (const char* name : {"epochs", "batches", "batch_size", "step", "all_steps", "best_epoch"})
    for (const nlohmann::json& wrong : {nlohmann::json(1e31), nlohmann::json(0.5)}) {
      auto changed = json;
      changed[name] = wrong;
      CHECK_THROWS_WITH_AS(
          fit_progress_from_json(changed),
          text_of("state: expected the progress of a run: ", name, ": expected a whole number")
              .c_str(),
          Error);
    }
}

TEST_CASE("state: averaged weights come back too, and are asked for where there are none") {
  const TemporaryFolder folder;
  State a(1, 5), b(2, 1);
  ModelEma<float> ema(a.store, 0.9), other(b.store, 0.9);
  for (float& value : ema.values()) value *= 0.5f;
  for (float& value : ema.buffer_values()) value *= 0.25f;
  const auto path = folder / "state.safetensors";
  save_state(path, *a.adam, {}, &ema);
  load_state(path, *b.adam, &other);
  CHECK(a.copy() == b.copy());
  CHECK(std::ranges::equal(ema.values(), other.values()));
  CHECK(std::ranges::equal(ema.buffer_values(), other.buffer_values()));
  // They are no weights of the model's own.
  load_state(path, *b.adam);
  save_state(path, *a.adam, {});
  const std::vector<float> before = b.copy();
  CHECK(
      contains(error_of([&] { load_state(path, *b.adam, &other); }), "optimizer.ema.conv.weight"));
  CHECK(b.copy() == before);
}

TEST_CASE("state: no flipped bit is loaded, and the message names the file") {
  const TemporaryFolder folder;
  State a(1, 5), b(2, 1);
  const auto path = folder / "state.safetensors", damaged = folder / "damaged.safetensors";
  save_state(path, *a.adam, {{"epoch", 3}});
  std::string bytes = read_text_file(path);
  load_state(path, *b.adam);
  const std::vector<float> right = b.copy();
  const auto changed = [&](std::size_t bit) {
    const char mask = static_cast<char>(1 << bit % 8);
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ mask);
    std::ofstream(damaged, std::ios::binary) << bytes;
    const std::string message = error_of([&] { load_state(damaged, *b.adam); });
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ mask);
    return message;
  };
  std::size_t found = 0, tried = 0;
  for (std::size_t bit = 0; bit < 8 * bytes.size(); bit += 7) {
    CAPTURE(bit);
    const std::string message = changed(bit);
    ++tried;
    found += !message.empty();
    // Bits of the word crc32 itself make a file without checksums, which is right as it is.
    if (message.empty())
      CHECK((b.copy() == right && std::abs(static_cast<std::int64_t>(bit / 8) -
                                           static_cast<std::int64_t>(bytes.find("crc32"))) < 8));
    else
      CHECK(contains(message, "damaged.safetensors: "));
  }
  CHECK(found + 8 > tried);
  CHECK(contains(changed(8 * bytes.size() - 1), "tensor '"));
  CHECK(contains(changed(8 * bytes.find("epoch") + 1), "the file is damaged"));
}

TEST_CASE("state: deep JSON is refused before anything walks over it") {
  const TemporaryFolder folder;
  const auto path = folder / "deep.safetensors";
  for (const char* progress : {"[", "{\"a\":"}) {
    std::string deep;
    for (int level = 0; level < 100'000; ++level) deep += progress;
    write_safetensors(path, {}, {{"optimizer_steps", "1"}, {"progress", deep}});
    CHECK(contains(error_of([&] { progress_of(SafetensorsFile(path)); }),
                   "expected JSON of a few levels"));
  }
}

TEST_CASE("state: those before it are kept, as many as are asked for") {
  const TemporaryFolder folder;
  State a(1);
  const auto path = folder / "last.state.safetensors";
  const auto epoch_of = [](const std::filesystem::path& of) {
    return progress_of(SafetensorsFile(of)).progress.at("epoch").get<int>();
  };
  for (int epoch = 1; epoch <= 5; ++epoch)
    save_state<float>(path, *a.adam, {{"epoch", epoch}}, nullptr, 3);
  CHECK(earlier_state(path, 1) == folder / "last.state.1.safetensors");
  CHECK(epoch_of(path) == 5);
  CHECK(epoch_of(earlier_state(path, 1)) == 4);
  CHECK(epoch_of(earlier_state(path, 2)) == 3);
  CHECK(folder.entries() == 3);
  // One that cannot be written leaves them all as they are.
  {
    const LimitedFileSize limit(1000);
    CHECK(contains(error_of([&] {
                     save_state<float>(path, *a.adam, {{"epoch", 6}}, nullptr, 3);
                   }),
                   "File too large"));
  }
  CHECK(epoch_of(path) == 5);
  CHECK(epoch_of(earlier_state(path, 1)) == 4);
  CHECK(folder.entries() == 3);
  save_state<float>(folder / "one.safetensors", *a.adam, {{"epoch", 1}});
  save_state<float>(folder / "one.safetensors", *a.adam, {{"epoch", 2}});
  CHECK(folder.entries() == 4);
}

TEST_CASE("newest run: of the unfinished ones, the one whose state was written last") {
  const TemporaryFolder folder;
  CHECK_FALSE(newest_run(folder / "none"));
  CHECK_FALSE(newest_run(folder.path()));
  State a(1);
  const auto add = [&](const char* name, bool finished, int minutes_old, bool args = true) {
    const auto weights = folder / name / "weights";
    std::filesystem::create_directories(weights);
    if (args) write_file_atomically(folder / name / "args.json", "{}");
    save_state(weights / "last.state.safetensors", *a.adam, {{"finished", finished}});
    std::filesystem::last_write_time(
        weights / "last.state.safetensors",
        std::filesystem::file_time_type::clock::now() - std::chrono::minutes(minutes_old));
  };
  add("1", false, 30);
  add("2", false, 10);
  add("3", true, 1);
  add("4", false, 2, false);
  std::filesystem::create_directories(folder / "5" / "weights");
  CHECK(newest_run(folder.path()) == folder / "2");
  add("1", false, 0);
  CHECK(newest_run(folder.path()) == folder / "1");
  // A run's own folder.
  CHECK(newest_run(folder / "2") == folder / "2");
  // Where all are finished, the newest of these.
  CHECK(newest_run(folder / "3") == folder / "3");
  // One that a full disk has emptied is passed over, and named; so is one whose progress is none.
  const auto damaged = folder / "1" / "weights" / "last.state.safetensors";
  write_file_atomically(damaged, "");
  add("3", false, 0);
  const auto odd = folder / "3" / "weights" / "last.state.safetensors";
  save_state(odd, *a.adam, nlohmann::json::array());
  std::vector<std::string> problems;
  CHECK(newest_run(folder.path(), &problems) == folder / "2");
  CHECK(newest_run(folder.path()) == folder / "2");
  std::ranges::sort(problems);
  REQUIRE(problems.size() == 2);
  CHECK(problems[0].starts_with(damaged.string() + ": "));
  CHECK(problems[1].starts_with(odd.string() + ": "));
  CHECK_FALSE(newest_run(folder / "1"));
}

TEST_CASE("a checkpoint of another model is refused, with all differences, and changes nothing") {
  const TemporaryFolder folder;
  const auto weights = folder / "weights.safetensors", state = folder / "state.safetensors";
  State a(1);
  save_weights<float>(weights, a.store, a.store.values(), {});
  save_state(state, *a.adam, {});

  State wide(2, 2, 8);
  const std::vector<float> before = wide.copy();
  // Another model, that shares some names with the first.
  ParameterStore<float> other;
  other.add_parameter("conv.weight", {.shape = {6, 3, 2, 2}});  // PyTorch's shape: fits
  other.add_parameter("conv.bias", {.shape = {7}});
  other.add_parameter("head.weight", {.shape = {4, 6}});
  other.add_buffer("norm.running_mean", {.shape = {6}});
  Adam<float> other_adam(other);

  for (const bool whole : {false, true}) {
    CAPTURE(whole);
    const auto& path = whole ? state : weights;
    const std::string message = error_of([&] {
      if (whole)
        load_state(path, *wide.adam);
      else
        load_weights(SafetensorsFile(path), wide.store);
    });
    CHECK(message == path.string() +
                         ": the weights are of another model (6 differences):\n"
                         "  conv.weight: expected the shape (8, 3, 2, 2), got (6, 3, 2, 2)\n"
                         "  conv.bias: expected the shape (8), got (6)\n"
                         "  dw.weight: expected the shape (8, 1, 3, 3), got (6, 1, 3, 3)\n"
                         "  norm.weight: expected the shape (8), got (6)\n"
                         "  norm.running_mean: expected the shape (8), got (6)\n"
                         "  norm.running_var: expected the shape (8), got (6)");
    CHECK(wide.copy() == before);

    const std::string second = error_of([&] {
      if (whole)
        load_state(path, other_adam);
      else
        load_weights(SafetensorsFile(path), other);
    });
    CHECK(contains(second, "(6 differences)"));
    for (const char* part :
         {"\n  conv.bias: expected the shape (7), got (6)", "\n  missing: head.weight (4, 6)",
          "\n  not of this model: dw.weight", "\n  not of this model: norm.weight",
          "\n  not of this model: norm.running_var"})
      CHECK_MESSAGE(contains(second, part), part);
    CHECK(std::ranges::count(other.values(), 0.0f) == other.size());
  }
}

TEST_CASE("state: what is no state, or of another optimiser, is refused and changes nothing") {
  const TemporaryFolder folder;
  State a(1), b(2);
  const std::vector<float> before = b.copy();
  const auto path = folder / "a.safetensors";
  const auto refuses = [&](const std::string& part) {
    const std::string message = error_of([&] { load_state(path, *b.adam); });
    CHECK_MESSAGE(contains(message, part), message);
    CHECK(contains(message, path.string()));
    CHECK(b.copy() == before);
  };
  refuses("No such file");
  save_weights<float>(path, a.store, a.store.values(), {});
  refuses("expected the state of a run");
  save_weights<float>(path, a.store, a.store.values(),
                      {{"progress", "{}"}, {"optimizer_steps", "3"}});
  refuses("optimizer.exp_avg.conv.weight");  // weights alone
  for (const auto& [progress, steps] : {std::pair("{", "3"), std::pair("{}", "three")}) {
    save_weights<float>(path, a.store, a.store.values(),
                        {{"progress", progress}, {"optimizer_steps", steps}});
    refuses("metadata");
  }
  for (const char* missed : {"{", "[1]", "{\"norm.weight\": -1}", "{\"norm.weight\": 4}"}) {
    save_weights<float>(path, a.store, a.store.values(),
                        {{"progress", "{}"}, {"optimizer_steps", "3"}, {"missed_steps", missed}});
    refuses("metadata");
  }
  // All that plain SGD needs is there, and more: it is Adam's.
  save_state(path, *a.adam, {});
  SGD<float> sgd(b.store, {});
  const std::string message = error_of([&] { load_state(path, sgd); });
  CHECK(contains(message, "is of another optimiser than the one that is to go on"));
  CHECK(contains(message, path.string() + ": optimizer.exp_avg"));
  CHECK(b.copy() == before);
  // Half of a file.
  std::filesystem::resize_file(path, std::filesystem::file_size(path) / 2);
  refuses("safetensors");
}

TEST_CASE("a full disk leaves the old checkpoint as it was") {
  const TemporaryFolder folder;
  State a(1), b(2);
  const auto weights = folder / "weights.safetensors", state = folder / "state.safetensors";
  save_weights<float>(weights, a.store, a.store.values(), {});
  save_state(state, *a.adam, {});
  const std::string old_weights = read_text_file(weights), old_state = read_text_file(state);
  std::string weights_error, state_error;
  {
    const LimitedFileSize limit(400);
    weights_error = error_of([&] { save_weights<float>(weights, b.store, b.store.values(), {}); });
    state_error = error_of([&] { save_state(state, *b.adam, {}); });
  }
  CHECK(weights_error == weights.string() + ": cannot write: File too large");
  CHECK(state_error == state.string() + ": cannot write: File too large");
  CHECK(read_text_file(weights) == old_weights);
  CHECK(read_text_file(state) == old_state);
  CHECK(folder.entries() == 2);  // and nothing half-written beside them
  load_state(state, *b.adam);
  CHECK(a.copy() == b.copy());
}

ModelCard unusual_card() {
  ModelCard card;
  EdgeViTOptions options = edgevit_options("xs", 3, "original", true);
  options.gn_groups = 4;
  options.ffn_kernel = 3;
  options.mlp_ratio = 2.5;
  options.qkv_bias = false;
  options.drop = 0.1;
  options.drop_path = 0.3;
  options.in_channels = 1;
  card.architecture = "edgevit";
  card.options = to_json(options);
  card.class_names = {"rose", "t\xC3\xAAte \"d'or\"", ""};
  card.preprocess = to_json(Preprocess{.image_size = 160,
                                       .resize = ResizeMode::short_side,
                                       .resize_size = 190,
                                       .crop_pct = 0.9,
                                       .mean = {0.1f, 0.2f, 0.3f},
                                       .std = {0.4f, 0.5f, 0.6f}});
  card.notes = {{"epoch", "12"}, {"val_top1", "0.81"}};
  return card;
}

TEST_CASE("model card: comes back from a weights file as it was") {
  const TemporaryFolder folder;
  const auto path = folder / "a.safetensors";
  State a(1);
  const ModelCard card = unusual_card();
  save_weights<float>(path, a.store, a.store.values(), to_metadata(card));
  const SafetensorsFile file(path);
  const ModelCard read = model_card_of(file);
  CHECK(read.architecture == "edgevit");
  CHECK(read.options == card.options);
  CHECK(edgevit_options_from_json(read.options).dims[3] == 384);
  CHECK(read.options["local_norm"] == "bn");
  CHECK(read.class_names == card.class_names);
  CHECK(read.preprocess == card.preprocess);
  CHECK(preprocess_from_json(read.preprocess) == preprocess_from_json(card.preprocess));
  CHECK(read.sample.rank() == 0);
  CHECK(sample_shape_of(read) == Shape{160, 160, 1});
  CHECK(read.notes == card.notes);
  CHECK(file.metadata().at("format") == "pt");  // which PyTorch's readers ask for
}

TEST_CASE("model card: each option has its place in it") {
  // Were one left out, changing it would change nothing.
  const EdgeViTOptions start = edgevit_options("xxs", 5);
  const auto changed = [&](const auto& change) {
    EdgeViTOptions o = start;
    change(o);
    const nlohmann::json json = to_json(o);
    CHECK(json != to_json(start));
    CHECK(to_json(edgevit_options_from_json(json)) == json);
  };
  changed([](EdgeViTOptions& o) { o.dims[3] = 300; });
  changed([](EdgeViTOptions& o) { o.depths[2] = 9; });
  changed([](EdgeViTOptions& o) { o.heads[1] = 3; });
  changed([](EdgeViTOptions& o) { o.sr_ratios[0] = 2; });
  changed([](EdgeViTOptions& o) { o.num_classes = 6; });
  changed([](EdgeViTOptions& o) { o.in_channels = 4; });
  for (const edgevit::NormKind norm :
       {edgevit::NormKind::ln, edgevit::NormKind::bn, edgevit::NormKind::in}) {
    changed([&](EdgeViTOptions& o) { o.norm = norm; });
    changed([&](EdgeViTOptions& o) { o.local_norm = norm; });
  }
  changed([](EdgeViTOptions& o) { o.gn_groups = 1; });
  changed([](EdgeViTOptions& o) { o.ffn = edgevit::FfnKind::linear; });
  changed([](EdgeViTOptions& o) { o.ffn_kernel = 3; });
  changed([](EdgeViTOptions& o) { o.mlp_ratio = 3; });
  changed([](EdgeViTOptions& o) { o.qkv_bias = false; });
  changed([](EdgeViTOptions& o) { o.drop = 0.1; });
  changed([](EdgeViTOptions& o) { o.drop_path = 0.1; });
  changed([](EdgeViTOptions& o) { o.init = edgevit::InitScheme::official; });

  // Names stand for whole sets of options, and single ones come on top.
  const EdgeViTOptions named = edgevit_options_from_json(
      {{"variant", "s"}, {"preset", "original"}, {"num_classes", 9}, {"drop_path", 0.1}});
  CHECK(named.depths == edgevit_options("s").depths);
  CHECK(named.norm == edgevit::NormKind::ln);
  CHECK(named.num_classes == 9);
  CHECK(named.drop_path == 0.1);
  CHECK(contains(error_of([] { edgevit_options_from_json({{"dmis", 3}}); }), "unknown key dmis"));
  CHECK(contains(error_of([] {
                   edgevit_options_from_json({{"norm", "xn"}});
                 }),
                 "norm: expected one of gn, ln, bn, in, got xn"));
  CHECK(contains(error_of([] {
                   edgevit_options_from_json({{"dims", "wide"}});
                 }),
                 "dims: expected 4 whole numbers"));
  CHECK(contains(error_of([] { edgevit_options_from_json(nlohmann::json::array()); }),
                 "expected a JSON object"));
  CHECK(error_of([] {
          edgevit_options_from_json({{"num_classes", 2.5}});
        }) == "num_classes: expected a whole number");
  CHECK(error_of([] {
          edgevit_options_from_json({{"dims", {36, 72, 144, 288.5}}});
        }) == "dims: expected a whole number");
  CHECK(error_of([] {
          edgevit_options_from_json({{"heads", {1, 2}}});
        }) == "heads: expected 4 whole numbers");
  CHECK(contains(error_of([] {
                   edgevit_options_from_json({{"num_classes", -1}});
                 }),
                 "num_classes: expected 1 to "));
}

TEST_CASE("model card: a class's name has to be UTF-8") {
  ModelCard card = unusual_card();
  card.class_names[0] = "\xC3\xA9";
  CHECK(contains(to_metadata(card).at("class_names"), "\xC3\xA9"));
  card.class_names[0] = "ros\xE9";
  CHECK(error_of([&] { to_metadata(card); }) ==
        "class names: expected text in UTF-8, got 'ros\xE9'");
}

TEST_CASE("model card: a file of somebody else's, or a damaged one, is refused by name") {
  const TemporaryFolder folder;
  const auto path = folder / "a.safetensors";
  State a(1);
  const auto refuses = [&](const std::string& key, const char* value, const std::string& part) {
    std::map<std::string, std::string> metadata = to_metadata(unusual_card());
    if (value)
      metadata[key] = value;
    else
      metadata.erase(key);
    save_weights<float>(path, a.store, a.store.values(), metadata);
    const std::string message = error_of([&] { model_card_of(SafetensorsFile(path)); });
    CHECK_MESSAGE(contains(message, part), message);
    CHECK(message.starts_with(path.string() + ": "));
    CHECK(message.size() < 1000);
  };
  for (const char* key : {"architecture", "class_names"})
    refuses(key, nullptr, text_of("none of the metadata \"", key, "\""));
  refuses("options", "{", "metadata: ");
  refuses("class_names", "[1, 2]", "metadata: class_names: expected text");
  refuses("class_names", "3", "metadata: class_names: expected a list");
  refuses("preprocess", "{", "metadata: ");
  refuses("sample", "[0]", "metadata: sample: expected extents of at least 1, got 0");
  refuses("sample", "[1,1,1,1,1,1]", "metadata: sample: expected at most 5 extents, got 6");
  // Far too deep for a walk by recursion, and far too long for a message.
  const std::string deep(1'000'000, '[');
  refuses("options", (deep + std::string(deep.size(), ']')).c_str(), "of a few levels");
  refuses("options", deep.c_str(), "metadata: ");
  refuses("preprocess", (deep + std::string(deep.size(), ']')).c_str(), "of a few levels");
}

TEST_CASE("model card: options that are not the model's are refused when it is made") {
  const TemporaryFolder folder;
  const auto path = folder / "a.safetensors";
  State a(1);
  const auto refuses = [&](const char* options, const char* part) {
    std::map<std::string, std::string> metadata = to_metadata(unusual_card());
    metadata["options"] = options;
    save_weights<float>(path, a.store, a.store.values(), metadata);
    const std::string message = error_of([&] { LoadedModel model(path); });
    CHECK_MESSAGE(contains(message, part), message);
    CHECK(message.starts_with(path.string() + ": metadata: "));
  };
  refuses("[]", "model options: expected a JSON object, got array");
  refuses("{\"norm\": 3}", "norm: expected text, got number");
  refuses("{\"norn\": 3}", "model options: unknown key norn");
}

TEST_CASE("model card: a model that is not registered is named when it is asked for") {
  const TemporaryFolder folder;
  const auto path = folder / "a.safetensors";
  State a(1);
  const auto refuses = [&](const std::string& architecture, const std::string& part) {
    ModelCard card = unusual_card();
    card.architecture = architecture;
    save_weights<float>(path, a.store, a.store.values(), to_metadata(card));
    CHECK(model_card_of(SafetensorsFile(path)).class_names == card.class_names);
    const std::string message = error_of([&] { LoadedModel model(path); });
    CHECK_MESSAGE(contains(message, part), message);
    CHECK(message.starts_with(path.string() + ": "));
    CHECK(message.size() < 1000);
  };
  refuses("alexnet", "the model \"alexnet\" is not registered in this program, which knows ");
  const std::string deep(1'000'000, '[');
  refuses(deep, "[[[...");
  refuses("a\033[2Jb", "a?[2Jb");
}

TEST_CASE("preprocess: comes back from JSON; what is wrong is named") {
  const nlohmann::json good = unusual_card().preprocess;
  CHECK(to_json(preprocess_from_json(good)) == good);
  const auto refuses = [&](const char* key, const nlohmann::json& value, const char* part) {
    nlohmann::json json = good;
    if (value.is_null())
      json.erase(key);
    else
      json[key] = value;
    const std::string message = error_of([&] { preprocess_from_json(json); });
    CHECK_MESSAGE(contains(message, part), message);
  };
  for (const auto& [key, value] : good.items()) refuses(key.c_str(), nullptr, key.c_str());
  refuses("image_size", 1e300, "image_size: expected a whole number");
  refuses("resize", "wide", "wide");
  refuses("crop_pct", "1", "crop_pct: expected a number, got string");
  refuses("resize_size", 100, "resize_size: expected at least image_size");
  refuses("mean", {1, 2}, "mean: expected 3 numbers");
  CHECK(contains(error_of([] { preprocess_from_json(nlohmann::json::array()); }),
                 "expected a JSON object, got array"));
}

}  // namespace
