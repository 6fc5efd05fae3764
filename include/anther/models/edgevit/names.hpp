// The names that EdgeViT's weights have in the authors' code, saic-fi/edgevit:
//
//   here                              there
//   stages.0.0.conv, .norm            patch_embed1.proj, .norm
//   stages.0.1.pw_in, .dw, .ffn...    blocks1.0.LocalAgg.conv1, .attn, .mlp...
//   stages.0.2.attn.spread, ...       blocks1.0.SelfAttn.attn.LocalProp, ...
//   norm, head                        norm, head
//
// Shapes and order are the same, except that a fully connected layer there may be a 1x1 convolution
// here: (O, C) and (O, C, 1, 1).
#pragma once

#include <charconv>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "anther/core/check.hpp"
#include "anther/train/weight_names.hpp"

namespace anther::inline v0_1 {

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

// The names of parameters and buffers in the authors' scheme. Those that are not EdgeViT's are not
// changed.
inline WeightNames official_edgevit_names(const std::vector<std::string>& all) {
  std::vector<std::pair<std::string, StagePlace>> places;
  // Here, stages with local aggregation have two layers for each block, the others one.
  std::set<int> with_local;
  for (const std::string& name : all)
    if (const auto place = stage_place(name)) {
      places.emplace_back(name, *place);
      if (place->part.starts_with("pw_in.")) with_local.insert(place->stage);
    }

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
