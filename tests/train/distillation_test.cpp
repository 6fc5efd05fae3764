// Distillation: the loss is PyTorch's, its gradient is right, and what a teacher must be.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "anther/autograd/gradient_check.hpp"
#include "anther/core/random.hpp"
#include "anther/data/table.hpp"
#include "anther/nn/linear.hpp"
#include "anther/optim/adam.hpp"
#include "anther/train/fit.hpp"
#include "anther/train/objectives.hpp"
#include "tests/io/temporary_folder.hpp"

namespace {

using namespace anther;

// Two samples of three classes: the teacher's logits are the inputs themselves.
data::Batch two_samples() {
  data::Batch batch;
  const std::vector<float> logits = {2, 0.5f, -1, -0.5f, 1, 1.5f};
  batch.inputs = Tensor<float>({2, 3}, logits);
  batch.labels = {0, 2};
  batch.indices = {0, 1};
  return batch;
}
Tensor<float> same(const Tensor<float>& inputs) {
  return {inputs.shape(), inputs.span()};
}

const std::vector<double> student = {1.5, -0.5, 0.25, 0, 2, -1};

double loss_of(const Objective<double>& objective, const data::Batch& batch, SampleRange part,
               bool training = true) {
  Tape<double> tape;
  tape.begin({.training = training});
  const std::span<const double> logits = std::span(student).subspan(
      static_cast<std::size_t>(3 * part.first), static_cast<std::size_t>(3 * part.count));
  return objective(tape.input({part.count, 3}, logits), batch, part).item();
}

TEST_CASE("distillation: the loss is that of PyTorch's kl_div and cross_entropy") {
  const auto labels = cross_entropy_objective<double>({.label_smoothing = 0.1});
  const auto objective =
      distillation_objective<double>(same, labels, {.weight = 0.7, .temperature = 2.5});
  const data::Batch batch = two_samples();
  // In PyTorch 1.13 and 2.15, in float64, with reduction="sum":
  //   0.3 cross_entropy(s, y, label_smoothing=0.1) + 0.7 2.5**2 kl_div(log_softmax(s / 2.5),
  //   softmax(t / 2.5))
  const double whole = loss_of(objective, batch, {0, 2});
  CHECK(whole == doctest::Approx(2.1373252381417513).epsilon(1e-14));
  // A part is given the teacher's logits of its own samples.
  CHECK(loss_of(objective, batch, {0, 1}) + loss_of(objective, batch, {1, 1}) ==
        doctest::Approx(whole).epsilon(1e-14));
  // An evaluation has the labels' loss alone, and does not ask the teacher.
  const Predict none = [](const Tensor<float>&) -> Tensor<float> { detail::fail("was asked"); };
  CHECK(loss_of(distillation_objective<double>(none, labels), batch, {0, 2}, false) ==
        loss_of(labels, batch, {0, 2}, false));
  CHECK(loss_of(distillation_objective<double>(none, labels, {.weight = 0}), batch, {0, 2}) ==
        loss_of(labels, batch, {0, 2}));
}

TEST_CASE("distillation: the gradient is that of the loss, of rows and of maps") {
  const auto objective = distillation_objective<double>(
      same, cross_entropy_objective<double>({.label_smoothing = 0.1}), {.temperature = 3});
  for (const Shape& shape : {Shape{4, 5}, Shape{2, 3, 2, 5}}) {
    CAPTURE(shape.rank());
    data::Batch batch;
    batch.inputs = Tensor<float>(shape);
    Tensor<double> logits(shape);
    for (std::int64_t i = 0; i < logits.size(); ++i) {
      batch.inputs[i] = static_cast<float>(normal(RandomKey(1), static_cast<std::uint64_t>(i)));
      logits[i] = 2 * normal(RandomKey(2), static_cast<std::uint64_t>(i));
    }
    for (std::int64_t i = 0; i < logits.size() / 5; ++i)
      batch.labels.push_back(static_cast<std::int32_t>(i % 5));
    for (std::int64_t i = 0; i < shape[0]; ++i) batch.indices.push_back(i);
    if (shape.rank() == 4) batch.target_shape = {3, 2};
    const GradientCheckResult result =
        check_gradients({logits},
                        [&](auto&, const auto& v) {
                          return objective(v[0], batch, {0, batch.size()});
                        },
                        {.tape = {.training = true}});
    CHECK_MESSAGE(result.worst < 1e-8, result.where);
  }
}

TEST_CASE("distillation: what a teacher and the options must be") {
  const auto labels = cross_entropy_objective<double>();
  const Predict wide = [](const Tensor<float>& x) { return Tensor<float>({x.shape()[0], 4}); };
  const auto refused = [&](const Predict& teacher, const DistillationOptions& options = {}) {
    return error_of([&] {
      loss_of(distillation_objective<double>(teacher, labels, options), two_samples(), {0, 2});
    });
  };
  CHECK(
      contains(refused(wide),
               "distillation: expected a teacher with outputs (2, 3) as the model's, got (2, 4)"));
  CHECK(contains(refused({}), "distillation: expected a teacher and an objective"));
  CHECK(contains(refused(same, {.weight = 1.5}), "expected a weight in [0, 1], got 1.5"));
  CHECK(contains(refused(same, {.temperature = 0}), "expected a temperature above 0, got 0"));
  CHECK(refused(same).empty());
}

// The labels say nothing, so that what the student learns is the teacher's.
TEST_CASE("distillation: a student learns what its teacher knows") {
  struct Net : Module<float> {
    explicit Net(const Scope<float>& scope) : Module(scope, "Net"), out(scope / "out", 4, 3) {}
    Variable<float> forward(Variable<float> x) const override { return out(x); }
    Linear<float> out;
  };
  ParameterStore<float> known, learned;
  const Net teacher(known), net(learned);
  known.initialize(1);
  learned.initialize(2);
  for (const auto edit = known.edit(); float& x : edit.values()) x *= 4;
  const Predictor<float> predictor(teacher, {4});

  Tensor<float> inputs({256, 4});
  for (std::int64_t i = 0; i < inputs.size(); ++i)
    inputs[i] = static_cast<float>(normal(RandomKey(3), static_cast<std::uint64_t>(i)));
  const auto agreement = [&] {
    const Tensor<float> a = predictor(inputs), b = Predictor<float>(net, {4})(inputs);
    int same_class = 0;
    for (std::int64_t n = 0; n < 256; ++n) {
      const auto best = [&](const Tensor<float>& x) {
        const float* row = x.data() + 3 * n;
        return std::max_element(row, row + 3) - row;
      };
      same_class += best(a) == best(b);
    }
    return same_class / 256.0;
  };
  CHECK(agreement() < 0.7);
  Adam<float> adam(learned);
  data::Loader train(
      std::make_shared<const data::Table>(same(inputs), std::vector<std::int32_t>(256, 0)),
      {.batch_size = 32, .shuffle = true});
  fit(net, adam, train, nullptr,
      {.objective =
           distillation_objective(std::cref(predictor), cross_entropy_objective(), {.weight = 1}),
       .epochs = 20,
       .schedule = cosine_schedule(0.05)});
  CHECK(agreement() > 0.97);
}

}  // namespace
