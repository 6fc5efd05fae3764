// A U-Net learns which pixels of painted flowers are flower, and shows what it says of others.
//
//   segment_flowers [--epochs 8] [--out segments.png]     image, truth and prediction side by side
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <exception>

#include "anther/anther.hpp"
#include "anther/data/vision/png.hpp"
#include "anther/models/unet/unet.hpp"
#include "anther/painted/masks.hpp"
#include "anther/report/progress_callback.hpp"
#include "anther/train/fit.hpp"
#include "anther/train/objectives.hpp"
#include "anther/train/stop_signals.hpp"
#include "output_flags.hpp"

using namespace anther;

// Rows of three tiles: an image of the batch, its mask, and the mask that the logits (N, S, S, 2)
// say.
vision::Image picture(const data::Batch& batch, const Tensor<float>& logits, int rows) {
  const int side = static_cast<int>(batch.inputs.shape()[1]);
  vision::Image sheet(3 * side, rows * side);
  for (int y = 0; y < rows * side; ++y)
    for (int x = 0; x < side; ++x) {
      const std::size_t at = static_cast<std::size_t>(y) * static_cast<std::size_t>(side) +
                             static_cast<std::size_t>(x);
      const float* logit = logits.data() + 2 * at;
      for (std::size_t c = 0; c < 3; ++c) {
        const auto put = [&](int tile, float level) {
          sheet.row(y)[3 * static_cast<std::size_t>(tile * side + x) + c] =
              static_cast<std::uint8_t>(255 * level);
        };
        const float level = batch.inputs.data()[3 * at + c];
        put(0, level);
        put(1, batch.labels[at] == 1 ? level : 0.1f);
        put(2, logit[1] > logit[0] ? level : 0.1f);
      }
    }
  return sheet;
}

int main(int argc, char** argv) {
  std::int64_t epochs = 8, images = 800, size = 64;
  std::string out = "segments.png";
  CLI::App app("Trains a U-Net on the masks of painted flowers.");
  app.add_option("--epochs", epochs)->check(CLI::Range(1, 1 << 20))->capture_default_str();
  app.add_option("--images", images, "to train on")->check(CLI::Range(1, 1 << 20));
  app.add_option("--img-size", size, "pixels, a multiple of 8")->check(CLI::Range(16, 1024));
  app.add_option("--out", out, "the picture")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  try {
    check_output("--out", out, {".png"});
    ignore_lost_output();
    const auto flowers = [&](std::int64_t count, std::uint64_t seed) {
      return std::make_shared<painted::FlowerMasks>(
          painted::PaintedOptions{.size = count, .image_size = size, .seed = seed});
    };
    data::Loader train(flowers(images, 1), {.batch_size = 8, .shuffle = true, .seed = 1});
    data::Loader held_out(flowers(std::max<std::int64_t>(8, images / 5), 2), {.batch_size = 16});
    ParameterStore<float> parameters;
    const UNet<float> model(parameters, {.num_classes = 2, .width = 8, .depth = 3});
    parameters.initialize(1);
    Adam<float> adam(parameters, {.weight_decay = 1e-2, .decoupled = true});
    const History history = fit(model, adam, train, held_out,
                                {.objective = cross_entropy_objective(),
                                 .metrics = {mean_iou(), pixel_accuracy()},
                                 .epochs = epochs,
                                 .schedule = cosine_schedule(5e-3, 50)},
                                {report::progress_bar(epochs)});
    const Predictor<float> predict(model, {size, size, 3});
    data::Batch batch;
    held_out.start_epoch(0);
    held_out.next(batch);
    vision::write_png(out, picture(batch, predict(batch.inputs), 8));
    std::printf("Mean IoU on %lld other flowers: %.4f; see %s\n",
                static_cast<long long>(held_out.samples()), history.back().metric().value,
                out.c_str());
  } catch (const std::exception& error) {
    std::fflush(stdout);
    std::fprintf(stderr, "segment_flowers: %s\n", error.what());
    return 1;
  }
}
