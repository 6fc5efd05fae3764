// Writes a trained model as an ONNX file (opset 17, any batch size), with the class names and how
// to prepare images in its metadata.
//
//   export_onnx weights/best.safetensors flowers.onnx
//   export_onnx weights/best.safetensors flowers.onnx --preprocess   # takes uint8 (N, H, W, 3)
//   export_onnx --model xs --num-classes 10 --seed 1 random.onnx     # random weights
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <optional>
#include <string>
#include <vector>

#include "anther/anther.hpp"
#include "anther/export/onnx.hpp"
#include "anther/train/checkpoint.hpp"

namespace {

using namespace anther;

struct Options {
  std::vector<std::string> files;
  std::string model, preset = "improved";
  std::int64_t num_classes = 1000, img_size = 0;
  std::uint64_t seed = 0;
  bool preprocess = false;
};

void run(const Options& o) {
  detail::check(o.files.size() == (o.model.empty() ? 2 : 1),
                "expected CHECKPOINT OUT.onnx, or --model and OUT.onnx");
  const std::string& out = o.files.back();
  std::optional<io::SafetensorsFile> file;
  ModelCard card;
  if (o.model.empty()) {
    file.emplace(o.files.front());
    card = model_card_of(*file);
  } else {
    card.options = edgevit_options(o.model, o.num_classes, o.preset);
  }
  if (o.img_size > 0) card.preprocess.image_size = o.img_size;

  ParameterStore<float> store;
  const EdgeViT<float> model(store, card.options);
  if (file)
    load_weights(*file, store);
  else
    store.initialize(o.seed);

  exports::OnnxOptions options{.metadata = to_metadata(card)};
  if (o.preprocess) options.preprocess = {.mean = card.preprocess.mean, .std = card.preprocess.std};
  const std::int64_t size = card.preprocess.image_size;
  exports::write_onnx(out, model, {1, size, size, card.options.in_channels}, options);
  if (o.preprocess)
    std::printf(
        "%s: images uint8 (batch, %lld, %lld, 3), resized already, to logits (batch, %lld)\n",
        out.c_str(), static_cast<long long>(size), static_cast<long long>(size),
        static_cast<long long>(card.options.num_classes));
  else
    std::printf("%s: images float (batch, %lld, %lld, %lld) to logits (batch, %lld)\n", out.c_str(),
                static_cast<long long>(card.options.in_channels), static_cast<long long>(size),
                static_cast<long long>(size), static_cast<long long>(card.options.num_classes));
}

}  // namespace

int main(int argc, char** argv) {
  Options o;
  CLI::App app("Writes EdgeViT as an ONNX file.");
  app.add_option("files", o.files, "CHECKPOINT.safetensors OUT.onnx; with --model OUT.onnx alone")
      ->required()
      ->expected(1, 2);
  app.add_flag(
      "--preprocess", o.preprocess,
      "the graph takes bytes, uint8 (N, H, W, 3), and normalises them; it does not resize");
  app.add_option("--img-size", o.img_size, "side of the images; 0: the checkpoint's, or 224");
  app.add_option("--model", o.model, "random weights instead of a checkpoint: xxs, xs or s");
  app.add_option("--preset", o.preset, "of --model: improved or original")->capture_default_str();
  app.add_option("--num-classes", o.num_classes, "of --model")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  app.add_option("--seed", o.seed, "of --model")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  try {
    run(o);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "export_onnx: %s\n", error.what());
    return 1;
  }
}
