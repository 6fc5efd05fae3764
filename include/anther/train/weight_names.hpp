// The names of a model's weights in files of other programs.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "anther/autograd/parameter_store.hpp"

namespace anther::inline v0_1 {

// The names of tensors in a file, by their names in the store. Those without an entry are the same.
using WeightNames = std::map<std::string, std::string, std::less<>>;

inline std::string name_in(const WeightNames& names, const std::string& name) {
  const auto found = names.find(name);
  return found == names.end() ? name : found->second;
}

// A naming scheme that a model brings along.
struct WeightScheme {
  std::string name;           // "official"
  std::string recognised_by;  // a tensor that files of the scheme have and others do not
  // Gives the names for a list of a store's parameters, buffers and counters.
  std::function<WeightNames(const std::vector<std::string>& names)> names;
};

// The names of all parameters, buffers and counters.
template <class T>
std::vector<std::string> weight_names(const ParameterStore<T>& store) {
  std::vector<std::string> names;
  for (const auto* list : {&store.parameters(), &store.buffers()})
    for (const ParameterInfo& info : *list) names.push_back(info.name);
  names.insert(names.end(), store.counters().begin(), store.counters().end());
  return names;
}

}  // namespace anther::inline v0_1
