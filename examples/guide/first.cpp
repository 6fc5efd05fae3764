// Learns a sine from 64 of its points.
#include <anther/anther.hpp>
#include <cmath>
#include <cstdio>

using namespace anther;

struct Net : Module<float> {
  explicit Net(const Scope<float>& scope)
      : Module(scope, "Net"), hidden(scope / "hidden", 1, 32), out(scope / "out", 32, 1) {}
  Variable<float> forward(Variable<float> x) const override { return out(gelu(hidden(x))); }
  Linear<float> hidden, out;
};

int main() {
  ParameterStore<float> parameters;
  const Net net(parameters);
  parameters.initialize(1);  // the seed of the random start

  Tensor<float> x({64, 1}), y({64, 1});
  for (int i = 0; i < 64; ++i) {
    x[i] = 0.1f * static_cast<float>(i) - 3.15f;
    y[i] = std::sin(x[i]);
  }

  Adam<float> adam(parameters);
  Tape<float> tape;
  for (int step = 0; step <= 1000; ++step) {
    tape.begin();
    const Variable<float> loss = mse_loss(net(tape.input(x)), tape.input(y));
    tape.zero_gradients();
    tape.backward(loss);
    adam.step(tape, 1e-2);
    if (step % 250 == 0) std::printf("step %4d: loss %.6f\n", step, double{loss.item()});
  }

  Inference<float> predict(net, {1, 1});
  for (const float at : {-2.f, -1.f, 0.f, 1.f, 2.f})
    std::printf("sin(%4.1f) = %7.4f, predicted %7.4f\n", double{at}, std::sin(double{at}),
                double{predict({&at, 1})[0]});
}
