// What a model is made of, as its modules say themselves: stages, heads, and the layers that these
// consist of. Freezing, layer decay, profiles and new heads go by it.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "anther/autograd/parameter_store.hpp"

namespace anther::inline v0_1 {

// The paths of a model's stages, from input to output.
template <class T>
std::vector<std::string> stage_modules(const ParameterStore<T>& store) {
  std::vector<std::string> stages;
  for (const ModuleInfo& module : store.modules())
    if (module.traits.stage) stages.push_back(module.path);
  return stages;
}

// The paths of a model's heads: what is replaced when it learns other classes.
template <class T>
std::vector<std::string> head_modules(const ParameterStore<T>& store) {
  std::vector<std::string> heads;
  for (const ModuleInfo& module : store.modules())
    if (module.traits.head) heads.push_back(module.path);
  return heads;
}

// Whether a module or parameter is in one of the modules of these paths.
inline bool is_within_any(std::string_view name, const std::vector<std::string>& paths) {
  return std::any_of(paths.begin(), paths.end(),
                     [&](const std::string& path) { return is_within(name, path); });
}

// The modules directly inside the one with this path: inside it, and inside no other that is inside
// it.
template <class T>
std::vector<std::string> child_modules(const ParameterStore<T>& store, std::string_view path) {
  std::vector<std::string> children;
  for (const ModuleInfo& module : store.modules())  // a module comes after those that contain it
    if (module.path != path && is_within(module.path, path) &&
        !is_within_any(module.path, children))
      children.push_back(module.path);
  return children;
}

// The layers of a model before its heads, from input to output, as far as it makes its modules in
// that order: the parts of its stages. The parts of a stage are the modules that it calls; a
// stage that calls none is one layer. A model without stages consists of its own modules. Modules
// without parameters (an activation, a pooling) are no layers.
template <class T>
std::vector<std::string> layer_modules(const ParameterStore<T>& store) {
  const std::vector<std::string> heads = head_modules(store);
  std::vector<std::string> layers;
  if (stage_modules(store).empty()) layers = child_modules(store, {});
  for (const ModuleInfo& module : store.modules()) {
    if (!module.traits.stage || is_within_any(module.path, layers)) continue;
    if (module.traits.container)
      for (const std::string& child : child_modules(store, module.path)) layers.push_back(child);
    else
      layers.push_back(module.path);
  }
  std::erase_if(layers, [&](const std::string& layer) {
    return is_within_any(layer, heads) ||
           std::none_of(store.parameters().begin(), store.parameters().end(),
                        [&](const ParameterInfo& info) { return is_within(info.name, layer); });
  });
  return layers;
}

}  // namespace anther::inline v0_1
