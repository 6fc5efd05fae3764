// LeNet-5 on MNIST's files (unpacked), or on digits that it paints itself.
//
//   lenet [folder of train-images-idx3-ubyte, ...] [--epochs 5] [--limit 0]
#include <CLI/CLI.hpp>
#include <array>
#include <cmath>
#include <cstdio>
#include <exception>

#include "anther/anther.hpp"
#include "anther/data/vision/idx.hpp"
#include "anther/models/lenet5/lenet5.hpp"
#include "anther/report/font.hpp"
#include "anther/report/progress_callback.hpp"
#include "anther/train/fit.hpp"
#include "anther/train/objectives.hpp"

using namespace anther;

// The plots' letters 0 to 9, each of another size, place, slant and brightness, with noise.
class PaintedDigits : public data::Dataset {
 public:
  PaintedDigits(std::int64_t size, std::uint64_t seed) : size_(size), seed_(seed) {}
  std::int64_t size() const override { return size_; }
  Shape input_shape() const override { return {28, 28, 1}; }
  data::TargetSpec target() const override { return data::classes(); }
  void load(std::int64_t index, RandomKey, const data::Sample& sample) const override {
    const RandomKey key = RandomKey(seed_).fold(static_cast<std::uint64_t>(index));
    const auto draw = [&](std::uint64_t i, double low, double high) {
      return low + (high - low) * uniform(key, i);
    };
    const int digit = static_cast<int>(index % 10);
    const std::array<std::uint8_t, 7> glyph = report::glyph_of(static_cast<char>('0' + digit));
    const double dot = draw(0, 2, 3.5), x0 = 14 + draw(1, -3, 3), y0 = 14 + draw(2, -3, 3),
                 slant = draw(3, -0.3, 0.3), turn = draw(4, -0.2, 0.2), bright = draw(5, 0.5, 1);
    for (int y = 0; y < 28; ++y)
      for (int x = 0; x < 28; ++x) {
        const double dx = x - x0, dy = y - y0;  // to the glyph's 5 columns and 7 rows
        const int row = static_cast<int>(std::floor((dy - turn * dx) / dot + 3.5));
        const int column = static_cast<int>(std::floor((dx + slant * dy) / dot + 2.5));
        const bool ink = row >= 0 && row < 7 && column >= 0 && column < 5 &&
                         glyph[static_cast<std::size_t>(row)] >> (4 - column) & 1;
        const auto pixel = static_cast<std::size_t>(28 * y + x);
        sample.input[pixel] = static_cast<float>(ink ? bright : 0) +
                              0.1f * static_cast<float>(normal(key, pixel + 6));
      }
    sample.classes[0] = digit;
  }

 private:
  std::int64_t size_;
  std::uint64_t seed_;
};

int main(int argc, char** argv) {
  std::string folder;
  std::int64_t epochs = 5, limit = 0;
  CLI::App app("Trains LeNet-5 on MNIST, or on painted digits.");
  app.add_option("folder", folder, "MNIST's IDX files; none: painted digits");
  app.add_option("--epochs", epochs)->check(CLI::Range(1, 1 << 20))->capture_default_str();
  app.add_option("--limit", limit, "only the first N images; 0: all")
      ->check(CLI::NonNegativeNumber);
  CLI11_PARSE(app, argc, argv);
  try {
    vision::MnistParts parts{std::make_shared<PaintedDigits>(10000, 1),
                             std::make_shared<PaintedDigits>(2000, 2)};
    if (!folder.empty()) parts = vision::open_mnist(folder);
    data::Loader train(parts.train, {.batch_size = 64, .shuffle = true, .limit = limit, .seed = 1});
    data::Loader test(parts.test, {.batch_size = 256, .limit = limit});
    ParameterStore<float> parameters;
    const Shape image = parts.train->input_shape();
    const LeNet5<float> model(parameters, {.image_size = image[0], .num_classes = 10});
    parameters.initialize(1);
    std::printf("%s\n", to_string(summarize(model, {1, image[0], image[1], image[2]})).c_str());
    Adam<float> adam(parameters);
    const History history = fit(model, adam, train, test,
                                {.objective = cross_entropy_objective(),
                                 .metrics = {top_k(1)},
                                 .epochs = epochs,
                                 .schedule = cosine_schedule(2e-3)},
                                {report::progress_bar(epochs)});
    std::printf("Test accuracy: %.2f %%\n", 100 * history.back().metric().value);
  } catch (const std::exception& error) {
    std::fflush(stdout);
    std::fprintf(stderr, "lenet: %s\n", error.what());
    return 1;
  }
}
