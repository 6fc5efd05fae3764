// Going on from trained weights (load_weights of weights.hpp): layers that keep their weights, and
// smaller steps for the layers nearer to the input.
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "anther/autograd/parameter_store.hpp"
#include "anther/nn/module_tree.hpp"

namespace anther::inline v0_1 {

// Freezes parameters: `what` is a list of modules, "stages.0,stages.1.2"; or a number of stages,
// "2" for the first two and what stands before them (a stem that is no stage itself); or "body",
// all but the head. BatchNorm's running statistics in them stay as well. Returns how many values
// were frozen. Throws if the model has no such module, or not so many stages, or no head, or if
// nothing is left to train.
template <class T>
std::int64_t freeze(ParameterStore<T>& store, std::string_view what) {
  std::vector<std::string> modules, stem;
  const std::vector<std::string> heads = head_modules(store);
  const bool body = what == "body";
  detail::check(!body || !heads.empty(),
                "freeze: expected a model that has a head, as all but that is frozen, got none");
  int count = 0;
  const auto [rest, error] = std::from_chars(what.data(), what.data() + what.size(), count);
  if (error == std::errc() && rest == what.data() + what.size()) {
    modules = stage_modules(store);
    detail::check(count >= 0 && count <= std::ssize(modules),
                  "freeze: expected modules or a number of stages, of which the model has ",
                  modules.size(), ", got ", what);
    modules.resize(static_cast<std::size_t>(count));
    for (const ModuleInfo& module : store.modules()) {
      if (count == 0 || module.traits.stage) break;
      if (!is_within_any(module.path, heads)) stem.push_back(module.path);
    }
  } else if (!body) {
    for (std::size_t begin = 0; begin <= what.size();) {
      const std::size_t end = std::min(what.find(',', begin), what.size());
      modules.emplace_back(what.substr(begin, end - begin));
      begin = end + 1;
    }
  }
  std::int64_t frozen = 0, left = 0;
  std::vector<bool> found(modules.size());
  const auto is_named = [&](const ParameterInfo& info) {
    bool named = body ? !is_within_any(info.name, heads)
                      : std::find(stem.begin(), stem.end(), info.module) != stem.end();
    for (std::size_t m = 0; m < modules.size(); ++m)
      if (!modules[m].empty() && is_within(info.name, modules[m])) named = found[m] = true;
    return named;
  };
  for (int i = 0; i < std::ssize(store.parameters()); ++i) {
    const ParameterInfo& info = store.parameters()[static_cast<std::size_t>(i)];
    const bool named = is_named(info);
    if (named) store.set_trainable(i, false);
    (named || !info.trainable ? frozen : left) += info.size;
  }
  for (int i = 0; i < std::ssize(store.buffers()); ++i)
    if (is_named(store.buffers()[static_cast<std::size_t>(i)]))
      store.set_buffer_trainable(i, false);
  for (std::size_t m = 0; m < modules.size(); ++m)
    if (!found[m]) {
      std::string known;
      for (const std::string& module : child_modules(store, {}))
        known += (known.empty() ? "" : ", ") + module;
      detail::fail("freeze: expected modules of the model (", known, ", or within these), got ",
                   modules[m].empty() ? "an empty name" : modules[m]);
    }
  detail::check(left > 0, "freeze: nothing is left to train");
  return frozen;
}

// Freezes BatchNorm's running statistics: training then normalises by them, as evaluation does,
// while weights and biases learn. Samples see each other no more, so a batch may be cut.
template <class T>
void freeze_statistics(ParameterStore<T>& store) {
  for (int i = 0; i < std::ssize(store.buffers()); ++i) store.set_buffer_trainable(i, false);
}

// A factor for the rate of each parameter, so that the rate falls by `decay` with each layer from
// the head to the input, as timm's --layer-decay does: 1 at the head, decay at the last block, and
// so on. Layers are those of layer_modules(), and the heads as one. What the model makes between
// two layers belongs to the one before it; what it makes before the first is a layer of its own.
template <class T>
std::vector<double> layer_decay_scales(const ParameterStore<T>& store, double decay) {
  detail::check(decay > 0 && decay <= 1, "layer decay: expected more than 0, at most 1, got ",
                decay);
  const std::vector<std::string> layers = layer_modules(store), heads = head_modules(store);
  std::vector<std::size_t> numbers;
  std::size_t last = 0, most = 0;
  for (const ParameterInfo& info : store.parameters()) {
    const bool is_head = is_within_any(info.name, heads);
    for (std::size_t layer = 0; layer < layers.size(); ++layer)
      if (is_within(info.name, layers[layer])) last = layer + 1;
    numbers.push_back(is_head ? layers.size() + 1 : last);
    most = std::max(most, numbers.back());
  }
  std::vector<double> scales;
  for (const std::size_t number : numbers)
    scales.push_back(std::pow(decay, static_cast<double>(most - number)));
  return scales;
}

}  // namespace anther::inline v0_1
