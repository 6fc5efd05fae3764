// Learns to write: a model that gives the next character of a text, from a file.
//
//   character_model README.md [--gru] [--epochs 10] [--length 64] [--sample 300]
#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdio>
#include <exception>

#include "anther/data/table.hpp"
#include "anther/data/tokens.hpp"
#include "anther/io/file.hpp"
#include "anther/report/progress_callback.hpp"
#include "anther/train/fit.hpp"
#include "anther/train/objectives.hpp"
#include "character_model.hpp"

using namespace anther;

// A random one of K numbers, by their softmax.
std::size_t draw(std::span<const float> logits, double number) {
  const std::vector<double> log_probability = log_softmax_of(logits);
  std::size_t i = 0;
  for (; i + 1 < logits.size() && (number -= std::exp(log_probability[i])) > 0;) ++i;
  return i;
}

int main(int argc, char** argv) {
  std::string file;
  bool gru = false;
  std::int64_t epochs = 10, length = 64, sample = 300;
  CLI::App app("Learns to write like a text.");
  app.add_option("file", file, "the text")->required();
  app.add_flag("--gru", gru, "a GRU in place of the transformer");
  app.add_option("--epochs", epochs)->check(CLI::Range(1, 1 << 20))->capture_default_str();
  app.add_option("--length", length, "characters that it sees")->check(CLI::Range(1, 1 << 16));
  app.add_option("--sample", sample, "characters to write")->check(CLI::NonNegativeNumber);
  CLI11_PARSE(app, argc, argv);
  try {
    const std::string text = io::read_text_file(file);
    const data::Characters characters(text);
    const auto [first, second] = data::split(
        std::make_shared<data::TokenWindows>(characters.ids(text), characters.size(), length), 0.1,
        1);
    ParameterStore<float> parameters;
    const CharacterModel model(parameters, characters.size(), length, gru);
    parameters.initialize(1);
    Adam<float> adam(parameters, {.weight_decay = 1e-2, .decoupled = true});
    fit(model, adam, data::Loader(first, {.batch_size = 16, .shuffle = true}),
        data::Loader(second, {.batch_size = 64}),
        {.objective = cross_entropy_objective(),
         .epochs = epochs,
         .schedule = cosine_schedule(2e-3, 20),
         .clip_grad = 1},
        {report::progress_bar(epochs)});
    Inference<float> predict(model, {1, length});
    std::vector<std::int32_t> ids =
        characters.ids(text.substr(0, static_cast<std::size_t>(length)));
    for (std::int64_t i = 0; i < sample; ++i) {
      const std::span<const float> logits = predict(std::span<const std::int32_t>(ids));
      const auto last = logits.last(static_cast<std::size_t>(characters.size()));
      ids.erase(ids.begin());
      ids.push_back(static_cast<std::int32_t>(
          draw(last, uniform(RandomKey(1), static_cast<std::uint64_t>(i)))));
      std::putchar(characters.character(ids.back()));
    }
    std::printf("\n");
  } catch (const std::exception& error) {
    std::fflush(stdout);
    std::fprintf(stderr, "character_model: %s\n", error.what());
    return 1;
  }
}
