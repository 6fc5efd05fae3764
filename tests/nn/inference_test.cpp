#include "anther/nn/inference.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <vector>

#include "anther/models/edgevit/edgevit.hpp"
#include "anther/optim/adam.hpp"
#include "tests/token_model.hpp"

namespace {

using namespace anther;

Tensor<float> random_images(const Shape& shape) {
  Tensor<float> images(shape);
  for (std::int64_t i = 0; i < images.size(); ++i)
    images[i] = static_cast<float>(uniform(RandomKey(7), static_cast<std::uint64_t>(i)));
  return images;
}

// What a tape gives in evaluation mode, and the bytes that it holds for it.
std::vector<float> eager(const Module<float>& model, const Tensor<float>& images,
                         std::int64_t* bytes = nullptr) {
  Tape<float> tape;
  tape.begin({.training = false, .backward = false});
  const Variable<float> output = model(tape.input(images));
  const std::span<const float> value = output.value();
  if (bytes) *bytes = tape.memory_bytes();
  return {value.begin(), value.end()};
}

std::vector<float> copy_of(std::span<const float> values) {
  return {values.begin(), values.end()};
}

TEST_CASE("inference: the bits of a pass on a tape, in a fraction of its memory") {
  for (const char* preset : {"improved", "original"}) {
    for (const edgevit::NormKind norm : {edgevit::NormKind::gn, edgevit::NormKind::ln,
                                         edgevit::NormKind::bn, edgevit::NormKind::in}) {
      CAPTURE(preset);
      CAPTURE(static_cast<int>(norm));
      EdgeViTOptions options = edgevit_options("xxs", 10, preset);
      options.norm = norm;
      ParameterStore<float> store;
      const EdgeViT<float> model(store, options);
      store.initialize(3);
      const Tensor<float> images = random_images({2, 64, 64, 3});
      std::int64_t bytes = 0;
      const std::vector<float> expected = eager(model, images, &bytes);
      Inference<float> inference(model, images.shape());
      CHECK(inference.output_shape() == Shape{2, 10});
      CHECK(copy_of(inference(images.span())) == expected);
      CHECK(copy_of(inference(images.span())) == expected);
      CHECK(inference.memory_bytes() * 3 < bytes);
    }
  }
}

TEST_CASE("inference: the same bits for any number of threads, those of a tape as well") {
  for (const char* preset : {"improved", "original"}) {
    CAPTURE(preset);
    ParameterStore<float> store;
    const EdgeViT<float> model(store, edgevit_options("xxs", 10, preset));
    store.initialize(3);
    const Tensor<float> images = random_images({1, 128, 128, 3});  // 1,024 rows in stage 1
    Inference<float> inference(model, images.shape());
    set_num_threads(1);
    const std::vector<float> expected = eager(model, images);
    for (const int threads : {1, 2, 3, 4}) {
      CAPTURE(threads);
      set_num_threads(threads);
      // A plan has memory for the threads that it was made with, and works with others.
      CHECK(copy_of(inference(images.span())) == expected);
      CHECK(copy_of(Inference<float>(model, images.shape())(images.span())) == expected);
      CHECK(eager(model, images) == expected);
    }
    set_num_threads(0);
  }
}

TEST_CASE("inference: sees weights that have changed, and another input") {
  ParameterStore<float> store;
  const EdgeViT<float> model(store, edgevit_options("xxs", 5));
  store.initialize(1);
  Inference<float> inference(model, {1, 32, 32, 3});
  const Tensor<float> a = random_images({1, 32, 32, 3});
  Tensor<float> b = a;
  for (float& value : b.span()) value = 1 - value;
  CHECK(copy_of(inference(a.span())) == eager(model, a));
  CHECK(copy_of(inference(b.span())) == eager(model, b));
  store.initialize(2);
  CHECK(copy_of(inference(b.span())) == eager(model, b));
}

TEST_CASE("inference: a value that two read, and one read whole and by a product") {
  class Net : public Module<float> {
   public:
    explicit Net(const Scope<float>& scope)
        : Module<float>(scope, "Net"), norm(scope / "norm", 2, 8), fc(scope / "fc", 8, 8) {}
    Variable<float> forward(Variable<float> x) const override {
      const Variable<float> h = norm(x);  // by fc, and whole
      const Variable<float> y = fc(h) + h;
      const Variable<float> g = gelu(y);  // by fc alone
      return gelu(fc(g) + y) + x;
    }

   private:
    GroupNorm<float> norm;
    Linear<float> fc;
  };
  ParameterStore<float> store;
  const Net net(store);
  store.initialize(4);
  const Tensor<float> x = random_images({3, 5, 7, 8});
  Inference<float> inference(net, x.shape());
  CHECK(copy_of(inference(x.span())) == eager(net, x));
}

TEST_CASE("inference: BatchNorm whose weight and bias are computed after the product") {
  class Net : public Module<float> {
   public:
    Net(const Scope<float>& scope, bool late)
        : Module<float>(scope, "Net"),
          conv(scope / "conv", 8, 8, {.kernel_size = 3, .padding = 1}),
          norm(scope / "norm", 8),
          scale(scope / "scale", 8, 8),
          late_(late) {}
    Variable<float> forward(Variable<float> x) const override {
      Variable<float> y = conv(x);
      const Variable<float> of_data = reshape(scale(reshape(mean(x, {0, 1, 2}), {1, 8})), {8});
      const Variable<float> of_weight = x.tape().parameter(norm.bias) + 2.0;
      if (!late_) y = conv(y);
      return relu(batch_norm(y, of_data, of_weight, norm.running_mean, norm.running_var)) + x;
    }
    Conv2d<float> conv;
    BatchNorm2d<float> norm;
    Linear<float> scale;

   private:
    bool late_;
  };
  for (const bool late : {true, false}) {
    CAPTURE(late);
    ParameterStore<float> store;
    const Net net(store, late);
    store.initialize(4);
    const Tensor<float> x = random_images({2, 5, 7, 8});
    Inference<float> inference(net, x.shape());
    CHECK(copy_of(inference(x.span())) == eager(net, x));
    CHECK(copy_of(inference(x.span())) == eager(net, x));
  }
}

TEST_CASE("inference: the same bits where packed weights are not kept") {
  ParameterStore<float> store;
  const EdgeViT<float> model(store, edgevit_options("xxs", 5));
  store.initialize(1);
  Inference<float> inference(model, {2, 32, 32, 3});
  const Tensor<float> x = random_images({2, 32, 32, 3});
  store.keep_packed(false);
  const std::vector<float> first = copy_of(inference(x.span()));
  store.keep_packed(true);
  CHECK(copy_of(inference(x.span())) == first);
}

TEST_CASE("inference: parameters of another store without values, or under an edit, are refused") {
  ParameterStore<float> own, other;
  struct Net : Module<float> {
    Net(const Scope<float>& scope, const Scope<float>& others)
        : Module(scope, "Net"), first(scope / "first", 4, 4), second(others, 4, 4) {}
    Variable<float> forward(Variable<float> x) const override { return second(first(x)); }
    Linear<float> first, second;
  };
  const Net net(own, other);
  own.initialize(1);
  Inference<float> inference(net, {1, 4});
  const std::vector<float> x(4);
  CHECK_THROWS_WITH_AS(inference(x), doctest::Contains("no values yet"), Error);
  other.initialize(2);
  CHECK_NOTHROW(inference(x));
  const auto edit = other.edit();
  CHECK_THROWS_WITH_AS(inference(x), doctest::Contains("being edited"), Error);
}

TEST_CASE("inference: an input of another size is refused") {
  ParameterStore<float> store;
  const EdgeViT<float> model(store, edgevit_options("xxs", 5));
  store.initialize(1);
  Inference<float> inference(model, {1, 32, 32, 3});
  const std::vector<float> small(7);
  CHECK_THROWS_WITH_AS(inference(small), doctest::Contains("3072"), Error);
  CHECK_THROWS_AS(Inference<float>(model, Shape{1, 33, 32, 3}), Error);
}

TEST_CASE("inference: a model of token ids") {
  ParameterStore<float> store;
  const token_test::TokenModel model(store);
  store.initialize(1);
  Inference<float> inference(model, {2, 6});
  const std::vector<std::int32_t> ids = token_test::token_ids(12), zeros(12);
  for (const auto& input : {ids, zeros, ids}) {
    Tape<float> tape;
    tape.begin({.training = false, .backward = false});
    CHECK(copy_of(inference(input)) == copy_of(model(tape.integers({2, 6}, input)).value()));
  }
  const std::vector<float> numbers(12);
  CHECK_THROWS_WITH_AS(inference(numbers), "inference: the model reads integers", Error);
  std::vector<std::int32_t> outside = ids;
  outside[3] = 11;
  CHECK_THROWS_WITH_AS(inference(outside), doctest::Contains("index 3 is 11, expected 0 to 10"),
                       Error);
  CHECK(copy_of(inference(zeros)) == copy_of(Inference<float>(model, {2, 6})(zeros)));

  ParameterStore<float> linear_store;
  Sequential<float> linear(linear_store);
  linear.add<Linear>(2, 3);
  linear_store.initialize(1);
  CHECK_THROWS_WITH_AS(Inference<float>(linear, {1, 2})(std::vector<std::int32_t>{1, 2}),
                       "inference: the model reads real numbers", Error);
}

TEST_CASE("inference: constants of the model are kept; a result of integers is refused") {
  class Net : public Module<float> {
   public:
    explicit Net(const Scope<float>& scope) : Module<float>(scope, "Net") {}
    Variable<float> forward(Variable<float> x) const override {
      const float factors[] = {1, 2, 4};
      return x * x.tape().input({3}, factors);
    }
  };
  class Best : public Module<float> {
   public:
    explicit Best(const Scope<float>& scope) : Module<float>(scope, "Best") {}
    Variable<float> forward(Variable<float> x) const override { return argmax(x); }
  };
  ParameterStore<float> store;
  const Net net(store);
  const Best best(store);
  store.initialize(1);
  const std::vector<float> x = {1, 1, 1, 5, 6, 7};
  CHECK(copy_of(Inference<float>(net, {2, 3})(x)) == std::vector<float>{1, 2, 4, 5, 12, 28});
  CHECK_THROWS_WITH_AS(Inference<float>(best, {2, 3}), doctest::Contains("got integers"), Error);
}

}  // namespace
