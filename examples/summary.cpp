// Prints a model's layers with their shapes, parameters and multiply-accumulates.
//
//   summary --model xxs --num-classes 102 --img-size 224
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <string>

#include "anther/anther.hpp"

int main(int argc, char** argv) {
  std::string model = "xxs", preset = "improved";
  std::int64_t num_classes = 1000, img_size = 224, batch = 1;
  bool table = false;
  CLI::App app("Prints the layers of EdgeViT.");
  app.add_option("--model", model, "xxs, xs or s")->capture_default_str();
  app.add_option("--preset", preset, "improved or original")->capture_default_str();
  app.add_option("--num-classes", num_classes)
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  app.add_option("--img-size", img_size)->check(CLI::Range(1, 1 << 20))->capture_default_str();
  app.add_option("--batch-size", batch)->check(CLI::Range(1, 1 << 20))->capture_default_str();
  app.add_flag("--table", table, "the numbers of blocks and heads of the early ports");
  CLI11_PARSE(app, argc, argv);
  try {
    anther::ParameterStore<float> store;
    const anther::EdgeViT<float> net(store,
                                     anther::edgevit_options(model, num_classes, preset, table));
    const auto summary = anther::summarize(net, {batch, img_size, img_size, 3});
    std::fputs(to_string(summary).c_str(), stdout);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "summary: %s\n", error.what());
    return 1;
  }
}
