// Where a model's attention goes: from the probabilities softmax(q k^T / sqrt(head_dim)) that the
// self-attention of one forward pass leaves on the tape.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "anther/autograd/tape.hpp"
#include "anther/core/once.hpp"
#include "anther/data/vision/image.hpp"
#include "anther/nn/module.hpp"
#include "anther/ops/attention.hpp"

namespace anther::inline v0_1::report {

// What each position of one layer's map receives: the mean over the heads, and over all positions
// that attend. The sum is 1.
struct AttentionMap {
  std::string layer;  // its path: stages.3.1.attn
  std::int64_t height = 0, width = 0;
  std::vector<double> received = {};  // (height, width)
};

// Of every self-attention of the model, in the order in which they run, for one image (1, H, W, C).
template <class T>
std::vector<AttentionMap> attention_maps(const Module<T>& model, const Shape& shape,
                                         std::span<const T> image) {
  detail::check(shape.rank() == 4 && shape[0] == 1,
                "attention: expected one image (1, H, W, C), got ", shape);
  Tape<T> tape;
  tape.begin({.training = false, .backward = true});
  model(tape.input(shape, image));
  std::vector<AttentionMap> maps;
  for (const auto& entry : tape.entries()) {
    if (entry.op != &self_attention_op<T>) continue;
    const Shape& tokens = tape.shape_of(entry.inputs[0]);  // (1, h, w, 3C), or (1, n, 3C)
    const bool flat = tokens.rank() == 3;
    AttentionMap map{.layer = std::string(entry.layer),
                     .height = flat ? 1 : tokens[1],
                     .width = flat ? tokens[1] : tokens[2]};
    const auto keys = static_cast<std::size_t>(map.height * map.width);
    const std::span<const T> probabilities = tape.elements_of(entry.outputs[1]);
    map.received.resize(keys);
    for (std::size_t i = 0; i < probabilities.size(); ++i)
      map.received[i % keys] += static_cast<double>(probabilities[i]);
    for (double& value : map.received)
      value *= static_cast<double>(keys) / static_cast<double>(probabilities.size());
    maps.push_back(std::move(map));
  }
  return maps;
}

// A map at (y, x) of a picture of height x width pixels, bilinear between the positions' centres.
ANTHER_ONCE double attention_at(const AttentionMap& map, int y, int x, int height, int width) {
  struct Place {
    std::int64_t below, above;
    double share;  // of the one above
  };
  const auto place = [](int at, int pixels, std::int64_t positions) {
    const double centre = (at + 0.5) * static_cast<double>(positions) / pixels - 0.5;
    const double clamped = std::clamp(centre, 0.0, static_cast<double>(positions - 1));
    const auto below = static_cast<std::int64_t>(clamped);
    return Place{below, std::min(below + 1, positions - 1), clamped - static_cast<double>(below)};
  };
  const Place row = place(y, height, map.height), column = place(x, width, map.width);
  const auto value = [&](std::int64_t i, std::int64_t j) {
    return map.received[static_cast<std::size_t>(i * map.width + j)];
  };
  const auto between = [](double a, double b, double share) { return a + (b - a) * share; };
  return between(
      between(value(row.below, column.below), value(row.below, column.above), column.share),
      between(value(row.above, column.below), value(row.above, column.above), column.share),
      row.share);
}

// A map over its picture. The picture is grey; the more attention, the more of a colour is added,
// from violet over orange to yellow, for the least to the most of the map.
ANTHER_ONCE vision::Image attention_over(const vision::Image& picture, const AttentionMap& map) {
  constexpr std::array<std::array<double, 3>, 4> colors = {
      {{60, 15, 110}, {190, 50, 90}, {250, 140, 30}, {255, 240, 120}}};
  const auto [least, most] = std::minmax_element(map.received.begin(), map.received.end());
  const double range = *most - *least;
  vision::Image result(picture.width, picture.height);
  for (int y = 0; y < picture.height; ++y)
    for (int x = 0; x < picture.width; ++x) {
      const std::uint8_t* from = picture.row(y) + 3 * x;
      const double grey = 0.299 * from[0] + 0.587 * from[1] + 0.114 * from[2];
      const double heat =
          range > 0 ? (attention_at(map, y, x, picture.height, picture.width) - *least) / range : 0;
      const double place = heat * static_cast<double>(colors.size() - 1);
      const auto below = std::min(static_cast<std::size_t>(place), colors.size() - 2);
      const double opacity = 0.25 + 0.5 * heat;
      for (std::size_t c = 0; c < 3; ++c) {
        const double color = colors[below][c] + (colors[below + 1][c] - colors[below][c]) *
                                                    (place - static_cast<double>(below));
        result.row(y)[3 * x + static_cast<int>(c)] =
            static_cast<std::uint8_t>(grey * (1 - opacity) + color * opacity + 0.5);
      }
    }
  return result;
}

}  // namespace anther::inline v0_1::report
