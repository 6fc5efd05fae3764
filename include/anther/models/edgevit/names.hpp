// The names that EdgeViT's weights have in the authors' code, saic-fi/edgevit:
//
//   here                              there
//   stages.0.0.conv, .norm            patch_embed1.proj, .norm
//   stages.0.1.pw_in, .dw, .ffn...    blocks1.0.LocalAgg.conv1, .attn, .mlp...
//   stages.0.2.attn.spread, ...       blocks1.0.SelfAttn.attn.LocalProp, ...
//   norm, head                        norm, head
//
// Shapes and order are the same, but that a fully connected layer there may be a 1x1 convolution
// here: (O, C) and (O, C, 1, 1).
#pragma once

#include <charconv>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "anther/autograd/parameter.hpp"
#include "anther/core/check.hpp"

namespace anther::inline v0_1 {

// What tensors are called in a file, by their names in the store; those of no entry alike.
using WeightNames = std::map<std::string, std::string, std::less<>>;

inline std::string name_in(const WeightNames& names, const std::string& name) {
  const auto found = names.find(name);
  return found == names.end() ? name : found->second;
}

// The authors' name of a layer's part: pw_in.weight is conv1.weight.
inline std::string official_part(std::string_view part) {
  constexpr std::pair<std::string_view, std::string_view> parts[] = {
      {"conv.", "proj."},          {"pos.", "pos_embed."},
      {"pw_in.", "conv1."},        {"dw.", "attn."},
      {"pw_out.", "conv2."},       {"attn.spread.", "attn.LocalProp."},
      {"ffn.expand.", "mlp.fc1."}, {"ffn.reduce.", "mlp.fc2."}};
  for (const auto& [here, there] : parts)
    if (part.starts_with(here)) return std::string(there) + std::string(part.substr(here.size()));
  return std::string(part);
}

// stages.STAGE.LAYER.part
struct StagePlace {
  int stage = 0, layer = 0;
  std::string_view part;
};

inline std::optional<StagePlace> stage_place(std::string_view name) {
  constexpr std::string_view begin = "stages.";
  if (!name.starts_with(begin)) return std::nullopt;
  name.remove_prefix(begin.size());
  StagePlace place;
  for (int* number : {&place.stage, &place.layer}) {
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), *number);
    const auto digits = static_cast<std::size_t>(end - name.data());
    if (error != std::errc() || digits == name.size() || *end != '.') return std::nullopt;
    name.remove_prefix(digits + 1);
  }
  place.part = name;
  return place;
}

// The names of a model's parameters and buffers in the authors' scheme. Names that are not
// EdgeViT's stay as they are.
template <class T>
WeightNames official_edgevit_names(const ParameterStore<T>& store) {
  std::vector<std::pair<std::string, StagePlace>> places;
  // Stages with local aggregation have two layers a block here, the others one.
  std::set<int> with_local;
  for (const auto* list : {&store.parameters(), &store.buffers()})
    for (const ParameterInfo& info : *list)
      if (const auto place = stage_place(info.name)) {
        places.emplace_back(info.name, *place);
        if (place->part.starts_with("pw_in.")) with_local.insert(place->stage);
      }
  for (const std::string& counter : store.counters())
    if (const auto place = stage_place(counter)) places.emplace_back(counter, *place);

  WeightNames names;
  for (const auto& [name, place] : places) {
    const auto& [stage, layer, part] = place;
    if (layer == 0) {
      names[name] = detail::text_of("patch_embed", stage + 1, ".", official_part(part));
      continue;
    }
    const bool pairs = with_local.contains(stage);
    const bool local = pairs && layer % 2 == 1;
    names[name] = detail::text_of("blocks", stage + 1, ".", pairs ? (layer - 1) / 2 : layer - 1,
                                  local ? ".LocalAgg." : ".SelfAttn.", official_part(part));
  }
  return names;
}

}  // namespace anther::inline v0_1
