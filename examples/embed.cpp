// Turns a trained model into one C++ header that computes by itself: the weights and the forward
// pass, and a classifier's class names, for a program that has nothing of Anther.
//
//   embed runs/train_flowers/1 flowers.hpp                        # a run's best weights
//   embed weights/best.safetensors flowers.hpp --dtype f16        # half the size
//   embed weights/best.safetensors flowers.hpp --dtype bf16       # the same, for AMX
//   embed --model xs --num-classes 10 --seed 1 random.hpp         # random weights
#include <CLI/CLI.hpp>
#include <cctype>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <string>
#include <vector>

#include "anther/anther.hpp"
#include "anther/export/cpp_header.hpp"
#include "anther/train/stop_signals.hpp"
#include "kernel_sources.hpp"
#include "model_flags.hpp"
#include "output_flags.hpp"

namespace {

using namespace anther;

struct Options {
  std::vector<std::string> files;
  std::string name, dtype = "f32";
  ModelFlags model;
};

std::string built_in_source(const std::string& path) {
  for (const KernelSource& source : kernel_sources)
    if (path == source.path) return source.text;
  detail::fail("embed: no source of the name ", path, " is built in");
}

// A name for the namespace: the file's, what cannot stand in one replaced.
std::string name_of(const std::filesystem::path& out) {
  std::string name = out.stem().string();
  for (char& letter : name)
    if (!std::isalnum(static_cast<unsigned char>(letter))) letter = '_';
  return exports::is_namespace_name(name) ? name : "model_" + name;
}

// How to bring a picture to the bytes that the model takes, for people.
std::vector<std::string> how_to_prepare(const vision::Preprocess& p) {
  const std::string size = detail::text_of(p.image_size, " x ", p.image_size);
  if (p.resize == vision::ResizeMode::tensor)
    return {detail::text_of("Make a picture ", size,
                            " as training did: stretched whatever its shape, bilinear"),
            "between the two nearest pixels (half-pixel centres, no antialiasing)."};
  return {detail::text_of("Make a picture ", size, " as training did: its short side to ",
                          p.short_side(), " pixels, bilinear with"),
          "antialiasing (Pillow's, torchvision's), and of that the centre."};
}

void run(const Options& o) {
  detail::check(o.files.size() == (o.model.model.empty() ? 2 : 1),
                "expected CHECKPOINT OUT.hpp, or --model and OUT.hpp");
  const std::string& out = o.files.back();
  check_output("", out);
  const ModelAtHand model(o.model.model.empty() ? o.files.front() : "", o.model);
  exports::CppHeaderOptions options{.name = o.name.empty() ? name_of(out) : o.name,
                                    .dtype = o.dtype == "f16"    ? io::Dtype::f16
                                             : o.dtype == "bf16" ? io::Dtype::bf16
                                                                 : io::Dtype::f32,
                                    .sources = built_in_source};
  const Shape batch = model.batch_of(1);
  const Shape output = DryRun<float>(*model.module, batch).output.shape();
  const auto prepared = model.preprocess();
  if (prepared) options.notes = how_to_prepare(*prepared);
  const bool classifies_images = prepared && batch.back() == 3 && output.rank() == 2;
  if (classifies_images)
    options.images = {
        .mean = prepared->mean, .std = prepared->std, .class_names = model.card.class_names};
  exports::write_cpp_header(out, *model.module, batch, options);
  const double megabytes = static_cast<double>(std::filesystem::file_size(out)) / 1e6;
  if (classifies_images)
    std::printf("%s: %s::Model, %lld x %lld pixels, %lld classes, weights in %s, %.1f MB\n",
                out.c_str(), options.name.c_str(), static_cast<long long>(model.sample[1]),
                static_cast<long long>(model.sample[0]), static_cast<long long>(output.back()),
                o.dtype.c_str(), megabytes);
  else
    std::printf("%s: %s::Model, samples %s, outputs %s, weights in %s, %.1f MB\n", out.c_str(),
                options.name.c_str(), to_string(batch).c_str(), to_string(output).c_str(),
                o.dtype.c_str(), megabytes);
}

}  // namespace

int main(int argc, char** argv) {
  Options o;
  CLI::App app("Writes a model as a C++ header that needs nothing else.");
  app.add_option("files", o.files,
                 "CHECKPOINT OUT.hpp, where CHECKPOINT is a .safetensors file or the folder of a "
                 "run; with --model OUT.hpp alone")
      ->required()
      ->expected(1, 2);
  app.add_option("--dtype", o.dtype, "of the weights: f32, f16, or bf16 (and products in bfloat16)")
      ->check(CLI::IsMember({"f32", "f16", "bf16"}))
      ->capture_default_str();
  app.add_option("--name", o.name, "the namespace; the file's name if not given");
  add_model_flags(app, o.model, ", with random weights instead of a checkpoint's");
  app.add_option("--seed", o.model.seed, "of --model")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  ignore_lost_output();  // the file is what counts
  try {
    run(o);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "embed: %s\n", error.what());
    return 1;
  }
}
