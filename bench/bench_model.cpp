// A model of the registry as a whole: a training step, or a forward pass.
//
//   bench_model --model xxs --mode train --batch 128 --micro-batch 4 --img-size 224 --threads 2
//   bench_model --model resnet18 --classes 1000 --mode infer --batch 1
//
// Counters: images_per_s, gflops (6 or 2 times the forward's multiply-accumulates), fma_peak_share
// (of the peak measured before and after), peak_rss_mb (of the process after its first steps:
// Google Benchmark begins anew with more of them, which leaves holes in the heap). --profile prints
// where the time goes, --memory what memory is held for. Google Benchmark's own options
// (--benchmark_format=json,
// ...) work too.
#include <benchmark/benchmark.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "anther/anther.hpp"
#include "anther/models/models.hpp"
#include "anther/nn/module_tree.hpp"
#include "anther/train/objectives.hpp"
#include "anther/train/trainer.hpp"
#include "bench/peaks.hpp"

namespace {

using namespace anther;

struct Options {
  std::string model = "xxs", preset, options, mode = "train";
  std::string dtype = "float";
  bool recompute = false;
  std::int64_t batch = 128, micro_batch = 0, bn_group = 0, lanes = 0, img_size = 224, classes = 102,
               threads = 0;
  bool profile = false, memory = false;
};

// What a training step's memory is for.
void print_memory(const ParameterStore<float>& store, const Trainer<float>& trainer,
                  const Adam<float>& adam) {
  const TapeMemory tapes = trainer.memory();
  std::int64_t moments = 0;
  for (const auto& state : adam.state()) moments += state.values.size() * std::int64_t{4};
  const auto print = [](const char* what, std::int64_t bytes) {
    std::fprintf(stderr, "%-24s %8.1f MiB\n", what, static_cast<double>(bytes) / (1 << 20));
  };
  print("weights", store.size() * std::int64_t{4});
  print("packed weights", store.packed_bytes());
  print("moments", moments);
  print("gradients of weights", tapes.parameter_gradients);
  print("maps", tapes.values);
  print("gradients of maps", tapes.gradients);
  print("scratch, entries", tapes.scratch + tapes.entries);
}

double peak_rss_mb() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

std::unique_ptr<Module<float>> model_of(const Options& o, ParameterStore<float>& store) {
  nlohmann::json options = {{"num_classes", o.classes}};
  if (!o.preset.empty()) options["preset"] = o.preset;
  if (!o.options.empty()) options.update(nlohmann::json::parse(o.options));
  return choose_model(o.model, options).make(store);
}

// What the options leave open. With BatchNorm a batch runs as a whole, or in its groups.
void complete(Options& o) {
  ParameterStore<float> store;
  const std::unique_ptr<Module<float>> model = model_of(o, store);
  const bool has_batch_norm = store.couples_samples();
  detail::check(!has_batch_norm || o.micro_batch == 0,
                "--micro-batch: expected 0, as the model has BatchNorm, got ", o.micro_batch);
  detail::check(has_batch_norm || o.bn_group == 0,
                "--bn-group: expected 0, as the model has no BatchNorm, got ", o.bn_group);
  if (o.lanes == 0) o.lanes = num_threads();
  if (has_batch_norm) o.micro_batch = o.bn_group > 0 ? o.bn_group : o.batch;
  if (o.micro_batch == 0)
    o.micro_batch = std::min(o.batch, automatic_micro_batch(o.img_size * o.img_size * 3));
  if (o.mode == "infer") o.micro_batch = o.batch, o.lanes = 1;
}

void run(benchmark::State& state, const Options& o, double peak_before) {
  ParameterStore<float> store;
  const std::unique_ptr<Module<float>> made = model_of(o, store);
  const Module<float>& model = *made;
  store.initialize(1);
  const double macs = static_cast<double>(summarize(model, {1, o.img_size, o.img_size, 3}).macs);
  const bool train = o.mode == "train";
  const bool groups = store.couples_samples() && o.bn_group > 0;
  const bool whole = store.couples_samples() && !groups;
  Profile profile;
  std::optional<Trainer<float>> trainer;
  std::optional<Adam<float>> adam;
  if (train) {
    trainer.emplace(model, cross_entropy_objective(),
                    TrainerOptions{.micro_batch = whole || groups ? 0 : o.micro_batch,
                                   .batch_norm_group = o.bn_group,
                                   .lanes = whole ? 1 : o.lanes,
                                   .recompute = o.recompute,
                                   .amp = o.dtype == "bf16",
                                   .profile = o.profile ? &profile : nullptr});
    adam.emplace(store);
  }
  // Images come in parts, as the loader streams them: whole ones, and what is left.
  const std::int64_t part = whole || !train ? o.batch : std::min(o.batch, o.micro_batch * o.lanes);
  const auto images_of = [&](std::int64_t count) {
    data::Batch batch;
    batch.inputs = Tensor<float>({count, o.img_size, o.img_size, 3});
    for (std::int64_t i = 0; i < batch.inputs.size(); ++i)
      batch.inputs[i] = static_cast<float>(uniform(RandomKey(2), static_cast<std::uint64_t>(i)));
    for (std::int64_t n = 0; n < count; ++n) {
      batch.labels.push_back(static_cast<std::int32_t>(n % o.classes));
      batch.indices.push_back(n);
    }
    return batch;
  };
  const data::Batch images = images_of(part);
  const data::Batch rest = train ? images_of(o.batch % part) : data::Batch{};

  std::optional<Inference<float>> inference;
  if (!train)
    inference.emplace(model, images.inputs.shape(), o.profile ? &profile : nullptr,
                      o.dtype == "bf16");

  const auto step = [&] {
    if (!train) {
      benchmark::DoNotOptimize((*inference)(images.inputs.span()).data());
      return;
    }
    trainer->begin_step(adam->steps());
    for (std::int64_t done = part; done <= o.batch; done += part) trainer->add(images);
    if (rest.size() > 0) trainer->add(rest);
    trainer->finish_step();
    adam->step(trainer->gradients(), 1e-4);
    trainer->commit();
  };
  step();  // memory is taken, weights are packed
  step();
  static const double peak_rss = peak_rss_mb();
  if (static bool printed = false; o.memory && train && !printed) {
    print_memory(store, *trainer, *adam);
    printed = true;
  }
  profile.clear();
  const double seconds = bench::seconds_of([&] {
    for (auto _ : state) step();
  });

  const double images_per_second =
      static_cast<double>(state.iterations()) * static_cast<double>(o.batch) / seconds;
  const double gflops = (train ? 6e-9 : 2e-9) * macs * images_per_second;
  const double peak = std::max(peak_before, bench::fma_peak(num_threads()));
  state.counters["images_per_s"] = images_per_second;
  state.counters["gflops"] = gflops;
  state.counters["fma_peak_share"] = gflops / peak;
  state.counters["peak_gflops"] = peak;
  state.counters["peak_rss_mb"] = peak_rss;
  if (o.profile) std::fputs(profile.table(stage_modules(store)).c_str(), stderr);
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  Options o;
  CLI::App app("Times a model's training step or forward pass.");
  app.add_option("--model", o.model, "xxs, xs, s, or a model of the registry")
      ->capture_default_str();
  app.add_option("--preset", o.preset, "of EdgeViT: improved or original");
  app.add_option("--options", o.options, "of the model, as JSON: {\"local_norm\": \"bn\"}");
  app.add_option("--mode", o.mode)->check(CLI::IsMember({"train", "infer"}))->capture_default_str();
  app.add_option("--dtype", o.dtype, "of the products' operands: float or bf16")
      ->check(CLI::IsMember({"float", "bf16"}))
      ->capture_default_str();
  app.add_option("--batch", o.batch)->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--micro-batch", o.micro_batch, "0: by the size of the images")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--bn-group", o.bn_group, "images that share BatchNorm's statistics; 0: a batch")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_flag("--grad-checkpointing", o.recompute, "compute stages again in backward");
  app.add_option("--lanes", o.lanes, "0: one for each thread")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--img-size", o.img_size)->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--classes", o.classes)->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--threads", o.threads, "0: all")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  app.add_flag("--profile", o.profile, "print the time of each op and stage");
  app.add_flag("--memory", o.memory, "print what a training step holds memory for");
  CLI11_PARSE(app, argc, argv);
  try {
    if (o.threads > 0) set_num_threads(static_cast<int>(o.threads));
    const std::string products =
        o.dtype == "bf16" ? detail::text_of("bf16 (", bf16_unit(), ")") : std::string("float");
    std::fprintf(stderr, "anther %s  %s  %s  %d threads\n", version, to_string(isa()),
                 products.c_str(), num_threads());
    complete(o);
    const double peak = bench::fma_peak(num_threads());
    const std::string name = detail::text_of(
        o.model, o.preset.empty() ? "" : "/", o.preset, o.options, "/", o.mode,
        o.dtype == "bf16" ? "/bf16" : "", "/batch:", o.batch, "/micro_batch:", o.micro_batch,
        "/img_size:", o.img_size, "/threads:", num_threads());
    benchmark::RegisterBenchmark(name.c_str(),
                                 [&](benchmark::State& state) { run(state, o, peak); })
        ->Unit(benchmark::kMillisecond)
        ->UseRealTime();
    benchmark::RunSpecifiedBenchmarks();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_model: %s\n", error.what());
    return 1;
  }
}
