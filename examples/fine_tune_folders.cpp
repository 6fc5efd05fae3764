// Teaches a trained model the classes of one's own photographs: train/<class>/*.jpg in a folder,
// and val/<class>/ if there is one. The head learns first, then all layers, early ones less.
//
//   fine_tune_folders photographs/ --checkpoint start.safetensors --out mine.safetensors
//   classify --checkpoint mine.safetensors new.jpg
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>

#include "anther/anther.hpp"
#include "anther/data/vision/augment.hpp"
#include "anther/data/vision/open.hpp"
#include "anther/data/vision/preprocess_json.hpp"
#include "anther/models/loaded_model.hpp"
#include "anther/models/models.hpp"
#include "anther/report/progress_callback.hpp"
#include "anther/train/checkpoint.hpp"
#include "anther/train/fine_tune.hpp"
#include "anther/train/fit.hpp"
#include "anther/train/objectives.hpp"
#include "anther/train/stop_signals.hpp"
#include "output_flags.hpp"

using namespace anther;

int main(int argc, char** argv) {
  std::string folder, checkpoint, out = "fine_tuned.safetensors";
  std::int64_t head_epochs = 5, epochs = 10, batch_size = 32;
  double lr = 5e-4, decay = 0.8;
  CLI::App app("Fine-tunes a trained model on folders of photographs.");
  app.add_option("folder", folder, "with train/<class>/ in it")->required();
  app.add_option("--checkpoint", checkpoint, "weights that Anther saved, or a run")->required();
  app.add_option("--out", out, "where the weights go")->capture_default_str();
  app.add_option("--head-epochs", head_epochs, "of the head alone")->check(CLI::Range(0, 1 << 20));
  app.add_option("--epochs", epochs, "of all layers")->check(CLI::Range(0, 1 << 20));
  app.add_option("--batch-size,-b", batch_size)->check(CLI::Range(1, 1 << 20));
  app.add_option("--lr", lr, "of the head, when all layers learn")->check(CLI::PositiveNumber);
  app.add_option("--layer-decay", decay, "of the rate, from a layer to the one before it");
  CLI11_PARSE(app, argc, argv);
  try {
    check_output("--out", out);
    ignore_lost_output();
    const vision::OpenedData data = vision::open_data(folder);
    const io::SafetensorsFile file(weights_of(checkpoint));
    const ModelCard card = model_card_of(file);
    const ChosenModel trained = chosen_model(card);
    nlohmann::json model_options = trained.options;
    model_options["num_classes"] = data.class_names.size();
    const ChosenModel chosen = choose_model(trained.model->name, model_options);
    const vision::Preprocess preprocess = vision::preprocess_from_json(card.preprocess);
    const std::int64_t size = preprocess.image_size;
    std::printf("%s, %lld px; %s\n", chosen.model->name.c_str(), static_cast<long long>(size),
                data.description.c_str());
    for (const std::string& warning : data.warnings) std::printf("%s\n", warning.c_str());

    ParameterStore<float> store;
    const auto train = [&](const Module<float>& model, std::int64_t count, double rate) {
      if (count == 0) return;
      Adam<float> adam(store, {.weight_decay = 0.05, .decoupled = true});
      adam.set_lr_scales(layer_decay_scales(store, decay));
      const vision::Augment augment(preprocess, {.scale = {{0.5, 1}}, .hflip = 0.5});
      data::Loader images(prepared(data.train, size, size, augment),
                          {.batch_size = batch_size,
                           .shuffle = true,
                           .least_batch = store.couples_samples() ? 2 : 1,
                           .seed = 1,
                           .workers = 2});
      data::Loader val(prepared(data.val, preprocess), {.batch_size = batch_size});
      const History history = fit(model, adam, images, val,
                                  {.objective = cross_entropy_objective({.label_smoothing = 0.1}),
                                   .metrics = {top_k(1)},
                                   .epochs = count,
                                   .schedule = cosine_schedule(rate)},
                                  {report::progress_bar(count)});
      std::printf("Validation accuracy: %.2f %%\n", 100 * history.back().metric().value);
    };
    const auto model = chosen.make(store);
    store.initialize(1);
    load_weights(file, store,
                 {.names = names_in(*chosen.model, file, store),
                  .ignored = state_prefix,
                  .replaced = head_modules(store),
                  .replace_always = true});
    detail::check(batch_size > 1 || epochs == 0 || !needs_two_samples(*model, {size, size, 3}),
                  "--batch-size: expected at least 2, which BatchNorm needs, got 1");
    freeze(store, "body");
    train(*model, head_epochs, 10 * lr);
    for (int i = 0; i < std::ssize(store.parameters()); ++i) store.set_trainable(i, true);
    for (int i = 0; i < std::ssize(store.buffers()); ++i) store.set_buffer_trainable(i, true);
    train(*model, epochs, lr);
    save_weights(out, store, std::as_const(store).values(),
                 to_metadata(card_of(*model, data.class_names, card.preprocess)));
    std::printf("Weights: %s\n", out.c_str());
  } catch (const std::exception& error) {
    std::fflush(stdout);
    std::fprintf(stderr, "fine_tune_folders: %s\n", error.what());
    return 1;
  }
}
