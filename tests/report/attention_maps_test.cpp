#include "anther/report/attention_maps.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <vector>

#include "anther/core/random.hpp"
#include "anther/nn/module.hpp"
#include "tests/io/temporary_folder.hpp"

namespace {

using namespace anther;
using namespace anther::report;
using namespace anther::vision;

// Attention, twice, right on the image: its channels are q, k and v, of so many heads.
struct Heads : Module<double> {
  Heads(const Scope<double>& scope, std::int64_t heads_) : Module(scope, "Heads"), heads(heads_) {}
  Variable<double> forward(Variable<double> x) const override {
    self_attention(x, heads);
    return self_attention(x, heads);
  }
  std::int64_t heads;
};

TEST_CASE("attention maps: what each position receives, against the formula") {
  constexpr std::int64_t height = 2, width = 3, heads = 2, head_dim = 2;
  constexpr std::int64_t tokens = height * width, channels = 3 * heads * head_dim;
  std::vector<double> image(static_cast<std::size_t>(tokens * channels));
  for (std::size_t i = 0; i < image.size(); ++i) image[i] = 2 * normal(RandomKey(4), i);

  std::vector<double> received(static_cast<std::size_t>(tokens));
  for (std::int64_t head = 0; head < heads; ++head)
    for (std::int64_t q = 0; q < tokens; ++q) {
      std::vector<double> scores;
      double sum = 0;
      for (std::int64_t k = 0; k < tokens; ++k) {
        double dot = 0;
        for (std::int64_t c = 0; c < head_dim; ++c)
          dot += image[static_cast<std::size_t>(q * channels + head * head_dim + c)] *
                 image[static_cast<std::size_t>(k * channels + heads * head_dim + head * head_dim +
                                                c)];
        scores.push_back(std::exp(dot / std::sqrt(2.0)));
        sum += scores.back();
      }
      for (std::size_t k = 0; k < scores.size(); ++k)
        received[k] += scores[k] / sum / static_cast<double>(heads * tokens);
    }

  ParameterStore<double> store;
  const Heads model(store, heads);
  const auto maps = attention_maps<double>(model, {1, height, width, channels}, image);
  REQUIRE(maps.size() == 2);
  for (const AttentionMap& map : maps) {
    CHECK(map.height == height);
    CHECK(map.width == width);
    double sum = 0;
    for (std::size_t k = 0; k < received.size(); ++k) {
      CHECK(map.received[k] == doctest::Approx(received[k]));
      sum += map.received[k];
    }
    CHECK(sum == doctest::Approx(1));
  }
  CHECK(contains(error_of([&] {
                   attention_maps<double>(model, {2, 1, width, channels}, image);
                 }),
                 "expected one image"));
}

TEST_CASE("attention maps: between positions, and brightest where the most is") {
  const AttentionMap map{.layer = "a", .height = 2, .width = 2, .received = {0, 0.25, 0.25, 0.5}};
  // Of 4 x 4 pixels, the outer ones lie beyond the centres of the positions.
  CHECK(attention_at(map, 0, 0, 4, 4) == 0);
  CHECK(attention_at(map, 3, 3, 4, 4) == 0.5);
  CHECK(attention_at(map, 0, 3, 4, 4) == 0.25);
  CHECK(attention_at(map, 0, 1, 4, 4) == doctest::Approx(0.0625));
  CHECK(attention_at(map, 2, 2, 4, 4) == doctest::Approx(0.375));

  Image picture(4, 4);
  for (auto& value : picture.pixels) value = 100;
  const Image over = attention_over(picture, map);
  const std::uint8_t *least = over.row(0), *most = over.row(3) + 9;
  CHECK(least[2] > least[1]);  // violet
  CHECK(most[0] > most[2]);    // yellow
  CHECK(most[0] + most[1] > least[0] + least[1] + 100);
  // A map without differences is all violet, not a division by zero.
  const Image flat =
      attention_over(picture, {.layer = "a", .height = 1, .width = 1, .received = {1}});
  CHECK(flat.row(3)[9] == flat.row(0)[0]);
}

}  // namespace
