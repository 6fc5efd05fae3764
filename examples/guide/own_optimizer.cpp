// An optimiser of your own: Signum (Bernstein et al. 2018), which steps by the sign of its
// momentum.
#include <anther/anther.hpp>
#include <cmath>
#include <cstdint>
#include <cstdio>

using namespace anther;

struct SignumOptions {
  double beta = 0.9;
  double weight_decay = 0;
};

template <class T>
class Signum : public Optimizer<T> {
 public:
  // The state has a buffer of the parameters' size for each name. Files of a run have it by name.
  explicit Signum(ParameterStore<T>& store, const SignumOptions& options = {})
      : Optimizer<T>(store, {"exp_avg"}), options_(options) {}

 protected:
  // One step for the parameters of a range: they share the learning rate, and either all of them
  // decay or none. Frozen parameters are in no range.
  void update(T* values, const T* gradients, const typename Optimizer<T>::Range& range, double lr,
              double gradient_scale) override {
    T* average = this->state()[0].values.data();
    const auto beta = static_cast<T>(options_.beta);
    const auto scale = static_cast<T>(gradient_scale), rate = static_cast<T>(lr);
    const auto decay = static_cast<T>(range.decay ? options_.weight_decay : 0);
    for (std::int64_t i = range.begin; i < range.end; ++i) {
      const T gradient = scale * gradients[i];
      average[i] = beta * average[i] + (1 - beta) * gradient;
      const T sign = static_cast<T>((average[i] > 0) - (average[i] < 0));
      values[i] -= rate * (sign + decay * values[i]);
    }
  }

 private:
  SignumOptions options_;
};

struct Net : Module<float> {
  explicit Net(const Scope<float>& scope)
      : Module(scope, "Net"), hidden(scope / "hidden", 1, 32), out(scope / "out", 32, 1) {}
  Variable<float> forward(Variable<float> x) const override { return out(gelu(hidden(x))); }
  Linear<float> hidden, out;
};

int main() {
  ParameterStore<float> parameters;
  const Net net(parameters);
  parameters.initialize(1);
  Tensor<float> x({64, 1}), y({64, 1});
  for (int i = 0; i < 64; ++i) {
    x[i] = 0.1f * static_cast<float>(i) - 3.15f;
    y[i] = std::sin(x[i]);
  }
  Signum<float> signum(parameters);
  const Schedule schedule{.kind = ScheduleKind::cosine, .lr = 1e-2, .steps = 1000};
  Tape<float> tape;
  float last = 1;
  for (int step = 0; step < 1000; ++step) {
    tape.begin();
    const Variable<float> loss = mse_loss(net(tape.input(x)), tape.input(y));
    tape.zero_gradients();
    tape.backward(loss);
    signum.step(tape, schedule.at(step));
    last = loss.item();
    if (step % 250 == 0) std::printf("step %4d: loss %.6f\n", step, double{last});
  }
  std::printf("at the end:  loss %.6f\n", double{last});
  return last < 1e-3f ? 0 : 1;
}
