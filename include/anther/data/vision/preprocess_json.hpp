// How images are prepared, as JSON: what the files of models of images have as "preprocess".
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "anther/core/once.hpp"
#include "anther/data/vision/transforms.hpp"
#include "anther/io/json_members.hpp"

namespace anther::inline v0_1::vision {

ANTHER_ONCE nlohmann::json to_json(const Preprocess& p) {
  return {{"image_size", p.image_size},
          {"resize", to_string(p.resize)},
          {"resize_size", p.resize_size},
          {"crop_pct", p.crop_pct},
          {"mean", p.mean},
          {"std", p.std}};
}

// Throws, with the key, if one is missing, of another type or makes no sense.
ANTHER_ONCE Preprocess preprocess_from_json(const nlohmann::json& json) {
  detail::check(json.is_object(), "preprocess: expected a JSON object, got ", json.type_name());
  const auto get = [&]<class V>(const char* key, V& value) {
    const auto found = json.find(key);
    detail::check(found != json.end(), "preprocess: expected the key ", key, ", got none");
    io::JsonMember<V>::from(key, *found, value);
  };
  Preprocess p;
  std::string resize;
  get("image_size", p.image_size);
  get("resize", resize);
  get("resize_size", p.resize_size);
  get("crop_pct", p.crop_pct);
  get("mean", p.mean);
  get("std", p.std);
  p.resize = parse_resize_mode(resize);
  p.validate();
  return p;
}

}  // namespace anther::inline v0_1::vision
