// Converts EdgeViT's weights between safetensors files: of PyTorch's into a checkpoint that every
// program here takes, under the names of edgevit_torch.py or of the authors' code (recognised); and
// back.
//
//   convert_weights edgevit_xxs.safetensors xxs.safetensors --model xxs --preset original
//   convert_weights edgevit_xxs.safetensors start.safetensors --model xxs --preset original
//       --num-classes 102                                  # another head, to be trained
//   convert_weights xxs.safetensors for_pytorch.safetensors --names official
//   convert_weights xxs.safetensors half.safetensors --dtype f16
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <fstream>
#include <string>
#include <vector>

#include "anther/anther.hpp"
#include "anther/train/checkpoint.hpp"

namespace {

using namespace anther;

struct Options {
  std::string in, out, model, preset = "original", names = "anther", dtype = "f32", class_names;
  std::string resize;
  std::int64_t num_classes = 0, img_size = 0;
  std::vector<float> mean, std;
  std::uint64_t seed = 0;
};

std::vector<std::string> lines_of(const std::string& path) {
  std::ifstream file(path);
  detail::check(file.good(), path, ": cannot be read");
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) {
    if (line.ends_with('\r')) line.pop_back();
    lines.push_back(line);
  }
  return lines;
}

// What the model is: as the file says or, with --model, as the options do; how its images are
// prepared is ImageNet's custom then.
ModelCard card_of(const io::SafetensorsFile& file, const Options& o) {
  ModelCard card;
  if (o.model.empty()) {
    card = model_card_of(file);
  } else {
    const io::SafetensorsEntry& head = file.entry("head.weight");
    detail::check(head.shape.rank() == 2, file.path().string(),
                  ": head.weight: expected (classes, ", "channels), got ", head.shape);
    card.options = edgevit_options(o.model, head.shape[0], o.preset);
    card.preprocess = {.resize = vision::ResizeMode::short_side,
                       .mean = {0.485f, 0.456f, 0.406f},
                       .std = {0.229f, 0.224f, 0.225f}};
  }
  if (o.num_classes > 0 && o.num_classes != card.options.num_classes) {
    card.options.num_classes = o.num_classes;
    card.class_names.clear();
  }
  if (!o.class_names.empty()) card.class_names = lines_of(o.class_names);
  detail::check(
      card.class_names.empty() || std::ssize(card.class_names) == card.options.num_classes,
      o.class_names, ": expected ", card.options.num_classes, " class names, one a line, got ",
      card.class_names.size());
  vision::Preprocess& p = card.preprocess;
  if (o.img_size > 0) p.image_size = o.img_size;
  if (!o.resize.empty()) p.resize = vision::parse_resize_mode(o.resize);
  if (!o.mean.empty()) std::copy(o.mean.begin(), o.mean.end(), p.mean.begin());
  if (!o.std.empty()) std::copy(o.std.begin(), o.std.end(), p.std.begin());
  p.validate();
  return card;
}

void run(const Options& o) {
  const io::SafetensorsFile file(o.in);
  const ModelCard card = card_of(file, o);
  ParameterStore<float> store;
  const EdgeViT<float> model(store, card.options);
  LoadWeightsOptions loading;
  if (o.num_classes > 0) loading.replaced = "head.";
  check_weights(file, store, loading);  // before anything of their size is allocated
  store.initialize(o.seed);
  for (const std::string& name : load_weights(file, store, loading))
    std::printf("Not taken from the file, but drawn anew: %s\n", name.c_str());

  SaveWeightsOptions saving;
  if (o.names == "official") saving.names = official_edgevit_names(store);
  if (o.dtype == "f16") saving.dtype = io::Dtype::f16;
  save_weights<float>(o.out, store, store.values(), to_metadata(card), saving);

  const vision::Preprocess& p = card.preprocess;
  std::printf("%s: %s parameters, %lld classes (%s)\n", o.out.c_str(),
              with_commas(store.parameter_count()).c_str(),
              static_cast<long long>(card.options.num_classes),
              card.class_names.empty() ? "without names" : "with names");
  std::printf("Images: %lld px, resized %s, mean %g %g %g, std %g %g %g\n",
              static_cast<long long>(p.image_size), to_string(p.resize).c_str(),
              static_cast<double>(p.mean[0]), static_cast<double>(p.mean[1]),
              static_cast<double>(p.mean[2]), static_cast<double>(p.std[0]),
              static_cast<double>(p.std[1]), static_cast<double>(p.std[2]));
}

}  // namespace

int main(int argc, char** argv) {
  Options o;
  CLI::App app("Converts EdgeViT's weights between safetensors files.");
  app.add_option("in", o.in, "a checkpoint, or PyTorch's weights with --model")->required();
  app.add_option("out", o.out)->required();
  app.add_option("--model", o.model, "what PyTorch's weights are of: xxs, xs or s");
  app.add_option("--preset", o.preset, "of --model: original (LayerNorm, BatchNorm) or improved")
      ->capture_default_str();
  app.add_option("--num-classes", o.num_classes,
                 "classes; where the file has others, the head is drawn anew (0: the file's)");
  app.add_option("--seed", o.seed, "of a head that is drawn anew")->capture_default_str();
  app.add_option("--names", o.names, "the output's names: anther (edgevit_torch.py's) or official")
      ->check(CLI::IsMember({"anther", "official"}))
      ->capture_default_str();
  app.add_option("--dtype", o.dtype, "the output's numbers")
      ->check(CLI::IsMember({"f32", "f16"}))
      ->capture_default_str();
  app.add_option("--class-names", o.class_names, "a text file with a class name a line");
  app.add_option("--img-size", o.img_size, "side of the images in pixels");
  app.add_option("--resize", o.resize, "tensor or short-side");
  app.add_option("--mean", o.mean, "of red, green and blue, 0 to 1")->expected(3);
  app.add_option("--std", o.std, "of the same")->expected(3);
  CLI11_PARSE(app, argc, argv);
  try {
    run(o);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "convert_weights: %s\n", error.what());
    return 1;
  }
}
