// Converts weights between safetensors files: of PyTorch's into a checkpoint that every program
// here takes, under the store's names or those of a scheme that the model brings along (recognised:
// EdgeViT has "official", its authors'); and back.
//
//   convert_weights edgevit_xxs.safetensors xxs.safetensors --model xxs --preset original
//   convert_weights edgevit_xxs.safetensors start.safetensors --model xxs --preset original
//       --num-classes 102                                  # another head, to be trained
//   convert_weights xxs.safetensors for_pytorch.safetensors --names official
//   convert_weights xxs.safetensors half.safetensors --dtype f16
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "anther/anther.hpp"
#include "anther/train/stop_signals.hpp"
#include "model_flags.hpp"
#include "output_flags.hpp"

namespace {

using namespace anther;

struct Options {
  std::string in, out, names = "anther", dtype = "f32", class_names, resize;
  ModelFlags model;
  std::vector<float> mean, std;
};

// Takes off what PyTorch's wrappers leave in a file, and says so.
void unwrap(io::SafetensorsFile& file, const RegisteredModel& model,
            const nlohmann::json& options) {
  ParameterStore<float> store;
  const auto module = model.make(store, options);
  const std::string said = unwrap_names(file, model, store);
  if (!said.empty()) std::printf("%s\n", said.c_str());
}

// The options that the weights tell go before those of a preset: statistics of BatchNorm are of a
// model with BatchNorm.
void take_what_weights_tell(const io::SafetensorsFile& file, const RegisteredModel& model,
                            nlohmann::json& options) {
  for (const auto& [tensor, told] : model.traits.told_by) {
    if (!file.find(tensor)) continue;
    for (const auto& [key, value] : told.items()) {
      if (options.at(key) == value) continue;
      std::printf("The weights have %s: %s is %s, not %s\n", tensor.c_str(), key.c_str(),
                  value.dump().c_str(), options.at(key).dump().c_str());
      options[key] = value;
    }
  }
}

// The number of classes of the head in a file: its weight is (classes, channels).
std::int64_t classes_in(const io::SafetensorsFile& file, const RegisteredModel& model,
                        const nlohmann::json& options) {
  ParameterStore<float> store;
  const auto module = model.make(store, options);
  const WeightNames names = names_in(model, file, store);
  const std::vector<std::string> heads = head_modules(store);
  for (const ParameterInfo& info : store.parameters())
    if (is_within_any(info.name, heads) && info.shape.rank() > 1) {
      const io::SafetensorsEntry& head = file.entry(name_in(names, info.name));
      detail::check(head.shape.rank() >= 2, file.path().string(), ": ", head.name,
                    ": expected (classes, channels), got ", head.shape);
      return head.shape[0];
    }
  detail::fail("the model ", model.name, " has no head whose classes could be counted");
}

// What the model is: as the file says or, with --model, as the options do; how its images are
// prepared is ImageNet's custom then.
ModelCard card_of(io::SafetensorsFile& file, const Options& o) {
  ModelCard card;
  const bool given = !o.model.model.empty();
  if (!given) {
    detail::check(
        o.model.options.empty() && o.model.preset.empty(),
        "--options, --preset: expected --model beside them; without it the model is what ", o.in,
        " says");
    card = model_card_of(file);
  } else {
    const ChosenModel chosen = o.model.choose();
    card.architecture = chosen.model->name;
    card.options = chosen.options;
    if (chosen.sample_shape(224).rank() == 3)
      card.preprocess = to_json(vision::Preprocess{.resize = vision::ResizeMode::short_side,
                                                   .mean = {0.485f, 0.456f, 0.406f},
                                                   .std = {0.229f, 0.224f, 0.225f}});
  }
  const RegisteredModel& model = *chosen_model(card).model;
  unwrap(file, model, card.options);
  if (given) take_what_weights_tell(file, model, card.options);
  if (model.has_option("num_classes")) {
    // As many classes as the file's head has, unless told otherwise.
    if (given && o.model.num_classes == 0)
      card.options["num_classes"] = classes_in(file, model, card.options);
    if (o.model.num_classes > 0 && card.options["num_classes"] != o.model.num_classes) {
      card.options["num_classes"] = o.model.num_classes;
      card.class_names.clear();
    }
    if (!o.class_names.empty()) card.class_names = io::read_lines(o.class_names);
    const auto classes = card.options["num_classes"].get<std::int64_t>();
    detail::check(card.class_names.empty() || std::ssize(card.class_names) == classes,
                  o.class_names.empty() ? file.path().string() : o.class_names, ": expected ",
                  classes, " class names, got ", card.class_names.size());
  } else {
    detail::check(o.class_names.empty() && o.model.num_classes == 0,
                  "--num-classes, --class-names: ", model.name, " has no option num_classes");
  }
  if (!card.preprocess.is_null()) {
    vision::Preprocess p = vision::preprocess_from_json(card.preprocess);
    if (o.model.img_size > 0) p.image_size = o.model.img_size;
    if (!o.resize.empty()) p.resize = vision::parse_resize_mode(o.resize);
    if (!o.mean.empty()) std::copy(o.mean.begin(), o.mean.end(), p.mean.begin());
    if (!o.std.empty()) std::copy(o.std.begin(), o.std.end(), p.std.begin());
    p.validate();
    card.preprocess = to_json(p);
  }
  return card;
}

void run(const Options& o) {
  check_output("", o.out);
  io::SafetensorsFile file(weights_of(o.in));
  const ModelCard card = card_of(file, o);
  const ChosenModel chosen = chosen_model(card);
  ParameterStore<float> store;
  const auto model = chosen.make(store);
  LoadWeightsOptions loading{.names = names_in(*chosen.model, file, store)};
  if (o.model.num_classes > 0) loading.replaced = head_modules(store);
  check_weights(file, store, loading);  // before anything of their size is allocated
  if (loading.replaced.empty() || o.model.num_classes == 0)
    load_weights(file, store, loading);
  else {
    store.initialize(o.model.seed);
    for (const std::string& name : load_weights(file, store, loading))
      std::printf("Not taken from the file, but drawn anew: %s\n", name.c_str());
  }

  SaveWeightsOptions saving;
  if (o.names != "anther") saving.names = chosen.model->names_of(o.names, store);
  if (o.dtype == "f16") saving.dtype = io::Dtype::f16;
  if (o.dtype == "bf16") saving.dtype = io::Dtype::bf16;
  save_weights<float>(o.out, store, std::as_const(store).values(), to_metadata(card), saving);

  std::printf("%s: %s parameters", o.out.c_str(), with_commas(store.parameter_count()).c_str());
  if (card.options.contains("num_classes"))
    std::printf(", %lld classes (%s)",
                static_cast<long long>(card.options["num_classes"].get<std::int64_t>()),
                card.class_names.empty() ? "without names" : "with names");
  std::printf("\n");
  if (card.preprocess.is_null()) return;
  const vision::Preprocess p = vision::preprocess_from_json(card.preprocess);
  std::printf("Images: %lld px, resized %s, mean %g %g %g, std %g %g %g\n",
              static_cast<long long>(p.image_size), to_string(p.resize).c_str(),
              static_cast<double>(p.mean[0]), static_cast<double>(p.mean[1]),
              static_cast<double>(p.mean[2]), static_cast<double>(p.std[0]),
              static_cast<double>(p.std[1]), static_cast<double>(p.std[2]));
}

}  // namespace

int main(int argc, char** argv) {
  Options o;
  CLI::App app("Converts weights between safetensors files.");
  app.add_option("in", o.in, "a checkpoint, a run's folder, or PyTorch's weights with --model")
      ->required();
  app.add_option("out", o.out)->required();
  add_model_flags(app, o.model, ": what PyTorch's weights are of");
  app.add_option("--seed", o.model.seed, "of a head that is drawn anew")->capture_default_str();
  app.add_option("--names", o.names, "the output's names: anther, or a scheme of the model's")
      ->capture_default_str();
  app.add_option("--dtype", o.dtype, "the output's numbers")
      ->check(CLI::IsMember({"f32", "f16", "bf16"}))
      ->capture_default_str();
  app.add_option("--class-names", o.class_names, "a text file with a class name a line");
  app.add_option("--resize", o.resize, "tensor or short-side");
  app.add_option("--mean", o.mean, "of red, green and blue, 0 to 1")->expected(3);
  app.add_option("--std", o.std, "of the same")->expected(3);
  CLI11_PARSE(app, argc, argv);
  ignore_lost_output();  // the file is what counts
  try {
    run(o);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "convert_weights: %s\n", error.what());
    return 1;
  }
}
