// Prints a model's layers with their shapes, parameters and multiply-accumulates.
//
//   summary --model xxs --num-classes 102 --img-size 224
//   summary --model edgevit --options '{"variant": "s", "norm": "ln"}'
//   summary runs/train_flowers/1
#include <CLI/CLI.hpp>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <string>

#include "anther/anther.hpp"
#include "model_flags.hpp"

int main(int argc, char** argv) {
  std::string checkpoint;
  ModelFlags flags;
  std::int64_t batch = 1;
  CLI::App app("Prints the layers of a model.");
  app.add_option("checkpoint", checkpoint, "a .safetensors file or the folder of a run");
  add_model_flags(app, flags, "; without it and a checkpoint: xxs");
  app.add_option("--batch-size", batch)->check(CLI::Range(1, 1 << 20))->capture_default_str();
  app.add_flag("--table", flags.table, "EdgeViT's numbers of blocks and heads in early ports");
  CLI11_PARSE(app, argc, argv);
  try {
    if (checkpoint.empty() && flags.model.empty()) flags.model = "xxs";
    const ModelAtHand model(checkpoint, flags);
    std::fputs(to_string(anther::summarize(*model.module, model.batch_of(batch))).c_str(), stdout);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "summary: %s\n", error.what());
    return 1;
  }
}
