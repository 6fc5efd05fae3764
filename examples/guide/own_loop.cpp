// A training loop of your own: two moons, told apart by a network with dropout.
#include <anther/anther.hpp>
#include <anther/train/predictor.hpp>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <numbers>
#include <vector>

using namespace anther;

struct Net : Module<float> {
  explicit Net(const Scope<float>& scope)
      : Module(scope, "Net"),
        in(scope / "in", 2, 32),
        dropout(scope / "dropout", 0.1),
        out(scope / "out", 32, 2) {}
  Variable<float> forward(Variable<float> x) const override { return out(dropout(gelu(in(x)))); }
  Linear<float> in;
  Dropout<float> dropout;
  Linear<float> out;
};

// Points of two half circles, with noise. The same numbers for the same key, on any machine.
void draw(Tensor<float>& points, std::vector<std::int32_t>& labels, RandomKey key) {
  for (std::uint64_t i = 0; i < labels.size(); ++i) {
    const double angle = std::numbers::pi * uniform(key.fold("angle"), i), noise = 0.15;
    const bool second = i % 2 == 1;
    float* at = points.data() + 2 * i;
    at[0] = static_cast<float>((second ? 1 - std::cos(angle) : std::cos(angle)) +
                               noise * normal(key.fold("x"), i));
    at[1] = static_cast<float>((second ? 0.5 - std::sin(angle) : std::sin(angle)) +
                               noise * normal(key.fold("y"), i));
    labels[i] = second;
  }
}

int main() {
  ParameterStore<float> parameters;
  const Net net(parameters);
  parameters.initialize(1);
  Adam<float> optimizer(parameters, {.weight_decay = 1e-2, .decoupled = true});  // AdamW
  ModelEma<float> average(parameters, 0.99);
  GradientNorm<float> norm(parameters.size());
  constexpr std::int64_t steps = 400;
  const Schedule schedule{
      .kind = ScheduleKind::cosine, .lr = 2e-2, .warmup_steps = 20, .steps = steps};

  Tape<float> tape;
  Tensor<float> points({128, 2});
  std::vector<std::int32_t> labels(128);
  for (std::int64_t step = 0; step < steps; ++step) {
    draw(points, labels, RandomKey(1).fold(static_cast<std::uint64_t>(step)));
    tape.begin();  // a new pass; dropout draws another mask in each
    const Variable<float> loss = cross_entropy<float>(net(tape.input(points)), labels);
    tape.zero_gradients();  // backward adds to them
    tape.backward(loss);
    const double scale = clip_scale(norm(tape.gradients()), 1.0);
    optimizer.step(tape, schedule.at(step), scale);
    average.update(optimizer.steps());
    if (step % 100 == 0) std::printf("step %3d: loss %.4f\n", int(step), double{loss.item()});
  }

  average.swap();  // the averaged weights, to evaluate with
  draw(points, labels, RandomKey(2));
  const Predictor<float> predict(net, {2});  // in evaluation mode: nothing is dropped
  const Tensor<float> logits = predict(points);
  int right = 0;
  for (std::size_t i = 0; i < labels.size(); ++i)
    right += (logits.data()[2 * i + 1] > logits.data()[2 * i]) == (labels[i] == 1);
  std::printf("%d of %zu new points are right\n", right, labels.size());
  return right > 115 ? 0 : 1;
}
