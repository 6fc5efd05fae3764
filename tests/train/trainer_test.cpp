#include "anther/train/trainer.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "anther/core/openmp.hpp"
#include "anther/models/edgevit/edgevit.hpp"
#include "anther/optim/adam.hpp"
#include "anther/train/fine_tune.hpp"
#include "anther/train/metrics.hpp"
#include "anther/train/objectives.hpp"
#include "anther/train/predictor.hpp"
#include "tests/io/temporary_folder.hpp"

namespace {

using namespace anther;
using namespace anther::detail;
using namespace anther::kernels;

// EdgeViT, but quick.
EdgeViTOptions small_options() {
  EdgeViTOptions options = edgevit_options("xxs", 7);
  options.dims = {12, 24, 36, 48};
  options.depths = {1, 1, 1, 1};
  options.heads = {1, 2, 3, 4};
  return options;
}

struct Model {
  explicit Model(const EdgeViTOptions& options) : model(store, options) { store.initialize(1); }
  ParameterStore<float> store;
  EdgeViT<float> model;
};

// Images at random, with labels.
struct Images {
  explicit Images(std::int64_t count, std::int64_t classes = 7, std::int64_t side = 64)
      : tensor({count, side, side, 3}) {
    for (std::int64_t i = 0; i < tensor.size(); ++i)
      tensor[i] = static_cast<float>(uniform(RandomKey(6), static_cast<std::uint64_t>(i)));
    for (std::int64_t i = 0; i < count; ++i)
      labels.push_back(static_cast<std::int32_t>(i * 5 % classes));
  }
  const Shape& shape() const { return tensor.shape(); }
  // Images first, ..., first + count - 1.
  data::Batch part(std::int64_t first, std::int64_t count) const {
    const std::int64_t size = tensor.size() / shape()[0];
    data::Batch batch;
    batch.inputs = Tensor<float>({count, shape()[1], shape()[2], 3});
    std::copy_n(tensor.data() + first * size, count * size, batch.inputs.data());
    batch.labels.assign(labels.begin() + first, labels.begin() + first + count);
    for (std::int64_t i = 0; i < count; ++i) batch.indices.push_back(first + i);
    return batch;
  }
  data::Batch batch() const { return part(0, shape()[0]); }

  Tensor<float> tensor;
  std::vector<std::int32_t> labels;
};

const Objective<float> plain = cross_entropy_objective();
const Objective<float> smoothed = cross_entropy_objective({.label_smoothing = 0.1});

// How many of the last batch's labels were first.
std::int64_t top1_of(const Trainer<float>& trainer, const data::Batch& batch) {
  MetricSums sums({top_k(1)});
  sums.add({trainer.output_shape(), trainer.outputs()}, batch);
  return static_cast<std::int64_t>(sums.sums(0)[0]);
}

// |a - b| over |a|.
double relative_difference(std::span<const float> a, std::span<const float> b) {
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double x = static_cast<double>(a[i]), y = static_cast<double>(b[i]);
    difference += (x - y) * (x - y);
    size += x * x;
  }
  return std::sqrt(difference / size);
}

TEST_CASE("trainer: micro-batches, lanes and parts give the whole batch's gradients") {
  EdgeViTOptions options = small_options();
  options.drop = 0.1;  // whose draws follow the sample, not the micro-batch
  options.drop_path = 0.3;
  Model m(options);
  const Images images(10);
  Trainer<float> whole(m.model, smoothed, {.seed = 3});
  const BatchResult expected = whole.compute_gradients(images.batch(), 4);
  CHECK(expected.samples == 10);
  CHECK(whole.output_shape() == Shape{10, 7});
  CHECK(expected.loss > 0.5);

  const auto check_same = [&](Trainer<float>& trainer, const BatchResult& result) {
    CHECK(relative_difference(whole.gradients(), trainer.gradients()) < 1e-5);
    CHECK(result.loss == doctest::Approx(expected.loss).epsilon(1e-6));
    CHECK(result.samples == 10);
  };
  struct Row {
    std::int64_t micro_batch, lanes;
  };
  for (const Row& row : {Row{1, 1}, Row{5, 1}, Row{3, 2}, Row{4, 8}, Row{100, 2}}) {
    CAPTURE(row.micro_batch);
    CAPTURE(row.lanes);
    Trainer<float> trainer(m.model, smoothed,
                           {.micro_batch = row.micro_batch, .lanes = row.lanes, .seed = 3});
    // A step before it leaves nothing behind.
    trainer.compute_gradients(images.part(2, 3), 9);
    check_same(trainer, trainer.compute_gradients(images.batch(), 4));
    CHECK(relative_difference(whole.outputs(), trainer.outputs()) < 1e-5);
    trainer.begin_step(4);
    trainer.add(images.part(0, 6));
    const BatchResult part = trainer.add(images.part(6, 4));
    CHECK(part.samples == 4);
    check_same(trainer, trainer.finish_step());
  }

  // Another step, or another seed, drops something else.
  Trainer<float> other(m.model, smoothed, {.seed = 4});
  for (const std::int64_t step : {4, 5}) {
    other.compute_gradients(images.batch(), step);
    CHECK(relative_difference(whole.gradients(), other.gradients()) > 1e-3);
  }
}

TEST_CASE("trainer: with BatchNorm a batch is one piece, and its statistics move at commit") {
  EdgeViTOptions options = small_options();
  options.local_norm = edgevit::NormKind::bn;
  Model m(options);
  const Images images(6);
  const std::string refused = "the model has BatchNorm";
  CHECK(contains(error_of([&] { Trainer<float>(m.model, plain, {.micro_batch = 2}); }), refused));
  Trainer<float> trainer(m.model, plain, {.lanes = 2});
  trainer.begin_step(0);
  trainer.add(images.part(0, 3));
  CHECK(contains(error_of([&] { trainer.add(images.part(3, 3)); }), "has to come in one part"));
  // Batches whose gradients are accumulated are batches each.
  Trainer<float> first(m.model, plain, {}), second(m.model, plain, {});
  first.compute_gradients(images.part(0, 3), 0);
  second.compute_gradients(images.part(3, 3), 0);
  trainer.commit();
  trainer.add(images.part(3, 3));
  CHECK(trainer.finish_step().samples == 6);
  std::vector<float> mean(first.gradients().begin(), first.gradients().end());
  for (std::size_t i = 0; i < mean.size(); ++i) mean[i] = (mean[i] + second.gradients()[i]) / 2;
  CHECK(relative_difference(mean, trainer.gradients()) < 1e-5);

  trainer.commit();
  const std::vector<float> start(m.store.buffer_values().begin(), m.store.buffer_values().end());
  trainer.compute_gradients(images.batch(), 0);
  CHECK(std::ranges::equal(m.store.buffer_values(), start));
  trainer.commit();
  CHECK_FALSE(std::ranges::equal(m.store.buffer_values(), start));
}

TEST_CASE("trainer: a step that is left out, or that failed, leaves nothing behind") {
  EdgeViTOptions options = small_options();
  options.local_norm = edgevit::NormKind::bn;
  const Images images(6);
  for (const std::int64_t group : {0, 2}) {
    const auto statistics = [&](bool left_out) {
      Model m(options);
      Trainer<float> trainer(m.model, plain, {.batch_norm_group = group});
      if (left_out) trainer.compute_gradients(images.part(2, 4), 0);
      trainer.compute_gradients(images.part(0, 4), 1);
      trainer.commit();
      return std::vector<float>(m.store.buffer_values().begin(), m.store.buffer_values().end());
    };
    CHECK(statistics(false) == statistics(true));
  }

  Model m(small_options());
  Trainer<float> trainer(m.model, plain, {.micro_batch = 1});
  CHECK(contains(error_of([&] { trainer.add(images.part(0, 2)); }), "expected begin_step() first"));
  data::Batch wrong = images.batch();
  wrong.labels[5] = 7;
  trainer.begin_step(0);
  CHECK(contains(error_of([&] { trainer.add(wrong); }), "is 7, expected 0 to 6"));
  CHECK(contains(error_of([&] { trainer.finish_step(); }), "an add() of this step has thrown"));
  trainer.compute_gradients(images.batch(), 0);
  CHECK(contains(error_of([&] { trainer.finish_step(); }), "expected begin_step() first"));
  CHECK(contains(error_of([&] { trainer.add(images.batch()); }), "expected begin_step() first"));
}

TEST_CASE("trainer: statistics that are frozen after it was made, and groups of an odd batch") {
  EdgeViTOptions options = small_options();
  options.local_norm = edgevit::NormKind::bn;
  Model m(options);
  const Images images(7, 7, 32);
  Trainer<float> trainer(m.model, plain, {.batch_norm_group = 2});
  // 32 pixels are one in the last stage: a group of one image would have one value a channel.
  for (const std::int64_t count : {2, 3, 5, 7})
    CHECK(std::isfinite(trainer.compute_gradients(images.part(0, count), 0).loss));
  freeze_statistics(m.store);
  CHECK(contains(error_of([&] { trainer.compute_gradients(images.batch(), 0); }),
                 "frozen or set free since the trainer was made"));
}

TEST_CASE("trainer: groups of BatchNorm are batches of their own, whose statistics are averaged") {
  EdgeViTOptions options = small_options();
  options.local_norm = edgevit::NormKind::bn;
  Model m(options);
  const Images images(7);
  const std::string refused = "expected at least 2 samples, or 0 for the whole batch, got 1";
  CHECK(contains(error_of([&] { Trainer<float>(m.model, plain, {.batch_norm_group = 1}); }),
                 refused));
  CHECK(contains(
      error_of([&] { Trainer<float>(m.model, plain, {.micro_batch = 2, .batch_norm_group = 2}); }),
      "leave micro-batch 0"));

  const std::vector<float> start(m.store.buffer_values().begin(), m.store.buffer_values().end());
  const auto restart = [&] {
    const auto edit = m.store.edit();
    std::ranges::copy(start, edit.buffer_values().begin());
  };
  // Seven samples in groups of three at most: of 2, 2 and 3.
  std::vector<double> gradients(static_cast<std::size_t>(m.store.size())), buffers(start.size());
  double loss = 0;
  for (const auto& [first, count] : {std::pair<std::int64_t, std::int64_t>{0, 2}, {2, 2}, {4, 3}}) {
    Trainer<float> whole(m.model, plain, {});
    loss += whole.compute_gradients(images.part(first, count), 0).loss * double(count) / 7;
    whole.commit();
    for (std::size_t i = 0; i < gradients.size(); ++i)
      gradients[i] += double(whole.gradients()[i]) * double(count) / 7;
    for (std::size_t i = 0; i < buffers.size(); ++i)
      buffers[i] += double(m.store.buffer_values()[i]) / 3;
    restart();
  }
  const std::vector<float> mean(gradients.begin(), gradients.end());
  const std::vector<float> moved(buffers.begin(), buffers.end());
  CHECK(relative_difference(start, moved) > 1e-3);

  std::vector<float> first_bits;
  for (const std::int64_t lanes : {1, 2, 8}) {
    CAPTURE(lanes);
    Trainer<float> trainer(m.model, plain, {.batch_norm_group = 3, .lanes = lanes});
    const BatchResult result = trainer.compute_gradients(images.batch(), 0);
    CHECK(result.loss == doctest::Approx(loss).epsilon(1e-6));
    CHECK(relative_difference(mean, trainer.gradients()) < 1e-5);
    CHECK(std::ranges::equal(m.store.buffer_values(), start));
    trainer.commit();
    CHECK(relative_difference(moved, m.store.buffer_values()) < 1e-6);
    if (first_bits.empty())
      first_bits.assign(m.store.buffer_values().begin(), m.store.buffer_values().end());
    CHECK(std::ranges::equal(m.store.buffer_values(), first_bits));
    restart();
    // The batch may come in parts, each cut into groups; one commit moves the statistics.
    trainer.begin_step(0);
    trainer.add(images.part(0, 4));
    trainer.add(images.part(4, 3));
    CHECK(trainer.finish_step().samples == 7);
    CHECK(relative_difference(mean, trainer.gradients()) < 1e-5);
    trainer.commit();
    CHECK(std::ranges::equal(m.store.buffer_values(), first_bits));
    restart();
  }
  // A group that takes in the batch is the whole batch, to the bit.
  Trainer<float> whole(m.model, plain, {}), group(m.model, plain, {.batch_norm_group = 7});
  whole.compute_gradients(images.batch(), 0);
  group.compute_gradients(images.batch(), 0);
  CHECK(std::ranges::equal(whole.gradients(), group.gradients()));
}

TEST_CASE("trainer: an automatic micro-batch is about two images of 224 x 224 pixels") {
  const std::int64_t sizes[][2] = {{224, 2}, {192, 3}, {160, 4}, {128, 6},
                                   {96, 11}, {64, 24}, {32, 24}, {8192, 1}};
  for (const auto& [side, expected] : sizes)
    CHECK(automatic_micro_batch(side * side * 3) == expected);
  CHECK(automatic_micro_batch(112 * 448 * 3) == 2);
  // More of what is smaller: vectors.
  CHECK(automatic_micro_batch(300) == 245);
  CHECK(automatic_micro_batch(8) == 4096);

  // The trainer's 0 is this: the same bits as when it is asked for, and others than of another.
  Model m(small_options());
  const Images images(28);
  Trainer<float> automatic(m.model, plain, {}), asked(m.model, plain, {.micro_batch = 24}),
      whole(m.model, plain, {.micro_batch = 28});
  for (Trainer<float>* trainer : {&automatic, &asked, &whole})
    trainer->compute_gradients(images.batch(), 0);
  CHECK(std::ranges::equal(automatic.gradients(), asked.gradients()));
  CHECK_FALSE(std::ranges::equal(automatic.gradients(), whole.gradients()));
}

TEST_CASE("trainer: what does not fit is refused, and the trainer goes on") {
  Model m(small_options());
  const Images images(4);
  CHECK(contains(error_of([&] { Trainer<float>(m.model, plain, {.micro_batch = -1}); }),
                 "micro-batch"));
  CHECK(contains(error_of([&] { Trainer<float>(m.model, plain, {.lanes = 0}); }), "lanes"));
  for (const std::int64_t lanes : {1, 2}) {
    Trainer<float> trainer(m.model, plain, {.micro_batch = 1, .lanes = lanes});
    // Labels far off: they must not be looked up before they are checked.
    for (const std::int32_t label : {7, -1, 1 << 30}) {
      data::Batch wrong = images.batch();
      wrong.labels[2] = label;
      CHECK(contains(error_of([&] { trainer.compute_gradients(wrong, 0); }),
                     text_of("is ", label, ", expected 0 to 6")));
    }
    data::Batch few = images.batch();
    few.labels.pop_back();
    CHECK(contains(error_of([&] { trainer.compute_gradients(few, 0); }),
                   "N targets, got (4, 64, 64, 3) inputs, 4 indices, 3 labels"));
    CHECK(contains(error_of([&] {
                     trainer.begin_step(0);
                     trainer.finish_step();
                   }),
                   "at least one sample"));
    const BatchResult result = trainer.compute_gradients(images.batch(), 0);
    CHECK(std::isfinite(result.loss));
  }
}

TEST_CASE("trainer: mixed labels and logit offsets reach the loss") {
  Model m(small_options());
  const Images images(6);
  const std::vector<std::int32_t> labels2 = {3, 3, 0, 6, 1, 2};
  const std::vector<float> lambda = {0.9f, 0.2f, 1, 0.5f, 0, 0.7f};
  const std::vector<double> offsets = {0.5, -1, 2, 0, 0.3, -0.7, 1};

  // log softmax in double, from the logits by themselves.
  const Predictor<float> predictor(m.model, {64, 64, 3});
  const Tensor<float> logits = predictor(images.tensor);
  const auto loss_of = [&](bool mixed, bool offset) {
    double total = 0;
    for (std::size_t n = 0; n < 6; ++n) {
      double row[7], sum = 0;
      for (std::size_t k = 0; k < 7; ++k) {
        row[k] = static_cast<double>(logits[static_cast<std::int64_t>(n * 7 + k)]) +
                 (offset ? offsets[k] : 0);
        sum += std::exp(row[k]);
      }
      const auto of = [&](std::int32_t label) { return std::log(sum) - row[label]; };
      const double weight = mixed ? static_cast<double>(lambda[n]) : 1;
      total += weight * of(images.labels[n]) + (1 - weight) * of(labels2[n]);
    }
    return total / 6;
  };
  for (const bool mixed : {false, true})
    for (const bool offset : {false, true}) {
      CAPTURE(mixed);
      CAPTURE(offset);
      CrossEntropyObjectiveOptions options;
      if (offset) options.logit_offsets = offsets;
      const Objective<float> objective = cross_entropy_objective(options);
      Trainer<float> trainer(m.model, objective, {.micro_batch = 4, .lanes = 2});
      data::Batch batch = images.batch();
      if (mixed) {
        batch.labels2 = labels2;
        batch.lambda = lambda;
      }
      CHECK(trainer.compute_gradients(batch, 0).loss ==
            doctest::Approx(loss_of(mixed, offset)).epsilon(1e-5));
      // Evaluation has no offsets.
      Tape<float> tape;
      tape.begin({.training = false, .backward = false});
      CHECK(objective(tape.input(logits), batch, {0, 6}).item() ==
            doctest::Approx(6 * loss_of(mixed, false)).epsilon(1e-5));
    }

  // Accuracy while mixed counts the class of which there is more.
  Trainer<float> trainer(m.model, plain, {});
  data::Batch batch = images.batch(), seconds = batch;
  batch.labels2 = labels2;
  batch.lambda.assign(6, 0.25f);
  seconds.labels = labels2;
  trainer.compute_gradients(batch, 0);
  CHECK(top1_of(trainer, batch) == top1_of(trainer, seconds));

  // tau log prior.
  const std::vector<std::int64_t> counts = {30, 10, 0, 60};
  const std::vector<double> prior = class_prior_offsets(counts, 2);
  CHECK(prior[0] == doctest::Approx(2 * std::log(0.3)));
  CHECK(prior[2] == doctest::Approx(2 * std::log(0.005)));
  CHECK(prior[3] == doctest::Approx(2 * std::log(0.6)));
}

TEST_CASE("trainer: frozen layers have no gradients, and the others the same ones") {
  Model all(small_options()), frozen(small_options());
  const Images images(4);
  for (int i = 0; i < std::ssize(frozen.store.parameters()); ++i) {
    const std::string& name = frozen.store.parameters()[static_cast<std::size_t>(i)].name;
    if (name.starts_with("stages.0.") || name.starts_with("stages.1.1.") || name == "head.bias")
      frozen.store.set_trainable(i, false);
  }
  Trainer<float> a(all.model, plain, {.micro_batch = 2}),
      b(frozen.model, plain, {.micro_batch = 2});
  a.compute_gradients(images.batch(), 0);
  b.compute_gradients(images.batch(), 0);
  for (int i = 0; i < std::ssize(frozen.store.parameters()); ++i) {
    const auto own = frozen.store.slice_of(b.gradients(), i);
    CAPTURE(frozen.store.parameters()[static_cast<std::size_t>(i)].name);
    if (frozen.store.parameters()[static_cast<std::size_t>(i)].trainable)
      CHECK(std::ranges::equal(own, all.store.slice_of(a.gradients(), i)));
    else
      CHECK(std::ranges::count(own, 0.0f) == std::ssize(own));
  }
}

TEST_CASE("trainer: what is not finite is named") {
  const Images images(8);
  const auto found = [&](const std::function<void(Model&, Images&)>& spoil, std::int64_t lanes,
                         bool amp = false) {
    Model m(small_options());
    Images own = images;
    spoil(m, own);
    Trainer<float> trainer(m.model, plain, {.micro_batch = 1, .lanes = lanes, .amp = amp});
    trainer.compute_gradients(own.batch(), 0);
    return trainer.not_finite();
  };
  const auto set = [](Model& m, std::string_view name, std::size_t first, std::size_t count,
                      float value) {
    auto edit = m.store.edit();
    for (int i = 0; i < std::ssize(m.store.parameters()); ++i)
      if (m.store.parameters()[static_cast<std::size_t>(i)].name == name)
        return std::ranges::fill(edit.value(i).subspan(first, count), value), void();
    fail("none of the name ", name);
  };
  const float infinity = std::numeric_limits<float>::infinity();
  for (const std::int64_t lanes : {1, 4}) {
    CHECK(found([](Model&, Images&) {}, lanes).empty());
    CHECK(found([&](Model& m, Images&) { set(m, "stages.1.1.dw.weight", 7, 1, infinity); },
                lanes) == "the parameter stages.1.1.dw.weight");
    CHECK(found([&](Model&, Images& i) { i.tensor[64 * 64 * 3 * 5] = std::nanf(""); }, lanes) ==
          "the inputs");
    // Finite all of them, but their product is not.
    const auto large = [&](Model& m, Images&) {
      set(m, "stages.2.1.ffn.expand.weight", 0, std::dynamic_extent, 1e38f);
    };
    for (const bool amp : {false, true})
      CHECK(found(large, lanes, amp) == "the output of stages.2.1.ffn.expand (linear)");
  }
}

TEST_CASE("trainer: weight decay is for weights alone, as timm groups them") {
  for (const char* preset : {"improved", "original"}) {
    ParameterStore<float> store;
    const EdgeViT<float> model(store, edgevit_options("xxs", 10, preset));
    for (const ParameterInfo& info : store.parameters()) {
      CAPTURE(info.name);
      CHECK(info.decay == (info.torch_shape().rank() > 1 && !info.name.ends_with(".bias")));
    }
  }
}

TEST_CASE("trainer: the same bits for any number of threads, across lanes and within ops") {
  const Images images(16, 10);
  for (const TrainerOptions& options : {TrainerOptions{.micro_batch = 1, .lanes = 4, .seed = 1},
                                        TrainerOptions{.micro_batch = 16, .seed = 1}}) {
    CAPTURE(options.lanes);
    std::vector<float> values, gradients;
    std::vector<double> losses;
    for (const int threads : {1, 2, 3, 4}) {
      set_num_threads(threads);
      EdgeViTOptions model_options = edgevit_options("xxs", 10);
      model_options.drop_path = 0.1;
      Model m(model_options);
      Trainer<float> trainer(m.model, plain, options);
      Adam<float> adam(m.store);
      std::vector<double> found;
      for (std::int64_t step = 0; step < 3; ++step) {
        found.push_back(trainer.compute_gradients(images.batch(), step).loss);
        adam.step(trainer.gradients(), 1e-3);
        trainer.commit();
      }
      set_num_threads(0);
      if (threads == 1) {
        values.assign(m.store.values().begin(), m.store.values().end());
        gradients.assign(trainer.gradients().begin(), trainer.gradients().end());
        losses = found;
        CHECK(relative_difference(gradients, std::vector<float>(gradients.size())) == 1);
        continue;
      }
      CAPTURE(threads);
      const std::size_t bytes = values.size() * sizeof(float);
      CHECK(std::memcmp(trainer.gradients().data(), gradients.data(), bytes) == 0);
      CHECK(std::memcmp(m.store.values().data(), values.data(), bytes) == 0);
      CHECK(losses == found);
    }
  }
}

TEST_CASE("trainer: eight images are learned by heart") {
  for (const bool original : {false, true}) {
    CAPTURE(original);
    EdgeViTOptions options = small_options();
    if (original) {
      options.norm = edgevit::NormKind::ln;  // and so BatchNorm in LocalAgg
      options.ffn = edgevit::FfnKind::linear;
      options.init = edgevit::InitScheme::official;
    }
    Model m(options);
    const Images images(8);
    Trainer<float> trainer(m.model, plain, {});
    Adam<float> adam(m.store);
    BatchResult result;
    std::int64_t step = 0;
    for (; step < 300; ++step) {
      result = trainer.compute_gradients(images.batch(), step);
      if (result.loss < 0.01) break;
      adam.step(trainer.gradients(), 3e-3);
      trainer.commit();
    }
    CAPTURE(step);
    CHECK(result.loss < 0.01);
    CHECK(top1_of(trainer, images.batch()) == 8);
  }
}

}  // namespace
