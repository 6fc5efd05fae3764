// Characters and windows of tokens; a model of integers in Trainer and Predictor.
#include "anther/data/tokens.hpp"

#include <doctest/doctest.h>

#include <memory>

#include "anther/anther.hpp"
#include "anther/data/loader.hpp"
#include "anther/nn/embedding.hpp"
#include "anther/train/fit.hpp"
#include "anther/train/objectives.hpp"

namespace {

using namespace anther;

TEST_CASE("characters are numbered in their order, and read back") {
  const data::Characters characters("banana\xff");
  CHECK(characters.size() == 4);
  CHECK(characters.ids("nab") == std::vector<std::int32_t>{2, 0, 1});
  CHECK(characters.ids("\xff") == std::vector<std::int32_t>{3});
  CHECK(characters.character(3) == '\xff');
  CHECK_THROWS_WITH_AS(characters.ids("c"),
                       "characters: expected one of 4 known characters, got the byte 99", Error);
  CHECK_THROWS_AS(characters.character(4), Error);
}

TEST_CASE("token windows: inputs, and targets one token later") {
  const std::vector<std::int32_t> tokens = {0, 1, 2, 3, 4, 5, 6, 7};
  for (const std::int64_t stride : {0, 2}) {
    const data::TokenWindows windows(tokens, 8, 3, stride);
    const std::int64_t step = stride == 0 ? 3 : stride;
    CHECK(windows.size() == (stride == 0 ? 2 : 3));
    CHECK(windows.target() == data::classes({3}));
    for (std::int64_t i = 0; i < windows.size(); ++i) {
      std::vector<float> input(3);
      std::vector<std::int32_t> target(3);
      windows.load(i, {}, {.input = input, .classes = target, .numbers = {}});
      for (std::size_t k = 0; k < 3; ++k) {
        CHECK(input[k] == static_cast<float>(i * step) + static_cast<float>(k));
        CHECK(target[k] == static_cast<std::int32_t>(i * step) + static_cast<std::int32_t>(k) + 1);
      }
    }
  }
  CHECK_THROWS_AS(data::TokenWindows({0, 1, 2}, 3, 3), Error);
  CHECK(data::TokenWindows({0, 1, 2, 0}, 3, 3).size() == 1);
  CHECK_THROWS_WITH_AS(data::TokenWindows({0, 3}, 3, 1),
                       "token windows: expected tokens of 0 to 2, got 3", Error);
}

// The next token by this one alone.
struct Bigrams : Module<float> {
  explicit Bigrams(const Scope<float>& scope)
      : Module(scope, "Bigrams"), table(scope / "table", 5, 5) {}
  Variable<float> forward(Variable<float> x) const override { return table(x); }
  Embedding<float> table;
};

TEST_CASE("fit and Predictor: a model that reads integers") {
  std::vector<std::int32_t> tokens;
  for (int i = 0; i < 200; ++i) tokens.push_back(3 * i % 5);
  const auto windows = std::make_shared<data::TokenWindows>(tokens, 5, 4);
  ParameterStore<float> parameters;
  const Bigrams model(parameters);
  parameters.initialize(1);
  Adam<float> adam(parameters);
  const History history =
      fit(model, adam, data::Loader(windows, {.batch_size = 8}), data::Loader(windows, {}),
          {.objective = cross_entropy_objective(), .epochs = 20, .schedule = cosine_schedule(0.3)});
  CHECK(history.back().val_loss < 0.05);

  const Predictor<float> predict(model, {4});
  const std::vector<float> input = {0, 1, 2, 3, 4, 0, 1, 2};
  const std::vector<float> logits = predict(std::span<const float>(input));
  const std::vector<std::int32_t> ids(input.begin(), input.end());
  Tape<float> tape;
  tape.begin({.training = false, .backward = false});
  const auto eager = model(tape.integers({2, 4}, ids)).value();
  CHECK(logits == std::vector<float>(eager.begin(), eager.end()));

  const std::vector<float> half = {0, 1, 2.5f, 3};
  CHECK_THROWS_WITH_AS(predict(std::span<const float>(half)),
                       doctest::Contains("expected whole numbers"), Error);
  const std::vector<float> outside = {0, 1, 5, 3};
  CHECK_THROWS_WITH_AS(predict(std::span<const float>(outside)),
                       doctest::Contains("index 2 is 5, expected 0 to 4"), Error);
}

}  // namespace
