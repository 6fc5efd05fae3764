// What fit() does by itself with a last batch that its model cannot be trained on.
#include <doctest/doctest.h>

#include <memory>
#include <string>

#include "anther/anther.hpp"
#include "anther/train/fit.hpp"
#include "anther/train/mse_objective.hpp"

namespace {

using namespace anther;

data::DatasetPointer maps(std::int64_t count) {
  class Maps : public data::Dataset {
   public:
    explicit Maps(std::int64_t count) : count_(count) {}
    std::int64_t size() const override { return count_; }
    Shape input_shape() const override { return {1, 1, 3}; }
    data::TargetSpec target() const override { return data::numbers({1, 1, 4}); }
    std::string name(std::int64_t index) const override { return std::to_string(index); }
    void load(std::int64_t index, RandomKey, const data::Sample& sample) const override {
      for (std::size_t i = 0; i < 3; ++i)
        sample.input[i] = static_cast<float>((index * 7 + static_cast<std::int64_t>(i) * 3) % 11);
      for (float& number : sample.numbers) number = sample.input[0] / 10;
    }

   private:
    std::int64_t count_;
  };
  return std::make_shared<const Maps>(count);
}

struct Normed : Module<float> {
  explicit Normed(const Scope<float>& scope)
      : Module(scope, "Normed"),
        conv(scope / "conv", 3, 4, {.kernel_size = 1}),
        norm(scope / "norm", 4) {}
  Variable<float> forward(Variable<float> x) const override { return norm(conv(x)); }
  Conv2d<float> conv;
  BatchNorm2d<float> norm;
};

TEST_CASE("fit: a last batch of one sample does not end a run with BatchNorm") {
  ParameterStore<float> store;
  const Normed net(store);
  store.initialize(1);
  CHECK(needs_two_samples(net, Shape{1, 1, 3}));
  CHECK_FALSE(needs_two_samples(net, Shape{2, 2, 3}));  // four values a channel are enough
  Adam<float> adam(store);
  const History history =
      fit(net, adam, data::Loader(maps(33), {.batch_size = 32, .shuffle = true}),
          data::Loader(maps(33), {.batch_size = 32}), {.objective = mse_objective(), .epochs = 3});
  CHECK(history.size() == 3);
  CHECK(adam.steps() == 3);
}

}  // namespace
