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

// The layers of a model, from input to output: the parts of its stages, the head, and what comes
// before the first stage. The parts of a stage are the modules that it calls; a stage that calls
// none is one layer. A model without stages consists of its own modules.
template <class T>
std::vector<std::string> layer_modules(const ParameterStore<T>& store) {
  const std::vector<std::string> stages = stage_modules(store), heads = head_modules(store);
  if (stages.empty()) return child_modules(store, {});
  std::vector<std::string> layers;
  for (const ModuleInfo& module : store.modules()) {
    if (is_within_any(module.path, layers)) continue;
    const bool is_head = std::find(heads.begin(), heads.end(), module.path) != heads.end();
    if (module.traits.stage && module.traits.container)
      for (const std::string& child : child_modules(store, module.path)) layers.push_back(child);
    else if (module.traits.stage || is_head)
      layers.push_back(module.path);
  }
  return layers;
}

}  // namespace anther::inline v0_1
