// Lets vision::open_data open the painted flowers, by the word "painted":
//
//   vision::open_data(where, options, {painted::opener()});
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "anther/core/once.hpp"
#include "anther/data/vision/open.hpp"
#include "anther/painted/painted.hpp"

namespace anther::inline v0_1::painted {

// How many images each part has.
struct OpenerOptions {
  std::int64_t train = 3060;
  std::int64_t val = 510;
  std::int64_t test = 1020;
};

ANTHER_ONCE vision::Opener opener(const OpenerOptions& sizes = {}) {
  const auto open = [sizes](const std::string&, const vision::OpenOptions& options) {
    // Each part has a seed of its own: no image is in two parts.
    const auto part = [&](std::int64_t size, std::string_view name) {
      return std::make_shared<const PaintedFlowers>(
          PaintedOptions{.size = size,
                         .image_size = options.image_size,
                         .seed = RandomKey(options.seed).fold(name).value()});
    };
    vision::OpenedData data;
    data.train = part(sizes.train, "train");
    data.val = part(sizes.val, "val");
    data.test = part(sizes.test, "test");
    data.description = "painted flowers, drawn by Anther (no photographs)";
    return data;
  };
  return {"painted", "the word painted",
          [](const std::string& where) { return where == "painted"; }, open};
}

}  // namespace anther::inline v0_1::painted
