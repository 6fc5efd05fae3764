// run_training data OUT --data-dir DIR --img-size S [--limit N] [--seed S]
// run_training start OPTIONS_JSON OUT --seed S --count N --epochs E
// run_training train OPTIONS_JSON DATA START OUT [--batch-size B] [--lr R] [--dtype D]
//
// What compare_training.py compares with PyTorch, in three parts. data: a data set's training
// images (NCHW) as the loader makes them, with their labels and the number of classes. start: the
// weights that a seed draws, and `order` (epochs, count), the loader's order of the images.
// train: Adam from the weights of START over the images of DATA in START's order; the loss of
// every step. OPTIONS_JSON: edgevit_config.hpp's keys.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <exception>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "anther/anther.hpp"
#include "anther/data/loader.hpp"
#include "anther/data/vision/open.hpp"
#include "anther/models/edgevit/config.hpp"
#include "anther/painted/opener.hpp"
#include "anther/train/objectives.hpp"
#include "anther/train/trainer.hpp"
#include "anther/train/weights.hpp"
#include "tests/parity/channels.hpp"

namespace {

using namespace anther;
using namespace anther::detail;
using namespace anther::data;
using namespace anther::io;
using namespace anther::kernels;
using namespace anther::vision;

struct Job {
  std::string data, start, out, options, data_dir = "painted", dtype = "float32";
  std::int64_t img_size = 64, limit = 0, count = 0, epochs = 1, batch_size = 128, micro_batch = 16;
  std::uint64_t seed = 42;
  double lr = 1e-3;
};

EdgeViTOptions model_options(const Job& job) {
  return edgevit_options_from_json(nlohmann::json::parse(job.options));
}

void write_data(const Job& job) {
  const OpenedData data =
      open_data(job.data_dir, {.seed = job.seed, .image_size = job.img_size}, {painted::opener()});
  const ImageSetPointer chosen =
      job.limit > 0 ? spread_over_classes(data.train, job.limit) : data.train;
  Loader loader(prepared(chosen, {.image_size = job.img_size}),
                {.batch_size = chosen->size(), .prefetch = 1});
  loader.start_epoch(0);
  Batch all;
  loader.next(all);
  const Tensor<float> images = nchw_of(all.inputs);
  const std::vector<std::int64_t> labels(all.labels.begin(), all.labels.end());
  const std::int64_t classes[] = {std::ssize(data.class_names)};
  const std::vector<SafetensorsTensor> out = {
      {.name = "images", .shape = images.shape(), .values = images.span()},
      {.name = "labels",
       .shape = {std::ssize(labels)},
       .values = std::span<const std::int64_t>(labels)},
      {.name = "num_classes", .shape = {1}, .values = std::span<const std::int64_t>(classes)}};
  write_safetensors(job.out, out);
}

void write_start(const Job& job) {
  ParameterStore<float> store;
  const EdgeViT<float> model(store, model_options(job));
  store.initialize(job.seed);
  TorchTensors<float> weights;
  weights.add(store, store.values(), {});
  std::vector<SafetensorsTensor> out(weights.tensors().begin(), weights.tensors().end());
  std::vector<std::int64_t> order;
  for (std::int64_t epoch = 0; epoch < job.epochs; ++epoch) {
    const auto own = epoch_order(job.count, true, job.seed, epoch);
    order.insert(order.end(), own.begin(), own.end());
  }
  out.push_back({.name = "order",
                 .shape = {job.epochs, job.count},
                 .values = std::span<const std::int64_t>(order)});
  write_safetensors(job.out, out);
}

template <class T>
void train(const Job& job) {
  const SafetensorsFile data(job.data), start(job.start);
  ParameterStore<T> store;
  const EdgeViT<T> model(store, model_options(job));
  load_weights(start, store, {.ignored = "order"});
  const Tensor<float> images = nhwc_of(data.read<float>("images"));
  const Tensor<std::int64_t> labels = data.read<std::int64_t>("labels");
  const Tensor<std::int64_t> order = start.read<std::int64_t>("order");
  const std::int64_t epochs = order.shape()[0], count = order.shape()[1];
  const std::int64_t size = images.size() / images.shape()[0];

  // As fit() does it.
  Trainer<T> trainer(model, cross_entropy_objective<T>(),
                     {.micro_batch = job.micro_batch, .lanes = 4});
  Adam<T> adam(store);
  std::vector<double> losses;
  for (std::int64_t epoch = 0; epoch < epochs; ++epoch)
    for (std::int64_t first = 0; first < count; first += job.batch_size) {
      data::Batch batch;
      Shape shape = images.shape();
      shape[0] = std::min(job.batch_size, count - first);
      batch.inputs = Tensor<float>(shape);
      for (std::int64_t i = first; i < std::min(first + job.batch_size, count); ++i) {
        const std::int64_t index = order[epoch * count + i];
        std::copy_n(images.data() + index * size, size, batch.inputs.data() + (i - first) * size);
        batch.labels.push_back(static_cast<std::int32_t>(labels[index]));
        batch.indices.push_back(index);
      }
      losses.push_back(trainer.compute_gradients(batch, adam.steps()).loss);
      adam.step(trainer.gradients(), job.lr);
      trainer.commit();
    }
  const std::vector<SafetensorsTensor> out = {
      {.name = "losses", .shape = {std::ssize(losses)}, .values = std::span<const double>(losses)}};
  write_safetensors(job.out, out);
}

}  // namespace

int main(int argc, char** argv) {
  Job job;
  CLI::App app("Trains EdgeViT on the images of a file in a given order.");
  app.require_subcommand(1);
  CLI::App* data = app.add_subcommand("data", "writes a data set's training images");
  data->add_option("out", job.out)->required();
  data->add_option("--data-dir", job.data_dir, "a data set's folder, or painted");
  data->add_option("--img-size", job.img_size);
  data->add_option("--limit", job.limit, "only so many images, evenly of all classes; 0: all");
  data->add_option("--seed", job.seed, "of painted flowers");
  CLI::App* start = app.add_subcommand("start", "writes weights and the order of the images");
  start->add_option("options", job.options, "the model's options, JSON")->required();
  start->add_option("out", job.out)->required();
  start->add_option("--seed", job.seed);
  start->add_option("--count", job.count, "images an epoch")->required();
  start->add_option("--epochs", job.epochs);
  CLI::App* training = app.add_subcommand("train", "writes the loss of every step");
  training->add_option("options", job.options, "the model's options, JSON")->required();
  training->add_option("data", job.data)->required();
  training->add_option("start", job.start)->required();
  training->add_option("out", job.out)->required();
  training->add_option("--batch-size", job.batch_size);
  training->add_option("--micro-batch", job.micro_batch);
  training->add_option("--lr", job.lr);
  training->add_option("--dtype", job.dtype)->check(CLI::IsMember({"float32", "float64"}));
  CLI11_PARSE(app, argc, argv);
  try {
    if (*data)
      write_data(job);
    else if (*start)
      write_start(job);
    else
      job.dtype == "float32" ? train<float>(job) : train<double>(job);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "run_training: %s\n", error.what());
    return 1;
  }
}
