// run_logits WEIGHTS.safetensors OUT.safetensors --images IN.safetensors
// run_logits WEIGHTS.safetensors OUT.safetensors --data-dir DIR --limit N
//
// A model's logits in evaluation, as `logits` in OUT: of the images (NCHW) of IN, or of N test
// images of a data set, spread over all, which are then in OUT too, with their labels. The model is
// that of the file's metadata, or of --options: its options as JSON, and "model", the name of one
// that is registered; without it, EdgeViT. With --random SEED the weights are drawn, norms and
// running statistics too, and written first.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "anther/anther.hpp"
#include "anther/data/vision/open.hpp"
#include "anther/data/vision/preprocess_json.hpp"
#include "anther/data/vision/transforms.hpp"
#include "anther/models/models.hpp"
#include "anther/painted/opener.hpp"
#include "anther/train/checkpoint.hpp"
#include "tests/parity/channels.hpp"

namespace {

using namespace anther;
using namespace anther::detail;
using namespace anther::data;
using namespace anther::io;
using namespace anther::vision;

// The model's start, and every vector (norms, biases, statistics) away from 0 and 1.
void draw(ParameterStore<float>& store, std::uint64_t seed) {
  store.initialize(seed);
  const auto shake = [&](const ParameterInfo& info, std::span<float> values) {
    if (info.shape.rank() > 1) return;
    const RandomKey key = RandomKey(seed).fold("shake").fold(info.name);
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] += static_cast<float>(0.4 * uniform(key, i) - 0.2);
  };
  const auto edit = store.edit();
  for (std::size_t i = 0; i < store.parameters().size(); ++i)
    shake(store.parameters()[i], edit.value(static_cast<int>(i)));
  for (std::size_t i = 0; i < store.buffers().size(); ++i)
    shake(store.buffers()[i], edit.buffer(static_cast<int>(i)));
}

struct Job {
  std::string weights, out, images, data_dir, options;
  std::int64_t limit = 200, random = -1;
};

struct Batch {
  Tensor<float> images;
  std::vector<std::int64_t> labels;
};

Batch test_images(const Job& job, const Preprocess& preprocess) {
  const OpenedData data = open_data(job.data_dir, {}, {painted::opener()});
  const std::int64_t count = std::min(job.limit, data.test->size());
  Batch batch{Tensor<float>({count, preprocess.image_size, preprocess.image_size, 3}), {}};
  const Transform transform(preprocess);
  for (std::int64_t i = 0; i < count; ++i) {
    // The images of a class may stand together.
    const std::int64_t image = i * data.test->size() / count;
    transform(data.test->image(image), batch.images.data() + i * preprocess.numel());
    batch.labels.push_back(data.test->label(image));
  }
  return batch;
}

Tensor<float> logits_of(const Module<float>& model, const Tensor<float>& images) {
  const Shape& all = images.shape();
  const std::int64_t size = images.size() / all[0];
  std::vector<float> values;
  Shape result;
  Tape<float> tape;
  constexpr std::int64_t part = 8;
  for (std::int64_t first = 0; first < all[0]; first += part) {
    Shape shape = all;
    shape[0] = std::min(part, all[0] - first);
    tape.begin({.training = false, .backward = false});
    const Variable<float> y =
        model(tape.input(shape, images.span().subspan(static_cast<std::size_t>(first * size),
                                                      static_cast<std::size_t>(shape.numel()))));
    values.insert(values.end(), y.value().begin(), y.value().end());
    result = y.shape();
  }
  result[0] = all[0];
  Tensor<float> logits(result);
  std::copy(values.begin(), values.end(), logits.data());
  return logits;
}

ModelCard card_of_options(nlohmann::json options) {
  const std::string name = options.value("model", "edgevit");
  options.erase("model");
  const ChosenModel chosen = choose_model(name, options);
  return {.architecture = chosen.model->name,
          .options = chosen.options,
          .preprocess = to_json(Preprocess())};
}

void run(const Job& job) {
  ModelCard card;
  if (!job.options.empty())
    card = card_of_options(nlohmann::json::parse(job.options));
  else
    card = model_card_of(SafetensorsFile(job.weights));
  ParameterStore<float> store;
  const ChosenModel chosen = chosen_model(card);
  const std::unique_ptr<Module<float>> model = chosen.make(store);
  Preprocess preprocess = preprocess_from_json(card.preprocess);
  if (job.random >= 0) {
    preprocess.mean = {0.4f, 0.5f, 0.6f};
    preprocess.std = {0.2f, 0.3f, 0.25f};
    card.preprocess = to_json(preprocess);
    draw(store, static_cast<std::uint64_t>(job.random));
    save_weights<float>(job.weights, store, store.values(), to_metadata(card));
  } else {
    const SafetensorsFile file(job.weights);
    load_weights(file, store, {.names = names_in(*chosen.model, file, store)});
  }

  Batch batch;
  std::vector<SafetensorsTensor> out;
  Tensor<float> torch_images;
  if (job.data_dir.empty()) {
    batch.images = nhwc_of(SafetensorsFile(job.images).read<float>("images"));
  } else {
    batch = test_images(job, preprocess);
    torch_images = nchw_of(batch.images);
    out.push_back({.name = "images",
                   .shape = torch_images.shape(),
                   .values = std::span<const float>(torch_images.span())});
    out.push_back({.name = "labels",
                   .shape = {std::ssize(batch.labels)},
                   .values = std::span<const std::int64_t>(batch.labels)});
  }
  const Tensor<float> logits = logits_of(*model, batch.images);
  out.push_back({.name = "logits", .shape = logits.shape(), .values = logits.span()});
  write_safetensors(job.out, out);
}

}  // namespace

int main(int argc, char** argv) {
  Job job;
  CLI::App app("A model's logits of images.");
  app.add_option("weights", job.weights)->required();
  app.add_option("out", job.out)->required();
  app.add_option("--images", job.images, "a safetensors file with `images`, NCHW");
  app.add_option("--data-dir", job.data_dir, "a data set's folder, in their place");
  app.add_option("--limit", job.limit, "images of the data set")->check(CLI::PositiveNumber);
  app.add_option("--options", job.options, "the model's options, JSON");
  app.add_option("--random", job.random, "draws the weights by this seed, and writes them");
  CLI11_PARSE(app, argc, argv);
  try {
    run(job);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "run_logits: %s\n", error.what());
    return 1;
  }
}
