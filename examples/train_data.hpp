// What train_flowers' options say of the images that it trains on: how they are changed, mixed and
// kept in memory.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "anther/data/batch.hpp"
#include "anther/data/vision/augment.hpp"
#include "anther/data/vision/cache.hpp"
#include "anther/data/vision/class_subset.hpp"
#include "anther/data/vision/mix.hpp"
#include "anther/data/vision/open.hpp"
#include "anther/data/vision/transforms.hpp"
#include "anther/io/csv.hpp"
#include "data_record.hpp"
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
          .image_size = image_size,
          .allow_empty = o.allow_empty,
          .choose_by_test = o.eval_split == "test"};
}

// What is evaluated after each epoch.
inline anther::vision::ImageSetPointer& evaluated_part(anther::vision::OpenedData& data,
                                                       const TrainOptions& o) {
  return o.eval_split == "valid" ? data.val : data.test;
}

// What the weights are chosen by, for people.
inline std::string choice_text(const anther::vision::OpenedData& data, const TrainOptions& o) {
  using anther::detail::text_of;
  const bool by_test = o.eval_split == "test" || !data.has_test();
  const std::string& name = by_test ? data.test_name : data.val_name;
  if (!data.has_test()) return text_of("the best epoch is chosen by ", name);
  if (by_test)
    return text_of("the best epoch is chosen by ", name, ", as --eval-split says; ", data.val_name,
                   " is not used");
  return text_of("the best epoch is chosen by ", name, "; ", data.test_name,
                 " is evaluated once, at the end");
}

// What is amiss, a line each; of many only the first.
inline void print_warnings(const std::vector<std::string>& warnings) {
  constexpr std::size_t most = 10;
  for (std::size_t i = 0; i < warnings.size() && i < most; ++i)
    std::printf("Warning: %s\n", warnings[i].c_str());
  if (warnings.size() > most)
    std::printf("Warning: ... and %zu more; --check-data lists all\n", warnings.size() - most);
}

struct TrainingData {
  anther::vision::OpenedData parts;
  nlohmann::json record;  // of all of it, whatever the limit
};

// Opens the data as the options say, and tells what they are. held_out: what a run that goes on has
// held out before.
inline TrainingData open_training_data(const TrainOptions& o, std::int64_t image_size,
                                       const std::vector<std::string>& held_out,
                                       const std::vector<anther::vision::Opener>& more) {
  using namespace anther;
  vision::OpenOptions options = open_options(o, image_size);
  options.held_out = held_out;
  TrainingData data{vision::open_data(o.data_dir, options, more), {}};
  if (!o.classes.empty()) naming_flag([&] { vision::select_classes(data.parts, o.classes); });
  std::printf("Data: %s; %s\n", data.parts.description.c_str(), choice_text(data.parts, o).c_str());
  print_warnings(data.parts.warnings);
  data.record = record_of(data.parts, o.data_dir);
  if (o.limit > 0 && o.limit < data.parts.train->size()) {
    data.parts.train = vision::spread_over_classes(data.parts.train, o.limit);
    const std::int64_t classes =
        std::min<std::int64_t>(o.limit, std::ssize(data.parts.class_names));
    std::printf("Only %lld images are trained on (--limit), spread evenly over %lld classes.\n",
                static_cast<long long>(o.limit), static_cast<long long>(classes));
  }
  return data;
}

// Of the training images, but for the batch's size, which follows from the images'.
inline anther::data::LoaderOptions loader_options(const TrainOptions& o) {
  return {.shuffle = true,
          .drop_last = o.drop_last,
          .seed = static_cast<std::uint64_t>(o.seed),
          .workers = static_cast<int>(o.workers),
          .skip_bad = o.skip_bad,
          .mix = anther::vision::mixing(mix_options(o))};
}

// How many of the training images an epoch has; says so where a default leaves some out.
inline std::int64_t images_of_epoch(std::int64_t images, anther::data::LoaderOptions loading) {
  loading.batch_size = loading.whole_batch;
  const std::int64_t used = anther::data::samples_of_epoch(images, loading);
  anther::detail::check(used > 0, loading.drop_last ? "--drop-last" : "BatchNorm",
                        ": leaves none of ", images, " images, with a --batch-size of ",
                        loading.whole_batch);
  if (used < images && !loading.drop_last)
    std::printf(
        "The last batch of an epoch would have %lld image, too few for BatchNorm: it is left out, "
        "another one each time.\n",
        static_cast<long long>(images - used));
  return used;
}

// Keeps decoded images in memory as --cache says: those that are trained on and evaluated, which
// share the limit by their number. What is evaluated keeps all its pixels, so that the accuracy is
// that of the image files.
inline void cache_images(anther::vision::OpenedData& data, const TrainOptions& o,
                         std::int64_t largest_size) {
  using namespace anther;
  if (o.cache == "none") return;
  const std::int64_t side = o.cache_size > 0 ? o.cache_size : largest_size * 5 / 4;
  vision::ImageSetPointer& evaluated = evaluated_part(data, o);
  const bool has_test = data.has_test();
  const std::int64_t all = data.train->size() + evaluated->size();
  const auto cache = [&](vision::ImageSetPointer& part, std::int64_t short_side) {
    const double share = static_cast<double>(part->size()) / static_cast<double>(all);
    part = std::make_shared<const vision::CachedImages>(
        part, vision::CacheOptions{.max_bytes = static_cast<std::int64_t>(o.cache_gb * share * 1e9),
                                   .short_side = short_side});
  };
  cache(data.train, o.cache == "uint8" ? side : 0);
  cache(evaluated, 0);
  if (!has_test) data.val = data.test = vision::ImageSetPointer(evaluated);
}
