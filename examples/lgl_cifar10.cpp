// A small network of EdgeViT's local-global-local blocks on CIFAR-10's 32x32 images: a model of
// your own from the same layers.
//
//   lgl_cifar10 --data-dir cifar-10-batches-bin [--epochs 10]
//   lgl_cifar10 --data-dir painted
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <string>

#include "anther/anther.hpp"
#include "anther/data/vision/open.hpp"
#include "anther/painted/opener.hpp"
#include "anther/report/progress_callback.hpp"
#include "anther/train/fit.hpp"
#include "anther/train/objectives.hpp"

using namespace anther;

// (N, 32, 32, 3) -> 16x16x48 -> 8x8x96 -> logits.
class LglNet : public Module<float> {
 public:
  LglNet(const Scope<float>& scope, std::int64_t num_classes)
      : Module(scope, "LglNet"),
        embed1(scope / "embed1", 3, 48, 2, {}),
        block1(scope / "block1", 48, 2, 2),
        embed2(scope / "embed2", 48, 96, 2, {}),
        block2(scope / "block2", 96, 4, 2),
        block3(scope / "block3", 96, 4, 1),
        norm(scope / "norm", 8, 96),
        head(scope / "head", 96, num_classes) {}

  Variable<float> forward(Variable<float> x) const override {
    x = block1(embed1(x));
    x = block3(block2(embed2(x)));
    return head(global_average_pool(norm(x)));
  }

 private:
  edgevit::PatchEmbed<float> embed1;
  edgevit::LglBlock<float> block1;
  edgevit::PatchEmbed<float> embed2;
  edgevit::LglBlock<float> block2, block3;
  GroupNorm<float> norm;
  Linear<float> head;
};

int main(int argc, char** argv) {
  std::string data_dir = "data/cifar-10-batches-bin";
  std::int64_t epochs = 10, batch_size = 128, limit = 0;
  double lr = 1e-3;
  CLI::App app("Trains a small network of LGL blocks on CIFAR-10.");
  app.add_option("--data-dir", data_dir, "CIFAR-10's binary files, or the word painted")
      ->capture_default_str();
  app.add_option("--epochs", epochs)->check(CLI::Range(1, 1 << 20))->capture_default_str();
  app.add_option("--batch-size,-b", batch_size)
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  app.add_option("--limit", limit, "only the first N training images; 0: all");
  app.add_option("--lr", lr)->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  try {
    detail::check(lr > 0, "--lr: expected more than 0, got ", lr);
    const vision::OpenedData data =
        vision::open_data(data_dir, {.image_size = 32}, {painted::opener()});
    std::printf("%s\n", data.description.c_str());
    ParameterStore<float> parameters;
    const LglNet net(parameters, static_cast<std::int64_t>(data.class_names.size()));
    parameters.initialize(1);
    std::printf("%s parameters\n", with_commas(parameters.parameter_count()).c_str());

    const vision::Preprocess preprocess{
        .image_size = 32, .mean = {0.5f, 0.5f, 0.5f}, .std = {0.25f, 0.25f, 0.25f}};
    data::Loader train(prepared(data.train, preprocess),
                       {.batch_size = batch_size, .shuffle = true, .limit = limit, .seed = 1});
    data::Loader test(prepared(data.test, preprocess), {.batch_size = batch_size});
    Adam<float> adam(parameters, {});
    const std::int64_t steps = epochs * train.batches();
    report::ProgressCallback progress(epochs, data.test->size(), {.unit = "img"});
    const History history = fit(net, adam, train, test,
                                {.objective = cross_entropy_objective(),
                                 .metrics = {top_k(1)},
                                 .epochs = epochs,
                                 .schedule = {.kind = ScheduleKind::cosine,
                                              .lr = lr,
                                              .warmup_steps = steps / 20,
                                              .steps = steps},
                                 .trainer = {.micro_batch = 16, .lanes = 4}},
                                {&progress});
    std::printf("Test accuracy: %.2f %%\n", 100 * history.back().metric().value);
  } catch (const std::exception& error) {
    std::fflush(stdout);
    std::fprintf(stderr, "lgl_cifar10: %s\n", error.what());
    return 1;
  }
}
