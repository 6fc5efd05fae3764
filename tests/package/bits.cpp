// Trains a small network of many ops, a few steps with each optimiser, and prints a checksum of its
// weights: consumers.sh compares those of all compilers and flags.
#include <anther/anther.hpp>
#include <cmath>
#include <cstdio>
#include <cstring>

using namespace anther;

struct Net : Module<float> {
  explicit Net(const Scope<float>& scope)
      : Module(scope, "Net"),
        stem(scope / "stem", 3, 12, {.kernel_size = 3, .stride = 2, .padding = 1}),
        batch_norm(scope / "batch_norm", 12),
        depthwise(scope / "depthwise", 12, 12, {.kernel_size = 3, .padding = 1, .groups = 12}),
        group_norm(scope / "group_norm", 3, 12),
        wide(scope / "wide", 12, 12, {.kernel_size = 3, .padding = 1}),
        pointwise(scope / "pointwise", 12, 24),
        instance_norm(scope / "instance_norm", 24),
        attention(scope / "attention", 24, 3),
        layer_norm(scope / "layer_norm", 24),
        expand(scope / "expand", 24, 50),
        rms_norm(scope / "rms_norm", 50),
        lstm(scope / "lstm", 50, 24),
        gru(scope / "gru", 24, 24),
        head(scope / "head", 24, 5) {}

  Variable<float> forward(Variable<float> x) const override {
    x = hardswish(batch_norm(stem(x)));
    x = x + silu(group_norm(depthwise(x)));
    x = elu(wide(x));
    x = gelu(instance_norm(pointwise(x)));
    const Shape& map = x.shape();
    x = reshape(x, {map[0], map[1] * map[2], map[3]});
    x = x + attention(layer_norm(x));
    x = mish(rms_norm(gelu_tanh(expand(x))));
    x = softplus(gru(lstm(x)));
    return head(tanh(mean(x, {1})));
  }

  Conv2d<float> stem;
  BatchNorm2d<float> batch_norm;
  Conv2d<float> depthwise;
  GroupNorm<float> group_norm;
  Conv2d<float> wide, pointwise;
  InstanceNorm2d<float> instance_norm;
  MultiheadAttention<float> attention;
  LayerNorm<float> layer_norm;
  Linear<float> expand;
  RMSNorm<float> rms_norm;
  LSTM<float> lstm;
  GRU<float> gru;
  Linear<float> head;
};

template <class Optimizer>
void train(const Net& net, ParameterStore<float>& parameters, Optimizer optimizer, double rate) {
  constexpr std::int32_t labels[] = {0, 1, 2, 3, 4, 0};
  Tensor<float> x({6, 16, 16, 3}), targets({6, 5});
  for (std::int64_t i = 0; i < x.size(); ++i)
    x[i] = static_cast<float>(uniform(RandomKey(1), static_cast<std::uint64_t>(i))) - 0.5f;
  for (std::int64_t i = 0; i < 6; ++i) targets[5 * i + labels[i]] = 1;
  parameters.initialize(3);
  Tape<float> tape;
  for (int step = 0; step < 4; ++step) {
    tape.begin({.training = true});
    const Variable<float> y = net(tape.input(x)), target = tape.input(targets);
    // Each in a statement of its own: of a sum's operands compilers choose which to compute first.
    Variable<float> loss = cross_entropy(y, labels);
    loss = loss + huber_loss(y, target, 0.5);
    loss = loss + binary_cross_entropy_with_logits(y, target);
    tape.zero_gradients();
    tape.backward(loss);
    optimizer.step(tape, rate);
  }
  std::uint64_t sum = 0xCBF29CE484222325ull;
  for (const float value : parameters.values()) {
    std::uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    sum = (sum ^ bits) * 0x100000001B3ull;
  }
  std::printf("%016llx\n", static_cast<unsigned long long>(sum));
}

int main() {
  ParameterStore<float> parameters;
  const Net net(parameters);
  train(net, parameters, Adam<float>(parameters), 1e-3);
  train(net, parameters, SGD<float>(parameters), 1e-2);
  train(net, parameters, RMSprop<float>(parameters), 1e-3);
  train(net, parameters, Adagrad<float>(parameters), 1e-2);
  train(net, parameters, Lion<float>(parameters), 1e-4);
}
