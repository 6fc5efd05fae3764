// Going on from trained weights (load_weights of weights.hpp): with layers that keep theirs, and
// with smaller steps for the layers nearer to the image.
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "anther/autograd/parameter.hpp"
#include "anther/train/weights.hpp"

namespace anther::inline v0_1 {

// Freezes parameters: `what` is a list of modules, "stages.0,stages.1.2", or a number of stages,
// "2" for stages.0 and stages.1. BatchNorm's running statistics in them stay as well. Gives how
// many values were frozen. Throws where a module is none of the model's, or nothing is left to
// train.
template <class T>
std::int64_t freeze(ParameterStore<T>& store, std::string_view what) {
  std::vector<std::string> modules;
  int stages = 0;
  const auto [rest, error] = std::from_chars(what.data(), what.data() + what.size(), stages);
  if (error == std::errc() && rest == what.data() + what.size()) {
    detail::check(stages >= 0 && stages <= 1000,
                  "freeze: expected modules or a number of stages, got ", what);
    for (int stage = 0; stage < stages; ++stage)
      modules.push_back(detail::text_of("stages.", stage));
  } else {
    for (std::size_t begin = 0; begin <= what.size();) {
      const std::size_t end = std::min(what.find(',', begin), what.size());
      modules.emplace_back(what.substr(begin, end - begin));
      begin = end + 1;
    }
  }
  std::int64_t frozen = 0, left = 0;
  std::vector<bool> found(modules.size());
  for (int i = 0; i < std::ssize(store.parameters()); ++i) {
    const ParameterInfo& info = store.parameters()[static_cast<std::size_t>(i)];
    bool matches = false;
    for (std::size_t m = 0; m < modules.size(); ++m)
      if (!modules[m].empty() && is_in_module(info.name, modules[m])) matches = found[m] = true;
    if (matches) store.set_trainable(i, false);
    (matches || !info.trainable ? frozen : left) += info.size;
  }
  for (std::size_t m = 0; m < modules.size(); ++m)
    detail::check(found[m],
                  "freeze: expected modules of the model, like stages.0 or stages.0.1.ffn, got ",
                  modules[m].empty() ? "an empty name" : modules[m]);
  detail::check(left > 0, "freeze: nothing is left to train");
  return frozen;
}

// What the rate of each parameter is multiplied by, so that it falls by `decay` with each layer
// from the head to the image, as timm's --layer-decay: 1 at the head, decay at the last block, and
// so on. A layer is what has the last number of a name (stages.0.1); a norm after the last one
// belongs to it.
template <class T>
std::vector<double> layer_decay_scales(const ParameterStore<T>& store, double decay) {
  detail::check(decay > 0 && decay <= 1, "layer decay: expected more than 0, at most 1, got ",
                decay);
  const auto layer_of = [](const std::string& name) {
    std::string layer;
    for (std::size_t begin = 0, end; begin < name.size(); begin = end + 1) {
      end = std::min(name.find('.', begin), name.size());
      const bool number = name.find_first_not_of("0123456789", begin) >= end;
      if (number) layer = name.substr(0, end);
    }
    return layer.empty() ? name.substr(0, name.find('.')) : layer;
  };
  std::vector<int> numbers;
  std::string last;
  int count = 0;
  for (const ParameterInfo& info : store.parameters()) {
    const std::string layer = layer_of(info.name);
    if (count == 0 || (layer != last && layer != "norm")) ++count;
    if (layer != "norm") last = layer;
    numbers.push_back(count - 1);
  }
  std::vector<double> scales;
  for (const int number : numbers) scales.push_back(std::pow(decay, count - 1 - number));
  return scales;
}

}  // namespace anther::inline v0_1
