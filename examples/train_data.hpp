// What train_flowers' options say of the images that it trains on: how they are changed, mixed and
// kept in memory.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "anther/data/batch.hpp"
#include "anther/data/vision/augment.hpp"
#include "anther/data/vision/cache.hpp"
#include "anther/data/vision/mix.hpp"
#include "anther/data/vision/open.hpp"
#include "anther/data/vision/transforms.hpp"
#include "anther/io/csv.hpp"
#include "train_options.hpp"

// Gives what the options leave open of how images are prepared the values of `p`; gives these, as
// flags and values.
inline std::string complete_preprocess(TrainOptions& o, const anther::vision::Preprocess& p) {
  using anther::detail::text_of;
  std::string taken;
  const auto take = [&](const char* flag, auto& option, const auto& value, const auto& text) {
    if (option != std::decay_t<decltype(option)>()) return;
    option = value;
    taken += anther::detail::text_of(taken.empty() ? "" : ", ", flag, " ", text);
  };
  const auto take_three = [&](const char* flag, std::vector<double>& option,
                              const std::array<float, 3>& values) {
    // Of the fewest digits that are the same float: 0.485, not 0.48500001430511475.
    std::vector<double> numbers;
    std::string text;
    for (const float value : values) {
      const std::string digits = anther::io::csv_cell(value);
      numbers.push_back(std::stod(digits));
      text += (text.empty() ? "" : " ") + digits;
    }
    take(flag, option, numbers, text);
  };
  const double crop = p.resize_size > 0
                          ? static_cast<double>(p.image_size) / static_cast<double>(p.resize_size)
                          : p.crop_pct;
  take("img-size", o.img_size, std::to_string(p.image_size), p.image_size);
  take("resize", o.resize, to_string(p.resize), to_string(p.resize));
  take("crop-pct", o.crop_pct, crop, crop);
  take_three("mean", o.mean, p.mean);
  take_three("std", o.std, p.std);
  return taken;
}

// How images of a size are prepared, as complete options say.
inline anther::vision::Preprocess preprocess_of(const TrainOptions& o, std::int64_t size) {
  const auto three = [](const std::vector<double>& v) {
    return std::array{static_cast<float>(v[0]), static_cast<float>(v[1]), static_cast<float>(v[2])};
  };
  const anther::vision::Preprocess preprocess{.image_size = size,
                                              .resize = anther::vision::parse_resize_mode(o.resize),
                                              .crop_pct = o.crop_pct,
                                              .mean = three(o.mean),
                                              .std = three(o.std)};
  preprocess.validate();
  return preprocess;
}

inline anther::vision::AugmentOptions augment_options(const TrainOptions& o) {
  using namespace anther;
  vision::AugmentOptions a;
  if (!o.scale.empty()) a.scale = vision::Range{o.scale[0], o.scale[1]};
  a.ratio = {o.ratio[0], o.ratio[1]};
  a.hflip = o.hflip;
  a.vflip = o.vflip;
  a.rotation = o.rotation;
  // timm's --color-jitter: one number for brightness, contrast and saturation.
  const auto jitter = [&](std::size_t i) {
    if (o.color_jitter.empty()) return 0.0;
    if (o.color_jitter.size() == 1) return i < 3 ? o.color_jitter[0] : 0.0;
    return i < o.color_jitter.size() ? o.color_jitter[i] : 0.0;
  };
  a.color_jitter.brightness = jitter(0);
  a.color_jitter.contrast = jitter(1);
  a.color_jitter.saturation = jitter(2);
  a.color_jitter.hue = jitter(3);
  if (!o.aa.empty()) a.rand_augment = vision::parse_auto_augment(o.aa);
  a.random_erasing.prob = o.reprob;
  a.random_erasing.mode = vision::parse_erase_mode(o.remode);
  a.random_erasing.count = static_cast<int>(o.recount);
  a.validate();
  return a;
}

inline anther::vision::MixOptions mix_options(const TrainOptions& o) {
  const anther::vision::MixOptions mix{.mixup = o.mixup,
                                       .cutmix = o.cutmix,
                                       .prob = o.mixup_prob,
                                       .switch_prob = o.mixup_switch_prob};
  mix.validate();
  return mix;
}

inline anther::vision::OpenOptions open_options(const TrainOptions& o, std::int64_t image_size) {
  return {.split = o.split,
          .val_fraction = o.val_fraction,
          .seed = static_cast<std::uint64_t>(o.seed),
          .skip_bad = o.skip_bad,
          .image_size = image_size};
}

// Of the training images, but for the batch's size, which follows from the images'.
inline anther::data::LoaderOptions loader_options(const TrainOptions& o) {
  return {.shuffle = true,
          .limit = o.limit,
          .seed = static_cast<std::uint64_t>(o.seed),
          .workers = static_cast<int>(o.workers),
          .skip_bad = o.skip_bad,
          .mix = anther::vision::mixing(mix_options(o))};
}

// Keeps decoded images in memory as --cache says: those that are trained on and evaluated, which
// share the limit by their number. What is evaluated keeps all its pixels, so that the accuracy is
// that of the image files.
inline void cache_images(anther::vision::OpenedData& data, const TrainOptions& o,
                         std::int64_t largest_size) {
  using namespace anther;
  if (o.cache == "none") return;
  const std::int64_t side = o.cache_size > 0 ? o.cache_size : largest_size * 5 / 4;
  vision::ImageSetPointer& evaluated = o.eval_split == "valid" ? data.val : data.test;
  const std::int64_t all = data.train->size() + evaluated->size();
  const auto cache = [&](vision::ImageSetPointer& part, std::int64_t short_side) {
    const double share = static_cast<double>(part->size()) / static_cast<double>(all);
    part = std::make_shared<const vision::CachedImages>(
        part, vision::CacheOptions{.max_bytes = static_cast<std::int64_t>(o.cache_gb * share * 1e9),
                                   .short_side = short_side});
  };
  cache(data.train, o.cache == "uint8" ? side : 0);
  cache(evaluated, 0);
}
