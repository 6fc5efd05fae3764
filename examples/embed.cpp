// Turns a trained model into one C++ header that classifies images by itself: weights, class names
// and the forward pass, for a program that has nothing of Anther.
//
//   embed weights/best.safetensors flowers.hpp
//   embed weights/best.safetensors flowers.hpp --dtype f16        # half the size
//   embed --model xs --num-classes 10 --seed 1 random.hpp         # random weights
#include <CLI/CLI.hpp>
#include <cctype>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "anther/anther.hpp"
#include "anther/export/embed.hpp"
#include "anther/train/checkpoint.hpp"
#include "kernel_sources.hpp"

namespace {

using namespace anther;

struct Options {
  std::vector<std::string> files;
  std::string name, dtype = "f32";
  std::string model, preset = "improved";
  std::int64_t num_classes = 1000, img_size = 0;
  std::uint64_t seed = 0;
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
  detail::check(o.files.size() == (o.model.empty() ? 2 : 1),
                "expected CHECKPOINT OUT.hpp, or --model and OUT.hpp");
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

  const std::int64_t size = card.preprocess.image_size;
  const exports::EmbedOptions options{.name = o.name.empty() ? name_of(out) : o.name,
                                      .dtype = o.dtype == "f16" ? io::Dtype::f16 : io::Dtype::f32,
                                      .sources = built_in_source,
                                      .mean = card.preprocess.mean,
                                      .std = card.preprocess.std,
                                      .class_names = card.class_names,
                                      .notes = how_to_prepare(card.preprocess)};
  exports::write_header(out, model, {1, size, size, card.options.in_channels}, options);
  std::printf("%s: %s::Model, %lld x %lld pixels, %lld classes, weights in %s, %.1f MB\n",
              out.c_str(), options.name.c_str(), static_cast<long long>(size),
              static_cast<long long>(size), static_cast<long long>(card.options.num_classes),
              o.dtype.c_str(), static_cast<double>(std::filesystem::file_size(out)) / 1e6);
}

}  // namespace

int main(int argc, char** argv) {
  Options o;
  CLI::App app("Writes EdgeViT as a C++ header that needs nothing else.");
  app.add_option("files", o.files, "CHECKPOINT.safetensors OUT.hpp; with --model OUT.hpp alone")
      ->required()
      ->expected(1, 2);
  app.add_option("--dtype", o.dtype, "of the weights: f32 or f16")
      ->check(CLI::IsMember({"f32", "f16"}))
      ->capture_default_str();
  app.add_option("--name", o.name, "the namespace; the file's name if not given");
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
    std::fprintf(stderr, "embed: %s\n", error.what());
    return 1;
  }
}
