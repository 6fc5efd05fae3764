// A program outside Anther's tree: an op of its own, with a body for each instruction set, in a
// model of its own that it trains and exports; and Anther's check of the op's gradient.
#include <anther/anther.hpp>
#include <anther/export/onnx.hpp>
#include <cstdio>
#include <string>
#include <vector>

namespace consumer {

// It would take repeated lines away.
// clang-format off
#include <anther/kernels/next_isa.inl>
#include "square.inl"
#include <anther/kernels/next_isa.inl>
#include "square.inl"
#include <anther/kernels/next_isa.inl>
#include "square.inl"
#include <anther/kernels/next_isa.inl>
// clang-format on

// y = x^2, by the bodies of square.inl.
template <class T>
inline constexpr anther::Op<T> square_op = {
    .name = "square",
    .forward =
        [](anther::Call<T>& call) {
          ANTHER_SELECT(square_forward<T>)
          (call.output(), call.input(0), call.output_shape().numel());
        },
    .backward =
        [](anther::Call<T>& call) {
          if (const auto dx = call.input_gradient(0)) ANTHER_SELECT(square_backward<T>)
          (dx.to, dx.add, call.output_gradient(), call.input(0), call.output_shape().numel());
        },
};

template <class T>
anther::Variable<T> square(const anther::Variable<T>& x) {
  return x.tape().apply(square_op<T>, 0, {x}, x.shape());
}

}  // namespace consumer

// Learns y = x0^2 - x1^2 as two classes.
struct Net : anther::Module<float> {
  explicit Net(const anther::Scope<float>& scope)
      : Module(scope, "Net"), in(scope / "in", 2, 4), out(scope / "out", 4, 2) {}
  anther::Variable<float> forward(anther::Variable<float> x) const override {
    return out(consumer::square(in(x)));
  }
  anther::Linear<float> in, out;
};

int main() {
  anther::Tensor<double> x({3, 7});
  for (std::int64_t i = 0; i < x.size(); ++i)
    x[i] = anther::normal(anther::RandomKey(1), static_cast<std::uint64_t>(i));
  const auto result = anther::check_gradients(
      {x}, [](auto&, const auto& v) { return consumer::square(v[0]) + consumer::square(v[0]); });
  std::printf("%s, %s: largest gradient error %.3g\n", anther::to_string(anther::isa()),
              anther::parallel_backend_name(), result.worst);
  if (!(result.worst < 1e-8)) return 1;

  anther::ParameterStore<float> parameters;
  const Net net(parameters);
  parameters.initialize(1);
  anther::Tensor<float> points({64, 2});
  std::vector<std::int32_t> labels;
  for (std::int64_t i = 0; i < points.size(); ++i)
    points[i] =
        static_cast<float>(anther::normal(anther::RandomKey(2), static_cast<std::uint64_t>(i)));
  for (std::int64_t n = 0; n < 64; ++n)
    labels.push_back(points[2 * n] * points[2 * n] > points[2 * n + 1] * points[2 * n + 1]);
  anther::Adam<float> adam(parameters);
  anther::Tape<float> tape;
  float loss = 0;
  for (int step = 0; step < 200; ++step) {
    tape.begin();
    const auto value = anther::cross_entropy<float>(net(tape.input(points)), labels);
    loss = value.item();
    tape.zero_gradients();
    tape.backward(value);
    adam.step(tape.gradients(), 0.03);
  }
  std::printf("loss after 200 steps: %.4f\n", static_cast<double>(loss));
  anther::exports::add_onnx_form(consumer::square_op<float>, [](auto& graph, const auto&) {
    const std::string x = graph.input(0);
    graph.output(graph.node("Mul", {x, x}));
  });
  if (anther::exports::to_onnx(net, {1, 2}).find("Mul") == std::string::npos) return 1;
  return loss < 0.2f ? 0 : 1;
}
