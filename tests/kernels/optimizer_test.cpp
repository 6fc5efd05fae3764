#include "anther/kernels/optimizer.hpp"

#include <doctest/doctest.h>

#include "tests/kernels/flat_reference.hpp"

namespace optimizer_test {

using namespace flat_test;
using anther::kernels::AdamStep;
using anther::kernels::SGDStep;

// What an optimiser works on, and the same in double for the plain loops.
template <class T>
struct State {
  std::vector<T> start, gradient;
  std::vector<double> value, m, v, g;

  explicit State(std::int64_t count)
      : start(random_values<T>("value", count)),
        gradient(size_of(count)),
        value(start.begin(), start.end()),
        m(start.size()),
        v(start.size()),
        g(start.size()) {}

  void new_gradient(int step) {
    gradient = random_values<T>("gradient " + std::to_string(step),
                                static_cast<std::int64_t>(start.size()), 0.1);
    g.assign(gradient.begin(), gradient.end());
  }
};

TEST_CASE_TEMPLATE("Adam and AdamW agree with plain loops", T, float, double) {
  for (const std::int64_t count : counts)
    for (const bool decoupled : {false, true}) {
      CAPTURE(count);
      CAPTURE(decoupled);
      State<T> state(count);
      Output<T> value(state.start), m(std::vector<T>(size_of(count), T(0))),
          v(std::vector<T>(size_of(count), T(0)));
      for (int step = 1; step <= 5; ++step) {
        state.new_gradient(step);
        const AdamStep options{.step = step,
                               .learning_rate = 0.01,
                               .weight_decay = 0.05,
                               .decoupled = decoupled,
                               .gradient_scale = 0.5};
        anther::kernels::adam_step(value.data(), m.data(), v.data(), state.gradient.data(), count,
                                   options);
        for (std::size_t i = 0; i < state.value.size(); ++i) {
          double g = 0.5 * state.g[i];
          if (decoupled)
            state.value[i] *= 1 - 0.01 * 0.05;
          else
            g += 0.05 * state.value[i];
          state.m[i] = 0.9 * state.m[i] + 0.1 * g;
          state.v[i] = 0.999 * state.v[i] + 0.001 * g * g;
          const double root = std::sqrt(state.v[i]) / std::sqrt(1 - std::pow(0.999, step)) + 1e-8;
          state.value[i] -= 0.01 / (1 - std::pow(0.9, step)) * state.m[i] / root;
        }
        CHECK(distance(value.values(), state.value) < tolerance<T>(4));
        CHECK(distance(m.values(), state.m) < tolerance<T>(1));
        CHECK(distance(v.values(), state.v) < tolerance<T>(1));
      }
    }
}

// torch.optim.Adam's first step moves by the learning rate, whatever the gradient; a gradient of 0
// moves nothing.
TEST_CASE("Adam's first step") {
  float value[] = {1, 1, 1, 1}, m[4] = {}, v[4] = {};
  const float gradient[] = {1e-4f, -1e4f, 3, 0};
  anther::kernels::adam_step(value, m, v, gradient, 4, {.step = 1, .learning_rate = 0.125});
  CHECK(value[0] == doctest::Approx(0.875).epsilon(2e-4));
  CHECK(value[1] == doctest::Approx(1.125).epsilon(1e-6));
  CHECK(value[2] == doctest::Approx(0.875).epsilon(1e-6));
  CHECK(value[3] == 1);
}

TEST_CASE_TEMPLATE("SGD agrees with plain loops", T, float, double) {
  for (const std::int64_t count : counts)
    for (const double momentum : {0.0, 0.9})
      for (const bool nesterov : {false, true}) {
        CAPTURE(count);
        CAPTURE(momentum);
        CAPTURE(nesterov);
        State<T> state(count);
        Output<T> value(state.start), velocity(std::vector<T>(size_of(count), T(0)));
        for (int step = 1; step <= 4; ++step) {
          state.new_gradient(step);
          anther::kernels::sgd_step(value.data(), momentum > 0 ? velocity.data() : nullptr,
                                    state.gradient.data(), count,
                                    SGDStep{.learning_rate = 0.1,
                                            .momentum = momentum,
                                            .nesterov = nesterov,
                                            .weight_decay = 0.02,
                                            .gradient_scale = 2});
          for (std::size_t i = 0; i < state.value.size(); ++i) {
            double g = 2 * state.g[i] + 0.02 * state.value[i];
            if (momentum > 0) {
              state.m[i] = step == 1 ? g : momentum * state.m[i] + g;
              g = nesterov ? g + momentum * state.m[i] : state.m[i];
            }
            state.value[i] -= 0.1 * g;
          }
          CHECK(distance(value.values(), state.value) < tolerance<T>(4));
          CHECK((momentum == 0 || distance(velocity.values(), state.m) < tolerance<T>(4)));
        }
      }
}

TEST_CASE_TEMPLATE("RMSprop, Adagrad and Lion agree with plain loops", T, float, double) {
  for (const std::int64_t count : counts) {
    CAPTURE(count);
    const std::vector<T> zeros(size_of(count), T(0));
    State<T> rms(count), ada(count), lion(count);
    Output<T> rms_value(rms.start), square(zeros), buffer(zeros), average(zeros);
    Output<T> ada_value(ada.start), sum(zeros), lion_value(lion.start), direction(zeros);
    std::vector<double> centre(size_of(count));
    for (int step = 1; step <= 4; ++step) {
      for (State<T>* state : {&rms, &ada, &lion}) state->new_gradient(step);
      anther::kernels::rmsprop_step<T>(rms_value.data(),
                                       {square.data(), buffer.data(), average.data()},
                                       rms.gradient.data(), count,
                                       {.learning_rate = 0.1,
                                        .alpha = 0.9,
                                        .eps = 0.1,
                                        .weight_decay = 0.02,
                                        .momentum = 0.8,
                                        .gradient_scale = 2});
      anther::kernels::adagrad_step<T>(
          ada_value.data(), sum.data(), ada.gradient.data(), count,
          {.learning_rate = 0.1, .eps = 0.1, .weight_decay = 0.02, .gradient_scale = 2});
      anther::kernels::lion_step<T>(
          lion_value.data(), direction.data(), lion.gradient.data(), count,
          {.learning_rate = 0.1, .weight_decay = 0.02, .gradient_scale = 2});
      for (std::size_t i = 0; i < rms.value.size(); ++i) {
        double g = 2 * rms.g[i] + 0.02 * rms.value[i];
        rms.v[i] = 0.9 * rms.v[i] + 0.1 * g * g;
        centre[i] = 0.9 * centre[i] + 0.1 * g;
        rms.m[i] =
            0.8 * rms.m[i] + g / (std::sqrt(std::max(rms.v[i] - centre[i] * centre[i], 0.0)) + 0.1);
        rms.value[i] -= 0.1 * rms.m[i];
        g = 2 * ada.g[i] + 0.02 * ada.value[i];
        ada.v[i] += g * g;
        ada.value[i] -= 0.1 * g / (std::sqrt(ada.v[i]) + 0.1);
        g = 2 * lion.g[i];
        const double to = 0.9 * lion.m[i] + 0.1 * g;
        lion.value[i] = (1 - 0.1 * 0.02) * lion.value[i] - 0.1 * ((to > 0) - (to < 0));
        lion.m[i] = 0.99 * lion.m[i] + 0.01 * g;
      }
    }
    CHECK(distance(rms_value.values(), rms.value) < tolerance<T>(30));
    CHECK(distance(ada_value.values(), ada.value) < tolerance<T>(8));
    CHECK(distance(lion_value.values(), lion.value) < tolerance<T>(4));
    CHECK(distance(direction.values(), lion.m) < tolerance<T>(1));
  }
}

TEST_CASE_TEMPLATE("the average of the weights", T, float, double) {
  for (const std::int64_t count : counts) {
    CAPTURE(count);
    const auto start = random_values<T>("average", count), value = random_values<T>("value", count);
    for (const double decay : {0.0, 0.9, 0.99996, 1.0}) {
      Output<T> average(start);
      anther::kernels::update_average(average.data(), value.data(), count, decay);
      std::vector<double> expected;
      for (std::size_t i = 0; i < value.size(); ++i)
        expected.push_back(decay * static_cast<double>(start[i]) +
                           (1 - decay) * static_cast<double>(value[i]));
      CHECK(distance(average.values(), expected) < tolerance<T>(2));
    }
  }
}

TEST_CASE_TEMPLATE("sums of squares, and what is not finite", T, float, double) {
  for (const std::int64_t count : counts) {
    CAPTURE(count);
    auto x = random_values<T>("x", count);
    long double sum = 0;
    for (const T value : x)
      sum += static_cast<long double>(value) * static_cast<long double>(value);
    const double expected = static_cast<double>(sum);
    Output<T> workspace(anther::kernels::sum_of_squares_workspace(count));
    CHECK(std::fabs(anther::kernels::sum_of_squares(x.data(), workspace.data(), count) -
                    expected) <= tolerance<T>(4) * expected);
    CHECK(anther::kernels::all_finite(x.data(), count));
    for (const T bad : {std::numeric_limits<T>::infinity(), -std::numeric_limits<T>::infinity(),
                        std::numeric_limits<T>::quiet_NaN()})
      for (std::int64_t at = 0; at < count; at += 1 + count / 40) {
        const T good = x[size_of(at)];
        x[size_of(at)] = bad;
        CHECK_FALSE(anther::kernels::all_finite(x.data(), count));
        x[size_of(at)] = good;
      }
    if (count > 0) x[0] = std::numeric_limits<T>::max();
    CHECK(anther::kernels::all_finite(x.data(), count));
  }
}

TEST_CASE_TEMPLATE("the sum of several buffers", T, float, double) {
  for (const std::int64_t count : counts)
    for (const std::int64_t buffers : {1, 2, 5}) {
      CAPTURE(count);
      CAPTURE(buffers);
      std::vector<std::vector<T>> parts;
      std::vector<double> expected(size_of(count), 0);
      for (std::int64_t b = 0; b < buffers; ++b) {
        parts.push_back(random_values<T>("part " + std::to_string(b), count));
        for (std::size_t i = 0; i < expected.size(); ++i)
          expected[i] += 0.25 * static_cast<double>(parts.back()[i]);
      }
      std::vector<const T*> from;
      for (const auto& part : parts) from.push_back(part.data());
      Output<T> y(count), in_place(parts[0]);
      anther::kernels::sum_buffers(y.data(), from.data(), buffers, T(0.25), count);
      CHECK(distance(y.values(), expected) < tolerance<T>(3));
      from[0] = in_place.data();
      anther::kernels::sum_buffers(in_place.data(), from.data(), buffers, T(0.25), count);
      CHECK(in_place.values() == y.values());
    }
}

TEST_CASE("optimisers with several threads") {
  const std::int64_t count = 150'001;
  State<float> state(count);
  state.new_gradient(1);
  check_threads([&] {
    std::vector<float> value = state.start, m(value.size()), v(value.size());
    std::vector<float> workspace(size_of(anther::kernels::sum_of_squares_workspace(count)));
    const double norm =
        anther::kernels::sum_of_squares(state.gradient.data(), workspace.data(), count);
    anther::kernels::adam_step(value.data(), m.data(), v.data(), state.gradient.data(), count,
                               {.gradient_scale = 1 / norm});
    anther::kernels::sgd_step(value.data(), m.data(), state.gradient.data(), count,
                              {.momentum = 0.5});
    anther::kernels::rmsprop_step<float>(value.data(), {v.data(), m.data(), nullptr},
                                         state.gradient.data(), count, {.momentum = 0.5});
    anther::kernels::adagrad_step(value.data(), v.data(), state.gradient.data(), count, {});
    anther::kernels::lion_step(value.data(), m.data(), state.gradient.data(), count, {});
    anther::kernels::update_average(v.data(), value.data(), count, 0.9);
    value.insert(value.end(), v.begin(), v.end());
    return value;
  });
}

}  // namespace optimizer_test
