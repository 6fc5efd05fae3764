// EdgeViT's options as JSON, as checkpoints and args.json hold them, and its place in the registry:
//   {"variant": "xxs", "num_classes": 102, "norm": "gn", "local_norm": "gn", "gn_groups": 0, ...}
#pragma once

#include <nlohmann/json.hpp>

#include "anther/models/edgevit/edgevit.hpp"
#include "anther/models/edgevit/names.hpp"
#include "anther/models/registry.hpp"

namespace anther::inline v0_1 {

// All of them; local_norm as it is chosen.
inline nlohmann::json to_json(EdgeViTOptions options) {
  options.complete();
  return io::members_to_json(options);
}

// Options from JSON: those of "variant", "preset" and "table" if given, then each key that is
// there. Throws if a key is unknown, or a value is of another type or makes no sense.
inline EdgeViTOptions edgevit_options_from_json(const nlohmann::json& json) {
  return options_from_json<EdgeViTOptions>(json);
}

inline const RegisterModel<EdgeViT<float>> registered_edgevit(
    "edgevit", {.variants = {{"xxs", {{"variant", "xxs"}}},
                             {"xs", {{"variant", "xs"}}},
                             {"s", {{"variant", "s"}}}},
                .schemes = {{.name = "official",
                             .recognised_by = "patch_embed1.proj.weight",
                             .names = official_edgevit_names}},
                .training_options = {"drop", "drop_path", "init"},
                .told_by = {{"norm.running_mean", {{"local_norm", "bn"}}}}});

}  // namespace anther::inline v0_1
