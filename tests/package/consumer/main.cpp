// A program outside Anther's tree: an op of its own with a body for each instruction set, and a
// check of its gradient.
#include <anther/core/openmp.hpp>
#include <anther/core/random.hpp>
#include <anther/core/tensor.hpp>
#include <anther/kernels/vec.hpp>
#include <cmath>
#include <cstdio>

#define ANTHER_BODY "square.inl"
#include <anther/kernels/for_each_isa.inl>

namespace anther {

void square_forward(double* y, const double* x, std::int64_t count) {
  ANTHER_SELECT(square_forward<double>)(y, x, count);
}
void square_backward(double* dx, const double* dy, const double* x, std::int64_t count) {
  ANTHER_SELECT(square_backward<double>)(dx, dy, x, count);
}

}  // namespace anther

// The gradient of sum_i w_i y_i against central differences. This is where the descriptor of the op
// and Anther's own gradient check belong.
double largest_gradient_error() {
  constexpr std::int64_t count = 21;
  constexpr double step = 1e-5;
  const anther::RandomKey key(1);
  anther::Tensor<double> x({count}), weight({count}), y({count}), dx({count});
  for (std::int64_t i = 0; i < count; ++i) {
    x[i] = anther::normal(key.fold("x"), static_cast<std::uint64_t>(i));
    weight[i] = anther::normal(key.fold("weight"), static_cast<std::uint64_t>(i));
  }
  const auto loss = [&] {
    anther::square_forward(y.data(), x.data(), count);
    double sum = 0;
    for (std::int64_t i = 0; i < count; ++i) sum += weight[i] * y[i];
    return sum;
  };
  anther::square_backward(dx.data(), weight.data(), x.data(), count);
  double largest = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const double at = x[i];
    x[i] = at + step;
    const double above = loss();
    x[i] = at - step;
    const double below = loss();
    x[i] = at;
    largest = std::max(largest, std::abs((above - below) / (2 * step) - dx[i]));
  }
  return largest;
}

int main() {
  const double error = largest_gradient_error();
  std::printf("%s, %s: largest gradient error %.3g\n", anther::to_string(anther::isa()),
              anther::parallel_backend_name(), error);
  return error < 1e-8 ? 0 : 1;
}
