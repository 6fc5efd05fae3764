// Samples that are no finite numbers: who says so, and what a run keeps.
#include <doctest/doctest.h>

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "anther/data/table.hpp"
#include "anther/nn/linear.hpp"
#include "anther/optim/adam.hpp"
#include "anther/train/fit.hpp"
#include "anther/train/objectives.hpp"
#include "tests/io/temporary_folder.hpp"

namespace {

using namespace anther;

constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();

struct LineOfThree : Module<float> {
  explicit LineOfThree(const Scope<float>& scope)
      : Module(scope, "Net"), line(scope / "line", 3, 1) {}
  Variable<float> forward(Variable<float> x) const override { return line(x); }
  Linear<float> line;
};

// Eight samples of three numbers; the one at `row`, if there is such, has `input` and `target`.
std::shared_ptr<const data::Table> eight_samples(std::int64_t row, float input, float target) {
  Tensor<float> x({8, 3}), y({8});
  for (std::int64_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 5);
  for (std::int64_t i = 0; i < y.size(); ++i) y[i] = static_cast<float>(i);
  if (row >= 0) x[row * 3 + 2] = input, y[row] = target;
  return std::make_shared<const data::Table>(std::move(x), y);
}

struct SavedProgresses : Callback {
  void on_progress(const FitProgress& progress) override { all.push_back(progress); }
  std::vector<FitProgress> all;
};

std::string error_of_run(const data::DatasetPointer& train, const data::DatasetPointer& val,
                         SavedProgresses& saved, std::int64_t batch_size = 0) {
  ParameterStore<float> store;
  const LineOfThree net(store);
  store.initialize(1);
  Adam<float> adam(store);
  return error_of([&] {
    fit(net, adam, data::Loader(train, {.batch_size = 2}), data::Loader(val, {.batch_size = 4}),
        {.objective = mse_objective(), .epochs = 2, .batch_size = batch_size}, {&saved});
  });
}

}  // namespace

TEST_CASE("fit: a sample that is not finite is named, in training and in the evaluation") {
  const auto good = eight_samples(-1, 0, 0);
  SavedProgresses saved;
  CHECK(error_of_run(good, good, saved).empty());

  const std::string train = error_of_run(eight_samples(5, not_a_number, 1), good, saved);
  CHECK(contains(train,
                 "the loss of step 3 is nan; not finite first: the inputs; the input of "
                 "sample 5 is nan at 2. The weights"));
  CHECK_FALSE(contains(train, "learning rate"));
  CHECK(contains(error_of_run(eight_samples(5, not_a_number, 1), good, saved, 4),
                 "the input of sample 5"));
  CHECK(contains(error_of_run(eight_samples(2, 1, not_a_number), good, saved),
                 "the target of sample 2 is nan at 0"));

  // What was trained before the evaluation is kept: its epoch goes on behind its last batch.
  saved.all.clear();
  const std::string val = error_of_run(good, eight_samples(6, -1 / 0.f, 1), saved);
  CHECK(contains(val, "evaluation: the loss is inf: the input of sample 6 is -inf at 2"));
  REQUIRE(saved.all.size() == 1);
  CHECK(saved.all[0].batches == 4);
}

TEST_CASE("callbacks: by address and to own, side by side") {
  const auto good = eight_samples(-1, 0, 0);
  ParameterStore<float> store;
  const LineOfThree net(store);
  store.initialize(1);
  Adam<float> adam(store);
  SavedProgresses by_address;
  const auto shared = std::make_shared<SavedProgresses>();
  auto unique = std::make_unique<SavedProgresses>();
  const SavedProgresses& owned = *unique;
  const Callbacks callbacks{&by_address, shared, std::move(unique)};
  fit(net, adam, data::Loader(good, {.batch_size = 2}), data::Loader(good, {.batch_size = 4}),
      {.objective = mse_objective()}, callbacks);
  CHECK(by_address.all.size() == 1);
  CHECK(shared->all.size() == 1);
  CHECK(owned.all.size() == 1);
  CHECK(contains(error_of([] { Callbacks{static_cast<Callback*>(nullptr)}; }), "a null pointer"));
}
