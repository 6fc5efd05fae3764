// EdgeViT's options as JSON, as checkpoints and args.json hold them:
//   {"variant": "xxs", "num_classes": 102, "norm": "gn", "local_norm": "gn", "gn_groups": 0, ...}
#pragma once

#include <array>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>

#include "anther/core/check.hpp"
#include "anther/models/edgevit/edgevit.hpp"

namespace anther::inline v0_1 {

// The names of an option's choices.
inline constexpr std::array<std::pair<NormKind, std::string_view>, 4> norm_names = {
    {{NormKind::gn, "gn"}, {NormKind::ln, "ln"}, {NormKind::bn, "bn"}, {NormKind::in, "in"}}};
inline constexpr std::array<std::pair<FfnKind, std::string_view>, 2> ffn_names = {
    {{FfnKind::conv, "conv"}, {FfnKind::linear, "linear"}}};
inline constexpr std::array<std::pair<InitScheme, std::string_view>, 2> init_names = {
    {{InitScheme::paddle, "paddle"}, {InitScheme::official, "official"}}};

template <class Choice, std::size_t count>
std::string name_of(Choice choice,
                    const std::array<std::pair<Choice, std::string_view>, count>& names) {
  for (const auto& [value, name] : names)
    if (value == choice) return std::string(name);
  return "";
}

// Throws, with the choices, where there is none of the name.
template <class Choice, std::size_t count>
Choice choice_of(std::string_view option, std::string_view text,
                 const std::array<std::pair<Choice, std::string_view>, count>& names) {
  std::string choices;
  for (const auto& [value, name] : names) {
    if (name == text) return value;
    choices += (choices.empty() ? "" : ", ") + std::string(name);
  }
  detail::fail(option, ": expected one of ", choices, ", got ", text);
}

inline nlohmann::json to_json(const EdgeViTOptions& o) {
  return {{"dims", o.dims},
          {"depths", o.depths},
          {"heads", o.heads},
          {"sr_ratios", o.sr_ratios},
          {"num_classes", o.num_classes},
          {"in_channels", o.in_channels},
          {"norm", name_of(o.norm, norm_names)},
          {"local_norm", name_of(o.local_norm_kind(), norm_names)},
          {"gn_groups", o.gn_groups},
          {"ffn", name_of(o.ffn, ffn_names)},
          {"ffn_kernel", o.ffn_kernel},
          {"mlp_ratio", o.mlp_ratio},
          {"qkv_bias", o.qkv_bias},
          {"drop", o.drop},
          {"drop_path", o.drop_path},
          {"init", name_of(o.init, init_names)}};
}

// A whole number. nlohmann-json would cut a fraction off.
inline void get_integer(std::string_view name, const nlohmann::json& value, std::int64_t& to) {
  detail::check(value.is_number_integer(), name, ": expected a whole number");
  value.get_to(to);
}
template <std::size_t count>
void get_integer(std::string_view name, const nlohmann::json& value,
                 std::array<std::int64_t, count>& to) {
  detail::check(value.is_array() && value.size() == count, name, ": expected ", count,
                " whole numbers");
  for (std::size_t i = 0; i < count; ++i) get_integer(name, value[i], to[i]);
}

// Options from JSON: those of "variant", "preset" and "table" where given, then each key that is
// there. Throws where a key is unknown or a value is not of its type, or makes no sense.
inline EdgeViTOptions edgevit_options_from_json(const nlohmann::json& json) {
  detail::check(json.is_object(), "model options: expected a JSON object, got ", json.type_name());
  try {
    EdgeViTOptions o =
        edgevit_options(json.value("variant", "xxs"), 1000, json.value("preset", "improved"),
                        json.value("table", false));
    for (const auto& [key, value] : json.items()) {
      if (key == "variant" || key == "preset" || key == "table")
        continue;
      else if (key == "dims")
        get_integer(key, value, o.dims);
      else if (key == "depths")
        get_integer(key, value, o.depths);
      else if (key == "heads")
        get_integer(key, value, o.heads);
      else if (key == "sr_ratios")
        get_integer(key, value, o.sr_ratios);
      else if (key == "num_classes")
        get_integer(key, value, o.num_classes);
      else if (key == "in_channels")
        get_integer(key, value, o.in_channels);
      else if (key == "norm")
        o.norm = choice_of("norm", value.get<std::string>(), norm_names);
      else if (key == "local_norm" && !value.is_null())
        o.local_norm = choice_of("local_norm", value.get<std::string>(), norm_names);
      else if (key == "gn_groups")
        get_integer(key, value, o.gn_groups);
      else if (key == "ffn")
        o.ffn = choice_of("ffn", value.get<std::string>(), ffn_names);
      else if (key == "ffn_kernel")
        get_integer(key, value, o.ffn_kernel);
      else if (key == "mlp_ratio")
        value.get_to(o.mlp_ratio);
      else if (key == "qkv_bias")
        value.get_to(o.qkv_bias);
      else if (key == "drop")
        value.get_to(o.drop);
      else if (key == "drop_path")
        value.get_to(o.drop_path);
      else if (key == "init")
        o.init = choice_of("init", value.get<std::string>(), init_names);
      else
        detail::check(key == "local_norm", "model options: unknown key ", key);
    }
    o.validate();
    return o;
  } catch (const nlohmann::json::exception& error) {
    detail::fail("model options: ", error.what());
  }
}

}  // namespace anther::inline v0_1
