// Writes a trained model as an ONNX file (opset 17, any batch size), with the class names and how
// to prepare images in its metadata.
//
//   export_onnx runs/train_flowers/1 flowers.onnx                    # a run's best weights
//   export_onnx weights/best.safetensors flowers.onnx --preprocess   # takes uint8 (N, H, W, 3)
//   export_onnx --model xs --num-classes 10 --seed 1 random.onnx     # random weights
#include <CLI/CLI.hpp>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "anther/anther.hpp"
#include "anther/export/onnx.hpp"
#include "anther/train/stop_signals.hpp"
#include "model_flags.hpp"
#include "output_flags.hpp"

namespace {

using namespace anther;

struct Options {
  std::vector<std::string> files;
  ModelFlags model;
  bool preprocess = false;
};

// "(batch, 3, 224, 224)" of a sample's shape, with channels first.
std::string batch_text(const Shape& sample) {
  std::string text = "(batch";
  for (int i = 0; i < sample.rank(); ++i) {
    const int axis = sample.rank() != 3 ? i : (i + 2) % 3;
    text += detail::text_of(", ", sample[axis]);
  }
  return text + ")";
}

void run(const Options& o) {
  detail::check(o.files.size() == (o.model.model.empty() ? 2 : 1),
                "expected CHECKPOINT OUT.onnx, or --model and OUT.onnx");
  const std::string& out = o.files.back();
  check_output("", out);
  const ModelAtHand model(o.model.model.empty() ? o.files.front() : "", o.model);
  const auto prepared = model.preprocess();
  exports::OnnxOptions options{.input = prepared ? "images" : "samples",
                               .output = prepared ? "logits" : "outputs",
                               .metadata = to_metadata(model.card)};
  if (o.preprocess) {
    detail::check(prepared != nullptr, "--preprocess: expected a model of images");
    options.preprocess = {.mean = prepared->mean, .std = prepared->std};
  }
  const Shape batch = model.batch_of(1);
  exports::write_onnx(out, *model.module, batch, options);
  const Shape output = DryRun<float>(*model.module, batch).output.shape();
  Shape one;
  for (int i = 1; i < output.rank(); ++i) one.push_back(output[i]);
  if (o.preprocess)
    std::printf("%s: images uint8 (batch, %lld, %lld, 3), resized already, to logits %s\n",
                out.c_str(), static_cast<long long>(model.sample[0]),
                static_cast<long long>(model.sample[1]), batch_text(one).c_str());
  else
    std::printf("%s: %s float %s to %s %s\n", out.c_str(), options.input.c_str(),
                batch_text(model.sample).c_str(), options.output.c_str(), batch_text(one).c_str());
}

}  // namespace

int main(int argc, char** argv) {
  Options o;
  CLI::App app("Writes a model as an ONNX file.");
  app.add_option("files", o.files,
                 "CHECKPOINT OUT.onnx, where CHECKPOINT is a .safetensors file or the folder of a "
                 "run; with --model OUT.onnx alone")
      ->required()
      ->expected(1, 2);
  app.add_flag(
      "--preprocess", o.preprocess,
      "the graph takes bytes, uint8 (N, H, W, 3), and normalises them; it does not resize");
  add_model_flags(app, o.model, ", with random weights instead of a checkpoint's");
  app.add_option("--seed", o.model.seed, "of --model")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  ignore_lost_output();  // the file is what counts
  try {
    run(o);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "export_onnx: %s\n", error.what());
    return 1;
  }
}
