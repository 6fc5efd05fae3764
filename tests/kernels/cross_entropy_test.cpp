#include "anther/kernels/cross_entropy.hpp"

#include <doctest/doctest.h>

#include "tests/kernels/flat_reference.hpp"

namespace cross_entropy_test {

using namespace flat_test;
using anther::kernels::CrossEntropyDims;
using anther::kernels::CrossEntropyTargets;

template <class T>
struct Problem {
  CrossEntropyDims dims;
  std::vector<T> logits, lambda;
  std::vector<std::int32_t> labels, labels2;
  bool mixed;

  Problem(std::int64_t rows, std::int64_t classes, double label_smoothing, bool mixed_labels)
      : dims{rows, classes, label_smoothing, 1 / static_cast<double>(rows)},
        logits(random_values<T>("logits", rows * classes, 3)),
        lambda(size_of(rows)),
        labels(size_of(rows)),
        labels2(size_of(rows)),
        mixed(mixed_labels) {
    const anther::RandomKey key(11);
    for (std::int64_t r = 0; r < rows; ++r) {
      const auto i = static_cast<std::uint64_t>(r);
      labels[size_of(r)] = static_cast<std::int32_t>(anther::uniform_below(key, 3 * i, classes));
      labels2[size_of(r)] =
          static_cast<std::int32_t>(anther::uniform_below(key, 3 * i + 1, classes));
      lambda[size_of(r)] = static_cast<T>(anther::uniform(key, 3 * i + 2));
    }
  }

  CrossEntropyTargets<T> targets() const {
    if (!mixed) return {.labels = labels.data()};
    return {.labels = labels.data(), .labels2 = labels2.data(), .lambda = lambda.data()};
  }

  // The share of a class in a row's targets.
  double share(std::int64_t r, std::int64_t c) const {
    const double weight = mixed ? static_cast<double>(lambda[size_of(r)]) : 1;
    double hard = labels[size_of(r)] == c ? weight : 0;
    if (mixed && labels2[size_of(r)] == c) hard += 1 - weight;
    return (1 - dims.label_smoothing) * hard +
           dims.label_smoothing / static_cast<double>(dims.classes);
  }

  // log(sum(e^x)) of a row, and the row's loss.
  double log_sum_exp(std::int64_t r) const {
    double greatest = -1e300, total = 0;
    for (std::int64_t c = 0; c < dims.classes; ++c)
      greatest = std::max(greatest, static_cast<double>(logits[size_of(r * dims.classes + c)]));
    for (std::int64_t c = 0; c < dims.classes; ++c)
      total += std::exp(static_cast<double>(logits[size_of(r * dims.classes + c)]) - greatest);
    return greatest + std::log(total);
  }
  double loss(std::int64_t r) const {
    double sum = 0;
    for (std::int64_t c = 0; c < dims.classes; ++c)
      sum -= share(r, c) *
             (static_cast<double>(logits[size_of(r * dims.classes + c)]) - log_sum_exp(r));
    return sum;
  }
};

TEST_CASE_TEMPLATE("cross entropy agrees with plain loops", T, float, double) {
  for (const std::int64_t classes : {1, 2, 3, 7, 8, 10, 16, 17, 102, 1000})
    for (const double smoothing : {0.0, 0.1})
      for (const bool mixed : {false, true}) {
        CAPTURE(classes);
        CAPTURE(smoothing);
        CAPTURE(mixed);
        const Problem<T> problem(9, classes, smoothing, mixed);
        std::vector<double> losses_expected, kept_expected, slope;
        double loss_expected = 0;
        for (std::int64_t r = 0; r < 9; ++r) {
          losses_expected.push_back(problem.loss(r));
          kept_expected.push_back(problem.log_sum_exp(r));
          loss_expected += problem.loss(r) / 9;
          for (std::int64_t c = 0; c < classes; ++c)
            slope.push_back(
                -1.5 / 9 *
                (std::exp(static_cast<double>(problem.logits[size_of(r * classes + c)]) -
                          kept_expected.back()) -
                 problem.share(r, c)));
        }
        Output<T> loss(1), losses(9), kept(18);
        anther::kernels::cross_entropy_forward(loss.data(), losses.data(), kept.data(),
                                               problem.logits.data(), problem.targets(),
                                               problem.dims);
        CHECK(distance(losses.values(), losses_expected) < tolerance<T>(8));
        std::vector<T> log_sums;
        for (std::size_t r = 0; r < 9; ++r)
          log_sums.push_back(kept.values()[2 * r] + kept.values()[2 * r + 1]);
        CHECK(distance(log_sums, kept_expected) < tolerance<T>(4));
        CHECK(distance(loss.values(), {loss_expected}) < tolerance<T>(8));
        const T dloss = T(-1.5);
        check_backward<T>(slope, tolerance<T>(8), [&](T* dx, const T* dx_add) {
          anther::kernels::cross_entropy_backward(dx, dx_add, &dloss, problem.logits.data(),
                                                  kept.data(), problem.targets(), problem.dims);
        });
      }
}

// torch.nn.functional.cross_entropy, PyTorch's formula with label smoothing 0.2, by hand: with
// logits log(1), log(2), log(5) the probabilities are 1/8, 2/8 and 5/8.
TEST_CASE("cross entropy by hand") {
  const double logits[] = {std::log(1.0), std::log(2.0), std::log(5.0)};
  const std::int32_t label = 1;
  double loss, losses, kept[2];
  anther::kernels::cross_entropy_forward<double>(&loss, &losses, kept, logits, {.labels = &label},
                                                 {.rows = 1, .classes = 3, .label_smoothing = 0.2});
  const double expected =
      -0.8 * std::log(0.25) - 0.2 / 3 * (std::log(0.125) + std::log(0.25) + std::log(0.625));
  CHECK(std::fabs(loss - expected) < 1e-15);
  CHECK(loss == losses);
  CHECK(kept[0] == std::log(5.0));
  CHECK(std::fabs(kept[1] - std::log(8.0 / 5)) < 1e-15);
}

TEST_CASE_TEMPLATE("cross entropy of great and infinite logits", T, float, double) {
  const T infinity = std::numeric_limits<T>::infinity();
  const std::vector<T> logits = {T(1e4),  T(-1e4), -infinity, T(1e4),  T(0),
                                 T(-2e4), T(-1e4), -infinity, T(-1e4), T(-3e4)};
  const std::vector<std::int32_t> labels = {1, 3};
  const CrossEntropyDims dims{.rows = 2, .classes = 5};
  std::vector<T> loss(1), losses(2), kept(4), dx(10);
  const CrossEntropyTargets<T> targets{.labels = labels.data()};
  anther::kernels::cross_entropy_forward(loss.data(), losses.data(), kept.data(), logits.data(),
                                         targets, dims);
  CHECK(std::fabs(losses[0] - T(20000.6931)) < T(0.01));
  CHECK(std::fabs(losses[1] - T(0.69314718)) < T(1e-6));
  const T one = T(1);
  anther::kernels::cross_entropy_backward(dx.data(), static_cast<const T*>(nullptr), &one,
                                          logits.data(), kept.data(), targets, dims);
  const std::vector<double> expected = {0.5, -1, 0, 0.5, 0, 0, 0.5, 0, -0.5, 0};
  CHECK(distance(dx, expected) < 1e-3);
}

TEST_CASE("cross entropy's gradient") {
  for (const bool mixed : {false, true}) {
    const Problem<double> problem(3, 7, 0.1, mixed);
    std::vector<double> kept(6), losses(3), loss(1), dx(21);
    const auto forward = [&](const std::vector<double>& logits) {
      anther::kernels::cross_entropy_forward(loss.data(), losses.data(), kept.data(), logits.data(),
                                             problem.targets(), problem.dims);
      return loss;
    };
    forward(problem.logits);
    const double dloss = 1.7;
    anther::kernels::cross_entropy_backward(dx.data(), static_cast<const double*>(nullptr), &dloss,
                                            problem.logits.data(), kept.data(), problem.targets(),
                                            problem.dims);
    check_gradient(problem.logits, {1.7}, dx, forward);
  }
}

TEST_CASE("cross entropy with several threads") {
  const Problem<float> problem(500, 102, 0.1, true);
  check_threads([&] {
    std::vector<float> kept(1000), losses(500), loss(1), dx(500 * 102);
    anther::kernels::cross_entropy_forward(loss.data(), losses.data(), kept.data(),
                                           problem.logits.data(), problem.targets(), problem.dims);
    anther::kernels::cross_entropy_backward(dx.data(), static_cast<const float*>(nullptr),
                                            loss.data(), problem.logits.data(), kept.data(),
                                            problem.targets(), problem.dims);
    dx.push_back(loss[0]);
    return dx;
  });
}

}  // namespace cross_entropy_test
