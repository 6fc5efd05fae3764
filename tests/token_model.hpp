// A small model of token ids (N, n), n at most 6, that has integers of every kind: its input,
// constants (positions, a mask), and what it computes. Tokens of the id 0 count as none.
#pragma once

#include <cstdint>
#include <numeric>
#include <vector>

#include "anther/anther.hpp"

namespace token_test {

using namespace anther;

class TokenModel : public Module<float> {
 public:
  static constexpr std::int64_t vocabulary = 11, channels = 8;

  explicit TokenModel(const Scope<float>& scope)
      : Module<float>(scope, "TokenModel"),
        table(scope / "table", vocabulary, channels),
        places(scope / "places", 6, channels),
        attention(scope / "attention", channels, 2),
        out(scope / "out", channels, vocabulary),
        again(scope / "again", vocabulary, channels) {}

  Variable<float> forward(Variable<float> ids) const override {
    Tape<float>& tape = ids.tape();
    const std::int64_t samples = ids.shape()[0], length = ids.shape()[1];
    std::vector<std::int32_t> numbers(static_cast<std::size_t>(length)), seen;
    std::iota(numbers.begin(), numbers.end(), 0);
    for (const std::int32_t query : numbers)
      for (const std::int32_t key : numbers) seen.push_back(key <= query && key + 3 > query);
    const float none[] = {0.25f};

    Variable<float> x = table(ids) + places(tape.integers({length}, numbers));
    x = where(reshape(ids, {samples, length, 1}), x, tape.input({1}, none));
    x = x + attention(x, tape.integers({length, length}, seen));
    const auto [values, indices] = topk(x, 2);  // which channels are the greatest
    x = x + sum(table(indices), {2}) * sum(values, {2}, {.keepdim = true});
    return out(gelu(x)) + out(again(argmax(out(x))));
  }

 private:
  Embedding<float> table, places;
  MultiheadAttention<float> attention;
  Linear<float> out;
  Embedding<float> again;
};

// Ids for `count` tokens.
inline std::vector<std::int32_t> token_ids(std::int64_t count) {
  std::vector<std::int32_t> ids;
  for (std::int64_t i = 0; i < count; ++i)
    ids.push_back(static_cast<std::int32_t>(i * 7 % TokenModel::vocabulary));
  return ids;
}

}  // namespace token_test
